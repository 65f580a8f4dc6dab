//! The matrix: every program in every experiment, several at a time.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use parking_lot::Mutex;

use crate::arrived::verdict::Kind;
use crate::experiments::{self, Experiment, Outcome};
use crate::subject::proxy::Spec;

/// How many experiments run at a time, unless told otherwise. They mostly wait.
pub const JOBS: usize = 4;

/// Runs experiments against proxies, `jobs` at a time, and hands over each outcome as it comes.
/// Returns all of them in the order asked for.
pub fn run_all(
    work: Vec<(&'static Experiment, Spec)>,
    jobs: usize,
    mut finished: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let count = work.len();
    let queue = Arc::new(Mutex::new(work.into_iter().enumerate()));
    let (sender, receiver) = channel();
    let workers: Vec<_> = (0..jobs.clamp(1, count.max(1)))
        .map(|_| {
            let (queue, sender) = (queue.clone(), sender.clone());
            thread::spawn(move || {
                loop {
                    let next = queue.lock().next();
                    let Some((place, (experiment, spec))) = next else { return };
                    // Sending fails only if the caller is gone.
                    if sender.send((place, experiment.run(&spec))).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let mut outcomes: Vec<Option<Outcome>> = (0..count).map(|_| None).collect();
    for (place, outcome) in receiver {
        finished(&outcome);
        outcomes[place] = Some(outcome);
    }
    for worker in workers {
        // If an experiment has panicked, so do we: that is a fault of the laboratory.
        if let Err(panic) = worker.join() {
            std::panic::resume_unwind(panic);
        }
    }
    outcomes.into_iter().flatten().collect()
}

/// The same for a single proxy that may never listen. If it does not in the first experiment, the
/// others get the same verdict, and we do not wait for it again.
pub fn run_all_if_present(
    mut work: Vec<(&'static Experiment, Spec)>,
    jobs: usize,
    mut finished: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let rest = work.split_off(work.len().min(1));
    let mut outcomes = run_all(work, 1, &mut finished);
    match &outcomes[..] {
        [first] if first.verdict.kind == Kind::Absent => {
            let first = first.clone();
            let same = |(experiment, _): (&Experiment, Spec)| Outcome {
                experiment: experiment.name,
                took_ms: 0,
                ..first.clone()
            };
            outcomes.extend(rest.into_iter().map(same));
        }
        _ => outcomes.extend(run_all(rest, jobs, finished)),
    }
    outcomes
}

/// Every experiment for each of these proxies.
pub fn grid(specs: &[Spec]) -> Vec<(&'static Experiment, Spec)> {
    specs
        .iter()
        .flat_map(|spec| experiments::ALL.iter().map(move |experiment| (experiment, spec.clone())))
        .collect()
}
