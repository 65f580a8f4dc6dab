//! What every experiment stands on: a backend, the proxy in front of it, a story of what happens, and
//! ways to wait until things have happened. The file `stillness.rs` explains how it knows that nothing
//! will happen anymore.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::stillness::{Look, Watch};
use crate::arrived::http::Reached;
use crate::arrived::verdict::{Direction, Kind, Transfer, Verdict};
use crate::ends::Attempt;
use crate::ends::backend::{Backend, Progress, Route};
use crate::ends::client::Client;
use crate::kernel::net::{Moved, Window};
use crate::kernel::procfs;
use crate::kernel::sockets::{self, LISTEN, Socket};
use crate::kernel::wait::{find_within, true_within};
use crate::numbers::{size, thousands};
use crate::sent::coding::Owner;
use crate::sent::wire::Wire;
use crate::subject::program::Signal;
use crate::subject::proxy::{Proxy, Spec};

/// How long everything must be still before we go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// If every thread of the proxy waits for somebody else: nothing but us can wake it.
    pub at_least: Duration,
    /// If one of them may go on by itself, because it sleeps or waits with a time limit.
    pub for_timers: Duration,
}

/// Until the next act begins. It may be short even on a busy machine, because a thread that only waits
/// for a processor is not called still.
pub const SETTLE: Patience =
    Patience { at_least: Duration::from_millis(50), for_timers: Duration::from_millis(50) };

/// Until a transfer counts as blocked, where that is no accusation. This is longer than the timers by
/// which TCP probes a full peer and sends again over loopback.
pub const LULL: Patience =
    Patience { at_least: Duration::from_millis(1500), for_timers: Duration::from_millis(1500) };

/// Until we say that it will be so forever. A proxy with a timer may have good reasons: it waits before
/// it connects, or tries again after a second, or three times.
pub const FOREVER: Patience = Patience { for_timers: PATIENT, ..LULL };

/// Longer than proxies pause before they try again.
const PATIENT: Duration = Duration::from_secs(20);

/// While a connection is being made. The kernel tries again after 1, 3, 7 and 15 seconds.
const CONNECTING: Patience = Patience { at_least: PATIENT, for_timers: PATIENT };

/// How long after its sockets a program's end may be seen. A busy machine needs some milliseconds.
const ENDING: Duration = Duration::from_secs(2);

/// The pause between two looks at whether anything moves.
const PACE: Duration = Duration::from_millis(8);

/// How long an experiment may take. Time that packets spend in the kernel, waiting for a processor, does
/// not count: that delay is not the proxy's fault.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Why an experiment ended before its end.
#[derive(Debug)]
pub enum Halt {
    /// The verdict is clear already.
    Verdict(Box<Verdict>),
    /// The laboratory itself could not go on.
    Broken(anyhow::Error),
}

impl From<Verdict> for Halt {
    fn from(verdict: Verdict) -> Halt {
        Halt::Verdict(Box::new(verdict))
    }
}

impl From<std::io::Error> for Halt {
    fn from(error: std::io::Error) -> Halt {
        Halt::Broken(error.into())
    }
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Halt {
        Halt::Broken(error)
    }
}

/// What happened in an experiment, in order. Clones share it.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<Vec<Event>>>);

/// One line of a [`Story`].
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since the experiment began.
    pub at_ms: u64,
    /// What happened.
    pub text: String,
}

impl Story {
    /// All that has been told.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// Adds a line to an experiment that began then.
    pub fn tell(&self, begun: Instant, text: String) {
        let event = Event { at_ms: begun.elapsed().as_millis() as u64, text };
        self.0.lock().push(event);
    }
}

/// How a period of watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was waited for has happened.
    Done,
    /// It has not, and everything was still for as long as was asked.
    Still,
}

/// How many bytes of a transfer are in which place.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Whereabouts {
    /// In the kernel's queues between the backend and the proxy.
    pub before_proxy: u64,
    /// Read by the proxy and not written. They may be in its memory, in a file, or gone.
    pub inside_proxy: u64,
    /// In the kernel's queues between the proxy and the client.
    pub after_proxy: u64,
    /// Read by the client.
    pub delivered: u64,
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} before the proxy, {} inside it, {} after it, {} delivered",
            size(self.before_proxy),
            size(self.inside_proxy),
            size(self.after_proxy),
            size(self.delivered)
        )
    }
}

/// A proxy with a backend behind it, and what has happened to them.
pub struct Rig {
    /// The proxy under test.
    pub proxy: Proxy,
    /// The backend behind it.
    pub backend: Backend,
    begun: Instant,
    last_look: Instant,
    /// For how long the machine was too busy to deliver packets.
    held_up: Duration,
    story: Story,
    watch: Watch,
    /// Whether we have stopped the proxy by a signal.
    is_stopped: bool,
    /// Clients so far. Each has a number of its own in its request.
    clients: u64,
}

impl Rig {
    /// Starts the backend and then the proxy.
    ///
    /// # Errors
    /// When the proxy never listens: with the verdict that says so.
    pub fn start(spec: &Spec, routes: Vec<Route>, story: &Story) -> Result<Rig, Halt> {
        Rig::with_backend(spec, Backend::start(routes)?, story)
    }

    /// Starts the proxy in front of a backend that is there already.
    ///
    /// # Errors
    /// As for [`Rig::start`].
    pub fn with_backend(spec: &Spec, backend: Backend, story: &Story) -> Result<Rig, Halt> {
        let proxy = Proxy::start(spec, backend.address)
            .map_err(|failure| Verdict::new(Kind::Absent, failure.to_string()))?;
        let (begun, story) = (Instant::now(), story.clone());
        let (last_look, held_up, watch) = (begun, Duration::ZERO, Watch::default());
        let (is_stopped, clients) = (false, 0);
        let mut rig =
            Rig { proxy, backend, begun, last_look, held_up, story, watch, is_stopped, clients };
        rig.tell(format!(
            "The proxy listens on {}; its backend is {}.",
            rig.proxy.address, rig.backend.address
        ));
        rig.settle()?;
        Ok(rig)
    }

    /// Adds a line to the story.
    pub fn tell(&self, text: impl Into<String>) {
        self.story.tell(self.begun, text.into());
    }

    /// How much of [`DEADLINE`] has passed.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.held_up)
    }

    /// Connects a client, which sends its request and reads nothing.
    ///
    /// # Errors
    /// When the proxy cannot be reached or does not take the request.
    pub fn client(&mut self, window: Window, route: &Route) -> Result<Client, Halt> {
        let mut client = self.silent_client(window, &route.request, &route.response)?;
        self.send_request(&mut client)?;
        Ok(client)
    }

    /// A client that has sent nothing yet sends its request.
    ///
    /// # Errors
    /// When the proxy does not take it.
    pub fn send_request(&mut self, client: &mut Client) -> Result<(), Halt> {
        let sent = self.pump(FOREVER, |_| send(client))?;
        if sent == Ended::Still && !client.has_sent_all() {
            return Err(self.frozen("the request was never taken").into());
        }
        Ok(())
    }

    /// Connects a client that sends nothing yet. Its request gets the next number, and what comes back
    /// should be the response to that.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub fn silent_client(
        &mut self,
        window: Window,
        request: &Wire,
        response: &Wire,
    ) -> Result<Client, Halt> {
        let address = self.proxy.address;
        self.clients += 1;
        let owner = Owner::of_request(self.clients);
        let [request, response] = [request.of(owner), response.of(owner)];
        let client = Client::connect(address, window, &request, &response)
            .map_err(|error| self.unreachable(error))?;
        let mut failure = None;
        let patience = if self.is_stopped { LULL } else { CONNECTING };
        let connected = self.pump(patience, |_| match client.is_connected() {
            Ok(true) => Attempt::Done,
            Ok(false) => {
                client.wait_writable(PACE);
                Attempt::Idle
            }
            Err(error) => {
                failure = Some(error);
                Attempt::Done
            }
        })?;
        match (failure, connected) {
            (Some(error), _) => Err(self.unreachable(error)),
            (None, Ended::Done) => Ok(client),
            (None, Ended::Still) if self.is_stopped => {
                let what = "while the proxy is stopped, more clients come than may wait in its queue (listen(2), backlog)";
                Err(Verdict::new(Kind::NotJudged, what).into())
            }
            (None, Ended::Still) => {
                let seconds = PATIENT.as_secs();
                let what = format!(
                    "a client tried to connect for {seconds} s, but the queue of those who wait is full and nobody is accepted"
                );
                Err(self.frozen(&what).into())
            }
        }
    }

    /// Why a client cannot connect.
    fn unreachable(&mut self, error: std::io::Error) -> Halt {
        if let Some(how) = self.proxy.exited() {
            return self.died(&how).into();
        }
        if error.kind() != std::io::ErrorKind::ConnectionRefused {
            return Halt::from(error);
        }
        let (address, port) = (self.proxy.address, self.proxy.address.port());
        let verdict = match sockets::is_listening(port) {
            // So it listens on another address: on ::1 alone, for example.
            true => {
                let what =
                    format!("it listens on port {port}, but clients of {address} are refused");
                Verdict::new(Kind::Absent, what)
            }
            // A program that ends closes its sockets a moment before its end can be seen.
            false => match find_within(ENDING, || self.proxy.exited()) {
                Some(how) => self.died(&how),
                None => {
                    Verdict::new(Kind::Died, "it does not listen anymore: a client was refused")
                }
            },
        };
        verdict.into()
    }

    /// Waits until the backend has begun to serve this route.
    ///
    /// # Errors
    /// When the request never gets there, or the proxy dies or spins.
    pub fn until_asked(&mut self, route: &Route) -> Result<(), Halt> {
        let target = route.target;
        let ended = self.pump(FOREVER, |backend| match backend.asked_for(target).is_empty() {
            true => Attempt::Idle,
            false => Attempt::Done,
        })?;
        match ended {
            Ended::Done => Ok(()),
            Ended::Still => Err(self.frozen("the request never reached the backend").into()),
        }
    }

    /// Waits until everything is still.
    ///
    /// # Errors
    /// As for [`Rig::pump`].
    pub fn settle(&mut self) -> Result<(), Halt> {
        self.pump(SETTLE, |_| Attempt::Idle).map(|_| ())
    }

    /// Reads until the response ends, or everything has been still for `patience`.
    ///
    /// # Errors
    /// As for [`Rig::pump`].
    pub fn drain(&mut self, client: &mut Client, patience: Patience) -> Result<Ended, Halt> {
        let ended = self.pump(patience, |_| {
            if client.is_complete() {
                return Attempt::Done;
            }
            read(client, usize::MAX)
        })?;
        if client.is_complete() && !client.has_ended() {
            // Nothing should follow but the end of the connection. If bytes or a reset do, we want to
            // know.
            self.pump(SETTLE, |_| read(client, usize::MAX))?;
        }
        Ok(ended)
    }

    /// Does `act` again and again until it is done, or until everything has been still for `patience`.
    ///
    /// # Errors
    /// When the proxy dies or spins, or [`DEADLINE`] is over.
    pub fn pump(
        &mut self,
        patience: Patience,
        mut act: impl FnMut(&Backend) -> Attempt,
    ) -> Result<Ended, Halt> {
        self.watch.restart();
        loop {
            match act(&self.backend) {
                Attempt::Done => return Ok(Ended::Done),
                Attempt::Moved if self.elapsed() <= DEADLINE => {
                    self.watch.restart();
                    continue;
                }
                Attempt::Moved => return Err(self.slow().into()),
                Attempt::Idle => {}
            }
            if self.is_still_for(patience)? {
                return Ok(Ended::Still);
            }
            std::thread::sleep(PACE);
        }
    }

    fn is_still_for(&mut self, patience: Patience) -> Result<bool, Halt> {
        if let Some(how) = self.proxy.exited() {
            return Err(self.died(&how).into());
        }
        if let Some(error) = self.backend.failure() {
            let what = "the backend cannot take any more connections";
            return Err(anyhow::Error::new(error).context(what).into());
        }
        let since = std::mem::replace(&mut self.last_look, Instant::now());
        if procfs::deliveries_wait() {
            // Not longer than four deadlines in all, so that an experiment ends on any machine.
            self.held_up = (self.held_up + since.elapsed()).min(4 * DEADLINE);
        }
        if self.elapsed() > DEADLINE {
            return Err(self.slow().into());
        }
        match self.look(patience)? {
            Look::Moving => return Ok(false),
            _ if self.watch.unchanged_for() >= patience.for_timers => return Ok(true),
            _ => {}
        }
        if self.proxy.may_go_on_alone() || self.unsampled().is_some() {
            return Ok(false);
        }
        // A thread may have been woken by its timer between the look and the question. Then it no longer
        // waits with a limit, but something has moved.
        Ok(self.look(patience)? == Look::Still)
    }

    fn look(&mut self, patience: Patience) -> Result<Look, Halt> {
        let vitals = self.proxy.vitals();
        let (counters, is_busy) = (self.backend.counters(), self.backend.is_busy());
        let ports = self.ports();
        let sockets = || sockets::sockets(&ports);
        match self.watch.look(patience.at_least, &vitals, counters, is_busy, sockets) {
            Look::Spinning(ns) => {
                let ms = ns / 1_000_000;
                let what = format!("it used {ms} ms of processor time while not a byte moved");
                Err(Verdict::new(Kind::Spun, what).into())
            }
            look => Ok(look),
        }
    }

    /// Why memory, descriptors and processor time cannot be judged. `None`: they can.
    pub fn unsampled(&self) -> Option<String> {
        self.proxy.unsampled(self.backend.address.port())
    }

    /// The connections of the proxy, both ends of each.
    pub fn sockets(&self) -> Vec<Socket> {
        sockets::sockets(&self.ports())
    }

    /// Bytes that are in the kernel's queues.
    pub fn queued(&self) -> u64 {
        self.sockets()
            .iter()
            .filter(|socket| socket.state != LISTEN)
            .map(|socket| socket.send_queue + socket.receive_queue - socket.unread_fin())
            .sum()
    }

    /// Where the bytes of a download are, as far as its connection to the backend has come.
    pub fn whereabouts(&self, progress: &Progress, client: &Client) -> Whereabouts {
        whereabouts(self.ports(), progress, client)
    }

    /// The ports of the proxy and of the backend.
    pub fn ports(&self) -> [u16; 2] {
        [self.proxy.address.port(), self.backend.address.port()]
    }

    /// Stops the proxy by SIGSTOP and waits until every thread of it is stopped.
    ///
    /// # Errors
    /// When the proxy is gone, or does not stop.
    pub fn freeze(&mut self) -> Result<(), Halt> {
        self.signal(Signal::SIGSTOP)?;
        self.is_stopped = true;
        if !true_within(FOREVER.at_least, || self.proxy.vitals().stopped) {
            let what =
                "the proxy cannot be stopped by a signal (SIGSTOP), and this experiment needs that";
            return Err(Verdict::new(Kind::NotJudged, what).into());
        }
        Ok(())
    }

    /// Lets the proxy go on.
    ///
    /// # Errors
    /// When the proxy is gone.
    pub fn thaw(&mut self) -> Result<(), Halt> {
        self.is_stopped = false;
        self.signal(Signal::SIGCONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Halt> {
        if let Some(how) = self.proxy.exited() {
            return Err(self.died(&how).into());
        }
        self.proxy.signal(signal);
        Ok(())
    }

    /// Judges a download that has ended or will never go on. The whole response should have come.
    ///
    /// # Errors
    /// As for [`Rig::judge_up_to`].
    pub fn judge(&mut self, client: Client, ended: Ended) -> Result<Transfer, Halt> {
        let sent = client.expected();
        self.judge_up_to(client, ended, sent)
    }

    /// The same for a response whose first `sent` bytes were sent, and no more.
    ///
    /// # Errors
    /// With a verdict, if the bytes are not lost but stuck, or if the proxy answers by itself.
    pub fn judge_up_to(
        &mut self,
        client: Client,
        ended: Ended,
        sent: u64,
    ) -> Result<Transfer, Halt> {
        let asked = self.backend.was_asked_by(client.owner());
        let open = !client.has_ended() && !client.is_complete();
        let received = client.received();
        let status = client.status();
        // Read now: judging the client closes its connection, and that changes the queues.
        let stuck = if open && ended == Ended::Still { self.queued() } else { 0 };
        let (reading, evidence) = client.finish(sent);
        let transfer = Transfer { direction: Direction::Download, reading, evidence };
        if transfer.reading.has_crossed() {
            // Nothing is worse, however it went on.
            return Ok(transfer);
        }
        if let Some(status) = status.filter(|status| !asked || *status != 200) {
            return Err(own_answer(status, received, asked).with(vec![transfer]).into());
        }
        if stuck > 0 {
            let what = format!(
                "after {} bytes nothing more comes, while {} bytes wait in the kernel's queues",
                thousands(received),
                thousands(stuck)
            );
            return Err(self.frozen(&what).with(vec![transfer]).into());
        }
        if open && transfer.reading.reached == Reached::Nothing {
            let verdict = self.frozen("not a byte of the response comes").with(vec![transfer]);
            return Err(verdict.into());
        }
        Ok(transfer)
    }

    /// Ends an experiment. A good verdict counts only if the proxy is alive and at rest afterward.
    ///
    /// # Errors
    /// As for [`Rig::pump`].
    pub fn conclude(&mut self, verdict: Verdict) -> Result<Verdict, Halt> {
        if verdict.kind.is_good() {
            self.settle()?;
        } else if let Some(how) = self.proxy.exited().filter(|_| verdict.kind != Kind::Crossed) {
            let mut died = self.died(&how);
            died.transfers = verdict.transfers;
            return Ok(died);
        }
        Ok(verdict)
    }

    /// The verdict that nothing will ever move again, for this reason. Call it when [`Rig::pump`] has
    /// ended with [`Ended::Still`].
    ///
    /// It does not look once more whether every thread is asleep. Several looks in a row have just found
    /// that, and a single one could be wrong: TCP probes a full peer now and then, and that wakes a
    /// thread for a moment although there is nothing to do.
    pub fn frozen(&self, what: &str) -> Verdict {
        if let Some(target) = self.backend.stranger() {
            let what = format!(
                "{what}. But the backend was asked for {target:?}, and no client had asked for that"
            );
            return Verdict::new(Kind::NotJudged, what);
        }
        if self.unsampled().is_some() || self.proxy.may_go_on_alone() {
            return Verdict::new(Kind::Frozen, format!("{what}; and nothing moves anymore"));
        }
        Verdict::new(Kind::Frozen, format!("{what}; the proxy is asleep in every thread"))
    }

    /// The verdict that the proxy has ended.
    pub fn died(&self, how: &str) -> Verdict {
        Verdict::new(Kind::Died, self.proxy.with_last_words(how))
    }

    fn slow(&self) -> Verdict {
        let what = format!("it still moved after {} s, and was not done", DEADLINE.as_secs());
        Verdict::new(Kind::NotJudged, what)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.proxy.address
    }
}

/// The verdict on an answer that the backend did not give. If the backend was not asked, there is nothing
/// to judge: the proxy may have its reasons.
fn own_answer(status: u16, bytes: u64, asked: bool) -> Verdict {
    let what = format!("the proxy answers {status} by itself, with {} bytes", thousands(bytes));
    match asked {
        true => {
            let what = format!("{what}, although the backend was asked and is well");
            Verdict::new(Kind::Truncated, what)
        }
        false => Verdict::new(Kind::NotJudged, format!("{what}; the backend was never asked")),
    }
}

/// The same as [`Rig::whereabouts`], while the rig is in use: [`Rig::ports`] are known beforehand.
pub fn whereabouts([front, back]: [u16; 2], progress: &Progress, client: &Client) -> Whereabouts {
    let proxy_port = progress.peer_port;
    let client_port = client.port().unwrap_or(0);
    let mut place = Whereabouts { delivered: client.received(), ..Whereabouts::default() };
    for socket in sockets::sockets(&[front, back]) {
        let ends = (socket.local, socket.remote);
        if ends == (back, proxy_port) {
            place.before_proxy += socket.send_queue;
        } else if ends == (proxy_port, back) {
            place.before_proxy += socket.receive_queue;
        } else if ends == (front, client_port) {
            place.after_proxy += socket.send_queue;
        } else if ends == (client_port, front) {
            place.after_proxy += socket.receive_queue;
        }
    }
    let elsewhere = place.before_proxy + place.after_proxy + place.delivered;
    place.inside_proxy = progress.sent.saturating_sub(elsewhere);
    place
}

/// One attempt to send more of the request.
pub fn send(client: &mut Client) -> Attempt {
    if client.has_sent_all() {
        return Attempt::Done;
    }
    match client.send_now() {
        Moved::Bytes(_) => Attempt::Moved,
        Moved::Nothing => Attempt::Idle,
        Moved::Fin | Moved::Reset => Attempt::Done,
    }
}

/// One attempt to read more of the response.
pub fn read(client: &mut Client, most: usize) -> Attempt {
    if client.has_ended() {
        return Attempt::Done;
    }
    match client.read_now(most) {
        Moved::Bytes(_) => Attempt::Moved,
        Moved::Nothing => {
            client.wait_readable(Duration::from_millis(5));
            Attempt::Idle
        }
        Moved::Fin | Moved::Reset => Attempt::Done,
    }
}
