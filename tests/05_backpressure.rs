//! Step 05: as much as before arrives, and what waits for it has a bound.

mod common;

use std::time::Duration;

use assert_cmd::Command;
use common::*;
use lab::ends::backend::{Act, Gate, Route};
use lab::experiments::rig::{FOREVER, Rig};
use lab::kernel::net::Window;
use lab::kernel::sockets;
use lab::kernel::wait::find_within;
use lab::sent::wire::{Framing, Wire};
use lab::subject::proxy::Spec;
use predicates::str::contains;

const STEP: &str = env!("CARGO_BIN_EXE_05-backpressure");

/// The most that waits for one end, in bytes. The step's header promises it.
const HIGH: u64 = 128 * 1024;

/// When so few are left, more may come, in bytes.
const LOW: u64 = 32 * 1024;

#[test]
fn curl_gets_both_acts_whole() {
    gets_both_acts_whole(STEP);
}

#[test]
fn what_is_taken_from_an_endless_backend_stops_within_the_bound() {
    let enough = Gate::new();
    let response = Wire::endless_response();
    let route = Route::scripted("/endless", response, vec![Act::SendUntil(enough.clone())]);
    let mut rig = rig(STEP, std::slice::from_ref(&route));
    let client = rig.client(Window::Default, &route).expect("it takes the request");
    rig.until_asked(&route).expect("the backend is asked");
    rig.settle().expect("nothing moves, although the backend would");
    let progress = rig.backend.asked_for(route.target).pop().expect("asked for above");
    assert!(!progress.is_finished);
    let inside = rig.whereabouts(&progress, &client).inside_proxy;
    assert!(inside > 0 && inside <= HIGH, "{inside} bytes wait inside the proxy");
    enough.open();
}

#[test]
fn a_transfer_that_is_done_has_resumed_as_often_as_it_has_paused_and_lost_nothing() {
    let page = Wire::response(Framing::ContentLength, 3 * flood());
    let route = Route::simple("/page", page.clone());
    let mut rig = rig(STEP, std::slice::from_ref(&route));
    let mut client = rig.client(Window::Default, &route).expect("it takes the request");
    rig.until_asked(&route).expect("the backend is asked");
    rig.settle().expect("it comes to rest");
    let ended = rig.drain(&mut client, FOREVER).expect("it lives");
    let transfer = rig.judge(client, ended).expect("it comes to an end");
    assert!(transfer.reading.is_exact());
    let Report { taken, sent, pauses, resumes, peak } = report(&rig);
    assert_eq!([taken, sent], [page.len(); 2]);
    assert!(pauses > 0 && pauses == resumes, "{pauses} pauses, {resumes} resumes");
    assert!(peak > 0 && peak <= HIGH, "at most {peak} bytes have waited");
}

#[test]
fn between_two_pauses_a_client_gets_what_lies_between_the_marks() {
    // This client takes little at a time, and the kernel is told to hold little: with one mark in the place
    // of two, nearly every event would be a pause or a resume.
    let page = Wire::response(Framing::ContentLength, 8 << 20);
    let route = Route::simple("/page", page.clone());
    let mut rig = Rig::start(&bounded("--kernel=16384"), vec![route.clone()], &Default::default())
        .expect("it starts");
    let mut client = rig.client(Window::Tiny, &route).expect("it takes the request");
    let ended = rig.drain(&mut client, FOREVER).expect("it lives");
    let transfer = rig.judge(client, ended).expect("it comes to an end");
    assert!(transfer.reading.is_exact());
    let most = page.len() / (HIGH - LOW) + 1;
    let pauses = report(&rig).pauses;
    assert!(pauses > 1 && pauses <= most, "{pauses} pauses, at most {most} are needed");
}

#[test]
fn a_client_that_leaves_while_its_backend_is_paused_is_forgotten() {
    let enough = Gate::new();
    let acts = vec![Act::SendUntil(enough.clone())];
    let route = Route::scripted("/endless", Wire::endless_response(), acts);
    let mut rig = rig(STEP, std::slice::from_ref(&route));
    rig.settle().expect("it comes to rest");
    let descriptors = rig.proxy.full_vitals().descriptors;
    let client = rig.client(Window::Default, &route).expect("it takes the request");
    rig.until_asked(&route).expect("the backend is asked");
    rig.settle().expect("it comes to rest");
    client.reset().expect("the client is there");
    let is_forgotten = || (rig.proxy.full_vitals().descriptors == descriptors).then_some(());
    assert!(
        find_within(Duration::from_secs(10), is_forgotten).is_some(),
        "it keeps the connection"
    );
    enough.open();
}

#[test]
fn the_kernel_holds_less_for_a_stalled_client_if_it_is_told_to() {
    let [bounded, unbounded] = ["--kernel=16384", "--kernel=0"].map(kernel_memory);
    println!("{bounded} bytes of the kernel's memory, {unbounded} without a bound");
    assert!(2 * bounded < unbounded, "{bounded} bytes, and {unbounded} without a bound");
}

/// The step, with a bound for the kernel.
fn bounded(option: &str) -> Spec {
    let mut spec = Spec::step(STEP);
    spec.command.insert(1, option.into());
    spec
}

/// What the kernel keeps for the step's two sockets, in bytes, while a client does not read.
fn kernel_memory(option: &str) -> u64 {
    let page = Wire::response(Framing::ContentLength, 2 * flood());
    let route = Route::simple("/page", page);
    let mut rig =
        Rig::start(&bounded(option), vec![route.clone()], &Default::default()).expect("it starts");
    let _client = rig.client(Window::Small, &route).expect("it takes the request");
    rig.until_asked(&route).expect("the backend is asked");
    rig.settle().expect("it comes to rest");
    let [front, back] = rig.ports();
    sockets::memory(front, back)
}

#[test]
fn a_bound_that_is_no_number_is_refused_in_one_line_that_names_it() {
    for bad in ["", "much", "-1", "64K"] {
        let named = format!("{bad:?} is not a number of bytes");
        Command::new(STEP)
            .arg(format!("--kernel={bad}"))
            .timeout(Duration::from_secs(10))
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(named));
    }
}

/// What the step says of a connection when it is finished: of the way to the client.
struct Report {
    taken: u64,
    sent: u64,
    pauses: u64,
    resumes: u64,
    peak: u64,
}

/// Waits for the line of the only connection.
fn report(rig: &Rig) -> Report {
    let line = || {
        let text = rig.proxy.stderr();
        text.lines().find_map(|line| line.split_once(": to the client ")).map(|it| it.1.to_string())
    };
    let line = find_within(Duration::from_secs(10), line).expect("it reports the connection");
    let (to_client, _) = line.split_once(';').expect("both directions");
    let number = |word: &str| {
        let mut words = to_client.split([' ', ',']).skip_while(|it| *it != word).skip(1);
        words
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no {word}: {line}"))
    };
    Report {
        taken: number("taken"),
        sent: number("sent"),
        pauses: number("pauses"),
        resumes: number("resumes"),
        peak: number("peak"),
    }
}
