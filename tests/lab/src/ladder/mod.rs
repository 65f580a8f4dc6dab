//! The ladder: the steps of the workbook, and what each manifest says of its step.
//!
//! A step is a directory `steps/NN-name` with a `main.rs` and a `step.toml`. Nothing else lists the
//! steps: the tour, the matrix, the tests, README and the book all read this.
//!
//! ```toml
//! idea = "non-blocking sockets: nobody waits for a slow client"
//! goes-wrong = "bytes vanish"
//! chapter = "03-the-dropped-write.md"
//! diff-budget = 40
//!
//! [verdicts]
//! pile-up = { is = ["swallowed"], why = "it reads on, and forgets what write did not take" }
//! ```

pub mod cargo;
pub mod change;
pub mod matrix;
pub mod milestones;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::arrived::verdict::Kind;
use crate::experiments::{self, Outcome};
use crate::ladder::change::Change;

/// All steps, in order.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    /// The steps, the first one first.
    pub steps: Vec<Step>,
}

/// One step, as its manifest describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The name of its directory and of its program, such as `03-dropped-write`.
    #[serde(skip)]
    pub name: String,
    /// What it is about, in a line.
    pub idea: String,
    /// What goes wrong with it, in a line.
    pub goes_wrong: String,
    /// The page of `book/src` that tells of it.
    pub chapter: String,
    /// How far it may be from the step before; the first step has none before it.
    #[serde(rename = "diff-budget")]
    pub budget: Option<Budget>,
    /// What is expected of it in each experiment that does not come out exact.
    #[serde(default)]
    verdicts: BTreeMap<String, Expectation>,
}

/// How much of a step may differ from the step before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Budget {
    /// At most so many lines of code, added or taken away.
    Lines(usize),
    /// Everything: the book shows a listing, no diff.
    Anything(Rewrite),
}

/// The word in a manifest for a step that is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rewrite {
    /// `diff-budget = "rewrite"`
    Rewrite,
}

/// What is expected of one step in one experiment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The verdicts that are right. Several, where the order of events decides.
    #[serde(rename = "is")]
    pub kinds: Vec<Kind>,
    /// Why it comes to that.
    pub why: String,
}

impl Expectation {
    /// Whether this verdict is as it should be.
    pub fn allows(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether nothing goes wrong.
    pub fn is_exact(&self) -> bool {
        self.kinds[..] == [Kind::Exact]
    }

    /// The expected verdicts in words: `truncated or hole`.
    pub fn words(&self) -> String {
        let words: Vec<_> = self.kinds.iter().map(|kind| kind.word()).collect();
        words.join(" or ")
    }
}

impl Ladder {
    /// Reads the steps of the workbook in this directory. A directory without `steps/` has none.
    /// Fails with everything that is wrong with the manifests, a line each:
    /// `steps/NN-name/step.toml: what`.
    pub fn read(root: &Path) -> Result<Ladder, String> {
        let mut names: Vec<String> = std::fs::read_dir(root.join("steps"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| number(name).is_some())
            .collect();
        names.sort();
        let mut ladder = Ladder::default();
        let mut problems = vec![];
        for (place, name) in names.iter().enumerate() {
            match Step::read(root, name, place == 0) {
                Ok(step) => ladder.steps.push(step),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(ladder) } else { Err(problems.join("\n")) }
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The names of all steps, for a sentence: `01-blocking, 02-naive-epoll`.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
        names.join(", ")
    }

    /// What is expected of `step` in `experiment`; `None` where either does not exist.
    pub fn expected(&self, experiment: &str, step: &str) -> Option<Expectation> {
        experiments::named(experiment)?;
        self.step(step).map(|step| step.expected(experiment))
    }

    /// What the ladder expected of this outcome. Nothing is expected of other programs, not even if
    /// they have the name of a step.
    pub fn expected_of(&self, outcome: &Outcome) -> Option<Expectation> {
        self.expected(outcome.experiment, &outcome.proxy).filter(|_| outcome.is_step)
    }

    /// Whether the outcome is what the ladder says. Programs that are no steps are never wrong.
    pub fn is_expected(&self, outcome: &Outcome) -> bool {
        self.expected_of(outcome).is_none_or(|expected| expected.allows(outcome.verdict.kind))
    }
}

impl Step {
    fn read(root: &Path, name: &str, is_first: bool) -> Result<Step, String> {
        let file = format!("steps/{name}/step.toml");
        let read = || -> Result<Step, String> {
            let text = std::fs::read_to_string(root.join(&file)).map_err(|it| it.to_string())?;
            let step: Step = toml::from_str(&text).map_err(|it| it.to_string())?;
            step.complaint(is_first).map_or(Ok(()), Err)?;
            Ok(Step { name: name.into(), ..step })
        };
        read().map_err(|what| format!("{file}: {}", what.trim_end()))
    }

    /// The first thing that is wrong with it, although it is written as a manifest should be.
    fn complaint(&self, is_first: bool) -> Option<String> {
        if self.budget.is_none() && !is_first {
            return Some(
                "no diff-budget: how many lines of code may differ from the step before? \
                 (or \"rewrite\")"
                    .into(),
            );
        }
        for (experiment, Expectation { kinds, why }) in &self.verdicts {
            if experiments::named(experiment).is_none() {
                return Some(format!("there is no experiment {experiment:?}"));
            }
            if kinds.is_empty() || kinds[..] == [Kind::Exact] {
                return Some(format!(
                    "{experiment} must say what it comes to; if that is exact, leave it out"
                ));
            }
            if why.trim().is_empty() {
                return Some(format!("{experiment} has no reason: fill in its `why`"));
            }
        }
        let texts =
            [("idea", &self.idea), ("goes-wrong", &self.goes_wrong), ("chapter", &self.chapter)];
        let empty = texts.iter().find(|(_, text)| text.trim().is_empty());
        empty.map(|(key, _)| format!("{key} is empty"))
    }

    /// The number that its name begins with.
    pub fn number(&self) -> u32 {
        number(&self.name).expect("only directories with a number are steps")
    }

    /// Whether somebody has changed its sources.
    pub fn change(&self) -> Change {
        change::of(&root(), &self.name)
    }

    /// What is expected of this step in an experiment: what its manifest says, or else *exact*.
    pub fn expected(&self, experiment: &str) -> Expectation {
        let exact =
            || Expectation { kinds: vec![Kind::Exact], why: "every byte arrives, in order".into() };
        self.verdicts.get(experiment).cloned().unwrap_or_else(exact)
    }
}

/// The number of a step: the two digits that its directory's name begins with.
fn number(name: &str) -> Option<u32> {
    let (digits, rest) = name.split_at_checked(2)?;
    (rest.starts_with('-') && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// The root of the workbook: the nearest directory above this program with `Cargo.toml` and `steps/`
/// in it, or else the one in which the program was compiled.
pub fn root() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let is_root = |directory: &&Path| {
        ["Cargo.toml", "steps"].map(|it| directory.join(it).exists()) == [true; 2]
    };
    let above = own.ancestors().find(is_root);
    let compiled = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    above.map_or_else(compiled, Path::to_path_buf)
}

/// The ladder of this workbook, or what [`Ladder::read`] found wrong. It is read only once.
pub fn try_ladder() -> Result<&'static Ladder, &'static str> {
    static LADDER: LazyLock<Result<Ladder, String>> = LazyLock::new(|| Ladder::read(&root()));
    LADDER.as_ref().map_err(String::as_str)
}

/// The ladder of this workbook. Panics when a manifest is wrong, so a program that talks to people
/// asks [`try_ladder`] first.
pub fn ladder() -> &'static Ladder {
    try_ladder().unwrap_or_else(|problems| panic!("{problems}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "idea = \"i\"\ngoes-wrong = \"w\"\nchapter = \"c.md\"\n";

    /// What reading says of a ladder whose steps 01 and 02 have these manifests.
    fn read(first: &str, second: &str) -> Result<Ladder, String> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [("01-one", first), ("02-two", second), ("mine", "no manifest")] {
            let directory = root.path().join("steps").join(name);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("step.toml"), text).unwrap();
        }
        Ladder::read(root.path())
    }

    fn second(lines: &str) -> Result<Ladder, String> {
        read(GOOD, &format!("{GOOD}diff-budget = 7\n{lines}"))
    }

    #[test]
    fn what_a_manifest_does_not_list_is_exact() {
        let ladder =
            second("[verdicts]\nreset = { is = [\"died\", \"hole\"], why = \"w\" }").unwrap();
        assert_eq!(ladder.names(), "01-one, 02-two");
        assert_eq!(ladder.steps[1].budget, Some(Budget::Lines(7)));
        assert_eq!(ladder.expected("reset", "02-two").unwrap().words(), "died or hole");
        assert!(ladder.expected("reset", "01-one").unwrap().allows(Kind::Exact));
        assert_eq!(ladder.expected("reset", "03-three"), None);
        assert_eq!(ladder.expected("no-such", "01-one"), None);
    }

    #[test]
    fn what_is_forgotten_is_named() {
        for (lines, what) in [
            ("[verdicts]\nreset = { is = [\"died\"] }", "missing field `why`"),
            ("[verdicts]\nreset = { is = [\"died\"], why = \" \" }", "reset has no reason"),
            ("[verdicts]\nreset = { is = [\"lost\"], why = \"w\" }", "unknown variant `lost`"),
            ("[verdicts]\nreset = { is = [\"exact\"], why = \"w\" }", "leave it out"),
            ("[verdicts]\nrest = { is = [\"died\"], why = \"w\" }", "no experiment \"rest\""),
            ("faults = 3", "unknown field `faults`"),
        ] {
            let error = second(lines).unwrap_err();
            assert!(error.starts_with("steps/02-two/step.toml: "), "{error}");
            assert!(error.contains(what), "{what} is not in {error}");
        }
        assert!(read(GOOD, GOOD).unwrap_err().contains("step.toml: no diff-budget"));
        let rewrite = format!("{GOOD}diff-budget = \"rewrite\"");
        assert!(read(GOOD, &rewrite).is_ok());
        assert!(read(GOOD, &rewrite.replace("rewrite", "any")).is_err());
        assert!(read("", &rewrite).unwrap_err().contains("01-one/step.toml: "));
    }
}
