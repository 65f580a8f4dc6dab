//! The proxy under test: any program that can be started by a command.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::kernel::net::ReservedPort;
use crate::kernel::procfs::{self, Vitals};

/// How to start a proxy.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What it is called in reports.
    pub name: String,
    /// Program and arguments, with the placeholders `{listen}`, `{backend}`, `{listen_port}` and
    /// `{backend_port}`.
    pub command: Vec<String>,
    /// Whether it takes port 0 and says in its first line which port that became.
    pub announces: bool,
    /// How long it may take until it listens.
    pub patience: Duration,
}

impl Spec {
    /// A step of the workbook, by the path of its binary.
    pub fn step(path: impl Into<PathBuf>) -> Spec {
        let path = path.into();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let command = vec![path.to_string_lossy().into(), "{listen}".into(), "{backend}".into()];
        Spec { name, command, announces: true, patience: PATIENCE }
    }

    /// Any program. Its name is that of the file.
    pub fn foreign(command: Vec<String>) -> Spec {
        let name = command.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
        Spec { name: name.to_string_lossy().into(), command, announces: false, patience: PATIENCE }
    }
}

/// How long a program may take until it listens, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no proxy to test.
#[derive(Clone, Debug)]
pub enum StartFailure {
    /// The program could not be run at all.
    NotRun(String),
    /// It ended before it listened.
    Exited(String),
    /// It lives, but nothing listens.
    NeverListened(String),
}

/// A running proxy. Dropping it ends its whole process group.
pub struct Proxy {
    child: Child,
    group: Pid,
    /// Where it listens.
    pub address: SocketAddr,
    stderr: Arc<Mutex<Tail>>,
    /// Sets its processes apart from all others, wherever they have gone.
    marker: String,
    family: Mutex<Family>,
    _port: Option<ReservedPort>,
}

/// The processes of a proxy, as last seen.
struct Family {
    searched: Instant,
    asked: Instant,
    members: Vec<i32>,
}

/// The end of what a program has said.
#[derive(Default)]
struct Tail(Vec<u8>);

/// Groups that must not outlive this process, for [`end_all`].
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(vec![]);

/// Ends every proxy that still runs. For the moment before the laboratory itself is ended.
pub fn end_all() {
    for group in GROUPS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter() {
        let _ = killpg(*group, Signal::SIGKILL);
    }
}

impl Proxy {
    /// Starts a proxy in front of `backend` and waits until it listens.
    ///
    /// # Errors
    /// When the program cannot be run, ends, or does not listen in time. It is ended then.
    pub fn start(spec: &Spec, backend: SocketAddr) -> Result<Proxy, StartFailure> {
        let not_run = |error: io::Error| StartFailure::NotRun(error.to_string());
        let port = (!spec.announces).then(ReservedPort::new).transpose().map_err(not_run)?;
        let listen_port = port.as_ref().map_or(0, |port| port.port);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, listen_port));
        let mut words = spec.command.iter().map(|word| {
            word.replace("{listen}", &listen.to_string())
                .replace("{backend}", &backend.to_string())
                .replace("{listen_port}", &listen_port.to_string())
                .replace("{backend_port}", &backend.port().to_string())
        });
        let program = words.next().ok_or_else(|| StartFailure::NotRun("no command".into()))?;
        let marker = format!("{}-{:x}", std::process::id(), unique());
        let mut command = Command::new(&program);
        command
            .args(words)
            .env(MARKER, &marker)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl(2) is a
        // single system call that touches no memory of ours.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
        }
        let mut child =
            command.spawn().map_err(|error| StartFailure::NotRun(format!("{program}: {error}")))?;
        let group = Pid::from_raw(child.id() as i32);
        GROUPS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(group);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let announced = listen_for_address(stdout.expect("stdout is piped"));
        let stderr = collect(stderr.expect("stderr is piped"));
        let now = Instant::now();
        let members = vec![group.as_raw()];
        let family = Mutex::new(Family { searched: now, asked: now, members });
        let address = listen;
        let mut proxy = Proxy { child, group, address, stderr, marker, family, _port: port };
        proxy.wait_until_listening(spec, &announced)?;
        Ok(proxy)
    }

    fn wait_until_listening(
        &mut self,
        spec: &Spec,
        announced: &Receiver<SocketAddr>,
    ) -> Result<(), StartFailure> {
        let begun = Instant::now();
        loop {
            match announced.recv_timeout(Duration::from_millis(2)) {
                Ok(address) if spec.announces => {
                    self.address = address;
                    return Ok(());
                }
                // Its output has ended: wait without it.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(2)),
                _ => {}
            }
            if !spec.announces && procfs::listens_in(self.address.port()).is_some() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let mut how = describe(status);
                if status.success() {
                    how += " (a proxy must stay in the foreground)";
                }
                return Err(StartFailure::Exited(self.with_last_words(&how)));
            }
            if begun.elapsed() > spec.patience {
                let how = format!("nothing listened after {:.1} s", spec.patience.as_secs_f64());
                return Err(StartFailure::NeverListened(self.with_last_words(&how)));
            }
        }
    }

    /// How the program ended, if it has.
    pub fn exited(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(describe)
    }

    /// `what`, and the last line that the program wrote to stderr.
    pub fn with_last_words(&self, what: &str) -> String {
        match self.last_words() {
            words if words.is_empty() => format!("{what}; it wrote nothing to stderr"),
            words => format!("{what}; its last words on stderr: {words}"),
        }
    }

    /// What the end of the program's stderr says.
    fn last_words(&self) -> String {
        // The program has ended or is idle: what it wrote arrives at once, but in another thread.
        let begun = Instant::now();
        loop {
            let tail = self.stderr.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let text = String::from_utf8_lossy(&tail.0);
            if let Some(words) = telling_words(&text) {
                return words;
            }
            drop(tail);
            if begun.elapsed() > Duration::from_millis(100) {
                return String::new();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that the program wrote to stderr, up to the last 64 KiB.
    pub fn stderr(&self) -> String {
        let tail = self.stderr.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        String::from_utf8_lossy(&tail.0).into_owned()
    }

    /// Its processes. Children are looked for at most every 50 ms, and every second in the whole
    /// process table, where those show that have left their parents.
    pub fn family(&self) -> Vec<i32> {
        let mut family = self.family.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if family.searched.elapsed() > Duration::from_secs(1) {
            let members = procfs::family(self.group.as_raw());
            *family = Family { searched: Instant::now(), asked: Instant::now(), members };
        } else if family.asked.elapsed() > Duration::from_millis(50) {
            family.members = procfs::with_children(&family.members);
            family.asked = Instant::now();
        }
        family.members.clone()
    }

    /// What its threads do.
    pub fn vitals(&self) -> Vitals {
        procfs::vitals(&self.family(), false)
    }

    /// What its threads do, with memory and descriptors.
    pub fn full_vitals(&self) -> Vitals {
        procfs::vitals(&procfs::family(self.group.as_raw()), true)
    }

    /// Sends a signal to the whole group.
    ///
    /// # Errors
    /// Those of killpg(3): the group is gone.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        killpg(self.group, signal)
    }

    /// Asks the group to end, then makes it; then whatever of it has gone elsewhere.
    fn end(&mut self) {
        let _ = self.signal(Signal::SIGCONT);
        let _ = self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) && self.exited().is_none() {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
        let mark = format!("{MARKER}={}", self.marker);
        for process in procfs::processes() {
            let environment =
                fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            if environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes()) {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
        GROUPS
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .retain(|&group| group != self.group);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

/// The environment variable by which a proxy's processes are known.
const MARKER: &str = "DROPPED_WRITE_LAB";

fn unique() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(Ok(signal))) => format!("it was ended by {signal}"),
        _ => format!("it ended: {status}"),
    }
}

/// The line that tells why a program ended: the last one that names an error, as languages do above a
/// stack trace or a hint; without one, the last that is not empty.
fn telling_words(stderr: &str) -> Option<String> {
    /// What a program wrote long before it ended is not why it ended.
    const LAST_LINES: usize = 40;
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let names_error = |line: &&str| {
        line.contains("Error: ")
            || line.contains("Exception: ")
            || line.contains(" panicked at ")
            || line.starts_with("panic: ")
    };
    let told = last.iter().rposition(names_error);
    let words = match told {
        // Rust puts the message on the next line.
        Some(at) if last[at].ends_with(':') && at + 1 < last.len() => {
            format!("{} {}", last[at], last[at + 1])
        }
        Some(at) => last[at].to_string(),
        None => last.last()?.to_string(),
    };
    Some(words)
}

/// Reads lines until one names the address listened on; then keeps the pipe empty.
fn listen_for_address(stdout: ChildStdout) -> Receiver<SocketAddr> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let address = line.strip_prefix("listening on ").and_then(|rest| {
                rest.split([',', ' ']).next().and_then(|address| address.parse().ok())
            });
            if let Some(address) = address {
                let _ = sender.send(address);
            }
        }
    });
    receiver
}

fn collect(mut stderr: ChildStderr) -> Arc<Mutex<Tail>> {
    let tail = Arc::new(Mutex::new(Tail::default()));
    let shared = tail.clone();
    thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut block) {
            let mut tail = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            tail.0.extend(&block[..count]);
            let surplus = tail.0.len().saturating_sub(64 * 1024);
            tail.0.drain(..surplus);
        }
    });
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_told_are_those_that_name_the_error() {
        let node = "      throw er;\n      ^\n\nError: read ECONNRESET\n    at TCP.onStreamRead\n}\n\nNode.js v20\n";
        let rust = "thread 'main' panicked at src/main.rs:7:5:\nindex out of bounds\nnote: run with `RUST_BACKTRACE=1`\n";
        let python = "Traceback:\n  File \"a.py\"\nConnectionResetError: [Errno 104]\n";
        let told = |text| telling_words(text).unwrap_or_default();
        assert_eq!(told(node), "Error: read ECONNRESET");
        assert_eq!(told(rust), "thread 'main' panicked at src/main.rs:7:5: index out of bounds");
        assert_eq!(told(python), "ConnectionResetError: [Errno 104]");
        assert_eq!(told("one\nbind: in use\n\n"), "bind: in use");
        assert_eq!(telling_words("\n \n"), None);
    }
}
