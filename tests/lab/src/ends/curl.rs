//! A real curl as a client that reads only when it is told to. It writes the page to a pipe. While
//! nobody reads the pipe, it is full, and curl stops reading its socket.

use std::io::{self, ErrorKind, PipeReader, Read, pipe};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::ends::Attempt;
use crate::subject::program::Program;

/// A version of curl: major, minor, patch.
pub type Version = (u32, u32, u32);

/// The versions whose words for damaged chunks are those of [`CurlExit`](crate::arrived::http::CurlExit).
/// Before 7.36.0 they did not say `in chunked-encoding`, and 8.x says some of them differently.
pub const RECORDED: std::ops::Range<Version> = (7, 36, 0)..(8, 0, 0);

/// The version of the installed curl. `None`: there is none.
pub fn version() -> Option<Version> {
    let output = Command::new("curl").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_ascii_whitespace().nth(1)?.split(['.', '-']).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

/// A running curl. Dropping it ends it.
pub struct Curl {
    program: Program,
    page: PipeReader,
    received: Vec<u8>,
}

/// How long curl may take to end, once its page has.
const PATIENCE: Duration = Duration::from_secs(10);

impl Curl {
    /// Asks for `url`, with more options if need be. The page is left in the pipe until
    /// [`Curl::read_now`].
    ///
    /// # Errors
    /// When curl cannot be run.
    pub fn get(url: &str, options: &[&str]) -> io::Result<Curl> {
        let (page, writer) = pipe()?;
        fcntl(&page, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut command = Command::new("curl");
        command
            // No configuration of the user's, no progress meter, errors all the same, no buffer.
            .args(["--disable", "--silent", "--show-error", "--no-buffer", "--noproxy", "*"])
            .args(options)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .env("LC_ALL", "C");
        Ok(Curl { program: Program::start_as_is(command)?, page, received: vec![] })
    }

    /// Takes what is in the pipe now.
    pub fn read_now(&mut self) -> Attempt {
        let mut block = [0; 1 << 16];
        match self.page.read(&mut block) {
            Ok(0) => Attempt::Done,
            Ok(count) => {
                self.received.extend(&block[..count]);
                Attempt::Moved
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Attempt::Idle,
            Err(error) if error.kind() == ErrorKind::Interrupted => Attempt::Moved,
            Err(_) => Attempt::Done,
        }
    }

    /// Waits for its end, once the pipe has ended: exit status, page and words.
    ///
    /// # Errors
    /// When it does not end within 10 s.
    pub fn finish(mut self) -> io::Result<Output> {
        let status = self.program.wait_for_exit(PATIENCE).ok_or(ErrorKind::TimedOut)?;
        let words = self.program.stderr.whole_text(PATIENCE);
        let stderr = words.map_err(|_| ErrorKind::TimedOut)?.into_bytes();
        Ok(Output { status, stdout: self.received, stderr })
    }
}
