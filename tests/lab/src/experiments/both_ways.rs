use super::common::*;
use crate::arrived::reading::Offsets;

pub const EXPERIMENT: Experiment = Experiment {
    name: "both-ways",
    question: "both ends send 16 MiB or more before they read: does either direction block the other?",
    method: "The client sends a long request and then the backend a long response, and neither reads \
        before it has sent everything. A proxy that does not keep all of it must stop, as two programs on a \
        direct connection would. Then another client asks for a small page, and after that the first \
        client gives in and reads.",
    finds: "A proxy whose two directions depend on each other: others are not served while the two ends \
        wait, or bytes are missing afterward.",
    meaning: "An API that streams in both directions hangs or loses data, or hangs the service for \
        everybody.",
    judges: &[Matter::Responses, Matter::Uploads, Matter::Others],
    run,
};

/// How many bytes each direction carries: 16 MiB, or more where the kernel alone could hold that much.
/// The proxy's receive buffer grows up to `tcp_rmem` while the proxy reads fast, and on its way a
/// stream meets two send buffers of up to `tcp_wmem` (tcp(7)).
fn longer_than_the_path() -> u64 {
    let [receive, send] = ["tcp_rmem", "tcp_wmem"].map(procfs::largest_buffer);
    LONG.max(receive + 2 * send + (8 << 20))
}

/// The transfers, one after the other. There is more than one only for a proxy that speaks HTTP and does
/// well: it may decide anew each time which end it reads.
const TARGETS: [&str; 3] = ["/both", "/both-again", "/both-once-more"];

/// Who begins to send.
#[derive(PartialEq, Eq)]
enum First {
    /// The client, until it has to wait. A relay that waits in a write waits in that one then.
    Client,
    /// Both ends at once. So squid gets stuck in most of these transfers.
    Neither,
}

/// A transfer in both directions.
struct Exchange {
    route: Route,
    begin: Gate,
    enough: Gate,
    give_in: Gate,
}

impl Exchange {
    fn new(target: &'static str) -> Exchange {
        let [begin, enough, give_in] = [Gate::new(), Gate::new(), Gate::new()];
        let long = longer_than_the_path();
        let route = Route {
            target,
            request: Wire::post(target, long),
            response: Wire::response(Framing::ContentLength, long),
            // The response ends only after the request has been read. A proxy that speaks HTTP may drop
            // the rest of a request as soon as the response is complete.
            acts: vec![
                Act::Await(begin.clone()),
                Act::SendToOr(long, give_in.clone()),
                Act::ReadBody(enough.clone()),
                Act::SendAll,
            ],
        };
        Exchange { route, begin, enough, give_in }
    }
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let exchanges = TARGETS.map(Exchange::new);
    let routes = exchanges.iter().map(|it| it.route.clone()).chain([small_page()]).collect();
    let mut rig = Rig::start(spec, routes, story)?;
    let [first, others @ ..] = &exchanges;
    let mut verdict = exchange(&mut rig, first, First::Client)?;
    for other in others {
        let does_well = matches!(verdict.kind, Kind::Exact | Kind::HeldBack);
        if !does_well || !speaks_http(&verdict.transfers) {
            break;
        }
        rig.tell("It speaks HTTP. Does it do the same each time?");
        verdict = exchange(&mut rig, other, First::Neither)?;
    }
    rig.conclude(verdict)
}

fn speaks_http(transfers: &[Transfer]) -> bool {
    transfers.iter().any(|transfer| transfer.reading.offsets == Offsets::Body)
}

fn exchange(rig: &mut Rig, exchange: &Exchange, first: First) -> Result<Verdict, Halt> {
    let Exchange { route, begin, enough, give_in } = exchange;
    let long = longer_than_the_path();
    let mut client = rig.silent_client(Window::Default, &route.request, &route.response)?;
    rig.tell(format!("Both ends send {} bytes before they read.", thousands(long)));
    until_asked(rig, &mut client, route)?;
    if first == First::Client {
        rig.pump(SETTLE, |_| rig::send(&mut client))?;
    }
    begin.open();
    let all_sent = |backend: &Backend| newest_is(backend, route, |newest| newest.sent >= long);
    let ended = rig.pump(LULL, |backend| send_until(&mut client, || all_sent(backend)))?;
    let mut way = Way::BothAtOnce;
    if ended == Ended::Still {
        serves_others(rig, route, &client)?;
        way = Way::WhenTheClientReads;
    }
    let mut moved = send_and_read(rig, &mut client, route)?;
    if moved == Ended::Still && rig.queued() > 0 && way == Way::WhenTheClientReads {
        rig.tell(
            "Nothing moves although the client reads. Now the backend gives in and reads, too.",
        );
        way = Way::WhenBothRead;
        give_in.open();
        moved = send_and_read(rig, &mut client, route)?;
    }
    if moved == Ended::Still && rig.queued() == 0 {
        // Nothing is on its way anymore: what has not come never will.
        enough.open();
        rig.pump(FOREVER, |backend| {
            done_if(newest_is(backend, route, |newest| newest.upload.is_some()))
        })?;
    }
    let ended = rig.drain(&mut client, FOREVER)?;
    let mut transfers = uploads(rig, route);
    rig.tell(format!(
        "The client got {} bytes, the backend {}.",
        thousands(client.received()),
        thousands(transfers.first().map_or(0, |transfer| transfer.reading.damage.received))
    ));
    transfers.insert(0, rig.judge(client, ended)?);
    Ok(judge(rig, transfers, way))
}

/// What it took until both directions moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    BothAtOnce,
    /// Neither moved until the client read: the two ends had blocked each other.
    WhenTheClientReads,
    /// Neither moved until the backend read as well.
    WhenBothRead,
}

/// Waits until the request has reached the backend. Some proxies take all of it before they connect.
fn until_asked(rig: &mut Rig, client: &mut Client, route: &Route) -> Result<(), Halt> {
    let ended = rig.pump(FOREVER, |backend| match newest_is(backend, route, |_| true) {
        true => Attempt::Done,
        false => send_until(client, || false),
    })?;
    match ended {
        Ended::Done => Ok(()),
        Ended::Still => Err(rig.frozen("the request never reached the backend").into()),
    }
}

/// The client sends and reads until it has sent and received everything, and the backend has, too.
fn send_and_read(rig: &mut Rig, client: &mut Client, route: &Route) -> Result<Ended, Halt> {
    rig.pump(FOREVER, |backend| {
        let sent = rig::send(client);
        let read = match client.is_complete() {
            true => Attempt::Done,
            false => rig::read(client, usize::MAX),
        };
        let received = newest_is(backend, route, |newest| newest.upload.is_some());
        match (sent, read) {
            (Attempt::Done, Attempt::Done) if received => Attempt::Done,
            (Attempt::Moved, _) | (_, Attempt::Moved) => Attempt::Moved,
            _ => Attempt::Idle,
        }
    })
}

/// The two ends wait for each other, which is their own fault. But other clients must be served.
fn serves_others(rig: &mut Rig, route: &Route, client: &Client) -> Result<(), Halt> {
    let by_client = thousands(client.sent());
    let by_backend = rig.backend.asked_for(route.target).pop().map_or(0, |newest| newest.sent);
    let by_backend = thousands(by_backend);
    rig.tell(format!(
        "Nothing moves: the client has sent {by_client} bytes, the backend {by_backend}."
    ));
    if ask_for_small(rig)?.is_none() {
        let what = format!(
            "both ends are stuck in sending ({by_client} and {by_backend} bytes), and nobody else is served either"
        );
        return Err(rig.frozen(&what).into());
    }
    rig.tell("Another client is served meanwhile. Now the client gives in and reads.");
    Ok(())
}

/// The verdict on the response and on the request, if it was read.
fn judge(rig: &Rig, transfers: Vec<Transfer>, way: Way) -> Verdict {
    let response = &transfers[0].reading;
    let speaks_http = speaks_http(&transfers);
    if response.is_exact() && response.offsets == Offsets::Body {
        let cut = |upload: &Transfer| upload.reading.damage.gaps.iter().any(|gap| gap.tail);
        let crossed = transfers.iter().any(|transfer| transfer.reading.has_crossed());
        if !crossed && transfers[1..].iter().any(cut) {
            let what = "the proxy speaks HTTP, where a response that begins before the request is complete may end it";
            return Verdict::new(Kind::NotJudged, what).with(transfers);
        }
    }
    let mut verdict = verdict_on_both(transfers);
    if verdict.kind != Kind::Exact {
        return verdict;
    }
    (verdict.kind, verdict.sentence) = match way {
        Way::BothAtOnce => return verdict,
        Way::WhenTheClientReads => (
            Kind::HeldBack,
            "the two ends block each other, as on a direct connection; others are served, and when one of them reads, every byte arrives".into(),
        ),
        Way::WhenBothRead if speaks_http => (
            Kind::Noted,
            "one direction at a time: it speaks HTTP, and reads the response only after it has sent the whole request; then every byte arrives".into(),
        ),
        Way::WhenBothRead => {
            let what = "both ends send before they read, and when the client begins to read, nothing moves all the same: each direction waits for the other";
            return rig.frozen(what).with(verdict.transfers);
        }
    };
    verdict
}
