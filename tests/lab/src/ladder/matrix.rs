//! The matrix: every program in every experiment, several at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use parking_lot::Mutex;

use crate::arrived::verdict::{Kind, Verdict};
use crate::experiments::{self, Experiment, Outcome};
use crate::subject::proxy::Spec;

/// How many experiments run at a time, unless told otherwise. They mostly wait.
pub const JOBS: usize = 4;

/// Does `act` to each piece of work, `jobs` at a time and the first ones first, and hands over each
/// result as it comes. Returns the results in the order of the work. Panics if `act` does.
pub fn in_parallel<T: Send, R: Send>(
    work: Vec<T>,
    jobs: usize,
    act: impl Fn(T) -> R + Sync,
    mut finished: impl FnMut(&R),
) -> Vec<R> {
    in_parallel_while(work, jobs, act, |result| {
        finished(result);
        true
    })
}

/// The same, but nothing new is begun once `finished` has said no. What has been begun by then is
/// finished, so there are results for the first so many pieces of work.
fn in_parallel_while<T: Send, R: Send>(
    work: Vec<T>,
    jobs: usize,
    act: impl Fn(T) -> R + Sync,
    mut finished: impl FnMut(&R) -> bool,
) -> Vec<R> {
    let mut results: Vec<Option<R>> = work.iter().map(|_| None).collect();
    let queue = Mutex::new(work.into_iter().enumerate());
    // The lock must not be held while the work is done.
    let goes_on = AtomicBool::new(true);
    let next = || queue.lock().next().filter(|_| goes_on.load(Ordering::SeqCst));
    // Nobody begins a new piece before the last result but one has been looked at.
    let (sender, receiver) = sync_channel(0);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (next, act, sender) = (&next, &act, sender.clone());
            scope.spawn(move || {
                while let Some((place, piece)) = next() {
                    // Sending fails only if the caller is gone.
                    let _ = sender.send((place, act(piece)));
                }
            });
        }
        drop(sender);
        for (place, result) in receiver {
            if !finished(&result) {
                goes_on.store(false, Ordering::SeqCst);
            }
            results[place] = Some(result);
        }
    });
    results.into_iter().flatten().collect()
}

/// Runs experiments against proxies, [`in_parallel`].
pub fn run_all(
    work: Vec<(&'static Experiment, Spec)>,
    jobs: usize,
    finished: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    run_watched(work, jobs, |_, _| {}, finished)
}

/// The same for somebody who also wants to know what begins.
pub fn run_watched(
    work: Vec<(&'static Experiment, Spec)>,
    jobs: usize,
    begins: impl Fn(&'static Experiment, &Spec) + Sync,
    finished: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let act = |(experiment, spec): (&'static Experiment, Spec)| {
        begins(experiment, &spec);
        experiment.run(&spec)
    };
    in_parallel(work, jobs, act, finished)
}

/// The same for a single proxy that may never listen. If it does not in the first experiment, the
/// others get the same verdict, and we do not wait for it again. If it does there and not in a later one,
/// that one has not been judged: the machine may be busy, or an earlier start of the proxy left something.
/// Nothing new is begun once `finished` has said no.
pub fn run_all_if_present(
    mut work: Vec<(&'static Experiment, Spec)>,
    jobs: usize,
    begins: impl Fn(&'static Experiment, &Spec) + Sync,
    mut finished: impl FnMut(&Outcome) -> bool,
) -> Vec<Outcome> {
    let rest = work.split_off(work.len().min(1));
    let mut goes_on = true;
    let mut outcomes = run_watched(work, 1, &begins, |first| goes_on = finished(first));
    if !goes_on {
        return outcomes;
    }
    match outcomes.first().filter(|first| first.verdict.kind == Kind::Absent).cloned() {
        Some(first) => outcomes.extend(rest.into_iter().map(|(experiment, _)| Outcome {
            experiment: experiment.name,
            took_ms: 0,
            ..first.clone()
        })),
        None => outcomes.extend(in_parallel_while(
            rest,
            jobs,
            |(experiment, spec)| {
                begins(experiment, &spec);
                not_absent_now(experiment.run(&spec))
            },
            finished,
        )),
    }
    outcomes
}

/// What a proxy that has listened before came to. It cannot be absent.
fn not_absent_now(outcome: Outcome) -> Outcome {
    if outcome.verdict.kind != Kind::Absent {
        return outcome;
    }
    let why = &outcome.verdict.sentence;
    let verdict = Verdict::new(
        Kind::NotJudged,
        format!("in another experiment it listened, but here {why}; --patience gives it longer"),
    );
    Outcome { answer: verdict.answer(), verdict, ..outcome }
}

/// Every experiment for each of these proxies.
pub fn grid(specs: &[Spec]) -> Vec<(&'static Experiment, Spec)> {
    let each =
        |spec| experiments::ALL.iter().map(move |experiment| (experiment, Spec::clone(spec)));
    specs.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_new_is_begun_after_a_no() {
        let work: Vec<u32> = (0..100).collect();
        // One at a time: the next piece may have been begun before the no is heard.
        let results = in_parallel_while(work, 1, |piece| piece, |piece| *piece < 3);
        assert!([4, 5].contains(&results.len()), "{results:?}");
        assert!(results.iter().copied().eq(0..results.len() as u32), "{results:?}");
    }
}
