use std::time::{Duration, Instant};

use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "pile-up",
    question: "the backend never stops and the client does not read: where do the bytes go?",
    method: "The backend sends without end and the client does not read. The laboratory watches where \
        the bytes are: in the kernel's queues or inside the proxy, in its memory or not. When the proxy \
        stops taking more, or has taken enough to tell, the backend ends its page and the client reads \
        everything.",
    finds: "A proxy that takes bytes and forgets them, and one that keeps them in memory without a \
        bound. To stop reading is good, and so is to put them into a file.",
    meaning: "Some slow clients of a large download use up the machine's memory, and then the kernel \
        ends the proxy and with it everybody's connections.",
    judges: &[Matter::Memory],
    run,
};

const TARGET: &str = "/endless";

/// The most that the backend sends, in bytes.
const MOST: u64 = 256 << 20;

/// If its memory has grown by this many bytes, the answer is clear.
const GREW: u64 = 96 << 20;

/// If it has taken this many bytes and its memory has not grown, the answer is clear.
const VANISHED: u64 = 64 << 20;

/// After this time a slow proxy is judged by what it has done so far.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// How a proxy took more than it could pass on.
struct Piled {
    /// It stopped taking more.
    stopped: bool,
    /// Bytes that it had read and not written.
    inside: u64,
    /// How much its memory had grown, in bytes.
    grown: u64,
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let enough = Gate::new();
    let response = Wire::endless_response();
    let route = Route::scripted(TARGET, response.clone(), vec![Act::SendUntil(enough.clone())]);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let before_kib = rig.proxy.full_vitals().memory_kib;
    rig.tell("The backend sends without end; the client does not read.");
    let mut client = rig.client(Window::Default, &route)?;
    rig.until_asked(&route)?;
    let piled = pile_up(&mut rig, &client, before_kib)?;
    rig.tell("The backend comes to an end, and the client reads everything.");
    enough.open();
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(&rig, &client);
    // If the proxy closed early, the backend may never have ended its response. Then only what it has
    // sent can have arrived.
    let progress = newest(&rig.backend);
    let ended_well = progress.is_finished && !progress.is_broken;
    let sent = if ended_well { response.len() } else { progress.sent };
    let transfer = rig.judge_up_to(client, ended, sent)?;
    rig.conclude(judge(transfer, &piled))
}

/// How far the only connection has come.
fn newest(backend: &Backend) -> Progress {
    backend.asked_for(TARGET).pop().expect("it was asked for at the beginning")
}

/// Lets the backend send until the proxy takes no more, or has taken enough to tell where it puts it.
fn pile_up(rig: &mut Rig, client: &Client, before_kib: u64) -> Result<Piled, Halt> {
    let begun = Instant::now();
    let mut stopped = false;
    loop {
        // The queues are read first: what is in none of them was taken before we look at memory.
        let progress = newest(&rig.backend);
        let place = rig.whereabouts(&progress, client);
        let grown = rig.proxy.full_vitals().memory_kib.saturating_sub(before_kib) * 1024;
        let inside = place.inside_proxy;
        let in_memory = grown >= inside / 2;
        if stopped
            || (in_memory && grown >= GREW)
            || (!in_memory && inside >= VANISHED)
            || progress.sent >= MOST
            || progress.is_finished
            || begun.elapsed() > LONG_ENOUGH
        {
            let (sent, grew) = (size(progress.sent), size(grown));
            rig.tell(format!("{sent} sent: {place}. Its memory grew by {grew}."));
            return Ok(Piled { stopped, inside, grown });
        }
        // A look at memory again after every 4 MiB, or when nothing moves any more.
        let next = progress.sent + (4 << 20);
        let is_next = |progress: Progress| progress.sent >= next || progress.is_finished;
        let ended = rig.pump(SETTLE, |backend| done_if(is_next(newest(backend))))?;
        stopped = ended == Ended::Still;
    }
}

fn judge(transfer: Transfer, piled: &Piled) -> Verdict {
    let exact = transfer.reading.is_exact();
    let lost = transfer.reading.damage.missing();
    let mut verdict = Verdict::of(vec![transfer]);
    let (inside, grown) = (size(piled.inside), size(piled.grown));
    let took = format!("it took {inside} more than it could pass on");
    if exact {
        (verdict.kind, verdict.sentence) = if piled.stopped {
            let what = format!(
                "it stopped reading with {inside} of the response inside it, and lost none"
            );
            (Kind::HeldBack, what)
        } else if piled.grown >= piled.inside / 2 {
            (Kind::Grew, format!("{took}, and grew by {grown}"))
        } else {
            (Kind::Spilled, format!("{took}, outside its memory, and lost none"))
        };
    } else if lost > piled.inside / 2 && !piled.stopped {
        verdict.kind = Kind::Swallowed;
        verdict.sentence = format!("{took}; {}", verdict.sentence);
    }
    verdict
}
