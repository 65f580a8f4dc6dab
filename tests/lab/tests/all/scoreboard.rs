//! `cargo lab scoreboard` on scripts of our own: what it prints, writes down, compares, and exits with.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use assert_cmd::assert::Assert;
use lab::arrived::verdict::{Answer, Kind};
use lab::experiments;
use lab::scoreboard::record::{FILE, Record, machine};
use lab::scoreboard::{Candidate, SCRIPTS};

use crate::scripts::{LAB, Scripts};

const QUICK: [&str; 2] = ["--only", "lost-tail"];

fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&QUICK[..], more].concat()
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
}

#[test]
fn one_table_has_every_program_and_says_what_is_missing() {
    let scripts = Scripts::new().relay("good", "none").relay("bad", "swallow-chunk").missing("no");
    let text = stdout(&scripts.run(&quick(&[])).code(0));
    for line in [
        "bad                       1 fault",
        "good                      1 sound",
        "bad   1.0   X",
        "good  1.0   ·",
        "bad 1.0: 1 fault",
        "  lost-tail         hole        a hole of ",
        "Not installed: no. On Debian: apt-get install no-tools",
    ] {
        assert!(text.lines().any(|one| one.starts_with(line)), "{line} is not in\n{text}");
    }
}

#[test]
fn what_cannot_be_graded_is_told_apart_from_a_fault() {
    let scripts = Scripts::new().relay("good", "none").missing("no").broken("ends").add(
        "broken",
        "echo what is this >&2; exit 1",
        "exit 1",
    );
    let text = stdout(&scripts.run(&quick(&["good", "no"])).code(3));
    assert!(text.contains("Not installed: no."), "{text}");
    let text = stdout(&scripts.run(&quick(&["good", "ends"])).code(3));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Could not be graded: ends: it ended before"), "{text}");
    assert!(words.contains("no such luck"), "{text}");
    let text = stdout(&scripts.run(&quick(&["broken"])).code(3));
    assert!(text.contains("broken --version failed"), "{text}");
    for (arguments, complaint) in [
        (&["god"][..], "there is no program \"god\"; did you mean good?"),
        (&["--only", "lost-tale"], "there is no experiment \"lost-tale\""),
        (&["--compare", "/no/such/record"], "reading /no/such/record"),
        (&["--record", "x", "--only", "reset"], "cannot be used with"),
    ] {
        let complained = stderr(&scripts.run(arguments).code(2));
        assert!(complained.contains(complaint), "{complaint} is not in\n{complained}");
    }
}

#[test]
fn a_record_is_compared_by_its_answers_and_verdicts() {
    let scripts = Scripts::new().relay("good", "none").relay("bad", "swallow-chunk");
    let results = stdout(&scripts.run(&quick(&["--json"])).code(0));
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    let text = |version: &serde_json::Value, programs: &serde_json::Value| {
        format!("{{\"version\": {version}, \"programs\": {programs}}}")
    };
    let text = text(&results["version"], &results["programs"]);
    let record = Record::parse(&text).unwrap();
    let [bad, good] = &record.programs[..] else { panic!("{text}") };
    assert_eq!((&*bad.what, &*bad.program, &*bad.version), ("It is bad", "relay", "1.0"));
    assert_eq!((&*bad.machine, bad.date.len()), (&*machine(), "2013-09-28".len()));
    let score = bad.score("lost-tail").unwrap();
    assert_eq!((score.answer, score.kind), (Answer::Fault, Kind::Hole));
    assert_eq!(good.score("lost-tail").unwrap().kind, Kind::Exact);

    let file = scripts.path("record.json");
    let compare = |text: &str, programs: &[&str]| {
        fs::write(&file, text).unwrap();
        scripts.run(&[&quick(&["--compare", file.to_str().unwrap()]), programs].concat())
    };
    let same = text.replace("a hole of ", "one hole of ").replace("\"1.0\"", "\"0.9\"");
    let text_of_same = stdout(&compare(&same, &[]).code(0));
    assert!(text_of_same.contains("All verdicts are those of the record."), "{text_of_same}");
    assert!(text_of_same.contains("bad is 1.0 here and 0.9 in the record."), "{text_of_same}");
    let other = text.replace("\"hole\"", "\"truncated\"");
    let said = stdout(&compare(&other, &[]).code(1));
    let difference = "! bad in lost-tail: hole, and the record says truncated. a hole of ";
    assert!(said.contains(difference), "{said}");
    // The program of which the record says something else is not run.
    compare(&other, &["good"]).code(0);
    let unknown = text.replace("\"name\":\"good\"", "\"name\":\"goods\"");
    let said = stdout(&compare(&unknown, &[]).code(1));
    assert!(said.contains("! good in lost-tail: exact, and the record says nothing."), "{said}");
}

#[test]
fn the_record_has_every_program_and_every_experiment() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let record = Record::read(&root.join(FILE)).unwrap();
    for candidate in Candidate::all(&root.join(SCRIPTS)).unwrap() {
        let name = &candidate.name;
        let anew = format!("cargo lab scoreboard {name} --record {FILE}");
        let entry = record.entry(name).unwrap_or_else(|| panic!("not recorded: {anew}"));
        assert_eq!(entry.what, candidate.what, "{anew}");
        let said: Vec<&str> = entry.scores.iter().map(|score| &*score.experiment).collect();
        let asked: Vec<&str> = experiments::ALL.iter().map(|experiment| experiment.name).collect();
        assert_eq!(said, asked, "{anew}");
    }
}

/// For each experiment, the scripts of evidence, and the programs that they show it of.
type Shown = HashMap<String, HashMap<String, Vec<String>>>;

#[test]
fn every_fault_in_the_record_is_shown_by_a_script_of_evidence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let evidence = root.join("tests/lab/evidence");
    let text = fs::read_to_string(evidence.join("shown.toml")).unwrap();
    let shown: Shown = toml::from_str(&text).unwrap();
    for script in shown.values().flat_map(HashMap::keys) {
        assert!(evidence.join(script).is_file(), "{script}");
    }
    let record = Record::read(&root.join(FILE)).unwrap();
    for entry in &record.programs {
        for score in entry.scores.iter().filter(|score| score.answer == Answer::Fault) {
            let scripts = shown.get(&score.experiment).into_iter().flatten();
            let is_shown = scripts.into_iter().any(|(_, names)| names.contains(&entry.name));
            assert!(
                is_shown,
                "no evidence: {} in {}: {}",
                entry.name, score.experiment, score.kind
            );
        }
    }
}

#[test]
fn each_start_has_a_directory_of_its_own_which_is_gone_afterwards() {
    let scripts = Scripts::new();
    let list = scripts.path("list");
    let proxy = format!(
        "touch \"$LAB_SCRATCH/file\" && echo \"$LAB_SCRATCH\" >>{}\nexec {LAB} relay none \"$1\" \"$2\"",
        list.display()
    );
    let scripts = scripts.add("it", "echo it 1.0", &proxy);
    scripts.run(&quick(&["--only", "two-acts"])).code(0);
    let text = fs::read_to_string(list).unwrap();
    let mut directories: Vec<&str> = text.lines().collect();
    assert_eq!(directories.len(), 2);
    assert!(directories.iter().all(|directory| !Path::new(directory).exists()), "{text}");
    directories.dedup();
    assert_eq!(directories.len(), 2, "{text}");
}
