//! The proxy under test: any program that a command can start.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::kernel::net::ReservedPort;
use crate::kernel::procfs::{self, Stat, Times, Vitals};
use crate::kernel::sockets::{self, Socket};
use crate::kernel::wait::find_within;
use crate::subject::program::{Program, Signal};

/// How to start a proxy.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What it is called in reports.
    pub name: String,
    /// Program and arguments. `{listen}`, `{backend}`, `{listen_port}` and `{backend_port}` in them are
    /// replaced by addresses and ports.
    pub command: Vec<String>,
    /// Whether it is a step of the workbook: then its manifest says what is expected of it.
    pub is_step: bool,
    /// Whether it can listen on port 0, and prints a line that says which port that has become.
    pub announces: bool,
    /// How long it may take until it listens.
    pub patience: Duration,
    /// How many clients may stall at a time where an experiment asks for as many as fit.
    pub crowd: u64,
}

impl Spec {
    /// A step of the workbook, by the path of its binary.
    pub fn step(path: impl Into<PathBuf>) -> Spec {
        let path = path.into();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let command = vec![path.to_string_lossy().into(), "{listen}".into(), "{backend}".into()];
        Spec { name, command, is_step: true, announces: true, patience: PATIENCE, crowd: CROWD }
    }

    /// Any program. Its name is that of the file.
    pub fn foreign(command: Vec<String>) -> Spec {
        let name = command.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
        let name = name.to_string_lossy().into();
        Spec { name, command, is_step: false, announces: false, patience: PATIENCE, crowd: CROWD }
    }
}

/// How long a program may take until it listens, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How many clients may stall at a time, unless told otherwise: enough for a mean, and done in some seconds.
pub const CROWD: u64 = 100;

/// A running proxy. Dropping it asks it to end, and kills it and all its processes if it does not.
pub struct Proxy {
    program: Program,
    /// Where it listens.
    pub address: SocketAddr,
    family: Mutex<Family>,
    _port: Option<ReservedPort>,
    /// Removed when the program has ended: fields are dropped in their order.
    scratch: Option<TempDir>,
}

/// The environment variable that names a directory for the files of a program that is no step. It is made
/// anew for each start and removed afterward.
pub const SCRATCH: &str = "LAB_SCRATCH";

/// The processes of a proxy, as last seen.
struct Family {
    searched: Instant,
    asked: Instant,
    members: Vec<i32>,
}

impl Proxy {
    /// Starts a proxy in front of `backend` and waits until it listens. Fails when the program cannot
    /// be run, ends, or does not listen in time; it is ended then. The error is a sentence about "it".
    pub fn start(spec: &Spec, backend: SocketAddr) -> Result<Proxy, String> {
        let not_run = |why: String| format!("it could not be run: {why}");
        let port = (!spec.announces).then(ReservedPort::new).transpose();
        let port = port.map_err(|error| not_run(error.to_string()))?;
        let listen_port = port.as_ref().map_or(0, |port| port.port);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, listen_port));
        let mut words = spec.command.iter().map(|word| {
            word.replace("{listen}", &listen.to_string())
                .replace("{backend}", &backend.to_string())
                .replace("{listen_port}", &listen_port.to_string())
                .replace("{backend_port}", &backend.port().to_string())
        });
        let program = words.next().ok_or_else(|| not_run("no command".into()))?;
        let mut command = Command::new(&program);
        command.args(words).process_group(0);
        let scratch = (!spec.is_step).then(tempfile::tempdir).transpose();
        let scratch = scratch.map_err(|error| not_run(error.to_string()))?;
        if let Some(scratch) = &scratch {
            command.env(SCRATCH, scratch.path());
        }
        let program =
            Program::start(command).map_err(|error| not_run(format!("{program}: {error}")))?;
        let now = Instant::now();
        let members = vec![program.pid()];
        let family = Mutex::new(Family { searched: now, asked: now, members });
        let mut proxy = Proxy { program, address: listen, family, _port: port, scratch };
        proxy.wait_until_listening(spec)?;
        proxy.adopt_listener();
        Ok(proxy)
    }

    /// A program may have started its daemon in a way that hides where it comes from. The process
    /// that holds the socket where we said it should listen is the proxy, if it is younger than the program.
    fn adopt_listener(&mut self) {
        let listeners = self.own_sockets(None);
        let held = procfs::socket_inodes(&self.program.family());
        if listeners.iter().any(|socket| held.contains(&socket.inode)) {
            return;
        }
        let holders = listeners.iter().filter_map(|socket| procfs::holder_of(socket.inode));
        for holder in holders.collect::<Vec<_>>() {
            self.program.adopt(holder.pid);
        }
        self.family.lock().members = self.program.family();
    }

    /// Its sockets: those that listen, and its ends of the connections to clients and to a backend on
    /// that port.
    fn own_sockets(&self, backend_port: Option<u16>) -> Vec<Socket> {
        let port = self.address.port();
        let ports: Vec<u16> = backend_port.into_iter().chain([port]).collect();
        let mut sockets = sockets::sockets(&ports);
        sockets.retain(|socket| socket.local == port || Some(socket.remote) == backend_port);
        sockets
    }

    /// Why its memory, descriptors and processor time say nothing: some of its sockets are held by a
    /// process that is none of its own. `None`: all of them are its own.
    pub fn unsampled(&self, backend_port: u16) -> Option<String> {
        let held = procfs::socket_inodes(&self.program.family());
        let strange = |socket: &&Socket| socket.inode != 0 && !held.contains(&socket.inode);
        let sockets = self.own_sockets(Some(backend_port));
        // A socket that was just closed or handed over is looked for once more.
        let inode = sockets.iter().find(strange)?.inode;
        let still = self.own_sockets(Some(backend_port)).iter().any(|it| it.inode == inode);
        let holder = procfs::holder_of(inode);
        let is_own = holder.as_ref().is_some_and(|it| self.program.family().contains(&it.pid));
        if !still || is_own {
            return None;
        }
        let what = "the command did not start the process that holds its sockets";
        Some(match holder {
            Some(Stat { pid, comm, .. }) => format!("{what} ({comm}, process {pid})"),
            None => format!("{what}, or it may not be looked into"),
        })
    }

    /// Whether one of its threads may go on by itself after some time.
    pub fn may_go_on_alone(&self) -> bool {
        procfs::may_go_on_alone(&self.family())
    }

    fn wait_until_listening(&mut self, spec: &Spec) -> Result<(), String> {
        let port = self.address.port();
        let ended = find_within(spec.patience, || {
            let listening = match spec.announces {
                true => announced(&self.program.stdout.text()),
                false => sockets::is_listening(port).then_some(self.address),
            };
            match listening {
                Some(address) => Some(Ok(address)),
                None => self.program.exited().map(Err),
            }
        });
        match ended {
            Some(Ok(address)) => {
                self.address = address;
                Ok(())
            }
            Some(Err(status)) => {
                let mut how = format!("it ended before it listened: {}", describe(status));
                if status.success() {
                    how += " (a proxy must stay in the foreground)";
                }
                Err(self.with_last_words(&how))
            }
            None => {
                let seconds = spec.patience.as_secs_f64();
                let how = format!("it never listened: nothing listened after {seconds:.1} s");
                Err(self.with_last_words(&how))
            }
        }
    }

    /// How the program ended, if it has.
    pub fn exited(&mut self) -> Option<String> {
        self.program.exited().map(describe)
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.program.stderr.text()
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
        // A program that has ended or is idle has written it all, but another thread reads it.
        let soon = Duration::from_millis(100);
        find_within(soon, || telling_words(&self.program.stderr.text())).unwrap_or_default()
    }

    /// Its processes. New children are looked for at most every 50 ms. Once a second the whole table of
    /// processes is searched, to find those whose parent has ended.
    pub fn family(&self) -> Vec<i32> {
        let mut family = self.family.lock();
        if family.searched.elapsed() > Duration::from_secs(1) {
            let members = self.program.family();
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

    /// The bytes in the files that it holds open, and in its directory.
    pub fn file_bytes(&self) -> u64 {
        procfs::file_bytes(&self.family(), self.scratch.as_ref().map(TempDir::path))
    }

    /// What its threads have had of processors so far, by their ids.
    pub fn processor_times(&self) -> BTreeMap<i32, Times> {
        procfs::processor_times(&self.family())
    }

    /// What its threads do, with memory and descriptors.
    pub fn full_vitals(&self) -> Vitals {
        self.program.vitals()
    }

    /// Sends a signal to all its processes.
    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }
}

impl Drop for Proxy {
    /// Gives it a moment to end in order, as a proxy with workers or temporary files would.
    fn drop(&mut self) {
        if self.program.exited().is_none() {
            self.signal(Signal::SIGCONT);
            self.signal(Signal::SIGTERM);
            self.program.wait_for_exit(Duration::from_millis(300));
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(Ok(signal))) => format!("it was ended by {signal}"),
        _ => format!("it ended: {status}"),
    }
}

/// The line that says why a program ended: the last one that names an error, because many languages
/// print a stack trace or a hint below it. If none does, the last line that is not empty.
fn telling_words(stderr: &str) -> Option<String> {
    /// What a program wrote long before it ended is not the reason.
    const LAST_LINES: usize = 40;
    let lines: Vec<_> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let names_error = |line: &&str| {
        let names = ["Error: ", "Exception: ", " panicked at "];
        names.iter().any(|name| line.contains(name)) || line.starts_with("panic: ")
    };
    match last.iter().rposition(names_error).map(|at| &last[at..]) {
        // Rust prints the message on the next line.
        Some([told, message, ..]) if told.ends_with(':') => Some(format!("{told} {message}")),
        Some([told, ..]) => Some(told.to_string()),
        _ => last.last().map(|line| line.to_string()),
    }
}

/// The address that the program says it listens on, in a whole line of its output.
fn announced(output: &str) -> Option<SocketAddr> {
    let lines = output.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let mut rests = lines.filter_map(|line| line.strip_prefix("listening on "));
    rests.find_map(|rest| rest.split([',', ' ', '\n']).next()?.parse().ok())
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
