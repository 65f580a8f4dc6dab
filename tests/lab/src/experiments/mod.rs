//! The experiments: each is a backend, a client and a question, put to any proxy.
//!
//! One file each. It begins with the experiment's question and explanation, which the commands `list`,
//! `show` and `explain` print, so they are written in one place. Then comes what is done, from top to
//! bottom. [`rig`] is what all of them stand on, and `common.rs` has what several of them do.

mod aborted;
mod both_ways;
pub mod common;
mod crowd;
mod early_close;
mod fin_while_frozen;
pub mod giving_back;
mod half_close;
mod idle;
mod lost_tail;
mod overtaking;
mod paced;
mod pile_up;
mod plain;
mod refused;
mod reset;
pub mod rig;
mod stalled_crowd;
pub mod stillness;
mod stop_and_go;
mod turnover;
mod two_acts;
mod upload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use serde::Serialize;

use self::rig::{Event, Halt, Story};
use crate::arrived::verdict::{Answer, Kind, Matter, Verdict};
use crate::subject::proxy::Spec;

/// An experiment.
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it asks, in a line.
    pub question: &'static str,
    /// How it works: what backend and client do, in a paragraph.
    pub method: &'static str,
    /// Which faults it finds, in a paragraph.
    pub finds: &'static str,
    /// What such a fault means to a user, in a sentence or two.
    pub meaning: &'static str,
    /// What it judges.
    pub judges: &'static [Matter],
    run: fn(&Spec, &Story) -> Result<Verdict, Halt>,
}

/// All experiments, in the order they are told.
pub const ALL: &[Experiment] = &[
    plain::EXPERIMENT,
    lost_tail::EXPERIMENT,
    two_acts::EXPERIMENT,
    paced::EXPERIMENT,
    crowd::EXPERIMENT,
    stalled_crowd::EXPERIMENT,
    upload::EXPERIMENT,
    both_ways::EXPERIMENT,
    overtaking::EXPERIMENT,
    fin_while_frozen::EXPERIMENT,
    early_close::EXPERIMENT,
    half_close::EXPERIMENT,
    aborted::EXPERIMENT,
    reset::EXPERIMENT,
    refused::EXPERIMENT,
    stop_and_go::EXPERIMENT,
    turnover::EXPERIMENT,
    pile_up::EXPERIMENT,
    idle::EXPERIMENT,
];

/// The experiment of that name.
pub fn named(name: &str) -> Option<&'static Experiment> {
    ALL.iter().find(|experiment| experiment.name == name)
}

/// The names of the experiments that none of these outcomes comes from.
pub fn not_among(outcomes: &[Outcome]) -> Vec<&'static str> {
    let asked = |name: &str| outcomes.iter().any(|outcome| outcome.experiment == name);
    ALL.iter().map(|experiment| experiment.name).filter(|name| !asked(name)).collect()
}

/// What came out of running an experiment once.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The experiment's name.
    pub experiment: &'static str,
    /// The proxy's name.
    pub proxy: String,
    /// Whether it is a step of the workbook, and not another program that has the name of one.
    #[serde(skip)]
    pub is_step: bool,
    /// Which of the four answers the verdict is.
    pub answer: Answer,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How it went.
    pub story: Vec<Event>,
}

impl Experiment {
    /// Runs it against a fresh instance of the proxy, which has ended when this returns.
    pub fn run(&self, spec: &Spec) -> Outcome {
        let begun = Instant::now();
        let story = Story::default();
        let broken = |why: &str| {
            Verdict::new(Kind::NotJudged, format!("the laboratory could not go on: {why}"))
        };
        // A mistake of the laboratory, or a kernel that does not answer, is no verdict on the proxy, and
        // the other experiments go on.
        let verdict = match catch_unwind(AssertUnwindSafe(|| (self.run)(spec, &story))) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(Halt::Verdict(verdict))) => *verdict,
            Ok(Err(Halt::Broken(error))) => broken(&format!("{error:#}")),
            Err(panic) => broken(panic.downcast_ref::<String>().map_or("it panicked", |it| it)),
        };
        Outcome {
            experiment: self.name,
            proxy: spec.name.clone(),
            is_step: spec.is_step,
            answer: verdict.answer(),
            verdict,
            took_ms: begun.elapsed().as_millis() as u64,
            story: story.events(),
        }
    }
}
