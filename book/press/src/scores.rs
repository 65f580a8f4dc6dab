//! What the scoreboard's record says of real programs, as tables and badges.

use std::collections::BTreeMap;

use lab::arrived::verdict::{Answer, Kind};
use lab::experiments;
use lab::scoreboard::record::{Entry, FILE, Record, Score};
use maud::{Markup, html};

use crate::directive::Directive;
use crate::verdicts::{Mark, badge};
use crate::{Problem, Project};

/// Reads the record of this workbook.
pub fn record(project: &Project) -> Result<Record, Problem> {
    let wrong = |message: String| Problem::new(FILE, 0, message);
    Record::parse(&project.read(FILE).map_err(wrong)?).map_err(|error| wrong(format!("{error:#}")))
}

/// The entry of this name.
pub fn entry<'a>(record: &'a Record, name: &str) -> Result<&'a Entry, String> {
    record.entry(name).ok_or_else(|| format!("{FILE} has no program {name}"))
}

/// What an experiment said of a program. Fails where it is not `answer`, because then the text around it
/// is not true anymore.
pub fn score(
    record: &Record,
    program: &str,
    experiment: &str,
    answer: &str,
) -> Result<Markup, String> {
    let score = entry(record, program)?.score(experiment);
    let score = score.ok_or_else(|| format!("{FILE} says nothing of {program} in {experiment}"))?;
    let is = score.answer.to_string();
    if is != answer {
        return Err(format!("{FILE} says of {program} in {experiment}: {is}, not {answer}"));
    }
    Ok(word(score))
}

/// The word for a score, in a badge if its kind has one.
fn word(score: &Score) -> Markup {
    let kind = match score.answer {
        // A verdict that is sound, and something beside it that users should know, or that is unknown.
        answer if answer == score.kind.answer() => score.kind,
        Answer::Note => Kind::Noted,
        _ => Kind::NotJudged,
    };
    match Mark::of(kind).filter(|_| kind != Kind::Noted) {
        Some(mark) => badge(mark, kind.word()),
        None => html! { span.score-word { (kind.word()) } },
    }
}

/// What is wrong with a program, in a badge each: `loses bytes`. Or that nothing is.
fn marks(entry: &Entry) -> Markup {
    let of_score = |score: &Score| Mark::of_fault(&score.experiment, score.kind);
    let mut marks: Vec<Mark> = entry.with(Answer::Fault).filter_map(of_score).collect();
    marks.sort();
    marks.dedup();
    html! {
        @if marks.is_empty() { (badge(Mark::Exact, "no fault found")) }
        @for (at, mark) in marks.into_iter().enumerate() {
            @if at > 0 { " " } (badge(mark, mark.words()))
        }
    }
}

/// The scores that are not simply sound, the faults first.
fn others(entry: &Entry) -> Vec<&Score> {
    let answers = [Answer::Fault, Answer::Note, Answer::NotJudged];
    answers.into_iter().flat_map(|answer| entry.with(answer)).collect()
}

/// All that a score says: its sentence, unless that only says that all is well, then its notes, then what
/// could not be judged.
fn sentences(score: &Score) -> Markup {
    let is_sound = score.kind.answer() == Answer::Sound;
    let own = (!is_sound).then_some(&score.sentence);
    let all = own.into_iter().chain(&score.notes).chain(&score.unjudged);
    html! { @for (at, sentence) in all.enumerate() { @if at > 0 { "; " } (sentence) } "." }
}

/// A table of these programs, in a frame that the keyboard can scroll. On a narrow screen the rows are
/// grids, as in [`crate::verdicts::matrix`].
pub fn table(record: &Record, names: &str) -> Result<Markup, String> {
    let entries: Vec<&Entry> =
        names.split_whitespace().map(|name| entry(record, name)).collect::<Result<_, _>>()?;
    let caption = caption(&entries);
    let heads = ["Program", "What its users get", "Where it is not simply sound"];
    Ok(html! { div.table-wrapper.matrix-frame role="region" tabindex="0" aria-label=(caption) {
        table.matrix.narrow.scores role="table" {
            caption { (caption) }
            thead role="rowgroup" { tr role="row" {
                @for head in heads { th scope="col" role="columnheader" { (head) } }
            } }
            tbody role="rowgroup" { @for entry in entries { tr role="row" {
                th scope="row" role="rowheader" {
                    code { (entry.name) } " " (version(entry)) span.question { (entry.what) }
                }
                td role="cell" { (marks(entry)) }
                td role="cell" { (rest(entry)) }
            } } }
        }
    } })
}

/// The program's version, with its name where the script is called otherwise: `Python 3.11.2`.
fn version(entry: &Entry) -> String {
    let Entry { name, program, version, .. } = entry;
    match name.to_lowercase().starts_with(&program.to_lowercase()) {
        true => version.clone(),
        false => format!("{program} {version}"),
    }
}

/// Where a program is not simply sound: a line, and behind it what the laboratory said.
fn rest(entry: &Entry) -> Markup {
    let others = others(entry);
    let (sound, all) = (entry.with(Answer::Sound).count(), entry.scores.len());
    if others.is_empty() {
        return html! { "sound in all " (all) };
    }
    html! { details.scores {
        summary {
            @for score in &others { code { (score.experiment) } " " (word(score)) ", " }
            "sound in " (sound) " of " (all)
        }
        ul { @for score in &others { li { code { (score.experiment) } ": " (sentences(score)) } } }
    } }
}

/// Everything that was said of one program.
pub fn whole(record: &Record, name: &str) -> Result<Markup, String> {
    let entry = entry(record, name)?;
    let (faults, all) = (entry.with(Answer::Fault).count(), entry.scores.len());
    let caption = format!(
        "{} {}: a fault in {faults} of {all}. {}",
        entry.name,
        entry.version,
        when(&[entry])
    );
    let heads = ["Experiment", "Verdict", "In a sentence"];
    let question =
        |score: &Score| experiments::named(&score.experiment).map_or("", |one| one.question);
    Ok(html! { div.table-wrapper.matrix-frame role="region" tabindex="0" aria-label=(caption) {
        table.matrix.narrow role="table" {
            caption { (caption) }
            thead role="rowgroup" { tr role="row" {
                @for head in heads { th scope="col" role="columnheader" { (head) } }
            } }
            tbody role="rowgroup" { @for score in &entry.scores { tr role="row" {
                th scope="row" role="rowheader" {
                    code { (score.experiment) } span.question { (question(score)) }
                }
                td role="cell" { (word(score)) }
                td role="cell" { (score.sentence) }
            } } }
        }
    } })
}

/// How many programs there are, how many have a fault, when they were graded, and where.
fn caption(entries: &[&Entry]) -> String {
    let faulty = entries.iter().filter(|entry| entry.with(Answer::Fault).next().is_some()).count();
    let programs = if entries.len() == 1 { "program" } else { "programs" };
    let faulty = match faulty {
        0 => "none with a fault".into(),
        1 => "one with a fault".into(),
        faulty => format!("{faulty} with a fault"),
    };
    format!("{} {programs}, {faulty}. {}", entries.len(), when(entries))
}

/// When these were graded, and where.
fn when(entries: &[&Entry]) -> String {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        places.entry(&entry.machine).or_default().push(&entry.date);
    }
    let place = |(machine, dates): (&&str, &Vec<&str>)| {
        let [first, last] =
            [dates.iter().min(), dates.iter().max()].map(|date| date.unwrap_or(&""));
        match first == last {
            true => format!("Graded on {first} with {machine}."),
            false => format!("Graded from {first} to {last} with {machine}."),
        }
    };
    places.iter().map(place).collect::<Vec<_>>().join(" ")
}

/// What is wrong with the tables of the whole book, together: each program of the record stands in one.
/// `shown` are all directives, each with its page and line.
pub fn not_shown<'a>(
    record: &Record,
    shown: impl Iterator<Item = (&'a str, usize, &'a Directive)>,
) -> Vec<Problem> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = vec![];
    for (file, line, directive) in shown {
        let names = match directive {
            Directive::Scoreboard { of } => of.as_str(),
            Directive::Graded { program } => program.as_str(),
            _ => continue,
        };
        for name in names.split_whitespace() {
            let count = places.entry(name).or_insert(0);
            *count += 1;
            if *count > 1 {
                problems.push(Problem::new(
                    file,
                    line,
                    format!("{name} stands in another table too"),
                ));
            }
        }
    }
    // A book that has no such table, a small one of a test for example, need not have all.
    let missing = record.programs.iter().filter(|entry| !places.contains_key(&*entry.name));
    let missing = missing.filter(|_| !places.is_empty());
    problems.extend(missing.map(|entry| {
        Problem::new(FILE, 0, format!("no table of the book has the program {}", entry.name))
    }));
    problems
}
