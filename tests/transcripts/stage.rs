//! Where a scene is played: an empty directory, free ports, and programs that never outlive it.
//!
//! A command is shown as the reader types it, and run by `sh` in another form. What is run differs so:
//!
//! | shown | run |
//! |---|---|
//! | `cargo run --bin 01-blocking` | `exec …/01-blocking 127.0.0.1:0 127.0.0.1:41017`: without cargo's own lines, on free ports |
//! | `cargo run --bin 05-backpressure -- --kernel=0` | `exec …/05-backpressure --kernel=0 127.0.0.1:0 127.0.0.1:41017` |
//! | `strace … target/debug/01-blocking` | `exec strace … …/01-blocking 127.0.0.1:0 127.0.0.1:41017` |
//! | `cargo lab backend --size 2M` | `exec …/lab backend --size 2M 127.0.0.1:0` |
//! | the same, if a cue says what it sends | `exec …/lab backend --size 2M --cue 127.0.0.1:0` |
//! | `cargo lab client --stall 10` | `exec …/lab client --stall 10 --cue 127.0.0.1:41018` |
//! | `curl http://127.0.0.1:8080/` | `curl http://127.0.0.1:41018/` |
//!
//! A header may say more (`run-as`); there, `{proxy}` is the process id of the proxy, `{answer}` the
//! program that an answer was built to, and `{root}` the repository. [`Stage::renamed`] is the way back.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{PipeWriter, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use lab::experiments::rig::SETTLE;
use lab::experiments::stillness::{Look, Watch};
use lab::kernel::procfs;
use lab::kernel::sockets::{self, Socket};
use lab::kernel::wait::true_within;
use lab::numbers::thousands;
use lab::sent::wire::{CHUNK, Framing, Wire};
use lab::subject::program::Program;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::package::ROOT;
use crate::programs::{lab, steps};
use crate::script::{Scene, fits};

/// The roles in a scene: what listens on port 9000, what listens on port 8080, a client, and the first
/// command of the transcript that leads, if a cue starts it.
pub const ROLES: [&str; 4] = [BACKEND, PROXY, CLIENT, COMMAND];
pub const BACKEND: &str = "backend";
pub const PROXY: &str = "proxy";
pub const CLIENT: &str = "client";
pub const COMMAND: &str = "command";

/// The ports that the reader sees.
const SHOWN: [(&str, &str); 2] = [(PROXY, ":8080"), (BACKEND, ":9000")];

/// The size of the backend's page without `--size`, on the machine where the book was recorded, in bytes.
const PAGE: u64 = 113_246_208;

/// How long anything may take before it counts as never.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Where one scene is played.
pub struct Stage<'s> {
    pub scene: &'s Scene,
    pub directory: TempDir,
    /// The step that an answer has changed, and the program.
    pub answer: Option<(String, PathBuf)>,
    /// What terminals show, by the names of their papers, as far as it is known.
    pub recordings: HashMap<String, String>,
    actors: Vec<Actor>,
}

/// A program that runs while others do.
pub struct Actor {
    role: &'static str,
    /// The command as it is shown.
    command: String,
    program: Program,
    port: Option<u16>,
    /// Where its cues go, while there are any to come.
    cues: Option<PipeWriter>,
}

impl Stage<'_> {
    /// An empty stage.
    pub fn set(scene: &Scene) -> Result<Stage<'_>> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        // An empty configuration, so that curl looks for no other.
        File::create(directory.path().join(".curlrc"))?;
        let (actors, recordings) = (vec![], HashMap::new());
        Ok(Stage { scene, directory, answer: None, recordings, actors })
    }

    /// Starts a program in a terminal of its own. A backend or a proxy listens then.
    pub fn enter(&mut self, role: &'static str, command: &str) -> Result<()> {
        let mut actor = self.start(role, command)?;
        if SHOWN.iter().any(|(of, _)| *of == role) {
            actor.port = Some(actor.wait_for("its address", listening_port)?);
        }
        self.actors.push(actor);
        Ok(())
    }

    /// Runs a command to its end, or waits for the end of the one that has been started: what it
    /// prints, and its exit status.
    pub fn run(&mut self, command: &str) -> Result<(String, i32)> {
        let is_it = |actor: &Actor| actor.role == COMMAND && actor.command == command;
        let mut actor = match self.actors.iter().position(is_it) {
            Some(place) => self.actors.swap_remove(place),
            None => self.start(COMMAND, command)?,
        };
        let status = actor.ended()?;
        let text = actor.program.stdout.text();
        // It stays on the stage, so that its process id is known.
        self.actors.push(actor);
        Ok((text, status))
    }

    fn start(&self, role: &'static str, command: &str) -> Result<Actor> {
        let line = self.actual(role, command)?;
        let mut sh = Command::new("sh");
        sh.args(["-c", &line]).current_dir(self.directory.path());
        // Nothing of cargo's: the laboratory would have the steps built. And no proxy of the user's.
        sh.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        sh.env("LC_ALL", "C").env("CURL_HOME", self.directory.path());
        // Where cargo keeps what it has fetched.
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            sh.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // Without cues, there is nothing to read.
        let (stdin, cues) = pipe()?;
        sh.stdin(stdin);
        let cues = line.contains(" --cue").then_some(cues);
        let program = Program::start_in_terminal(sh).with_context(|| command.to_string())?;
        Ok(Actor { role, command: command.into(), program, port: None, cues })
    }

    /// The command line that is really run; the table above has examples.
    fn actual(&self, role: &str, command: &str) -> Result<String> {
        let mut line = command.to_string();
        for (shown, run) in self.scene.values("run-as").filter_map(|both| both.split_once(" -> ")) {
            line = line.replace(shown, run);
        }
        if let Some(proxy) = self.find(PROXY) {
            line = line.replace("{proxy}", &proxy.program.pid().to_string());
        }
        line = line.replace("{root}", &quoted(Path::new(ROOT)));
        for (role, shown) in SHOWN {
            if line.contains(shown) {
                line = line.replace(shown, &format!(":{}", self.port(role)?));
            }
        }
        line = line.replace("cargo run --bin ", "target/debug/");
        if let Some((before, name)) = line.split_once("target/debug/") {
            let (name, options) = name
                .split_once(" --")
                .map_or((name, String::new()), |it| (it.0, format!(" {}", it.1.trim_start())));
            let answer = self.answer.as_ref().filter(|(step, _)| step == name);
            let path = answer.map_or_else(|| steps().join(name), |(_, program)| program.clone());
            let addresses = format!("127.0.0.1:0 127.0.0.1:{}", self.port(BACKEND)?);
            return Ok(format!("exec {before}{}{options} {addresses}", quoted(&path)));
        }
        if let Some((_, program)) = &self.answer {
            line = line.replace("{answer}", &quoted(program));
        }
        let Some((before, rest)) = line.split_once("cargo lab ") else { return Ok(line) };
        // Alone in its line, a program takes the place of `sh`.
        let exec = if before.is_empty() && !rest.contains('|') { "exec " } else { "" };
        let mut words: Vec<String> = rest.split(' ').map(str::to_string).collect();
        let cues_backend = || self.scene.values("then").any(|cue| cue.starts_with("backend sends"));
        if role == BACKEND && cues_backend() || role == CLIENT && rest.contains("--stall ") {
            words.push("--cue".into());
        }
        match words[0].as_str() {
            "backend" => words.push("127.0.0.1:0".into()),
            "client" if !rest.contains("127.0.0.1:") => {
                words.push(format!("127.0.0.1:{}", self.port(PROXY)?));
            }
            _ => {}
        }
        Ok(format!("{exec}{before}{} {}", quoted(lab()?), words.join(" ")))
    }

    /// Who has this role.
    pub fn actor(&mut self, role: &str) -> Result<&mut Actor> {
        let found = self.actors.iter_mut().find(|actor| actor.role == role);
        found.with_context(|| format!("there is no {role} yet"))
    }

    fn find(&self, role: &str) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.role == role)
    }

    fn port(&self, role: &str) -> Result<u16> {
        self.find(role)
            .and_then(|actor| actor.port)
            .with_context(|| format!("no {role} listens yet"))
    }

    fn sockets(&self) -> Vec<Socket> {
        let ports: Vec<u16> = self.actors.iter().filter_map(|actor| actor.port).collect();
        let mut sockets = sockets::sockets(&ports);
        sockets.retain(|socket| socket.state != sockets::LISTEN);
        sockets
    }

    /// What a terminal shows, with the reader's numbers in it.
    ///
    /// | really | shown |
    /// |---|---|
    /// | `listening on 127.0.0.1:41018, forwarding to 127.0.0.1:41017` | `listening on 127.0.0.1:8080, forwarding to 127.0.0.1:9000` |
    /// | `75497472 page.txt`, the size of the page on this machine | `113246208 page.txt` |
    /// | `strace: Process 731 attached` | `strace: Process 4242 attached` |
    pub fn renamed(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (role, shown) in SHOWN {
            if let Ok(port) = self.port(role) {
                text = text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1{shown}"));
            }
        }
        for actor in &self.actors {
            text = text.replace(&format!("Process {} ", actor.program.pid()), "Process 4242 ");
        }
        // Experiments choose their own ports and tell of them.
        if let Some(stars) = fits("*listens on 127.0.0.1:*; its backend is 127.0.0.1:*.\n*", &text)
        {
            let both = "listens on 127.0.0.1:8080; its backend is 127.0.0.1:9000";
            text = format!("{}{both}.\n{}", stars[0], stars[3]);
        }
        let asks_for_size = |actor: &Actor| actor.command.contains("--size");
        if let (Ok(size), false) = (self.page_size(), self.actors.iter().any(asks_for_size)) {
            text = text.replace(&size.to_string(), &PAGE.to_string());
            text = text.replace(&thousands(size), &thousands(PAGE));
        }
        text
    }

    /// The size of the page that the backend has announced, in bytes.
    pub fn page_size(&self) -> Result<u64> {
        let text = self.find(BACKEND).map(|actor| actor.program.stdout.text()).unwrap_or_default();
        let bytes = text.split_once("a page of ").and_then(|(_, rest)| rest.split_once(" bytes"));
        let bytes = bytes.map(|(bytes, _)| bytes.replace(',', "")).unwrap_or_default();
        bytes.parse().with_context(|| format!("no backend announces a page: {text:?}"))
    }

    /// Says how far the backend may send its response. `None`: to the end.
    pub fn cue(&mut self, end: Option<u64>) -> Result<()> {
        let backend = self.actor(BACKEND)?;
        match (end, &mut backend.cues) {
            (Some(end), Some(cues)) => writeln!(cues, "{end}").context("the backend has gone")?,
            _ => backend.cues = None,
        }
        Ok(())
    }

    /// Lets the backend send until the proxy cannot pass on what it reads, because the client is
    /// stopped and the kernel is full. Each part is less than a read of the proxy, and comes when the
    /// one before is in the kernel's queues: so there is one gap, which goes on to the end.
    ///
    /// ```text
    /// sent   [ part ][ part ] … [ part ][ part ][ rest ]      later: [ everything else
    /// taken  [ part ][ part ] … [ part ][ pa                         [ everything else
    /// ```
    ///
    /// The rest ends 200 bytes before a chunk's header: shortly after the gap comes a header.
    pub fn send_until_bytes_are_lost(&mut self) -> Result<()> {
        const PART: u64 = 60_000;
        let page = Wire::response(Framing::Chunked, self.page_size()?);
        let front = self.port(PROXY)?;
        let queued = |socket: &Socket| match (socket.local, socket.remote) {
            (local, _) if local == front => socket.send_queue,
            (_, remote) if remote == front => socket.receive_queue,
            _ => 0,
        };
        let taken = |stage: &Stage| stage.sockets().iter().map(queued).sum::<u64>();
        for end in (0..page.len()).step_by(PART as usize).skip(1) {
            self.cue(Some(end))?;
            if true_within(Duration::from_millis(100), || taken(self) == end) {
                continue;
            }
            self.until_nothing_moves()?;
            if taken(self) < end {
                let chunk =
                    page.chunk_at(end + 200 + CHUNK + 8).context("the page is too short")?;
                self.cue(Some(chunk.header_at - 200))?;
                return self.until_nothing_moves();
            }
        }
        bail!("the kernel takes the whole page")
    }

    /// Waits until every program sleeps, is stopped or has ended, and no byte moves or is under way.
    pub fn until_nothing_moves(&self) -> Result<()> {
        let pids: Vec<i32> = self.actors.iter().flat_map(|actor| actor.program.family()).collect();
        let mut watch = Watch::default();
        let is_still = || {
            let vitals = procfs::vitals(&pids, false);
            let counters = vec![vitals.cpu_ns()];
            watch.look(SETTLE.at_least, &vitals, counters, false, || self.sockets()) == Look::Still
        };
        in_time(is_still, "something moves all the time")
    }

    /// Waits until everything that was sent has been read.
    pub fn until_queues_are_empty(&self) -> Result<()> {
        let is_empty = || {
            let queued = |socket: &Socket| socket.send_queue + socket.receive_queue;
            self.sockets().iter().all(|socket| queued(socket) == socket.unread_fin())
        };
        in_time(is_empty, "the queues are never empty")
    }

    /// Waits until a file of the scene contains a text.
    pub fn until_file_says(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.path().join(name);
        let says = || fs::read_to_string(&path).is_ok_and(|written| written.contains(text));
        in_time(says, &format!("{name} never says {text:?}"))
    }
}

impl Actor {
    /// Waits until it has written what `look` looks for.
    pub fn wait_for<T>(&self, what: &str, look: impl FnMut(&str) -> Option<T>) -> Result<T> {
        self.program.stdout.wait_for(DEADLINE, look).map_err(|error| {
            let (command, text) = (&self.command, self.program.stdout.text());
            anyhow!("{command}: waiting for {what:?}, but {error}:\n{text}")
        })
    }

    /// Stops it, and waits until it has stopped.
    pub fn stop(&self) -> Result<()> {
        self.program.signal(Signal::SIGSTOP);
        let is_stopped = || self.program.vitals().stopped;
        in_time(is_stopped, "it cannot be stopped")
    }

    /// Sends a signal. There are no more cues then.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.cues = None;
        self.program.signal(signal);
        Ok(())
    }

    /// Waits for its end: its exit status. If it waits for us, it goes on first.
    pub fn ended(&mut self) -> Result<i32> {
        self.cues = None;
        let whole = self.program.stdout.whole_text(DEADLINE).ok();
        let status = whole.and_then(|_| self.program.wait_for_exit(DEADLINE));
        let status = status.with_context(|| format!("{} does not end", self.command))?;
        Ok(status.code().unwrap_or(-1))
    }

    /// Its terminal as it is now.
    pub fn terminal(&self) -> String {
        format!("$ {}\n{}", self.command, self.program.stdout.text())
    }
}

/// The port that a program says it listens on.
fn listening_port(text: &str) -> Option<u16> {
    // Whole lines only: half a line may hold half a port.
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let said = |line: &&str| line.contains("listening on ") || line.contains("Serving HTTP on ");
    let mut addresses = lines.filter(said).filter_map(|line| line.split("127.0.0.1:").nth(1));
    addresses.find_map(|rest| rest.split([',', ':', '/']).next()?.trim().parse().ok())
}

/// Waits until something is true, and says what is wrong if it never is.
fn in_time(is_true: impl FnMut() -> bool, what: &str) -> Result<()> {
    ensure!(true_within(DEADLINE, is_true), "{what}");
    Ok(())
}

/// A path as one word for `sh`.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
