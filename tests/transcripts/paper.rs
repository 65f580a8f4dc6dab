//! A transcript on paper: how it is written, and when a terminal still shows what it says.
//!
//! Commands are compared as they are. Of the output, a transcript says with its masks what may differ
//! from run to run or from machine to machine; all else must be the same. An exit status, which is
//! what `$ echo $?` prints, is never masked.

use std::fs;
use std::path::{Path, PathBuf};

use crate::transcripts::scenes::Scene;
use crate::transcripts::stage::{self, ROOT, Tool};

/// What is expected of one transcript.
pub struct Paper {
    pub name: &'static str,
    /// What may differ, in the words of the header. Empty: nothing.
    pub may_differ: &'static str,
    /// How it may: each makes lines that may stand for each other the same.
    pub masks: &'static [fn(&str) -> String],
}

/// One terminal as it came out.
pub struct Recording {
    pub name: &'static str,
    pub text: String,
    /// The bug showed, but not in the way of which the book tells: only the commands can be compared.
    pub unusual: bool,
}

/// Whether a terminal shows what the transcript says.
pub enum Verdict {
    Same,
    Different(String),
}

/// Where the transcripts are.
pub fn directory() -> PathBuf {
    Path::new(ROOT).join("book/transcripts")
}

/// A line, as it is compared and as it is.
struct Line<'t> {
    number: usize,
    masked: String,
    text: &'t str,
}

impl Paper {
    fn path(&self) -> PathBuf {
        directory().join(format!("{}.txt", self.name))
    }

    /// Writes what was recorded.
    pub fn write(&self, scene: &Scene, recording: &Recording) -> Result<(), String> {
        let mut machine = stage::machine();
        for tool in [Tool::Curl, Tool::Strace] {
            if let Some(version) = scene.needs.contains(&tool).then(|| tool.version()).flatten() {
                machine += &format!(", {} {version}", tool.name());
            }
        }
        let mut text = format!("# scene: {}\n# machine: {machine}\n", scene.name);
        if !self.may_differ.is_empty() {
            text += &format!("# may-differ: {}\n", self.may_differ);
        }
        text += "---\n";
        text += &recording.text;
        fs::write(self.path(), text).map_err(|error| format!("{}: {error}", self.path().display()))
    }

    /// Compares what happened with what is on paper.
    pub fn compare(&self, recording: &Recording) -> Verdict {
        let file = format!("book/transcripts/{}.txt", self.name);
        let Ok(paper) = fs::read_to_string(self.path()) else {
            return Verdict::Different(format!("{file} cannot be read: {HOW_TO_BLESS}"));
        };
        let Some(begin) = paper.lines().position(|line| line == "---") else {
            return Verdict::Different(format!("{file} has no line `---`: {HOW_TO_BLESS}"));
        };
        let other_words = [Tool::Curl, Tool::Strace].map(|tool| {
            let there = paper.lines().take(begin).any(|line| {
                let version = tool.version().unwrap_or_default();
                line.starts_with("# machine:")
                    && line.ends_with(&format!("{} {version}", tool.name()))
                    || line.contains(&format!("{} {version},", tool.name()))
            });
            !there
        });
        let expected: Vec<_> = (1..).zip(paper.lines()).skip(begin + 1).collect();
        let got: Vec<_> = (1..).zip(recording.text.lines()).collect();
        let masked = |lines| self.masked(lines, other_words, recording.unusual);
        let (expected, got) = (masked(expected), masked(got));
        let length = expected.len().max(got.len());
        let differs = |&at: &usize| {
            expected.get(at).map(|line| &line.masked) != got.get(at).map(|line| &line.masked)
        };
        let Some(at) = (0..length).find(differs) else { return Verdict::Same };
        let number = expected.get(at).map_or(paper.lines().count(), |line| line.number);
        let show = |lines: &[Line]| {
            lines.get(at).map_or("(nothing more)".into(), |line| line.text.to_string())
        };
        Verdict::Different(format!(
            "{file}, line {number}, does not show what happens{}:\n  expected: {}\n  got:      {}\n\
             All of it now:\n{}\n{HOW_TO_BLESS}",
            match self.may_differ {
                "" => String::new(),
                what => format!(" ({what} may differ)"),
            },
            show(&expected),
            show(&got),
            recording.text.lines().map(|line| format!("  | {line}\n")).collect::<String>(),
        ))
    }

    /// The lines as they are compared.
    fn masked<'t>(
        &self,
        lines: Vec<(usize, &'t str)>,
        [other_curl, other_strace]: [bool; 2],
        only_commands: bool,
    ) -> Vec<Line<'t>> {
        let mut masked: Vec<Line> = vec![];
        let (mut is_status, mut goes_on) = (false, false);
        for (number, text) in lines {
            let is_command = text.starts_with("$ ") || goes_on;
            goes_on = is_command && text.ends_with('\\');
            let mut line = text.to_string();
            if text.starts_with("$ ") && COMPUTED.iter().any(|tool| text[2..].starts_with(tool)) {
                line = numbers(text);
            } else if is_command || is_status {
                if only_commands && is_status {
                    line.clear();
                }
            } else {
                line = self.masks.iter().fold(line, |line, mask| mask(&line));
                if other_curl && line.starts_with("curl: (") {
                    line = line.split_inclusive(')').next().unwrap_or_default().into();
                }
                if other_strace && line.contains(") ") && line.contains(" = ") {
                    line = line.split('(').next().unwrap_or_default().into();
                }
            }
            let is_shown = (is_command || !only_commands) && line != NOTHING;
            is_status = text == "$ echo $?";
            // Nothing but dots: any number of lines of which a mask has made nothing else.
            let again = line == ANY && masked.last().is_some_and(|last| last.masked == ANY);
            let repeated =
                line.ends_with(REPEATED) && masked.last().is_some_and(|last| last.masked == line);
            if is_shown && !again && !repeated {
                masked.push(Line { number, masked: line, text });
            }
        }
        masked
    }
}

const HOW_TO_BLESS: &str =
    "If this is right, `BLESS=1 cargo test --test book` records it; then read what it has changed.";

/// Commands whose numbers the reader takes from what the terminal has shown before.
const COMPUTED: [&str; 3] = ["sed ", "xxd ", "header="];

/// A line of which nothing is compared, and of which there may be any number.
pub const ANY: &str = "…";

/// What a mask puts behind a line that may come any number of times.
const REPEATED: &str = " (and so on)";

/// What a mask makes of a line that may be missing.
const NOTHING: &str = "(nothing)";

// ---- Masks ---------------------------------------------------------------------------------------

/// Numbers that depend on the kernel or on time, with their units; the bytes in a hex view; and
/// the strip that shows where bytes are missing. Names of steps and addresses stay.
pub fn numbers(line: &str) -> String {
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
pub fn gaps(line: &str) -> String {
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

/// What a client by hand says of lost bytes: how they are lost is the kernel's.
pub fn lost(line: &str) -> String {
    match line.starts_with("hole: ") || line.starts_with("truncated: ") {
        true => "‹lost›".into(),
        false => line.to_string(),
    }
}

/// Lines of the page, cut or whole.
pub fn page(_line: &str) -> String {
    ANY.into()
}

/// The words for a connection that the other end has left: which of them depends on who is faster.
pub fn departure(line: &str) -> String {
    let (reset, broken) = ("Connection reset by peer (os error 104)", "Broken pipe (os error 32)");
    line.replace(reset, "‹gone›").replace(broken, "‹gone›")
}

/// How long curl has waited.
pub fn milliseconds(line: &str) -> String {
    match line.split_once("timed out after ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
            format!("{before}timed out after #{rest}")
        }
        None => line.to_string(),
    }
}

/// The first line of a page that is out of place.
pub fn out_of_place(line: &str) -> String {
    match line.starts_with("line #: ") {
        true => "line #: ‹line›".into(),
        false => line.to_string(),
    }
}

/// How a connection of the backend ended: either of the two ways.
pub fn over(line: &str) -> String {
    let lost = line.starts_with("connection #: after # of # bytes: ‹gone›");
    match lost || line.starts_with("connection #: sent all # bytes") {
        true => "connection #: ‹over›".into(),
        false => line.to_string(),
    }
}

/// Where the kernel lets a process sleep, in its own words.
pub fn wait_channel(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[..] {
        [stat, _, name] if stat != "STAT" => format!("{stat} ‹where› {name}"),
        _ => words.join(" "),
    }
}

/// Data, as strace shows it.
pub fn data(line: &str) -> String {
    match (line.split_once('"'), line.rsplit_once('"')) {
        (Some((before, _)), Some((_, after))) => format!("{before}\"‹data›\"{after}"),
        _ => line.to_string(),
    }
}

/// Writes that the kernel took something of, however many, and what grep puts between two finds.
pub fn writes(line: &str) -> String {
    match line.starts_with("write(") && line.ends_with("= #") || line == "--" {
        true => NOTHING.into(),
        false => line.to_string(),
    }
}

/// Writes, taken or refused.
pub fn refused(line: &str) -> String {
    match line.starts_with("write(") {
        true => line.split(" = ").next().unwrap_or_default().into(),
        false => line.to_string(),
    }
}

/// Changes of what epoll watches a descriptor for, however many.
pub fn interest(line: &str) -> String {
    match line.contains("EPOLL_CTL_MOD") {
        true => format!("epoll_ctl(#, EPOLL_CTL_MOD, …){REPEATED}"),
        false => line.to_string(),
    }
}
