//! What must be true of a page by itself, and of a numbered chapter besides.

use std::ops::RangeInclusive;

use crate::page::chapter_number;
use crate::tree::{Outline, Part};

/// The sections of a numbered chapter, in their order. The reader builds before the book's code is shown.
pub const SECTIONS: &str = "Where we are · Predict · Run it · What happened · Why · Your turn · \
                            The code · Exercises · A closing note";

/// How many words a numbered chapter may have, answers included, code and captions not: a sitting.
pub const WORDS: RangeInclusive<usize> = 1_500..=4_000;

/// How many exercises a numbered chapter may have.
const EXERCISES: RangeInclusive<usize> = 3..=5;

/// Is called for everything that is wrong, with its line and a message.
pub type Complain<'a> = &'a mut dyn FnMut(usize, String);

/// Parts of a page with their lines.
type Parts<'a> = &'a [(usize, Part)];

/// Tells `complain` everything that is wrong with the page `name`.
pub fn judge(name: &str, page: &Outline, complain: Complain) {
    titles(&page.parts, complain);
    for (line, part) in &page.parts {
        let Part::Details { class, summary, content } = part else { continue };
        if !summary {
            complain(*line, "<details> without a <summary>".into());
        }
        if !content {
            complain(*line, format!("<details class=\"{class}\"> is empty"));
        }
    }
    questions(&page.parts, false, complain);
    let Some(number) = chapter_number(name) else { return };
    sections(&page.parts, complain);
    let predict = section(&page.parts, "Predict");
    questions(predict, true, complain);
    if !predict.iter().any(|(_, part)| is_details(part, "predict")) {
        complain(1, "nothing to predict: no <details class=\"predict\">".into());
    }
    exercises(number, section(&page.parts, "Exercises"), complain);
    if !WORDS.contains(&page.words) {
        let (words, least, most) = (page.words, WORDS.start(), WORDS.end());
        complain(1, format!("the chapter has {words} words; {least} to {most} belong here"));
    }
}

/// The headings from `first` to `last` level: line, level and title.
fn headings(parts: Parts<'_>, first: usize, last: usize) -> Vec<(usize, usize, &str)> {
    let all = parts.iter().filter_map(|(line, part)| match part {
        Part::Heading { level, title } => Some((*line, *level, title.as_str())),
        _ => None,
    });
    all.filter(|(_, level, _)| (first..=last).contains(level)).collect()
}

/// Whether it is a `<details>` of this class.
fn is_details(part: &Part, wanted: &str) -> bool {
    matches!(part, Part::Details { class, .. } if class.split(' ').any(|one| one == wanted))
}

fn titles(parts: Parts, complain: Complain) {
    match headings(parts, 1, 1)[..] {
        [_] => {}
        [] => complain(1, "the page has no title: a line that begins with #".into()),
        [_, (line, ..), ..] => complain(line, "a second title: use ##".into()),
    }
    let all = headings(parts, 1, 6);
    for ((_, above, _), (line, level, title)) in all.iter().zip(all.iter().skip(1)) {
        if *level > above + 1 {
            complain(*line, format!("the heading {title:?} is more than one level down"));
        }
    }
}

/// On any page a **Question** has its answer before the next one, and in the same section. With
/// `predict`, so have the questions that are only asked, and no answer stands without a question.
fn questions(parts: Parts, predict: bool, complain: Complain) {
    let mut open = None;
    for (line, part) in parts.iter().chain([&(0, Part::Question)]) {
        if is_details(part, "predict") && open.take().is_none() && predict {
            complain(*line, "an answer without a question above it".into());
        }
        if matches!(part, Part::Question | Part::Heading { .. })
            && let Some(line) = open.take()
        {
            complain(line, "a question without its answer below it".into());
        }
        if *part == Part::Question || (*part == Part::Asking && predict) {
            open = open.or(Some(*line));
        }
    }
}

fn sections(parts: Parts, complain: Complain) {
    let given = headings(parts, 2, 2);
    let mut given = given.iter();
    // Only the first one that is out of place, because all that follow it are too.
    for expected in SECTIONS.split(" · ").chain(["nothing"]) {
        let (line, _, title) = given.next().unwrap_or(&(1, 2, "nothing"));
        if *title != expected {
            let message = format!("the section {title:?} stands where {expected:?} belongs");
            return complain(*line, message);
        }
    }
}

/// The parts of a section: its heading, and all up to the next one of its level or above.
fn section<'a>(parts: Parts<'a>, title: &str) -> Parts<'a> {
    let all = headings(parts, 1, 2);
    let Some(at) = all.iter().position(|(_, _, given)| *given == title) else { return &[] };
    let end = all.get(at + 1).map_or(usize::MAX, |(line, ..)| *line);
    let place = |line: usize| parts.partition_point(|(other, _)| *other < line);
    &parts[place(all[at].0)..place(end)]
}

fn exercises(chapter: u32, section: Parts, complain: Complain) {
    let Some((line, _)) = section.first() else { return };
    let all = headings(section, 3, 3);
    if !EXERCISES.contains(&all.len()) {
        let (count, least, most) = (all.len(), EXERCISES.start(), EXERCISES.end());
        complain(*line, format!("{count} exercises; {least} to {most} belong here"));
    }
    for ((line, _, title), number) in all.iter().zip(1..) {
        let expected = format!("Exercise {chapter}.{number}: ");
        if !title.starts_with(&expected) {
            complain(*line, format!("the exercise's title does not begin {expected:?}"));
        }
        // From its heading up to that of the next.
        let end = all.get(number).map_or(usize::MAX, |(next, ..)| *next);
        for class in ["hint", "answer"] {
            let own = section.iter().filter(|(at, _)| (*line..end).contains(at));
            if !own.into_iter().any(|(_, part)| is_details(part, class)) {
                complain(*line, format!("the exercise has no <details class=\"{class}\">"));
            }
        }
    }
}
