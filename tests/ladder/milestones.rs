//! What `cargo lab learn` asks of the reader's own proxy, the book's steps can do: each of them all that
//! is asked up to its chapter, and not what the next chapter asks.

use std::path::Path;

use lab::ladder::change::{self, Change};
use lab::ladder::milestones::{self, Milestone};
use lab::ladder::{Step, ladder};
use lab::subject::proxy::Spec;

use crate::ROOT;

fn all() -> Vec<Milestone> {
    milestones::read(Path::new(ROOT), ladder()).unwrap_or_else(|problem| panic!("{problem}"))
}

/// Whether a step is sure to reach it, whichever of its expected verdicts comes out. That it does in each
/// experiment what is expected is tested beside this.
fn reaches(step: &Step, milestone: &Milestone) -> bool {
    milestone.asks.iter().all(|question| {
        let kinds = step.expected(&question.experiment).kinds;
        kinds.into_iter().all(|kind| question.is_met_by(kind))
    })
}

#[test]
fn every_step_reaches_the_milestones_up_to_its_own_and_not_the_next() {
    let milestones = all();
    for (place, step) in ladder().steps.iter().enumerate() {
        for (at, milestone) in milestones.iter().enumerate().take(place + 2) {
            let (name, chapter) = (&step.name, &milestone.chapter);
            assert_eq!(reaches(step, milestone), at <= place, "{name} and {chapter}");
        }
    }
}

#[test]
fn the_skeleton_reaches_none() {
    if change::of(Path::new(ROOT), "mine") == Change::Yes {
        // It is the reader's now.
        return;
    }
    let mine = env!("CARGO_BIN_EXE_mine");
    let spec = Spec::foreign([mine, "{listen}", "{backend}"].map(String::from).into());
    for milestone in all() {
        let is_met = milestone
            .asks
            .iter()
            .all(|question| question.is_met_by(question.experiment().run(&spec).verdict.kind));
        assert!(!is_met, "the skeleton reaches {}", milestone.chapter);
    }
}
