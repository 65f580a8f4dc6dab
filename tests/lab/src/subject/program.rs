//! Any program that was started: what it writes, what its processes do, and its end.
//!
//! It never outlives its owner. Dropping a [`Program`] kills it and all that it has started, and the
//! kernel kills it when the thread that started it ends in any other way. So the thread that starts a
//! program must live as long as the program is wanted.

use std::io::{self, Read, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
pub use nix::sys::signal::Signal;
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;
use parking_lot::{Condvar, Mutex};

use crate::kernel::procfs::{self, Stat, Vitals};
use crate::kernel::wait::{find_within, true_within};

/// A program that was started.
pub struct Program {
    child: Child,
    /// What it writes to stdout; all that it writes, if it was started in a terminal.
    pub stdout: Output,
    /// What it writes to stderr.
    pub stderr: Output,
    roots: Roots,
}

/// Where the search for a program's processes begins.
#[derive(Clone)]
struct Roots {
    /// Its first process.
    leader: i32,
    /// The entry in the environment of its processes, [`MARKER`]`=…`.
    mark: String,
    /// Processes that belong to it although neither parents nor environment say so.
    adopted: Vec<i32>,
}

impl Roots {
    fn family(&self) -> Vec<Stat> {
        let roots = [&[self.leader], &self.adopted[..]].concat();
        procfs::family(&roots, &self.mark)
    }

    fn signal(&self, signal: Signal) {
        // Found before the signal is sent: a child whose parent was killed is no longer its child.
        let family = self.family();
        send(Pid::from_raw(self.leader), signal);
        // The group has it already.
        let others = family.iter().filter(|other| ![other.pid, other.pgrp].contains(&self.leader));
        for other in others {
            let _ = kill(Pid::from_raw(other.pid), signal);
        }
    }
}

/// The environment variable that marks a program's processes. It also finds those that have left their
/// parent and their process group, as daemons do.
const MARKER: &str = "DROPPED_WRITE_LAB";

/// The programs that run, for [`kill_all`].
static RUNNING: Mutex<Vec<Roots>> = Mutex::new(vec![]);

/// Kills every program that runs, with all that they have started, for the moment before this process
/// itself is ended by a signal. Nobody can start another one afterward.
pub fn kill_all() {
    let running = RUNNING.lock();
    // More than once, because a process may have started another one while we looked elsewhere.
    true_within(Duration::from_secs(1), || {
        running.iter().for_each(|roots| roots.signal(Signal::SIGKILL));
        running.iter().all(|roots| roots.family().is_empty())
    });
    std::mem::forget(running);
}

/// To the process group that `pid` leads, or to `pid` alone if it leads none.
fn send(pid: Pid, signal: Signal) {
    if killpg(pid, signal).is_err() {
        // An error means that it has ended, which is what a signal can be too late for.
        let _ = kill(pid, signal);
    }
}

impl Program {
    /// Starts a command with nothing to read on stdin. What it writes to stdout and to stderr is read
    /// all the time, so that it never waits for us. Fails when the command cannot be run, like the two
    /// functions below.
    pub fn start(mut command: Command) -> io::Result<Program> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Program::start_as_is(command)
    }

    /// Starts a command with both outputs in one, in [`Program::stdout`], in the order in which they
    /// are written: what a terminal shows. What it reads on stdin is for the caller to choose.
    pub fn start_in_terminal(mut command: Command) -> io::Result<Program> {
        let (reader, writer) = pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut program = Program::start_as_is(command)?;
        program.stdout = Output::follow(reader);
        Ok(program)
    }

    /// Starts a command whose stdin, stdout and stderr the caller has chosen. An output is read here
    /// if it is a new pipe (`Stdio::piped()`); else it shows nothing.
    pub fn start_as_is(mut command: Command) -> io::Result<Program> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mark = format!("{}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        command.env(MARKER, &mark);
        let mark = format!("{MARKER}={mark}");
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl(2) is a
        // single system call that touches no memory of ours.
        unsafe {
            command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
        }
        // A program must not run before `kill_all` can know of it.
        let mut running = RUNNING.lock();
        let mut child = command.spawn()?;
        let roots = Roots { leader: child.id() as i32, mark, adopted: vec![] };
        running.push(roots.clone());
        drop(running);
        let stdout = child.stdout.take().map_or_else(Output::nothing, Output::follow);
        let stderr = child.stderr.take().map_or_else(Output::nothing, Output::follow);
        Ok(Program { child, stdout, stderr, roots })
    }

    /// The id of its first process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end. `None`: it did not end within `patience`.
    pub fn wait_for_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        find_within(patience, || self.exited())
    }

    /// Its processes: the first one, its process group if it leads one, those that carry its mark in
    /// their environment, and all their descendants.
    pub fn family(&self) -> Vec<i32> {
        self.roots.family().iter().map(|process| process.pid).collect()
    }

    /// Counts `pid` and its descendants among its processes from now on, if it was started later than
    /// the program itself. Says whether it was.
    pub fn adopt(&mut self, pid: i32) -> bool {
        let started = |pid| procfs::process(pid).map(|process| process.starttime);
        let is_later = started(pid).is_some_and(|time| Some(time) >= started(self.pid()));
        if is_later {
            self.roots.adopted.push(pid);
            let leader = self.pid();
            let mut running = RUNNING.lock();
            running.iter_mut().filter(|it| it.leader == leader).for_each(|it| it.adopted.push(pid));
        }
        is_later
    }

    /// What its processes do, with their memory and descriptors.
    pub fn vitals(&self) -> Vitals {
        procfs::vitals(&self.family(), true)
    }

    /// The state of its first process, as in proc_pid_stat(5). `None`: it is gone.
    pub fn state(&self) -> Option<char> {
        procfs::process(self.pid()).map(|process| process.state)
    }

    /// Sends a signal to all its processes.
    pub fn signal(&self, signal: Signal) {
        self.roots.signal(signal);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After its exit status has been read, the kernel may give its id to another process.
        if self.exited().is_none() {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
        let own = self.pid();
        let left = self.roots.family().into_iter().map(|process| process.pid);
        // The kernel may have given the id of the first one to another process by now.
        for pid in left.filter(|pid| *pid != own) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        RUNNING.lock().retain(|roots| roots.leader != own);
    }
}

/// What a program has written so far. A thread keeps reading it.
pub struct Output {
    /// With the event that it grew or ended.
    shared: Arc<(Mutex<Written>, Condvar)>,
    /// How many bytes [`Output::next_line`] has handed out.
    taken: usize,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    /// Bytes that came before `bytes` and are no longer kept.
    dropped: usize,
    ended: bool,
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The most that is kept of an output, in bytes. A program that writes more is remembered by its end.
const KEPT: usize = 4 << 20;

/// Why waiting for an output was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum WaitError {
    #[strum(to_string = "the output has ended")]
    Ended,
    #[strum(to_string = "it takes too long")]
    TooLong,
}

impl Output {
    /// Reads `reader` to its end, in a thread of its own.
    pub fn follow(mut reader: impl Read + Send + 'static) -> Output {
        let output = Output::new(Written::default());
        let shared = output.shared.clone();
        thread::spawn(move || {
            let mut block = [0; 1 << 16];
            loop {
                let count = match reader.read(&mut block) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read.unwrap_or(0),
                };
                let mut written = shared.0.lock();
                written.bytes.extend(&block[..count]);
                if written.bytes.len() > KEPT {
                    let surplus = written.bytes.len() - KEPT / 2;
                    written.bytes.drain(..surplus);
                    written.dropped += surplus;
                }
                written.ended = count == 0;
                shared.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        output
    }

    /// An output that has ended before it began.
    fn nothing() -> Output {
        Output::new(Written { ended: true, ..Written::default() })
    }

    fn new(written: Written) -> Output {
        Output { shared: Arc::new((Mutex::new(written), Condvar::new())), taken: 0 }
    }

    /// All that was written so far.
    pub fn text(&self) -> String {
        self.shared.0.lock().text()
    }

    /// Whether the output has ended: no process can write to it anymore.
    pub fn has_ended(&self) -> bool {
        self.shared.0.lock().ended
    }

    /// Waits until `look` finds what it looks for in all that was written so far. Fails when the output
    /// has ended without it, or it takes longer than `patience`.
    pub fn wait_for<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, WaitError> {
        self.wait(patience, |written| look(&written.text()))
    }

    /// Waits for the end of the output, and returns all of it. Fails when that takes longer than
    /// `patience`.
    pub fn whole_text(&self, patience: Duration) -> Result<String, WaitError> {
        self.wait(patience, |written| written.ended.then(|| written.text()))
    }

    /// Waits for the next line, and returns it without its line end. Fails when there are no more
    /// lines, or it takes longer than `patience`.
    pub fn next_line(&mut self, patience: Duration) -> Result<String, WaitError> {
        let taken = self.taken;
        let (line, taken) = self.wait(patience, |written| {
            let left = &written.bytes[taken.saturating_sub(written.dropped)..];
            let (line, end) = match left.iter().position(|&byte| byte == b'\n') {
                Some(at) => (&left[..at], at + 1),
                None if written.ended && !left.is_empty() => (left, left.len()),
                None => return None,
            };
            let taken = taken.max(written.dropped) + end;
            Some((String::from_utf8_lossy(line).into_owned(), taken))
        })?;
        self.taken = taken;
        Ok(line)
    }

    /// The lines that are left, up to the end of the output. Fails when that, or any line, takes longer
    /// than `patience`.
    pub fn remaining_lines(&mut self, patience: Duration) -> Result<Vec<String>, WaitError> {
        let mut lines = vec![];
        loop {
            match self.next_line(patience) {
                Err(WaitError::Ended) => return Ok(lines),
                line => lines.push(line?),
            }
        }
    }

    fn wait<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&Written) -> Option<T>,
    ) -> Result<T, WaitError> {
        let deadline = Instant::now() + patience;
        let (written, grew) = &*self.shared;
        let mut written = written.lock();
        loop {
            if let Some(found) = look(&written) {
                return Ok(found);
            }
            if written.ended {
                return Err(WaitError::Ended);
            }
            if grew.wait_until(&mut written, deadline).timed_out() {
                return look(&written).ok_or(WaitError::TooLong);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::wait::true_within;

    const SECONDS: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_end() {
        let mut program = Program::start(shell("echo one; echo two; printf three")).unwrap();
        assert_eq!(program.stdout.next_line(SECONDS).unwrap(), "one");
        assert_eq!(program.stdout.remaining_lines(SECONDS).unwrap(), ["two", "three"]);
        assert_eq!(program.stdout.next_line(SECONDS), Err(WaitError::Ended));
        assert!(program.wait_for_exit(SECONDS).unwrap().success());
    }

    #[test]
    fn a_terminal_shows_both_outputs_in_order() {
        let program = Program::start_in_terminal(shell("echo a; echo b >&2; echo c")).unwrap();
        let whole = |text: &str| (text == "a\nb\nc\n").then_some(());
        assert_eq!(program.stdout.wait_for(SECONDS, whole), Ok(()));
    }

    #[test]
    fn a_signal_reaches_what_the_program_has_started() {
        let program = Program::start(shell("sleep 60 & echo; wait")).unwrap();
        assert_eq!(program.stdout.wait_for(SECONDS, |text| text.find('\n')), Ok(0));
        let family = program.family();
        assert_eq!(family.len(), 2);
        program.signal(Signal::SIGSTOP);
        let state = |pid: &i32| procfs::process(*pid).map_or('X', |process| process.state);
        assert!(true_within(SECONDS, || family.iter().all(|pid| state(pid) == 'T')));
        drop(program);
        assert!(true_within(SECONDS, || family.iter().all(|pid| "XZ".contains(state(pid)))));
    }
}
