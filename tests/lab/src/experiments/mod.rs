//! The experiments: each is a backend, a client and a question, put to any proxy.

pub mod rig;

use std::time::{Duration, Instant};

use serde::Serialize;

use self::rig::{DEADLINE, Ended, Event, FOREVER, Halt, Rig, SETTLE, Story};
use crate::arrived::http::End;
use crate::arrived::reading::Offsets;
use crate::arrived::verdict::{Direction, Kind, Transfer, Verdict, size, thousands};
use crate::ends::Attempt;
use crate::ends::backend::{Act, Backend, Gate, Route};
use crate::ends::client::Client;
use crate::kernel::net::{self, Window};
use crate::kernel::procfs;
use crate::sent::wire::{Framing, Wire};
use crate::subject::proxy::Spec;

/// An experiment.
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it asks, in a line.
    pub question: &'static str,
    run: fn(&Spec, &Story) -> Result<Verdict, Halt>,
}

/// All experiments, in the order in which they are told.
pub const ALL: &[Experiment] = &[
    Experiment {
        name: "plain",
        question: "a fast client and a short page, in all three framings: does everything arrive?",
        run: plain,
    },
    Experiment {
        name: "lost-tail",
        question: "one burst while the client does not read: does the end of it arrive?",
        run: lost_tail,
    },
    Experiment {
        name: "two-acts",
        question: "a burst while the client stalls, and more after it has read: is there a hole between?",
        run: two_acts,
    },
    Experiment {
        name: "paced",
        question: "the client reads all the time, but slower than the backend sends: what is missing?",
        run: paced,
    },
    Experiment {
        name: "crowd",
        question: "20 clients do not read: is the next one, who does, still served?",
        run: crowd,
    },
    Experiment {
        name: "upload",
        question: "16 MiB to a backend that does not read yet: does it get all of them?",
        run: upload,
    },
    Experiment {
        name: "both-ways",
        question: "both ends send 16 MiB or more before they read: does either direction block the other?",
        run: both_ways,
    },
    Experiment {
        name: "overtaking",
        question: "old bytes wait, new ones come and there is room, all at one wake-up: who goes first?",
        run: overtaking,
    },
    Experiment {
        name: "fin-while-frozen",
        question: "data and the backend's end arrive while the proxy is stopped: is the data still read?",
        run: fin_while_frozen,
    },
    Experiment {
        name: "reset",
        question: "20 clients reset their connection mid-transfer: does the proxy get everything back?",
        run: reset,
    },
    Experiment {
        name: "refused",
        question: "the backend is not there: is the client told, and the next one served?",
        run: refused,
    },
    Experiment {
        name: "stop-and-go",
        question: "the proxy is stopped and continued, idle and at work: does it notice nothing?",
        run: stop_and_go,
    },
    Experiment {
        name: "pile-up",
        question: "the backend never stops and the client does not read: where do the bytes go?",
        run: pile_up,
    },
];

/// The experiment of that name.
pub fn named(name: &str) -> Option<&'static Experiment> {
    ALL.iter().find(|experiment| experiment.name == name)
}

/// What came out of running an experiment once.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The experiment's name.
    pub experiment: &'static str,
    /// The proxy's name.
    pub proxy: String,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How it went.
    pub story: Vec<Event>,
}

impl Experiment {
    /// Runs it against a fresh instance of the proxy, which has ended when this returns.
    pub fn run(&self, spec: &Spec) -> Outcome {
        let begun = Instant::now();
        let story = Story::default();
        let verdict = match (self.run)(spec, &story) {
            Ok(verdict) => verdict,
            Err(Halt::Verdict(verdict)) => *verdict,
            Err(Halt::Broken(error)) => {
                Verdict::new(Kind::NotJudged, format!("the laboratory could not go on: {error:#}"))
            }
        };
        Outcome {
            experiment: self.name,
            proxy: spec.name.clone(),
            verdict,
            took_ms: begun.elapsed().as_millis() as u64,
            story: story.events(),
        }
    }
}

/// A page that the kernel's buffers take at once, whoever reads it: short pages always worked.
const SHORT: u64 = 256 * 1024 + 77;

/// What an upload carries, in bytes.
const LONG: u64 = 16 << 20;

/// What each direction of [`both_ways`] carries, in bytes: 16 MiB, or more where the kernel could hold
/// that much by itself. The proxy's receive buffer grows up to `tcp_rmem` while the proxy reads fast,
/// and on its way a stream meets two send buffers of up to `tcp_wmem` (tcp(7)).
fn longer_than_the_path() -> u64 {
    let most = |name: &str| procfs::sysctl_triple(name).map_or(6 << 20, |numbers| numbers[2]);
    LONG.max(most("net.ipv4.tcp_rmem") + 2 * most("net.ipv4.tcp_wmem") + (8 << 20))
}

/// More than twice what the kernel's buffers take for a client with a narrow window that does not
/// read.
fn flood() -> Result<u64, Halt> {
    Ok((4 << 20) + 2 * net::absorbed(Window::Narrow)?)
}

fn plain(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let framings = [
        ("/chunked", Framing::Chunked),
        ("/content-length", Framing::ContentLength),
        ("/close", Framing::Close),
    ];
    let routes = framings
        .map(|(target, framing)| Route::simple(target, Wire::response(framing, SHORT)))
        .to_vec();
    let mut rig = Rig::start(spec, routes.clone(), story)?;
    let mut transfers = vec![];
    for route in &routes {
        let mut client = rig.client(Window::Default, route)?;
        let ended = rig.drain(&mut client, FOREVER)?;
        rig.tell(format!("GET {}: {} bytes came.", route.target, thousands(client.received())));
        transfers.push(rig.judge(client, ended)?);
    }
    rig.conclude(Verdict::of(transfers))
}

fn lost_tail(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let route = Route::simple("/burst", Wire::response(Framing::Chunked, flood()?));
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let mut client = stalled_client(&mut rig, &route)?;
    tell_whereabouts(&rig, &route, &client);
    rig.tell("The client reads, as fast as it can.");
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    let transfer = rig.judge(client, ended)?;
    rig.conclude(Verdict::of(vec![transfer]))
}

fn two_acts(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let second_act = Gate::new();
    let first = flood()?;
    let response = Wire::response(Framing::Chunked, first + SHORT);
    let script = vec![Act::SendTo(first), Act::Await(second_act.clone()), Act::SendAll];
    let route = Route::scripted("/two-acts", response.clone(), script);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    rig.tell(format!("Act one: the backend sends {} bytes.", thousands(first)));
    let mut client = stalled_client(&mut rig, &route)?;
    tell_whereabouts(&rig, &route, &client);
    rig.tell("The client reads until nothing comes any more.");
    rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
    tell_received(&rig, &client);
    let rest = thousands(response.len() - first);
    rig.tell(format!("Act two: the backend sends the remaining {rest} bytes and closes."));
    second_act.open();
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    let transfer = rig.judge(client, ended)?;
    rig.conclude(Verdict::of(vec![transfer]))
}

/// The client's pace is bound to the backend's: it has read at most a quarter of what was sent, as
/// long as the backend sends. So it is slower on any machine, however busy.
fn paced(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    // The send buffer grows while a client reads; up to here (tcp(7), tcp_wmem).
    let most = procfs::sysctl_triple("net.ipv4.tcp_wmem").map_or(4 << 20, |wmem| wmem[2]);
    let response = Wire::response(Framing::Chunked, (16 << 20).max(4 * most));
    let pace =
        Act::SendPaced { to: response.len(), block: 256 * 1024, pause: Duration::from_millis(1) };
    let route = Route::scripted("/paced", response.clone(), vec![pace]);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    rig.tell(format!(
        "The backend sends {} bytes, with a pause after each 256 KiB; the client reads a quarter as fast.",
        thousands(response.len())
    ));
    let mut client = rig.client(Window::Small, &route)?;
    rig.until_asked(&route)?;
    // When the backend can only go on after the client has read more, it reads more.
    let mut waited_at = (0, Instant::now());
    let ended = rig.pump(FOREVER, |backend| {
        let Some(progress) = backend.asked_for(route.target).pop() else { return Attempt::Idle };
        if progress.is_finished() {
            return Attempt::Done;
        }
        let sent = progress.sent();
        if sent != waited_at.0 {
            waited_at = (sent, Instant::now());
        }
        let allowed = (sent / 4).saturating_sub(client.received());
        let stuck = waited_at.1.elapsed() > Duration::from_millis(20);
        match if stuck { 16 * 1024 } else { allowed } {
            0 => Attempt::Idle,
            most => rig::read(&mut client, most as usize),
        }
    })?;
    rig.tell(format!(
        "The backend has {}; the client has read {} bytes so far and reads the rest.",
        if ended == Ended::Done { "sent everything" } else { "stopped" },
        thousands(client.received())
    ));
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    let transfer = rig.judge(client, ended)?;
    rig.conclude(Verdict::of(vec![transfer]))
}

fn crowd(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    const CROWD: usize = 20;
    let each = (1 << 20) + 4 * net::absorbed(Window::Small)?;
    let big = Route::simple("/big", Wire::response(Framing::Chunked, each));
    let small = Route::simple("/small", Wire::response(Framing::ContentLength, 100));
    let mut rig = Rig::start(spec, vec![big.clone(), small.clone()], story)?;
    let mut crowd = vec![];
    for _ in 0..CROWD {
        let mut client = rig.silent_client(Window::Small, &big.request, &big.response)?;
        // A frozen proxy may not even take the request out of the queue: that is not asked here.
        rig.pump(SETTLE, |_| rig::send(&mut client))?;
        crowd.push(client);
    }
    rig.settle()?;
    let served = rig.backend.asked_for(big.target).len();
    rig.tell(format!(
        "{CROWD} clients have each asked for {} and do not read; {served} of them have reached the backend.",
        size(each)
    ));
    let asked = Instant::now();
    let (answered, transfer) = ask_for_small(&mut rig, &small)?;
    let took = asked.elapsed();
    match transfer {
        Some(transfer) if answered => {
            rig.tell(format!("The next client was answered in {:.1} ms.", millis(took)));
            let mut verdict = Verdict::of(vec![transfer]);
            if verdict.kind == Kind::Exact {
                verdict.sentence =
                    format!("the next client was answered in {:.1} ms", millis(took));
            }
            rig.conclude(verdict)
        }
        _ => {
            let waiting = rig.backend.asked_for(big.target).len();
            let what = format!(
                "one more client asks for 100 bytes and gets nothing; of {CROWD} that do not read, {waiting} got as far as the backend"
            );
            Err(rig.frozen(&what).into())
        }
    }
}

/// Asks for a small page. False: nobody answers, and nobody is going to.
fn ask_for_small(rig: &mut Rig, small: &Route) -> Result<(bool, Option<Transfer>), Halt> {
    let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
    rig.pump(SETTLE, |_| rig::send(&mut client))?;
    let ended = rig.drain(&mut client, FOREVER)?;
    if ended == Ended::Still && client.received() == 0 {
        return Ok((false, None));
    }
    Ok((true, Some(rig.judge(client, ended)?)))
}

fn upload(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let (read, enough) = (Gate::new(), Gate::new());
    let route = Route {
        target: "/upload",
        request: Wire::post("/upload", LONG),
        response: Wire::response(Framing::ContentLength, 100),
        acts: vec![Act::Await(read.clone()), Act::ReadBody(enough.clone()), Act::SendAll],
    };
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let mut client = rig.silent_client(Window::Default, &route.request, &route.response)?;
    rig.pump(SETTLE, |_| rig::send(&mut client))?;
    rig.tell(format!(
        "The client sends {} bytes to a backend that does not read; {} of them were taken.",
        thousands(route.request.len()),
        thousands(client.sent())
    ));
    rig.tell("The backend begins to read.");
    read.open();
    let received = |backend: &Backend| {
        let connection = backend.asked_for(route.target).pop();
        connection.is_some_and(|progress| progress.upload().is_some())
    };
    let mut ended = rig.pump(FOREVER, |backend| send_until(&mut client, || received(backend)))?;
    // A sender that is done and empty queues: what has not come by now never will. The backend
    // answers what it got, so that the connection can end.
    let lost = ended == Ended::Still && rig.queued() == 0 && client.has_sent_all();
    if lost {
        enough.open();
        ended = rig.pump(
            FOREVER,
            |backend| if received(backend) { Attempt::Done } else { Attempt::Idle },
        )?;
    }
    if ended == Ended::Still && !client.has_ended() {
        // Perhaps the proxy has answered by itself instead of passing the request on.
        rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
        if client.status().is_none() {
            let what = format!(
                "the upload never arrives: {} of {} bytes were taken, and {} wait in the kernel's queues",
                thousands(client.sent()),
                thousands(route.request.len()),
                thousands(rig.queued())
            );
            return Err(rig.frozen(&what).into());
        }
    }
    let ended = rig.drain(&mut client, FOREVER)?;
    let mut transfers = uploads(&rig, &route);
    if let Some(upload) = transfers.first() {
        let count = thousands(upload.reading.damage.received);
        rig.tell(format!("The backend got {count} bytes in all, and answers."));
    }
    if transfers.is_empty() || transfers.iter().all(|transfer| transfer.reading.is_exact()) {
        // The answer counts too, where the upload itself arrived.
        transfers.push(rig.judge(client, ended)?);
    }
    rig.conclude(upload_first(transfers))
}

/// Sends the rest of the request, until `done`.
fn send_until(client: &mut Client, done: impl FnOnce() -> bool) -> Attempt {
    match rig::send(client) {
        Attempt::Moved => Attempt::Moved,
        _ if done() => Attempt::Done,
        _ => Attempt::Idle,
    }
}

/// What the backend has received on a route.
fn uploads(rig: &Rig, route: &Route) -> Vec<Transfer> {
    let connection = rig.backend.asked_for(route.target).pop();
    let reading = connection.and_then(|progress| progress.upload());
    let transfer = |reading| Transfer { direction: Direction::Upload, reading, evidence: vec![] };
    reading.map(transfer).into_iter().collect()
}

/// A verdict whose sentence counts the upload when all is well.
fn upload_first(transfers: Vec<Transfer>) -> Verdict {
    let mut verdict = Verdict::of(transfers);
    if verdict.kind == Kind::Exact {
        let total: u64 =
            verdict.transfers.iter().map(|transfer| transfer.reading.damage.received).sum();
        verdict.sentence = format!("{} bytes, all of them, in order", thousands(total));
    }
    verdict
}

/// Both ends insist on sending everything before they read. A proxy that holds back must stop then,
/// as two programs on a direct connection would; but it must go on serving others, and when the ends
/// begin to read, everything must arrive.
fn both_ways(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let enough = Gate::new();
    let long = longer_than_the_path();
    let route = Route {
        target: "/both",
        request: Wire::post("/both", long),
        response: Wire::response(Framing::ContentLength, long),
        // The response's last bytes come after the request has been read: to a proxy that speaks
        // HTTP, a response that is complete ends the exchange, whatever of the request is left.
        acts: vec![Act::SendTo(long), Act::ReadBody(enough.clone()), Act::SendAll],
    };
    let small = Route::simple("/small", Wire::response(Framing::ContentLength, 100));
    let mut rig = Rig::start(spec, vec![route.clone(), small.clone()], story)?;
    let mut client = rig.silent_client(Window::Default, &route.request, &route.response)?;
    rig.tell(format!("Both ends send {} bytes before they read.", thousands(long)));
    let progress = |backend: &Backend| backend.asked_for(route.target).pop();
    let both_sent = |backend: &Backend| progress(backend).is_some_and(|p| p.sent() >= long);
    let ended = rig.pump(FOREVER, |backend| send_until(&mut client, || both_sent(backend)))?;
    let mut stuck = false;
    if ended == Ended::Still {
        stuck = true;
        let sent = rig.backend.asked_for(route.target).pop().map_or(0, |p| p.sent());
        rig.tell(format!(
            "Nothing moves: the client has sent {} bytes, the backend {}.",
            thousands(client.sent()),
            thousands(sent)
        ));
        let (answered, _) = ask_for_small(&mut rig, &small)?;
        if !answered {
            let what = format!(
                "both ends are stuck in sending ({} and {} bytes), and nobody else is served either",
                thousands(client.sent()),
                thousands(sent)
            );
            return Err(rig.frozen(&what).into());
        }
        rig.tell("Another client is served meanwhile. Now the client gives in and reads.");
    }
    let received = |backend: &Backend| progress(backend).is_some_and(|p| p.upload().is_some());
    let moved = rig.pump(FOREVER, |backend| {
        let sent = rig::send(&mut client);
        let read = match client.is_complete() {
            true => Attempt::Done,
            false => rig::read(&mut client, usize::MAX),
        };
        match (sent, read) {
            (Attempt::Done, Attempt::Done) if received(backend) => Attempt::Done,
            (Attempt::Moved, _) | (_, Attempt::Moved) => Attempt::Moved,
            _ => Attempt::Idle,
        }
    })?;
    if moved == Ended::Still && rig.queued() == 0 {
        // Nothing is on its way any more: what has not come never will.
        enough.open();
        rig.pump(FOREVER, |backend| if received(backend) { Attempt::Done } else { Attempt::Idle })?;
    }
    let ended = rig.drain(&mut client, FOREVER)?;
    let mut transfers = uploads(&rig, &route);
    rig.tell(format!(
        "The client got {} bytes, the backend {}.",
        thousands(client.received()),
        thousands(transfers.first().map_or(0, |transfer| transfer.reading.damage.received))
    ));
    transfers.insert(0, rig.judge(client, ended)?);
    let response = &transfers[0].reading;
    if response.is_exact() && response.offsets == Offsets::Body {
        let cut = |upload: &Transfer| upload.reading.damage.gaps.iter().any(|gap| gap.tail);
        if transfers[1..].iter().any(cut) {
            let what = "the proxy speaks HTTP, where a response that begins before the request is complete may end it";
            return rig.conclude(Verdict::new(Kind::NotJudged, what).with(transfers));
        }
    }
    let mut verdict = upload_first(transfers);
    if verdict.kind == Kind::Exact && stuck {
        verdict.kind = Kind::HeldBack;
        verdict.sentence = "the two ends block each other, as on a direct connection; others are \
             served, and when one of them reads, every byte arrives"
            .into();
    }
    rig.conclude(verdict)
}

fn overtaking(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let second = Gate::new();
    let first = flood()?;
    let response = Wire::response(Framing::Chunked, first + 32 * 1024);
    let script = vec![Act::SendTo(first), Act::Await(second.clone()), Act::SendAll];
    let route = Route::scripted("/overtaking", response, script);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let mut client = stalled_client(&mut rig, &route)?;
    tell_whereabouts(&rig, &route, &client);
    rig.freeze()?;
    rig.tell("The proxy is stopped. The backend sends more, and the client reads what it can get.");
    second.open();
    rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
    tell_received(&rig, &client);
    rig.tell("The proxy goes on: it finds room to write and new bytes to read, at one wake-up.");
    rig.thaw()?;
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    let transfer = rig.judge(client, ended)?;
    rig.conclude(Verdict::of(vec![transfer]))
}

fn fin_while_frozen(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let send = Gate::new();
    // A little more than one read of 64 KiB takes.
    let response = Wire::response(Framing::Close, 64 * 1024 + 500);
    let script = vec![Act::Await(send.clone()), Act::SendAll];
    let route = Route::scripted("/fin", response.clone(), script);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let mut client = rig.client(Window::Default, &route)?;
    rig.until_asked(&route)?;
    rig.settle()?;
    rig.freeze()?;
    send.open();
    rig.settle()?;
    rig.tell(format!(
        "While the proxy was stopped, the backend sent {} bytes and its end. The proxy goes on.",
        thousands(response.len())
    ));
    rig.thaw()?;
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    let transfer = rig.judge(client, ended)?;
    rig.conclude(Verdict::of(vec![transfer]))
}

fn reset(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    const ROUNDS: usize = 20;
    /// Where processors are scarce, so many are enough: a descriptor a round shows all the same.
    const ENOUGH_ROUNDS: usize = 10;
    /// Growth in each round after the 5th that no allocator's habits explain.
    const LEAK_KIB: u64 = 1024;
    let big = Route::simple("/big", Wire::response(Framing::Chunked, flood()?));
    let small = Route::simple("/small", Wire::response(Framing::ContentLength, 100));
    let mut rig = Rig::start(spec, vec![big.clone(), small.clone()], story)?;
    // One ordinary request first: some programs open things when they are first needed.
    if !ask_for_small(&mut rig, &small)?.0 {
        return Err(rig.frozen("not even the first client is answered").into());
    }
    rig.settle()?;
    let before = rig.proxy.full_vitals();
    let mut after_five = before.clone();
    let mut rounds = 0;
    while rounds < ROUNDS && !(rounds >= ENOUGH_ROUNDS && rig.elapsed() > DEADLINE / 2) {
        rounds += 1;
        let round = rounds;
        let client = rig.client(Window::Small, &big)?;
        let begun = rig.pump(FOREVER, |backend| {
            let asked = backend.asked_for(big.target);
            if asked.len() == round && asked[round - 1].sent() > 0 {
                Attempt::Done
            } else {
                Attempt::Idle
            }
        })?;
        if begun == Ended::Still {
            let what = format!(
                "after {} clients reset their connections, the next is not served",
                round - 1
            );
            return Err(rig.frozen(&what).into());
        }
        rig.settle()?;
        client.reset()?;
        rig.settle()?;
        if round == 5 {
            after_five = rig.proxy.full_vitals();
        }
    }
    let mut after = rig.proxy.full_vitals();
    if after.descriptors > before.descriptors {
        // Closing may take some programs a moment, but not for ever.
        let waited = Instant::now();
        let proxy = rig.proxy.family();
        rig.pump(FOREVER, |_| {
            after = procfs::vitals(&proxy, true);
            let back = after.descriptors <= before.descriptors || waited.elapsed() > DEADLINE / 3;
            if back { Attempt::Done } else { Attempt::Idle }
        })?;
    }
    rig.tell(format!(
        "{rounds} clients have reset their connections. Descriptors: {} before, {} now. Memory: {} KiB before, {} after 5 rounds, {} now.",
        before.descriptors, after.descriptors, before.memory_kib, after_five.memory_kib, after.memory_kib
    ));
    if after.descriptors > before.descriptors {
        let what = format!(
            "{} descriptors did not come back after {rounds} resets",
            after.descriptors - before.descriptors
        );
        return rig.conclude(Verdict::new(Kind::Leaked, what));
    }
    let grown = after.memory_kib.saturating_sub(after_five.memory_kib);
    if grown > LEAK_KIB * (rounds as u64 - 5) {
        let what =
            format!("memory rose by {} from the 5th reset to the {rounds}th", size(grown * 1024));
        return rig.conclude(Verdict::new(Kind::Leaked, what));
    }
    let (answered, transfer) = ask_for_small(&mut rig, &small)?;
    let Some(transfer) = transfer.filter(|_| answered) else {
        return Err(rig
            .frozen(&format!("after {rounds} resets the next client is not answered"))
            .into());
    };
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        verdict.sentence = format!(
            "{rounds} resets cost nothing: all descriptors are back, and the next client is served"
        );
    }
    rig.conclude(verdict)
}

fn refused(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    /// Proxies that try again, as HAProxy does three times a second apart, may take this long.
    const RETRYING: Duration = Duration::from_secs(6);
    let small = Route::simple("/small", Wire::response(Framing::ContentLength, 100));
    let backend = Backend::refusing(vec![small.clone()])?;
    let mut rig = Rig::with_backend(spec, backend, story)?;
    let before = rig.proxy.full_vitals();
    let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
    rig.pump(SETTLE, |_| rig::send(&mut client))?;
    let ended = rig.drain(&mut client, RETRYING)?;
    if ended == Ended::Still {
        let what = "the backend refuses, and the client waits for an answer or an end";
        return Err(rig.frozen(what).into());
    }
    let told = match (client.status(), client.received()) {
        (Some(status), _) => format!("the answer {status}"),
        (None, 0) => "the end of the connection".to_string(),
        (None, count) => format!("{count} bytes that are no answer"),
    };
    rig.tell(format!("The backend refuses; the client got {told}."));
    drop(client);
    rig.settle()?;
    let after = rig.proxy.full_vitals();
    rig.backend.open()?;
    rig.tell("The backend is there now, and the next client asks.");
    let (answered, transfer) = ask_for_small(&mut rig, &small)?;
    let Some(transfer) = transfer.filter(|_| answered) else {
        return Err(rig
            .frozen("the backend is there again, and the next client is not answered")
            .into());
    };
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        // Opened at the first connection, some descriptors may stay for good: 20 of them may not,
        // and that is asked by `reset`. Here the same client may cost one process-wide descriptor.
        verdict.sentence = format!("the client got {told}, and the next one was served");
        if after.descriptors > before.descriptors + 1 {
            let what = format!(
                "a refused connection cost {} descriptors",
                after.descriptors - before.descriptors
            );
            verdict = Verdict::new(Kind::Leaked, what).with(verdict.transfers);
        }
    }
    rig.conclude(verdict)
}

fn stop_and_go(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let second_half = Gate::new();
    let response = Wire::response(Framing::Chunked, SHORT);
    let half = response.len() / 2;
    let script = vec![Act::SendTo(half), Act::Await(second_half.clone()), Act::SendAll];
    let halves = Route::scripted("/halves", response, script);
    let small = Route::simple("/small", Wire::response(Framing::ContentLength, 100));
    let mut rig = Rig::start(spec, vec![halves.clone(), small.clone()], story)?;
    let mut transfers = vec![];
    for _ in 0..3 {
        rig.freeze()?;
        rig.thaw()?;
        rig.settle()?;
    }
    rig.tell("The idle proxy was stopped and continued three times.");
    let (answered, transfer) = ask_for_small(&mut rig, &small)?;
    if !answered {
        return Err(rig.frozen("after a stop and go of the idle proxy nobody is served").into());
    }
    transfers.extend(transfer);
    let mut client = rig.client(Window::Default, &halves)?;
    rig.until_asked(&halves)?;
    rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
    for _ in 0..3 {
        rig.freeze()?;
        rig.thaw()?;
        rig.settle()?;
    }
    rig.freeze()?;
    second_half.open();
    rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
    rig.thaw()?;
    rig.tell("It was stopped and continued again, in the middle of a response.");
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    transfers.push(rig.judge(client, ended)?);
    rig.conclude(Verdict::of(transfers))
}

fn pile_up(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    /// The most that the backend sends, in bytes.
    const MOST: u64 = 256 << 20;
    /// Taken in memory, this much is an answer, in bytes.
    const GREW: u64 = 96 << 20;
    /// Taken without memory growing, this much is an answer, in bytes.
    const VANISHED: u64 = 64 << 20;
    /// A slow proxy need not get that far: after this time, it is judged by what it did.
    const LONG_ENOUGH: Duration = Duration::from_secs(10);
    let enough = Gate::new();
    let response = Wire::endless_response();
    let route = Route::scripted("/endless", response.clone(), vec![Act::SendUntil(enough.clone())]);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let before_kib = rig.proxy.full_vitals().memory_kib;
    rig.tell("The backend sends without end; the client does not read.");
    let mut client = rig.client(Window::Default, &route)?;
    rig.until_asked(&route)?;
    let begun = Instant::now();
    let progress = rig.backend.asked_for(route.target).pop().expect("asked for just now");
    let mut stopped = false;
    let (place, grown) = loop {
        // The queues are read first: what is in none of them was taken before we look at memory.
        let place = rig.whereabouts(progress.sent(), progress.peer_port(), &client);
        let grown = rig.proxy.full_vitals().memory_kib.saturating_sub(before_kib) * 1024;
        let in_memory = grown >= place.inside_proxy / 2;
        if stopped
            || (in_memory && grown >= GREW)
            || (!in_memory && place.inside_proxy >= VANISHED)
            || progress.sent() >= MOST
            || progress.is_finished()
            || begun.elapsed() > LONG_ENOUGH
        {
            break (place, grown);
        }
        // A look at memory again after every 4 MiB, or when nothing moves any more.
        let next = progress.sent() + (4 << 20);
        let ended = rig.pump(SETTLE, |_| {
            if progress.sent() >= next || progress.is_finished() {
                Attempt::Done
            } else {
                Attempt::Idle
            }
        })?;
        stopped = ended == Ended::Still;
    };
    let inside = place.inside_proxy;
    rig.tell(format!(
        "{} sent: {place}. Its memory grew by {}.",
        size(progress.sent()),
        size(grown)
    ));
    rig.tell("The backend comes to an end, and the client reads everything.");
    enough.open();
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    // Where the client's side ended first, the backend may not have come to an end, and then the
    // response has no length yet: what was sent is all that could have come.
    let ended_well = progress.is_finished() && !progress.is_broken();
    let sent = if ended_well { response.len() } else { progress.sent() };
    let transfer = rig.judge_up_to(client, ended, sent)?;
    let exact = transfer.reading.is_exact();
    let lost = transfer.reading.damage.missing();
    let mut verdict = Verdict::of(vec![transfer]);
    if exact {
        (verdict.kind, verdict.sentence) = if stopped {
            let what = format!(
                "it stopped reading with {} of the response inside it, and lost none",
                size(inside)
            );
            (Kind::HeldBack, what)
        } else if grown >= inside / 2 {
            let what = format!(
                "it took {} more than it could pass on, and grew by {}",
                size(inside),
                size(grown)
            );
            (Kind::Grew, what)
        } else {
            let what = format!(
                "it took {} more than it could pass on, outside its memory, and lost none",
                size(inside)
            );
            (Kind::Spilled, what)
        };
    } else if lost > inside / 2 && !stopped {
        verdict.kind = Kind::Swallowed;
        verdict.sentence =
            format!("it took {} more than it could pass on; {}", size(inside), verdict.sentence);
    }
    rig.conclude(verdict)
}

/// A client that has asked and does not read; returns when nobody can go any further.
fn stalled_client(rig: &mut Rig, route: &Route) -> Result<Client, Halt> {
    let client = rig.client(Window::Narrow, route)?;
    rig.tell(format!("The client asks for {} and does not read.", route.target));
    let begun = rig.pump(FOREVER, |backend| {
        let sent = backend.asked_for(route.target).iter().any(|progress| progress.sent() > 0);
        if sent { Attempt::Done } else { Attempt::Idle }
    })?;
    if begun == Ended::Still {
        return Err(rig.frozen("the request never reached the backend").into());
    }
    rig.settle()?;
    Ok(client)
}

fn tell_whereabouts(rig: &Rig, route: &Route, client: &Client) {
    let Some(progress) = rig.backend.asked_for(route.target).pop() else { return };
    let place = rig.whereabouts(progress.sent(), progress.peer_port(), client);
    rig.tell(format!(
        "Nothing moves any more. The backend has sent {} bytes: {place}.",
        thousands(progress.sent())
    ));
}

fn tell_received(rig: &Rig, client: &Client) {
    let end = match client.end() {
        End::Open => "the connection is open",
        End::Fin => "the connection has ended",
        End::Reset => "the connection was reset",
    };
    rig.tell(format!("The client has {} bytes; {end}.", thousands(client.received())));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
