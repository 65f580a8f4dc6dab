//! Does the proxy give back what a connection cost it?
//!
//! A level says nothing: a program may open a file when it first needs it, keep a pool of connections,
//! or have an allocator that holds on to memory. A leak is a slope. So we make connections in *windows*
//! and count after each. The first window is there to warm up. If the last two of six cost nothing, that
//! is the answer. If they cost something we go on with larger windows: a pool is full at some time, a
//! garbage collector runs at some time, and a leak grows to the end. More clients at a time need a larger
//! pool, so the first large window is there to warm up as well, and what was before it does not count.

use std::time::Duration;

use super::common::*;
use crate::arrived::verdict::Unjudged;

/// How many connections are made at a time.
pub const WINDOW: usize = 10;

/// The same, once the proxy is suspected.
const LARGE_WINDOW: usize = 40;

/// So many windows are the least: a proxy may give up after fifty connections.
const LEAST: usize = 6;

/// Windows that must cost nothing, one after the other.
const QUIET: usize = 2;

/// After so many connections a slope of descriptors is clear: after seven large windows.
const ENOUGH: usize = LEAST * WINDOW + 7 * LARGE_WINDOW;

/// So many connections are the most.
const MOST: usize = 2000;

/// No more windows after this time: a slow proxy is judged by fewer.
const LONG_ENOUGH: Duration = Duration::from_secs(20);

/// So many descriptors for each connection are a leak, or so many threads: one for every eighth.
const LEAK_DESCRIPTORS: f64 = 0.125;

/// A connection that leaves so much memory behind may leak. One that leaves less is no reason to go on.
const SUSPECT_KIB: f64 = 12.0;

/// So much for each connection is a leak, if it comes to [`SURE_KIB`] in the end.
const LEAK_KIB: f64 = 96.0;

/// Garbage collectors let less than this pile up before they run.
const SURE_KIB: u64 = 96 << 10;

/// A pool of fewer descriptors is not worth a note.
const A_FEW: usize = 3;

/// What the proxy held after some windows.
#[derive(Clone, Copy, Default)]
struct Sample {
    /// Connections so far.
    connections: usize,
    descriptors: usize,
    memory_kib: u64,
    /// Threads, and processes that have ended and that nobody has waited for.
    tasks: usize,
}

/// What a number of connections left behind.
#[derive(Default)]
pub struct Kept {
    /// How many connections there were.
    pub connections: usize,
    leak: Option<String>,
    notes: Vec<String>,
    unjudged: Vec<Unjudged>,
}

impl Kept {
    /// It could not be found out, for this reason.
    pub fn unknown(why: &str) -> Kept {
        let unjudged = |matter| Unjudged { matter, why: why.into() };
        let unjudged = [Matter::Descriptors, Matter::Memory].map(unjudged).to_vec();
        Kept { unjudged, ..Kept::default() }
    }

    /// Whether everything came back, as far as could be judged, and all of it could.
    pub fn is_nothing(&self) -> bool {
        self.leak.is_none() && self.unjudged.is_empty()
    }

    /// The verdict, if nothing has leaked; or else that it has.
    pub fn add_to(self, mut verdict: Verdict) -> Verdict {
        if let Some(leak) = self.leak.filter(|_| verdict.kind.is_good()) {
            return Verdict::new(Kind::Leaked, leak).with(verdict.transfers);
        }
        verdict.notes.extend(self.notes);
        verdict.unjudged.extend(self.unjudged);
        verdict
    }
}

/// Makes connections in windows, by calling `make` with how many, and counts what is left of them.
/// `what` names one of them, for the story: "reset".
pub fn what_is_kept(
    rig: &mut Rig,
    what: &str,
    mut make: impl FnMut(&mut Rig, usize) -> Result<(), Halt>,
) -> Result<Kept, Halt> {
    let begun = rig.elapsed();
    let before = rig.proxy.full_vitals().descriptors;
    let mut samples: Vec<Sample> = vec![];
    let mut connections = 0;
    while !is_clear(&samples) && (samples.len() < LEAST || rig.elapsed() - begun < LONG_ENOUGH) {
        let count = if samples.len() < LEAST { WINDOW } else { LARGE_WINDOW };
        make(rig, count)?;
        connections += count;
        rig.settle()?;
        samples.push(sample(rig, connections));
        if let Some(why) = rig.unsampled() {
            return Ok(Kept { connections, ..Kept::unknown(&why) });
        }
    }
    if rises(comparable(&samples), LEAK_DESCRIPTORS, |it| it.descriptors as f64) {
        // Some programs close a connection a while after its end. They get the time for it.
        rig.tell("It holds more descriptors after each window. Does it give them back with time?");
        rig.pump(FOREVER, |_| Attempt::Idle)?;
        samples.pop();
        samples.push(sample(rig, connections));
    }
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let [memory_then, memory_now] = [first, last].map(|it| size(it.memory_kib * 1024));
    rig.tell(format!(
        "{connections} connections, each with a {what}. After the first {} of them the proxy held {} descriptors and {memory_then} of memory, after the last {} and {memory_now}.",
        first.connections, first.descriptors, last.descriptors,
    ));
    let mut kept = judge(&samples, what);
    if kept.leak.is_none() && last.descriptors >= before + A_FEW {
        let more = last.descriptors - before;
        kept.notes.push(format!(
            "it keeps {more} descriptors when its clients are gone, and no more after more clients: a pool"
        ));
    }
    Ok(kept)
}

fn sample(rig: &Rig, connections: usize) -> Sample {
    let vitals = rig.proxy.full_vitals();
    let (descriptors, memory_kib) = (vitals.descriptors, vitals.memory_kib);
    Sample { connections, descriptors, memory_kib, tasks: procfs::tasks(&vitals.processes) }
}

/// Those since the first large window, if there are enough of them.
fn comparable(samples: &[Sample]) -> &[Sample] {
    if samples.len() > LEAST + 3 { &samples[LEAST..] } else { samples }
}

/// What the samples come to.
fn judge(samples: &[Sample], what: &str) -> Kept {
    let samples = comparable(samples);
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let counted = last.connections - first.connections;
    let memory = last.memory_kib.saturating_sub(first.memory_kib);
    let (rise, each) = (size(memory * 1024), size(memory * 1024 / counted.max(1) as u64));
    // A leak grows to the end.
    let by_memory = |limit| !is_quiet(samples) && rises(samples, limit, |it| it.memory_kib as f64);
    let mut kept = Kept { connections: last.connections, ..Kept::default() };
    if rises(samples, LEAK_DESCRIPTORS, |it| it.descriptors as f64) {
        let more = last.descriptors - first.descriptors;
        kept.leak = Some(format!(
            "{counted} connections, each with a {what}, cost {more} descriptors, and they do not come back"
        ));
    } else if rises(samples, LEAK_DESCRIPTORS, |it| it.tasks as f64) {
        let more = last.tasks - first.tasks;
        kept.leak = Some(format!(
            "{counted} connections, each with a {what}, left {more} threads or ended processes behind"
        ));
    } else if by_memory(LEAK_KIB) && memory >= SURE_KIB {
        kept.leak = Some(format!(
            "{counted} connections, each with a {what}, cost {rise} of memory, and it rises to the end"
        ));
    } else if by_memory(LEAK_KIB) {
        let why = format!(
            "it rose by {rise} over {counted} connections, each with a {what}: too few to tell a leak from a garbage collector that has not run yet"
        );
        kept.unjudged.push(Unjudged { matter: Matter::Memory, why });
    } else if by_memory(SUSPECT_KIB) && last.connections >= ENOUGH {
        kept.notes.push(format!(
            "its memory rose by {rise} over {counted} connections, each with a {what}, which is {each} for each: an allocator or a garbage collector does that, and so does a small leak"
        ));
    }
    kept
}

/// Whether no more windows are needed.
fn is_clear(samples: &[Sample]) -> bool {
    if samples.len() < LEAST {
        return false;
    }
    let samples = comparable(samples);
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let may_leak_memory = rises(samples, LEAK_KIB, |it| it.memory_kib as f64);
    let is_sure = last.memory_kib.saturating_sub(first.memory_kib) >= SURE_KIB;
    let enough = last.connections >= if may_leak_memory && !is_sure { MOST } else { ENOUGH };
    is_quiet(samples) || enough
}

/// Whether the last windows cost nothing.
fn is_quiet(samples: &[Sample]) -> bool {
    let [then, .., last] = samples[samples.len().saturating_sub(1 + QUIET)..] else { return false };
    let grown = last.memory_kib.saturating_sub(then.memory_kib) as f64;
    let kept_any = last.descriptors > then.descriptors || last.tasks > then.tasks;
    !kept_any && grown < SUSPECT_KIB * (last.connections - then.connections) as f64
}

/// Whether something rises by `limit` with each connection: from the first sample on, in the second half
/// of the samples too, and in nearly all windows of that half. An allocator rises in steps.
fn rises(samples: &[Sample], limit: f64, what: impl Fn(&Sample) -> f64) -> bool {
    let slope = |samples: &[Sample]| match samples {
        [first, .., last] => {
            (what(last) - what(first)) / (last.connections - first.connections) as f64
        }
        _ => 0.0,
    };
    let half = &samples[samples.len() / 2..];
    let pairs = half.windows(2);
    let rising = pairs.clone().filter(|pair| what(&pair[1]) > what(&pair[0])).count();
    slope(samples) >= limit && slope(half) >= limit && rising * 5 >= pairs.len() * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of a proxy that has so much memory after so many connections.
    fn samples(count: usize, memory: impl Fn(u64) -> u64) -> Vec<Sample> {
        let mut connections = 0;
        let mut sample = |at| {
            connections += if at < LEAST { WINDOW } else { LARGE_WINDOW };
            let memory_kib = memory(connections as u64);
            Sample { connections, descriptors: 5, memory_kib, tasks: 1 }
        };
        (0..count).map(&mut sample).collect()
    }

    fn leaks(memory: impl Fn(u64) -> u64) -> bool {
        let samples = samples(30, memory);
        is_clear(&samples) && judge(&samples, "test").leak.is_some()
    }

    #[test]
    fn a_slope_is_a_leak_and_a_level_is_none() {
        assert!(leaks(|connections| 1000 + 200 * connections));
        // A pool or a buffer that is filled over the first hundred connections.
        assert!(!leaks(|connections| 1000 + 640 * connections.min(100)));
        // An allocator that takes 4 MiB now and then, and a garbage collector that runs at 64 MiB.
        assert!(!leaks(|connections| 1000 + 4096 * (connections / 160)));
        assert!(!leaks(|connections| 1000 + (200 * connections) % (64 << 10)));
    }

    #[test]
    fn a_pool_that_grows_with_the_number_of_clients_at_a_time_is_no_leak() {
        // As many windows as it takes, with so many descriptors after each.
        let judged = |descriptors: &dyn Fn(usize) -> usize| {
            let mut all = samples(100, |_| 1000);
            for (at, sample) in all.iter_mut().enumerate() {
                sample.descriptors = descriptors(at);
            }
            let count = (LEAST..all.len()).find(|&count| is_clear(&all[..count]));
            judge(&all[..count.expect("it is clear at some time")], "test")
        };
        // It fills while forty clients come at a time, slower and slower.
        let pool = |at: usize| match at.checked_sub(LEAST) {
            None => 3 + at,
            Some(at) => *[38, 52, 60, 64, 66, 68].get(at).unwrap_or(&68),
        };
        assert!(judged(&pool).leak.is_none());
        // A descriptor for every fourth connection.
        let leak = |at: usize| 2 * at.min(LEAST) + 10 * at.saturating_sub(LEAST);
        assert!(judged(&leak).leak.is_some());
    }

    #[test]
    fn what_cannot_be_told_from_garbage_is_not_judged_or_a_note() {
        let few = judge(&samples(8, |connections| 1000 + 200 * connections), "test");
        assert!(few.leak.is_none() && few.unjudged.len() == 1);
        let little = judge(&samples(14, |connections| 1000 + 20 * connections), "test");
        assert!(little.leak.is_none() && little.unjudged.is_empty() && little.notes.len() == 1);
    }

    #[test]
    fn six_windows_are_enough_where_the_last_two_cost_nothing() {
        assert!(is_clear(&samples(LEAST, |_| 1000)));
        assert!(!is_clear(&samples(LEAST - 1, |_| 1000)));
        assert!(!is_clear(&samples(LEAST, |connections| 1000 + 200 * connections)));
    }
}
