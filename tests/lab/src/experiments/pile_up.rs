use std::time::{Duration, Instant};

use super::common::*;
use crate::arrived::verdict::Unjudged;

pub const EXPERIMENT: Experiment = Experiment {
    name: "pile-up",
    question: "the backend never stops and the client does not read: where do the bytes go?",
    method: "The backend sends without end and the client does not read. The laboratory watches where \
        the bytes are: in the kernel's queues or inside the proxy, and there in its memory or in a file. \
        When the proxy stops taking more, or has taken enough to tell, the backend ends its page and \
        the client reads everything. If all is well, the same is done the other way around: a client \
        uploads without end, and the backend does not read.",
    finds: "A proxy that takes bytes and forgets them, and one that keeps them in memory without a \
        bound. To stop reading is good, and so is to put them into a file.",
    meaning: "Some slow clients of a large download use up the machine's memory, and then the kernel \
        ends the proxy and with it everybody's connections.",
    judges: &[Matter::Memory],
    run,
};

const TARGET: &str = "/endless";

const UPLOAD: &str = "/endless-upload";

/// The most that is sent, in bytes.
const MOST: u64 = 256 << 20;

/// If it has grown by this many bytes, in memory or in files, the answer is clear. A bounded store may be
/// large: varnish has 100 MiB by default.
const GREW: u64 = 144 << 20;

/// If it has taken this many bytes and they are nowhere, the answer is clear.
const VANISHED: u64 = 64 << 20;

/// Less than this is a buffer, not a pile, in bytes.
const PILE: u64 = 16 << 20;

/// After this time a slow proxy is judged by what it has done so far, if it has piled up enough.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// After this time it is in any case.
const TOO_LONG: Duration = Duration::from_secs(25);

/// How a proxy took more than it could pass on.
struct Piled {
    /// It stopped taking more.
    stopped: bool,
    /// Nothing more would have been sent: one of the ends was done, or gone.
    over: bool,
    /// Bytes that it had read and not written.
    inside: u64,
    /// How much its memory had grown, in bytes.
    grown: u64,
    /// How much its files had grown, in bytes.
    in_files: u64,
    /// Whether its memory was still growing in the end.
    rising: bool,
    /// Why its memory cannot be judged.
    unsampled: Option<String>,
}

impl Piled {
    /// Whether it takes what it cannot pass on, and keeps it in memory.
    fn has_grown(&self) -> bool {
        self.is_kept_in(self.grown) && self.rising && !self.stopped
    }

    /// Whether nearly all that it could not pass on has made something grow by so many bytes.
    fn is_kept_in(&self, bytes: u64) -> bool {
        bytes >= PILE && bytes >= self.inside / 2
    }
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let enough = Gate::new();
    let response = Wire::endless_response();
    let down = Route::scripted(TARGET, response.clone(), vec![Act::SendUntil(enough.clone())]);
    let (read, given_up) = (Gate::new(), Gate::new());
    let up = Route {
        target: UPLOAD,
        request: Wire::post(UPLOAD, MOST),
        response: Wire::response(Framing::ContentLength, 100),
        acts: vec![Act::Await(read.clone()), Act::ReadBody(given_up.clone())],
    };
    let mut rig = Rig::start(spec, vec![down.clone(), up.clone()], story)?;
    let before = stored(&rig);
    rig.tell("The backend sends without end; the client does not read.");
    let mut client = rig.client(Window::Default, &down)?;
    rig.until_asked(&down)?;
    let piled = pile_up(&mut rig, &mut Download(&mut client), before)?;
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
    let mut verdict = rig.conclude(judge(transfer, &piled))?;
    if verdict.kind.is_good() && piled.unsampled.is_none() {
        let before = stored(&rig);
        rig.tell("Now a client uploads without end, and the backend does not read.");
        let mut client = rig.silent_client(Window::Default, &up.request, &up.response)?;
        let piled = pile_up(&mut rig, &mut Upload(&mut client), before)?;
        // The client has no more patience than the laboratory has, and the backend takes what there is.
        [read, given_up].iter().for_each(Gate::open);
        rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
        drop(client);
        verdict = rig.conclude(add_upload(verdict, &piled))?;
    }
    Ok(verdict)
}

/// How far the only connection has come.
fn newest(backend: &Backend) -> Progress {
    backend.asked_for(TARGET).pop().expect("it was asked for at the beginning")
}

/// Bytes in the memory of the proxy, and in its files.
fn stored(rig: &Rig) -> [u64; 2] {
    let memory = rig.proxy.full_vitals().memory_kib * 1024;
    [memory, rig.proxy.file_bytes()]
}

/// How far a transfer has come that nobody takes at its other end.
struct Reached {
    /// Bytes that the sender has got rid of.
    sent: u64,
    /// Bytes of those that the proxy has read and not written.
    inside: u64,
    /// Where they are, for the story.
    place: String,
    /// Nothing more will be sent.
    is_over: bool,
}

/// A transfer that nobody takes at its other end.
trait Transferring {
    fn reached(&self, rig: &Rig) -> Reached;
    /// Goes on until `next` bytes are sent, or it is over.
    fn go_on(&mut self, rig: &mut Rig, next: u64, patience: Patience) -> Result<Ended, Halt>;
}

struct Download<'a>(&'a mut Client);

impl Transferring for Download<'_> {
    fn reached(&self, rig: &Rig) -> Reached {
        let progress = newest(&rig.backend);
        let place = rig.whereabouts(&progress, self.0);
        Reached {
            sent: progress.sent,
            inside: place.inside_proxy,
            place: place.to_string(),
            is_over: progress.is_finished,
        }
    }

    fn go_on(&mut self, rig: &mut Rig, next: u64, patience: Patience) -> Result<Ended, Halt> {
        let is_next = |progress: Progress| progress.sent >= next || progress.is_finished;
        rig.pump(patience, |backend| done_if(is_next(newest(backend))))
    }
}

struct Upload<'a>(&'a mut Client);

impl Transferring for Upload<'_> {
    fn reached(&self, rig: &Rig) -> Reached {
        let (sent, queued) = (self.0.sent(), rig.queued());
        let asked = rig.backend.asked_for(UPLOAD);
        let received: u64 = asked.iter().map(|progress| progress.received).sum();
        let inside = sent.saturating_sub(queued + received);
        Reached {
            sent,
            inside,
            place: format!("{} inside the proxy, {} in queues", size(inside), size(queued)),
            // A proxy that answers does not want more.
            is_over: self.0.has_sent_all() || self.0.received() > 0 || self.0.has_ended(),
        }
    }

    fn go_on(&mut self, rig: &mut Rig, next: u64, patience: Patience) -> Result<Ended, Halt> {
        let client = &mut *self.0;
        rig.pump(patience, |_| {
            client.read_now(usize::MAX);
            match client.sent() >= next || client.received() > 0 || client.has_ended() {
                true => Attempt::Done,
                false => send_soon(client),
            }
        })
    }
}

/// Sends more, and waits a moment for room if there is none.
fn send_soon(client: &mut Client) -> Attempt {
    match rig::send(client) {
        Attempt::Idle => {
            client.wait_writable(Duration::from_millis(5));
            rig::send(client)
        }
        attempt => attempt,
    }
}

/// Lets one end send until the proxy takes no more, or has taken enough to tell where it puts it.
fn pile_up(
    rig: &mut Rig,
    transfer: &mut dyn Transferring,
    before: [u64; 2],
) -> Result<Piled, Halt> {
    let begun = Instant::now();
    let mut stopped = false;
    let mut looks = vec![];
    loop {
        // The queues are read first: what is in none of them was taken before we look at memory.
        let Reached { sent, inside, place, is_over } = transfer.reached(rig);
        let now = stored(rig);
        let [grown, in_files] = [0, 1].map(|at| now[at].saturating_sub(before[at]));
        looks.push((inside, grown));
        let is_somewhere = grown.max(in_files) >= inside / 2;
        if stopped
            || grown.max(in_files) >= GREW
            || (!is_somewhere && inside >= VANISHED)
            || sent >= MOST
            || is_over
            || begun.elapsed() > if inside < PILE { TOO_LONG } else { LONG_ENOUGH }
        {
            let [sent, grew, files] = [sent, grown, in_files].map(size);
            rig.tell(format!(
                "{sent} sent: {place}. Its memory grew by {grew}, its files by {files}."
            ));
            let (rising, unsampled) = (is_rising(&looks), rig.unsampled());
            return Ok(Piled {
                stopped,
                over: is_over,
                inside,
                grown,
                in_files,
                rising,
                unsampled,
            });
        }
        // A look at memory again after every 4 MiB, or when nothing moves anymore.
        let patience = if begun.elapsed() > LONG_ENOUGH / 2 { SETTLE } else { LULL };
        stopped = transfer.go_on(rig, sent + (4 << 20), patience)? == Ended::Still;
    }
}

/// Whether memory still grew by what was taken in the second half of the looks. Each look is how much was
/// inside the proxy, and by how much its memory had grown. Single looks say little: some allocators grow in
/// large steps.
fn is_rising(looks: &[(u64, u64)]) -> bool {
    let (first_half, second_half) = looks.split_at(looks.len() / 2);
    let highest = |looks: &[(u64, u64)]| looks.iter().map(|look| look.1).max().unwrap_or(0);
    let inside = |looks: &[(u64, u64)]| looks.last().map_or(0, |look| look.0);
    let taken = inside(second_half).saturating_sub(inside(first_half));
    taken > 0 && highest(second_half).saturating_sub(highest(first_half)) >= taken / 2
}

/// What becomes of a good verdict when an upload has piled up as well.
fn add_upload(mut verdict: Verdict, piled: &Piled) -> Verdict {
    let [inside, grown, in_files] = [piled.inside, piled.grown, piled.in_files].map(size);
    let took = format!("it took {inside} of an upload more than it could pass on");
    if piled.has_grown() {
        (verdict.kind, verdict.sentence) = (Kind::Grew, format!("{took}, and grew by {grown}"));
    } else if piled.is_kept_in(piled.in_files) {
        let what = format!("{took}, and put {in_files} into a file");
        match verdict.kind {
            Kind::Spilled => verdict.notes.push(what),
            _ => (verdict.kind, verdict.sentence) = (Kind::Spilled, what),
        }
    } else if !piled.stopped && !piled.over {
        let why = format!(
            "{took}; its memory grew by {grown} and its files by {in_files}, which does not tell where the bytes were"
        );
        verdict.unjudged.push(Unjudged { matter: Matter::Memory, why });
    } else if verdict.kind == Kind::HeldBack && piled.stopped {
        verdict.sentence += &format!("; of an upload, with {inside}");
    }
    verdict
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
    (verdict.kind, verdict.sentence) = if let Some(why) = &piled.unsampled {
        verdict.unjudged.push(Unjudged { matter: Matter::Memory, why: why.clone() });
        (Kind::Exact, format!("{inside} of the response were inside it at the most; it lost none"))
    } else if piled.has_grown() {
        (Kind::Grew, format!("{took}, and grew by {grown}"))
    } else if piled.is_kept_in(piled.in_files) {
        let what = format!(
            "{took}, and put {in_files} into a file; look for a setting that limits it (nginx: proxy_max_temp_file_size)"
        );
        (Kind::Spilled, what)
    } else if piled.stopped || piled.over {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_in_steps_rises_and_a_store_that_is_full_does_not() {
        let mib = |inside: u64, grown: u64| (inside << 20, grown << 20);
        assert!(is_rising(&[mib(0, 1), mib(4, 6), mib(8, 10), mib(12, 14), mib(16, 18)]));
        assert!(is_rising(&[mib(4, 30), mib(8, 30), mib(12, 60), mib(16, 60), mib(20, 60)]));
        assert!(!is_rising(&[mib(4, 30), mib(8, 60), mib(12, 60), mib(16, 60), mib(20, 60)]));
        assert!(!is_rising(&[mib(4, 6), mib(8, 10), mib(8, 10), mib(8, 10), mib(8, 20)]));
        assert!(!is_rising(&[]));
    }
}
