//! How outcomes are printed: in words and colors, and never in color alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::arrived::align::{Gap, Segment};
use crate::arrived::others::Crossing;
use crate::arrived::reading::Offsets;
use crate::arrived::verdict::{Answer, Direction, Kind, Matter, Transfer, Unjudged};
use crate::experiments::{self, Outcome};
use crate::ladder::change::Change;
use crate::ladder::{Step, ladder};
use crate::numbers::{bytes, count_of, thousands};
use crate::shown::lines::Columns;

/// The style in which a verdict is written, everywhere. The book's badges have the same colors.
pub fn style(kind: Kind) -> Style {
    let color = match kind {
        Kind::NotJudged => AnsiColor::BrightBlack,
        Kind::Exact | Kind::Noted => AnsiColor::Green,
        Kind::HeldBack => AnsiColor::Blue,
        Kind::Spilled => AnsiColor::Yellow,
        Kind::Frozen => AnsiColor::Cyan,
        Kind::Grew | Kind::Leaked | Kind::Spun => AnsiColor::Magenta,
        Kind::Hole | Kind::Truncated | Kind::Swallowed => AnsiColor::Red,
        Kind::Crossed | Kind::Reordered | Kind::Repeated | Kind::Altered => AnsiColor::Red,
        Kind::Died | Kind::Absent => AnsiColor::Red,
    };
    color.on_default().bold()
}

/// Text in a style.
pub fn paint(text: impl std::fmt::Display, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// Bold text.
pub fn bold(text: impl std::fmt::Display) -> String {
    paint(text, Style::new().bold())
}

/// Text that a reader may skip.
pub fn faint(text: impl std::fmt::Display) -> String {
    paint(text, Style::new().dimmed())
}

/// A verdict's word, padded to `width`.
pub fn word(kind: Kind, width: usize) -> String {
    paint(format!("{:width$}", kind.word()), style(kind))
}

/// Draws which bytes of a transfer arrived, in `width` characters. Each stands for an equal share of the
/// bytes sent: `█` all of them arrived, `▒` some, `·` none.
pub fn strip(transfer: &Transfer, width: u64) -> String {
    let damage = &transfer.reading.damage;
    let character = |place: u64| {
        let from = damage.sent * place / width;
        let to = (damage.sent * (place + 1) / width).max(from + 1);
        let inside = |segment: &Segment| {
            to.min(segment.start + segment.len).saturating_sub(from.max(segment.start))
        };
        match damage.segments.iter().map(inside).sum::<u64>() {
            0 => paint("·", style(Kind::Hole)),
            arrived if arrived >= to - from => paint("█", style(Kind::Exact)),
            _ => paint("▒", style(Kind::Hole)),
        }
    };
    (0..width).map(character).collect()
}

/// One sentence for each outcome that is not what the step's manifest says.
pub fn deviations(outcomes: &[Outcome]) -> Vec<String> {
    let sentence = |outcome: &Outcome| {
        let Outcome { experiment, proxy, verdict, .. } = outcome;
        let expected = ladder().expected_of(outcome).filter(|it| !it.allows(verdict.kind))?;
        let (words, kind, what) = (expected.words(), verdict.kind, &verdict.sentence);
        Some(format!("{proxy} in {experiment}: {kind}; {what}. The book says {words}."))
    };
    outcomes.iter().filter_map(sentence).collect()
}

/// One sentence for each step that may deviate because it was changed, which is what exercises are for.
pub fn excuses(outcomes: &[Outcome]) -> Vec<String> {
    let deviates = |step: &&Step| {
        outcomes.iter().any(|outcome| {
            outcome.is_step && outcome.proxy == step.name && !ladder().is_expected(outcome)
        })
    };
    ladder().steps.iter().filter(deviates).filter_map(|step| excuse(step, step.change())).collect()
}

/// What a change has to do with a verdict that is not the book's.
fn excuse(step: &Step, change: Change) -> Option<String> {
    let file = format!("steps/{}/main.rs", step.name);
    let wanted = "another verdict may be just what you wanted";
    match change {
        Change::Yes => Some(format!("You have changed {file}, so {wanted}.")),
        Change::Unknown => Some(format!("If you have changed {file}, {wanted}.")),
        Change::No => None,
    }
}

/// A verdict held against what the book says of the step. `change` is known if it is another one. The
/// reason is told only if it was asked for: the book lets its readers find it.
fn by_the_book(outcome: &Outcome, change: Option<Change>, why: bool) -> Option<String> {
    let step = ladder().step(&outcome.proxy)?;
    let expected = ladder().expected_of(outcome)?;
    let why = if why { format!(": {}", expected.why) } else { String::new() };
    let Some(change) = change else { return Some(format!("As expected{why}.")) };
    let not = if change == Change::Yes { "" } else { "NOT as expected. " };
    let excuse = excuse(step, change).map_or(String::new(), |excuse| format!(" {excuse}"));
    Some(format!("{not}The book says {} of this step{why}.{excuse}", expected.words()))
}

/// The whole story of one experiment. `change` says whether a step was changed whose verdict is not the
/// book's, and `why` asks for the book's reason.
pub fn story(outcome: &Outcome, change: Option<Change>, why: bool, columns: Columns) -> String {
    let mut text = String::new();
    let question = experiments::named(outcome.experiment).map_or("", |known| known.question);
    let title = format!("{}: {question}", bold(outcome.experiment));
    let _ = writeln!(text, "{}", columns.fill(&title));
    let _ = writeln!(text, "The proxy: {}\n", bold(&outcome.proxy));
    for event in &outcome.story {
        let time = faint(format!("{:>6} ms", event.at_ms));
        let _ = writeln!(text, "{}", columns.hang(&time, 11, &event.text));
    }
    let verdict = &outcome.verdict;
    let sentence = format!("{}: {}.", word(verdict.kind, 0), verdict.sentence);
    let _ = writeln!(text, "\n{}", columns.fill(&sentence));
    let is_empty = |transfer: &&Transfer| {
        let damage = &transfer.reading.damage;
        damage.sent > 0 && damage.missing() == damage.sent
    };
    let empty = verdict.transfers.iter().filter(is_empty).count();
    let mut left = empty;
    for transfer in &verdict.transfers {
        left -= usize::from(is_empty(&transfer));
        // Of several that look the same one is enough: the last, which is the one that the verdict tells.
        if left == 0 || !is_empty(&transfer) {
            text += &transfer_story(transfer, columns);
        }
    }
    if empty > 1 {
        let more = count_of(empty - 1, "more transfer");
        let _ =
            writeln!(text, "\n{}", columns.fill(&format!("And of {more} nothing arrived either.")));
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "\n{}", columns.fill(&format!("Note: {note}.")));
    }
    for Unjudged { matter, why } in &verdict.unjudged {
        let _ = writeln!(text, "\n{}", columns.fill(&format!("Not judged: {matter}. {why}.")));
    }
    if let Some(sentence) = by_the_book(outcome, change, why) {
        let _ = writeln!(text, "\n{}", columns.fill(&sentence));
    }
    text
}

/// What arrived of one transfer, the gaps, and the bytes around them.
fn transfer_story(transfer: &Transfer, columns: Columns) -> String {
    const SHOWN: usize = 8;
    let damage = &transfer.reading.damage;
    let mut text = String::new();
    let line = |text: String| columns.hang("", 2, &text) + "\n";
    let way = match (transfer.direction, transfer.reading.offsets) {
        (Direction::Download, Offsets::Stream) => "The response",
        (Direction::Download, Offsets::Body) => "The response's body",
        (Direction::Upload, Offsets::Stream) => "The request",
        (Direction::Upload, Offsets::Body) => "The request's body",
    };
    let [arrived, sent] =
        [damage.sent.saturating_sub(damage.missing()), damage.sent].map(thousands);
    let _ = writeln!(text, "\n{way}: {arrived} of {sent} bytes arrived.");
    let _ = writeln!(text, "  {}", strip(transfer, columns.strip()));
    for gap in damage.gaps.iter().take(SHOWN) {
        let [len, from, to] = [gap.len, gap.at, gap.at + gap.len].map(thousands);
        let end = if gap.tail { ", the end" } else { "" };
        text += &line(format!("missing: {len} bytes, from {from} to {to}{end}"));
    }
    if damage.gaps.len() > SHOWN {
        text += &line(format!("and {} more gaps", damage.gaps.len() - SHOWN));
    }
    if let Some((gap, chunk)) = damage.gaps.first().and_then(|gap| Some((gap, gap.chunk?))) {
        let came = gap.body_at.saturating_sub(chunk.index * crate::sent::wire::CHUNK);
        let hexadecimal = chunk.size;
        let [index, at, size, came] =
            [chunk.index, chunk.header_at, chunk.size, came].map(thousands);
        text += &line(format!(
            "The gap begins in chunk {index}, whose header at {at} promises {size} bytes \
             ({hexadecimal:x} in hexadecimal): {came} of them came."
        ));
    }
    if let Some(whose) = transfer.reading.head_of {
        text += &line(format!("Its head is that of {whose}."));
    }
    for Crossing { whose, len, received_at, .. } in damage.crossings.iter().take(SHOWN) {
        let (len, at) = (bytes(*len), thousands(*received_at));
        text += &line(format!("crossed: {len} of {whose}, after {at}"));
    }
    if damage.crossings.len() > SHOWN {
        text += &line("and more".into());
    }
    if let Some(first) = damage.crossings.first() {
        text += &crossing_story(first);
    } else if let Some((jump, evidence)) = damage.jumps.first().zip(transfer.evidence.first()) {
        if let Some(next) = jump.next_chunk.filter(|_| !damage.gaps.is_empty()) {
            // The header may have come: before the gap, if the gap lies within the chunk, or at another
            // place, if blocks changed places.
            let gaps = &damage.gaps;
            let lost = |gap: &Gap| (gap.at..gap.at + gap.len).contains(&next.header_at);
            let header = if gaps.iter().any(lost) { ", and that never came" } else { "" };
            let [index, at] = [next.index, next.header_at].map(thousands);
            text += &line(format!("It goes on in chunk {index}. Its header was at {at}{header}."));
        }
        let [after, from, to] = [jump.received_at, jump.from, jump.to].map(thousands);
        let jumps =
            format!("After {after} bytes the stream jumps from offset {from} to offset {to}:");
        let _ = write!(text, "\n{}", line(jumps));
        text += &hex(&evidence.before, evidence.received_at - evidence.before.len() as u64);
        let here = format!("{:-^71}", " here it jumps ");
        let _ = writeln!(text, "  {}", paint(here, style(Kind::Hole)));
        text += &hex(&evidence.after, evidence.received_at);
    }
    let curl = &transfer.reading.curl;
    if transfer.direction == Direction::Download && curl.exit != 0 {
        let says = format!("curl would say: ({}) {}", curl.exit, curl.words);
        let _ = write!(text, "\n{}", line(says));
    }
    text
}

/// Where bytes of another connection begin, with the bytes around that place.
fn crossing_story(crossing: &Crossing) -> String {
    let Crossing { whose, received_at, before, begins, .. } = crossing;
    let mut text = match received_at {
        0 => "\n  Bytes of another connection came first:\n".into(),
        at => format!("\n  After {} those of another connection came:\n", bytes(*at)),
    };
    text += &hex(before, received_at - before.len() as u64);
    let here = format!("{:-^71}", format!(" here those of {whose} begin "));
    let _ = writeln!(text, "  {}", paint(here, style(Kind::Crossed)));
    text += &hex(begins, *received_at);
    text
}

/// A hex view, 16 bytes to a line, with the offsets at which the bytes arrived.
fn hex(bytes: &[u8], at: u64) -> String {
    let mut text = String::new();
    for (row, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain: String = line
            .iter()
            .map(|&byte| if (32..127).contains(&byte) { char::from(byte) } else { '.' })
            .collect();
        let _ = writeln!(text, "  {:>10}  {:47}  {plain}", at + 16 * row as u64, hex.join(" "));
    }
    text
}

/// What these outcomes have judged. An experiment that found a fault, or only a part of what it asks,
/// has judged the rest.
pub fn judged(outcomes: &[Outcome]) -> BTreeSet<Matter> {
    let mut matters = BTreeSet::new();
    for Outcome { experiment, verdict, .. } in outcomes {
        let asked = experiments::named(experiment).map_or(&[][..], |known| known.judges);
        let is_judged = |matter: &&Matter| {
            let not = verdict.unjudged.iter().any(|unjudged| unjudged.matter == **matter);
            verdict.kind != Kind::NotJudged && !not
        };
        matters.extend(asked.iter().filter(is_judged));
    }
    matters
}

/// The exit status that says it all: 0 no fault and everything judged, 1 a fault, 3 no fault, but
/// something could not be judged.
pub fn exit_status(outcomes: &[Outcome]) -> u8 {
    match outcomes.iter().map(|outcome| outcome.answer).max() {
        Some(Answer::Sound | Answer::Note) => 0,
        Some(Answer::Fault) => 1,
        Some(Answer::NotJudged) | None => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrived::verdict::Verdict;

    /// What is said at the end of the story when the first step comes to this in `crowd`.
    fn end(kind: Kind, change: Option<Change>) -> String {
        let outcome = outcome(kind, true);
        story(&outcome, change, true, Columns(None)).lines().last().unwrap_or_default().into()
    }

    fn outcome(kind: Kind, is_step: bool) -> Outcome {
        let verdict = Verdict::new(kind, "it did that");
        Outcome {
            experiment: "crowd",
            proxy: "01-blocking".into(),
            is_step,
            answer: verdict.answer(),
            verdict,
            took_ms: 0,
            story: vec![],
        }
    }

    #[test]
    fn a_step_that_is_not_as_the_book_says_is_excused_if_it_was_changed() {
        assert!(end(Kind::Frozen, None).starts_with("As expected: "));
        let says = "The book says frozen of this step: it serves one client at a time.";
        assert_eq!(end(Kind::Exact, Some(Change::No)), format!("NOT as expected. {says}"));
        let wanted = "another verdict may be just what you wanted.";
        let yes = format!("{says} You have changed steps/01-blocking/main.rs, so {wanted}");
        assert_eq!(end(Kind::Exact, Some(Change::Yes)), yes);
        let unknown = format!(
            "NOT as expected. {says} If you have changed steps/01-blocking/main.rs, {wanted}"
        );
        assert_eq!(end(Kind::Exact, Some(Change::Unknown)), unknown);
    }

    #[test]
    fn the_reason_is_told_only_if_it_was_asked_for() {
        let outcome = outcome(Kind::Frozen, true);
        let told = |why| story(&outcome, None, why, Columns(None));
        assert!(told(true).ends_with("As expected: it serves one client at a time.\n"));
        assert!(told(false).ends_with("As expected.\n"));
    }

    #[test]
    fn a_program_with_the_name_of_a_step_is_not_judged_as_the_step() {
        let outcomes = [outcome(Kind::Died, false)];
        assert_eq!(deviations(&outcomes), [""; 0]);
        assert_eq!(excuses(&outcomes), [""; 0]);
        let told = story(&outcomes[0], None, true, Columns(None));
        assert!(!told.contains("xpected") && !told.contains("The book"), "{told}");
        assert_eq!(deviations(&[outcome(Kind::Died, true)]).len(), 1);
    }
}
