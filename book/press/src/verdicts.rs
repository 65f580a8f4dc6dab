//! Badges, tables and counts: what the ladder says of its steps, and the laboratory of its
//! experiments.

use lab::arrived::verdict::Kind;
use lab::experiments;
use lab::ladder::{Expectation, Ladder, Step};
use maud::{Markup, html};
use serde::Deserialize;

/// What a badge says, and the class that colors it. Never the color alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Every byte arrives.
    Exact,
    /// What cannot be passed on is not taken, or put aside.
    Held,
    /// Bytes are lost, or damaged.
    Loses,
    /// Nothing moves any more.
    Freezes,
    /// Memory, descriptors or processor time go, and do not come back.
    Grows,
}

impl Mark {
    /// The mark of a verdict; none where nothing was judged.
    pub fn of(kind: Kind) -> Option<Mark> {
        Some(match kind {
            Kind::Exact => Mark::Exact,
            Kind::HeldBack | Kind::Spilled => Mark::Held,
            Kind::Hole | Kind::Truncated | Kind::Reordered => Mark::Loses,
            Kind::Repeated | Kind::Altered | Kind::Swallowed => Mark::Loses,
            Kind::Frozen | Kind::Slow | Kind::Died | Kind::Absent => Mark::Freezes,
            Kind::Grew | Kind::Leaked | Kind::Spun => Mark::Grows,
            Kind::NotJudged => return None,
        })
    }

    /// The class of its badge, and what it says of a whole step.
    fn class_and_words(self) -> (&'static str, &'static str) {
        match self {
            Mark::Exact => ("badge-exact", "exact"),
            Mark::Held => ("badge-held", "held back"),
            Mark::Loses => ("badge-loses", "loses bytes"),
            Mark::Freezes => ("badge-freezes", "freezes"),
            Mark::Grows => ("badge-grows", "grows"),
        }
    }

    /// What it says of a whole step.
    pub fn words(self) -> &'static str {
        self.class_and_words().1
    }
}

/// What a step comes to over all experiments: everything that goes wrong, or *exact*.
pub fn marks(step: &Step) -> Vec<Mark> {
    let kinds = experiments::ALL.iter().flat_map(|one| step.expected(one.name).kinds);
    let mut marks: Vec<Mark> = kinds.filter(|kind| !kind.is_good()).filter_map(Mark::of).collect();
    marks.sort();
    marks.dedup();
    if marks.is_empty() { vec![Mark::Exact] } else { marks }
}

/// A badge with these words.
pub fn badge(mark: Mark, words: &str) -> Markup {
    html! { span class={ "badge " (mark.class_and_words().0) } { (words) } }
}

/// The badges of a step.
pub fn step_badge(step: &Step) -> Markup {
    html! {
        @for (at, mark) in marks(step).into_iter().enumerate() {
            @if at > 0 { " " }
            (badge(mark, mark.words()))
        }
    }
}

/// A badge for each verdict that is expected.
fn badges(expected: &Expectation) -> Markup {
    html! {
        @for (at, kind) in expected.kinds.iter().enumerate() {
            @if at > 0 { " or " }
            @if let Some(mark) = Mark::of(*kind) { (badge(mark, kind.word())) }
            @else { (kind.word()) }
        }
    }
}

/// The step of this name, or a sentence that says which there are.
pub fn step<'a>(ladder: &'a Ladder, name: &str) -> Result<&'a Step, String> {
    let none = || format!("there is no step {name}; there are {}", ladder.names());
    ladder.step(name).ok_or_else(none)
}

/// What every step does in every experiment.
pub fn matrix(ladder: &Ladder) -> Markup {
    let heads = ladder.steps.iter().map(|step| html! { code { (step.name) } }).collect();
    frame("What every step does in every experiment", heads, |experiment| {
        let cell = |step: &Step| {
            let expected = step.expected(experiment);
            let exact = expected.kinds == [Kind::Exact];
            html! { (badges(&expected)) @if !exact { span.reason { (expected.why) } } }
        };
        ladder.steps.iter().map(cell).collect()
    })
}

/// What one step does in every experiment, and why.
pub fn matrix_of(step: &Step) -> Markup {
    let heads = vec![html! { "Verdict" }, html! { "Why" }];
    frame(&format!("What {} does in every experiment", step.name), heads, |experiment| {
        let expected = step.expected(experiment);
        vec![badges(&expected), html! { (expected.why) }]
    })
}

/// A table with a row for each experiment, in a frame that can be scrolled, also with the keyboard.
fn frame(caption: &str, heads: Vec<Markup>, cells: impl Fn(&str) -> Vec<Markup>) -> Markup {
    // With two columns, a narrow screen shows each row as a grid (press.css). Browsers forget that a
    // grid is a table, unless its roles say so.
    let role = |name: &'static str| (heads.len() == 2).then_some(name);
    let class = if heads.len() == 2 { "matrix narrow" } else { "matrix" };
    html! {
        div.table-wrapper.matrix-frame role="region" tabindex="0" aria-label=(caption) {
            table class=(class) role=[role("table")] {
                caption { (caption) }
                thead role=[role("rowgroup")] { tr role=[role("row")] {
                    th scope="col" role=[role("columnheader")] { "Experiment" }
                    @for head in &heads { th scope="col" role=[role("columnheader")] { (head) } }
                } }
                tbody role=[role("rowgroup")] {
                    @for one in experiments::ALL { tr role=[role("row")] {
                        th scope="row" role=[role("rowheader")] {
                            code { (one.name) } span.question { (one.question) }
                        }
                        @for cell in cells(one.name) { td role=[role("cell")] { (cell) } }
                    } }
                }
            }
        }
    }
}

/// The table of all steps: name, idea, verdict.
pub fn ladder_table(ladder: &Ladder) -> Markup {
    html! {
        div.table-wrapper { table {
            thead { tr { th { "step" } th { "idea" } th { "what its users get" } } }
            tbody { @for step in &ladder.steps { tr {
                td { code { (step.name) } } td { (step.idea) } td { (step_badge(step)) }
            } } }
        } }
    }
}

const NUMBERS: &str = "none one two three four five six seven eight nine ten eleven twelve thirteen \
                       fourteen fifteen sixteen seventeen eighteen nineteen twenty";

/// A number as the book writes it: in words up to twenty.
pub fn in_words(number: usize) -> String {
    NUMBERS.split(' ').nth(number).map_or(number.to_string(), str::to_string)
}

/// The number that a word stands for.
pub fn number_of(word: &str) -> Option<usize> {
    NUMBERS.split(' ').position(|known| known == word.to_lowercase()).or(word.parse().ok())
}

/// How many of these there are. Steps and experiments can be counted.
pub fn count(ladder: &Ladder, of: &str) -> Result<usize, String> {
    match of {
        "experiments" => Ok(experiments::ALL.len()),
        "steps" => Ok(ladder.steps.len()),
        _ => Err(format!("{of} cannot be counted; experiments and steps can")),
    }
}
