//! What every step promises, whatever it gets wrong on purpose: how it starts, how it refuses to
//! start, and that one unlucky connection costs nobody else anything.
//!
//! Every exchange here is small enough for one read and one write, so that even the step that drops
//! bytes drops none. The tests of the single steps show what happens to long answers.

use std::ffi::OsStr;
use std::io::{ErrorKind, PipeWriter, Read, Write, pipe};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use lab::kernel::wait::{find_within, true_within};
use lab::ladder::ladder;
use lab::subject::program::{Output, Program, Signal};
use predicates::prelude::*;
use predicates::str::{contains, ends_with};

/// The programs of all steps, in order. Cargo has built them for this test, side by side.
fn steps() -> Vec<PathBuf> {
    let one = Path::new(env!("CARGO_BIN_EXE_01-blocking"));
    ladder().steps.iter().map(|step| one.with_file_name(&step.name)).collect()
}

/// How long anything may take before it counts as never. Nothing here waits for time to pass: a
/// test that succeeds is done in milliseconds, and only one that fails runs into this.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a client asks. No HTTP: the steps relay bytes, and must not care which.
const REQUEST: &[u8] = b"\0\xff\xfe no HTTP, and not UTF-8 \r\n\r\n\x80";

/// What a backend answers.
const ANSWER: &[u8] = b"HTTP/9.9 999\r\n\0\x80\xff\r\n\r\n\r\n";

// ---- Starting -----------------------------------------------------------------------------------

#[test]
fn a_step_announces_the_port_it_got_in_one_line_and_serves() {
    of_every_step(|step| {
        let backend = Upstream::open();
        let mut proxy = Running::start(step, backend.address);
        assert_ne!(proxy.address.port(), 0, "the announcement leaves port 0 unresolved");
        assert!(proxy.address.ip().is_loopback(), "not the address that was given");
        serves(&proxy, &backend);
        // That line and nothing else, and no complaint about a connection that went well.
        proxy.has_nothing_more_to_say();
    });
}

#[test]
fn the_default_backend_is_port_9000_of_this_machine() {
    of_every_step(|step| {
        let proxy = Running::spawn(step, &["127.0.0.1:0"], Stdio::piped());
        assert_eq!(proxy.backend, ([127, 0, 0, 1], 9000).into());
    });
}

// ---- Refusing to start --------------------------------------------------------------------------

/// Texts that are no address, each with the part of it that the complaint must contain. The complaint
/// may also contain the default addresses, so none of these is a part of them.
const BAD_ADDRESSES: [(&str, &str); 8] = [
    ("nonsense", "nonsense"),
    ("localhost", "localhost"),
    ("192.0.2.7", "192.0.2.7"),
    ("192.0.2.7:", "192.0.2.7:"),
    ("192.0.2.7:65536", "192.0.2.7:65536"),
    (":8088", ":8088"),
    ("", "\"\""),
    ("two\nlines:80", "two"),
];

#[test]
fn a_bad_listen_or_backend_address_is_refused_in_one_line_that_names_it() {
    of_every_step(|step| {
        for (bad, named) in BAD_ADDRESSES {
            refuses(step, &[bad], 2, named);
            refuses(step, &[bad, "127.0.0.1:9000"], 2, named);
            refuses(step, &["127.0.0.1:0", bad], 2, named);
        }
    });
}

#[test]
fn an_argument_too_many_is_refused_in_one_line_that_names_it() {
    of_every_step(|step| {
        refuses(step, &["127.0.0.1:0", "127.0.0.1:9000", "surplus"], 2, "surplus");
        refuses(step, &["127.0.0.1:0", "127.0.0.1:9000", "surplus", "more"], 2, "surplus");
    });
}

#[test]
fn an_argument_that_is_not_utf_8_is_refused_in_one_line() {
    let bad = OsStr::from_bytes(b"192.0.2.7\xff:80");
    let good = OsStr::new("127.0.0.1:0");
    of_every_step(|step| {
        refuses(step, &[bad], 2, "192.0.2.7");
        refuses(step, &[good, bad], 2, "192.0.2.7");
        refuses(step, &[good, good, bad], 2, "192.0.2.7");
    });
}

#[test]
fn a_port_in_use_is_refused_in_one_line_that_names_it() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("taking a port");
    let address = taken.local_addr().expect("reading its number").to_string();
    of_every_step(|step| refuses(step, &[&*address, "127.0.0.1:9000"], 1, &address));
}

// ---- Nobody to talk to --------------------------------------------------------------------------

#[test]
fn with_stdout_closed_a_step_ends_without_a_panic() {
    of_every_step(|step| {
        let arguments = ["127.0.0.1:0", "127.0.0.1:9000"];
        let mut program = start(step, &arguments, pipe_without_reader().into(), Stdio::piped());
        let status = exit_status(&mut program);
        let complaint = next(&mut program.stderr, "a complaint");
        assert_eq!(status.code(), Some(1), "{complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
        assert_eq!(rest(&mut program.stderr), Vec::<String>::new(), "after {complaint:?}");
    });
}

#[test]
fn with_stderr_closed_a_step_refuses_its_arguments_without_a_panic() {
    of_every_step(|step| {
        let stderr = pipe_without_reader().into();
        let status = exit_status(&mut start(step, &["nonsense"], Stdio::null(), stderr));
        assert_eq!(status.code(), Some(2));
    });
}

#[test]
fn with_stderr_closed_a_step_outlives_a_complaint() {
    of_every_step(|step| {
        let nobody = nobody_listens();
        let arguments = ["127.0.0.1:0", &nobody.to_string()];
        let proxy = Running::spawn(step, &arguments, pipe_without_reader().into());
        hangs_up(connect(proxy.address));
        serves(&proxy, &Upstream::at(nobody));
    });
}

// ---- One unlucky connection ---------------------------------------------------------------------

#[test]
fn a_refused_backend_costs_the_client_its_connection_and_one_line_and_the_proxy_goes_on() {
    of_every_step(|step| {
        let nobody = nobody_listens();
        let mut proxy = Running::start(step, nobody);
        // One client is silent, the other one asks at once.
        for request in [b"", REQUEST] {
            let mut client = connect(proxy.address);
            // The proxy may hang up before the request is sent. So sending it may fail.
            let _ = client.write_all(request);
            hangs_up(client);
            let complaint = next(&mut proxy.program.stderr, "a complaint");
            assert!(complaint.contains(&nobody.to_string()), "names no backend: {complaint}");
        }
        serves(&proxy, &Upstream::at(nobody));
        proxy.has_nothing_more_to_say();
    });
}

#[test]
fn from_step_02_on_a_reset_costs_that_one_connection_and_one_line() {
    of_each(&steps()[1..], |step| {
        let backend = Upstream::open();
        let mut proxy = Running::start(step, backend.address);
        let mut bystander = Exchange::begin(&proxy, &backend);
        let descriptors = proxy.descriptors();

        // If a socket is closed while input is unread, it sends a reset and no FIN.
        let mut unlucky = Exchange::begin(&proxy, &backend);
        unlucky.server.write_all(ANSWER).expect("answering");
        wait_until("the answer has reached the client", || {
            matches!(unlucky.client.peek(&mut [0]), Ok(1))
        });
        drop(unlucky.client);

        let complaint = next(&mut proxy.program.stderr, "a complaint");
        assert!(complaint.contains("reset"), "says no word of a reset: {complaint}");
        assert_eq!(read_all(&mut unlucky.server).expect("waiting for the end"), b"");
        assert_eq!(proxy.descriptors(), descriptors, "descriptors after the reset");

        bystander.complete();
        serves(&proxy, &backend);
        proxy.has_nothing_more_to_say();
    });
}

#[test]
fn what_a_connection_opens_is_closed_with_it() {
    of_every_step(|step| {
        let backend = Upstream::open();
        let proxy = Running::start(step, backend.address);
        let descriptors = proxy.descriptors();
        for _ in 0..5 {
            serves(&proxy, &backend);
        }
        // The client has seen its own socket closed. The proxy may close the backend's a little later.
        wait_until("all descriptors are released", || proxy.descriptors() == descriptors);
    });
}

#[test]
fn a_step_that_was_stopped_and_continued_goes_on() {
    of_every_step(|step| {
        let backend = Upstream::open();
        let proxy = Running::start(step, backend.address);
        // Asleep (S in proc_pid_stat(5)) means that it waits for a client. From step 02 on it waits in
        // `epoll_wait`, which fails with EINTR when the proxy is stopped and continued.
        wait_until("the proxy waits for a client", || proxy.program.state() == Some('S'));
        proxy.program.signal(Signal::SIGSTOP);
        wait_until("the proxy is stopped", || proxy.program.state() == Some('T'));
        proxy.program.signal(Signal::SIGCONT);
        serves(&proxy, &backend);
    });
}

// ---- The tools ----------------------------------------------------------------------------------

/// Tests a promise on all steps at once. Each step has a thread of its name, so the message of a panic
/// says which step it is about.
fn of_every_step(promise: impl Fn(&Path) + Sync) {
    of_each(&steps(), promise);
}

fn of_each(steps: &[PathBuf], promise: impl Fn(&Path) + Sync) {
    thread::scope(|scope| {
        for step in steps {
            let name = step.file_name().expect("a program has a name").to_string_lossy();
            let thread = thread::Builder::new().name(name.into());
            thread.spawn_scoped(scope, || promise(step)).expect("starting a thread");
        }
    });
}

/// Expects that a step refuses to start, with nothing on stdout and one line on stderr that contains
/// `named`.
fn refuses(step: &Path, arguments: &[impl AsRef<OsStr>], status: i32, named: &str) {
    Command::new(step)
        .args(arguments)
        .env("RUST_BACKTRACE", "1")
        .timeout(DEADLINE)
        .assert()
        .code(status)
        .stdout("")
        .stderr(contains(named))
        .stderr(contains("panicked").not())
        .stderr(contains("\n").count(1).and(ends_with("\n")));
}

/// A step that has announced itself.
struct Running {
    program: Program,
    /// Where it says that it listens, and where it says that it forwards to.
    address: SocketAddr,
    backend: SocketAddr,
}

impl Running {
    /// Starts a step on a port that the kernel chooses.
    fn start(step: &Path, backend: SocketAddr) -> Running {
        let arguments = ["127.0.0.1:0", &backend.to_string()];
        let running = Running::spawn(step, &arguments, Stdio::piped());
        assert_eq!(running.backend, backend, "not the backend that was given");
        running
    }

    /// Starts a step and waits for the announcement.
    fn spawn(step: &Path, arguments: &[&str], stderr: Stdio) -> Running {
        let mut program = start(step, arguments, Stdio::piped(), stderr);
        let line = next(&mut program.stdout, "the announcement");
        let (address, backend) = announced(&line)
            .unwrap_or_else(|| panic!("{line:?} is not `listening on …, forwarding to …`"));
        Running { program, address, backend }
    }

    /// Kills it, and expects that it had written nothing but what was read.
    fn has_nothing_more_to_say(&mut self) {
        self.program.signal(Signal::SIGKILL);
        let Program { stdout, stderr, .. } = &mut self.program;
        // From step 05 on, what went through a connection is no complaint.
        let is_report = |line: &String| line.contains(": to the client taken ");
        let complaints: Vec<String> =
            rest(stderr).into_iter().filter(|line| !is_report(line)).collect();
        assert_eq!([rest(stdout), complaints], [[""; 0]; 2]);
    }

    /// How many descriptors the step has open.
    fn descriptors(&self) -> usize {
        self.program.vitals().descriptors
    }
}

fn start(step: &Path, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Program {
    let mut command = process::Command::new(step);
    // With this, a panic or an error that `main` returns would print a backtrace.
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    Program::start_as_is(command).expect("starting the step")
}

/// Waits until the program has ended by itself.
fn exit_status(program: &mut Program) -> ExitStatus {
    program.wait_for_exit(DEADLINE).expect("waiting for its end")
}

/// The two addresses in `listening on LISTEN, forwarding to BACKEND`.
fn announced(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (listen, backend) = line.strip_prefix("listening on ")?.split_once(", forwarding to ")?;
    Some((listen.parse().ok()?, backend.parse().ok()?))
}

/// A server that hands its connections to the test.
struct Upstream {
    listener: TcpListener,
    address: SocketAddr,
}

impl Upstream {
    fn open() -> Upstream {
        Upstream::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    fn at(address: SocketAddr) -> Upstream {
        let listener = TcpListener::bind(address).expect("opening a backend");
        let address = listener.local_addr().expect("reading its address");
        // So that waiting for the proxy can end without it. The connections themselves block.
        listener.set_nonblocking(true).expect("making it non-blocking");
        Upstream { listener, address }
    }

    fn next(&self) -> TcpStream {
        let arrival = find_within(DEADLINE, || self.listener.accept().ok());
        patient(arrival.expect("the proxy does not come to the backend").0)
    }
}

/// A client and the backend's end of its connection. The request has already arrived there.
struct Exchange {
    client: TcpStream,
    server: TcpStream,
}

impl Exchange {
    fn begin(proxy: &Running, backend: &Upstream) -> Exchange {
        let mut client = connect(proxy.address);
        client.write_all(REQUEST).expect("sending the request");
        let mut server = backend.next();
        let mut request = vec![0; REQUEST.len()];
        server.read_exact(&mut request).expect("waiting for the request");
        assert_eq!(request, REQUEST, "the request that arrived");
        Exchange { client, server }
    }

    /// The backend answers and closes; the client must get the answer and then the end.
    fn complete(&mut self) {
        self.server.write_all(ANSWER).expect("answering");
        self.server.shutdown(Shutdown::Both).expect("closing");
        let answer = read_all(&mut self.client).expect("waiting for the answer");
        assert_eq!(answer, ANSWER, "the answer that arrived");
    }
}

/// Expects one whole exchange, from a new client.
fn serves(proxy: &Running, backend: &Upstream) {
    Exchange::begin(proxy, backend).complete();
}

/// Expects that a client gets nothing but the end of its connection, or a reset.
fn hangs_up(mut client: TcpStream) {
    match read_all(&mut client) {
        Ok(bytes) => assert_eq!(bytes, b"", "instead of the end"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect_timeout(&address, DEADLINE).expect("connecting to the proxy"))
}

/// Bounds how long a read or a write may wait.
fn patient(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(DEADLINE)).expect("setting a timeout");
    socket.set_write_timeout(Some(DEADLINE)).expect("setting a timeout");
    socket
}

fn read_all(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).map(|_| bytes)
}

/// An address of this machine where nobody listens, and where a backend may listen later.
///
/// A free port of 127.0.0.1 will not do, because the kernel may give it to another test. So each caller
/// gets an address of its own: all of 127.0.0.0/8 is this machine.
fn nobody_listens() -> SocketAddr {
    static CALLERS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, CALLERS.fetch_add(1, Ordering::Relaxed), high, low);
    let listener = TcpListener::bind((ip, 0)).expect("reserving a port");
    let address = listener.local_addr().expect("reading its number");
    drop(listener);
    // If another test is just starting a program, that has a copy of the listener until it calls exec.
    wait_until("the port is closed", || {
        TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    address
}

/// The writing end of a pipe whose reading end is closed.
fn pipe_without_reader() -> PipeWriter {
    let (reader, mut writer) = pipe().expect("opening a pipe");
    drop(reader);
    // As above, a copy of the reading end may live for a moment. Test programs ignore SIGPIPE.
    wait_until("the pipe is closed", || {
        writer.write(b"?").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
    });
    writer
}

fn next(output: &mut Output, what: &str) -> String {
    output.next_line(DEADLINE).unwrap_or_else(|error| panic!("waiting for {what}: {error}"))
}

/// The lines up to the end of the output of a program that has ended.
fn rest(output: &mut Output) -> Vec<String> {
    output.remaining_lines(DEADLINE).expect("waiting for the end of the output")
}

#[track_caller]
fn wait_until(what: &str, so: impl FnMut() -> bool) {
    assert!(true_within(DEADLINE, so), "waited in vain until {what}");
}
