//! Where a scene is played: an empty directory, free ports, and programs that never outlive it.
//!
//! A command is shown as the reader types it, and run by `sh` in another form. What is run differs so:
//!
//! | shown | run | because |
//! |---|---|---|
//! | `cargo run --bin 01-blocking` | `exec …/01-blocking 127.0.0.1:0 127.0.0.1:41017` | cargo would print lines of its own, and ports must be free |
//! | `strace … target/debug/01-blocking` | `exec strace … …/01-blocking 127.0.0.1:0 127.0.0.1:41017` | the same |
//! | `cargo lab backend --size 2M` | `exec …/lab backend --size 2M 127.0.0.1:0` | the same |
//! | … where cues lead it | `… --cue`, and no `--rate` | it goes on when the scene says so, and not by the clock |
//! | `cargo lab client --stall 10` | `exec …/lab client --stall 10 --cue 127.0.0.1:41018` | the same |
//! | `curl http://127.0.0.1:8080/` | `curl http://127.0.0.1:41018/` | the proxy's real port |
//! | whatever a `run-as` line names | what it says; `{proxy}` is the process id of the proxy, `{answer}` the program built from the answer | |
//!
//! In what is shown the real ports become 8080 and 9000 again, and so on: see [`Stage::renamed`].

use std::fs::{self, File};
use std::io::{PipeWriter, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::kernel::procfs::{self, Tables};
use lab::kernel::wait::{find_within, true_within};
use lab::numbers::thousands;
use lab::sent::wire::{CHUNK, Framing, Wire};
use lab::subject::program::Program;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::programs::{lab, steps};
use crate::script::{Role, Scene};

/// How long anything may take before it counts as never.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// What goes wrong on a stage, in a sentence.
pub type Result<T> = std::result::Result<T, String>;

/// The root of the repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The ports that the reader sees.
const SHOWN: [(Role, &str); 2] =
    [(Role::Proxy, "127.0.0.1:8080"), (Role::Backend, "127.0.0.1:9000")];

/// The size of a backend's page where none is asked for, on the machine of which the book tells.
const PAGE: u64 = 113_246_208;

/// Where one scene is played.
pub struct Stage<'s> {
    scene: &'s Scene,
    pub directory: TempDir,
    /// The step that an answer has changed, and the program.
    pub answer: Option<(String, PathBuf)>,
    /// The programs in other terminals, and the command that `command starts` has started.
    pub actors: Vec<Actor>,
}

/// A program that runs while others do.
pub struct Actor {
    pub role: Role,
    /// The command as it is shown.
    pub command: String,
    pub program: Program,
    port: Option<u16>,
    /// Where the cues go, while there are any to come.
    cues: Option<PipeWriter>,
}

impl Stage<'_> {
    /// An empty stage.
    pub fn set(scene: &Scene) -> Result<Stage<'_>> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .map_err(|error| format!("making a directory: {error}"))?;
        // An empty configuration, so that curl looks for no other.
        File::create(directory.path().join(".curlrc"))
            .map_err(|error| format!("making a file: {error}"))?;
        Ok(Stage { scene, directory, answer: None, actors: vec![] })
    }

    /// Starts a program in a terminal of its own. A backend or a proxy listens then.
    pub fn enter(&mut self, role: Role, command: &str) -> Result<()> {
        let line = self.actual(role, command)?;
        let wrong = |error: std::io::Error| format!("{command}: {error}");
        let mut sh = self.sh(&line);
        let (stdin, cues) = pipe().map_err(wrong)?;
        // Without --cue, there is nothing to read.
        let cues = line.contains(" --cue").then_some(cues);
        if cues.is_some() {
            sh.stdin(stdin);
        }
        let program = Program::start_in_terminal(sh).map_err(wrong)?;
        let mut actor = Actor { role, command: command.into(), program, port: None, cues };
        if SHOWN.iter().any(|(of, _)| *of == role) {
            actor.port = Some(actor.wait_for("it listens", listening_port)?);
        }
        self.actors.push(actor);
        Ok(())
    }

    /// Runs a command to its end: what it prints, and its exit status.
    pub fn run(&self, command: &str) -> Result<(String, i32)> {
        let line = self.actual(Role::Command, command)?;
        let program = Program::start_in_terminal(self.sh(&line));
        let program = program.map_err(|error| format!("{command}: {error}"))?;
        let mut actor =
            Actor { role: Role::Command, command: command.into(), program, port: None, cues: None };
        let status = actor.ended()?;
        Ok((actor.program.stdout.text(), status))
    }

    /// `sh`, about to run a command line.
    fn sh(&self, line: &str) -> Command {
        let mut sh = Command::new("sh");
        sh.args(["-c", line]).current_dir(self.directory.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            // Under cargo the laboratory would have the steps built, and wait for cargo's lock.
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO") || name.to_ascii_lowercase().ends_with("_proxy") {
                sh.env_remove(name);
            }
        }
        sh.env("LC_ALL", "C").env("CURL_HOME", self.directory.path());
        sh
    }

    /// The command line that is really run; the table above has examples.
    fn actual(&self, role: Role, command: &str) -> Result<String> {
        let mut line = command.to_string();
        for (shown, run) in &self.scene.run_as {
            if line.contains(shown) {
                line = line.replace(shown, &self.filled_in(run)?);
            }
        }
        for (role, shown) in SHOWN {
            let port = &shown[shown.find(':').unwrap_or(0)..];
            let shown = if line.starts_with("ss ") { port } else { shown };
            if line.contains(shown) {
                let host = shown.strip_suffix(port).unwrap_or_default();
                line = line.replace(shown, &format!("{host}:{}", self.port(role)?));
            }
        }
        let cue = match role {
            Role::Backend if self.scene.cues_backend() => " --cue",
            Role::Client if line.contains(" --stall ") => " --cue",
            _ => "",
        };
        if let Some(name) = line.strip_prefix("cargo run --bin ") {
            return Ok(format!("exec {}", self.step_with_addresses(name)?));
        }
        if let Some((before, name)) = line.split_once(" target/debug/") {
            return Ok(format!("exec {before} {}", self.step_with_addresses(name)?));
        }
        if let Some(rest) = line.strip_prefix("python3 ") {
            // Without -u it would not say at once where it listens.
            let rest = rest.replace(" 9000", " 0");
            return Ok(format!("cd {} && exec python3 -u {rest}", quoted(Path::new(ROOT))));
        }
        let Some((before, rest)) = line.split_once("cargo lab ") else { return Ok(line) };
        // Alone in its line, a program takes the place of `sh`.
        let exec = if before.is_empty() && !rest.contains('|') { "exec " } else { "" };
        let mut words: Vec<&str> = rest.split(' ').collect();
        let addresses = match words[0] {
            "backend" => "127.0.0.1:0".into(),
            "relay" => format!("127.0.0.1:0 127.0.0.1:{}", self.port(Role::Backend)?),
            "client" if !rest.contains("127.0.0.1:") => {
                format!("127.0.0.1:{}", self.port(Role::Proxy)?)
            }
            _ => String::new(),
        };
        if let Some(rate) = words.iter().position(|word| *word == "--rate" && !cue.is_empty()) {
            words.drain(rate..rate + 2);
        }
        Ok(format!("{exec}{before}{} {}{cue} {addresses}", quoted(&lab()?), words.join(" ")))
    }

    /// The right side of a `run-as` line.
    fn filled_in(&self, run: &str) -> Result<String> {
        let mut run = run.to_string();
        if run.contains("{proxy}") {
            run = run.replace("{proxy}", &self.actor(Role::Proxy)?.program.pid().to_string());
        }
        if let Some((_, program)) = &self.answer {
            run = run.replace("{answer}", &quoted(program));
        }
        Ok(run)
    }

    fn step_with_addresses(&self, name: &str) -> Result<String> {
        let path = match &self.answer {
            Some((step, program)) if step == name => program.clone(),
            _ => steps().join(name),
        };
        Ok(format!("{} 127.0.0.1:0 127.0.0.1:{}", quoted(&path), self.port(Role::Backend)?))
    }

    /// Who has this role.
    pub fn actor(&self, role: Role) -> Result<&Actor> {
        let found = self.actors.iter().find(|actor| actor.role == role);
        found.ok_or_else(|| format!("there is no {role:?} yet"))
    }

    /// The same, to act upon.
    pub fn actor_mut(&mut self, role: Role) -> Result<&mut Actor> {
        let found = self.actors.iter_mut().find(|actor| actor.role == role);
        found.ok_or_else(|| format!("there is no {role:?} yet"))
    }

    fn port(&self, role: Role) -> Result<u16> {
        self.actor(role)?.port.ok_or_else(|| format!("the {role:?} listens nowhere"))
    }

    fn ports(&self) -> Vec<u16> {
        self.actors.iter().filter_map(|actor| actor.port).collect()
    }

    /// What a terminal shows, with the reader's numbers in it.
    ///
    /// | really | shown |
    /// |---|---|
    /// | `listening on 127.0.0.1:41018, forwarding to 127.0.0.1:41017` | `listening on 127.0.0.1:8080, forwarding to 127.0.0.1:9000` |
    /// | `a page of 75,497,472 bytes`, the size on this machine | `a page of 113,246,208 bytes` |
    /// | `strace: Process 731 attached` | `strace: Process 4242 attached` |
    /// | `Linux 6.18.44-its-builder` | `Linux 6.18.44` |
    pub fn renamed(&self, text: &str) -> String {
        let mut text = text.to_string();
        for actor in &self.actors {
            if let Some(port) = actor.port {
                let shown = SHOWN.iter().find(|(of, _)| *of == actor.role).expect("it listens").1;
                let (_, shown) = shown.split_once(':').expect("an address has a port");
                for before in ["127.0.0.1:", "port "] {
                    text = replace_number(&text, before, Some(port), shown);
                }
            }
            text = replace_number(&text, "Process ", Some(actor.program.pid()), "4242");
        }
        // Experiments choose their own ports and tell of them.
        text = replace_number::<u16>(&text, "listens on 127.0.0.1:", None, "8080");
        text = replace_number::<u16>(&text, "backend is 127.0.0.1:", None, "9000");
        let asks_for_size = |actor: &Actor| actor.command.contains("--size");
        if let Ok(size) = self.page_size()
            && !self.actors.iter().any(asks_for_size)
        {
            text = text.replace(&size.to_string(), &PAGE.to_string());
            text = text.replace(&thousands(size), &thousands(PAGE));
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        text.replace(release.trim(), release.trim().split('-').next().unwrap_or_default())
    }

    /// The size of the page that the backend has announced, in bytes.
    pub fn page_size(&self) -> Result<u64> {
        let text = self.actor(Role::Backend)?.program.stdout.text();
        let bytes = text.split_once("a page of ").and_then(|(_, rest)| rest.split_once(" bytes"));
        let bytes = bytes.map(|(bytes, _)| bytes.replace(',', "")).unwrap_or_default();
        bytes.parse().map_err(|_| format!("the backend says {text:?}"))
    }

    /// Lets the backend send so much of its response, and not more. `100` is all of it.
    pub fn send(&mut self, percent: u64) -> Result<()> {
        let end = self.page_size()? / 100 * percent;
        self.cue((percent < 100).then_some(end))
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
        let front = self.port(Role::Proxy)?;
        let taken = || {
            let queued = procfs::sockets(&[front], Tables::V4).into_iter().map(|socket| {
                if socket.local == front { socket.send_queue } else { socket.receive_queue }
            });
            queued.sum::<u64>()
        };
        for end in (0..page.len()).step_by(PART as usize).skip(1) {
            self.cue(Some(end))?;
            if true_within(Duration::from_millis(100), || taken() == end) {
                continue;
            }
            self.until_nothing_moves()?;
            if taken() < end {
                let chunk = page.chunk_at(end + 200 + CHUNK + 8).ok_or("the page is too short")?;
                self.cue(Some(chunk.header_at - 200))?;
                return self.until_nothing_moves();
            }
        }
        Err("the kernel takes the whole page".into())
    }

    /// Lets the backend send one part after the other, each when nothing is left to do with the one
    /// before. Even a client that reads nothing would not keep the proxy waiting.
    pub fn send_bit_by_bit(&mut self) -> Result<()> {
        const BIT: usize = 1 << 20;
        for end in (0..self.page_size()?).step_by(BIT).skip(1) {
            self.cue(Some(end))?;
            self.until_nothing_moves()?;
        }
        self.cue(None)
    }

    /// Says how far the backend may send. `None`: to the end, and there are no more cues.
    fn cue(&mut self, end: Option<u64>) -> Result<()> {
        let backend = self.actor_mut(Role::Backend)?;
        let Some(cues) = &mut backend.cues else { return Err("the backend has no cues".into()) };
        match end {
            Some(end) => writeln!(cues, "{end}").map_err(|error| format!("a cue: {error}"))?,
            None => backend.cues = None,
        }
        Ok(())
    }

    /// Waits until every program sleeps, is stopped or has ended, and no byte moves or is under way.
    ///
    /// A program that waits for a processor does not sleep, so that it need not last long.
    pub fn until_nothing_moves(&self) -> Result<()> {
        /// How many looks in a row must find the same.
        const LOOKS: u32 = 8;
        /// The pace of looking.
        const PACE: Duration = Duration::from_millis(5);
        /// Twice the time for which a receiver may put off an acknowledgment (`TCP_DELACK_MAX`).
        const ACKNOWLEDGED: Duration = Duration::from_millis(400);
        let pids: Vec<i32> = self.actors.iter().flat_map(|actor| actor.program.family()).collect();
        let deadline = Instant::now() + DEADLINE;
        let (mut last, mut since, mut looks) = ((0, vec![]), Instant::now(), 0);
        while Instant::now() < deadline {
            let vitals = procfs::vitals(&pids, false);
            let sockets = procfs::sockets(&self.ports(), Tables::V4);
            let under_way = vitals.running
                || procfs::deliveries_wait()
                || procfs::in_flight(&sockets)
                || sockets.iter().any(|socket| socket.awaits_ack) && since.elapsed() < ACKNOWLEDGED;
            let same = vitals.cpu_ns == last.0 && procfs::same_queues(&sockets, &last.1);
            if !same {
                (last, since) = ((vitals.cpu_ns, sockets), Instant::now());
            }
            looks = if same && !under_way { looks + 1 } else { 0 };
            if looks == LOOKS {
                return Ok(());
            }
            std::thread::sleep(PACE);
        }
        Err("something moves all the time".into())
    }

    /// Waits until everything that was sent has been read.
    pub fn until_queues_are_empty(&self) -> Result<()> {
        let is_empty = || {
            let sockets = procfs::sockets(&self.ports(), Tables::V4);
            let mut connections = sockets.iter().filter(|socket| socket.state != procfs::LISTEN);
            connections
                .all(|socket| socket.send_queue + socket.receive_queue == socket.unread_fin())
        };
        match true_within(DEADLINE, is_empty) {
            true => Ok(()),
            false => Err("the queues are never empty".into()),
        }
    }

    /// Waits until a file of the scene contains a text.
    pub fn until_file_says(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.path().join(name);
        let found = true_within(DEADLINE, || {
            fs::read_to_string(&path).is_ok_and(|written| written.contains(text))
        });
        if found { Ok(()) } else { Err(format!("{name} never says {text:?}")) }
    }
}

impl Actor {
    /// Waits until it has written what `look` looks for.
    pub fn wait_for<T>(&self, what: &str, look: impl FnMut(&str) -> Option<T>) -> Result<T> {
        self.program.stdout.wait_for(DEADLINE, look).map_err(|error| {
            let (command, text) = (&self.command, self.program.stdout.text());
            format!("{command}: waiting until {what}, but {error}:\n{text}")
        })
    }

    /// Waits until it has written a text.
    pub fn until_it_says(&self, text: &str) -> Result<()> {
        self.wait_for(&format!("it says {text:?}"), |said| said.contains(text).then_some(()))
    }

    /// Stops it, and waits until it has stopped.
    pub fn stop(&self) -> Result<()> {
        self.program.signal(Signal::SIGSTOP);
        match true_within(DEADLINE, || self.program.vitals().stopped) {
            true => Ok(()),
            false => Err(format!("{}: it cannot be stopped", self.command)),
        }
    }

    /// Lets it go on, wherever it waits for us.
    pub fn go_on(&mut self) {
        self.cues = None;
        self.program.signal(Signal::SIGCONT);
    }

    /// Tells it to end, as `timeout` does when time is over.
    pub fn tell_to_end(&self) {
        self.program.signal(Signal::SIGTERM);
    }

    /// Waits for its end: its exit status. If it waits for us, it goes on first.
    pub fn ended(&mut self) -> Result<i32> {
        self.cues = None;
        let never = || format!("{}: it does not end", self.command);
        self.program.stdout.whole_text(DEADLINE).map_err(|_| never())?;
        let status = find_within(DEADLINE, || self.program.exited()).ok_or_else(never)?;
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

/// Replaces the digits that follow `before`: those of `number`, or any.
fn replace_number<N: ToString>(text: &str, before: &str, number: Option<N>, by: &str) -> String {
    let number = number.map(|number| number.to_string());
    let mut parts = text.split(before);
    let mut replaced = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|char: char| !char.is_ascii_digit()).unwrap_or(part.len());
        let (digits, rest) = part.split_at(end);
        let is_it = number.as_ref().map_or(!digits.is_empty(), |number| number == digits);
        replaced += &format!("{before}{}{rest}", if is_it { by } else { digits });
    }
    replaced
}

/// A path as one word for `sh`.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
