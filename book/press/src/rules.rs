//! What must be true of a page by itself, and of a numbered chapter above all.

use std::ops::{Range, RangeInclusive};

use crate::page::chapter_number;
use crate::tree::{Details, Facts, Heading};

/// The sections of a numbered chapter, in their order. [`CODE`] is the exception.
pub const SECTIONS: [&str; 10] = [
    "Where we are",
    "Predict",
    "Run it",
    "The code",
    "What goes wrong",
    "Why",
    "The diff",
    "The proof",
    "Exercises",
    "A closing note",
];

/// A chapter may show its code as soon as the reader has run it, or only when the evidence has been
/// collected: anywhere between these two sections.
const CODE: (&str, [&str; 2]) = ("The code", ["Run it", "The diff"]);

/// How many words a numbered chapter may have, answers included: a sitting, and no more. Listings,
/// diffs, terminals and captions are not counted.
pub const WORDS: RangeInclusive<usize> = 1_500..=4_000;

/// How many exercises a numbered chapter may have.
const EXERCISES: RangeInclusive<usize> = 3..=5;

/// Hears what is wrong: a line and a message.
type Complain<'a> = &'a mut dyn FnMut(usize, String);

/// Names everything that is wrong with the page `name` to `complain`.
pub fn judge(name: &str, facts: &Facts, complain: Complain) {
    headings(facts, complain);
    for one in &facts.details {
        if !one.summary {
            complain(one.line, "<details> without a <summary>".into());
        }
        if !one.content {
            complain(one.line, format!("<details class=\"{}\"> is empty", one.class));
        }
    }
    questions_in_bold(facts, complain);
    let Some(number) = chapter_number(name) else { return };
    sections(facts, complain);
    predictions(facts, complain);
    exercises(number, facts, complain);
    if !WORDS.contains(&facts.words) {
        let (words, least, most) = (facts.words, WORDS.start(), WORDS.end());
        complain(1, format!("the chapter has {words} words; {least} to {most} belong here"));
    }
}

fn headings(facts: &Facts, complain: Complain) {
    let titles: Vec<&Heading> = facts.headings.iter().filter(|one| one.level == 1).collect();
    match titles[..] {
        [_] => {}
        [] => complain(1, "the page has no title: a line that begins with #".into()),
        [_, second, ..] => complain(second.line, "a second title: use ##".into()),
    }
    for pair in facts.headings.windows(2) {
        if pair[1].level > pair[0].level + 1 {
            let message = format!("the heading {:?} is more than one level down", pair[1].text);
            complain(pair[1].line, message);
        }
    }
}

/// The `<details>` of a class between two lines.
fn within<'a>(facts: &'a Facts, class: &str, lines: Range<usize>) -> Vec<&'a Details> {
    let is_one = |one: &&Details| {
        one.class.split_whitespace().any(|given| given == class) && lines.contains(&one.line)
    };
    facts.details.iter().filter(is_one).collect()
}

/// On any page, a **Question** has its answer before the next one, and in the same section.
fn questions_in_bold(facts: &Facts, complain: Complain) {
    for (at, line) in facts.asked.iter().enumerate() {
        let next = facts.asked.get(at + 1).copied();
        let section = facts.headings.iter().map(|one| one.line).find(|other| other > line);
        let end = next.unwrap_or(usize::MAX).min(section.unwrap_or(usize::MAX));
        if within(facts, "predict", *line..end).is_empty() {
            complain(*line, "a question without its answer below it".into());
        }
    }
}

fn sections(facts: &Facts, complain: Complain) {
    let given: Vec<&Heading> = facts.headings.iter().filter(|one| one.level == 2).collect();
    let place_of = |title: &str| SECTIONS.iter().position(|one| *one == title);
    let mut place = 0;
    for (at, heading) in given.iter().enumerate() {
        let title = heading.text.as_str();
        let before = |title: &str| given[..at].iter().any(|one| one.text == title);
        let all = SECTIONS.join(" · ");
        let (code, [after, until]) = CODE;
        match place_of(title) {
            None => complain(
                heading.line,
                format!("a numbered chapter has no section {title:?}; its sections are {all}"),
            ),
            Some(_) if before(title) => {
                complain(heading.line, format!("a second section {title:?}"));
            }
            Some(_) if title == code => {
                if !before(after) || before(until) {
                    let message =
                        format!("the section {code:?} belongs between {after:?} and {until:?}");
                    complain(heading.line, message);
                }
            }
            Some(position) if position < place => {
                complain(heading.line, format!("the section {title:?} is out of order: {all}"));
            }
            Some(position) => place = position,
        }
    }
    for section in SECTIONS {
        if !given.iter().any(|one| one.text == section) {
            complain(1, format!("the section {section:?} is missing"));
        }
    }
}

/// The lines of a section: from its heading to the next one of its level or above.
fn span(facts: &Facts, title: &str) -> Option<Range<usize>> {
    let at = facts.headings.iter().position(|one| one.level == 2 && one.text == title)?;
    let next = facts.headings[at + 1..].iter().find(|one| one.level <= 2);
    Some(facts.headings[at].line..next.map_or(usize::MAX, |one| one.line))
}

/// In "Predict" each question has an answer below it, and each answer a question above it.
fn predictions(facts: &Facts, complain: Complain) {
    let Some(section) = span(facts, "Predict") else { return };
    let answers = within(facts, "predict", section.clone());
    let questions: Vec<usize> =
        facts.questions.iter().copied().filter(|line| section.contains(line)).collect();
    let last_answer = answers.last().map_or(0, |answer| answer.line);
    if let Some(open) = questions.iter().find(|line| **line > last_answer) {
        complain(*open, "a question to predict without its answer below it".into());
    } else if answers.is_empty() {
        complain(section.start, "nothing to predict: no <details class=\"predict\">".into());
    }
    let mut from = section.start;
    for answer in answers {
        if !questions.iter().any(|line| (from..answer.line).contains(line)) {
            complain(answer.line, "an answer without a question above it".into());
        }
        from = answer.line;
    }
}

fn exercises(chapter: u32, facts: &Facts, complain: Complain) {
    let Some(section) = span(facts, "Exercises") else { return };
    let inside = |one: &&Heading| one.level == 3 && section.contains(&one.line);
    let all: Vec<&Heading> = facts.headings.iter().filter(inside).collect();
    if !EXERCISES.contains(&all.len()) {
        let (count, least, most) = (all.len(), EXERCISES.start(), EXERCISES.end());
        complain(section.start, format!("{count} exercises; {least} to {most} belong here"));
    }
    for (at, exercise) in all.iter().enumerate() {
        let expected = format!("Exercise {chapter}.{}: ", at + 1);
        if !exercise.text.starts_with(&expected) {
            complain(exercise.line, format!("the exercise's title does not begin {expected:?}"));
        }
        let end = all.get(at + 1).map_or(section.end, |next| next.line);
        for class in ["hint", "answer"] {
            if within(facts, class, exercise.line..end).is_empty() {
                complain(exercise.line, format!("the exercise has no <details class=\"{class}\">"));
            }
        }
    }
}
