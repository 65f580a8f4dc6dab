use std::time::{Duration, Instant};

use super::common::*;
use crate::arrived::verdict::Unjudged;

pub const EXPERIMENT: Experiment = Experiment {
    name: "pile-up",
    question: "the backend never stops and the client does not read: where do the bytes go?",
    method: "The backend sends without end and the client does not read. The laboratory watches where \
        the bytes are: in the kernel's queues or inside the proxy, and there in its memory or in a file. \
        When the proxy stops taking more, or has taken enough to tell, the backend ends its page and \
        the client reads everything.",
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

/// If it has grown by this many bytes, in memory or in files, the answer is clear.
const GREW: u64 = 96 << 20;

/// If it has taken this many bytes and they are nowhere, the answer is clear.
const VANISHED: u64 = 64 << 20;

/// Less than this is a buffer, not a pile, in bytes.
const PILE: u64 = 16 << 20;

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
    /// How much the files had grown that it holds open, in bytes.
    in_files: u64,
    /// Whether its memory was still growing in the end.
    rising: bool,
    /// Why its memory cannot be judged.
    unsampled: Option<String>,
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let enough = Gate::new();
    let response = Wire::endless_response();
    let route = Route::scripted(TARGET, response.clone(), vec![Act::SendUntil(enough.clone())]);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let before = stored(&rig);
    rig.tell("The backend sends without end; the client does not read.");
    let mut client = rig.client(Window::Default, &route)?;
    rig.until_asked(&route)?;
    let piled = pile_up(&mut rig, &client, before)?;
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

/// Bytes in the memory of the proxy, and in the files that it holds open.
fn stored(rig: &Rig) -> [u64; 2] {
    let memory = rig.proxy.full_vitals().memory_kib * 1024;
    [memory, procfs::file_bytes(&rig.proxy.family())]
}

/// Lets the backend send until the proxy takes no more, or has taken enough to tell where it puts it.
fn pile_up(rig: &mut Rig, client: &Client, before: [u64; 2]) -> Result<Piled, Halt> {
    let begun = Instant::now();
    let mut stopped = false;
    let mut grew_at_each_look = vec![];
    loop {
        // The queues are read first: what is in none of them was taken before we look at memory.
        let progress = newest(&rig.backend);
        let place = rig.whereabouts(&progress, client);
        let now = stored(rig);
        let [grown, in_files] = [0, 1].map(|at| now[at].saturating_sub(before[at]));
        let rising = grew_at_each_look.iter().rev().take(3).all(|earlier| grown > *earlier);
        grew_at_each_look.push(grown);
        let inside = place.inside_proxy;
        let is_somewhere = grown.max(in_files) >= inside / 2;
        if stopped
            || grown.max(in_files) >= GREW
            || (!is_somewhere && inside >= VANISHED)
            || progress.sent >= MOST
            || progress.is_finished
            || begun.elapsed() > LONG_ENOUGH
        {
            let [sent, grew, files] = [progress.sent, grown, in_files].map(size);
            rig.tell(format!(
                "{sent} sent: {place}. Its memory grew by {grew}, its files by {files}."
            ));
            let unsampled = rig.unsampled();
            return Ok(Piled { stopped, inside, grown, in_files, rising, unsampled });
        }
        // A look at memory again after every 4 MiB, or when nothing moves any more.
        let next = progress.sent + (4 << 20);
        let is_next = |progress: Progress| progress.sent >= next || progress.is_finished;
        let patience = if begun.elapsed() > LONG_ENOUGH / 2 { SETTLE } else { LULL };
        let ended = rig.pump(patience, |backend| done_if(is_next(newest(backend))))?;
        stopped = ended == Ended::Still;
    }
}

fn judge(transfer: Transfer, piled: &Piled) -> Verdict {
    let exact = transfer.reading.is_exact();
    let lost = transfer.reading.damage.missing();
    let mut verdict = Verdict::of(vec![transfer]);
    let [inside, grown, in_files] = [piled.inside, piled.grown, piled.in_files].map(size);
    let took = format!("it took {inside} more than it could pass on");
    if !exact {
        if verdict.kind != Kind::Crossed && lost > piled.inside / 2 && !piled.stopped {
            verdict.kind = Kind::Swallowed;
            verdict.sentence = format!("{took}; {}", verdict.sentence);
        }
        return verdict;
    }
    let kept_in = |bytes: u64| bytes >= PILE && bytes >= piled.inside / 2;
    (verdict.kind, verdict.sentence) = if let Some(why) = &piled.unsampled {
        verdict.unjudged.push(Unjudged { matter: Matter::Memory, why: why.clone() });
        (Kind::Exact, format!("{inside} of the response were inside it at the most; it lost none"))
    } else if kept_in(piled.grown) && piled.rising && !piled.stopped {
        (Kind::Grew, format!("{took}, and grew by {grown}"))
    } else if kept_in(piled.in_files) {
        let what = format!(
            "{took}, and put {in_files} into a file; look for a setting that limits it (nginx: proxy_max_temp_file_size)"
        );
        (Kind::Spilled, what)
    } else if piled.stopped || piled.inside < PILE {
        let what =
            format!("it stopped reading with {inside} of the response inside it, and lost none");
        (Kind::HeldBack, what)
    } else {
        let why = format!(
            "{took} and lost none; its memory grew by {grown} and its files by {in_files}, which does not tell where the bytes were"
        );
        verdict.unjudged.push(Unjudged { matter: Matter::Memory, why: why.clone() });
        (Kind::Exact, why)
    };
    verdict
}
