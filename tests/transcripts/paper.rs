//! When a terminal still shows what its transcript says.
//!
//! Commands are compared as they are. Of the output, a transcript's masks say what may differ from
//! run to run or from machine to machine: a mask changes a line of the transcript and a line of what
//! happened in the same way, so that only the rest is compared. An exit status, which is what
//! `$ echo $?` prints, is never masked.
//!
//! | mask | a line | as it is compared |
//! |---|---|---|
//! | `numbers` | `connection 1: sent all 2,097,809 bytes in 0.14 s` | `connection #: sent all # bytes in # s` |
//! | | `  ███▒··▒▒····▒` | `‹strip›` |
//! | | `006bf3d0: 3030 3662 6563 … .0000ecef80` | `‹bytes›`, any number of lines |
//! | `milliseconds` | `… timed out after 2001 milliseconds …` | `… timed out after # milliseconds …` |
//! | `departures` | `… Broken pipe (os error 32)` | `… ‹gone›` |
//! | `gaps` | `hole: # gaps, …; curl: (#) Malformed …` | `hole: ‹gaps›; curl: ‹56 or 18›` |
//! | | `missing: # bytes, from # to #` | `missing: ‹gap›`, any number of lines |
//! | `hole-or-tail` | `truncated: the last # bytes are missing …` | `‹lost›` |
//! | `evidence` | the bytes around a jump, and empty lines | nothing |
//! | `page` | any line | `…`, any number of lines |
//! | `out-of-place` | `line #: 0000ebffb0 QazU` | `line #: ‹line›` |
//! | `wait-channel` | `S+   wait_woken       02-naive-epoll` | `S+ ‹where› 02-naive-epoll` |
//! | `data` | `write(5, "R\n0000417730 yP8k\n"..., 65536) = 8245` | `write(5, "‹data›"..., 65536) = 8245` |
//! | `writes` | `write(#, "‹data›"..., #) = #`, and `--` | nothing |
//! | `refusals` | `write(#, "‹data›"..., #) = -# EAGAIN (…)` | `write(#, "‹data›"..., #)` |
//! | `interest` | `epoll_ctl(#, EPOLL_CTL_MOD, #, …) = #` | the same for all, any number of lines |
//!
//! The words of a tool whose version is not the one in the header are not compared either.

use std::fs;

use crate::script::{Paper, Scene, directory};
use crate::tools::{self, WORDS_DIFFER};

/// One terminal as it came out.
pub struct Recording {
    /// The name of its transcript.
    pub name: String,
    pub text: String,
}

/// A way in which lines may differ and still be the same.
pub struct Mask {
    /// What a header calls it.
    pub name: &'static str,
    apply: fn(&str) -> String,
}

/// All masks.
pub static MASKS: [Mask; 13] = [
    Mask { name: "numbers", apply: numbers },
    Mask { name: "milliseconds", apply: milliseconds },
    Mask { name: "departures", apply: departures },
    Mask { name: "gaps", apply: gaps },
    Mask { name: "hole-or-tail", apply: hole_or_tail },
    Mask { name: "evidence", apply: evidence },
    Mask { name: "page", apply: page },
    Mask { name: "out-of-place", apply: out_of_place },
    Mask { name: "wait-channel", apply: wait_channel },
    Mask { name: "data", apply: data },
    Mask { name: "writes", apply: writes },
    Mask { name: "refusals", apply: refusals },
    Mask { name: "interest", apply: interest },
];

/// A line, as it is compared and as it is.
struct Line<'t> {
    number: usize,
    masked: String,
    text: &'t str,
}

impl Paper {
    /// The file, as it is called in messages.
    pub fn file(&self) -> String {
        format!("book/transcripts/{}.txt", self.name)
    }

    /// Writes what was recorded. Of the header, only the line `machine` changes.
    pub fn write(&self, scene: &Scene, recording: &str) -> Result<(), String> {
        let mut text = String::new();
        for (key, value) in self.transcript.header.iter().filter(|(key, _)| key != "machine") {
            text += &format!("# {key}: {value}\n");
        }
        text += &format!("# machine: {}\n---\n{recording}", tools::machine(&scene.needs));
        let path = directory().join(format!("{}.txt", self.name));
        fs::write(path, text).map_err(|error| format!("{}: {error}", self.file()))
    }

    /// Compares what happened with what is on paper.
    pub fn compare(&self, recording: &str) -> Result<(), String> {
        let first = self.transcript.header.len() + 2;
        let expected = self.masked((first..).zip(self.transcript.text.lines()));
        let got = self.masked((1..).zip(recording.lines()));
        let differs = |&at: &usize| {
            expected.get(at).map(|line| &line.masked) != got.get(at).map(|line| &line.masked)
        };
        let length = expected.len().max(got.len());
        let Some(at) = (0..length).find(differs) else { return Ok(()) };
        let end = first + self.transcript.text.lines().count();
        let show = |lines: &[Line]| {
            lines.get(at).map_or("(nothing more)".into(), |line| line.text.to_string())
        };
        let masks: Vec<_> = self.masks.iter().map(|mask| mask.name).collect();
        Err(format!(
            "{}:{}: this is not what happens{}:\n  expected: {}\n  got:      {}\n\
             All of it now:\n{}\n{HOW_TO_BLESS}",
            self.file(),
            expected.get(at).map_or(end, |line| line.number),
            if masks.is_empty() {
                String::new()
            } else {
                format!(" (masks: {})", masks.join(", "))
            },
            show(&expected),
            show(&got),
            recording.lines().map(|line| format!("  | {line}\n")).collect::<String>(),
        ))
    }

    /// The lines as they are compared.
    fn masked<'t>(&self, lines: impl Iterator<Item = (usize, &'t str)>) -> Vec<Line<'t>> {
        let machine = self.transcript.header("machine").unwrap_or_default();
        let [other_curl, other_strace] = WORDS_DIFFER.map(|name| {
            let version = tools::named(name).ok().and_then(tools::Tool::version);
            let now = format!("{name} {}", version.unwrap_or_default());
            !machine.split(", ").any(|part| part == now)
        });
        let mut masked: Vec<Line> = vec![];
        let (mut is_status, mut goes_on) = (false, false);
        for (number, text) in lines {
            let is_command = text.starts_with("$ ") || goes_on;
            goes_on = is_command && text.ends_with('\\');
            let mut line = text.to_string();
            if text.starts_with("$ ") && COMPUTED.iter().any(|tool| text[2..].starts_with(tool)) {
                line = numbers(text);
            } else if !is_command && !is_status {
                line = self.masks.iter().fold(line, |line, mask| (mask.apply)(&line));
                if other_curl && line.starts_with("curl: (") {
                    line = line.split_inclusive(')').next().unwrap_or_default().into();
                }
                if other_strace && line.contains(") ") && line.contains(" = ") {
                    line = line.split('(').next().unwrap_or_default().into();
                }
            }
            is_status = text == "$ echo $?";
            let may_repeat = line == ANY || line.ends_with(REPEATED);
            let is_repeated = may_repeat && masked.last().is_some_and(|last| last.masked == line);
            if line != NOTHING && !is_repeated {
                masked.push(Line { number, masked: line, text });
            }
        }
        masked
    }
}

/// What to do about a difference.
pub const HOW_TO_BLESS: &str = "If this is right, `BLESS=1 cargo test --test transcripts` records it; \
    then read what it has changed.";

/// Commands whose numbers the reader takes from what the terminal has shown before.
const COMPUTED: [&str; 3] = ["sed ", "xxd ", "header="];

/// A line of which nothing is compared, and of which there may be any number.
const ANY: &str = "…";

/// What a mask puts behind a line that may come any number of times.
const REPEATED: &str = " (and so on)";

/// What a mask makes of a line that may be missing.
const NOTHING: &str = "(nothing)";

// ---- Masks ---------------------------------------------------------------------------------------

/// Numbers that depend on the kernel or on time, with their units; the bytes in a hex view; and
/// the strip that shows where bytes are missing. Names of steps and addresses stay.
fn numbers(line: &str) -> String {
    let plain = line.trim_start();
    if !plain.is_empty() && plain.chars().all(|char| "█▒·".contains(char)) {
        return "‹strip›".into();
    }
    let hex_byte =
        |word: &str| word.len() == 2 && word.chars().all(|char| char.is_ascii_hexdigit());
    let mut words = plain.split_whitespace();
    let first = words.next().unwrap_or_default();
    if first.chars().all(|char| char.is_ascii_digit())
        && words.take(8).filter(|word| hex_byte(word)).count() == 8
    {
        return format!("‹bytes›{REPEATED}");
    }
    let mut masked = String::new();
    for word in line.split_inclusive(char::is_whitespace) {
        let keep = word.contains("127.0.0.1:") || is_step(word);
        masked += &if keep { word.to_string() } else { without_digits(word) };
    }
    // Columns of numbers are as wide as their numbers.
    let masked: Vec<_> = masked.split_whitespace().collect();
    masked.join(" ").replace("# KiB", "# ‹unit›").replace("# MiB", "# ‹unit›")
}

/// `03-dropped-write`, with or without a sign behind it.
fn is_step(word: &str) -> bool {
    let word = word.as_bytes();
    word.len() > 3
        && word[..2].iter().all(u8::is_ascii_digit)
        && word[2] == b'-'
        && word[3].is_ascii_lowercase()
}

fn without_digits(word: &str) -> String {
    let mut masked = String::new();
    for char in word.chars() {
        match char {
            '0'..='9' if !masked.ends_with('#') => masked.push('#'),
            '0'..='9' => {}
            // Inside a number, a comma or a point belongs to it; behind one, it may not.
            _ => masked.push(char),
        }
    }
    while masked.contains("#,#") || masked.contains("#.#") {
        masked = masked.replace("#,#", "#").replace("#.#", "#");
    }
    masked
}

/// How many gaps a loss is made of, in which chunks they begin and end, and which of two things curl
/// says of a hole. After a first refusal the kernel may take a little more; and where it lets curl's
/// count come out at a line feed of the page, curl says 18 and not 56.
fn gaps(line: &str) -> String {
    for kind in ["hole: ", "truncated: ", "swallowed: "] {
        if line.starts_with(kind) {
            let said = line.split_once("; curl").map_or("", |(_, said)| said);
            let said = if kind == "truncated: " { said.into() } else { of_a_hole(said) };
            return format!("{kind}‹gaps›; curl{said}");
        }
    }
    if line.contains("curl would say: ") {
        return of_a_hole(line);
    }
    if line.starts_with("missing: ") {
        return format!("missing: ‹gap›{REPEATED}");
    }
    match line.starts_with("The gap begins in ") || line.starts_with("It goes on in chunk ") {
        true => NOTHING.into(),
        false => line.to_string(),
    }
}

fn of_a_hole(said: &str) -> String {
    let (bad, short) = (
        "(#) Malformed encoding found in chunked-encoding",
        "(#) transfer closed with outstanding read data remaining",
    );
    said.replace(bad, "‹56 or 18›").replace(short, "‹56 or 18›")
}

/// How bytes are lost: with others behind them, or at the end. It is the kernel's to decide.
fn hole_or_tail(line: &str) -> String {
    match line.starts_with("hole: ") || line.starts_with("truncated: ") {
        true => "‹lost›".into(),
        false => line.to_string(),
    }
}

/// The bytes on both sides of a jump, behind `numbers`. Without bytes after a gap, there are none.
fn evidence(line: &str) -> String {
    let is_evidence = line.starts_with("After # bytes the stream jumps ")
        || line.starts_with("‹bytes›")
        || line.contains(" here it jumps ")
        || line.is_empty();
    if is_evidence { NOTHING.into() } else { line.to_string() }
}

/// Lines of the page, cut or whole.
fn page(_line: &str) -> String {
    ANY.into()
}

/// The words for a connection that the other end has left: which of them depends on who is faster.
fn departures(line: &str) -> String {
    let (reset, broken) = ("Connection reset by peer (os error 104)", "Broken pipe (os error 32)");
    line.replace(reset, "‹gone›").replace(broken, "‹gone›")
}

/// How long curl has waited.
fn milliseconds(line: &str) -> String {
    match line.split_once("timed out after ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
            format!("{before}timed out after #{rest}")
        }
        None => line.to_string(),
    }
}

/// The first line of a page that is out of place.
fn out_of_place(line: &str) -> String {
    match line.starts_with("line #: ") {
        true => "line #: ‹line›".into(),
        false => line.to_string(),
    }
}

/// Where the kernel lets a process sleep, in its own words.
fn wait_channel(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        [stat, _, name] if stat != "STAT" => format!("{stat} ‹where› {name}"),
        _ => words.join(" "),
    }
}

/// Data, as strace shows it.
fn data(line: &str) -> String {
    match (line.split_once('"'), line.rsplit_once('"')) {
        (Some((before, _)), Some((_, after))) => format!("{before}\"‹data›\"{after}"),
        _ => line.to_string(),
    }
}

/// Writes that have come back, however many, and what grep puts between two finds.
fn writes(line: &str) -> String {
    let is_taken = line.ends_with("= #") || line.contains("EAGAIN");
    match line.starts_with("write(") && is_taken || line == "--" {
        true => NOTHING.into(),
        false => line.to_string(),
    }
}

/// Writes, taken or refused.
fn refusals(line: &str) -> String {
    match line.starts_with("write(") {
        true => line.split(" = ").next().unwrap_or_default().into(),
        false => line.to_string(),
    }
}

/// Changes of what epoll watches a descriptor for, however many.
fn interest(line: &str) -> String {
    match line.contains("EPOLL_CTL_MOD") {
        true => format!("epoll_ctl(#, EPOLL_CTL_MOD, …){REPEATED}"),
        false => line.to_string(),
    }
}
