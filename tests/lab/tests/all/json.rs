//! The book's appendix on `--json` names every field and every word that is printed, and no others.
//!
//! `BLESS=1 cargo test --package lab json` records its example anew.

use std::collections::BTreeSet;
use std::fs;

use assert_cmd::Command;
use lab::arrived::verdict::{Answer, Figure, Kind, Matter, Unjudged, Verdict};
use lab::experiments::Outcome;
use lab::shown::json::{Findings, VERSION};
use serde::Serialize;
use serde_json::Value;
use strum::IntoEnumIterator;

use crate::scripts::{LAB, Scripts};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/example.json");

/// The sections of the page, each a title and its text.
fn sections() -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../book/src/appendix-json.md");
    let page = fs::read_to_string(page).unwrap();
    let sections = page.split("\n#").skip(1).map(|section| section.trim_start_matches('#'));
    let sections = sections.map(|section| section.split_once('\n').unwrap_or((section, "")));
    sections.map(|(title, text)| (title.trim().into(), text.into())).collect()
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of a table whose first cell is in backquotes: that, and the rest.
fn rows(section: &str) -> impl Iterator<Item = (&str, &str)> {
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
}

/// The fields that the page names, as paths: `$.outcomes[].answer`. A section says where its fields are found.
fn documented(root: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (_, text) in sections() {
        let Some(places) = text.trim_start().strip_prefix("Found at ") else { continue };
        let places = places.lines().next().unwrap();
        for place in quoted(places).filter(|place| place.starts_with(root)) {
            paths.extend(rows(&text).map(|(field, _)| format!("{place}.{field}")));
        }
    }
    assert!(paths.len() > 5, "the page names no fields of {root}");
    paths
}

/// The fields that a value has.
fn fields(value: &Value, path: &str) -> BTreeSet<String> {
    match value {
        Value::Object(object) => {
            let inside = object.iter().map(|(key, value)| {
                let path = format!("{path}.{key}");
                let mut all = fields(value, &path);
                all.insert(path);
                all
            });
            inside.flatten().collect()
        }
        Value::Array(list) => {
            list.iter().flat_map(|value| fields(value, &format!("{path}[]"))).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// What `check --json` prints of a relay with this fault in this experiment.
fn printed(fault: &str, experiment: &str) -> String {
    let mut command = Command::new(LAB);
    command.args(["check", "--json", "--only", experiment, "--"]);
    let output = command.args([LAB, "relay", fault, "{listen}", "{backend}"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn fields_of(text: &str) -> BTreeSet<String> {
    fields(&serde_json::from_str(text).expect(text), "$")
}

/// A value that is a word in JSON.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_string()
}

/// An outcome with what is rare: notes, and something that could not be judged.
fn rare() -> String {
    let mut verdict = Verdict::new(Kind::Exact, "all of them");
    verdict.notes.push("it dallies".into());
    verdict.figures.push(Figure { name: "it".into(), value: 1, unit: "bytes".into() });
    verdict.unjudged.push(Unjudged { matter: Matter::Memory, why: "nobody owns it".into() });
    let outcome = Outcome {
        experiment: "plain",
        proxy: "it".into(),
        is_step: false,
        answer: verdict.answer(),
        verdict,
        took_ms: 1,
        story: vec![],
    };
    serde_json::to_string(&Findings::of(&[outcome])).unwrap()
}

#[test]
fn the_appendix_names_the_fields_that_are_printed() {
    let example = printed("swallow-chunk", "lost-tail");
    if std::env::var_os("BLESS").is_some() {
        fs::write(EXAMPLE, &example).unwrap();
    }
    let recorded = fs::read_to_string(EXAMPLE).unwrap();
    let again = "record it anew: BLESS=1 cargo test --package lab json";
    assert_eq!(fields_of(&recorded), fields_of(&example), "{again}");

    // A page that ends early, one that is no HTTP anymore, one with bytes of another, and what is rare.
    let others = [
        printed("lose-tail", "lost-tail"),
        printed("drop-rest", "two-acts"),
        printed("dirty-buffer", "reset"),
        rare(),
    ];
    let all: BTreeSet<String> =
        others.iter().chain([&example]).flat_map(|text| fields_of(text)).collect();
    let named = documented("$");
    let unnamed: Vec<_> = all.difference(&named).collect();
    assert!(unnamed.is_empty(), "printed, and not in the appendix: {unnamed:?}");
    let gone: Vec<_> = named.difference(&all).collect();
    assert!(gone.is_empty(), "in the appendix, and not printed: {gone:?}");
}

#[test]
fn the_appendix_names_the_fields_of_the_scoreboard() {
    let scripts = Scripts::new().relay("good", "none").missing("no").broken("ends");
    let output = scripts.command(&["--only", "stalled-crowd", "--json"]).output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(fields(&printed, "scoreboard"), documented("scoreboard"));
}

#[test]
fn the_appendix_names_the_words_that_are_printed() {
    let section = |wanted: &str| {
        let mut sections = sections().into_iter();
        sections.find(|(title, _)| title == wanted).expect(wanted).1
    };
    let words = |title: &str| -> Vec<String> {
        rows(&section(title)).map(|(word, _)| word.to_string()).collect()
    };
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    let answers: Vec<String> = Answer::iter().map(|answer| word(&answer)).collect();
    // The better ones first, as the page says.
    assert_eq!(words("Answers"), answers);
    let matters = Matter::iter().map(|matter| word(&matter)).collect();
    assert_eq!(sorted(words("Matters")), sorted(matters));
    let kinds = Kind::iter().map(|kind| word(&kind)).collect();
    assert_eq!(sorted(words("Verdicts")), sorted(kinds));
    for (name, rest) in rows(&section("Verdicts")) {
        let kind: Kind = serde_json::from_value(name.into()).unwrap();
        let answer = rest.trim_start_matches('`').split('`').next();
        assert_eq!(answer, Some(&*word(&kind.answer())), "{name}");
    }
    let versions = section("Which version this is");
    assert!(versions.trim_start().starts_with(&format!("`version` is {VERSION}.")), "{versions}");
}
