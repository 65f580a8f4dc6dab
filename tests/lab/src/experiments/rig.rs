//! The set-up of an experiment: a backend, the proxy in front of it, and the means to tell when
//! nothing moves any more.
//!
//! Nothing here is concluded from silence. A proxy is *still* when every one of its threads sleeps,
//! the kernel's queues stand as they stood, nothing is under way between them, and no actor of ours
//! could go on by itself: then only somebody else's next move can change anything.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::Serialize;

use crate::arrived::http::Reached;
use crate::arrived::verdict::{Direction, Kind, Transfer, Verdict};
use crate::ends::Attempt;
use crate::ends::backend::{Backend, Route};
use crate::ends::client::Client;
use crate::kernel::net::{Moved, Window};
use crate::kernel::procfs::{self, LISTEN, Socket, Tables};
use crate::kernel::wait::true_within;
use crate::numbers::{size, thousands};
use crate::sent::wire::Wire;
use crate::subject::proxy::{Proxy, Spec, StartFailure};

/// How long everything must be still before the next act begins. Work that is only waiting for a
/// processor does not count as still, so this may be short even on a busy machine.
pub const SETTLE: Duration = Duration::from_millis(50);

/// How many looks in a row must find everybody asleep, however long they take. Somebody who was seen
/// running and then asleep, while nothing moved, had nothing to move.
const LOOKS: u32 = 6;

/// How long everything must be still before we say that it will be so for ever. Longer than the
/// timers by which TCP probes and retransmits over loopback.
pub const FOREVER: Duration = Duration::from_millis(1500);

/// When an acknowledgment has come, if it is only put off: twice the longest that a receiver may
/// (`TCP_DELACK_MAX` in Linux's `include/net/tcp.h`). What is not acknowledged is in two queues.
const ACKNOWLEDGED: Duration = Duration::from_millis(400);

/// Time on a processor, while nothing moves, that makes it spinning.
const SPIN_NS: u64 = 300_000_000;

/// How long an experiment may take in all.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Why an experiment ended before its end.
#[derive(Debug)]
pub enum Halt {
    /// With a verdict all the same.
    Verdict(Box<Verdict>),
    /// Because the laboratory itself could not go on.
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

/// What happened, in the order in which it did.
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
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn tell(&self, begun: Instant, text: String) {
        let event = Event { at_ms: begun.elapsed().as_millis() as u64, text };
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(event);
    }
}

/// How a period of watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was to be done is done.
    Done,
    /// Everything stood still for as long as was asked.
    Still,
}

/// The bytes of a transfer, by the place where they are.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Whereabouts {
    /// In the sending kernel's queue and the proxy's receive queue.
    pub before_proxy: u64,
    /// Read by the proxy and not written: kept in its memory, spilled, or gone.
    pub inside_proxy: u64,
    /// In the proxy's send queue and the receiver's queue.
    pub after_proxy: u64,
    /// Read by the receiver.
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

/// The set-up.
pub struct Rig {
    /// The proxy under test.
    pub proxy: Proxy,
    /// The backend behind it.
    pub backend: Backend,
    begun: Instant,
    story: Story,
    watch: Watch,
    tables: Tables,
    /// The most memory seen, in KiB.
    pub peak_kib: u64,
}

/// How long things have stood as they stand.
struct Watch {
    sockets: Vec<Socket>,
    counters: Vec<u64>,
    /// Since when queues and counters are the same.
    same_since: Instant,
    /// The proxy's time on a processor then.
    cpu_ns_then: u64,
    /// How many looks in a row, since then, have found everybody asleep.
    quiet_looks: u32,
    /// All looks.
    looks: u32,
}

impl Watch {
    fn changed(&mut self, now: Instant, cpu_ns: u64) {
        self.same_since = now;
        self.cpu_ns_then = cpu_ns;
        self.quiet_looks = 0;
    }
}

impl Rig {
    /// Starts the backend and then the proxy.
    ///
    /// # Errors
    /// When the proxy does not come to listen: with the verdict that says so.
    pub fn start(spec: &Spec, routes: Vec<Route>, story: &Story) -> Result<Rig, Halt> {
        Rig::with_backend(spec, Backend::start(routes)?, story)
    }

    /// Starts the proxy before a backend that is there already.
    ///
    /// # Errors
    /// As [`Rig::start`].
    pub fn with_backend(spec: &Spec, backend: Backend, story: &Story) -> Result<Rig, Halt> {
        let proxy = Proxy::start(spec, backend.address).map_err(|failure| match failure {
            StartFailure::NotRun(why) => {
                Verdict::new(Kind::Absent, format!("it could not be run: {why}"))
            }
            StartFailure::Exited(how) => {
                Verdict::new(Kind::Absent, format!("it ended before it listened: {how}"))
            }
            StartFailure::NeverListened(how) => {
                Verdict::new(Kind::Absent, format!("it never listened: {how}"))
            }
        })?;
        let tables = procfs::listens_in(proxy.address.port()).unwrap_or(Tables::V4);
        let now = Instant::now();
        let mut rig = Rig {
            proxy,
            backend,
            begun: now,
            story: story.clone(),
            watch: Watch {
                sockets: vec![],
                counters: vec![],
                same_since: now,
                cpu_ns_then: 0,
                quiet_looks: 0,
                looks: 0,
            },
            tables,
            peak_kib: 0,
        };
        rig.tell(format!(
            "The proxy listens on {}; its backend is {}.",
            rig.proxy.address, rig.backend.address
        ));
        rig.settle()?;
        Ok(rig)
    }

    /// Adds to the story.
    pub fn tell(&self, text: impl Into<String>) {
        self.story.tell(self.begun, text.into());
    }

    /// How much of [`DEADLINE`] has passed.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Connects a client, which sends its request and reads nothing.
    ///
    /// # Errors
    /// When the proxy cannot be reached or does not take the request.
    pub fn client(&mut self, window: Window, route: &Route) -> Result<Client, Halt> {
        let mut client = self.silent_client(window, &route.request, &route.response)?;
        let sent = self.pump(FOREVER, |_| send(&mut client))?;
        if sent == Ended::Still && !client.has_sent_all() {
            return Err(self.frozen("the request was never taken").into());
        }
        Ok(client)
    }

    /// Connects a client that sends nothing yet.
    ///
    /// # Errors
    /// When the proxy cannot be reached.
    pub fn silent_client(
        &mut self,
        window: Window,
        request: &Wire,
        response: &Wire,
    ) -> Result<Client, Halt> {
        Client::connect(self.proxy.address, window, request, response).map_err(|error| {
            if let Some(how) = self.proxy.exited() {
                return self.died(&how).into();
            }
            let address = self.proxy.address;
            let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
            let verdict = match procfs::listens_in(address.port()) {
                // On another address, that is: on ::1 alone, for instance.
                Some(_) if refused => {
                    let port = address.port();
                    let what =
                        format!("it listens on port {port}, but clients of {address} are refused");
                    Verdict::new(Kind::Absent, what)
                }
                _ => Verdict::new(Kind::Died, format!("a client could not connect: {error}")),
            };
            Halt::from(verdict)
        })
    }

    /// Waits until the backend has begun to serve this route.
    ///
    /// # Errors
    /// When the request never gets there.
    pub fn until_asked(&mut self, route: &Route) -> Result<(), Halt> {
        let target = route.target;
        let ended = self.pump(FOREVER, |backend| {
            if backend.asked_for(target).is_empty() { Attempt::Idle } else { Attempt::Done }
        })?;
        match ended {
            Ended::Done => Ok(()),
            Ended::Still => Err(self.frozen("the request never reached the backend").into()),
        }
    }

    /// Waits until nobody can go any further.
    ///
    /// # Errors
    /// When the proxy dies or spins, or time is over.
    pub fn settle(&mut self) -> Result<(), Halt> {
        self.pump(SETTLE, |_| Attempt::Idle).map(|_| ())
    }

    /// Reads until the response ends, or nothing comes any more for that long.
    ///
    /// # Errors
    /// As [`Rig::settle`].
    pub fn drain(&mut self, client: &mut Client, patience: Duration) -> Result<Ended, Halt> {
        let ended = self.pump(patience, |_| {
            if client.is_complete() {
                return Attempt::Done;
            }
            read(client, usize::MAX)
        })?;
        if client.is_complete() && !client.has_ended() {
            // What follows the end would be too much, and a reset would be worth knowing.
            self.pump(SETTLE, |_| read(client, usize::MAX))?;
        }
        Ok(ended)
    }

    /// Does `act` again and again until it is done, or everything has been still for `patience`.
    ///
    /// # Errors
    /// When the proxy dies or spins, or time is over.
    pub fn pump(
        &mut self,
        patience: Duration,
        mut act: impl FnMut(&Backend) -> Attempt,
    ) -> Result<Ended, Halt> {
        self.watch.same_since = Instant::now();
        self.watch.quiet_looks = 0;
        loop {
            match act(&self.backend) {
                Attempt::Done => return Ok(Ended::Done),
                Attempt::Moved => {
                    self.watch.same_since = Instant::now();
                    self.watch.quiet_looks = 0;
                    if self.begun.elapsed() > DEADLINE {
                        return Err(self.slow().into());
                    }
                    continue;
                }
                Attempt::Idle => {}
            }
            if self.is_still_for(patience)? {
                return Ok(Ended::Still);
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    fn is_still_for(&mut self, patience: Duration) -> Result<bool, Halt> {
        if let Some(how) = self.proxy.exited() {
            return Err(self.died(&how).into());
        }
        if self.begun.elapsed() > DEADLINE {
            return Err(self.slow().into());
        }
        let now = Instant::now();
        let vitals = self.proxy.vitals();
        let counters = self.backend.counters();
        let watch = &mut self.watch;
        if counters != watch.counters {
            watch.counters = counters;
            watch.changed(now, vitals.cpu_ns);
        }
        if vitals.running || self.backend.is_busy() {
            watch.quiet_looks = 0;
        } else if !procfs::deliveries_wait() {
            // Deliveries that wait may be somebody else's, so they are no sign of life; but while
            // they wait, a look proves nothing.
            watch.quiet_looks += 1;
        }
        // Counted up to the beginning of this look: on a busy machine a single one may take longer
        // than the patience.
        let due = watch.quiet_looks >= LOOKS && now.duration_since(watch.same_since) >= patience;
        // Reading the queues is the costly part. It is done at the beginning of a quiet period and at
        // its end, and now and then to find a proxy that runs while nothing moves.
        watch.looks += 1;
        if watch.quiet_looks != 1 && !due && !watch.looks.is_multiple_of(16) {
            return Ok(false);
        }
        let sockets = self.sockets();
        let watch = &mut self.watch;
        let same = procfs::same_queues(&sockets, &watch.sockets);
        watch.sockets = sockets;
        let put_off = watch.sockets.iter().any(|socket| socket.awaits_ack)
            && now.duration_since(watch.same_since) < ACKNOWLEDGED;
        if !same {
            watch.changed(now, vitals.cpu_ns);
        } else if procfs::in_flight(&watch.sockets) || put_off {
            watch.quiet_looks = 0;
        }
        let spent = vitals.cpu_ns.saturating_sub(watch.cpu_ns_then);
        if spent > SPIN_NS {
            let what = format!(
                "it used {} ms of processor time while not a byte moved",
                spent / 1_000_000
            );
            return Err(Verdict::new(Kind::Spun, what).into());
        }
        Ok(due && same && self.watch.quiet_looks > 0)
    }

    /// The connections of the proxy, both ends of each.
    pub fn sockets(&self) -> Vec<Socket> {
        procfs::sockets(&[self.proxy.address.port(), self.backend.address.port()], self.tables)
    }

    /// Bytes that wait in the kernel for somebody to read or take them.
    pub fn queued(&self) -> u64 {
        self.sockets()
            .iter()
            .filter(|socket| socket.state != LISTEN)
            .map(|socket| socket.send_queue + socket.receive_queue - socket.unread_fin())
            .sum()
    }

    /// Where the bytes of a download are, of which the backend sent `sent` on the connection to
    /// `proxy_port` and the client received `delivered` on its port.
    pub fn whereabouts(&self, sent: u64, proxy_port: u16, client: &Client) -> Whereabouts {
        let client_port = client.port().unwrap_or(0);
        let (front, back) = (self.proxy.address.port(), self.backend.address.port());
        let mut place = Whereabouts { delivered: client.received(), ..Whereabouts::default() };
        for socket in self.sockets() {
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
        place.inside_proxy = sent.saturating_sub(elsewhere);
        place
    }

    /// Stops every thread of the proxy and waits until they are stopped.
    ///
    /// # Errors
    /// When the proxy is gone, or does not stop.
    pub fn freeze(&mut self) -> Result<(), Halt> {
        self.signal(Signal::SIGSTOP)?;
        if !true_within(FOREVER, || self.proxy.vitals().stopped) {
            return Err(anyhow::anyhow!("the proxy cannot be stopped by SIGSTOP").into());
        }
        Ok(())
    }

    /// Lets the proxy go on.
    ///
    /// # Errors
    /// When the proxy is gone.
    pub fn thaw(&mut self) -> Result<(), Halt> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Halt> {
        match self.proxy.exited() {
            Some(how) => Err(self.died(&how).into()),
            None => {
                self.proxy.signal(signal);
                Ok(())
            }
        }
    }

    /// Judges a download that has ended, or will never go on: of `client`'s response, everything
    /// should have come.
    pub fn judge(&mut self, client: Client, ended: Ended) -> Result<Transfer, Halt> {
        let sent = client.expected();
        self.judge_up_to(client, ended, sent)
    }

    /// As [`Rig::judge`], for a response of which only the first `sent` bytes were sent.
    ///
    /// # Errors
    /// With a verdict, where the bytes are not lost but stuck, or the proxy answers by itself.
    pub fn judge_up_to(
        &mut self,
        client: Client,
        ended: Ended,
        sent: u64,
    ) -> Result<Transfer, Halt> {
        if let Some(status @ 400..=499) = client.status() {
            let what =
                format!("the proxy answers {status} by itself: nothing is passed on to judge");
            return Err(Verdict::new(Kind::NotJudged, what).into());
        }
        let open = !client.has_ended() && !client.is_complete();
        let received = client.received();
        let own_answer = client.status().filter(|status| *status >= 500);
        // Looked at before the client is judged, and thereby closed: that moves the queues again.
        let queued = self.queued();
        let (reading, evidence) = client.finish(sent);
        let transfer = Transfer { direction: Direction::Download, reading, evidence };
        if open && ended == Ended::Still && queued > 0 {
            let what = format!(
                "after {} bytes nothing more comes, while {} bytes wait in the kernel's queues",
                thousands(received),
                thousands(queued)
            );
            return Err(self.frozen(&what).with(vec![transfer]).into());
        }
        if let Some(status) = own_answer {
            let what = format!("the proxy answers {status} by itself, though the backend is well");
            return Err(Verdict::new(Kind::Truncated, what).with(vec![transfer]).into());
        }
        if open && transfer.reading.reached == Reached::Nothing {
            let verdict = self.frozen("not a byte of the response comes").with(vec![transfer]);
            return Err(verdict.into());
        }
        Ok(transfer)
    }

    /// Ends an experiment: a good verdict stands only if the proxy lives and is at rest.
    pub fn conclude(&mut self, verdict: Verdict) -> Result<Verdict, Halt> {
        self.peak_kib = self.peak_kib.max(self.proxy.full_vitals().memory_kib);
        if verdict.kind.is_good() {
            self.settle()?;
        } else if let Some(how) = self.proxy.exited() {
            let mut died = self.died(&how);
            died.transfers = verdict.transfers;
            return Ok(died);
        }
        Ok(verdict)
    }

    /// The verdict that nothing will ever move again, for that reason; to be given when
    /// [`pump`](Rig::pump) has ended [still](Ended::Still).
    ///
    /// That every thread is asleep is what several looks in a row have just found. One more look would
    /// know less: the kernel probes a full peer now and then, and wakes a sleeper who gets nothing.
    pub fn frozen(&self, what: &str) -> Verdict {
        Verdict::new(Kind::Frozen, format!("{what}; the proxy is asleep in every thread"))
    }

    /// The verdict that the proxy has ended.
    pub fn died(&self, how: &str) -> Verdict {
        Verdict::new(Kind::Died, self.proxy.with_last_words(how))
    }

    fn slow(&self) -> Verdict {
        let what = format!("it still moved after {} s, and was not done", DEADLINE.as_secs());
        Verdict::new(Kind::Slow, what)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.proxy.address
    }
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
