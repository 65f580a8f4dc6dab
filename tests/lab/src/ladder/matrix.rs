//! The matrix: what every step is expected to do in every experiment.
//!
//! The one place where this is written. Tests, tour and book read it.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use serde::Serialize;

use crate::arrived::verdict::Kind::{self, *};
use crate::experiments::{self, Experiment, Outcome};
use crate::subject::proxy::Spec;

/// The steps, in the order of the ladder.
pub const STEPS: [&str; 4] =
    ["01-blocking", "02-naive-epoll", "03-dropped-write", "04-output-buffer"];

/// What is expected of one step in one experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Any of these verdicts is as it should be.
    pub kinds: &'static [Kind],
    /// Why it comes to that; where several verdicts are allowed, what decides between them.
    pub reason: &'static str,
}

impl Cell {
    /// Whether this verdict is as it should be.
    pub fn allows(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The allowed verdicts in words: `truncated or hole`.
    pub fn words(&self) -> String {
        let words: Vec<_> = self.kinds.iter().map(|kind| kind.word()).collect();
        words.join(" or ")
    }
}

const fn only(kinds: &'static [Kind], reason: &'static str) -> Cell {
    Cell { kinds, reason }
}

const EXACT: Cell = only(&[Exact], "every byte arrives, in order");
const WAITS: Cell = only(&[Exact], "a blocking write waits until the client has read");
const ONE_CLIENT: Cell = only(&[Frozen], "it serves one client at a time");
const BLOCKED: Cell = only(&[Frozen], "write waits inside the only loop");
const ROOM_LATER: &str = "after a first refusal the kernel may take some more, and then there is a hole before the lost tail";
const DROPPED: Cell = only(&[Hole], "what write did not take is forgotten, and later bytes arrive");

/// Each experiment with its cells, one for each of [`STEPS`].
const TABLE: &[(&str, [Cell; 4])] = &[
    ("plain", [EXACT, EXACT, only(&[Exact], "a short page fits into the kernel's buffers"), EXACT]),
    ("lost-tail", [WAITS, WAITS, only(&[Truncated, Hole], ROOM_LATER), EXACT]),
    ("two-acts", [WAITS, WAITS, DROPPED, EXACT]),
    ("paced", [WAITS, WAITS, DROPPED, EXACT]),
    (
        "crowd",
        [
            ONE_CLIENT,
            BLOCKED,
            only(&[Exact], "nobody waits for anybody: the crowd's own bytes are lost instead"),
            EXACT,
        ],
    ),
    (
        "upload",
        [
            only(&[Frozen], "it passes on one read of the request and then waits for the response"),
            WAITS,
            only(&[Truncated, Hole], ROOM_LATER),
            EXACT,
        ],
    ),
    (
        "both-ways",
        [
            only(&[Frozen], "it writes the response to a client that is still sending"),
            only(&[Frozen], "each end waits for the other to read, and the loop waits with them"),
            only(&[Truncated, Hole], ROOM_LATER),
            EXACT,
        ],
    ),
    ("overtaking", [WAITS, WAITS, DROPPED, only(&[Exact], "bytes that wait already go first")]),
    ("fin-while-frozen", [EXACT, EXACT, EXACT, EXACT]),
    ("reset", [EXACT, EXACT, EXACT, EXACT]),
    ("refused", [EXACT, EXACT, EXACT, EXACT]),
    ("stop-and-go", [EXACT, EXACT, EXACT, EXACT]),
    (
        "pile-up",
        [
            only(&[HeldBack], "it does not read while it writes"),
            only(&[HeldBack], "it does not read while it writes"),
            only(&[Swallowed], "it reads on, and forgets what write did not take"),
            only(&[Grew], "nothing bounds its FIFO"),
        ],
    ),
];

/// What is expected of `step` in `experiment`; `None` where either does not exist.
pub fn expected(experiment: &str, step: &str) -> Option<Cell> {
    let column = STEPS.iter().position(|name| *name == step)?;
    TABLE.iter().find(|(name, _)| *name == experiment).map(|(_, cells)| cells[column])
}

/// Whether the outcome is what the matrix says. Foreign proxies have no row: they are never wrong.
pub fn is_expected(outcome: &Outcome) -> bool {
    expected(outcome.experiment, &outcome.proxy)
        .is_none_or(|cell| cell.allows(outcome.verdict.kind))
}

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
                    let next = queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                    let Some((place, (experiment, spec))) = next else { return };
                    // Nobody listens any more: the caller has been interrupted.
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
        // A panic in an experiment is a fault of the laboratory and must not pass unseen.
        if let Err(panic) = worker.join() {
            std::panic::resume_unwind(panic);
        }
    }
    outcomes.into_iter().flatten().collect()
}

/// As [`run_all`], for a single proxy of which nobody knows yet whether it comes up: if it does not
/// in the first experiment, the others get the same verdict without waiting for it again.
pub fn run_all_if_present(
    mut work: Vec<(&'static Experiment, Spec)>,
    jobs: usize,
    mut finished: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let rest = work.split_off(work.len().min(1));
    let mut outcomes = run_all(work, 1, &mut finished);
    match &outcomes[..] {
        [first] if first.verdict.kind == Absent => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_has_a_row_and_every_row_an_experiment() {
        let rows: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
        let known: Vec<_> = experiments::ALL.iter().map(|experiment| experiment.name).collect();
        assert_eq!(rows, known);
    }

    #[test]
    fn every_cell_has_a_verdict_and_a_reason() {
        for (name, cells) in TABLE {
            for cell in cells {
                assert!(!cell.kinds.is_empty() && !cell.reason.is_empty(), "{name}");
            }
        }
    }
}
