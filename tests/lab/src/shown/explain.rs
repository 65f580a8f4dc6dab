//! An experiment explained: what it does, what it finds, and what that means to those who use a proxy.

use crate::experiments::{self, Experiment};
use crate::ladder::{Step, ladder};
use crate::numbers::in_a_row;
use crate::shown::lines::Columns;
use crate::shown::report::{bold, faint, word};

/// How far the paragraphs stand in.
const INDENT: usize = 2;

/// One experiment, and what the steps come to in it.
pub fn one(experiment: &Experiment, columns: Columns) -> String {
    let Experiment { name, question, method, finds, meaning, judges, .. } = experiment;
    let judges: Vec<String> = judges.iter().map(|matter| matter.to_string()).collect();
    let paragraphs = [
        ("How it works", method.to_string()),
        ("What it finds", finds.to_string()),
        ("What that means to a user", meaning.to_string()),
        ("What it judges", format!("{}.", in_a_row(&judges))),
    ];
    let mut text = columns.fill(&format!("{}: {question}", bold(name))) + "\n";
    for (head, paragraph) in paragraphs {
        text += &format!("\n{}\n{}\n", bold(head), columns.hang("", INDENT, &paragraph));
    }
    let row = |step: &Step| {
        let expected = step.expected(name);
        let words: Vec<String> = expected.kinds.iter().map(|kind| word(*kind, 0)).collect();
        (
            format!("{:INDENT$}{}", "", step.name),
            format!("{}: {}", words.join(" or "), expected.why),
        )
    };
    let rows: Vec<_> = ladder().steps.iter().map(row).collect();
    text += &format!("\n{}\n{}", bold("What the steps come to in it"), columns.rows(2, &rows));
    if let Some(step) = ladder().steps.iter().find(|step| !step.expected(name).is_exact()) {
        let command = format!("cargo lab show {name} {}", step.name);
        text += &format!("\n{}\n  {command}\n", faint("To see it happen:"));
    }
    text
}

/// All experiments, a line each.
pub fn all(columns: Columns) -> String {
    let row = |one: &Experiment| (bold(one.name), one.question.to_string());
    columns.rows(2, &experiments::ALL.iter().map(row).collect::<Vec<_>>())
}
