//! An experiment explained: what it does, what it finds, and what that means to those who use a proxy.

use crate::experiments::{self, Experiment};
use crate::ladder::{Step, ladder};
use crate::numbers::in_a_row;
use crate::shown::lines::Columns;
use crate::shown::report::{bold, faint, word};

/// How far the paragraphs stand in.
const INDENT: usize = 2;

/// One experiment, and what the steps come to in it. `why` asks for the reasons, too: the book lets its
/// readers find them.
pub fn one(experiment: &Experiment, why: bool, columns: Columns) -> String {
    let Experiment { name, question, method, finds, meaning, judges, .. } = experiment;
    let judges: Vec<String> = judges.iter().map(|matter| matter.to_string()).collect();
    let paragraphs = [
        ("How it works", method.to_string()),
        ("What it finds", finds.to_string()),
        ("What that means to a user", meaning.to_string()),
        ("What it judges", sentence(&in_a_row(&judges))),
    ];
    let mut text = columns.fill(&format!("{}: {question}", bold(name))) + "\n";
    for (head, paragraph) in paragraphs {
        text += &format!("\n{}\n{}\n", bold(head), columns.hang("", INDENT, &paragraph));
    }
    text += &format!("\n{}\n{}", bold("How the steps do"), steps(name, why, columns));
    let is_faulty = |step: &&Step| step.expected(name).kinds.iter().any(|kind| !kind.is_good());
    if let Some(step) = ladder().steps.iter().find(is_faulty) {
        let command = format!("cargo lab show {name} {}", step.name);
        text += &format!("\n{}\n  {command}\n", faint("To see it happen:"));
    }
    text
}

/// What each step comes to, and perhaps why. A reason that is that of the step before is not told twice.
fn steps(experiment: &str, why: bool, columns: Columns) -> String {
    let mut before = None;
    let row = |step: &Step| {
        let expected = step.expected(experiment);
        let words: Vec<String> = expected.kinds.iter().map(|kind| word(*kind, 0)).collect();
        let why = match before.replace(expected.clone()) {
            _ if !why || expected.is_exact() => String::new(),
            Some(before) if before == expected => ": the same".into(),
            _ => format!(": {}", expected.why),
        };
        (format!("{:INDENT$}{}", "", step.name), words.join(" or ") + &why)
    };
    columns.rows(2, &ladder().steps.iter().map(row).collect::<Vec<_>>())
}

/// With a capital letter and a full stop.
fn sentence(words: &str) -> String {
    let (first, rest) = words.split_at_checked(1).unwrap_or((words, ""));
    format!("{}{rest}.", first.to_uppercase())
}

/// All experiments, a line each.
pub fn all(columns: Columns) -> String {
    let row = |one: &Experiment| (bold(one.name), one.question.to_string());
    columns.rows(2, &experiments::ALL.iter().map(row).collect::<Vec<_>>())
}
