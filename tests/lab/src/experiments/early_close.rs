use super::common::*;
use super::rig::Whereabouts;
use crate::arrived::http::End;
use crate::kernel::net::Moved;

pub const EXPERIMENT: Experiment = Experiment {
    name: "early-close",
    question: "the backend has closed and the proxy holds the last bytes: do they arrive before the end?",
    method: "Three clients, one after the other, ask and do not read. For the first the backend sends \
        until the proxy takes no more, and closes. Then the client reads in small steps, with everything \
        still after each, so that the proxy meets the backend's end with its buffer full and no room \
        to write. For the others the backend sends a little at a time, until the proxy holds the first \
        bytes that it cannot pass on, and closes at that moment.",
    finds: "A proxy that tries once to write what it holds when the backend has ended, and closes \
        whatever came of that. The smaller its buffer is, the less is missing.",
    meaning: "The last bytes of a download are missing now and then, when a server is quick and a client \
        is slow. Where only closing the connection tells the end, nobody notices.",
    judges: &[Matter::Responses],
    run,
};

/// How much more the backend sends at a time to the first client, in bytes.
const GULP: u64 = 128 * 1024;

/// How much to the others. Half of the smallest buffer that a proxy is likely to have.
const SIP: u64 = 2 * 1024;

/// Still less, to see whether a proxy that keeps some bytes can pass on others.
const DROP: u64 = 256;

/// A proxy that holds so much has no bound worth looking for, in bytes.
const ENOUGH: u64 = 2 << 20;

/// The most that is sent at all, in bytes.
const MOST: u64 = 16 << 20;

/// In how many steps the first client reads.
const STEPS: u64 = 12;

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let targets = ["/to-the-brim", "/first-bytes", "/first-bytes-again"];
    let pages = targets.map(|target| {
        let allowance = Allowance::default();
        let script = vec![Act::SendAllowed(allowance.clone())];
        (Route::scripted(target, Wire::endless_page(), script), allowance)
    });
    let routes = pages.iter().map(|(route, _)| route.clone()).collect();
    let mut rig = Rig::start(spec, routes, story)?;
    let [(route, allowance), others @ ..] = &pages;

    let (client, place) = fill_to_the_brim(&mut rig, route, allowance)?;
    let mut transfers = vec![read_in_small_steps(&mut rig, client)?];
    for (route, allowance) in others {
        let client = until_it_holds_something(&mut rig, route, allowance, place.after_proxy / 2)?;
        rig.tell("The client reads.");
        transfers.push(read_to_the_end(&mut rig, client)?);
    }
    let mut verdict = Verdict::of(transfers);
    match verdict.kind {
        Kind::Exact => {
            let held = size(place.inside_proxy);
            verdict.sentence =
                format!("it held up to {held} when the backend had closed, and all of it arrived");
        }
        Kind::Truncated if verdict.missing() > 0 && verdict.transfers.iter().all(has_ended) => {
            let what = "it closed before it had written what it held";
            verdict.sentence = format!("{what}: {}", verdict.sentence);
        }
        _ => {}
    }
    rig.conclude(verdict)
}

fn has_ended(transfer: &Transfer) -> bool {
    transfer.reading.end != End::Open
}

/// The backend sends until the proxy takes no more, and closes. Returns the client, which has read
/// nothing, and where the bytes are.
fn fill_to_the_brim(
    rig: &mut Rig,
    route: &Route,
    allowance: &Allowance,
) -> Result<(Client, Whereabouts), Halt> {
    let client = rig.client(Window::Small, route)?;
    rig.until_asked(route)?;
    let mut place = Whereabouts::default();
    for _ in 0..MOST / GULP {
        let is_taken = |place: &Whereabouts| place.before_proxy == 0;
        let passed;
        (passed, place) = allow(rig, route, allowance, &client, GULP, is_taken)?;
        if passed == Ended::Still || place.inside_proxy >= ENOUGH {
            break;
        }
    }
    rig.tell(format!(
        "The client does not read, and the proxy takes no more: {place}. The backend closes."
    ));
    allowance.end();
    rig.settle()?;
    Ok((client, place))
}

/// The backend sends `start` bytes, and then a little at a time until the proxy holds what it cannot
/// pass on. Then it closes.
fn until_it_holds_something(
    rig: &mut Rig,
    route: &Route,
    allowance: &Allowance,
    start: u64,
) -> Result<Client, Halt> {
    let client = rig.client(Window::Small, route)?;
    rig.until_asked(route)?;
    let is_through = |place: &Whereabouts| place.before_proxy + place.inside_proxy == 0;
    let (_, mut place) = allow(rig, route, allowance, &client, start, is_through)?;
    let (mut sip, mut kept_some) = (SIP, false);
    for _ in 0..MOST / SIP {
        let before = place;
        let passed;
        (passed, place) = allow(rig, route, allowance, &client, sip, is_through)?;
        let is_still = passed == Ended::Still;
        if is_still && place.after_proxy <= before.after_proxy || place.inside_proxy >= ENOUGH {
            break;
        }
        // If it has kept some bytes and passed on others, either the next drop is too much, or it keeps
        // some in any case. Then the sips grow, so that this does not take forever.
        sip = match (is_still, kept_some) {
            (false, _) => sip,
            (true, false) => DROP,
            (true, true) => 2 * sip,
        };
        kept_some = is_still;
    }
    rig.tell(format!(
        "Another client. The proxy holds the first bytes that it cannot pass on: {place}. The backend closes."
    ));
    allowance.end();
    rig.settle()?;
    Ok(client)
}

/// Allows the backend to send so many bytes more. Returns when it has and `is_through`, or when nothing
/// moves anymore.
fn allow(
    rig: &mut Rig,
    route: &Route,
    allowance: &Allowance,
    client: &Client,
    more: u64,
    is_through: impl Fn(&Whereabouts) -> bool,
) -> Result<(Ended, Whereabouts), Halt> {
    let allowed = allowance.raise(more);
    let ports = rig.ports();
    let mut place = Whereabouts::default();
    let ended = rig.pump(SETTLE, |backend| {
        // squid asks twice, and closes one of the two connections after a while.
        let asked = backend.asked_for(route.target).into_iter();
        let Some(progress) = asked.rev().find(|it| !it.is_broken) else { return Attempt::Idle };
        place = rig::whereabouts(ports, &progress, client);
        done_if(progress.sent == allowed && is_through(&place))
    })?;
    Ok((ended, place))
}

/// The client reads a part, and waits until everything is still, again and again.
fn read_in_small_steps(rig: &mut Rig, mut client: Client) -> Result<Transfer, Halt> {
    let step = (client.expected() / STEPS).max(16 * 1024);
    rig.tell(format!("The client reads {} at a time.", size(step)));
    while !client.has_ended() {
        let until = client.received() + step;
        let before = client.received();
        while client.received() < until
            && matches!(client.read_now((until - client.received()) as usize), Moved::Bytes(_))
        {
        }
        if client.received() == before {
            break;
        }
        rig.settle()?;
    }
    read_to_the_end(rig, client)
}
