//! How outcomes are printed: in words and colors, and never in color alone.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::arrived::align::Segment;
use crate::arrived::reading::Offsets;
use crate::arrived::verdict::{Direction, Kind, Transfer};
use crate::experiments::{self, Outcome};
use crate::ladder::ladder;
use crate::numbers::thousands;

/// The style in which a verdict is written.
pub fn style(kind: Kind) -> Style {
    let color = match kind {
        Kind::NotJudged => AnsiColor::BrightBlack,
        Kind::Exact | Kind::HeldBack | Kind::Spilled => AnsiColor::Green,
        Kind::Frozen | Kind::Slow => AnsiColor::Cyan,
        Kind::Grew | Kind::Leaked | Kind::Spun => AnsiColor::Yellow,
        Kind::Hole | Kind::Truncated | Kind::Swallowed => AnsiColor::Red,
        Kind::Reordered | Kind::Repeated | Kind::Altered => AnsiColor::Red,
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

/// A picture of which bytes of a transfer arrived, `width` characters wide. Each stands for an equal part
/// of what was sent: `█` all of it arrived, `▒` some, `·` nothing.
pub fn strip(transfer: &Transfer, width: usize) -> String {
    let damage = &transfer.reading.damage;
    let (good, bad) = (style(Kind::Exact), style(Kind::Hole));
    let mut text = String::new();
    for place in 0..width as u64 {
        let from = damage.sent * place / width as u64;
        let to = (damage.sent * (place + 1) / width as u64).max(from + 1);
        let arrived = covered(&damage.segments, from, to);
        text += &match arrived {
            0 => paint("·", bad),
            all if all >= to - from => paint("█", good),
            _ => paint("▒", bad),
        };
    }
    text
}

/// How many of the bytes from `from` to `to` lie in the segments.
fn covered(segments: &[Segment], from: u64, to: u64) -> u64 {
    segments
        .iter()
        .map(|segment| to.min(segment.start + segment.len).saturating_sub(from.max(segment.start)))
        .sum::<u64>()
        .min(to - from)
}

/// The grid of all outcomes, experiments down and steps across.
pub fn grid(outcomes: &[Outcome]) -> String {
    const WIDTH: usize = 18;
    let steps: Vec<&str> = ladder().steps.iter().map(|step| step.name.as_str()).collect();
    // The last column is not padded, so that no line ends in spaces.
    let width = |step: &str| if Some(&step) == steps.last() { 0 } else { WIDTH };
    let mut text = format!("{:WIDTH$}", "");
    for &step in &steps {
        let width = width(step);
        text += &bold(format!("{step:width$}"));
    }
    text.push('\n');
    for experiment in experiments::ALL {
        let _ = write!(text, "{:WIDTH$}", experiment.name);
        for &step in &steps {
            let width = width(step);
            let outcome = outcomes
                .iter()
                .find(|outcome| outcome.experiment == experiment.name && outcome.proxy == step);
            text += &match outcome {
                None => format!("{:width$}", "-"),
                Some(outcome) => {
                    let kind = outcome.verdict.kind;
                    let mark = if ladder().is_expected(outcome) { "" } else { " !" };
                    paint(format!("{:width$}", format!("{kind}{mark}")), style(kind))
                }
            };
        }
        text.push('\n');
    }
    text
}

/// One sentence for each outcome that is not what the step's manifest says.
pub fn deviations(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .filter(|outcome| !ladder().is_expected(outcome))
        .map(|outcome| {
            let Outcome { experiment, proxy, verdict, .. } = outcome;
            let expected = ladder().expected(experiment, proxy);
            let wanted = expected.map_or(String::new(), |expected| expected.words());
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
    if let Some(expected) = ladder().expected(outcome.experiment, &outcome.proxy) {
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
    const GAPS: usize = 8;
    let damage = &transfer.reading.damage;
    let mut text = String::new();
    let way = match (transfer.direction, transfer.reading.offsets) {
        (Direction::Download, Offsets::Stream) => "The response",
        (Direction::Download, Offsets::Body) => "The response's body",
        (Direction::Upload, Offsets::Stream) => "The request",
        (Direction::Upload, Offsets::Body) => "The request's body",
    };
    let arrived = damage.sent - damage.missing().min(damage.sent);
    let _ = writeln!(
        text,
        "\n{way}: {} of {} bytes arrived.\n  {}",
        thousands(arrived),
        thousands(damage.sent),
        strip(transfer, 72)
    );
    for gap in damage.gaps.iter().take(GAPS) {
        let _ = writeln!(
            text,
            "  missing: {} bytes, from {} to {}{}",
            thousands(gap.len),
            thousands(gap.at),
            thousands(gap.at + gap.len),
            if gap.tail { ", the end" } else { "" }
        );
    }
    if damage.gaps.len() > GAPS {
        let _ = writeln!(text, "  and {} more gaps", damage.gaps.len() - GAPS);
    }
    if let Some(gap) = damage.gaps.first()
        && let Some(chunk) = gap.chunk
    {
        let _ = writeln!(
            text,
            "  The gap begins in chunk {}, whose header at {} promises {} bytes ({:x} in hexadecimal): {} of them came.",
            thousands(chunk.index),
            thousands(chunk.header_at),
            thousands(chunk.size),
            chunk.size,
            thousands(gap.body_at.saturating_sub(chunk.index * crate::sent::wire::CHUNK))
        );
    }
    if let Some((jump, evidence)) = damage.jumps.first().zip(transfer.evidence.first()) {
        // If nothing is missing, that header arrived too, earlier or later.
        if let Some(next) = jump.next_chunk.filter(|_| !damage.gaps.is_empty()) {
            let _ = writeln!(
                text,
                "  It goes on in chunk {}, whose header was at {} and never came.",
                thousands(next.index),
                thousands(next.header_at)
            );
        }
        let _ = writeln!(
            text,
            "\n  After {} bytes the stream jumps from offset {} to offset {}:",
            thousands(jump.received_at),
            thousands(jump.from),
            thousands(jump.to)
        );
        text += &hex(&evidence.before, evidence.received_at - evidence.before.len() as u64);
        let _ =
            writeln!(text, "  {}", paint(format!("{:-^71}", " here it jumps "), style(Kind::Hole)));
        text += &hex(&evidence.after, evidence.received_at);
    }
    if transfer.direction == Direction::Download && transfer.reading.curl.exit != 0 {
        let curl = &transfer.reading.curl;
        let _ = writeln!(text, "\n  curl would say: curl: ({}) {}", curl.exit, curl.words);
    }
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
    let mut text = String::new();
    for outcome in outcomes {
        let verdict = &outcome.verdict;
        let _ = writeln!(
            text,
            "{:18}{}{}",
            outcome.experiment,
            word(verdict.kind, 12),
            verdict.sentence
        );
    }
    let failed = outcomes.iter().filter(|outcome| is_bad(outcome.verdict.kind)).count();
    let unjudged =
        outcomes.iter().filter(|outcome| outcome.verdict.kind == Kind::NotJudged).count();
    let judged = outcomes.len() - unjudged;
    text.push('\n');
    text += &match (failed, judged) {
        (0, 0) => "Nothing could be judged.".into(),
        (0, _) => paint(
            "Every byte, in order; nobody frozen; memory bounded; nothing leaked; alive.",
            style(Kind::Exact),
        ),
        (failed, judged) => {
            paint(format!("{failed} of {judged} experiments found a fault."), style(Kind::Hole))
        }
    };
    if unjudged > 0 {
        let _ = write!(text, " Not judged: {unjudged}.");
    }
    text.push('\n');
    text
}

/// Whether a verdict counts against a proxy that wants to be trusted.
pub fn is_bad(kind: Kind) -> bool {
    !kind.is_good() && kind != Kind::NotJudged
}
