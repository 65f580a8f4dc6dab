//! The answers with code in the book are patches on a step. Each names the experiment that judges
//! it and the verdict that it comes to: here they are applied, built and judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::experiments::{self, Experiment};
use lab::ladder::matrix;
use lab::subject::proxy::Spec;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A patch and what it promises.
struct Answer {
    name: String,
    step: String,
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
    let step = text.lines().find_map(|line| line.strip_prefix("--- a/steps/"));
    let step = step.and_then(|path| path.strip_suffix("/main.rs")).expect("a diff on one step");

    // The step alone in a directory, which is no repository: git applies there too.
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("steps").join(step);
    fs::create_dir_all(&place).expect("a directory");
    let original = Path::new(ROOT).join("steps").join(step).join("main.rs");
    fs::copy(original, place.join("main.rs")).expect("the step can be copied");
    let applied = Command::new("git")
        .args(["apply", "--whitespace=nowarn"])
        .arg(patch)
        .current_dir(directory.path())
        .env("GIT_CEILING_DIRECTORIES", directory.path().parent().expect("it has a parent"))
        .output()
        .expect("git can be run");
    let complaint = String::from_utf8_lossy(&applied.stderr);
    assert!(applied.status.success(), "book/answers/{name}.patch does not apply: {complaint}");
    let source = fs::read_to_string(place.join("main.rs")).expect("it can be read");
    Answer {
        step: step.into(),
        experiment,
        verdict: field("expect:").into(),
        source,
        name: name.clone(),
    }
}

/// Builds all answers as one package, with the dependencies of the steps; returns the programs.
fn build(answers: &[Answer]) -> Vec<PathBuf> {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers");
    fs::create_dir_all(package.join("src")).expect("a directory");
    let root = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("it can be read");
    let dependencies = root
        .split_once(r#"'cfg(target_os = "linux")'.dependencies]"#)
        .and_then(|(_, rest)| rest.split("\n[").next())
        .expect("the steps have dependencies");
    let mut manifest = format!(
        "[workspace]\n[package]\nname = \"answers\"\nedition = \"2024\"\n\n[dependencies]{dependencies}\n"
    );
    for Answer { name, step, source, .. } in answers {
        write_if_new(&package.join("src").join(format!("{name}.rs")), source);
        manifest +=
            &format!("\n[[bin]]\nname = \"{name}\" # on {step}\npath = \"src/{name}.rs\"\n");
    }
    write_if_new(&package.join("Cargo.toml"), &manifest);
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
