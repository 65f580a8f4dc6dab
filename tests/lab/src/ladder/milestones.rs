//! What the reader's own proxy should be able to do after each chapter.

use std::path::Path;

use serde::Deserialize;

use super::{Ladder, Step};
use crate::arrived::verdict::Kind;
use crate::experiments::{self, Experiment};

/// Where they are written down, seen from the root of the workbook.
pub const FILE: &str = "steps/milestones.toml";

/// What a chapter asks of the reader's proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The page of `book/src` that it belongs to: that of a step.
    pub chapter: String,
    /// What the proxy can do now, in a sentence.
    pub goal: String,
    /// The questions, the first one first.
    pub asks: Vec<Question>,
}

/// One experiment, and what has to come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The name of the experiment.
    pub experiment: String,
    /// The faults that do not matter yet.
    #[serde(default)]
    pub enough: Vec<Kind>,
    /// A hint, and a plainer one. Neither gives the code.
    hints: [String; 2],
    /// Other hints where it comes to this verdict: a program that spins and one that loses bytes need
    /// different ones.
    #[serde(default)]
    when: Vec<When>,
}

/// Hints for some verdicts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    is: Vec<Kind>,
    hints: [String; 2],
}

impl Milestone {
    /// The step whose chapter it belongs to.
    pub fn step<'l>(&self, ladder: &'l Ladder) -> &'l Step {
        let step = ladder.steps.iter().find(|step| step.chapter == self.chapter);
        step.expect("reading the milestones has asked for it")
    }
}

impl Question {
    /// The experiment.
    pub fn experiment(&self) -> &'static Experiment {
        experiments::named(&self.experiment).expect("reading the milestones has asked for it")
    }

    /// A hint for a program that came to this verdict, and a plainer one.
    pub fn hints(&self, kind: Kind) -> &[String; 2] {
        let when = self.when.iter().find(|when| when.is.contains(&kind));
        when.map_or(&self.hints, |when| &when.hints)
    }

    /// Whether this verdict will do.
    pub fn is_met_by(&self, kind: Kind) -> bool {
        kind.is_good() || self.enough.contains(&kind)
    }
}

/// Reads the milestones. Fails with the first thing that is wrong with them, and the name of the file.
pub fn read(root: &Path, ladder: &Ladder) -> Result<Vec<Milestone>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        milestone: Vec<Milestone>,
    }
    let read = || -> Result<Vec<Milestone>, String> {
        let text = std::fs::read_to_string(root.join(FILE)).map_err(|it| it.to_string())?;
        let File { milestone } = toml::from_str(&text).map_err(|it| it.to_string())?;
        match complaint(&milestone, ladder) {
            Some(what) => Err(what),
            None => Ok(milestone),
        }
    };
    read().map_err(|what| format!("{FILE}: {}", what.trim_end()))
}

fn complaint(milestones: &[Milestone], ladder: &Ladder) -> Option<String> {
    let chapters: Vec<&str> = milestones.iter().map(|it| it.chapter.as_str()).collect();
    let steps: Vec<&str> = ladder.steps.iter().map(|it| it.chapter.as_str()).collect();
    if chapters != steps {
        return Some(format!("the steps have the chapters {steps:?}, not {chapters:?}"));
    }
    milestones.iter().flat_map(|milestone| &milestone.asks).find_map(|question| {
        let name = &question.experiment;
        if experiments::named(name).is_none() {
            return Some(format!("there is no experiment {name:?}"));
        }
        let all = question.when.iter().map(|when| &when.hints).chain([&question.hints]);
        let is_empty = all.flatten().any(|hint| hint.trim().is_empty());
        is_empty.then(|| format!("{name} has an empty hint"))
    })
}
