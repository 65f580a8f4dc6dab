//! Badges, tables and counts, made from the ladder's manifests and the laboratory's experiments.

use lab::arrived::verdict::{Kind, Matter};
use lab::experiments::{self, Experiment};
use lab::ladder::milestones::Milestone;
use lab::ladder::{Expectation, Ladder, Step};
use lab::numbers::in_words;
use maud::{Markup, html};
use serde::Deserialize;

/// What a badge says, and the class that colors it. Never the color alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Every byte arrives.
    Exact,
    /// What cannot be passed on yet is left with the sender, or put into a file; or another choice that a
    /// trusted proxy may make.
    Held,
    /// Bytes are lost or damaged, or are another's.
    Loses,
    /// Nothing moves anymore.
    Freezes,
    /// It uses up memory, descriptors or processor time.
    Grows,
    /// It takes one end for another: that of one direction for that of both, or a reset for the end of a
    /// page.
    Mistakes,
}

impl Mark {
    /// The mark of a verdict, or `None` if nothing was judged.
    pub fn of(kind: Kind) -> Option<Mark> {
        Some(match kind {
            Kind::Exact => Mark::Exact,
            Kind::HeldBack | Kind::Spilled | Kind::Noted => Mark::Held,
            Kind::Hole | Kind::Truncated | Kind::Reordered => Mark::Loses,
            Kind::Repeated | Kind::Altered | Kind::Swallowed | Kind::Crossed => Mark::Loses,
            Kind::Frozen | Kind::Died | Kind::Absent => Mark::Freezes,
            Kind::Grew | Kind::Leaked | Kind::Spun => Mark::Grows,
            Kind::NotJudged => return None,
        })
    }

    /// The same, in an experiment. Where it is about ends, what is cut off was not lost on its way.
    pub fn of_fault(experiment: &str, kind: Kind) -> Option<Mark> {
        let judges = experiments::named(experiment).map_or(&[][..], |known| known.judges);
        match kind {
            Kind::Truncated if judges.contains(&Matter::Ends) => Some(Mark::Mistakes),
            _ => Mark::of(kind),
        }
    }

    /// What it says of a whole step.
    pub fn words(self) -> &'static str {
        match self {
            Mark::Exact => "exact",
            Mark::Held => "held back",
            Mark::Loses => "loses bytes",
            Mark::Freezes => "freezes",
            Mark::Grows => "grows",
            Mark::Mistakes => "mishandles ends",
        }
    }
}

/// What a step comes to over all experiments: everything that goes wrong, or *exact*.
pub fn marks(step: &Step) -> Vec<Mark> {
    let of_kinds = |experiment: &'static str| {
        let faults = step.expected(experiment).kinds.into_iter().filter(|kind| !kind.is_good());
        faults.filter_map(move |kind| Mark::of_fault(experiment, kind)).collect::<Vec<_>>()
    };
    let mut marks: Vec<Mark> =
        experiments::ALL.iter().flat_map(|experiment| of_kinds(experiment.name)).collect();
    marks.sort();
    marks.dedup();
    if marks.is_empty() { vec![Mark::Exact] } else { marks }
}

/// A badge with these words. The mark's own name is in its class: `badge-loses`.
pub fn badge(mark: Mark, words: &str) -> Markup {
    // What is in a file has the color of that place.
    let spilled = if words == Kind::Spilled.word() { " badge-spilled" } else { "" };
    let class = format!("badge badge-{mark:?}{spilled}").to_lowercase();
    html! { span class=(class) { (words) } }
}

/// The badges of a step.
pub fn step_badge(step: &Step) -> Markup {
    html! { @for (at, mark) in marks(step).into_iter().enumerate() {
        @if at > 0 { " " } (badge(mark, mark.words()))
    } }
}

/// A badge for each verdict that is expected.
fn badges(expected: &Expectation) -> Markup {
    html! { @for (at, kind) in expected.kinds.iter().enumerate() {
        @if at > 0 { " or " }
        @if let Some(mark) = Mark::of(*kind) { (badge(mark, kind.word())) } @else { (kind.word()) }
    } }
}

/// What a step does in some experiments, and why, in a frame that the keyboard can scroll. On a narrow
/// screen the rows are grids (press.css), and only their roles tell browsers that this is a table.
pub fn matrix(step: &Step, experiments: &[&Experiment]) -> Markup {
    let is_all = experiments.len() == experiments::ALL.len();
    let these = if is_all { "every experiment" } else { "some of the experiments" };
    let caption = format!("What {} does in {these}", step.name);
    let heads = ["Experiment", "Verdict", "Why"];
    let rows = experiments.iter().map(|one| (one, step.expected(one.name)));
    html! { div.table-wrapper.matrix-frame role="region" tabindex="0" aria-label=(caption) {
        table.matrix.narrow role="table" {
            caption { (caption) }
            thead role="rowgroup" { tr role="row" {
                @for head in heads { th scope="col" role="columnheader" { (head) } }
            } }
            tbody role="rowgroup" { @for (one, expected) in rows { tr role="row" {
                th scope="row" role="rowheader" {
                    code { (one.name) } span.question { (one.question) }
                }
                td role="cell" { (badges(&expected)) } td role="cell" { (expected.why) }
            } } }
        }
    } }
}

/// What every step does in every experiment. A column for each step is headed by its number.
pub fn whole_matrix(ladder: &Ladder) -> Markup {
    let caption = "What every step does in every experiment";
    html! { div.table-wrapper.matrix-frame role="region" tabindex="0" aria-label=(caption) {
        table.whole-matrix {
            caption { (caption) }
            thead { tr {
                th scope="col" { "Experiment" }
                @for step in &ladder.steps {
                    th scope="col" { abbr title=(step.name) { (format!("{:02}", step.number())) } }
                }
            } }
            tbody { @for one in experiments::ALL { tr {
                th scope="row" { code { (one.name) } }
                @for step in &ladder.steps { td { (badges(&step.expected(one.name))) } }
            } } }
        }
    } }
}

/// What a chapter asks of the reader's own proxy.
pub fn milestone(step: &Step, milestone: &Milestone) -> Markup {
    let number = step.number();
    html! { div.milestone {
        p.milestone-goal { strong { "Milestone " (number) "." } " " (milestone.goal) }
        dl { @for question in &milestone.asks {
            dt { code { (question.experiment) } }
            dd { (question.experiment().question) }
        } }
    } }
}

/// The table of all steps: name, idea, verdict.
pub fn ladder_table(ladder: &Ladder) -> Markup {
    html! { div.table-wrapper { table {
        thead { tr { th { "step" } th { "idea" } th { "what goes wrong" } } }
        tbody { @for step in &ladder.steps { tr {
            td { code { (step.name) } } td { (step.idea) } td { (step_badge(step)) }
        } } }
    } } }
}

/// The number that a word stands for, or digits.
pub fn number_of(word: &str) -> Option<usize> {
    (0..=20).find(|number| in_words(*number) == word.to_lowercase()).or(word.parse().ok())
}

/// How many of these there are. Steps and experiments can be counted.
pub fn count(ladder: &Ladder, of: &str) -> Result<usize, String> {
    match of {
        "experiments" => Ok(experiments::ALL.len()),
        "steps" => Ok(ladder.steps.len()),
        _ => Err(format!("{of} cannot be counted; experiments and steps can")),
    }
}
