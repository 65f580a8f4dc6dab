//! How outcomes are printed: in words and colors, and never in color alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::arrived::align::{Gap, Segment};
use crate::arrived::others::Crossing;
use crate::arrived::reading::Offsets;
use crate::arrived::verdict::{Answer, Direction, Kind, Matter, Transfer, Unjudged};
use crate::experiments::{self, Outcome};
use crate::ladder::{Step, ladder};
use crate::numbers::{bytes, thousands};

/// The style in which a verdict is written.
pub fn style(kind: Kind) -> Style {
    let color = match kind {
        Kind::NotJudged => AnsiColor::BrightBlack,
        Kind::Exact | Kind::HeldBack | Kind::Spilled | Kind::Noted => AnsiColor::Green,
        Kind::Frozen => AnsiColor::Cyan,
        Kind::Grew | Kind::Leaked | Kind::Spun => AnsiColor::Yellow,
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

/// The grid of all outcomes, experiments down and steps across.
pub fn grid(outcomes: &[Outcome]) -> String {
    let cell = |text: &str, style: Style| {
        let rest = 18_usize.saturating_sub(text.len());
        format!("{}{:rest$}", paint(text, style), "")
    };
    let steps = &ladder().steps;
    let bold = Style::new().bold();
    let head: String = steps.iter().map(|step| cell(&step.name, bold)).collect();
    let mut lines = vec![cell("", Style::new()) + &head];
    for experiment in experiments::ALL {
        let verdict = |step: &Step| {
            let is_its = |outcome: &&Outcome| {
                outcome.experiment == experiment.name && outcome.proxy == step.name
            };
            let Some(outcome) = outcomes.iter().find(is_its) else {
                return cell("-", Style::new());
            };
            let kind = outcome.verdict.kind;
            let mark = if ladder().is_expected(outcome) { "" } else { " !" };
            cell(&format!("{kind}{mark}"), style(kind))
        };
        let verdicts: String = steps.iter().map(verdict).collect();
        lines.push(cell(experiment.name, Style::new()) + &verdicts);
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// One sentence for each outcome that is not what the step's manifest says.
pub fn deviations(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .filter(|outcome| !ladder().is_expected(outcome))
        .map(|outcome| {
            let Outcome { experiment, proxy, verdict, .. } = outcome;
            let wanted =
                ladder().expected_of(outcome).map_or(String::new(), |expected| expected.words());
            let kind = verdict.kind;
            format!("{proxy} in {experiment}: {kind}, expected {wanted}. {}", verdict.sentence)
        })
        .collect()
}

/// The whole story of one experiment.
pub fn story(outcome: &Outcome) -> String {
    let mut text = String::new();
    let question = experiments::named(outcome.experiment).map_or("", |known| known.question);
    let _ = writeln!(text, "{}: {question}", bold(outcome.experiment));
    let _ = writeln!(text, "The proxy: {}\n", bold(&outcome.proxy));
    for event in &outcome.story {
        let _ = writeln!(text, "{}  {}", faint(format!("{:>6} ms", event.at_ms)), event.text);
    }
    let verdict = &outcome.verdict;
    let _ = writeln!(text, "\n{}: {}.", word(verdict.kind, 0), verdict.sentence);
    for transfer in &verdict.transfers {
        text += &transfer_story(transfer);
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "Note: {note}.");
    }
    for Unjudged { matter, why } in &verdict.unjudged {
        let _ = writeln!(text, "Not judged: {matter}. {why}.");
    }
    if let Some(expected) = ladder().expected_of(outcome) {
        let why = &expected.why;
        let as_expected = match expected.allows(verdict.kind) {
            true => format!("As expected: {why}."),
            false => format!("NOT as expected, which is {}: {why}.", expected.words()),
        };
        let _ = writeln!(text, "\n{as_expected}");
    }
    text
}

/// What arrived of one transfer, the gaps, and the bytes around them.
fn transfer_story(transfer: &Transfer) -> String {
    const SHOWN: usize = 8;
    let damage = &transfer.reading.damage;
    let mut text = String::new();
    let way = match (transfer.direction, transfer.reading.offsets) {
        (Direction::Download, Offsets::Stream) => "The response",
        (Direction::Download, Offsets::Body) => "The response's body",
        (Direction::Upload, Offsets::Stream) => "The request",
        (Direction::Upload, Offsets::Body) => "The request's body",
    };
    let [arrived, sent] =
        [damage.sent.saturating_sub(damage.missing()), damage.sent].map(thousands);
    let _ = writeln!(text, "\n{way}: {arrived} of {sent} bytes arrived.");
    let _ = writeln!(text, "  {}", strip(transfer, 72));
    for gap in damage.gaps.iter().take(SHOWN) {
        let [len, from, to] = [gap.len, gap.at, gap.at + gap.len].map(thousands);
        let end = if gap.tail { ", the end" } else { "" };
        let _ = writeln!(text, "  missing: {len} bytes, from {from} to {to}{end}");
    }
    if damage.gaps.len() > SHOWN {
        let _ = writeln!(text, "  and {} more gaps", damage.gaps.len() - SHOWN);
    }
    if let Some((gap, chunk)) = damage.gaps.first().and_then(|gap| Some((gap, gap.chunk?))) {
        let came = gap.body_at.saturating_sub(chunk.index * crate::sent::wire::CHUNK);
        let hexadecimal = chunk.size;
        let [index, at, size, came] =
            [chunk.index, chunk.header_at, chunk.size, came].map(thousands);
        let _ = writeln!(
            text,
            "  The gap begins in chunk {index}, whose header at {at} promises {size} bytes \
             ({hexadecimal:x} in hexadecimal): {came} of them came."
        );
    }
    if let Some(whose) = transfer.reading.head_of {
        let _ = writeln!(text, "  Its head is that of {whose}.");
    }
    for Crossing { whose, len, received_at, .. } in damage.crossings.iter().take(SHOWN) {
        let (len, at) = (bytes(*len), thousands(*received_at));
        let _ = writeln!(text, "  crossed: {len} of {whose}, after {at}");
    }
    if damage.crossings.len() > SHOWN {
        let _ = writeln!(text, "  and more");
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
            let _ =
                writeln!(text, "  It goes on in chunk {index}. Its header was at {at}{header}.");
        }
        let [after, from, to] = [jump.received_at, jump.from, jump.to].map(thousands);
        let _ = writeln!(
            text,
            "\n  After {after} bytes the stream jumps from offset {from} to offset {to}:"
        );
        text += &hex(&evidence.before, evidence.received_at - evidence.before.len() as u64);
        let here = format!("{:-^71}", " here it jumps ");
        let _ = writeln!(text, "  {}", paint(here, style(Kind::Hole)));
        text += &hex(&evidence.after, evidence.received_at);
    }
    let curl = &transfer.reading.curl;
    if transfer.direction == Direction::Download && curl.exit != 0 {
        let _ = writeln!(text, "\n  curl would say: curl: ({}) {}", curl.exit, curl.words);
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

/// How any other proxy did: a line for each experiment, and a summary.
pub fn grades(outcomes: &[Outcome]) -> String {
    if let Some(first) = outcomes.first()
        && outcomes.iter().all(|outcome| outcome.verdict.kind == Kind::Absent)
    {
        // Once is enough: each experiment has the same reason.
        let word = word(Kind::Absent, 0);
        return format!("{word}: {}.\n\nThere was no proxy to try.\n", first.verdict.sentence);
    }
    let lines: String = outcomes.iter().map(grade).collect();
    format!("{lines}\n{}", closing(outcomes))
}

/// One experiment in a check.
fn grade(outcome: &Outcome) -> String {
    let Outcome { experiment, verdict, .. } = outcome;
    let mut text = format!("{experiment:18}{}{}\n", word(verdict.kind, 12), verdict.sentence);
    for note in &verdict.notes {
        let _ = writeln!(text, "{:18}{}{note}", "", word(Kind::Noted, 12));
    }
    for Unjudged { matter, why } in &verdict.unjudged {
        let _ = writeln!(text, "{:18}{}{matter}: {why}", "", word(Kind::NotJudged, 12));
    }
    text
}

/// The end of a check: what was found, what was judged, and what was not.
fn closing(outcomes: &[Outcome]) -> String {
    let named = |answer: Answer| -> Vec<&str> {
        let those = outcomes.iter().filter(|outcome| outcome.answer == answer);
        those.map(|outcome| outcome.experiment).collect()
    };
    let faults = named(Answer::Fault);
    let mut text = match &faults[..] {
        [] if judged(outcomes).is_empty() => bold("Nothing could be judged."),
        [] => paint("No fault found.", style(Kind::Exact)),
        faults => {
            let (count, all, names) = (faults.len(), outcomes.len(), faults.join(", "));
            let noun = if all == 1 { "experiment" } else { "experiments" };
            paint(format!("{count} of {all} {noun} found a fault: {names}."), style(Kind::Hole))
        }
    };
    let matters: Vec<String> = judged(outcomes).iter().map(Matter::to_string).collect();
    if !matters.is_empty() {
        let _ = write!(text, "\nJudged: {}.", matters.join(", "));
    }
    let unjudged = named(Answer::NotJudged);
    if !unjudged.is_empty() {
        let _ = write!(text, "\nNot judged, or not entirely: {}.", unjudged.join(", "));
    }
    let unasked = experiments::not_among(outcomes);
    if !unasked.is_empty() {
        let _ = write!(text, "\nNot asked: {}.", unasked.join(", "));
    }
    text + "\n"
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
