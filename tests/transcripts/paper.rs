//! When a terminal still shows what its transcript says.
//!
//! Commands are compared as they are. Of the output, a transcript's masks say what may differ from
//! run to run or from machine to machine: a mask changes a line of the transcript and a line of what
//! happened in the same way, so that only the rest is compared. An exit status, which is what
//! `$ echo $?` prints, is never masked. With `# masks: numbers, departures`:
//!
//! | in the transcript | what happened | both, as they are compared |
//! |---|---|---|
//! | `connection 1: sent all 2,097,809 bytes in 0.14 s` | `connection 1: sent all 2,097,809 bytes in 1.2 s` | `connection #: sent all # bytes in # s` |
//! | `  ███▒··▒▒····▒` | `  ████▒·····▒··` | `‹strip›` |
//! | `006bf3d0: 3030 3662 6563 … .0000ecef80`, four lines | the same with other bytes, three lines | `‹bytes›`, once |
//! | `connection 1: after 39,583,744 of 113,276,497 bytes: Broken pipe (os error 32)` | `… Connection reset by peer (os error 104)` | the first pattern of `departures` below |
//!
//! The words of a tool whose version is not the one in the header are not compared either.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use lab::ladder::ladder;
use press::transcript::{TerminalLine, Transcript};

use crate::script::{Paper, Scene, directory, fits};
use crate::tools;

/// How often a line may come that fits a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    /// Once or more in a row.
    Many,
    /// Any number of times, or never: it is not compared.
    Any,
}
use Times::{Any, Many, Once};

/// All masks. A line that fits one of the patterns is compared as the first of them.
/// They are applied in the order of the header, so that behind `numbers` a number is a `#`.
#[rustfmt::skip] // A table.
const MASKS: &[(&str, Times, &[&str])] = &[
    ("numbers", Once, &[]), // Done by a function.
    ("milliseconds", Once, &["curl: (28) Operation timed out after * milliseconds with 0 bytes received"]),
    // How the other end was lost depends on who is faster.
    ("departures", Once, &[
        "connection #: after # of # bytes: Connection reset by peer (os error #)",
        "connection #: after # of # bytes: Broken pipe (os error #)",
    ]),
    // A loss may be one gap or several, in any chunk: after a first refusal the kernel may take a little
    // more. And curl has two answers to a hole: mostly 56, but 18 if its count ends at a line feed of
    // the page.
    ("gaps", Once, &["hole: *; curl would say: *"]),
    ("gaps", Once, &["swallowed: *; curl would say: *"]),
    ("gaps", Once, &["truncated: *; curl would say: (#) transfer closed with outstanding read data remaining*"]),
    ("gaps", Once, &[
        "curl would say: (#) Malformed encoding found in chunked-encoding",
        "curl would say: (#) transfer closed with outstanding read data remaining",
    ]),
    ("gaps", Many, &["missing: # bytes, from # to #*"]),
    ("gaps", Any, &["The gap begins in *", "It goes on in chunk *"]),
    // Whether there are bytes behind what is lost.
    ("hole-or-tail", Once, &["hole: *", "truncated: *"]),
    // The bytes around a jump, if there is one.
    ("evidence", Any, &["After # bytes the stream jumps *", "‹bytes›", "-* here it jumps *-", ""]),
    // Lines of the page.
    ("page", Many, &["*"]),
    // How many lines grep counts, if it finds any. None is none.
    ("lines-found", Once, &[
        "*.txt:1*", "*.txt:2*", "*.txt:3*", "*.txt:4*", "*.txt:5*", "*.txt:6*", "*.txt:7*", "*.txt:8*", "*.txt:9*",
    ]),
    ("out-of-place", Once, &["line #: *"]),
    ("wait-channel", Once, &["S+ * 02-naive-epoll"]),
    // What strace shows of a call: the data, and how much of it the kernel has taken.
    ("reads", Once, &["read(6, \"*\"..., 65536)* = *"]),
    ("writes", Once, &["write(5, \"*\"..., *)* = *"]),
    ("many-writes", Any, &["write(5, \"*\"..., *)* = *"]),
    ("unfinished-write", Once, &["write(5, \"*\"..., *strace: Process 4242 detached"]),
    ("other-curl", Once, &["curl: (18) *"]),
    ("other-curl", Once, &["curl: (28) *"]),
    ("other-curl", Once, &["curl: (56) *"]),
    ("other-strace", Once, &["*(*)* = *"]),
    ("interest", Many, &["epoll_ctl(4, EPOLL_CTL_MOD, *"]),
    // How far a response came before a reset differs in every run.
    ("arrivals", Many, &["# # of # bytes came, then: *"]),
];

/// Whether there is a mask of that name.
pub fn known(name: &str) -> Result<()> {
    ensure!(MASKS.iter().any(|(known, ..)| *known == name), "there is no mask `{name}`");
    Ok(())
}

/// A line as a mask shows it, and how often it may come.
fn masked(mask: &str, line: &str) -> (String, Times) {
    if mask == "numbers" {
        let masked = numbers(line);
        return if masked == BYTES { (masked, Many) } else { (masked, Once) };
    }
    for (_, times, patterns) in MASKS.iter().filter(|(name, ..)| *name == mask) {
        if patterns.iter().any(|pattern| fits(pattern, line).is_some()) {
            return (patterns[0].into(), *times);
        }
    }
    (line.into(), Once)
}

/// A line as it is compared, its number, and the line as it is.
type Line<'t> = (String, usize, &'t str);

impl Paper {
    /// The file, as it is called in messages.
    pub fn file(&self) -> String {
        format!("book/transcripts/{}.txt", self.name)
    }

    fn masks(&self) -> impl Iterator<Item = &str> {
        self.values("masks").flat_map(|masks| masks.split(", "))
    }

    /// Writes what was recorded. Of the header, only the line `machine` changes.
    pub fn write(&self, scene: &Scene, recording: &str) -> Result<()> {
        let mut text = String::new();
        for (key, value) in self.transcript.header.iter().filter(|(key, _)| key != "machine") {
            text += &format!("# {key}: {value}\n");
        }
        text += &format!(
            "# machine: {}\n---\n{recording}",
            tools::machine(scene.values("needs").next().unwrap_or_default())
        );
        let path = directory().join(format!("{}.txt", self.name));
        fs::write(path, text).with_context(|| self.file())
    }

    /// Compares what happened with what is on paper.
    pub fn compare(&self, recording: &str) -> Result<()> {
        let first = self.transcript.header.len() + 2;
        let expected = self.lines(first, &self.transcript.text);
        let got = self.lines(1, recording);
        let mut both = expected.iter().zip(&got);
        let Some((expected, got)) = both.find(|(expected, got)| expected.0 != got.0) else {
            return Ok(());
        };
        bail!(
            "{}:{}: this is not what happens (masks: {}):\n  expected: {}\n  got:      {}\n\
             All of it now:\n{}\n\
             If this is right, `BLESS=1 cargo test --test transcripts` records it; then read what it \
             has changed.",
            self.file(),
            expected.1,
            self.masks().collect::<Vec<_>>().join(", "),
            expected.2,
            got.2,
            recording.lines().map(|line| format!("  | {line}\n")).collect::<String>(),
        )
    }

    /// The lines that are compared, and one that says that there are no more.
    fn lines<'t>(&self, first: usize, text: &'t str) -> Vec<Line<'t>> {
        let machine = self.transcript.header("machine").unwrap_or_default();
        let is_other = |(tool, _): &(&str, &str)| {
            let now = format!("{tool} {}", tools::version(tool).unwrap_or_default());
            machine.split(", ").all(|part| part != now)
        };
        let others = WORDS.into_iter().filter(is_other).map(|(_, mask)| mask);
        let masks: Vec<&str> = self.masks().chain(others).collect();
        let mut lines: Vec<Line> = vec![];
        let mut is_status = false;
        let transcript = Transcript { header: vec![], text: text.into() };
        for ((number, text), kind) in (first..).zip(text.lines()).zip(transcript.lines()) {
            let (mut line, mut times) = (text.to_string(), Once);
            if matches!(kind, TerminalLine::Printed(_)) && !is_status {
                for mask in &masks {
                    let (next, next_times) = masked(mask, line.trim_start());
                    (line, times) = (next, if next_times == Once { times } else { next_times });
                }
            }
            is_status = text == "$ echo $?";
            let is_repeated = times == Many && lines.last().is_some_and(|last| last.0 == line);
            if times != Any && !is_repeated {
                lines.push((line, number, text));
            }
        }
        lines.push(("(end)".into(), first + text.lines().count(), "(nothing more)"));
        lines
    }
}

/// Tools whose words depend on their version, and the mask for those of another one.
const WORDS: [(&str, &str); 2] = [("curl", "other-curl"), ("strace", "other-strace")];

/// What `numbers` makes of a row of bytes.
const BYTES: &str = "‹bytes›";

/// Masks numbers that depend on the kernel or on time, with their units; the bytes in a hex view;
/// and the strip that shows where bytes are missing. Names of steps and addresses stay.
fn numbers(line: &str) -> String {
    let plain = line.trim_start();
    if !plain.is_empty() && plain.chars().all(|char| "█▒·".contains(char)) {
        return "‹strip›".into();
    }
    let is_hex = |word: &&str| word.len() == 2 && word.chars().all(|char| char.is_ascii_hexdigit());
    let mut words = plain.split_whitespace();
    let is_offset = words.next().is_some_and(|word| word.chars().all(|char| char.is_ascii_digit()));
    if is_offset && words.take(8).filter(is_hex).count() == 8 {
        return BYTES.into();
    }
    let is_step = |word: &str| ladder().steps.iter().any(|step| word.contains(&step.name));
    let masked: Vec<String> = line
        .split_whitespace()
        .map(|word| match word.contains("127.0.0.1:") || is_step(word) {
            true => word.into(),
            false => without_digits(word),
        })
        .collect();
    // Columns of numbers are as wide as their numbers.
    masked.join(" ").replace("# KiB", "# ‹unit›").replace("# MiB", "# ‹unit›")
}

/// `1,310,720` and `15.47` become `#`. A comma or a point inside a number belongs to it.
fn without_digits(word: &str) -> String {
    let masked = word.chars().map(|char| if char.is_ascii_digit() { '#' } else { char });
    let mut masked: String = masked.collect();
    for inside in ["##", "#,#", "#.#"] {
        while masked.contains(inside) {
            masked = masked.replace(inside, "#");
        }
    }
    masked
}
