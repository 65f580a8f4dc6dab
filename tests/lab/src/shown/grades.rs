//! How any proxy did: a line for each experiment, and what it all comes to.

use std::fmt::Write;

use crate::arrived::verdict::{Answer, Kind, Matter, Unjudged};
use crate::experiments::{self, Experiment, Outcome};
use crate::ladder::matrix;
use crate::numbers::count_of;
use crate::shown::lines::{Columns, cut_sentence};
use crate::shown::progress::{InOrder, Progress};
use crate::shown::report::{bold, faint, judged, paint, style, word};
use crate::subject::proxy::Spec;

/// Puts experiments to a proxy, `jobs` at a time. If somebody is to be told, each has a line as soon as it
/// and those before it are done; a proxy that never listens has none.
///
/// After one that `is_last` it stops: there is neither an outcome nor a line for those behind it.
pub fn run(
    chosen: &[&'static Experiment],
    spec: &Spec,
    jobs: usize,
    told: Option<Grades>,
    is_last: impl Fn(&Outcome) -> bool,
) -> Vec<Outcome> {
    let work: Vec<_> = chosen.iter().map(|experiment| (*experiment, spec.clone())).collect();
    let progress = Progress::line(work.len());
    let mut lines = InOrder::default();
    let begins = |experiment: &'static Experiment, spec: &Spec| progress.begins(experiment, spec);
    let mut end = chosen.len();
    let mut outcomes = matrix::run_all_if_present(work, jobs, begins, |outcome| {
        progress.ends(&outcome.proxy, outcome.experiment);
        let place = chosen.iter().position(|one| one.name == outcome.experiment);
        let place = place.expect("an outcome is that of an experiment which was chosen");
        if is_last(outcome) {
            end = end.min(place + 1);
        }
        // If it is the first one that is absent, so is all the rest.
        let is_none = place == 0 && outcome.verdict.kind == Kind::Absent;
        if let (Some(grades), false) = (told, is_none) {
            let ready = lines.put(place, (place, grades.line(outcome)));
            let told = ready.iter().filter(|(place, _)| *place < end);
            told.for_each(|(_, line)| progress.print(line));
        }
        end == chosen.len()
    });
    outcomes.truncate(end);
    outcomes
}

/// How the lines of a check are written.
#[derive(Clone, Copy)]
pub struct Grades {
    /// With notes, with reasons, and with whole sentences.
    pub details: bool,
    /// How wide.
    pub columns: Columns,
}

/// Where the verdict's word begins, and where the sentence does. The longest name and the longest
/// word leave a gap.
const WORD: usize = 18;
const SENTENCE: usize = 30;

/// Where a line is shorter than this, a wrapped sentence stands below its head.
const NARROW: usize = 60;

impl Grades {
    /// One experiment. Without details it is one line, but an accusation is never cut off.
    pub fn line(self, outcome: &Outcome) -> String {
        let Outcome { experiment, answer, verdict, .. } = outcome;
        let head = format!("{experiment:WORD$}{}", word(verdict.kind, SENTENCE - WORD));
        let sentence = &verdict.sentence;
        if self.details {
            let note = |note: &String| self.row("", Kind::Noted, note);
            let gap = |Unjudged { matter, why }: &Unjudged| {
                self.row("", Kind::NotJudged, &format!("{matter}: {why}"))
            };
            let more = verdict.notes.iter().map(note).chain(verdict.unjudged.iter().map(gap));
            return self.row(experiment, verdict.kind, sentence) + &more.collect::<String>();
        }
        let counts = counts(outcome);
        match self.room(&counts) {
            Some(room) if *answer != Answer::Fault => {
                format!("{head}{}{}\n", cut_sentence(room, sentence), faint(counts))
            }
            _ => self.row(experiment, verdict.kind, &format!("{sentence}{}", faint(counts))),
        }
    }

    /// How many columns of a line are left for the sentence.
    fn room(self, counts: &str) -> Option<usize> {
        self.columns.0.map(|columns| columns.saturating_sub(SENTENCE + counts.len()))
    }

    /// Three columns, and the last one is wrapped.
    fn row(self, name: &str, kind: Kind, text: &str) -> String {
        let head = format!("{name:WORD$}{}", word(kind, SENTENCE - WORD));
        match self.columns.0 {
            Some(columns) if columns < NARROW => {
                format!("{}\n{}\n", head.trim_end(), self.columns.hang("", 4, text))
            }
            _ => self.columns.hang(&head, SENTENCE, text) + "\n",
        }
    }

    /// Whether the line of an outcome leaves something out.
    fn hides(self, outcome: &Outcome) -> bool {
        let counts = counts(outcome);
        let is_cut = || {
            let sentence = &outcome.verdict.sentence;
            let is_whole = |room| cut_sentence(room, sentence) == *sentence;
            outcome.answer != Answer::Fault && !self.room(&counts).is_none_or(is_whole)
        };
        !self.details && (!counts.is_empty() || is_cut())
    }

    /// What is said of a proxy that never listened. Once is enough: each experiment has the same reason.
    pub fn absent(self, outcome: &Outcome) -> String {
        let reason = format!("{}: {}.", word(Kind::Absent, 0), outcome.verdict.sentence);
        format!("{}\n\nThere was no proxy to try.\n", self.columns.fill(&reason))
    }

    /// The end of a check: what was found, what was judged, and what was not; and where to read on.
    pub fn closing(self, outcomes: &[Outcome], spec: &Spec) -> String {
        let named = |answer: Answer| -> Vec<&str> {
            let those = outcomes.iter().filter(|outcome| outcome.answer == answer);
            those.map(|outcome| outcome.experiment).collect()
        };
        let faults = named(Answer::Fault);
        let found = match &faults[..] {
            [] if judged(outcomes).is_empty() => bold("Nothing could be judged."),
            [] => paint("No fault found.", style(Kind::Exact)),
            faults => {
                let (count, all, names) = (faults.len(), outcomes.len(), faults.join(", "));
                let noun = if all == 1 { "experiment" } else { "experiments" };
                paint(format!("{count} of {all} {noun} found a fault: {names}."), style(Kind::Hole))
            }
        };
        let mut sentences = vec![found];
        let matters: Vec<String> = judged(outcomes).iter().map(Matter::to_string).collect();
        for (what, names) in [
            ("Judged", matters.iter().map(String::as_str).collect()),
            ("Not judged, or not entirely", named(Answer::NotJudged)),
            ("Not asked", experiments::not_among(outcomes)),
        ] {
            if !names.is_empty() {
                sentences.push(format!("{what}: {}.", names.join(", ")));
            }
        }
        if outcomes.iter().any(|outcome| self.hides(outcome)) {
            let more = "Add --details for the whole sentences, with notes and reasons.";
            sentences.push(faint(more));
        }
        let mut text = String::new();
        for sentence in sentences {
            let _ = writeln!(text, "{}", self.columns.fill(&sentence));
        }
        if let Some(fault) = faults.first() {
            let subject = match spec.is_step {
                true => spec.name.clone(),
                false => format!("-- {}", shell(&spec.command)),
            };
            // Not wrapped, so that they can be copied.
            let _ = writeln!(text, "\nThe evidence:    cargo lab show {fault} {subject}");
            let _ = writeln!(text, "What it means:   cargo lab explain {fault}");
        }
        text
    }
}

/// What else there is to an outcome, in a few words: ` (1 note, 2 not judged)`.
fn counts(outcome: &Outcome) -> String {
    let verdict = &outcome.verdict;
    let mut counts = vec![];
    if !verdict.notes.is_empty() {
        counts.push(count_of(verdict.notes.len(), "note"));
    }
    if !verdict.unjudged.is_empty() {
        counts.push(format!("{} not judged", verdict.unjudged.len()));
    }
    if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) }
}

/// A command as a shell reads it.
pub fn shell(words: &[String]) -> String {
    let is_plain = |word: &str| {
        let known = |char: char| char.is_ascii_alphanumeric() || "_-./:=,@%+{}".contains(char);
        // Braces with a comma between them mean several words to a shell.
        !word.is_empty() && word.chars().all(known) && !(word.contains('{') && word.contains(','))
    };
    let quoted = |word: &String| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use textwrap::core::display_width;

    use super::*;
    use crate::arrived::verdict::Verdict;

    fn outcome(kind: Kind, notes: usize, unjudged: usize) -> Outcome {
        let sentence = "it answered this and that, which takes more words than a line has; and then \
            it went on to do the rest";
        let mut verdict = Verdict::new(kind, sentence);
        verdict.notes = vec!["a note".into(); notes];
        let gap = Unjudged { matter: Matter::Memory, why: "it was not seen".into() };
        verdict.unjudged = vec![gap; unjudged];
        Outcome {
            experiment: "fin-while-frozen",
            proxy: "proxy".into(),
            is_step: false,
            answer: verdict.answer(),
            verdict,
            took_ms: 1,
            story: vec![],
        }
    }

    #[test]
    fn what_is_sound_has_one_line_that_fits() {
        for columns in [60, 80, 120] {
            let grades = Grades { details: false, columns: Columns(Some(columns)) };
            for kind in [Kind::Exact, Kind::HeldBack, Kind::Noted, Kind::NotJudged] {
                let line = grades.line(&outcome(kind, 1, 2));
                assert_eq!(line.lines().count(), 1, "{line}");
                assert!(display_width(line.trim_end()) <= columns, "{columns}: {line}");
                assert!(line.contains('…'), "{line}");
                assert!(line.contains("(1 note, 2 not judged)"), "{line}");
            }
        }
    }

    #[test]
    fn an_accusation_is_never_cut_off() {
        for columns in [40, 60, 80, 120] {
            let grades = Grades { details: false, columns: Columns(Some(columns)) };
            let fault = outcome(Kind::Frozen, 0, 0);
            let text = grades.line(&fault);
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&fault.verdict.sentence), "{text}");
            assert!(text.lines().all(|line| display_width(line) <= columns), "{columns}:\n{text}");
        }
    }

    #[test]
    fn details_are_counted_or_told() {
        let both = outcome(Kind::Exact, 1, 1);
        let told = Grades { details: true, columns: Columns(Some(80)) }.line(&both);
        assert!(told.contains("a note") && told.contains("memory: it was not seen"), "{told}");
        assert!(!told.contains('…') && !told.contains("(1 note"), "{told}");
        let piped = Grades { details: false, columns: Columns(None) }.line(&both);
        assert_eq!(piped.lines().count(), 1);
        assert!(piped.contains(&both.verdict.sentence) && piped.contains("(1 note"), "{piped}");
    }

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        let words = ["socat", "TCP-LISTEN:{listen_port},fork", "{backend}", "it's", ""];
        let said = shell(&words.map(String::from));
        assert_eq!(said, "socat 'TCP-LISTEN:{listen_port},fork' {backend} 'it'\\''s' ''");
    }
}
