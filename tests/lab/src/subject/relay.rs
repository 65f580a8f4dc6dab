//! A relay with one fault of your choice: the laboratory's own tests run the experiments on it.
//!
//! We can trust a verdict if a relay that deserves it gets it, and no other relay does. So here is one
//! relay, a loop like that of the steps, and each [`Fault`] is a small change to it. Search for the
//! fault's name to see the change. Some of the names are no faults, and those must never be accused of
//! anything: `None`, `Spill`, `SpeakHttp`, `Tick`, `SlowToConnect`, `Pool` and
//! `LeaveAlone`.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{read, write};

use crate::kernel::net;
use crate::sent::wire;

/// What is wrong with a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Nothing: it stops reading when it cannot write.
    None,
    /// Loses nothing, but keeps what it cannot write in memory, without a bound.
    Unbounded,
    /// The same, but only with what goes to the backend.
    UnboundedUpload,
    /// Nothing: it keeps what it cannot write in a temporary file.
    Spill,
    /// Does not look at how much was written, and forgets the rest of the block.
    DropRest,
    /// Leaves out the second chunk of a chunked response, with its header and line end.
    SwallowChunk,
    /// Closes when one end has closed, although bytes still wait for the other.
    LoseTail,
    /// Reads only once more when it learns that the backend has closed.
    OneReadAtEnd,
    /// Keeps little, and writes only once more when the backend has closed.
    OneWriteAtEnd,
    /// Writes new bytes at once, before older ones that wait.
    Overtake,
    /// Keeps the whole block when only a part of it was written, so that part is sent twice.
    Repeat,
    /// Changes one byte of every response that is long enough.
    Alter,
    /// Forgets the rest of a block only on the way to the backend.
    ForgetUpload,
    /// Does not accept a client while it serves another.
    OneAtATime,
    /// Keeps what it could not write at once, and never writes it.
    NeverFlush,
    /// Stops reading when it cannot write, and never reads again.
    NeverResume,
    /// Ends when a connection is reset.
    DieOnReset,
    /// Ends when it is stopped and continued.
    DieOnStop,
    /// Never closes a socket.
    LeakDescriptors,
    /// Never frees what it keeps for a connection.
    LeakMemory,
    /// Uses the buffers of a connection that has ended for the next one, and does not empty them.
    DirtyBuffer,
    /// Reads for several connections into one block before it writes for any.
    SharedBlock,
    /// Reads for several connections before it writes for any, and remembers by its number the
    /// descriptor to write to. In the meantime it may be another connection's.
    StaleDescriptor,
    /// Asks to be woken when it can write although it has nothing to write, and so never sleeps.
    Spin,
    /// Never sleeps while a client is connected and has sent nothing.
    SpinUntilAsked,
    /// Nothing: it looks around a hundred times a second.
    Tick,
    /// Ends when the backend refuses a connection.
    ExitOnRefused,
    /// Leaves the client waiting when the backend refuses a connection.
    HangOnRefused,
    /// Takes the end of one direction for the end of both: writes what it has read, and reads no more.
    EndBoth,
    /// Sends the last chunk by itself when the backend resets its connection.
    MakeUpEnd,
    /// When one end resets its connection, closes the other in good order.
    MuteReset,
    /// Nothing: it takes an end for the end of both, but it writes heads of its own, and a proxy that
    /// speaks HTTP may do so.
    SpeakHttp,
    /// Leaks a descriptor for each connection that the backend refuses.
    LeakOnRefused,
    /// Leaks 200 KiB of memory for each connection.
    LeakALittle,
    /// Nothing: it waits 2 s before it connects to the backend.
    SlowToConnect,
    /// Nothing: it keeps up to eight connections to the backend ready for later clients.
    Pool,
    /// Nothing: when the backend has refused, it answers the next dozen clients by itself, with 503.
    LeaveAlone,
}

impl Fault {
    /// Whether it stops reading from that end when much waits to be written. Some faults must not: bytes
    /// that are never kept waiting cannot be overtaken, for example, or be lost at the end.
    fn holds_back(self, from: usize) -> bool {
        use Fault::*;
        if self == UnboundedUpload {
            return from == BACKEND;
        }
        !matches!(self, Unbounded | Spill | LoseTail | Overtake | NeverFlush | LeakMemory)
    }
}

/// The most that one read takes, in bytes.
const BLOCK: usize = 64 * 1024;

/// How many bytes may wait in memory, for each direction of a connection, before it stops reading or
/// begins to use a file.
const LIMIT: usize = 256 * 1024;

/// How long [`Fault::SlowToConnect`] waits.
const DIALS_AFTER: Duration = Duration::from_secs(2);

/// How many connections [`Fault::Pool`] keeps.
const SPARE: usize = 8;

/// For how many clients [`Fault::LeaveAlone`] does not ask a backend that has refused.
const LEFT_ALONE: usize = 12;

/// What [`Fault::LeaveAlone`] answers then.
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The same for [`Fault::OneWriteAtEnd`].
const SMALL_LIMIT: usize = 4 * 1024;

/// The byte of a response that [`Fault::Alter`] changes, counted from 0.
const ALTERED: u64 = 100_000;

/// The two ends of a connection, as indices into its arrays. The other end of `end` is `1 - end`.
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
    /// Clients of [`Fault::SlowToConnect`], and when each of them came.
    waiting: VecDeque<(Instant, TcpStream)>,
    /// Connections to the backend that nobody uses yet.
    spare: Vec<TcpStream>,
    /// How many clients to turn away before the backend is asked again.
    turn_away: usize,
    /// Ids are never used again, so an event that comes late finds no connection.
    next_id: u64,
    /// The ways of connections that have ended. Only [`Fault::DirtyBuffer`] keeps any.
    old_ways: Vec<[Way; 2]>,
    /// What was read in this round and is to be written at its end. [`Fault::SharedBlock`] and
    /// [`Fault::StaleDescriptor`] do so; all others write at once.
    late: Vec<Late>,
}

/// A block that was read and is to be written later.
struct Late {
    /// Its connection, and the end that it comes from.
    id: u64,
    from: usize,
    /// The number of the descriptor that it is for.
    descriptor: RawFd,
    block: Vec<u8>,
}

struct Connection {
    sockets: [TcpStream; 2],
    /// Indexed by the end that the bytes come from.
    ways: [Way; 2],
    /// What epoll watches each end for. Empty: this end is not in the epoll set.
    interest: [EpollFlags; 2],
    /// What was read just now and is to be written at the end of the round.
    unwritten: Option<Vec<u8>>,
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    /// Bytes that were read and not yet written, the oldest first.
    waiting: VecDeque<u8>,
    /// Bytes that were read after all of `waiting`, and not yet written either.
    spilled: Option<Spill>,
    /// How many bytes were read so far.
    count: u64,
    /// At some time, as many bytes waited as may.
    was_full: bool,
    /// Whether it began with the head of a chunked response.
    is_chunked: bool,
    /// The part of the stream that [`Fault::SwallowChunk`] leaves out.
    swallowed: Range<u64>,
    /// The sender has closed its side.
    ended: bool,
    /// The receiver has been told that.
    told: bool,
}

/// Whether a connection goes on.
#[derive(PartialEq)]
enum Flow {
    Open,
    Ended,
}

/// Relays between `listen` and `backend` until it is killed. Returns an error if it cannot listen or
/// wait for events, or if ending is its fault.
pub fn run(fault: Fault, listen: SocketAddr, backend: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    listener.set_nonblocking(true).context("making the listener non-blocking")?;
    let listen = listener.local_addr().context("reading our own address")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating the epoll set")?;
    let relay = Relay {
        fault,
        epoll,
        listener,
        backend,
        connections: HashMap::new(),
        waiting: VecDeque::new(),
        spare: vec![],
        turn_away: 0,
        next_id: 1,
        old_ways: vec![],
        late: vec![],
    };
    relay.watch_listener(true)?;
    writeln!(std::io::stdout(), "listening on {listen}, forwarding to {backend}")
        .context("announcing the address")?;
    relay.serve_for_ever()
}

impl Relay {
    /// Waits until sockets are ready, reads from those that have something, and then writes to those
    /// that have room. Reading first gives [`Fault::Overtake`] its chance; a relay that keeps its bytes
    /// in order is right either way.
    fn serve_for_ever(mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let timeout = self.until_the_next_is_due();
            let count = match self.epoll.wait(&mut events, timeout) {
                // Being stopped and continued interrupts the wait (signal(7)).
                Err(Errno::EINTR) if self.fault != Fault::DieOnStop => continue,
                waited => waited.context("waiting for events")?,
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    token => self.serve(token, event.events(), Connection::pass_on)?,
                }
            }
            self.write_late()?;
            for event in events[..count].iter().filter(|event| event.data() != LISTENER) {
                self.serve(event.data(), event.events(), Connection::flush)?;
            }
            let is_due = |(came, _): &(Instant, TcpStream)| came.elapsed() >= DIALS_AFTER;
            while self.waiting.front().is_some_and(is_due) {
                let Some((_, client)) = self.waiting.pop_front() else { break };
                self.connect_for(client)?;
            }
        }
    }

    /// How long until there is something to do without an event: a client that waits gets its connection
    /// to the backend.
    fn until_the_next_is_due(&self) -> EpollTimeout {
        let is_silent = |connection: &Connection| connection.ways[CLIENT].count == 0;
        match self.fault {
            Fault::SpinUntilAsked if self.connections.values().any(is_silent) => {
                return EpollTimeout::ZERO;
            }
            Fault::Tick => return EpollTimeout::from(10u8),
            _ => {}
        }
        let Some((came, _)) = self.waiting.front() else { return EpollTimeout::NONE };
        // A millisecond more, because the timeout is rounded down.
        let left = DIALS_AFTER.saturating_sub(came.elapsed()) + Duration::from_millis(1);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    /// Accepts one client.
    fn accept(&mut self) -> Result<()> {
        // An error means that the client has already gone again.
        let Ok((client, _)) = self.listener.accept() else { return Ok(()) };
        if self.fault == Fault::SlowToConnect {
            self.waiting.push_back((Instant::now(), client));
            return Ok(());
        }
        if self.fault == Fault::LeaveAlone && self.turn_away > 0 {
            self.turn_away -= 1;
            return answer_unavailable(client);
        }
        self.connect_for(client)
    }

    /// A connection to the backend. That waits, but over loopback not for long.
    fn dial(&mut self) -> std::io::Result<TcpStream> {
        let backend = self.spare.pop().map_or_else(|| TcpStream::connect(self.backend), Ok);
        while self.fault == Fault::Pool && backend.is_ok() && self.spare.len() < SPARE {
            let Ok(spare) = TcpStream::connect(self.backend) else { break };
            self.spare.push(spare);
        }
        if backend.is_err() {
            self.turn_away = LEFT_ALONE;
        }
        backend
    }

    /// Connects to the backend for a client.
    fn connect_for(&mut self, client: TcpStream) -> Result<()> {
        let backend = match self.dial() {
            Ok(backend) => backend,
            Err(error) if self.fault == Fault::ExitOnRefused => {
                return Err(error).context("connecting to the backend");
            }
            Err(error) => {
                eprintln!("connecting to the backend: {error}");
                match self.fault {
                    Fault::HangOnRefused => mem::forget(client),
                    Fault::LeakOnRefused => mem::forget(self.listener.try_clone()),
                    Fault::LeaveAlone => answer_unavailable(client)?,
                    _ => {}
                }
                return Ok(());
            }
        };
        let mut connection = Connection {
            sockets: [client, backend],
            ways: self.old_ways.pop().unwrap_or_default(),
            interest: [EpollFlags::empty(); 2],
            unwritten: None,
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

    /// Handles an event at one end of a connection, and closes the connection if that was its end.
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
        if let Some(block) = connection.unwritten.take() {
            let descriptor = connection.sockets[1 - end].as_raw_fd();
            self.late.push(Late { id, from: end, descriptor, block });
        }
        match served {
            Ok(Flow::Open) => return Ok(()),
            Ok(Flow::Ended) => {}
            Err(error) if self.fault == Fault::DieOnReset => return Err(error),
            Err(error) => eprintln!("connection {id}: {error:#}"),
        }
        self.close(id)
    }

    /// Writes what was read in this round and not yet written.
    fn write_late(&mut self) -> Result<()> {
        let late = mem::take(&mut self.late);
        // A block for each direction, as it is after the last read into it.
        let mut shared = [vec![], vec![]];
        for Late { from, block, .. } in late.iter().filter(|_| self.fault == Fault::SharedBlock) {
            shared[*from].resize(BLOCK, 0);
            shared[*from][..block.len()].copy_from_slice(block);
        }
        for Late { id, from, descriptor, block } in late {
            let (token, block) = match self.fault {
                Fault::SharedBlock => (2 * id + from as u64, &shared[from][..block.len()]),
                _ => match self.now_behind(descriptor) {
                    Some((id, to)) => (2 * id + 1 - to as u64, &block[..]),
                    None => continue,
                },
            };
            self.serve(token, EpollFlags::empty(), |connection, from, _, fault| {
                let taken = write_some(&connection.sockets[1 - from], block, 1 - from)?;
                connection.ways[from].keep(&block[taken..], fault)?;
                Ok(Flow::Open)
            })?;
        }
        Ok(())
    }

    /// Which end of which connection has this descriptor now.
    fn now_behind(&self, descriptor: RawFd) -> Option<(u64, usize)> {
        self.connections.iter().find_map(|(id, connection)| {
            let mut sockets = connection.sockets.iter();
            Some((*id, sockets.position(|socket| socket.as_raw_fd() == descriptor)?))
        })
    }

    /// Forgets a connection, and thereby closes its sockets.
    fn close(&mut self, id: u64) -> Result<()> {
        let Some(connection) = self.connections.remove(&id) else { return Ok(()) };
        match self.fault {
            Fault::LeakDescriptors => {
                for socket in connection.sockets {
                    // An error means that it is not in the set, because it waited for nothing.
                    let _ = self.epoll.delete(&socket);
                    mem::forget(socket);
                }
            }
            Fault::LeakMemory => mem::forget(connection.ways),
            Fault::DirtyBuffer => self.old_ways.push(connection.ways.map(Way::used_again)),
            Fault::LeakALittle => mem::forget(black_box(vec![1_u8; 200 * 1024])),
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

/// Answers a client without asking the backend. Reading its request first keeps the kernel from sending
/// a reset, which could overtake the answer.
fn answer_unavailable(mut client: TcpStream) -> Result<()> {
    client.set_nonblocking(false).context("making the client wait")?;
    // An error means that the client has gone.
    let _ = client.read(&mut [0; 4096]).and_then(|_| client.write_all(UNAVAILABLE));
    Ok(())
}

impl Connection {
    /// Passes on what one end has sent: one read, one write, and the rest waits. epoll is
    /// level-triggered, so if there is more to read it wakes us again.
    fn pass_on(&mut self, from: usize, ready: EpollFlags, fault: Fault) -> Result<Flow> {
        let to = 1 - from;
        if !ready.intersects(ready_for(EpollFlags::EPOLLIN))
            || !self.ways[from].has_room(from, fault)
        {
            return Ok(Flow::Open);
        }
        let mut block = [0; BLOCK];
        let room = match fault {
            Fault::OneWriteAtEnd => SMALL_LIMIT - self.ways[from].waiting.len(),
            _ => BLOCK,
        };
        let count = match read(&self.sockets[from], &mut block[..room]) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Flow::Open),
            Err(error) => {
                self.pass_on_failure(from, fault);
                return Err(error).context(format!("reading from {}", END_NAMES[from]));
            }
        };
        let way = &mut self.ways[from];
        way.ended = count == 0;
        if fault == Fault::LoseTail && way.ended {
            return Ok(Flow::Ended);
        }
        if fault == Fault::OneReadAtEnd && ready.contains(EpollFlags::EPOLLRDHUP) {
            way.ended = true;
        }
        if fault == Fault::OneWriteAtEnd && way.ended {
            write_some(&self.sockets[to], way.waiting.make_contiguous(), to)?;
            way.waiting.clear();
        }
        if matches!(fault, Fault::EndBoth | Fault::SpeakHttp) && way.ended {
            self.ways[to].ended = true;
            self.tell_end(to)?;
            return self.tell_end(from);
        }
        let mut block = &mut block[..count];
        if fault == Fault::SpeakHttp && way.count == 0 {
            lower_field_names(block);
        }
        match from {
            BACKEND => block = way.tamper(block, fault),
            _ => way.count += count as u64,
        }
        // If bytes wait already, they go first. A write now would overtake them.
        let first = way.is_empty() || fault == Fault::Overtake;
        let late = matches!(fault, Fault::SharedBlock | Fault::StaleDescriptor);
        let taken = match first {
            true if late && !block.is_empty() => {
                self.unwritten = Some(block.to_vec());
                block.len()
            }
            true => write_some(&self.sockets[to], block, to)?,
            false => 0,
        };
        let rest = &block[taken..];
        match fault {
            Fault::DropRest => {}
            Fault::ForgetUpload if from == CLIENT => {}
            Fault::Repeat if taken > 0 && !rest.is_empty() => way.keep(block, fault)?,
            _ => way.keep(rest, fault)?,
        }
        self.tell_end(from)
    }

    /// One end's connection has failed. Closing the other one must not look like an ordinary end: who is
    /// there would take half a page for a whole one.
    fn pass_on_failure(&self, from: usize, fault: Fault) {
        let other = &self.sockets[1 - from];
        // Both connections will be closed, so an error here changes nothing.
        let _ = match fault {
            Fault::MakeUpEnd if from == BACKEND && self.ways[from].is_chunked => {
                write(other, b"0\r\n\r\n").map(|_| ()).map_err(|error| error.into())
            }
            Fault::MakeUpEnd | Fault::MuteReset => Ok(()),
            _ => net::reset_on_close(other),
        };
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

    /// Tells the receiver that the sender has closed, once everything before that has been written.
    fn tell_end(&mut self, from: usize) -> Result<Flow> {
        let to = 1 - from;
        let way = &mut self.ways[from];
        if way.ended && way.is_empty() && !way.told {
            way.told = true;
            self.sockets[to]
                .shutdown(Shutdown::Write)
                .with_context(|| format!("shutting down the way to {}", END_NAMES[to]))?;
        }
        Ok(if self.ways.iter().all(|way| way.told) { Flow::Ended } else { Flow::Open })
    }

    /// Has epoll watch each end for what we can do with it now. An end that waits for nothing is taken
    /// out of the set, because epoll reports a hang-up whether we ask for it or not, and would wake us
    /// all the time.
    fn watch(&mut self, epoll: &Epoll, id: u64, fault: Fault) -> Result<()> {
        for (end, socket) in self.sockets.iter().enumerate() {
            let (from_it, to_it) = (&self.ways[end], &self.ways[1 - end]);
            let mut wanted = EpollFlags::empty();
            wanted.set(EpollFlags::EPOLLIN, from_it.has_room(end, fault));
            wanted.set(EpollFlags::EPOLLRDHUP, fault == Fault::OneReadAtEnd && !from_it.ended);
            let writes = !to_it.is_empty() && fault != Fault::NeverFlush;
            wanted.set(EpollFlags::EPOLLOUT, writes || fault == Fault::Spin);
            let was = mem::replace(&mut self.interest[end], wanted);
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

/// The events after which a read or a write is worth trying. Errors and hang-ups are among them: epoll
/// reports them without being asked, and the next read or write says what happened.
fn ready_for(what: EpollFlags) -> EpollFlags {
    what | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP
}

/// Writes as much as the kernel takes now, and returns how many bytes that was.
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
    /// For another connection, but with what waits in it.
    fn used_again(self) -> Way {
        Way { waiting: self.waiting, ..Way::default() }
    }

    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.spilled.is_none()
    }

    /// Whether more may be read.
    fn has_room(&self, from: usize, fault: Fault) -> bool {
        let stuck = fault == Fault::NeverResume && self.was_full;
        let limit = if fault == Fault::OneWriteAtEnd { SMALL_LIMIT } else { LIMIT };
        !self.ended && !stuck && (self.waiting.len() < limit || !fault.holds_back(from))
    }

    /// Keeps bytes until they can be written, after all others.
    fn keep(&mut self, bytes: &[u8], fault: Fault) -> Result<()> {
        let fits = self.spilled.is_none() && self.waiting.len() + bytes.len() <= LIMIT;
        if fits || fault != Fault::Spill {
            self.waiting.extend(bytes);
            self.was_full |= self.waiting.len() >= LIMIT;
            return Ok(());
        }
        let spill = match &mut self.spilled {
            Some(spill) => spill,
            none => none.insert(Spill {
                file: tempfile::tempfile().context("creating a temporary file")?,
                len: 0,
                taken: 0,
            }),
        };
        spill.append(bytes).context("writing to the temporary file")
    }

    /// Takes back from the file what is to be written next, if nothing else waits.
    fn fetch_spilled(&mut self) -> Result<()> {
        if let Some(spill) = self.spilled.as_mut().filter(|_| self.waiting.is_empty()) {
            self.waiting.extend(spill.take(LIMIT).context("reading from the temporary file")?);
            if spill.taken == spill.len {
                self.spilled = None;
            }
        }
        Ok(())
    }

    /// Damages a block of a response, if that is the fault, and returns what is left of it.
    fn tamper<'b>(&mut self, block: &'b mut [u8], fault: Fault) -> &'b mut [u8] {
        if self.count == 0 {
            let second = second_chunk(block);
            self.is_chunked = !second.is_empty();
            if fault == Fault::SwallowChunk {
                self.swallowed = second;
            }
        }
        let at = |place: u64| place.saturating_sub(self.count).min(block.len() as u64) as usize;
        let (start, end) = (at(self.swallowed.start), at(self.swallowed.end));
        let altered = ALTERED.checked_sub(self.count).filter(|_| fault == Fault::Alter);
        self.count += block.len() as u64;
        if let Some(byte) = altered.and_then(|place| block.get_mut(place as usize)) {
            *byte ^= 1;
        }
        block.copy_within(end.., start);
        let left = block.len() - (end - start);
        &mut block[..left]
    }
}

/// Where the second chunk is in a response that begins like this; empty if it is not chunked. Its
/// chunks are as large as the laboratory makes them.
fn second_chunk(start: &[u8]) -> Range<u64> {
    let head = start.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |at| at + 4);
    if !start[..head].windows(9).any(|word| word == b": chunked") {
        return 0..0;
    }
    let second = head as u64 + wire::stride();
    second..second + wire::stride()
}

/// Writes the fields of a head in lower case, as some proxies that speak HTTP do. The start line stays.
fn lower_field_names(start: &mut [u8]) {
    let ends = |end: &[u8]| start.windows(end.len()).position(|bytes| bytes == end);
    if let (Some(line), Some(head)) = (ends(b"\r\n"), ends(b"\r\n\r\n")) {
        start[line..head].make_ascii_lowercase();
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
