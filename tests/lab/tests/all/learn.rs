//! `cargo lab learn` on programs whose fault is known.

use std::fs;
use std::process::Command;

use lab::arrived::verdict::Kind;
use lab::kernel::wait::true_within;
use lab::ladder::{self, ladder, milestones};
use lab::subject::program::{Program, Signal};
use lab::subject::proxy::PATIENCE;

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// What `learn` prints about the relay with that fault, and its exit status.
fn learn(options: &[&str], fault: &str) -> (String, i32) {
    let mut command = Command::new(LAB);
    command.args(["learn", "--once"]).args(options);
    command.args(["--", LAB, "relay", fault, "{listen}", "{backend}"]);
    let output = command.output().expect("the laboratory runs");
    let text = String::from_utf8(output.stdout).expect("it is UTF-8");
    (text, output.status.code().expect("it has not been killed"))
}

/// Both hints on an experiment that came to this, at the first chapter that asks it.
fn hints(experiment: &str, kind: Kind) -> [String; 2] {
    let all = milestones::read(&ladder::root(), ladder()).expect("the milestones can be read");
    let mut questions = all.into_iter().flat_map(|milestone| milestone.asks);
    let question = questions.find(|one| one.experiment == experiment).expect("it is asked");
    question.hints(kind).clone()
}

#[test]
fn what_is_reached_is_said_and_what_is_left_to_ask() {
    let (text, status) = learn(&["--at", "3"], "none");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("Your proxy does what this chapter asks."), "{text}");
    assert!(text.contains("cargo lab check -- "), "{text}");
    assert!(!text.contains("Hint:"), "{text}");
}

#[test]
fn the_first_fault_is_shown_with_its_evidence_and_a_hint() {
    let [first, second] = hints("crowd", Kind::Frozen);
    let (text, status) = learn(&["--at", "3", "--hint"], "one-at-a-time");
    assert_eq!(status, 1, "{text}");
    // That is the story that `show` tells.
    assert!(text.contains("The proxy listens on 127.0.0.1:"), "{text}");
    assert!(text.contains(&first) && text.contains(&second), "{text}");
}

#[test]
fn nothing_is_asked_after_the_first_fault() {
    let (text, status) = learn(&["--at", "4"], "drop-rest");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("two-acts") && !text.contains("overtaking"), "{text}");
}

#[test]
fn a_program_that_spins_gets_another_hint_than_one_that_loses_bytes() {
    assert_ne!(hints("two-acts", Kind::Spun), hints("two-acts", Kind::Hole));
    assert_ne!(hints("two-acts", Kind::Truncated), hints("two-acts", Kind::Hole));
    assert_eq!(hints("two-acts", Kind::Frozen), hints("two-acts", Kind::Hole));
}

#[test]
fn chapters_are_asked_in_their_order_up_to_the_first_fault() {
    let (text, status) = learn(&[], "die-on-stop");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("Chapter 2.") && !text.contains("Chapter 3."), "{text}");
}

#[test]
fn a_chapter_that_is_not_there_is_a_wrong_argument() {
    let output = Command::new(LAB).args(["learn", "--once", "--at", "99"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("there is no chapter 99"), "{text}");
}

#[test]
fn it_looks_again_when_the_program_is_saved_and_quits_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("proxy.sh");
    let write = |fault: &str| {
        fs::write(&script, format!("exec {LAB} relay {fault} $1 $2\n")).unwrap();
    };
    write("one-at-a-time");
    let mut command = Command::new(LAB);
    command.args(["learn", "--at", "3", "--", "sh"]).arg(&script).args(["{listen}", "{backend}"]);
    let mut program = Program::start(command).expect("the laboratory starts");
    // On a busy machine the first look may take longer than a program may take to listen.
    let says = |program: &Program, what: &str| {
        true_within(6 * PATIENCE, || program.stdout.text().contains(what))
    };
    assert!(says(&program, "It looks again when you save"), "{}", program.stdout.text());
    // The second hint has to be asked for.
    let [first, second] = hints("crowd", Kind::Frozen);
    let text = program.stdout.text();
    assert!(text.contains(&first) && !text.contains(&second), "{text}");
    write("none");
    assert!(says(&program, "does what this chapter asks"), "{}", program.stdout.text());
    program.signal(Signal::SIGINT);
    let status = program.wait_for_exit(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(130));
}
