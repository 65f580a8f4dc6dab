//! Step 05: backpressure.
//!
//! Adds: a high and a low watermark for each FIFO. Above the high one the end that feeds it is no
//! longer read, below the low one it is again. The kernel's buffers get a bound, too. In each direction
//! this process never holds more than HIGH bytes of a connection, however large the page is.
//! Wrong on purpose: an end that is not read cannot be heard, so if it closes or resets meanwhile, we
//! learn that only when we read it again. And a half-closed connection is still cut off: step 06.
//! Later steps: a backend slow to accept holds the loop (07), a stalled client may stay forever (08).
//! Chapter 5: Backpressure.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Display, Formatter};
use std::io::{Write, stderr, stdout};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{read, write};

/// The most that one read takes, in bytes.
const BLOCK: usize = 128 * 1024;

/// A FIFO with this many bytes is full: the end that feeds it isn't read anymore.
const HIGH: usize = BLOCK;

/// A full FIFO that has come down to this many bytes may be fed again.
const LOW: usize = 32 * 1024;

/// What the kernel may keep of what it has received for us, in bytes, unless `--kernel=BYTES` says
/// otherwise. Of what it has still to send, a quarter.
const KERNEL: usize = 96 * 1024;

/// The two ends of a connection, as indices into its arrays. The other end is `1 - end`.
const CLIENT: usize = 0;
const BACKEND: usize = 1;
const END_NAMES: [&str; 2] = ["the client", "the backend"];

/// The listener's token in the epoll set. A connection's ends have the tokens `2 * id + end`.
const LISTENER: u64 = 0;

/// One client and the connection to the backend that was opened for it.
struct Connection {
    sockets: [TcpStream; 2],
    /// What has still to be written to each end, oldest byte first: never more than HIGH bytes.
    pending: [VecDeque<u8>; 2],
    /// Whether each end is not read at the moment, because the other end's FIFO is full.
    paused: [bool; 2],
    /// What has gone to each end so far.
    tally: [Tally; 2],
    /// What epoll watches each end for. Empty: this end has left the epoll set.
    interest: [EpollFlags; 2],
    /// One end has closed: nothing more is read, and when nothing is pending we close too.
    ending: bool,
}

/// What has gone to one end of a connection.
#[derive(Default)]
struct Tally {
    /// Bytes read from the other end.
    taken: u64,
    /// Bytes written to this one.
    sent: u64,
    /// How often the other end was paused, and how often it was read again.
    pauses: u64,
    resumes: u64,
    /// The most that was ever pending, in bytes.
    peak: usize,
}

/// Whether a connection goes on after an event.
enum Flow {
    Open,
    Ended,
}

struct Proxy {
    epoll: Epoll,
    listener: TcpListener,
    /// False while no descriptor is left for another client.
    accepting: bool,
    backend: SocketAddr,
    /// As [`KERNEL`]; 0: as much as the kernel likes.
    kernel: usize,
    connections: HashMap<u64, Connection>,
    /// Counts up and is never reused: an event left over from a closed connection finds nobody,
    /// instead of a newer connection under the old id.
    next_id: u64,
    block: Vec<u8>,
}

fn main() -> ExitCode {
    let (listen, backend, kernel) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            complain(format_args!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    match Proxy::bind(listen, backend, kernel).and_then(Proxy::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Proxy {
    /// Opens the listening socket and says so. Once the line is there, clients may connect.
    fn bind(listen: SocketAddr, backend: SocketAddr, kernel: usize) -> Result<Proxy> {
        let listener =
            TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
        listener.set_nonblocking(true).context("making the listener non-blocking")?;
        let listen = listener.local_addr().context("reading our own address")?;
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating the epoll set")?;
        epoll
            .add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))
            .context("watching the listener")?;
        writeln!(stdout(), "listening on {listen}, forwarding to {backend}")
            .context("announcing the address")?;
        Ok(Proxy {
            epoll,
            listener,
            accepting: true,
            backend,
            kernel,
            connections: HashMap::new(),
            next_id: 1,
            block: vec![0; BLOCK],
        })
    }

    /// The loop: waits until sockets are ready and serves each of them once.
    fn run(mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                // A stop and continue, or a debugger, ends the wait without any event.
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context("waiting for events"),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    token => self.relay(token / 2, (token % 2) as usize, event.events()),
                }
            }
        }
    }

    /// Takes in one client and connects it to the backend.
    ///
    /// One is enough: epoll is level-triggered here, so the next client in the queue wakes us again.
    fn accept(&mut self) -> Result<()> {
        let client = match self.listener.accept() {
            Ok((client, _)) => client,
            Err(error) => return self.no_client(error),
        };
        match self.connect(client) {
            Ok(connection) => {
                self.connections.insert(self.next_id, connection);
                self.next_id += 1;
            }
            // The client's socket has been dropped and thereby closed: that is all that it costs.
            Err(error) => complain(format_args!("{error:#}")),
        }
        Ok(())
    }

    /// Opens a connection to the backend for this client and watches both ends.
    fn connect(&self, client: TcpStream) -> Result<Connection> {
        let backend = TcpStream::connect(self.backend)
            .with_context(|| format!("connecting to the backend {}", self.backend))?;
        let connection = Connection {
            sockets: [client, backend],
            pending: [(); 2].map(|()| VecDeque::with_capacity(HIGH)),
            paused: [false; 2],
            tally: Default::default(),
            interest: [EpollFlags::EPOLLIN; 2],
            ending: false,
        };
        for end in [CLIENT, BACKEND] {
            connection.sockets[end]
                .set_nonblocking(true)
                .with_context(|| format!("making {} non-blocking", END_NAMES[end]))?;
            bound_kernel(&connection.sockets[end], self.kernel)
                .with_context(|| format!("bounding the buffers of {}", END_NAMES[end]))?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, 2 * self.next_id + end as u64);
            self.epoll
                .add(&connection.sockets[end], event)
                .with_context(|| format!("watching {}", END_NAMES[end]))?;
        }
        Ok(connection)
    }

    /// Decides what a failed accept means. Most failures are network errors of the one connection
    /// that was to be taken.
    fn no_client(&mut self, error: std::io::Error) -> Result<()> {
        match error.raw_os_error().map(Errno::from_raw) {
            // Nobody waits after all.
            Some(Errno::EAGAIN) => return Ok(()),
            // No descriptor is left, and the client that waits would wake us forever: look away
            // until a connection is closed.
            Some(Errno::EMFILE | Errno::ENFILE) if !self.connections.is_empty() => {
                self.epoll.delete(&self.listener).context("leaving the listener")?;
                self.accepting = false;
            }
            Some(Errno::EMFILE | Errno::ENFILE) => return Err(error).context("accepting a client"),
            _ => {}
        }
        complain(format_args!("accepting a client: {error}"));
        Ok(())
    }

    /// Serves one end of a connection, which has something to read or room to write, has ended or
    /// has failed.
    fn relay(&mut self, id: u64, end: usize, ready: EpollFlags) {
        // Nobody there: an earlier event of the same batch closed the connection.
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let served = serve(connection, end, ready, &mut self.block);
        match served.and_then(|flow| watch(&self.epoll, id, connection).map(|()| flow)) {
            Ok(Flow::Open) => return,
            Ok(Flow::Ended) => {}
            Err(error) => complain(format_args!("connection {id}: {error:#}")),
        }
        self.close(id);
    }

    /// Removes a connection and says what went through it. Dropping its sockets closes them, and what
    /// is closed leaves the epoll set by itself.
    fn close(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            let [client, backend] = &connection.tally;
            complain(format_args!(
                "connection {id}: to the client {client}; to the backend {backend}"
            ));
        }
        if !self.accepting {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
            self.accepting = self.epoll.add(&self.listener, event).is_ok();
        }
    }
}

/// Does for one end what its event asks for: first write what waits for it, then read from it.
fn serve(
    connection: &mut Connection,
    end: usize,
    ready: EpollFlags,
    block: &mut [u8],
) -> Result<Flow> {
    // An error or a hang-up comes unasked. The next write or read says what it is.
    let failed = ready.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
    if !connection.pending[end].is_empty() && (failed || ready.contains(EpollFlags::EPOLLOUT)) {
        flush(connection, end)?;
    }
    let readable = failed || ready.contains(EpollFlags::EPOLLIN);
    if readable
        && !connection.paused[end]
        && !connection.ending
        && matches!(pass_on(connection, end, block)?, Flow::Ended)
    {
        // What the other end has still to get, it gets. What this one has not, it never will.
        connection.ending = true;
        connection.pending[end].clear();
    }
    let flushed = connection.pending.iter().all(VecDeque::is_empty);
    Ok(if connection.ending && flushed { Flow::Ended } else { Flow::Open })
}

/// Passes on what one end has sent: one read, one write, and the FIFO takes what is left.
///
/// One read is enough: epoll is level-triggered here, so whatever is left wakes us again.
fn pass_on(connection: &mut Connection, from: usize, block: &mut [u8]) -> Result<Flow> {
    let to = 1 - from;
    // No more than the FIFO has room for, in case the kernel takes nothing.
    let room = HIGH - connection.pending[to].len();
    let count = match read(&connection.sockets[from], &mut block[..room]) {
        Ok(0) => return Ok(Flow::Ended),
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Flow::Open),
        Err(error) => return Err(error).context(format!("reading from {}", END_NAMES[from])),
    };
    // Bytes that wait already go first: a write now would overtake them.
    let taken = if connection.pending[to].is_empty() {
        write_some(&connection.sockets[to], &block[..count], to)?
    } else {
        0
    };
    connection.pending[to].extend(&block[taken..count]);
    let tally = &mut connection.tally[to];
    tally.taken += count as u64;
    tally.sent += taken as u64;
    tally.peak = tally.peak.max(connection.pending[to].len());
    Ok(Flow::Open)
}

/// Writes from the front of the FIFO. One write is enough, for the same reason as one read.
fn flush(connection: &mut Connection, to: usize) -> Result<()> {
    let (front, _) = connection.pending[to].as_slices();
    let taken = write_some(&connection.sockets[to], front, to)?;
    connection.pending[to].drain(..taken);
    connection.tally[to].sent += taken as u64;
    Ok(())
}

/// Writes what the kernel takes now and says how many bytes that was.
fn write_some(socket: &TcpStream, bytes: &[u8], to: usize) -> Result<usize> {
    match write(socket, bytes) {
        Ok(count) => Ok(count),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
        Err(error) => Err(error).context(format!("writing to {}", END_NAMES[to])),
    }
}

/// Stops reading from one end when what waits for the other has reached the high mark, and begins
/// again when it is down to the low one. With one mark for both, we would stop and go on at nearly
/// every event.
fn pause_or_resume(connection: &mut Connection, from: usize) {
    let to = 1 - from;
    let waiting = connection.pending[to].len();
    if !connection.paused[from] && waiting >= HIGH {
        connection.paused[from] = true;
        connection.tally[to].pauses += 1;
    } else if connection.paused[from] && waiting <= LOW {
        connection.paused[from] = false;
        connection.tally[to].resumes += 1;
    }
}

/// Tells epoll what each end now waits for: something to read unless it is paused or one of them has
/// closed, room to write only while something is pending. A socket is nearly always writable, so to
/// ask for EPOLLOUT without need would be to spin.
fn watch(epoll: &Epoll, id: u64, connection: &mut Connection) -> Result<()> {
    for end in [CLIENT, BACKEND] {
        pause_or_resume(connection, end);
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, !connection.ending && !connection.paused[end]);
        wanted.set(EpollFlags::EPOLLOUT, !connection.pending[end].is_empty());
        if wanted == connection.interest[end] {
            continue;
        }
        let socket = &connection.sockets[end];
        let mut event = EpollEvent::new(wanted, 2 * id + end as u64);
        match (connection.interest[end].is_empty(), wanted.is_empty()) {
            (false, true) => epoll.delete(socket),
            (true, false) => epoll.add(socket, event),
            _ => epoll.modify(socket, &mut event),
        }
        .with_context(|| format!("changing what {} is watched for", END_NAMES[end]))?;
        connection.interest[end] = wanted;
    }
    Ok(())
}

/// Bounds what the kernel holds for a socket: what it has received and we have not read, and what it
/// has taken from us and not sent yet. A quarter is enough for that: it only has to last until we are
/// told that there is room again.
fn bound_kernel(socket: &TcpStream, bytes: usize) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
    // Not SO_SNDBUF: that also bounds what is on its way, and so the speed over a long distance.
    // And never 0, which the kernel takes for no bound.
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, (bytes / 4).max(1))
}

/// Sets a socket option that is a number. nix has a call for SO_RCVBUF but none for TCP_NOTSENT_LOWAT.
fn set_option(socket: &TcpStream, level: i32, name: i32, value: usize) -> Result<()> {
    let value = i32::try_from(value).unwrap_or(i32::MAX);
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes from `value`, which is alive and exactly that large, and
    // keeps no pointer to it.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size)
    };
    ensure!(result == 0, Errno::last());
    Ok(())
}

/// Reads `[--kernel=BYTES] [LISTEN] [BACKEND]` from the command line.
fn arguments() -> Result<(SocketAddr, SocketAddr, usize)> {
    let usage = concat!("usage: ", env!("CARGO_BIN_NAME"), " [--kernel=BYTES] [LISTEN] [BACKEND]");
    let mut given: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into()).collect();
    let mut kernel = KERNEL;
    if let Some(bytes) = given.first().and_then(|text| text.strip_prefix("--kernel=")) {
        kernel = bytes
            .parse()
            .ok()
            .with_context(|| format!("{bytes:?} is not a number of bytes ({usage})"))?;
        given.remove(0);
    }
    if let Some(extra) = given.get(2) {
        bail!("one argument too many, {extra:?} ({usage})");
    }
    let address = |position: usize, default: &str| {
        let text = given.get(position).map_or(default, |text| text);
        text.parse().ok().with_context(|| {
            format!("{text:?} is not an address and port like {default} ({usage})")
        })
    };
    Ok((address(0, "127.0.0.1:8080")?, address(1, "127.0.0.1:9000")?, kernel))
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let Tally { taken, sent, pauses, resumes, peak } = self;
        write!(f, "taken {taken}, sent {sent}, pauses {pauses}, resumes {resumes}, peak {peak}")
    }
}

/// One line on stderr. Not `eprintln!`, which panics where stderr has been closed.
fn complain(what: impl Display) {
    let _ = writeln!(stderr(), concat!(env!("CARGO_BIN_NAME"), ": {}"), what);
}
