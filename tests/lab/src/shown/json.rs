//! What `check --json` and `matrix --json` print. The book's appendix describes the shape; a change that
//! a reader of it would notice gets a new [`VERSION`].

use serde::Serialize;

use super::report;
use crate::arrived::verdict::{Answer, Matter};
use crate::experiments::{self, Outcome};

/// The version of the shape.
pub const VERSION: u32 = 1;

/// All that some experiments found.
#[derive(Debug, Serialize)]
pub struct Findings<'a> {
    /// [`VERSION`].
    pub version: u32,
    /// The worst answer of all.
    pub answer: Answer,
    /// What was judged.
    pub judged: Vec<Matter>,
    /// The experiments that were not asked for.
    pub not_asked: Vec<&'static str>,
    /// What each experiment found.
    pub outcomes: &'a [Outcome],
}

impl<'a> Findings<'a> {
    /// What these outcomes come to.
    pub fn of(outcomes: &'a [Outcome]) -> Findings<'a> {
        Findings {
            version: VERSION,
            answer: outcomes.iter().map(|it| it.answer).max().unwrap_or(Answer::NotJudged),
            judged: report::judged(outcomes).into_iter().collect(),
            not_asked: experiments::not_among(outcomes),
            outcomes,
        }
    }
}
