//! Step 04: every byte, in order.
//!
//! Adds: a FIFO in each direction for what a write did not take. EPOLLOUT tells when there is room
//! again, and a connection is closed only after its FIFO is empty. Every byte arrives, in order.
//! Wrong on purpose: nothing bounds the FIFO. A slow client and a fast backend make this process as
//! large as the response; step 05 holds the backend back instead.
//! Later steps: a half-closed connection is closed (06), a backend slow to accept holds the loop (07).
//! Chapter 4: Every byte, in order.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{read, write};

/// The most that one read takes, in bytes.
const BLOCK: usize = 64 * 1024;

/// The two ends of a connection, as indices into its arrays. The other end is `1 - end`.
const CLIENT: usize = 0;
const BACKEND: usize = 1;
const END_NAMES: [&str; 2] = ["the client", "the backend"];

/// The listener's token in the epoll set. A connection's ends have the tokens `2 * id + end`.
const LISTENER: u64 = 0;

/// One client and the connection to the backend that was opened for it.
struct Connection {
    sockets: [TcpStream; 2],
    /// What has still to be written to each end, oldest byte first.
    pending: [VecDeque<u8>; 2],
    /// What epoll watches each end for. Empty: this end has left the epoll set.
    interest: [EpollFlags; 2],
    /// One end has closed: nothing more is read, and when nothing is pending we close too.
    ending: bool,
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
    connections: HashMap<u64, Connection>,
    /// Counts up and is never reused: an event left over from a closed connection finds nobody,
    /// instead of a newer connection under the old id.
    next_id: u64,
    block: Vec<u8>,
}

fn main() -> ExitCode {
    let (listen, backend) = match addresses() {
        Ok(addresses) => addresses,
        Err(error) => {
            complain(format_args!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    match Proxy::bind(listen, backend).and_then(Proxy::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Proxy {
    /// Opens the listening socket and says so. Once the line is there, clients may connect.
    fn bind(listen: SocketAddr, backend: SocketAddr) -> Result<Proxy> {
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
            pending: Default::default(),
            interest: [EpollFlags::EPOLLIN; 2],
            ending: false,
        };
        for end in [CLIENT, BACKEND] {
            connection.sockets[end]
                .set_nonblocking(true)
                .with_context(|| format!("making {} non-blocking", END_NAMES[end]))?;
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

    /// Removes a connection. Dropping its sockets closes them, and what is closed leaves the epoll
    /// set by itself.
    fn close(&mut self, id: u64) {
        self.connections.remove(&id);
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
    if readable && !connection.ending && matches!(pass_on(connection, end, block)?, Flow::Ended) {
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
    let count = match read(&connection.sockets[from], block) {
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
    Ok(Flow::Open)
}

/// Writes from the front of the FIFO. One write is enough, for the same reason as one read.
fn flush(connection: &mut Connection, to: usize) -> Result<()> {
    let (front, _) = connection.pending[to].as_slices();
    let taken = write_some(&connection.sockets[to], front, to)?;
    connection.pending[to].drain(..taken);
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

/// Tells epoll what each end now waits for: something to read until one of them has closed, room to
/// write only while something is pending. A socket is nearly always writable, so to ask for
/// EPOLLOUT without need would be to spin.
fn watch(epoll: &Epoll, id: u64, connection: &mut Connection) -> Result<()> {
    for end in [CLIENT, BACKEND] {
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, !connection.ending);
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

/// Reads `[LISTEN] [BACKEND]` from the command line.
fn addresses() -> Result<(SocketAddr, SocketAddr)> {
    let usage = concat!("usage: ", env!("CARGO_BIN_NAME"), " [LISTEN] [BACKEND]");
    let given: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into()).collect();
    if let Some(extra) = given.get(2) {
        bail!("one argument too many, {extra:?} ({usage})");
    }
    let address = |position: usize, default: &str| {
        let text = given.get(position).map_or(default, |text| text);
        text.parse().ok().with_context(|| {
            format!("{text:?} is not an address and port like {default} ({usage})")
        })
    };
    Ok((address(0, "127.0.0.1:8080")?, address(1, "127.0.0.1:9000")?))
}

/// One line on stderr. Not `eprintln!`, which panics where stderr has been closed.
fn complain(what: impl Display) {
    let _ = writeln!(stderr(), concat!(env!("CARGO_BIN_NAME"), ": {}"), what);
}
