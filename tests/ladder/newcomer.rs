//! Somebody adds a step, on a copy of the workbook, and touches what `.github/CONTRIBUTING.md` names
//! and nothing else. Then everything that lists the steps must show it.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use lab::ladder::{Ladder, ladder, milestones};
use lab::numbers::in_words;
use press::check::check;
use press::page::expand;
use press::{Problem, Project};

use crate::{ROOT, files, parts_missing, rows};

/// A copy of the workbook with one step more: the last one again, under another name.
struct Copy {
    /// Deleted at the end.
    directory: tempfile::TempDir,
    name: String,
    chapter: String,
}

impl Copy {
    /// Adds a step as a newcomer would.
    fn with_a_new_step() -> Copy {
        // Below target/, so that the laboratory finds the copy's steps beside itself and not ours.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let parts = "Cargo.toml README.md steps tests book/answers book/book.toml book/src book/theme \
            book/transcripts";
        for file in parts.split_whitespace().flat_map(|part| files(&Path::new(ROOT).join(part))) {
            let to = directory.path().join(file.strip_prefix(ROOT).expect("it is below it"));
            fs::create_dir_all(to.parent().expect("it has one")).expect("a directory");
            fs::copy(&file, to).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        let last = ladder().steps.last().expect("there are steps");
        let number = last.number() + 1;
        let copy = Copy {
            directory,
            name: format!("{number:02}-newcomer"),
            chapter: format!("{number:02}-somebody-new.md"),
        };

        // 1 and 2: the step and its manifest.
        let main = copy.read(&format!("steps/{}/main.rs", last.name));
        let chapter_of = |number: u32| format!("//! Chapter {number}: ");
        let title = format!("{}Somebody new.", chapter_of(number));
        let main: Vec<&str> = main
            .lines()
            .map(|line| if line.starts_with(&chapter_of(last.number())) { &title } else { line })
            .collect();
        let main = main.join("\n").replace("fn main()", "const NEW: () = ();\n\nfn main()") + "\n";
        copy.write(&format!("steps/{}/main.rs", copy.name), &main);
        let manifest = copy.read(&format!("steps/{}/step.toml", last.name));
        let manifest = manifest.replace(&last.chapter, &copy.chapter);
        let manifest = manifest.replace(&last.idea, "an idea of its own");
        copy.write(&copy.manifest(), &manifest);
        // 3: the program.
        let cargo = copy.read("Cargo.toml");
        let bin =
            |name: &str| format!("[[bin]]\nname = \"{name}\"\npath = \"steps/{name}/main.rs\"\n");
        let both = format!("{}\n{}", bin(&last.name), bin(&copy.name));
        copy.write("Cargo.toml", &cargo.replace(&bin(&last.name), &both));
        // 4: the chapter, here the last one told again, and its line in the summary.
        let chapter = copy.read(&format!("book/src/{}", last.chapter));
        let chapter = chapter
            .replace(&format!("step=\"{}\"", last.name), &format!("step=\"{}\"", copy.name))
            .replace(
                &format!("### Exercise {}.", last.number()),
                &format!("### Exercise {number}."),
            );
        let diff = format!(
            "\n\n{{{{#diff from=\"{}\" to=\"{}\" caption=\"What is new\"}}}}\n",
            last.name, copy.name
        );
        copy.write(&format!("book/src/{}", copy.chapter), &(chapter + &diff));
        let summary = copy.read("book/src/SUMMARY.md");
        let line = summary.lines().find(|line| line.contains(&last.chapter)).expect("its line");
        let new = format!("{line}\n- [{number} · Somebody new]({})", copy.chapter);
        copy.write("book/src/SUMMARY.md", &summary.replace(line, &new));
        // The programs, as cargo would build them.
        let built = Path::new(env!("CARGO_BIN_EXE_01-blocking")).parent().expect("it has one");
        let programs = copy.root().join("target/debug");
        fs::create_dir_all(&programs).expect("a directory");
        let steps = ladder().steps.iter().map(|step| (&step.name, &step.name));
        let lab = "lab".to_string();
        for (from, to) in steps.chain([(&last.name, &copy.name), (&lab, &lab)]) {
            fs::hard_link(built.join(from), programs.join(to)).expect("a second name for it");
        }
        // 5: the story.
        let story = format!("const STEP: &str = env!(\"CARGO_BIN_EXE_{}\");\n", copy.name);
        copy.write(&format!("tests/{}.rs", copy.name.replace('-', "_")), &story);
        // 6: what the chapter asks of the reader's own proxy, here the same as the last one.
        let all = copy.read(milestones::FILE);
        let (_, asked) = all.rsplit_once("[[milestone]]").expect("there are milestones");
        let more = format!("\n[[milestone]]{}", asked.replace(&last.chapter, &copy.chapter));
        copy.write(milestones::FILE, &(all.clone() + &more));
        copy
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn manifest(&self) -> String {
        format!("steps/{}/step.toml", self.name)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    /// What is wrong with the book of the copy, a line each.
    fn problems(&self) -> Vec<String> {
        check(&Project::new(self.root())).iter().map(Problem::to_string).collect()
    }

    /// What the laboratory prints when it is asked in the copy.
    fn lab(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.root().join("target/debug/lab"))
            .args(arguments)
            .env_remove("CARGO")
            .assert()
            .success();
        String::from_utf8_lossy(&output.get_output().stdout).into_owned()
    }

    /// A page of the copy, expanded.
    fn page(&self, name: &str) -> String {
        let text = self.read(&format!("book/src/{name}"));
        expand(&Project::new(self.root()), name, &text).markdown
    }
}

#[test]
fn a_new_step_is_shown_by_everything_that_lists_the_steps() {
    let copy = Copy::with_a_new_step();
    let (name, idea) = (copy.name.as_str(), "an idea of its own");
    let ladder = Ladder::read(copy.root()).expect("the manifests are right");
    assert_eq!(ladder.steps.len(), crate::ladder().steps.len() + 1);
    assert_eq!(parts_missing(copy.root(), &ladder), [""; 0]);
    milestones::read(copy.root(), &ladder).expect("the new chapter has a milestone");

    // README, whose table is made anew, and the book.
    assert!(rows(&ladder).contains(&format!("[`{name}`](steps/{name}/main.rs) | {idea} |")));
    assert_eq!(copy.problems(), [""; 0]);
    let introduction = copy.page("introduction.md");
    assert!(introduction.contains(name) && introduction.contains(idea), "{introduction}");
    let calls = copy.page("appendix-syscalls.md");
    let all = format!("all {} steps", in_words(ladder.steps.len()));
    assert!(calls.contains(&all), "the appendix does not say {all:?}");
    let chapter = copy.page(&copy.chapter);
    // In color, so the keyword stands in an element of its own.
    assert!(chapter.contains("const</i> NEW: () = ();"), "the chapter has no diff to {name}");

    // The laboratory: its programs lie in the copy as cargo would put them there.
    let lists = copy.lab(&["list", "--json"]);
    assert!(lists.contains(&format!("\"{name}\": {{")), "{lists}");
    let story = copy.lab(&["show", "plain", name]);
    assert!(story.contains("As expected"), "{story}");
    let tour = copy.lab(&["tour"]);
    assert!(tour.contains(&format!("{name}  {idea}")), "{tour}");
    assert!(tour.contains(&format!("{} proxies", in_words(ladder.steps.len()))), "{tour}");
}

#[test]
fn what_a_newcomer_forgets_is_named() {
    let copy = Copy::with_a_new_step();
    let manifest = copy.read(&copy.manifest());
    let (_, reason) = manifest.split_once("why = \"").expect("a verdict has a reason");
    let (reason, _) = reason.split_once('"').expect("it ends");
    for (text, what) in [
        (without(&manifest, "diff-budget"), "no diff-budget"),
        (without(&manifest, "idea"), "missing field `idea`"),
        (manifest.replace("why = \"", "why = \"\" # "), "expected"),
        (manifest.replace(reason, ""), "has no reason"),
    ] {
        copy.write(&copy.manifest(), &text);
        let error = Ladder::read(copy.root()).expect_err(what);
        assert!(error.starts_with(&copy.manifest()) && error.contains(what), "{what}: {error}");
        // The book says it as well, and so does the laboratory.
        let problems = copy.problems();
        assert!(problems.iter().any(|one| one.contains(what)), "{what}: {problems:?}");
    }
    copy.write(&copy.manifest(), &manifest);

    let ladder = Ladder::read(copy.root()).expect("it is right again");
    let ours = fs::read_to_string(Path::new(ROOT).join(milestones::FILE)).expect("ours");
    copy.write(milestones::FILE, &ours);
    let error = milestones::read(copy.root(), &ladder).expect_err("no milestone");
    assert!(error.contains(&copy.chapter), "{error}");
    let story = format!("tests/{}.rs", copy.name.replace('-', "_"));
    fs::remove_file(copy.root().join(&story)).expect("the story is there");
    let missing = parts_missing(copy.root(), &ladder);
    assert_eq!(missing, [format!("{story} does not start {}", copy.name)]);
    fs::copy(Path::new(ROOT).join("Cargo.toml"), copy.root().join("Cargo.toml")).expect("ours");
    let missing = parts_missing(copy.root(), &ladder);
    assert_eq!(missing[0], format!("Cargo.toml has no [[bin]] for steps/{}/main.rs", copy.name));
    let summary = copy.read("book/src/SUMMARY.md");
    copy.write("book/src/SUMMARY.md", &without(&summary, &copy.chapter));
    let problems = copy.problems();
    assert!(problems.iter().any(|one| one.contains(&copy.chapter)), "{problems:?}");
}

/// A text without the lines that have this word.
fn without(text: &str, word: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.contains(word)).collect()
}
