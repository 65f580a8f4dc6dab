//! The answers with code in the book are patches on a step. Each names the experiment that judges
//! it and the verdict that it comes to: here they are applied, built and judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::experiments::{self, Experiment};
use lab::ladder::cargo::Manifest;
use lab::ladder::matrix;
use lab::subject::proxy::Spec;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A patch and what it promises.
struct Answer {
    name: String,
    experiment: &'static Experiment,
    verdict: String,
    source: String,
}

#[test]
fn every_answer_applies_to_its_step_and_comes_to_the_verdict_that_it_promises() {
    let mut patches: Vec<PathBuf> = fs::read_dir(Path::new(ROOT).join("book/answers"))
        .expect("book/answers is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    patches.sort();
    assert!(!patches.is_empty(), "there are answers");
    let answers: Vec<Answer> = patches.iter().map(|patch| read(patch)).collect();
    let programs = build(&answers);

    let work = answers.iter().zip(&programs).map(|(answer, program)| {
        (answer.experiment, Spec { name: answer.name.clone(), ..Spec::step(program) })
    });
    let outcomes = matrix::run_all(work.collect(), matrix::JOBS, |_| {});
    let wrong: Vec<String> = answers
        .iter()
        .zip(&outcomes)
        .filter(|(answer, outcome)| {
            answer.verdict.split(" or ").all(|word| word != outcome.verdict.kind.word())
        })
        .map(|(answer, outcome)| {
            let Answer { name, verdict, experiment, .. } = answer;
            let (kind, sentence) = (outcome.verdict.kind, &outcome.verdict.sentence);
            format!(
                "book/answers/{name}.patch in {}: {kind}, expected {verdict}. {sentence}",
                experiment.name
            )
        })
        .collect();
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

/// Builds all answers as one package, with the dependencies of the steps; returns the programs.
fn build(answers: &[Answer]) -> Vec<PathBuf> {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers");
    fs::create_dir_all(package.join("src")).expect("a directory");
    let mut programs = Vec::new();
    for Answer { name, source, .. } in answers {
        let file = format!("src/{name}.rs");
        write_if_new(&package.join(&file), source);
        programs.push((name.clone(), file));
    }
    let manifest = Manifest::read(Path::new(ROOT)).expect("the steps have a manifest");
    write_if_new(&package.join("Cargo.toml"), &manifest.package("answers", &programs));
    fs::copy(Path::new(ROOT).join("Cargo.lock"), package.join("Cargo.lock")).expect("it is there");
    let target = package.join("target");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bins", "--offline", "--target-dir"])
        .arg(&target)
        .current_dir(&package)
        .output()
        .expect("cargo can be run");
    let complaint = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "an answer does not build:\n{complaint}");
    answers.iter().map(|answer| target.join("debug").join(&answer.name)).collect()
}

/// Leaves a file alone that is as it should be, so that cargo need not build again.
fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("it can be written");
}
