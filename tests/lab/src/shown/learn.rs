//! `cargo lab learn`: tries the reader's own proxy, says what is missing, and looks again when the
//! source is saved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use anstream::println;
use anyhow::Result;

use crate::arrived::verdict::{Answer, Kind};
use crate::experiments::Outcome;
use crate::ladder::matrix;
use crate::ladder::milestones::{Milestone, Question};
use crate::ladder::{Step, ladder};
use crate::numbers::in_words;
use crate::shown::grades::{self, Grades};
use crate::shown::lines::Columns;
use crate::shown::report::{self, bold, faint, paint, style};
use crate::subject::proxy::Spec;

/// A reader's proxy, and what is asked of it.
pub struct Lesson<'a> {
    /// What the chapters ask, the first one first. Only these are asked.
    pub milestones: &'a [Milestone],
    /// Whether the plainer hints are told, too.
    pub all_hints: bool,
    /// How the proxy is called in a command of the lab: `mine`, or `-- COMMAND`.
    pub subject: String,
    /// What is watched: the source, or a directory of sources.
    pub watched: Vec<PathBuf>,
}

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progressed {
    /// Every milestone was reached.
    Done,
    /// One was not.
    Fault,
    /// It could not be found out.
    NotJudged,
}

impl Progressed {
    /// The exit status that says so.
    pub fn exit_status(self) -> u8 {
        match self {
            Progressed::Done => 0,
            Progressed::Fault => 1,
            Progressed::NotJudged => 3,
        }
    }
}

impl Lesson<'_> {
    /// Looks at one milestone after the other, from this place on, up to the first that is not reached: its
    /// place is what `open` becomes.
    pub fn look(&self, spec: &Spec, open: &mut usize) -> Progressed {
        let from = std::mem::take(open);
        let progressed = self.look_from(from, spec, open);
        if progressed == Progressed::Done && from > 0 {
            println!(
                "{}\n",
                bold("And once more from the beginning, because one change can undo another.")
            );
            return self.look_from(0, spec, open);
        }
        progressed
    }

    fn look_from(&self, from: usize, spec: &Spec, open: &mut usize) -> Progressed {
        let columns = Columns::of_stdout();
        for (place, milestone) in self.milestones.iter().enumerate().skip(from) {
            let step = milestone.step(ladder());
            println!("{}", columns.fill(&head(milestone, step)));
            let asks: Vec<_> = milestone.asks.iter().map(Question::experiment).collect();
            let told = Some(Grades { details: false, columns });
            let outcomes = grades::run(&asks, spec, matrix::JOBS, told, |outcome| {
                let asked = milestone.asks.iter().find(|ask| ask.experiment == outcome.experiment);
                asked.is_some_and(|question| !question.is_met_by(outcome.verdict.kind))
            });
            let answers = || milestone.asks.iter().zip(&outcomes);
            let is_met = |answer: &(&Question, &Outcome)| answer.0.is_met_by(answer.1.verdict.kind);
            if let Some((question, outcome)) = answers().find(|answer| !is_met(answer)) {
                *open = place;
                return self.tell_fault(question, outcome, columns);
            }
            for (Question { experiment, .. }, _) in
                answers().filter(|answer| !answer.1.verdict.kind.is_good())
            {
                println!(
                    "{}",
                    faint(format!(
                        "{experiment}: that will do for now; a later chapter asks for more."
                    ))
                );
            }
            println!("{}\n", paint(reached(step), style(Kind::Exact)));
        }
        self.print_end(columns);
        Progressed::Done
    }

    /// The first answer that will not do: how it came about, and a hint.
    fn tell_fault(&self, question: &Question, outcome: &Outcome, columns: Columns) -> Progressed {
        if outcome.verdict.kind == Kind::Absent {
            let why = format!("Your program does not run: {}.", outcome.verdict.sentence);
            println!("{}", columns.fill(&why));
            return Progressed::Fault;
        }
        println!("\n{}", report::story(outcome, None, false, columns));
        print_hints(self, question, outcome.verdict.kind, columns);
        match outcome.answer {
            Answer::NotJudged => Progressed::NotJudged,
            _ => Progressed::Fault,
        }
    }

    fn print_end(&self, columns: Columns) {
        let count = in_words(self.milestones.len());
        let what = match self.milestones {
            [_] => "Your proxy does what this chapter asks.".to_string(),
            _ => format!("Your proxy does what all {count} chapters ask."),
        };
        println!("{}", bold(columns.fill(&what)));
        println!("Every other question of the lab:   cargo lab check {}", self.subject);
    }

    /// Waits until something that is watched has been saved.
    pub fn wait_for_a_save(&self, seen: &mut Saved) {
        // How often it looks. This sets the pace of the looks and waits for nothing in particular.
        const LOOK: Duration = Duration::from_millis(200);
        let before = seen.clone();
        loop {
            thread::sleep(LOOK);
            let now = Saved::of(&self.watched);
            // An editor may write a file in several strokes: it is saved when it has come to rest.
            if now != before && now == *seen {
                return;
            }
            *seen = now;
        }
    }
}

/// When each file was last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved(BTreeMap<PathBuf, SystemTime>);

impl Saved {
    /// Looks at these files, and at all files below these directories.
    pub fn of(places: &[PathBuf]) -> Saved {
        let mut times = BTreeMap::new();
        places.iter().for_each(|place| collect(place, &mut times));
        Saved(times)
    }
}

fn collect(place: &Path, times: &mut BTreeMap<PathBuf, SystemTime>) {
    // A file that has just been replaced may be gone for a moment. The next look finds it.
    let Ok(metadata) = place.metadata() else { return };
    if metadata.is_dir() {
        let entries = place.read_dir().into_iter().flatten().flatten();
        entries.for_each(|entry| collect(&entry.path(), times));
    } else if let Ok(time) = metadata.modified() {
        times.insert(place.into(), time);
    }
}

/// `Chapter 1. Serve one client after another.`
fn head(milestone: &Milestone, step: &Step) -> String {
    format!("{} {}", bold(format!("Chapter {}.", step.number())), milestone.goal)
}

fn reached(step: &Step) -> String {
    format!("That is all that chapter {} asks.", step.number())
}

fn print_hints(lesson: &Lesson, question: &Question, kind: Kind, columns: Columns) {
    let [first, second] = question.hints(kind);
    println!("{}", columns.hang(&bold("Hint:"), 6, first));
    if lesson.all_hints {
        println!("{}", columns.hang(&bold("More:"), 6, second));
    } else {
        println!("{}", columns.hang("", 6, &faint("(--hint tells more)")));
    }
    let name = &question.experiment;
    println!("\n{}", faint(format!("What the experiment does:   cargo lab explain {name}")));
}

/// Says what is waited for.
pub fn say_what_is_awaited(watched: &[PathBuf], root: &Path) {
    let names = watched.iter().map(|place| place.strip_prefix(root).unwrap_or(place));
    let names: Vec<String> = names.map(|name| name.display().to_string()).collect();
    let what = format!("It looks again when you save {}. Ctrl-C quits.", names.join(" or "));
    println!("\n{}", faint(Columns::of_stdout().fill(&what)));
}

/// The files of a command that can be watched: those of its words that name one.
pub fn files_of(command: &[String]) -> Result<Vec<PathBuf>> {
    let here = std::env::current_dir()?;
    let files = command.iter().map(|word| here.join(word)).filter(|path| path.is_file());
    Ok(files.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_seen_once_the_file_has_come_to_rest() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("deep/main.rs");
        std::fs::create_dir(directory.path().join("deep")).unwrap();
        std::fs::write(&source, "one").unwrap();
        let places = [directory.path().to_path_buf()];
        let before = Saved::of(&places);
        assert_eq!(before, Saved::of(&places));
        let later = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
        assert_ne!(before, Saved::of(&places));
        std::fs::remove_file(&source).unwrap();
        assert_ne!(before, Saved::of(&places));
    }
}
