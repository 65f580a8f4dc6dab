//! `cargo lab check` on proxies that never listen: it says so once, with the reason, and does not wait
//! for them again in every experiment.
#![cfg(target_os = "linux")]

use std::net::TcpListener;

use assert_cmd::Command;
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
fn a_listener_on_another_address_has_not_died() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    check(&[], &[LAB, "relay", "none", "[::1]:{listen_port}", "{backend}"])
        .stdout(contains("clients of 127.0.0.1:").and(contains("absent")));
}
