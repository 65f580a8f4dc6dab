//! A relay that is wrong in one way, chosen by name: what the laboratory proves itself on.
//!
//! A verdict can be trusted if a relay that deserves it gets it, and no other. So here is one relay,
//! a loop as in the steps, and every [`Fault`] is a small deviation from it, marked where it happens.
//! Three of the names are no faults: those relays lose nothing, and must never be accused.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{read, write};

/// What is wrong with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Nothing: it stops reading what it cannot write.
    None,
    /// Nothing is lost, but what cannot be written is kept in memory without a bound.
    Unbounded,
    /// Nothing: what cannot be written goes to a temporary file.
    Spill,
    /// Does not look at how much was written: the rest of the block is gone.
    DropRest,
    /// Takes chunked responses apart and leaves out the second chunk, with its header and line end.
    SwallowChunk,
    /// Closes when one end has ended, whatever still waits for the other.
    LoseTail,
    /// When the backend's end is there too, reads once more and takes that for all.
    OneReadAtEnd,
    /// Writes new bytes at once, before the old ones that wait.
    Overtake,
    /// Writes the whole block again when only a part of it was taken.
    Repeat,
    /// Changes one byte of every response that is long enough.
    Alter,
    /// Keeps the rest of a block on the way to the client only: that of an upload is gone.
    ForgetUpload,
    /// Accepts the next client when the last one has gone.
    OneAtATime,
    /// Keeps what could not be written at once, and never writes it.
    NeverFlush,
    /// Stops reading when much waits to be written, and never begins again.
    NeverResume,
    /// Ends when a connection is reset.
    DieOnReset,
    /// Ends when it is stopped and continued.
    DieOnStop,
    /// Never closes a socket.
    LeakDescriptors,
    /// Never frees what it keeps for a connection.
    LeakMemory,
    /// Waits for room to write when it has nothing to write, and so never sleeps.
    Spin,
    /// Ends when the backend refuses.
    ExitOnRefused,
    /// Leaves the client waiting when the backend refuses.
    HangOnRefused,
}

impl Fault {
    /// Whether reading stops while much is still to be written. Some faults show for certain only
    /// where it does not: what never waits cannot be lost, overtaken or left behind.
    fn holds_back(self) -> bool {
        use Fault::*;
        !matches!(self, Unbounded | Spill | LoseTail | Overtake | NeverFlush | LeakMemory)
    }
}

/// The most that one read takes, in bytes.
const BLOCK: usize = 64 * 1024;

/// What may wait in memory before reading stops or the file begins, in bytes, for each way of a
/// connection.
const LIMIT: usize = 256 * 1024;

/// The byte of a response that [`Fault::Alter`] changes, counted from 0.
const ALTERED: u64 = 100_000;

/// The two ends of a connection, as indices into its arrays. The other end is `1 - end`.
const CLIENT: usize = 0;
const BACKEND: usize = 1;
const END_NAMES: [&str; 2] = ["the client", "the backend"];

/// The listener's token in the epoll set. A connection's ends have the tokens `2 * id + end`.
const LISTENER: u64 = 0;

struct Relay {
    fault: Fault,
    epoll: Epoll,
    listener: TcpListener,
    backend: SocketAddr,
    connections: HashMap<u64, Connection>,
    /// Counts up and is never reused, so that a late event finds nobody.
    next_id: u64,
}

struct Connection {
    sockets: [TcpStream; 2],
    /// By the end that the bytes come from.
    ways: [Way; 2],
    /// What epoll watches each end for. Empty: this end has left the epoll set.
    interest: [EpollFlags; 2],
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    /// Read and not yet written, oldest byte first.
    waiting: VecDeque<u8>,
    /// Read after all of `waiting`, and not yet written either.
    spilled: Option<Spill>,
    /// Bytes read so far.
    count: u64,
    /// As much has waited as may.
    was_full: bool,
    chunks: Chunks,
    /// The sender has ended.
    ended: bool,
    /// The receiver has been told so.
    told: bool,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum Flow {
    Open,
    Ended,
}

/// Relays between `listen` and `backend` for ever, with this fault.
///
/// # Errors
/// When it cannot listen or wait for events; and where dying is the fault.
pub fn run(fault: Fault, listen: SocketAddr, backend: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    listener.set_nonblocking(true).context("making the listener non-blocking")?;
    let listen = listener.local_addr().context("reading our own address")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating the epoll set")?;
    let relay = Relay { fault, epoll, listener, backend, connections: HashMap::new(), next_id: 1 };
    relay.watch_listener(true)?;
    writeln!(std::io::stdout(), "listening on {listen}, forwarding to {backend}")
        .context("announcing the address")?;
    relay.serve_for_ever()
}

impl Relay {
    /// Waits until sockets are ready, reads from those that have something, then writes to those
    /// that have room. A relay that keeps the order of its bytes may do it in this order too.
    fn serve_for_ever(mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                // A stop and continue ends the wait without any event (signal(7)).
                Err(Errno::EINTR) if self.fault != Fault::DieOnStop => continue,
                waited => waited.context("waiting for events")?,
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    token => self.serve(token, event.events(), Connection::pass_on)?,
                }
            }
            for event in events[..count].iter().filter(|event| event.data() != LISTENER) {
                self.serve(event.data(), event.events(), Connection::flush)?;
            }
        }
    }

    /// Takes in one client and connects it to the backend, which answers at once over loopback.
    fn accept(&mut self) -> Result<()> {
        // Whoever waits no longer had no time to lose.
        let Ok((client, _)) = self.listener.accept() else { return Ok(()) };
        let backend = match TcpStream::connect(self.backend) {
            Ok(backend) => backend,
            Err(error) if self.fault == Fault::ExitOnRefused => {
                return Err(error).context("connecting to the backend");
            }
            Err(error) => {
                eprintln!("connecting to the backend: {error}");
                if self.fault == Fault::HangOnRefused {
                    mem::forget(client);
                }
                return Ok(());
            }
        };
        let mut connection = Connection {
            sockets: [client, backend],
            ways: Default::default(),
            interest: [EpollFlags::empty(); 2],
        };
        for (socket, name) in connection.sockets.iter().zip(END_NAMES) {
            socket.set_nonblocking(true).with_context(|| format!("making {name} non-blocking"))?;
        }
        connection.watch(&self.epoll, self.next_id, self.fault)?;
        self.connections.insert(self.next_id, connection);
        self.next_id += 1;
        if self.fault == Fault::OneAtATime {
            self.watch_listener(false)?;
        }
        Ok(())
    }

    /// Does with one end of a connection what its event asks for, and closes the connection when
    /// that was the last of it.
    fn serve(
        &mut self,
        token: u64,
        ready: EpollFlags,
        act: impl FnOnce(&mut Connection, usize, EpollFlags, Fault) -> Result<Flow>,
    ) -> Result<()> {
        let (id, end) = (token / 2, (token % 2) as usize);
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let served = act(connection, end, ready, self.fault).and_then(|flow| {
            connection.watch(&self.epoll, id, self.fault)?;
            Ok(flow)
        });
        match served {
            Ok(Flow::Open) => return Ok(()),
            Ok(Flow::Ended) => {}
            Err(error) if self.fault == Fault::DieOnReset => return Err(error),
            Err(error) => eprintln!("connection {id}: {error:#}"),
        }
        self.close(id)
    }

    /// Forgets a connection, and thereby closes its sockets.
    fn close(&mut self, id: u64) -> Result<()> {
        let Some(mut connection) = self.connections.remove(&id) else { return Ok(()) };
        match self.fault {
            Fault::LeakDescriptors => {
                connection.interest(&self.epoll, id, [EpollFlags::empty(); 2])?;
                mem::forget(connection.sockets);
            }
            Fault::LeakMemory => mem::forget(connection.ways),
            Fault::OneAtATime => self.watch_listener(true)?,
            _ => {}
        }
        Ok(())
    }

    fn watch_listener(&self, watch: bool) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        let changed = match watch {
            true => self.epoll.add(&self.listener, event),
            false => self.epoll.delete(&self.listener),
        };
        changed.context("watching the listener")
    }
}

impl Connection {
    /// Passes on what one end has sent: one read, one write, and the rest waits.
    fn pass_on(&mut self, from: usize, ready: EpollFlags, fault: Fault) -> Result<Flow> {
        let to = 1 - from;
        if !ready.intersects(ready_for(EpollFlags::EPOLLIN)) || !self.ways[from].has_room(fault) {
            return Ok(Flow::Open);
        }
        let mut block = [0; BLOCK];
        let count = match read(&self.sockets[from], &mut block) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Flow::Open),
            Err(error) => return Err(error).context(format!("reading from {}", END_NAMES[from])),
        };
        let way = &mut self.ways[from];
        way.ended = count == 0;
        if fault == Fault::LoseTail && way.ended {
            return Ok(Flow::Ended);
        }
        if fault == Fault::OneReadAtEnd && ready.contains(EpollFlags::EPOLLRDHUP) {
            way.ended = true;
        }
        let mut block = &mut block[..count];
        if from == BACKEND {
            block = way.tamper(block, fault);
        }
        // Bytes that wait already go first: a write now would overtake them.
        let first = way.is_empty() || fault == Fault::Overtake;
        let taken = if first { write_some(&self.sockets[to], block, to)? } else { 0 };
        let rest = &block[taken..];
        match fault {
            Fault::DropRest => {}
            Fault::ForgetUpload if from == CLIENT => {}
            Fault::Repeat if taken > 0 && !rest.is_empty() => way.keep(block, fault)?,
            _ => way.keep(rest, fault)?,
        }
        self.tell_end(from)
    }

    /// Writes to one end from what waits for it.
    fn flush(&mut self, to: usize, ready: EpollFlags, fault: Fault) -> Result<Flow> {
        let from = 1 - to;
        let way = &mut self.ways[from];
        if !ready.intersects(ready_for(EpollFlags::EPOLLOUT)) || fault == Fault::NeverFlush {
            return Ok(Flow::Open);
        }
        let taken = write_some(&self.sockets[to], way.waiting.as_slices().0, to)?;
        way.waiting.drain(..taken);
        way.fetch_spilled()?;
        self.tell_end(from)
    }

    /// Passes on the end of one direction, once everything before it has gone.
    fn tell_end(&mut self, from: usize) -> Result<Flow> {
        let to = 1 - from;
        let way = &mut self.ways[from];
        if way.ended && way.is_empty() && !way.told {
            way.told = true;
            self.sockets[to]
                .shutdown(Shutdown::Write)
                .with_context(|| format!("ending the way to {}", END_NAMES[to]))?;
        }
        Ok(if self.ways.iter().all(|way| way.told) { Flow::Ended } else { Flow::Open })
    }

    /// Has epoll watch each end for what can be used now.
    fn watch(&mut self, epoll: &Epoll, id: u64, fault: Fault) -> Result<()> {
        let wanted = [CLIENT, BACKEND].map(|end| {
            let (from_it, to_it) = (&self.ways[end], &self.ways[1 - end]);
            let mut wanted = EpollFlags::empty();
            wanted.set(EpollFlags::EPOLLIN, from_it.has_room(fault));
            wanted.set(EpollFlags::EPOLLRDHUP, fault == Fault::OneReadAtEnd && !from_it.ended);
            let writes = !to_it.is_empty() && fault != Fault::NeverFlush;
            wanted.set(EpollFlags::EPOLLOUT, writes || fault == Fault::Spin);
            wanted
        });
        self.interest(epoll, id, wanted)
    }

    /// Changes what epoll watches each end for. An end that waits for nothing leaves the set: its
    /// hang-up would wake us for ever.
    fn interest(&mut self, epoll: &Epoll, id: u64, wanted: [EpollFlags; 2]) -> Result<()> {
        for (end, wanted) in wanted.into_iter().enumerate() {
            let was = mem::replace(&mut self.interest[end], wanted);
            let socket = &self.sockets[end];
            let mut event = EpollEvent::new(wanted, 2 * id + end as u64);
            match (was.is_empty(), wanted.is_empty()) {
                _ if was == wanted => Ok(()),
                (true, _) => epoll.add(socket, event),
                (_, true) => epoll.delete(socket),
                _ => epoll.modify(socket, &mut event),
            }
            .with_context(|| format!("watching {}", END_NAMES[end]))?;
        }
        Ok(())
    }
}

/// The events that make it worth trying: an error or a hang-up comes unasked, and whoever reads or
/// writes next is told what it is.
fn ready_for(what: EpollFlags) -> EpollFlags {
    what | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP
}

/// Writes what the kernel takes now and says how many bytes that was.
fn write_some(socket: &TcpStream, bytes: &[u8], to: usize) -> Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match write(socket, bytes) {
        Ok(count) => Ok(count),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
        Err(error) => Err(error).context(format!("writing to {}", END_NAMES[to])),
    }
}

impl Way {
    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.spilled.is_none()
    }

    /// Whether more may be read.
    fn has_room(&self, fault: Fault) -> bool {
        let stuck = fault == Fault::NeverResume && self.was_full;
        !self.ended && !stuck && (self.waiting.len() < LIMIT || !fault.holds_back())
    }

    /// Lets bytes wait, behind all others.
    fn keep(&mut self, bytes: &[u8], fault: Fault) -> Result<()> {
        let fits = self.spilled.is_none() && self.waiting.len() + bytes.len() <= LIMIT;
        if fits || fault != Fault::Spill {
            self.waiting.extend(bytes);
            self.was_full |= self.waiting.len() >= LIMIT;
            return Ok(());
        }
        let spill = match &mut self.spilled {
            Some(spill) => spill,
            none => none.insert(Spill::new().context("creating a temporary file")?),
        };
        spill.append(bytes).context("writing to the temporary file")
    }

    /// Brings back from the file what can be written next, once nothing else waits.
    fn fetch_spilled(&mut self) -> Result<()> {
        if let Some(spill) = self.spilled.as_mut().filter(|_| self.waiting.is_empty()) {
            self.waiting.extend(spill.take(LIMIT).context("reading from the temporary file")?);
            if spill.taken == spill.len {
                self.spilled = None;
            }
        }
        Ok(())
    }

    /// Changes a block of a response where that is the fault; returns what is left of it.
    fn tamper<'b>(&mut self, block: &'b mut [u8], fault: Fault) -> &'b mut [u8] {
        let mut left = block.len();
        if fault == Fault::SwallowChunk {
            left = 0;
            for index in 0..block.len() {
                block[left] = block[index];
                left += usize::from(self.chunks.keep(block[index]));
            }
        }
        let place = ALTERED.checked_sub(self.count).map(|place| place as usize);
        if let Some(byte) = place.filter(|_| fault == Fault::Alter).and_then(|i| block.get_mut(i)) {
            *byte ^= 1;
        }
        self.count += block.len() as u64;
        &mut block[..left]
    }
}

/// A temporary file without a name: it is gone when it is closed, however the process ends.
struct Spill {
    file: File,
    /// Bytes in the file.
    len: u64,
    /// How many of them have been taken back.
    taken: u64,
}

impl Spill {
    fn new() -> std::io::Result<Spill> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lab-relay-{}-{next}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(path)?;
        Ok(Spill { file, len: 0, taken: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn take(&mut self, most: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; (self.len - self.taken).min(most as u64) as usize];
        self.file.read_exact_at(&mut bytes, self.taken)?;
        self.taken += bytes.len() as u64;
        Ok(bytes)
    }
}

/// Follows a response byte by byte, as far as it takes to know its second chunk.
#[derive(Default)]
struct Chunks {
    /// The line being read: of the head, or the header of a chunk.
    line: Vec<u8>,
    chunked: bool,
    /// The head is over.
    in_body: bool,
    /// What is left of the current chunk, with its line end, in bytes.
    left: u64,
    /// Chunks begun.
    begun: u64,
    swallowing: bool,
}

impl Chunks {
    /// Whether the next byte is kept: it is, unless it belongs to the second chunk. The end, which
    /// is a chunk of no bytes, is no second chunk.
    fn keep(&mut self, byte: u8) -> bool {
        let in_header = self.in_body && self.chunked && self.left == 0;
        if in_header && self.line.is_empty() {
            self.begun += 1;
            self.swallowing = self.begun == 2 && byte != b'0';
        }
        if self.left > 0 {
            self.left -= 1;
            return !self.swallowing;
        }
        self.line.push(byte);
        if byte == b'\n' {
            let line = String::from_utf8_lossy(&self.line).trim().to_ascii_lowercase();
            self.line.clear();
            self.chunked |= line == "transfer-encoding: chunked";
            self.in_body |= line.is_empty();
            if in_header {
                self.left = u64::from_str_radix(&line, 16).map_or(0, |size| size + 2);
            }
        }
        !self.swallowing
    }
}
