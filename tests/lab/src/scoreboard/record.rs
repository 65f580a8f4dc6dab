//! The record of the scoreboard: `tests/lab/scoreboard.json`, which `cargo lab scoreboard --record`
//! writes and `--compare` reads. `--json` prints the same shape. The book's appendix describes it.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Candidate;
use crate::arrived::verdict::{Answer, Figure, Kind, Unjudged};
use crate::experiments::Outcome;

/// The version of the shape.
pub const VERSION: u32 = 1;

/// The record, seen from the root of the workbook.
pub const FILE: &str = "tests/lab/scoreboard.json";

/// What programs came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The programs, by name.
    pub programs: Vec<Entry>,
}

/// What one program came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name of its script.
    pub name: String,
    /// What it is, in a sentence.
    pub what: String,
    /// What it calls itself.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The day on which it was graded, such as 2013-09-28.
    pub date: String,
    /// The machine: kernel, distribution, processors.
    pub machine: String,
    /// What each experiment said of it, in the order in which experiments are told.
    pub scores: Vec<Score>,
}

/// What one experiment said of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The experiment.
    pub experiment: String,
    /// Which of the four answers it is.
    pub answer: Answer,
    /// The verdict in a word.
    pub kind: Kind,
    /// The verdict in a sentence.
    pub sentence: String,
    /// What else its users should know, a sentence each.
    pub notes: Vec<String>,
    /// What could not be judged, with the reason, a sentence each.
    pub unjudged: Vec<String>,
    /// What was measured. Few experiments measure anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
}

impl Score {
    /// What the record keeps of an outcome.
    pub fn of(outcome: &Outcome) -> Score {
        let verdict = &outcome.verdict;
        let unjudged = |Unjudged { matter, why }: &Unjudged| format!("{matter}: {why}");
        Score {
            experiment: outcome.experiment.into(),
            answer: outcome.answer,
            kind: verdict.kind,
            sentence: verdict.sentence.clone(),
            notes: verdict.notes.clone(),
            unjudged: verdict.unjudged.iter().map(unjudged).collect(),
            figures: verdict.figures.clone(),
        }
    }
}

impl Entry {
    /// What the record keeps of a program that was graded today on this machine.
    ///
    /// # Errors
    /// When the system does not say what day it is.
    pub fn of(
        candidate: &Candidate,
        program: &str,
        version: &str,
        outcomes: &[Outcome],
    ) -> Result<Entry> {
        Ok(Entry {
            name: candidate.name.clone(),
            what: candidate.what.clone(),
            program: program.into(),
            version: version.into(),
            date: today()?,
            machine: machine(),
            scores: outcomes.iter().map(Score::of).collect(),
        })
    }

    /// What this experiment said of it.
    pub fn score(&self, experiment: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.experiment == experiment)
    }

    /// What the experiments with this answer said of it.
    pub fn with(&self, answer: Answer) -> impl Iterator<Item = &Score> {
        self.scores.iter().filter(move |score| score.answer == answer)
    }

    /// Whether it never listened, so that nothing could be said of it.
    pub fn is_absent(&self) -> bool {
        self.scores.iter().all(|score| score.kind == Kind::Absent)
    }
}

impl Record {
    /// A record of these programs.
    pub fn new(programs: Vec<Entry>) -> Record {
        Record { version: VERSION, programs }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the file cannot be read, is no record, or has a shape that we do not know.
    pub fn read(file: &Path) -> Result<Record> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {shown}"))?;
        Record::parse(&text).with_context(|| format!("{shown} is no record of the scoreboard"))
    }

    /// The same from its text.
    ///
    /// # Errors
    /// When it is no record, or one of another version.
    pub fn parse(text: &str) -> Result<Record> {
        let record: Record = serde_json::from_str(text)?;
        let version = record.version;
        ensure!(version == VERSION, "it has version {version}, and this program knows {VERSION}");
        Ok(record)
    }

    /// As the file has it.
    ///
    /// # Errors
    /// None that we know of.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.programs.iter().find(|entry| entry.name == name)
    }

    /// Puts a new entry in the place of the one of the same name, and leaves out programs that are not
    /// among `known` anymore.
    pub fn update(&mut self, fresh: Entry, known: &[Candidate]) {
        let is_known = |entry: &Entry| known.iter().any(|one| one.name == entry.name);
        self.programs.retain(|entry| is_known(entry) && entry.name != fresh.name);
        self.programs.push(fresh);
        self.programs.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// Where these programs differ from the record. Versions and numbers do not count.
    pub fn compare(&self, fresh: &[Entry]) -> Vec<Difference> {
        let mut differences = vec![];
        for entry in fresh {
            let recorded = self.entry(&entry.name);
            for now in &entry.scores {
                let was = recorded.and_then(|recorded| recorded.score(&now.experiment)).cloned();
                let is_same = |was: &Score| (was.answer, was.kind) == (now.answer, now.kind);
                if !was.as_ref().is_some_and(is_same) {
                    let (program, now) = (entry.name.clone(), now.clone());
                    differences.push(Difference { program, was, now });
                }
            }
        }
        differences
    }
}

/// An experiment that says something else of a program than the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The program's name.
    pub program: String,
    /// What the record says. `None`: nothing.
    pub was: Option<Score>,
    /// What the experiment says now.
    pub now: Score,
}

impl Difference {
    /// Whether it is only that nothing, or not everything, could be judged now.
    pub fn is_not_judged(&self) -> bool {
        let not_now = self.now.answer == Answer::NotJudged || self.now.kind == Kind::Absent;
        not_now && self.was.as_ref().is_some_and(|was| was.answer != Answer::NotJudged)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let words = |score: &Score| match score.kind.answer() == score.answer {
            true => score.kind.to_string(),
            false => format!("{} ({})", score.kind, score.answer),
        };
        let was = self.was.as_ref().map_or("nothing".into(), words);
        let Score { experiment, sentence, .. } = &self.now;
        let now = words(&self.now);
        write!(f, "{} in {experiment}: {now}, and the record says {was}. {sentence}", self.program)
    }
}

/// Today's date in UTC.
fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output().context("running date")?;
    let date = String::from_utf8_lossy(&output.stdout).trim().to_string();
    ensure!(date.len() == 10, "date says {date:?}");
    Ok(date)
}

/// This machine in words: Linux 6.1, Debian 12, 2 cores.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let mut words = vec![format!("Linux {}", major_and_minor(&release))];
    words.extend(distribution(&read("/etc/os-release")));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    words.push(format!("{cores} {}", if cores == 1 { "core" } else { "cores" }));
    words.join(", ")
}

/// The first two numbers of a kernel's release: `6.1` of `6.1.0-31-amd64`.
fn major_and_minor(release: &str) -> String {
    release.trim().splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

/// The distribution's name and version, as os-release(5) has them.
fn distribution(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        let mut lines = os_release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_string())
    };
    let name = value("NAME")?;
    let name = name.split(' ').next()?;
    Some(value("VERSION_ID").map_or(name.into(), |version| format!("{name} {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(experiment: &str, answer: Answer, kind: Kind) -> Score {
        let (notes, unjudged, figures) = Default::default();
        let sentence = "7 bytes".into();
        Score { experiment: experiment.into(), answer, kind, sentence, notes, unjudged, figures }
    }

    fn entry(name: &str, scores: Vec<Score>) -> Entry {
        let [what, program, version, date, machine] =
            ["it", "it", "1.0", "2013-09-28", "Linux"].map(String::from);
        Entry { name: name.into(), what, program, version, date, machine, scores }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let plain = score("plain", Answer::Sound, Kind::Exact);
        let record = Record::new(vec![entry("a", vec![plain])]);
        assert_eq!(Record::parse(&record.text().unwrap()).unwrap(), record);
        let newer = record.text().unwrap().replace("\"version\": 1,", "\"version\": 2,");
        let error = Record::parse(&newer).unwrap_err().to_string();
        assert_eq!(error, "it has version 2, and this program knows 1");
    }

    #[test]
    fn answers_and_kinds_are_compared_and_numbers_are_not() {
        let sound = score("plain", Answer::Sound, Kind::Exact);
        let hole = score("two-acts", Answer::Fault, Kind::Hole);
        let record = Record::new(vec![entry("a", vec![sound.clone(), hole.clone()])]);
        let compared = |scores: Vec<Score>| record.compare(&[entry("a", scores)]);
        let other_number = Score { sentence: "8 bytes".into(), ..hole.clone() };
        assert_eq!(compared(vec![sound.clone(), other_number]), []);
        // What was not run is not compared.
        assert_eq!(compared(vec![sound]), []);
        for (now, not_judged, words) in [
            (
                Score { kind: Kind::Truncated, ..hole.clone() },
                false,
                "truncated, and the record says hole",
            ),
            (
                score("two-acts", Answer::Sound, Kind::Exact),
                false,
                "exact, and the record says hole",
            ),
            (
                score("two-acts", Answer::NotJudged, Kind::NotJudged),
                true,
                "not judged, and the record says hole",
            ),
            (
                score("two-acts", Answer::Fault, Kind::Absent),
                true,
                "absent, and the record says hole",
            ),
            (
                score("plain", Answer::Note, Kind::Exact),
                false,
                "exact (note), and the record says exact",
            ),
            (
                score("reset", Answer::NotJudged, Kind::NotJudged),
                false,
                "not judged, and the record says nothing",
            ),
        ] {
            let differences = compared(vec![now]);
            assert_eq!(differences.len(), 1, "{words}");
            assert_eq!(differences[0].is_not_judged(), not_judged, "{words}");
            let said = differences[0].to_string();
            assert!(said.starts_with("a in ") && said.contains(words), "{said} has not {words}");
        }
        let new = vec![score("plain", Answer::Sound, Kind::Exact)];
        assert_eq!(record.compare(&[entry("b", new)]).len(), 1);
    }

    #[test]
    fn recording_replaces_what_is_new_and_keeps_the_rest() {
        let known = ["a", "b", "c"].map(|name| Candidate {
            name: name.into(),
            what: "it".into(),
            script: name.into(),
        });
        let mut record = Record::new(["a", "b", "gone"].map(|name| entry(name, vec![])).into());
        let fresh = Entry { version: "2.0".into(), ..entry("b", vec![]) };
        record.update(fresh, &known);
        record.update(entry("c", vec![]), &known);
        let all: Vec<_> =
            record.programs.iter().map(|one| (one.name.as_str(), one.version.as_str())).collect();
        assert_eq!(all, [("a", "1.0"), ("b", "2.0"), ("c", "1.0")]);
    }

    #[test]
    fn a_machine_is_named_by_what_the_system_says() {
        assert_eq!(major_and_minor("6.1.0-31-amd64\n"), "6.1");
        let os_release = "PRETTY_NAME=\"x\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n";
        assert_eq!(distribution(os_release).unwrap(), "Debian 12");
        assert_eq!(distribution("NAME=Arch\n").unwrap(), "Arch");
        assert!(machine().starts_with("Linux "), "{}", machine());
    }
}
