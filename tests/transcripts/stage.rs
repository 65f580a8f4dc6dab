//! Where a scene is played: an empty directory, free ports, and programs that never outlive it.
//!
//! A command is written as the reader types it and run by `sh`, with these differences: a
//! program that cargo would start is started directly, so that cargo's own lines are missing; the
//! ports 8080 and 9000 stand for free ones, in the command and in what is shown; and curl sees no
//! configuration of the user's.

use std::fs::{self, File};
use std::io::{PipeReader, Read, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lab::kernel::procfs::{self, Tables};
use tempfile::TempDir;

/// How long anything may take before it counts as never.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long nothing may have moved before a scene says that nothing moves.
const PATIENCE: Duration = Duration::from_millis(300);

/// What goes wrong on a stage, in a sentence.
pub type Result<T> = std::result::Result<T, String>;

/// The root of the repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The ports that the reader sees.
const SHOWN: [(Role, &str); 2] =
    [(Role::Proxy, "127.0.0.1:8080"), (Role::Backend, "127.0.0.1:9000")];

/// What a program that listens is to the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Proxy,
    Backend,
}

/// Where one scene is played.
pub struct Stage {
    pub directory: TempDir,
    /// The scene is played for a recording, not for a check.
    pub recording: bool,
    /// The ports that the programs really use.
    ports: Vec<(Role, u16)>,
    /// Where the programs of the repository are, if not where cargo puts them.
    pub programs: Option<PathBuf>,
}

/// One terminal, and what it shows so far.
#[derive(Default)]
pub struct Terminal {
    pub text: String,
    /// The exit status of the last command.
    pub status: i32,
}

/// A program that runs in a terminal of its own.
pub struct Program {
    command: String,
    child: Child,
    shown: Arc<Shown>,
}

/// What a program has written so far.
#[derive(Default)]
struct Shown {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stage {
    /// An empty stage.
    pub fn set() -> Result<Stage> {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .map_err(|error| format!("making a directory: {error}"))?;
        // An empty configuration, so that curl looks for no other.
        File::create(directory.path().join(".curlrc"))
            .map_err(|error| format!("making a file: {error}"))?;
        Ok(Stage { directory, recording: false, ports: vec![], programs: None })
    }

    /// Starts what listens on port 9000.
    pub fn backend(&mut self, command: &str) -> Result<Program> {
        self.listener(Role::Backend, command)
    }

    /// Starts what listens on port 8080.
    pub fn proxy(&mut self, command: &str) -> Result<Program> {
        self.listener(Role::Proxy, command)
    }

    fn listener(&mut self, role: Role, command: &str) -> Result<Program> {
        let program = self.start(command)?;
        let mut port = None;
        program.wait_for("it listens", |text| {
            // Whole lines only: half a line may hold half a port.
            port = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .filter(|line| line.contains("listening on ") || line.contains("Serving HTTP on "))
                .find_map(|line| line.split("127.0.0.1:").nth(1)?.split([',', ':', '/']).next())
                .and_then(|digits| digits.trim().parse().ok());
            port.is_some()
        })?;
        self.ports.push((role, port.expect("just found")));
        Ok(program)
    }

    /// Starts a program in a terminal of its own.
    pub fn start(&self, command: &str) -> Result<Program> {
        let (reader, writer) = pipe().map_err(|error| format!("making a pipe: {error}"))?;
        let errors = writer.try_clone().map_err(|error| format!("copying a pipe: {error}"))?;
        let mut sh = self.sh(&self.actual(command)?);
        let child = sh.stdin(Stdio::null()).stdout(writer).stderr(errors).spawn();
        // What holds the writing ends: dropped here, so that only the program has them.
        drop(sh);
        let child = child.map_err(|error| format!("{command}: {error}"))?;
        let shown = Arc::new(Shown::default());
        let program = Program { command: command.into(), child, shown: shown.clone() };
        thread::spawn(move || shown.follow(reader));
        Ok(program)
    }

    /// Starts a command whose output waits in a pipe until somebody reads it, and whose complaints
    /// are nobody's concern. The pipe is returned.
    pub fn start_stalled(&self, command: &str) -> Result<(Program, PipeReader)> {
        let (reader, writer) = pipe().map_err(|error| format!("making a pipe: {error}"))?;
        let mut sh = self.sh(&self.actual(command)?);
        let child = sh.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn();
        drop(sh);
        let child = child.map_err(|error| format!("{command}: {error}"))?;
        let shown = Arc::new(Shown::default());
        shown.state.lock().unwrap().ended = true;
        Ok((Program { command: command.into(), child, shown }, reader))
    }

    /// `sh`, about to run a command line. It stays in our process group, so that an interrupt from the
    /// keyboard ends it too.
    fn sh(&self, line: &str) -> Command {
        let mut sh = Command::new("sh");
        sh.args(["-c", line]).current_dir(self.directory.path());
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

    /// Runs a command in a terminal and waits for its end.
    pub fn run(&self, terminal: &mut Terminal, command: &str) -> Result<()> {
        self.run_as(terminal, command, command)
    }

    /// Runs a command in place of the one that is shown.
    pub fn run_as(&self, terminal: &mut Terminal, shown: &str, command: &str) -> Result<()> {
        let mut program = self.start(command)?;
        terminal.status = program.ended()?;
        terminal.show(shown, &program.text());
        Ok(())
    }

    /// Runs a command, and asks for its exit status.
    pub fn run_and_ask(&self, terminal: &mut Terminal, command: &str) -> Result<i32> {
        self.run(terminal, command)?;
        let status = terminal.status;
        terminal.show("echo $?", &status.to_string());
        Ok(status)
    }

    /// Runs a client and asks for its exit status; but stops it once the backend has been asked, until
    /// the proxy works on although it gets rid of nothing any more.
    pub fn run_held(
        &self,
        terminal: &mut Terminal,
        command: &str,
        backend: &Program,
        proxy: &Program,
    ) -> Result<i32> {
        let mut client = self.start(command)?;
        backend.wait_for("it is asked", |text| text.contains("is asked for"))?;
        client.signal("STOP")?;
        let dropping = self.until_dropping(backend, proxy);
        client.signal("CONT")?;
        dropping?;
        terminal.status = client.ended()?;
        terminal.show(command, &client.text());
        terminal.show("echo $?", &terminal.status.to_string());
        Ok(terminal.status)
    }

    /// Waits until a proxy is at work, and yet nothing changes in its clients' sockets, which are full.
    fn until_dropping(&self, backend: &Program, proxy: &Program) -> Result<()> {
        /// Processor time in nanoseconds that is enough for many writes.
        const ENOUGH: u64 = 5_000_000;
        let port = self.port(Role::Proxy)?;
        let deadline = Instant::now() + DEADLINE;
        let (mut full, mut since) = (vec![], 0);
        while Instant::now() < deadline {
            let on_cpu = procfs::vitals(&[proxy.pid() as i32], false).cpu_ns;
            let sockets = procfs::sockets(&[port], Tables::V4);
            if sockets != full {
                (full, since) = (sockets, on_cpu);
            }
            let is_full = full.iter().any(|socket| socket.local == port && socket.send_queue > 0);
            if is_full && on_cpu > since + ENOUGH || backend.text().contains("sent all") {
                return Ok(());
            }
            // The pace of looking.
            thread::sleep(Duration::from_millis(1));
        }
        Err(format!("{}: the client's socket never fills", proxy.command))
    }

    /// The command line that is really run.
    fn actual(&self, command: &str) -> Result<String> {
        let mut line = command.to_string();
        for (role, shown) in SHOWN {
            if line.contains(shown) {
                line = line.replace(shown, &self.address(role)?);
            }
        }
        // Alone in its line, a program takes the place of `sh`.
        let alone = command.starts_with("cargo lab") && !command.contains('|');
        let exec = if alone { "exec " } else { "" };
        let lab = match &self.programs {
            Some(programs) => programs.join("lab"),
            None => lab()?,
        };
        let lab = format!("{exec}{}", quoted(&lab));
        if let Some(rest) = command.strip_prefix("cargo lab backend") {
            line = format!("{lab} backend{rest} 127.0.0.1:0");
        } else if let Some(rest) = command.strip_prefix("cargo lab relay") {
            line = format!("{lab} relay{rest} 127.0.0.1:0 {}", self.address(Role::Backend)?);
        } else if command.contains("cargo lab client") && !command.contains("127.0.0.1:") {
            line =
                format!("{} {}", line.replacen("cargo lab", &lab, 1), self.address(Role::Proxy)?);
        } else if command.contains("cargo lab") {
            line = line.replacen("cargo lab", &lab, 1);
        } else if let Some(name) = command.strip_prefix("cargo run --bin ") {
            line = format!("exec {}", self.step_with_addresses(name)?);
        } else if let Some((before, name)) = command.split_once("target/debug/") {
            line = format!("exec {before}{}", self.step_with_addresses(name)?);
        } else if let Some(rest) = command.strip_prefix("python3 ") {
            // Without -u it would not say at once where it listens.
            let rest = rest.replace(" 9000", " 0");
            line = format!("cd {} && exec python3 -u {rest}", quoted(Path::new(ROOT)));
        }
        Ok(line)
    }

    fn step_with_addresses(&self, name: &str) -> Result<String> {
        let path = self.programs.as_deref().unwrap_or(steps()).join(name);
        Ok(format!("{} 127.0.0.1:0 {}", quoted(&path), self.address(Role::Backend)?))
    }

    /// The address at which a program really listens.
    pub fn address(&self, role: Role) -> Result<String> {
        Ok(format!("127.0.0.1:{}", self.port(role)?))
    }

    fn port(&self, role: Role) -> Result<u16> {
        let found = self.ports.iter().rev().find(|(of, _)| *of == role);
        found.map(|(_, port)| *port).ok_or_else(|| "nobody listens on that port yet".into())
    }

    /// What a terminal shows, with the reader's ports in it.
    pub fn renamed(&self, text: &str) -> String {
        let mut text = text.to_string();
        for (role, port) in &self.ports {
            let shown = SHOWN.iter().find(|(of, _)| of == role).expect("both are there").1;
            let (_, shown) = shown.split_once(':').expect("an address has a port");
            for before in ["127.0.0.1:", "port "] {
                text = replace_number(&text, before, Some(*port), shown);
            }
        }
        // Experiments choose their own ports and tell of them.
        text = replace_number(&text, "listens on 127.0.0.1:", None, "8080");
        replace_number(&text, "backend is 127.0.0.1:", None, "9000")
    }

    /// Waits until a file of the scene says what it has to.
    pub fn until_file(&self, name: &str, is_there: impl Fn(&str) -> bool) -> Result<()> {
        let path = self.directory.path().join(name);
        let deadline = Instant::now() + DEADLINE;
        while !is_there(&fs::read_to_string(&path).unwrap_or_default()) {
            if Instant::now() > deadline {
                return Err(format!("{name} never says what is waited for"));
            }
            // The pace of looking, as below.
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until a program sleeps while bytes wait in the sockets of proxy and backend, and none
    /// of them moves.
    pub fn until_stuck(&self, program: &Program) -> Result<()> {
        let ports: Vec<u16> = self.ports.iter().map(|(_, port)| *port).collect();
        let pid = program.child.id() as i32;
        let deadline = Instant::now() + DEADLINE;
        let (mut last, mut since) = ((0, vec![]), Instant::now());
        while Instant::now() < deadline {
            let vitals = procfs::vitals(&[pid], false);
            let sockets = procfs::sockets(&ports, Tables::V4);
            let full = sockets.iter().any(|socket| socket.send_queue > 0);
            let still = !vitals.running && full && !procfs::in_flight(&sockets);
            let now = (vitals.cpu_ns, sockets);
            if !still || now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Ok(());
            }
            // The pace of looking: what is waited for is seen above.
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{}: it never came to a standstill", program.command))
    }
}

impl Terminal {
    /// A prompt with a command, and what it printed. A command may go on after a backslash.
    pub fn show(&mut self, command: &str, output: &str) {
        self.text += &format!("$ {command}\n{output}");
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

impl Program {
    /// What it has written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.state.lock().unwrap().bytes).into_owned()
    }

    /// Sends a signal to it and to what it has started.
    fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("sh");
        let pids: Vec<_> = self.family().iter().map(i32::to_string).collect();
        kill.args(["-c", &format!("kill -{name} {}", pids.join(" "))]);
        finish(kill, &format!("sending {name}"))
    }

    /// Its process and all that come from it: what a shell has started, what strace watches.
    fn family(&self) -> Vec<i32> {
        let mut family = vec![self.pid() as i32];
        let table = procfs::processes();
        loop {
            let is_new = |pid: &i32| !family.contains(pid);
            let children = table.iter().filter(|process| family.contains(&process.parent));
            let found: Vec<_> = children.map(|process| process.pid).filter(is_new).collect();
            if found.is_empty() {
                return family;
            }
            family.extend(found);
        }
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its terminal as it is now.
    pub fn terminal(&self) -> Terminal {
        let mut terminal = Terminal::default();
        terminal.show(&self.command, &self.text());
        terminal
    }

    /// Waits until what it has written is as `is_there` wants it.
    pub fn wait_for(&self, what: &str, mut is_there: impl FnMut(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.shown.state.lock().unwrap();
        loop {
            let text = String::from_utf8_lossy(&state.bytes).into_owned();
            if is_there(&text) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let why = if state.ended { "it has ended" } else { "it takes too long" };
                let command = &self.command;
                return Err(format!("{command}: waiting until {what}, but {why}:\n{text}"));
            }
            state = self.shown.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for its end: its exit status.
    pub fn ended(&mut self) -> Result<i32> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.shown.state.lock().unwrap();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{}: it does not end", self.command));
            }
            state = self.shown.changed.wait_timeout(state, left).unwrap().0;
        }
        drop(state);
        let status = self.child.wait().map_err(|error| format!("{}: {error}", self.command))?;
        Ok(status.code().unwrap_or(-1))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.signal("KILL");
            let _ = self.child.wait();
        }
    }
}

impl Shown {
    /// Takes over what comes through the pipe, until it ends.
    fn follow(&self, mut reader: PipeReader) {
        let mut block = [0; 1 << 16];
        loop {
            let count = reader.read(&mut block).unwrap_or(0);
            let mut state = self.state.lock().unwrap();
            state.bytes.extend(&block[..count]);
            state.ended = count == 0;
            self.changed.notify_all();
            if count == 0 {
                break;
            }
        }
    }
}

/// Replaces the digits that follow `before`: those of `number`, or any.
fn replace_number(text: &str, before: &str, number: Option<u16>, by: &str) -> String {
    let mut parts = text.split(before);
    let mut replaced = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find(|char: char| !char.is_ascii_digit()).unwrap_or(part.len());
        let (digits, rest) = part.split_at(end);
        let is_it = match number {
            Some(number) => digits == number.to_string(),
            None => !digits.is_empty(),
        };
        replaced += before;
        replaced += if is_it { by } else { digits };
        replaced += rest;
    }
    replaced
}

/// A path as one word for `sh`.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// Where cargo puts the steps.
pub fn steps() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_03-dropped-write")).parent().expect("it is in a directory")
}

/// The laboratory's program, as new as its sources. `cargo test` has built it, but
/// `cargo test --test book` has not.
pub fn lab() -> Result<PathBuf> {
    static LAB: OnceLock<Result<PathBuf>> = OnceLock::new();
    LAB.get_or_init(|| {
        let path = steps().join("lab");
        let built = modified(&path);
        let sources = files_under(&Path::new(ROOT).join("tests/lab/src"))
            .map_err(|error| format!("reading tests/lab/src: {error}"))?
            .into_iter()
            .chain(["Cargo.lock", "tests/lab/Cargo.toml"].map(|file| Path::new(ROOT).join(file)));
        if built.is_none() || sources.map(|source| modified(&source)).any(|time| time > built) {
            let mut cargo = cargo();
            cargo.args(["build", "--quiet", "--package", "lab", "--bin", "lab"]);
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            finish(cargo, "building the laboratory")?;
        }
        Ok(path)
    })
    .clone()
}

fn files_under(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(files_under(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Cargo, in the repository.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(ROOT).stdin(Stdio::null());
    cargo
}

/// Runs a tool that is not part of any terminal.
pub fn finish(mut command: Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|error| format!("{what}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// A program that scenes need besides those of the repository.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Curl,
    Strace,
    /// strace, with the right to watch what it has not started.
    Attach,
    /// With `--protocol`, which came with 3.11.
    Python,
    Xxd,
    Ps,
    Ss,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Tool::Curl => "curl",
            Tool::Strace => "strace",
            Tool::Attach => "strace -p",
            Tool::Python => "Python 3.11",
            Tool::Xxd => "xxd",
            Tool::Ps => "ps",
            Tool::Ss => "ss",
        }
    }

    /// Its version; `None` where it is not installed, too old, or not allowed to do its work.
    pub fn version(self) -> Option<String> {
        // strace must not only be there: without the right to trace, it shows nothing.
        let probe = match self {
            Tool::Curl => "curl --version",
            Tool::Strace => "strace -o /dev/null true && strace --version",
            Tool::Attach => {
                "sleep 9 & timeout 0.2 strace -o /dev/null -p $!; kill $! && strace --version"
            }
            Tool::Python => "python3 -m http.server --help | grep -q protocol && python3 --version",
            Tool::Xxd => "xxd -v 2>&1",
            Tool::Ps => "ps --version",
            Tool::Ss => "ss --version",
        };
        let output = Command::new("sh").args(["-c", probe]).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find(|word| {
            word.starts_with(|char: char| char.is_ascii_digit()) && word.contains('.')
        });
        output.status.success().then(|| version.unwrap_or_default().to_string())
    }
}

/// The machine, in the words of a header: kernel and distribution.
pub fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<_> = kernel.trim().split('.').take(2).collect();
    let release = read("/etc/os-release");
    let value = |key: &str| {
        let found = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches('"').to_string()
    };
    let name = value("NAME");
    let name = name.split_whitespace().next().unwrap_or_default();
    format!("Linux {}, {name} {}", kernel.join("."), value("VERSION_ID"))
}
