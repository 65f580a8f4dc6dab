//! curl as a client that stops and goes: it writes the page to a pipe, and while nobody reads the
//! pipe, curl does not read its socket.

use std::io::{self, ErrorKind, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::ends::Attempt;

/// A version of curl: major, minor, patch.
pub type Version = (u32, u32, u32);

/// Versions whose words for damaged chunks are those recorded here: `… in chunked-encoding` came
/// with 7.36.0, and 8.x words some of them differently.
pub const RECORDED: std::ops::Range<Version> = (7, 36, 0)..(8, 0, 0);

/// The version of the installed curl; `None` where there is none.
pub fn version() -> Option<Version> {
    let output = Command::new("curl").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_ascii_whitespace().nth(1)?.split(['.', '-']).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

/// A running curl. Dropping it ends it.
pub struct Curl {
    child: Child,
    page: ChildStdout,
    received: Vec<u8>,
}

impl Curl {
    /// Asks for `url`, with more options if need be. The page is left in the pipe until
    /// [`Curl::read_now`].
    ///
    /// # Errors
    /// When curl cannot be run.
    pub fn get(url: &str, options: &[&str]) -> io::Result<Curl> {
        let mut child = Command::new("curl")
            // No configuration of the user's, no progress meter, errors all the same, no buffer.
            .args(["--disable", "--silent", "--show-error", "--no-buffer", "--noproxy", "*"])
            .args(options)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("LC_ALL", "C")
            .spawn()?;
        let page = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        fcntl(&page, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Curl { child, page, received: vec![] })
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
    /// Those of waiting.
    pub fn finish(mut self) -> io::Result<Output> {
        let mut stderr = vec![];
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_end(&mut stderr)?;
        }
        let status = self.child.wait()?;
        Ok(Output { status, stdout: std::mem::take(&mut self.received), stderr })
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
