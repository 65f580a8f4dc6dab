//! The answers with code in the book are patches on a step. Each names the experiment that judges
//! it and the verdict that it comes to: here they are applied, built and judged.

use std::fs;
use std::path::{Path, PathBuf};

use lab::experiments::{self, Experiment};
use lab::ladder::matrix;
use lab::subject::proxy::Spec;

use crate::{ROOT, package};

/// A patch and what it promises.
struct Answer {
    name: String,
    experiment: &'static Experiment,
    verdict: String,
    source: String,
}

#[test]
fn every_answer_applies_to_its_step_and_comes_to_the_verdict_that_it_promises() {
    let directory = fs::read_dir(Path::new(ROOT).join("book/answers")).expect("it is there");
    let mut patches: Vec<PathBuf> =
        directory.map(|entry| entry.expect("it can be read").path()).collect();
    patches.sort();
    assert!(!patches.is_empty(), "there are answers");
    let answers: Vec<Answer> = patches.iter().map(|patch| read(patch)).collect();
    let sources: Vec<_> =
        answers.iter().map(|answer| (answer.name.clone(), answer.source.clone())).collect();
    let directory = package::build("answers", &sources).unwrap_or_else(|error| panic!("{error:#}"));

    let work =
        answers.iter().map(|answer| (answer.experiment, Spec::step(directory.join(&answer.name))));
    let outcomes = matrix::run_all(work.collect(), 2 * matrix::JOBS, |_| {});
    let mut wrong = vec![];
    for (Answer { name, experiment, verdict, .. }, outcome) in answers.iter().zip(&outcomes) {
        let (kind, sentence) = (outcome.verdict.kind, &outcome.verdict.sentence);
        if verdict.split(" or ").all(|word| word != kind.word()) {
            let question = format!("book/answers/{name}.patch in {}", experiment.name);
            wrong.push(format!("{question}: {kind}, expected {verdict}. {sentence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reads a patch: `experiment: NAME` and `expect: VERDICT`, then the diff on one step, applied.
fn read(patch: &Path) -> Answer {
    let name = patch.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let text = fs::read_to_string(patch).expect("it can be read");
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("book/answers/{name}.patch does not say `{key}`")).trim()
    };
    let experiment = experiments::named(field("experiment:")).expect("an experiment of that name");
    let patched = press::diff::patched(&press::Project::new(ROOT), &name);
    let patched = patched.unwrap_or_else(|problem| panic!("{problem}"));
    Answer { experiment, verdict: field("expect:").into(), source: patched.new, name: name.clone() }
}
