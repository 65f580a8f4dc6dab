//! What people are shown on the command line: lines that fit their terminal, a line for each experiment,
//! explanations, the nearest name for a wrong one, and what is under way.

use std::fs::File;
use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use lab::experiments;
use lab::ladder::ladder;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use textwrap::core::display_width;

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// A sound relay, and one that loses a chunk.
const SOUND: [&str; 5] = [LAB, "relay", "none", "{listen}", "{backend}"];
const FAULTY: [&str; 5] = [LAB, "relay", "swallow-chunk", "{listen}", "{backend}"];

/// What the laboratory prints to stdout and stderr, and its exit status. `columns` is how wide a line may
/// be; without it, as wide as in any pipe.
fn lab(arguments: &[&str], columns: Option<usize>) -> (String, String, i32) {
    let mut command = Command::new(LAB);
    command.args(arguments).env_remove("COLUMNS");
    if let Some(columns) = columns {
        command.env("COLUMNS", columns.to_string());
    }
    let output = command.output().expect("the laboratory runs");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("it is UTF-8"));
    (stdout, stderr, output.status.code().expect("it has not been killed"))
}

fn assert_fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(display_width(line) <= columns, "more than {columns} columns: {line}\n{text}");
        assert_eq!(line.trim_end(), line, "spaces at the end of a line");
    }
}

/// The text with all white space made equal.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

// ---- Names --------------------------------------------------------------------------------------

#[test]
fn the_nearest_name_is_offered_for_a_wrong_one() {
    for (arguments, says) in [
        (&["explain", "two-act"][..], "there is no experiment \"two-act\"; did you mean two-acts?"),
        (
            &["show", "crwod", "01-blocking"],
            "there is no experiment \"crwod\"; did you mean crowd?",
        ),
        (&["show", "crowd", "03"], "there is no step \"03\"; did you mean 03-dropped-write?"),
        (&["check", "dropped-write"], "no step \"dropped-write\"; did you mean 03-dropped-write?"),
        (&["check", "--only", "uplod", "--", "x"], "no experiment \"uplod\"; did you mean upload?"),
        (
            &["show", "03-dropped-write", "crowd"],
            "03-dropped-write is a step; the experiment comes",
        ),
        (
            &["check", "01-blocking", "--only", "crowd"],
            "01-blocking is a step, and nothing may follow",
        ),
        (&["show", "crowd", "./mine"], "any other proxy is a command with {listen} and {backend}"),
        (
            &["scoreboard", "ngnix-stream"],
            "there is no program \"ngnix-stream\"; did you mean nginx",
        ),
    ] {
        let (stdout, stderr, status) = lab(arguments, None);
        assert_eq!((stdout.as_str(), status), ("", 2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "more than a sentence: {stderr}");
    }
}

#[test]
fn a_name_that_is_like_no_other_gets_the_whole_list() {
    let (_, stderr, status) = lab(&["explain", "kubernetes"], Some(80));
    assert_eq!(status, 2);
    assert_fits(&stderr, 80);
    for experiment in experiments::ALL {
        assert!(stderr.contains(experiment.name), "{}: {stderr}", experiment.name);
    }
}

// ---- Explanations -------------------------------------------------------------------------------

#[test]
fn every_experiment_is_explained_in_lines_that_fit() {
    for experiment in experiments::ALL {
        for columns in [50, 80, 120] {
            let (text, _, status) = lab(&["explain", "--why", experiment.name], Some(columns));
            assert_eq!(status, 0);
            assert_fits(&text, columns);
            let text = in_one_line(&text);
            let parts =
                [experiment.question, experiment.method, experiment.finds, experiment.meaning];
            for part in parts {
                assert!(text.contains(&in_one_line(part)), "{part} is not in {text}");
            }
            for matter in experiment.judges {
                let matter = matter.to_string();
                let is_there = text.to_lowercase().contains(&matter.to_lowercase());
                assert!(is_there, "{matter} is not in {text}");
            }
            for step in &ladder().steps {
                let expected = step.expected(experiment.name);
                let row = format!("{} {}", step.name, expected.words());
                assert!(text.contains(&row), "{row} is not in {text}");
                let is_told = expected.is_exact() || text.contains(&in_one_line(&expected.why));
                assert!(is_told, "{} is not in {text}", expected.why);
            }
        }
    }
}

#[test]
fn reasons_are_told_only_to_those_who_ask_why() {
    let (text, _, _) = lab(&["explain", "two-acts"], None);
    let step = &ladder().steps[2];
    let expected = step.expected("two-acts");
    assert!(text.contains(&format!("{}  {}\n", step.name, expected.words())), "{text}");
    assert!(!text.contains(&expected.why), "{text}");
}

#[test]
fn without_a_name_explain_lists_the_experiments() {
    let (text, _, status) = lab(&["explain"], None);
    assert_eq!(status, 0);
    assert_eq!(text, lab(&["list"], None).0);
    assert_eq!(text.lines().count(), experiments::ALL.len());
    let (narrow, _, _) = lab(&["list"], Some(60));
    assert_fits(&narrow, 60);
    assert_eq!(in_one_line(&narrow), in_one_line(&text));
}

// ---- A check ------------------------------------------------------------------------------------

/// Some experiments that take little time, not in the order of the list.
const SOME: [&str; 4] = ["two-acts", "plain", "refused", "lost-tail"];

fn check(options: &[&str], proxy: &[&str], columns: Option<usize>) -> (String, i32) {
    let only = SOME.iter().flat_map(|name| ["--only", name]);
    let arguments: Vec<&str> =
        ["check"].into_iter().chain(only).chain(options.iter().copied()).chain(["--"]).collect();
    let (text, errors, status) = lab(&[&arguments, proxy].concat(), columns);
    assert_eq!(errors, "", "in a pipe nothing of the progress is seen");
    assert!(!text.contains('\x1b'), "colors in a pipe: {text}");
    (text, status)
}

#[test]
fn what_is_sound_takes_a_line_an_experiment() {
    let (text, status) = check(&[], &SOUND, Some(80));
    assert_eq!(status, 0, "{text}");
    assert_fits(&text, 80);
    let (lines, closing) = text.split_once("\n\n").expect("an empty line before the closing");
    let names: Vec<_> = lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, SOME, "{text}");
    assert!(closing.starts_with("No fault found.\nJudged: "), "{text}");
    assert!(!text.contains("cargo lab show"), "{text}");
    // Whole sentences: where they are longer than a line, the next ones hang.
    let (details, _) = check(&["--details"], &SOUND, Some(80));
    assert_fits(&details, 80);
    assert!(!details.contains('…') && !details.contains("--details"), "{details}");
    assert!(details.contains(&format!("\n{:30}", "")), "{details}");
}

#[test]
fn in_a_pipe_sentences_are_whole() {
    let (text, _) = check(&[], &SOUND, None);
    assert!(!text.contains('…') && !text.contains("--details"), "{text}");
    assert_eq!(text.split("\n\n").next().map(|lines| lines.lines().count()), Some(4), "{text}");
    assert!(text.lines().any(|line| display_width(line) > 80), "{text}");
}

#[test]
fn a_fault_is_told_whole_and_with_the_way_to_its_evidence() {
    let (text, status) = check(&[], &FAULTY, Some(80));
    assert_eq!(status, 1, "{text}");
    let command = format!("cargo lab show two-acts -- {}", FAULTY.join(" "));
    // Commands can be copied: they are not wrapped.
    let (text, commands) = text.split_once("\nThe evidence:    ").expect("a way to the evidence");
    assert_eq!(commands, format!("{command}\nWhat it means:   cargo lab explain two-acts\n"));
    assert_fits(text, 80);
    let whole = in_one_line(text);
    let (faults, _) = whole.split_once(" refused ").expect("the next experiment");
    assert!(faults.contains("; curl would ") && !faults.contains('…'), "cut off: {text}");
    assert!(text.contains(&format!("\n{:30}", "")), "the second line hangs: {text}");
    assert!(whole.contains("found a fault: "), "{text}");
}

#[test]
fn the_verdict_on_a_changed_step_may_be_what_was_wanted() {
    let show = ["show", "--why", "--in-place-of", "03-dropped-write", "two-acts", "--"];
    let (text, _, status) = lab(&[&show[..], &SOUND].concat(), Some(80));
    assert_fits(&text, 80);
    assert_eq!(status, 0, "{text}");
    let whole = in_one_line(&text);
    assert!(
        whole.contains("The book says hole of this step: what write did not take is"),
        "{text}"
    );
    assert!(whole.ends_with("so another verdict may be just what you wanted."), "{text}");
    assert!(!text.contains("NOT as expected"), "{text}");
    // The same program by itself is no step, and the book says nothing of it.
    let (text, _, status) = lab(&[&["show", "two-acts", "--"], &SOUND[..]].concat(), Some(80));
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("The book says") && !text.contains("expected"), "{text}");
}

// ---- On a terminal ------------------------------------------------------------------------------

/// The laboratory on a terminal of its own.
struct Terminal {
    child: Child,
    shown: Receiver<Vec<u8>>,
    text: String,
}

fn end(slave: &OwnedFd) -> Stdio {
    Stdio::from(slave.try_clone().expect("a descriptor"))
}

impl Terminal {
    fn start(arguments: &[&str]) -> Terminal {
        Terminal::with_stdout(arguments, end)
    }

    /// The same with another stdout, given the terminal.
    fn with_stdout(arguments: &[&str], stdout: impl Fn(&OwnedFd) -> Stdio) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let mut command = std::process::Command::new(LAB);
        command.args(arguments).env_remove("COLUMNS").env_remove("NO_COLOR").env("TERM", "xterm");
        command.stdin(Stdio::null()).stdout(stdout(&pty.slave)).stderr(end(&pty.slave));
        let child = command.spawn().expect("the laboratory runs");
        // The command holds the other end, too.
        drop((command, pty.slave));
        let (sender, shown) = channel();
        let mut master = File::from(pty.master);
        thread::spawn(move || {
            let mut block = [0; 4096];
            // When nobody has the other end anymore, reading fails.
            while let Ok(count @ 1..) = master.read(&mut block) {
                let _ = sender.send(block[..count].to_vec());
            }
        });
        Terminal { child, shown, text: String::new() }
    }

    /// Waits until it shows this.
    fn wait_for(&mut self, what: &str) {
        while !self.text.contains(what) {
            let more = self.shown.recv_timeout(Duration::from_secs(120));
            let more = more.unwrap_or_else(|_| panic!("{what:?} is not shown: {:?}", self.text));
            self.text += &String::from_utf8_lossy(&more);
        }
    }

    /// Waits for its end: what it has shown, and its exit status.
    fn end(mut self) -> (String, Option<i32>) {
        while let Ok(more) = self.shown.recv_timeout(Duration::from_secs(120)) {
            self.text += &String::from_utf8_lossy(&more);
        }
        let status = self.child.wait().expect("it can be waited for");
        (self.text, status.code())
    }
}

#[test]
fn a_terminal_shows_what_runs_and_in_the_end_only_what_came_out() {
    let proxy = ["check", "--only", "plain", "--only", "reset", "--"];
    let mut terminal = Terminal::start(&[&proxy[..], &SOUND].concat());
    terminal.wait_for("running plain");
    let (text, status) = terminal.end();
    assert_eq!(status, Some(0), "{text:?}");
    assert!(text.contains("\x1b[1m\x1b[32mexact"), "no colors: {text:?}");
    // The line of the progress was wiped out.
    let last = text.rfind("running reset").expect("the other one runs, too");
    assert!(text[last..].contains("\x1b[2K"), "{text:?}");
}

#[test]
fn behind_a_pipe_nothing_is_drawn() {
    let proxy = ["check", "--only", "plain", "--"];
    let arguments = [&proxy[..], &SOUND].concat();
    let (text, status) = Terminal::with_stdout(&arguments, |_| Stdio::piped()).end();
    assert_eq!((text.as_str(), status), ("", Some(0)), "what `tee` writes would be torn");
}

#[test]
fn when_it_is_interrupted_the_terminal_can_be_typed_in() {
    let mut terminal = Terminal::start(&[&["check", "--"], &SOUND[..]].concat());
    terminal.wait_for("two-acts");
    let pid = Pid::from_raw(terminal.child.id() as i32);
    kill(pid, Signal::SIGINT).expect("it runs");
    let (text, status) = terminal.end();
    assert_eq!(status, Some(130), "{text:?}");
    assert!(text.ends_with("\r\n"), "the cursor is on no line of its own: {text:?}");
    let hidden = text.rfind("\x1b[?25l");
    assert!(hidden <= text.rfind("\x1b[?25h"), "the cursor stays hidden: {text:?}");
    // What the proxy did when we killed it is not held against it.
    assert!(!text.contains("died"), "{text:?}");
}

/// A server that takes one request, does not answer, and ends the connection after it.
fn silent_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has an address").to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; 4096]);
    });
    address
}

#[test]
fn a_client_that_stalls_counts_down() {
    let (text, _) = Terminal::start(&["client", "--stall", "2", &silent_server()]).end();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text:?}"));
    let order = ["for 2 s more.", "for 1 s more.", "Did not read for 2 s."].map(at);
    assert!(order.is_sorted(), "{text:?}");

    let (_, stderr, _) = lab(&["client", "--stall", "0.1", &silent_server()], None);
    assert_eq!(stderr, "The request is sent. Not reading for 0.1 s.\n");
}
