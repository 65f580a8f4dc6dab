//! The backend: a server that follows a script on each connection.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::gettid;
use parking_lot::Mutex;

use crate::arrived::http::{End, Message};
use crate::arrived::reading::{Judge, Reading};
use crate::kernel::net::{self, ClosedPort, Moved};
use crate::kernel::procfs;
use crate::sent::coding::Owner;
use crate::sent::wire::Wire;

/// What a backend waits for between two acts. It is closed at first, and once opened stays open.
#[derive(Clone)]
pub struct Gate {
    open: Arc<AtomicBool>,
    /// Readable once the gate is open, so poll(2) can wait for the gate and for a socket at once. If we
    /// woke up now and then to look, our thread would seem to be at work.
    event: Arc<EventFd>,
}

impl Gate {
    /// A closed gate.
    ///
    /// # Panics
    /// When the process has no descriptor left for it.
    pub fn new() -> Gate {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let event = Arc::new(event.expect("a descriptor for an eventfd"));
        Gate { open: Arc::default(), event }
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.open.store(true, SeqCst);
        // This can only fail if the eventfd's counter overflows, and then the gate is open anyway.
        let _ = self.event.write(1);
    }

    /// Whether it has been opened.
    pub fn is_open(&self) -> bool {
        self.open.load(SeqCst)
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

/// How much of an endless response a backend may send. It is raised bit by bit.
#[derive(Clone, Default)]
pub struct Allowance(Arc<Mutex<Allowed>>);

#[derive(Clone, Default)]
struct Allowed {
    /// Bytes of the stream.
    bytes: u64,
    /// The response ends there.
    is_last: bool,
    /// Opened when this is no longer so, because more is allowed or no more will be.
    changed: Gate,
}

impl Allowance {
    /// Allows so many bytes more, and returns how many that makes in all.
    pub fn raise(&self, more: u64) -> u64 {
        self.change(|allowed| allowed.bytes += more)
    }

    /// The response ends with the last byte that is allowed.
    pub fn end(&self) {
        self.change(|allowed| allowed.is_last = true);
    }

    fn change(&self, change: impl FnOnce(&mut Allowed)) -> u64 {
        let mut allowed = self.0.lock();
        change(&mut allowed);
        std::mem::take(&mut allowed.changed).open();
        allowed.bytes
    }

    fn now(&self) -> Allowed {
        self.0.lock().clone()
    }
}

/// One thing that a backend does on a connection. Before the first act it reads the request's head.
#[derive(Clone)]
pub enum Act {
    /// Sends the response up to this offset of its stream, as fast as it is taken.
    SendTo(u64),
    /// The same, but it stops where it is when the gate opens.
    SendToOr(u64, Gate),
    /// Sends the rest of the response.
    SendAll,
    /// Sends an endless response until the gate opens, and then finishes the current chunk and ends it.
    SendUntil(Gate),
    /// Sends what is allowed of an endless response whose end is told by closing.
    SendAllowed(Allowance),
    /// Sends up to offset `to`, in blocks of `block` bytes, with a pause after each.
    SendPaced { to: u64, block: u64, pause: Duration },
    /// From now on the kernel holds no more than about so many bytes that are not sent yet.
    LeaveUnsent(u32),
    /// Waits until the gate opens.
    Await(Gate),
    /// Reads the request's body to its end, or until the gate is open and nothing more is there.
    ReadBody(Gate),
    /// Ends its own direction (FIN) and keeps the connection.
    End,
    /// Reads on until the other side has ended its direction too, or until the gate is open and nothing
    /// more is there. What it reads here is not kept.
    ReadToEnd(Gate),
    /// Resets the connection. Nothing can follow.
    Reset,
}

/// What a backend does when a client asks for this target.
#[derive(Clone)]
pub struct Route {
    /// The request's target without its owner, such as `/big`. What is asked for is `/big?04`.
    pub target: &'static str,
    /// The request that should arrive: as nobody's here, and as its owner's on a connection.
    pub request: Wire,
    /// The response that is sent, as nobody's and its owner's in the same way.
    pub response: Wire,
    /// The script.
    pub acts: Vec<Act>,
}

impl Route {
    /// Answers a plain GET with the whole response.
    pub fn simple(target: &'static str, response: Wire) -> Route {
        Route { target, request: Wire::get(target), response, acts: vec![Act::SendAll] }
    }

    /// Answers a plain GET by following a script.
    pub fn scripted(target: &'static str, response: Wire, acts: Vec<Act>) -> Route {
        Route { target, request: Wire::get(target), response, acts }
    }
}

/// How far one connection to the backend has come.
#[derive(Clone, Default)]
pub struct Progress {
    /// The target that was asked for, once the request's head has been read.
    pub target: Option<&'static str>,
    /// Who asked for it.
    pub owner: Owner,
    /// Bytes of the response that the kernel has taken.
    pub sent: u64,
    /// Bytes of the request that were read.
    pub received: u64,
    /// Acts begun so far.
    pub acts: u64,
    /// Whether the script has ended and the socket is closed.
    pub is_finished: bool,
    /// Whether the peer was gone before the script ended.
    pub is_broken: bool,
    /// The request, compared with what the client sent, once its body has been read.
    pub upload: Option<Reading>,
    /// How the other side ended, as far as [`Act::ReadToEnd`] has seen it.
    pub end_seen: Option<End>,
    /// The proxy's port on this connection.
    pub peer_port: u16,
    /// Its thread is asleep in a pause of the script, and will go on by itself.
    pausing: bool,
    /// The id of its thread.
    thread: i32,
}

impl Progress {
    fn is_busy(&self) -> bool {
        !self.is_finished && (self.pausing || procfs::thread_runs(self.thread))
    }
}

/// A running backend. Dropping it closes its connections and ends its threads.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    closed: Option<ClosedPort>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    routes: Vec<Route>,
    stop: Gate,
    connections: Mutex<Vec<Arc<Mutex<Progress>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Why it takes no more connections.
    failure: Mutex<Option<io::Error>>,
    /// A target that was asked for and that no route has.
    stranger: Mutex<Option<String>>,
}

/// Waits until `socket` is ready, or one of the gates is open.
fn wait(socket: Option<(&dyn AsFd, PollFlags)>, gates: &[&Gate]) {
    let mut waited: Vec<PollFd> =
        gates.iter().map(|gate| PollFd::new(gate.event.as_fd(), PollFlags::POLLIN)).collect();
    waited.extend(socket.map(|(socket, flags)| PollFd::new(socket.as_fd(), flags)));
    // If the wait is interrupted, the caller looks again and waits again.
    let _ = poll(&mut waited, PollTimeout::NONE);
}

impl Backend {
    /// Listens on a free port of 127.0.0.1. Each connection gets the route of its target, or its end
    /// if there is none.
    ///
    /// # Errors
    /// Those of the socket calls.
    pub fn start(routes: Vec<Route>) -> io::Result<Backend> {
        let mut backend = Backend::refusing(routes)?;
        backend.open()?;
        Ok(backend)
    }

    /// Takes a port that refuses connections until [`Backend::open`] is called.
    ///
    /// # Errors
    /// Those of the socket calls.
    pub fn refusing(routes: Vec<Route>) -> io::Result<Backend> {
        let closed = ClosedPort::bind()?;
        let shared = Shared {
            routes,
            stop: Gate::new(),
            connections: Mutex::default(),
            threads: Mutex::default(),
            failure: Mutex::default(),
            stranger: Mutex::default(),
        };
        Ok(Backend {
            address: closed.address()?,
            closed: Some(closed),
            shared: Arc::new(shared),
            acceptor: None,
        })
    }

    /// Begins to accept.
    ///
    /// # Errors
    /// Those of listen(2).
    pub fn open(&mut self) -> io::Result<()> {
        let Some(closed) = self.closed.take() else { return Ok(()) };
        let listener = closed.open()?;
        listener.set_nonblocking(true)?;
        let shared = self.shared.clone();
        self.acceptor = Some(thread::spawn(move || accept(&listener, &shared)));
        Ok(())
    }

    /// How far the connections have come, the oldest first.
    fn connections(&self) -> Vec<Progress> {
        self.shared.connections.lock().iter().map(|progress| progress.lock().clone()).collect()
    }

    /// The same of those that have asked for `target`.
    pub fn asked_for(&self, target: &str) -> Vec<Progress> {
        let mut connections = self.connections();
        connections.retain(|progress| progress.target == Some(target));
        connections
    }

    /// Whether a request of this owner has come.
    pub fn was_asked_by(&self, owner: Owner) -> bool {
        self.connections().iter().any(|it| it.target.is_some() && it.owner == owner)
    }

    /// Why it could not take any more connections, if so: this process has no descriptor left, or the
    /// machine no memory. It says so once.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.shared.failure.lock().take()
    }

    /// A target that it was asked for and that no route has, if there was one.
    pub(crate) fn stranger(&self) -> Option<String> {
        self.shared.stranger.lock().clone()
    }

    /// Numbers that change whenever anything happens on a connection.
    pub(crate) fn counters(&self) -> Vec<u64> {
        let count = |progress: Progress| {
            [progress.sent, progress.received, progress.acts, progress.is_finished.into()]
        };
        self.connections().into_iter().flat_map(count).collect()
    }

    /// Whether a connection's thread is at work, or will go on by itself after a pause.
    pub(crate) fn is_busy(&self) -> bool {
        self.connections().iter().any(Progress::is_busy)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stop.open();
        // Without the lock: the acceptor may be taking in one more connection, and needs it for that.
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let threads = std::mem::take(&mut *self.shared.threads.lock());
        for thread in threads {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.is_open() {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(Some((listener, PollFlags::POLLIN)), &[&shared.stop]);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                // The connection stays in the queue, so trying again would fail again, and at once.
                *shared.failure.lock() = Some(error);
                // The listener stays open: if it went, those in the queue would be reset, and the proxy
                // might reset a client before anybody has asked for the failure.
                while !shared.stop.is_open() {
                    wait(None, &[&shared.stop]);
                }
                return;
            }
        };
        // It counts as busy until its thread runs and can be looked at.
        let progress = Progress { peer_port: peer.port(), pausing: true, ..Progress::default() };
        let progress = Arc::new(Mutex::new(progress));
        shared.connections.lock().push(progress.clone());
        let own_shared = shared.clone();
        let thread = thread::spawn(move || {
            progress.lock().thread = gettid().as_raw();
            progress.lock().pausing = false;
            let done =
                stream.set_nonblocking(true).is_ok() && play(&stream, &own_shared, &progress);
            drop(stream);
            let mut progress = progress.lock();
            (progress.is_broken, progress.is_finished) = (!done, true);
        });
        shared.threads.lock().push(thread);
    }
}

/// Follows the script of the route that is asked for. Says whether it got to the end of it.
fn play(stream: &TcpStream, shared: &Shared, progress: &Mutex<Progress>) -> bool {
    let serving = Serving { stream, shared, progress };
    let Some(Asked { route, owner, mut request }) = serving.read_head() else { return false };
    let response = &route.response.of(owner);
    for act in &route.acts {
        progress.lock().acts += 1;
        let done = match act {
            Act::SendTo(to) => serving.send(response, (*to).min(response.len()), None),
            Act::SendToOr(to, gate) => {
                serving.send(response, (*to).min(response.len()), Some(gate))
            }
            Act::SendAll => serving.send(response, response.len(), None),
            Act::SendUntil(gate) => {
                serving.send(response, u64::MAX, Some(gate)) && {
                    response.end_after(serving.sent());
                    serving.send(response, response.len(), None)
                }
            }
            Act::SendAllowed(allowance) => serving.send_allowed(response, allowance),
            Act::SendPaced { to, block, pause } => {
                serving.send_paced(response, *to, *block, *pause)
            }
            Act::LeaveUnsent(bytes) => net::leave_unsent(serving.stream, *bytes).is_ok(),
            Act::Await(gate) => serving.wait(gate),
            Act::ReadBody(gate) => {
                let end = serving.read_body(&mut request, gate);
                let expected = route.request.of(owner);
                let judge =
                    std::mem::replace(&mut request, Judge::new(&expected, Message::Request));
                progress.lock().upload = Some(judge.finish(expected.len(), end));
                true
            }
            Act::End => stream.shutdown(Shutdown::Write).is_ok(),
            // The reset goes out when the socket is closed, at the end of the script.
            Act::Reset => net::reset_on_close(stream).is_ok(),
            Act::ReadToEnd(gate) => {
                let end = serving.read_to_end(gate);
                progress.lock().end_seen = Some(end);
                true
            }
        };
        if !done {
            return false;
        }
    }
    true
}

/// What a client asks for.
struct Asked {
    route: Route,
    owner: Owner,
    /// Has got the head of the request.
    request: Judge,
}

/// One connection, which has a thread of its own.
struct Serving<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    progress: &'a Mutex<Progress>,
}

impl Serving<'_> {
    fn sent(&self) -> u64 {
        self.progress.lock().sent
    }

    fn stopped(&self) -> bool {
        self.shared.stop.is_open()
    }

    fn wait(&self, gate: &Gate) -> bool {
        while !gate.is_open() && !self.stopped() {
            wait(None, &[gate, &self.shared.stop]);
        }
        !self.stopped()
    }

    /// Reads until the head of the request is complete, and finds its route.
    fn read_head(&self) -> Option<Asked> {
        let mut start = vec![];
        let mut head = crate::arrived::http::Decoder::new(Message::Request);
        while !head.has_head() {
            // Little at a time, because a body should stay in the kernel until the script reads it.
            let mut bytes = [0; 512];
            match self.read(&mut bytes)? {
                Moved::Bytes(count) => {
                    head.push(&bytes[..count], |_| {});
                    start.extend(&bytes[..count]);
                }
                _ => return None,
            }
        }
        let routes = &self.shared.routes;
        let asked = head.target.unwrap_or_default();
        let (target, owner) = Owner::in_target(&asked);
        let Some(route) = routes.iter().find(|route| route.target == target).cloned() else {
            *self.shared.stranger.lock() = Some(asked);
            return None;
        };
        let mut request = Judge::new(&route.request.of(owner), Message::Request);
        request.push(&start);
        let mut progress = self.progress.lock();
        (progress.target, progress.owner) = (Some(route.target), owner);
        Some(Asked { route, owner, request })
    }

    /// Waits for something to read and reads it. `None`: the backend is being dropped.
    fn read(&self, buffer: &mut [u8]) -> Option<Moved> {
        while !self.stopped() {
            match net::read_now(self.stream, buffer) {
                Moved::Nothing => {
                    wait(Some((self.stream, PollFlags::POLLIN)), &[&self.shared.stop]);
                }
                other => {
                    if let Moved::Bytes(count) = other {
                        self.progress.lock().received += count as u64;
                    }
                    return Some(other);
                }
            }
        }
        None
    }

    fn read_body(&self, judge: &mut Judge, enough: &Gate) -> End {
        self.read_while(enough, |bytes| {
            judge.push(bytes);
            !judge.decoder.is_complete()
        })
    }

    fn read_to_end(&self, enough: &Gate) -> End {
        self.read_while(enough, |_| true)
    }

    /// Reads for as long as `goes_on` says so of what came last, or until the gate is open and nothing
    /// more is there.
    fn read_while(&self, enough: &Gate, mut goes_on: impl FnMut(&[u8]) -> bool) -> End {
        let mut block = vec![0; 1 << 16];
        // The first look is at no bytes: what came with the head may have been all.
        let mut more = goes_on(&[]);
        while more && !self.stopped() {
            match net::read_now(self.stream, &mut block) {
                Moved::Bytes(count) => {
                    self.progress.lock().received += count as u64;
                    more = goes_on(&block[..count]);
                }
                Moved::Nothing if enough.is_open() => return End::Open,
                Moved::Nothing => {
                    wait(Some((self.stream, PollFlags::POLLIN)), &[enough, &self.shared.stop]);
                }
                Moved::Fin => return End::Fin,
                Moved::Reset => return End::Reset,
            }
        }
        End::Open
    }

    /// Sends up to offset `to`, or until the gate opens. False: the peer is gone, or the backend is
    /// being dropped.
    fn send(&self, response: &Wire, to: u64, until: Option<&Gate>) -> bool {
        let mut block = vec![0; 1 << 16];
        let mut held = 0..0;
        loop {
            let sent = self.sent();
            if sent >= to || until.is_some_and(Gate::is_open) {
                return true;
            }
            if self.stopped() {
                return false;
            }
            if held.is_empty() {
                let wanted = (to - sent).min(block.len() as u64) as usize;
                held = 0..response.fill(sent, &mut block[..wanted]);
            }
            match net::write_now(self.stream, &block[held.clone()]) {
                Moved::Bytes(count) => {
                    held.start += count;
                    self.progress.lock().sent += count as u64;
                }
                Moved::Nothing => {
                    let gates = [&self.shared.stop, until.unwrap_or(&self.shared.stop)];
                    wait(Some((self.stream, PollFlags::POLLOUT)), &gates);
                }
                Moved::Fin | Moved::Reset => return false,
            }
        }
    }

    fn send_allowed(&self, response: &Wire, allowance: &Allowance) -> bool {
        loop {
            let Allowed { bytes, is_last, changed } = allowance.now();
            if !self.send(response, bytes, None) {
                return false;
            }
            if is_last {
                response.end_at(bytes);
                return true;
            }
            if !self.wait(&changed) {
                return false;
            }
        }
    }

    fn send_paced(&self, response: &Wire, to: u64, block: u64, pause: Duration) -> bool {
        let to = to.min(response.len());
        while self.sent() < to {
            let next = (self.sent() + block).min(to);
            if !self.send(response, next, None) {
                return false;
            }
            self.progress.lock().pausing = true;
            thread::sleep(pause);
            self.progress.lock().pausing = false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sent::wire::Framing;

    #[test]
    fn a_backend_ends_although_connections_are_still_coming() {
        for _ in 0..200 {
            let route = Route::simple("/", Wire::response(Framing::ContentLength, 1));
            let backend = Backend::start(vec![route]).expect("it listens");
            let address = backend.address;
            let coming = thread::spawn(move || {
                // When the backend is gone, the rest are refused.
                (0..32).map_while(|_| TcpStream::connect(address).ok()).collect::<Vec<_>>()
            });
            // Among the first that are taken in, others still come.
            while backend.connections().is_empty() {
                thread::yield_now();
            }
            drop(backend);
            coming.join().expect("connecting does not panic");
        }
    }
}
