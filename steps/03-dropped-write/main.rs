//! Step 03: the dropped write.
//!
//! Adds: the sockets are non-blocking, so `write` never waits and nobody freezes anymore.
//! Wrong on purpose: what `write` answers is ignored. A socket that is full takes a part of the
//! block, or none of it (EAGAIN), and the rest of the block is forgotten. This is the bug that the
//! whole workbook is about: some bytes of a long answer to a slow client never arrive.
//! Later steps: a half-closed connection is closed (06), a backend slow to accept holds the loop (07).
//! Chapter 3: Short pages are fine.

use std::collections::HashMap;
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
                    token => self.relay(token / 2, (token % 2) as usize),
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
        let connection = Connection { sockets: [client, backend] };
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

    /// Serves one end of a connection, which has something to read, has ended or has failed.
    fn relay(&mut self, id: u64, end: usize) {
        // Nobody there: an earlier event of the same batch closed the connection.
        let Some(connection) = self.connections.get(&id) else { return };
        match pass_on(connection, end, &mut self.block) {
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

/// Passes on what one end has sent: one read, one write.
///
/// One read is enough: epoll is level-triggered here, so whatever is left wakes us again.
fn pass_on(connection: &Connection, from: usize, block: &mut [u8]) -> Result<Flow> {
    let to = 1 - from;
    let count = match read(&connection.sockets[from], block) {
        Ok(0) => return Ok(Flow::Ended),
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Flow::Open),
        Err(error) => return Err(error).context(format!("reading from {}", END_NAMES[from])),
    };
    // THE DROPPED WRITE. `write` says how many bytes it took, and we throw that away.
    let _ = write(&connection.sockets[to], &block[..count]);
    Ok(Flow::Open)
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
