//! Does the proxy give back what a connection cost it?
//!
//! A level says nothing: a program may open a file when it first needs it, keep a pool of connections,
//! or have an allocator that holds on to memory. A leak is a slope. So we make connections in *windows*
//! of [`WINDOW`] and count after each. The first window is there to warm up. If the last two of six
//! cost nothing, that is the answer. If they cost something we go on: a pool is full at some time, but a
//! leak grows to the end.

use std::time::Duration;

use super::common::*;
use crate::arrived::verdict::Unjudged;

/// How many connections are made at a time.
pub const WINDOW: usize = 10;

/// So many windows are the most.
const MOST: usize = 30;

/// So many are the least: a proxy may give up after fifty connections.
const LEAST: usize = 6;

/// Windows that must cost nothing, one after the other.
const QUIET: usize = 2;

/// No more windows after this time: a slow proxy is judged by fewer.
const LONG_ENOUGH: Duration = Duration::from_secs(25);

/// A connection that keeps this much memory, again and again, leaks. An allocator's habits keep less.
const LEAK_KIB: f64 = 12.0;

/// So many descriptors for each connection are a leak, or so many threads: one for every eighth.
const LEAK_DESCRIPTORS: f64 = 0.125;

/// A pool of fewer descriptors is not worth a note.
const A_FEW: usize = 3;

/// What the proxy held after some windows.
#[derive(Clone, Copy)]
struct Sample {
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
    while samples.len() < MOST && !is_quiet(&samples) {
        if samples.len() >= LEAST && rig.elapsed() - begun > LONG_ENOUGH {
            break;
        }
        make(rig, WINDOW)?;
        rig.settle()?;
        samples.push(sample(rig));
        if let Some(why) = rig.unsampled() {
            let unjudged = |matter| Unjudged { matter, why: why.clone() };
            let unjudged = [Matter::Descriptors, Matter::Memory].map(unjudged).to_vec();
            return Ok(Kept { connections: WINDOW, unjudged, ..Kept::default() });
        }
    }
    if slope(&samples, |it| it.descriptors as f64) >= LEAK_DESCRIPTORS {
        when_closed(rig, &mut samples)?;
    }
    let connections = samples.len() * WINDOW;
    let [first, .., last] = samples[..] else { unreachable!("there were at least two windows") };
    rig.tell(format!(
        "{connections} connections, {WINDOW} at a time, each with a {what}. After the first {WINDOW} of them the proxy held {} descriptors and {} of memory, after the last {} and {}.",
        first.descriptors, size(first.memory_kib * 1024), last.descriptors, size(last.memory_kib * 1024)
    ));
    let counted = connections - WINDOW;
    let mut kept = Kept { connections, ..Kept::default() };
    if slope(&samples, |it| it.descriptors as f64) >= LEAK_DESCRIPTORS {
        let more = last.descriptors.saturating_sub(first.descriptors);
        kept.leak = Some(format!(
            "{counted} connections, each with a {what}, cost {more} descriptors, and they do not come back"
        ));
    } else if slope(&samples, |it| it.tasks as f64) >= LEAK_DESCRIPTORS {
        let more = last.tasks.saturating_sub(first.tasks);
        kept.leak = Some(format!(
            "{counted} connections, each with a {what}, left {more} threads or ended processes behind"
        ));
    } else if is_steady(&samples) && slope(&samples, |it| it.memory_kib as f64) >= LEAK_KIB {
        let more = size(last.memory_kib.saturating_sub(first.memory_kib) * 1024);
        kept.leak = Some(format!(
            "{counted} connections, each with a {what}, cost {more} of memory, and it rises with every {WINDOW} of them"
        ));
    } else if last.descriptors >= before + A_FEW {
        let more = last.descriptors - before;
        kept.notes.push(format!(
            "it keeps {more} descriptors when its clients are gone, and no more after more clients: a pool"
        ));
    }
    Ok(kept)
}

fn sample(rig: &Rig) -> Sample {
    let vitals = rig.proxy.full_vitals();
    let tasks = procfs::tasks(&vitals.processes);
    Sample { descriptors: vitals.descriptors, memory_kib: vitals.memory_kib, tasks }
}

/// Whether the last windows have cost nothing.
fn is_quiet(samples: &[Sample]) -> bool {
    if samples.len() < LEAST {
        return false;
    }
    let from = samples.len() - 1 - QUIET;
    let (then, now) = (samples[from], samples[samples.len() - 1]);
    let grown = now.memory_kib.saturating_sub(then.memory_kib) as f64;
    let kept_any = now.descriptors > then.descriptors || now.tasks > then.tasks;
    !kept_any && grown < LEAK_KIB * (QUIET * WINDOW) as f64
}

/// By how much something grows with each connection, over the second half of the windows.
fn slope(samples: &[Sample], what: impl Fn(&Sample) -> f64) -> f64 {
    let half = &samples[samples.len() / 2..];
    match half {
        [first, .., last] => (what(last) - what(first)) / ((half.len() - 1) * WINDOW) as f64,
        _ => 0.0,
    }
}

/// Whether memory rises in nearly all windows of the second half. An allocator rises in steps.
fn is_steady(samples: &[Sample]) -> bool {
    let half = &samples[samples.len() / 2..];
    let pairs = half.windows(2);
    let rises = pairs.clone().filter(|pair| pair[1].memory_kib > pair[0].memory_kib).count();
    rises * 4 >= pairs.len() * 3
}

/// Some programs close a connection a while after its end. They get the time for it, and are counted
/// once more.
fn when_closed(rig: &mut Rig, samples: &mut [Sample]) -> Result<(), Halt> {
    let Some(last) = samples.len().checked_sub(1) else { return Ok(()) };
    rig.tell("It holds more descriptors after each window. Does it give them back with time?");
    rig.pump(FOREVER, |_| Attempt::Idle)?;
    samples[last] = sample(rig);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |at| Sample { descriptors: 5, memory_kib: memory(at), tasks: 1 };
        (0..MOST as u64).map(sample).collect()
    }

    fn leaks(samples: &[Sample]) -> bool {
        is_steady(samples) && slope(samples, |it| it.memory_kib as f64) >= LEAK_KIB
    }

    #[test]
    fn a_slope_is_a_leak_and_a_level_is_none() {
        assert!(leaks(&samples(|at| 1000 + 200 * WINDOW as u64 * at)));
        assert!(leaks(&samples(|at| 1000 + 20 * WINDOW as u64 * at)));
        // A pool or a buffer that is filled over the first ten windows.
        assert!(!leaks(&samples(|at| 1000 + 6_000 * at.min(10))));
        // An allocator that takes 4 MiB now and then.
        assert!(!leaks(&samples(|at| 1000 + 4096 * (at / 8))));
        assert!(is_quiet(&samples(|_| 1000)[..LEAST]));
        assert!(!is_quiet(&samples(|at| 1000 + 200 * at * WINDOW as u64)[..LEAST]));
    }
}
