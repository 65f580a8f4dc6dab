//! The scoreboard on the command line: what the experiments say of real programs, in one table.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anstream::{print, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use serde::Serialize;

use crate::arrived::verdict::{Answer, Kind};
use crate::experiments::Experiment;
use crate::ladder::{self, matrix};
use crate::scoreboard::record::{Difference, Entry, Record, Score, VERSION};
use crate::scoreboard::{Candidate, Presence, SCRIPTS};
use crate::shown::lines::Columns;
use crate::shown::names;
use crate::shown::progress::Progress;
use crate::shown::report::{bold, faint, paint, word};
use crate::subject::proxy::Spec;

/// What is asked of the scoreboard: the arguments of `cargo lab scoreboard`.
#[derive(clap::Args)]
pub struct Options {
    /// Only these programs, by the names of their scripts [default: all that are installed]
    names: Vec<String>,
    /// Only these experiments, with commas between them; may be given several times
    #[arg(long, value_name = "EXPERIMENT", value_delimiter = ',')]
    pub only: Vec<String>,
    /// How many experiments to run at a time; they are all of one program
    #[arg(long, default_value_t = matrix::JOBS)]
    jobs: usize,
    /// Print everything as JSON, in the shape of the record
    #[arg(long)]
    json: bool,
    /// Compare what comes out with this record, such as tests/lab/scoreboard.json: answers and verdicts,
    /// not numbers
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Write what comes out into this record; programs that did not run stay in it as they are
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "compare"])]
    record: Option<PathBuf>,
    /// The directory with a script for each program [default: tests/lab/proxies]
    #[arg(long, value_name = "DIRECTORY")]
    from: Option<PathBuf>,
}

/// What is to be done, when the options make sense.
pub struct Plan {
    /// All programs that have a script.
    known: Vec<Candidate>,
    /// Those that were asked for.
    chosen: Vec<Candidate>,
    /// The record to compare with.
    record: Option<Record>,
}

impl Options {
    /// What these options ask for; an error says what is wrong with them.
    pub fn plan(&self) -> Result<Plan, String> {
        let directory = self.from.clone().unwrap_or_else(|| ladder::root().join(SCRIPTS));
        let known = Candidate::all(&directory).map_err(|error| format!("{error:#}"))?;
        let named = |name: &String| {
            known.iter().find(|one| one.name == *name).cloned().ok_or_else(|| {
                let all: Vec<_> = known.iter().map(|one| one.name.as_str()).collect();
                names::unknown("program", name, &all)
            })
        };
        let chosen = match &self.names[..] {
            [] => known.clone(),
            names => names.iter().map(named).collect::<Result<_, _>>()?,
        };
        let record = self.compare.as_deref().map(Record::read).transpose();
        Ok(Plan { known, chosen, record: record.map_err(|error| format!("{error:#}"))? })
    }
}

/// What came out, for people and for `--json`.
#[derive(Debug, Default, Serialize)]
struct Results {
    /// The version of the record's shape.
    version: u32,
    /// The programs that ran.
    programs: Vec<Entry>,
    /// The programs that are not installed.
    missing: Vec<Absentee>,
    /// The programs that should have run and did not.
    failed: Vec<Absentee>,
    /// Where the record says something else, a sentence each.
    differences: Vec<String>,
}

/// A program that did not run.
#[derive(Debug, Serialize)]
struct Absentee {
    /// The name of its script.
    name: String,
    /// Why it did not run.
    why: String,
}

/// Grades the programs one after the other, prints what came out, and returns the exit status:
///
/// - 0: everything that was asked for ran, whatever it came to;
/// - 1: the record to compare with says something else;
/// - 3: something could not be judged: a program does not start, one that was asked for by name is not
///   installed, or an experiment cannot say what the record says.
///
/// # Errors
/// When the record cannot be written.
pub fn run(options: &Options, plan: &Plan, experiments: &[&'static Experiment]) -> Result<u8> {
    let mut results = grade(options, plan, experiments)?;
    let compared = plan.record.as_ref().map(|record| record.compare(&results.programs));
    results.differences = compared.iter().flatten().map(ToString::to_string).collect();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        let columns = Columns::of_stdout();
        print!("{}", text(&results, experiments, plan.record.as_ref(), columns));
    }
    Ok(exit_status(&results, compared.as_deref(), !options.names.is_empty()))
}

fn grade(options: &Options, plan: &Plan, experiments: &[&'static Experiment]) -> Result<Results> {
    let mut results = Results { version: VERSION, ..Results::default() };
    let per_program = experiments.len();
    let progress = Progress::line(plan.chosen.len() * per_program);
    let say = |line: String| {
        if !options.json {
            progress.print(&(line + "\n"));
        }
    };
    // One program at a time: two that use a processor each would leave none for the laboratory.
    for (done, candidate) in plan.chosen.iter().enumerate() {
        let name = &candidate.name;
        progress.done(done * per_program);
        progress.name(&format!("{name}: is it installed?"));
        let absentee = |why: String| Absentee { name: name.clone(), why };
        let (program, version) = match candidate.presence() {
            Ok(Presence::Installed { program, version }) => (program, version),
            Ok(Presence::Missing(why)) => {
                results.missing.push(absentee(why));
                continue;
            }
            Err(error) => {
                say(format!("{name:26}could not be asked for its version"));
                results.failed.push(absentee(format!("{error:#}")));
                continue;
            }
        };
        let begins =
            |experiment: &'static Experiment, spec: &Spec| progress.begins(experiment, spec);
        let outcomes = candidate.grade(experiments, options.jobs, begins, |outcome| {
            progress.ends(&outcome.proxy, outcome.experiment);
        });
        let entry = Entry::of(candidate, &program, &version, &outcomes)?;
        if entry.is_absent() {
            say(format!("{name:26}did not start"));
            let why = entry.scores.first().map(|score| score.sentence.clone());
            results.failed.push(absentee(why.unwrap_or_default()));
        } else {
            say(format!("{name:26}{}", summary(&entry)));
            // Now, and not at the end: all of them take a quarter of an hour.
            options.record.iter().try_for_each(|file| record(file, &entry, plan))?;
            results.programs.push(entry);
        }
    }
    Ok(results)
}

fn record(file: &Path, entry: &Entry, plan: &Plan) -> Result<()> {
    let mut record = match file.exists() {
        true => Record::read(file)?,
        false => Record::new(vec![]),
    };
    record.update(entry.clone(), &plan.known);
    let shown = file.display();
    std::fs::write(file, record.text()?).with_context(|| format!("writing {shown}"))
}

fn exit_status(results: &Results, compared: Option<&[Difference]>, named: bool) -> u8 {
    let differences = compared.unwrap_or_default();
    let all_ran = results.failed.is_empty() && (!named || results.missing.is_empty());
    match differences.iter().any(|difference| !difference.is_not_judged()) {
        true => 1,
        false if !differences.is_empty() || !all_ran || results.programs.is_empty() => 3,
        false => 0,
    }
}

/// All that people are shown at the end.
fn text(
    results: &Results,
    experiments: &[&Experiment],
    record: Option<&Record>,
    columns: Columns,
) -> String {
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
    let entries = &results.programs;
    let mut text = String::new();
    if let Some(table) = table(entries, &names, columns) {
        let _ = write!(text, "\n{table}\n{}\n", key());
    }
    for entry in entries {
        text += &details(entry, columns);
    }
    text += &not_installed(&results.missing, columns);
    for Absentee { name, why } in &results.failed {
        let line = format!("Could not be graded: {name}: {why}.");
        let _ = writeln!(text, "\n{}", columns.fill(&line));
    }
    if let Some(record) = record {
        text.push('\n');
        for line in versions(record, entries) {
            let _ = writeln!(text, "{}", columns.fill(&line));
        }
        for difference in &results.differences {
            let _ = writeln!(text, "{}", columns.hang("!", 2, difference));
        }
        if results.differences.is_empty() && !entries.is_empty() {
            text += "All verdicts are those of the record.\n";
        }
    }
    text
}

/// A sign for each answer, that can be told from the others without its color.
fn sign(answer: Answer) -> (char, Style) {
    let (sign, color) = match answer {
        Answer::Sound => ('·', AnsiColor::Green),
        Answer::Note => ('n', AnsiColor::Green),
        Answer::NotJudged => ('?', AnsiColor::BrightBlack),
        Answer::Fault => ('X', AnsiColor::Red),
    };
    (sign, color.on_default().bold())
}

fn key() -> String {
    let answers = [Answer::Sound, Answer::Note, Answer::NotJudged, Answer::Fault];
    let entry = |answer| format!("{} {answer}", paint(sign(answer).0, sign(answer).1));
    answers.map(entry).join("   ") + "\n"
}

/// The table: programs down, experiments across, in stairs, so that their names can be read. `None`: it
/// does not fit.
fn table(entries: &[Entry], experiments: &[&str], columns: Columns) -> Option<String> {
    let longest = |text: fn(&Entry) -> &str| {
        entries.iter().map(|entry| text(entry).chars().count()).max().unwrap_or(0)
    };
    let name = longest(|entry| &entry.name) + 2;
    let left = name + longest(|entry| &entry.version) + 3;
    let fits = |cell: &usize| {
        let ends = experiments.iter().enumerate().map(|(at, name)| left + cell * at + name.len());
        columns.0.is_none_or(|columns| ends.max().is_none_or(|widest| widest <= columns))
    };
    let cell = [3, 2].into_iter().find(fits).filter(|_| !entries.is_empty())?;
    let mut text = String::new();
    for (at, experiment) in experiments.iter().enumerate() {
        let bars: String = (0..at).map(|_| format!("{:cell$}", "│")).collect();
        let _ = writeln!(text, "{:left$}{}{experiment}", "", faint(bars));
    }
    for entry in entries {
        let rest = left - name;
        let mut line = format!("{}{:rest$}", bold(format!("{:name$}", entry.name)), entry.version);
        for experiment in experiments {
            let gap = cell - 1;
            let (sign, style) =
                entry.score(experiment).map_or((' ', Style::new()), |score| sign(score.answer));
            let _ = write!(line, "{}{:gap$}", paint(sign, style), "");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Some(text)
}

/// How many experiments came to each answer: `16 sound, 1 note, 1 fault`.
fn summary(entry: &Entry) -> String {
    let count = |answer: Answer| match entry.with(answer).count() {
        0 => None,
        1 => Some(format!("1 {answer}")),
        count if matches!(answer, Answer::Note | Answer::Fault) => {
            Some(format!("{count} {answer}s"))
        }
        count => Some(format!("{count} {answer}")),
    };
    let answers = [Answer::Sound, Answer::Note, Answer::NotJudged, Answer::Fault];
    answers.into_iter().filter_map(count).collect::<Vec<_>>().join(", ")
}

/// What is not simply sound about a program, the faults first.
fn details(entry: &Entry, columns: Columns) -> String {
    let order = [Answer::Fault, Answer::NotJudged, Answer::Note];
    let scores: Vec<&Score> = order.into_iter().flat_map(|answer| entry.with(answer)).collect();
    if scores.is_empty() {
        return String::new();
    }
    let title = bold(format!("{} {}", entry.name, entry.version));
    let mut text = format!("\n{title}: {}\n", summary(entry));
    for Score { experiment, kind, sentence, notes, unjudged, .. } in scores {
        let mut first = format!("  {experiment:18}");
        let mut line = |kind: Kind, sentence: &str| {
            let lead = format!("{first}{}", word(kind, 12));
            let _ = writeln!(text, "{}", columns.hang(&lead, 32, sentence));
            first = " ".repeat(20);
        };
        if kind.answer() != Answer::Sound {
            line(*kind, sentence);
        }
        for note in notes {
            line(Kind::Noted, note);
        }
        for what in unjudged {
            line(Kind::NotJudged, what);
        }
    }
    text
}

/// What is not installed, and what would have to be.
fn not_installed(missing: &[Absentee], columns: Columns) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let mut packages: Vec<&str> = vec![];
    let mut others: Vec<&str> = vec![];
    for Absentee { why, .. } in missing {
        let package =
            why.split_once("the package ").and_then(|(_, rest)| rest.split_once(" brings"));
        match package {
            Some((package, _)) if packages.contains(&package) => {}
            Some((package, _)) => packages.push(package),
            None => others.push(why),
        }
    }
    let names: Vec<&str> = missing.iter().map(|one| one.name.as_str()).collect();
    let mut line = format!("Not installed: {}.", names.join(", "));
    if !packages.is_empty() {
        let _ = write!(line, " On Debian: apt-get install {}", packages.join(" "));
    }
    let mut text = format!("\n{}\n", columns.fill(&line));
    for why in others {
        let _ = writeln!(text, "{}", columns.hang("", 2, why));
    }
    text
}

/// The programs that have another version here than in the record, a sentence each.
fn versions(record: &Record, entries: &[Entry]) -> Vec<String> {
    let other = |entry: &Entry| {
        let recorded = record.entry(&entry.name)?;
        let (name, here, there) = (&entry.name, &entry.version, &recorded.version);
        (here != there).then(|| format!("{name} is {here} here and {there} in the record."))
    };
    entries.iter().filter_map(other).collect()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::experiments;

    fn entry(name: &str, version: &str, scores: &[(Answer, Kind)]) -> Entry {
        let score = |&(answer, kind): &(Answer, Kind)| Score {
            experiment: "two-acts".into(),
            answer,
            kind,
            sentence: "seven words of which none is long".into(),
            notes: vec![],
            unjudged: vec![],
            figures: vec![],
        };
        let [what, program, date, machine] = ["it"; 4].map(String::from);
        let (name, version) = (name.into(), version.into());
        Entry {
            name,
            what,
            program,
            version,
            date,
            machine,
            scores: scores.iter().map(score).collect(),
        }
    }

    #[test]
    fn the_table_fits_a_terminal_of_eighty_columns() {
        // The longest that there are.
        let entries = [entry("tokio-copy-bidirectional", "20.20.2", &[])];
        let names: Vec<_> = experiments::ALL.iter().map(|experiment| experiment.name).collect();
        for (columns, widest) in [(None, 100), (Some(120), 100), (Some(80), 80)] {
            let table = table(&entries, &names, Columns(columns)).expect("it fits");
            let width = table.lines().map(|line| strip_str(line).to_string().chars().count()).max();
            assert!(width <= Some(widest), "{width:?}\n{table}");
        }
        assert_eq!(table(&entries, &names, Columns(Some(60))), None);
    }

    #[test]
    fn each_sign_stands_below_the_name_of_its_experiment() {
        let fault = entry("bad", "1", &[(Answer::Fault, Kind::Hole)]);
        let text = table(&[fault], &["plain", "two-acts"], Columns(None)).unwrap();
        let text = strip_str(&text).to_string();
        assert_eq!(text, "         plain\n         │  two-acts\nbad  1      X\n");
    }
}
