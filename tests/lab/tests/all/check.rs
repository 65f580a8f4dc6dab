//! `cargo lab check` where something else than the proxy's work is at issue: proxies that never listen,
//! a laboratory that cannot go on, and one that is interrupted.

use std::net::TcpListener;

use assert_cmd::Command;
use lab::kernel::procfs::with_environment;
use lab::kernel::wait::true_within;
use lab::subject::program::{Program, Signal};
use lab::subject::proxy::PATIENCE;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

const LAB: &str = env!("CARGO_BIN_EXE_lab");

fn check(options: &[&str], proxy: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(LAB).arg("check").args(options).arg("--").args(proxy).assert().code(1)
}

#[test]
fn a_program_that_is_not_there_is_said_once() {
    let assert = check(&[], &["/no/such/program", "{listen}", "{backend}"]);
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert_eq!(text.matches("/no/such/program").count(), 1, "{text}");
}

#[test]
fn each_experiment_has_its_outcome_in_json_all_the_same() {
    let assert = check(&["--json"], &["/no/such/program", "{listen}", "{backend}"]);
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for experiment in lab::experiments::ALL {
        assert!(text.contains(&format!("\"experiment\": \"{}\"", experiment.name)), "{text}");
    }
}

#[test]
fn a_program_that_goes_to_the_background_is_told_to_stay() {
    check(&[], &["sh", "-c", "sleep 60 & : {listen} {backend}"]).stdout(contains("foreground"));
}

#[test]
fn a_program_that_listened_before_and_is_slower_now_is_not_judged() {
    // It listens at its first start, and then not for a minute.
    let directory = tempfile::tempdir().expect("a directory");
    let marker = directory.path().join("started");
    let script = format!(
        "mkdir {} 2>/dev/null || exec sleep 60; exec {LAB} relay none {{listen}} {{backend}}",
        marker.display()
    );
    let options = ["check", "--patience", "1", "--only", "plain", "--only", "lost-tail", "--"];
    Command::new(LAB)
        .args(options)
        .args(["sh", "-c", &script])
        .assert()
        .code(3)
        .stdout(contains("not judged").and(contains("--patience")).and(contains("absent").not()));
}

#[test]
fn a_laboratory_that_cannot_go_on_does_not_pass_anybody() {
    // Enough descriptors to begin, and too few for twenty clients. The relay has more. With a few more than
    // that it could go well: a backend that has sent everything gives its descriptor back.
    for few in [20, 24, 28] {
        let script = format!(
            "ulimit -Sn {few}; exec {LAB} check --only crowd -- \
             sh -c 'ulimit -Sn 512; exec {LAB} relay none {{listen}} {{backend}}'"
        );
        Command::new("sh").args(["-c", &script]).assert().code(3).stdout(
            contains("the laboratory could not go on").and(contains("Too many open files")),
        );
    }
}

#[test]
fn an_interrupt_ends_what_was_started_also_in_a_session_of_its_own() {
    let tag = format!("LAB_TEST=interrupt-{}", std::process::id());
    let mut command = std::process::Command::new("env");
    let daemon = "(setsid sleep 60 &); exec sleep 60; : {listen} {backend}";
    command.args([&tag, LAB, "check", "--", "sh", "-c", daemon]);
    let mut program = Program::start(command).expect("the laboratory starts");
    let both_run = || with_environment(&tag).len() >= 3;
    assert!(true_within(PATIENCE, both_run), "{:?}", with_environment(&tag));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(program.pid()), Signal::SIGINT)
        .expect("it is there");
    let status = program.wait_for_exit(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(130));
    let gone = true_within(PATIENCE, || with_environment(&tag).is_empty());
    assert!(gone, "left behind: {:?}", with_environment(&tag));
}

#[test]
fn a_listener_on_another_address_has_not_died() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    check(&[], &[LAB, "relay", "none", "[::1]:{listen_port}", "{backend}"])
        .stdout(contains("clients of 127.0.0.1:").and(contains("absent")));
}
