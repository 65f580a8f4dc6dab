//! The steps as a ladder: each a small and honest move from the one before, on its own feet, and
//! stopped with a sentence where it cannot stand. What all steps do in all experiments is here as well,
//! and what the answers of the book do, because an experiment mostly waits: together they wait once.

mod answers;
mod matrix;
mod milestones;
mod newcomer;
#[path = "../common/package.rs"]
mod package;

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::ladder::cargo::Manifest;
use lab::ladder::{Budget, Ladder, Step, ladder};
use press::diff::{changed_code, code};

use package::ROOT;

// ---- The diff is the lesson ---------------------------------------------------------------------

#[test]
fn every_step_is_as_close_to_the_one_before_as_its_manifest_says() {
    for pair in ladder().steps.windows(2) {
        let [from, to] = [&pair[0].name, &pair[1].name];
        let budget = match pair[1].budget.expect("reading the manifest has asked for it") {
            Budget::Lines(budget) => budget,
            Budget::Anything(_) => continue,
        };
        let [from_text, to_text] = [from, to].map(|step| read(&main_file(step)));
        let changes = changed_code(&from_text, &to_text);
        let count = format!("{from} -> {to}: {} changed lines of code", changes.len());
        println!("{count}, at most {budget} are allowed");
        assert_ne!(changes.len(), 0, "{from} and {to} are the same program");
        let within = changes.len() <= budget;
        assert!(within, "{count}, {budget} are allowed:\n{}", changes.join("\n"));
    }
}

// ---- What a step says of itself -----------------------------------------------------------------

#[test]
fn every_step_opens_with_its_name_its_news_its_fault_and_its_chapter() {
    let mut last = 0;
    for step in steps() {
        let number = &step[..2];
        let program = read(&main_file(step));
        let header: Vec<&str> =
            program.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        // What follows a label on its line; a label with nothing behind it does not count.
        let after = |label: &str| {
            let text = header.iter().find_map(|line| line.strip_prefix(label)).map(str::trim);
            text.filter(|text| !text.is_empty())
        };

        let first = header.first().unwrap_or_else(|| panic!("{step}: no `//!` on the first line"));
        let opening = format!("Step {number}: ");
        assert!(
            first.starts_with(&opening),
            "{step}: opens with {first:?}, not `{opening}`, a name"
        );
        assert!(after("Adds:").or(after("Does:")).is_some(), "{step}: no `Adds:` or `Does:`");
        assert!(after("Wrong on purpose:").is_some(), "{step}: no `Wrong on purpose:`");

        let (chapter, title) = after("Chapter ")
            .and_then(|text| text.split_once(": "))
            .unwrap_or_else(|| panic!("{step}: no `Chapter N: title`"));
        assert!(!title.is_empty(), "{step}: the chapter has no title");
        let chapter: u32 =
            chapter.parse().unwrap_or_else(|_| panic!("{step}: {chapter:?} is no chapter number"));
        assert!(chapter > last, "{step}: chapter {chapter} comes no later than the step before's");
        last = chapter;
    }
}

#[test]
fn readme_lists_the_steps_as_their_manifests_do() {
    let file = Path::new(ROOT).join("README.md");
    let readme = read(&file);
    let (before, rest) = readme.split_once(TABLE_HEAD).expect("README.md has the ladder's table");
    let (_, after) = rest.split_once("\n\n").expect("the table ends");
    let rows = rows(ladder());
    let wanted = format!("{before}{TABLE_HEAD}{rows}\n{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &wanted).expect("writing README.md");
    } else if readme != wanted {
        let missing = rows.lines().find(|row| !readme.contains(row)).unwrap_or("a row too many");
        panic!(
            "README.md: the table of the steps is not what the manifests say ({missing}).\n\
             `BLESS=1 cargo test --test ladder` writes it anew."
        );
    }
    // The picture of the tour shows some of the steps, each with its idea.
    let heads = readme.lines().filter_map(|line| line.split_once("  "));
    let shown: Vec<_> = heads.filter(|(name, _)| ladder().step(name).is_some()).collect();
    assert!(!shown.is_empty(), "README.md shows nothing of the tour");
    for (name, idea) in shown {
        assert_eq!(ladder().step(name).map(|step| &*step.idea), Some(idea), "README.md: {name}");
    }
}

const TABLE_HEAD: &str = "| step | what is new | what goes wrong, on purpose |\n|---|---|---|\n";

/// README's table, a row for each step.
fn rows(ladder: &Ladder) -> String {
    let row = |Step { name, idea, goes_wrong, .. }: &Step| {
        format!("| [`{name}`](steps/{name}/main.rs) | {idea} | {goes_wrong} |\n")
    };
    ladder.steps.iter().map(row).collect()
}

// ---- Each on its own feet -----------------------------------------------------------------------

#[test]
fn the_first_four_steps_are_one_file_each() {
    for step in ladder().steps.iter().filter(|step| step.number() <= 4) {
        let main = main_file(&step.name);
        let mut files = source_files(&step.name);
        files.retain(|file| !file.ends_with("step.toml"));
        assert_eq!(files, std::slice::from_ref(&main), "{} has other files", step.name);
        let program = read(&main);
        for line in code(&program) {
            let module = line.split_whitespace().any(|word| word == "mod");
            assert!(!module, "{} has a module: {line}", step.name);
        }
    }
}

#[test]
fn no_step_borrows_code_from_outside_its_directory() {
    // `mod name;` alone never leaves the directory; these would. The package itself has no library.
    let ways_out = ["#[path", "include!(", "lab::", "use lab;", "extern crate", "dropped_write::"];
    for file in steps().flat_map(|step| source_files(step)) {
        let program = read(&file);
        for line in code(&program) {
            for way_out in ways_out {
                assert!(!line.contains(way_out), "{}: {}", file.display(), line.trim());
            }
        }
    }
    assert!(!Path::new(ROOT).join("src").exists(), "a library that steps could share");
    let manifest = read(&Path::new(ROOT).join("Cargo.toml"));
    assert!(!manifest.contains("[lib]"), "a library that steps could share");
}

#[test]
fn the_steps_use_three_crates_and_the_tests_five() {
    let manifest = Manifest::read(Path::new(ROOT)).expect("Cargo.toml can be read");
    let steps = manifest.dependencies("dependencies");
    let tests = manifest.dependencies("dev-dependencies");
    assert!(steps.contains(&"nix".into()), "no dependencies found: {steps:?}");
    assert!(tests.contains(&"assert_cmd".into()), "no dev-dependencies found: {tests:?}");
    let beyond = |found: &[String], allowed: &[&str]| -> Vec<String> {
        found.iter().filter(|name| !allowed.contains(&name.as_str())).cloned().collect()
    };
    assert_eq!(beyond(&steps, &["anyhow", "libc", "nix"]), [""; 0], "in the steps");
    // The press is for the book's own test.
    let allowed = ["assert_cmd", "lab", "predicates", "press", "tempfile"];
    assert_eq!(beyond(&tests, &allowed), [""; 0], "in the tests");
    assert_eq!(manifest.dependencies("build-dependencies"), [""; 0], "in the build script");
}

#[test]
fn every_step_has_a_program_a_story_and_a_chapter() {
    assert_eq!(parts_missing(Path::new(ROOT), ladder()), [""; 0]);
}

/// What a step should have besides its directory, and has not, a line each.
fn parts_missing(root: &Path, ladder: &Ladder) -> Vec<String> {
    let programs = Manifest::read(root).expect("Cargo.toml can be read").programs();
    let mut missing = Vec::new();
    for Step { name, chapter, .. } in &ladder.steps {
        let main = format!("steps/{name}/main.rs");
        if !programs.contains(&(name.clone(), main.clone())) {
            missing.push(format!("Cargo.toml has no [[bin]] for {main}"));
        }
        let story = format!("tests/{}.rs", name.replace('-', "_"));
        let text = read_to_string(root.join(&story)).unwrap_or_default();
        if !text.contains(&format!("CARGO_BIN_EXE_{name}")) {
            missing.push(format!("{story} does not start {name}"));
        }
        if !root.join("book/src").join(chapter).exists() {
            missing.push(format!("book/src/{chapter}, the chapter of {name}, is not there"));
        }
    }
    missing
}

// ---- Where it cannot stand ----------------------------------------------------------------------

#[test]
fn the_build_stops_with_one_sentence_anywhere_but_on_linux() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("making a directory");
    let script = directory.path().join("build");
    let compiled = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition", "2024", "-o"])
        .arg(&script)
        .arg(Path::new(ROOT).join("build.rs"))
        .output()
        .expect("running rustc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));

    for system in ["macos", "windows", "freebsd"] {
        let (success, errors) = build(&script, system);
        assert!(!success, "{system}: the build goes on");
        assert_eq!(errors.len(), 1, "{system}: not one sentence: {errors:?}");
        for word in ["Linux", "book/src/not-on-linux.md", system] {
            assert!(errors[0].contains(word), "{system}: no {word} in {:?}", errors[0]);
        }
    }
    let (success, errors) = build(&script, "linux");
    assert!(success, "the build stops on Linux");
    assert_eq!(errors, [""; 0], "an error on Linux");
}

/// Runs the build script as cargo would for an operating system: whether it lets the build go on,
/// and the errors that cargo would show.
fn build(script: &Path, system: &str) -> (bool, Vec<String>) {
    let output =
        Command::new(script).env("CARGO_CFG_TARGET_OS", system).output().expect("running build.rs");
    let stdout = String::from_utf8(output.stdout).expect("build.rs writes text");
    let errors = stdout.lines().filter_map(|line| line.strip_prefix("cargo::error="));
    (output.status.success(), errors.map(String::from).collect())
}

// ---- Finding the steps --------------------------------------------------------------------------

/// The names of the steps, in order.
fn steps() -> impl Iterator<Item = &'static String> {
    ladder().steps.iter().map(|step| &step.name)
}

fn main_file(step: &str) -> PathBuf {
    Path::new(ROOT).join("steps").join(step).join("main.rs")
}

/// Every file of a step.
fn source_files(step: &str) -> Vec<PathBuf> {
    files(&Path::new(ROOT).join("steps").join(step))
}

/// A file, or all files below a directory, except those that npm has installed.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    if path.ends_with("node_modules") {
        return vec![];
    }
    let entries = read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.flat_map(|entry| files(&entry.expect("reading a directory").path())).collect()
}

fn read(path: &Path) -> String {
    read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
