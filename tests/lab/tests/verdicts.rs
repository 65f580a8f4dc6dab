//! The laboratory is tested on relays whose fault is known: each verdict is given to a relay that
//! deserves it, and relays without a fault are never accused. The faults are in `src/subject/relay.rs`.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::arrived::http::{End, Reached};
use lab::arrived::reading::Reading;
use lab::arrived::verdict::{Direction, Kind, Verdict};
use lab::experiments::{self, Outcome};
use lab::kernel::procfs;
use lab::kernel::wait::true_within;
use lab::ladder::matrix;
use lab::sent::wire::CHUNK;
use lab::subject::proxy::{PATIENCE, Proxy, Spec};

/// For each verdict, the test that shows that it is given where it is deserved. If you add a verdict,
/// this does not compile until you name its test.
const _: fn(Kind) -> fn() = |kind| match kind {
    Kind::Exact | Kind::HeldBack => a_relay_that_holds_back_is_never_accused,
    Kind::Spilled => a_relay_that_spills_to_a_file_is_never_accused,
    Kind::Grew => a_relay_without_a_bound_grows_and_is_accused_of_nothing_else,
    Kind::Hole => dropping_the_rest_of_a_block_leaves_a_hole_of_known_size,
    Kind::Truncated => closing_before_the_buffer_is_flushed_truncates,
    Kind::Swallowed => dropping_all_that_an_endless_backend_sends_is_swallowing,
    Kind::Reordered => overtaking_changes_the_order_and_loses_nothing,
    Kind::Repeated => writing_a_block_again_repeats_bytes,
    Kind::Altered => one_changed_byte_is_altered_and_not_missing,
    Kind::Frozen => one_client_at_a_time_freezes_the_crowd,
    Kind::Spun => waiting_for_room_with_nothing_to_write_is_spinning,
    Kind::Leaked => descriptors_that_do_not_come_back_are_counted,
    Kind::Died => dying_of_a_reset_is_reported_with_the_last_words,
    Kind::Absent => a_program_that_ends_at_once_is_absent_and_quoted,
    // No relay deserves these: a machine may be too slow, and a question may not fit a proxy.
    Kind::Slow | Kind::NotJudged => || {},
};

// Relays without a fault.

#[test]
fn a_relay_that_holds_back_is_never_accused() {
    let outcomes = run_all("none");
    assert_eq!(kind_in(&outcomes, "plain"), Kind::Exact);
    assert_eq!(kind_in(&outcomes, "pile-up"), Kind::HeldBack);
}

#[test]
fn a_relay_that_spills_to_a_file_is_never_accused() {
    let outcomes = run_all("spill");
    assert_eq!(kind_in(&outcomes, "pile-up"), Kind::Spilled);
}

#[test]
fn a_relay_without_a_bound_grows_and_is_accused_of_nothing_else() {
    for verdict in run_each("unbounded", &["two-acts", "overtaking", "fin-while-frozen"]) {
        assert_kind(&verdict, Kind::Exact);
    }
    let verdict = run("unbounded", "pile-up");
    assert_kind(&verdict, Kind::Grew);
    assert_eq!(verdict.missing(), 0);
}

// Bytes that do not arrive.

#[test]
fn dropping_the_rest_of_a_block_leaves_a_hole_of_known_size() {
    let verdict = run("drop-rest", "two-acts");
    assert_kind(&verdict, Kind::Hole);
    let reading = only(&verdict);
    assert_all_accounted_for(reading);
    assert!(verdict.missing() > 0 && !reading.damage.gaps[0].tail);
    assert!(reading.damage.gaps[0].chunk.is_some());
    // 18 if a line feed happens to stand where curl expects the end of the damaged chunk.
    assert!([56, 18].contains(&reading.curl.exit), "{:?}", reading.curl);
}

#[test]
fn dropping_the_rest_of_a_single_burst_loses_bytes() {
    let verdict = run("drop-rest", "lost-tail");
    // The kernel may take a little more after it has refused: then there are two gaps.
    assert!(matches!(verdict.kind, Kind::Truncated | Kind::Hole), "{}", verdict.sentence);
    assert_all_accounted_for(only(&verdict));
    assert!(verdict.missing() > 0);
}

#[test]
fn dropping_all_that_an_endless_backend_sends_is_swallowing() {
    let verdict = run("drop-rest", "pile-up");
    assert_kind(&verdict, Kind::Swallowed);
    assert!(verdict.missing() > 32 << 20, "{}", verdict.sentence);
}

#[test]
fn a_missing_chunk_is_seen_although_curl_is_content() {
    let verdict = run("swallow-chunk", "plain");
    assert_kind(&verdict, Kind::Hole);
    let [chunked, others @ ..] = &readings(&verdict)[..] else { panic!("nothing was read") };
    let [gap] = chunked.damage.gaps[..] else { panic!("{:?}", chunked.damage.gaps) };
    // The chunk is its four digits of size, a line end, the data, and a line end.
    assert_eq!((gap.len, gap.body_len), (CHUNK + 8, CHUNK));
    assert_eq!((chunked.curl.exit, chunked.reached), (0, Reached::Complete));
    assert_all_accounted_for(chunked);
    assert!(others.iter().all(|other| other.is_exact()));
    assert!(verdict.sentence.contains("curl notices nothing"), "{}", verdict.sentence);
}

#[test]
fn closing_before_the_buffer_is_flushed_truncates() {
    let verdict = run("lose-tail", "lost-tail");
    assert_kind(&verdict, Kind::Truncated);
    let reading = only(&verdict);
    assert_all_accounted_for(reading);
    assert_eq!((reading.damage.gaps.len(), reading.end, reading.curl.exit), (1, End::Fin, 18));
}

#[test]
fn one_read_at_the_end_passes_on_exactly_one_read() {
    let verdict = run("one-read-at-end", "fin-while-frozen");
    assert_kind(&verdict, Kind::Truncated);
    let reading = only(&verdict);
    assert_eq!(reading.damage.received, 64 * 1024);
    assert_all_accounted_for(reading);
    // This body ends where the connection is closed, so curl cannot know that it came too early.
    assert_eq!(reading.curl.exit, 0);
}

#[test]
fn an_upload_that_is_not_buffered_is_cut_and_its_download_is_not() {
    let [upload, download] = &run_each("forget-upload", &["upload", "two-acts"])[..] else {
        unreachable!("two experiments have two verdicts")
    };
    assert!(matches!(upload.kind, Kind::Truncated | Kind::Hole), "{}", upload.sentence);
    assert_eq!(upload.transfers[0].direction, Direction::Upload);
    assert_all_accounted_for(&upload.transfers[0].reading);
    assert!(!upload.gaps(Direction::Upload).is_empty());
    assert_kind(download, Kind::Exact);
}

#[test]
fn what_is_kept_and_never_written_is_missing_from_an_open_connection() {
    let verdict = run("never-flush", "lost-tail");
    assert_kind(&verdict, Kind::Truncated);
    let reading = only(&verdict);
    assert_all_accounted_for(reading);
    assert_eq!((reading.end, reading.curl.exit), (End::Open, 28));
}

// Bytes that arrive changed, twice, or in another order.

#[test]
fn overtaking_changes_the_order_and_loses_nothing() {
    let verdict = run("overtake", "overtaking");
    assert_kind(&verdict, Kind::Reordered);
    let damage = &only(&verdict).damage;
    assert_eq!((damage.received, damage.missing(), damage.repeated), (damage.sent, 0, 0));
    assert!(damage.reordered > 0);
}

#[test]
fn writing_a_block_again_repeats_bytes() {
    let verdict = run("repeat", "two-acts");
    assert_kind(&verdict, Kind::Repeated);
    let damage = &only(&verdict).damage;
    assert!(damage.repeated > 0);
    assert_eq!((damage.received, damage.missing()), (damage.sent + damage.repeated, 0));
}

#[test]
fn one_changed_byte_is_altered_and_not_missing() {
    let verdict = run("alter", "plain");
    assert_kind(&verdict, Kind::Altered);
    for reading in readings(&verdict) {
        let damage = &reading.damage;
        assert_eq!((damage.altered, damage.foreign, damage.missing()), (1, 0, 0));
        assert_eq!((damage.received, reading.curl.exit), (damage.sent, 0));
    }
}

// Nothing moves.

#[test]
fn one_client_at_a_time_freezes_the_crowd() {
    let verdict = run("one-at-a-time", "crowd");
    assert_kind(&verdict, Kind::Frozen);
    assert!(verdict.sentence.contains("1 got as far as the backend"), "{}", verdict.sentence);
    assert!(verdict.sentence.contains("asleep in every thread"), "{}", verdict.sentence);
}

#[test]
fn a_transfer_that_is_never_resumed_is_frozen_half_way() {
    let verdict = run("never-resume", "lost-tail");
    assert_kind(&verdict, Kind::Frozen);
    assert!(verdict.sentence.contains("wait in the kernel's queues"), "{}", verdict.sentence);
    assert_all_accounted_for(only(&verdict));
}

#[test]
fn a_client_left_waiting_when_the_backend_refuses_is_frozen() {
    let verdict = run("hang-on-refused", "refused");
    assert_kind(&verdict, Kind::Frozen);
    assert!(verdict.sentence.contains("the backend refuses"), "{}", verdict.sentence);
}

#[test]
fn waiting_for_room_with_nothing_to_write_is_spinning() {
    assert_kind(&run("spin", "lost-tail"), Kind::Spun);
}

// What a relay does not give back.

#[test]
fn descriptors_that_do_not_come_back_are_counted() {
    let verdict = run("leak-descriptors", "reset");
    assert_kind(&verdict, Kind::Leaked);
    // 20 connections have two sockets each.
    assert!(verdict.sentence.starts_with("40 descriptors"), "{}", verdict.sentence);
}

#[test]
fn memory_that_does_not_come_back_is_a_leak() {
    let verdict = run("leak-memory", "reset");
    assert_kind(&verdict, Kind::Leaked);
    assert!(verdict.sentence.starts_with("memory rose"), "{}", verdict.sentence);
}

// It ends, or never begins.

#[test]
fn dying_of_a_reset_is_reported_with_the_last_words() {
    assert_died(&run("die-on-reset", "reset"), "Connection reset by peer");
}

#[test]
fn dying_of_a_refusal_is_reported_with_the_last_words() {
    assert_died(&run("exit-on-refused", "refused"), "Connection refused");
}

#[test]
fn dying_of_a_stop_and_continue_is_reported_with_the_last_words() {
    assert_died(&run("die-on-stop", "stop-and-go"), "Interrupted system call");
}

#[test]
fn a_program_that_ends_at_once_is_absent_and_quoted() {
    let verdict = run_program(&["sh", "-c", "echo no such luck >&2; exit 3"], PATIENCE);
    assert_kind(&verdict, Kind::Absent);
    for words in ["no such luck", "status 3"] {
        assert!(verdict.sentence.contains(words), "{}", verdict.sentence);
    }
}

#[test]
fn a_program_that_never_listens_is_absent_when_patience_is_over() {
    let begun = Instant::now();
    let verdict = run_program(&["sleep", "60"], Duration::from_millis(300));
    assert_kind(&verdict, Kind::Absent);
    assert!(verdict.sentence.contains("nothing listened after 0.3 s"), "{}", verdict.sentence);
    let took = begun.elapsed();
    assert!((0.3..5.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn a_program_that_is_not_there_is_absent_and_named() {
    let spec = program(&["/no/such/program"], PATIENCE);
    let verdict = experiments::named("plain").unwrap().run(&spec).verdict;
    assert_kind(&verdict, Kind::Absent);
    assert!(verdict.sentence.contains("/no/such/program"), "{}", verdict.sentence);
}

// No process is left behind. All tests above check that after each experiment. The next two show that
// the check would find one.

#[test]
fn a_relay_is_there_while_it_is_used_and_gone_afterwards() {
    let (tag, spec) = tagged(&relay("none"));
    let proxy = Proxy::start(&spec, ([127, 0, 0, 1], 9).into()).expect("the relay starts");
    assert_eq!(alive(&tag), proxy.family());
    drop(proxy);
    assert_gone(&tag);
}

#[test]
fn a_process_that_has_left_its_group_and_its_parent_is_ended_too() {
    let daemon = ["sh", "-c", "(setsid sleep 60 &); sleep 60"];
    let (tag, spec) = tagged(&program(&daemon, Duration::from_secs(1)));
    let start = thread::spawn(move || Proxy::start(&spec, ([127, 0, 0, 1], 9).into()).is_ok());
    let has_left = |pid: &i32| {
        procfs::process(*pid).is_some_and(|process| {
            let parents = [alive(&tag), vec![std::process::id() as i32]].concat();
            process.pgrp == process.pid && !parents.contains(&process.ppid)
        })
    };
    let left = true_within(Duration::from_secs(5), || alive(&tag).iter().any(has_left));
    assert!(left, "no process has left its parent");
    assert!(!start.join().expect("no panic"), "nothing listens");
    assert_gone(&tag);
}

/// The relay that has this fault.
fn relay(fault: &str) -> Spec {
    let command = [env!("CARGO_BIN_EXE_lab"), "relay", fault, "{listen}", "{backend}"];
    Spec { name: fault.into(), announces: true, ..program(&command, PATIENCE) }
}

fn program(command: &[&str], patience: Duration) -> Spec {
    let command = command.iter().map(|&word| word.into()).collect();
    Spec { patience, ..Spec::foreign(command) }
}

/// Runs an experiment against the relay with that fault.
fn run(fault: &str, experiment: &str) -> Verdict {
    run_spec(&relay(fault), experiment).verdict
}

fn run_program(command: &[&str], patience: Duration) -> Verdict {
    run_spec(&program(command, patience), "plain").verdict
}

/// Runs several experiments at the same time.
fn run_each(fault: &str, names: &[&str]) -> Vec<Verdict> {
    thread::scope(|scope| {
        let running: Vec<_> =
            names.iter().map(|name| scope.spawn(move || run(fault, name))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// Runs all experiments against a relay that must not be accused by any.
fn run_all(relay_name: &str) -> Vec<Outcome> {
    let (tag, spec) = tagged(&relay(relay_name));
    let outcomes = matrix::run_all(matrix::grid(&[spec]), matrix::JOBS, |_| {});
    assert_gone(&tag);
    for Outcome { experiment, verdict, .. } in &outcomes {
        assert!(verdict.kind.is_good(), "{experiment}: {}: {}", verdict.kind, verdict.sentence);
    }
    outcomes
}

fn run_spec(spec: &Spec, experiment: &str) -> Outcome {
    let (tag, spec) = tagged(spec);
    let experiment = experiments::named(experiment).expect("an experiment of that name");
    let outcome = experiment.run(&spec);
    assert_gone(&tag);
    outcome
}

fn kind_in(outcomes: &[Outcome], experiment: &str) -> Kind {
    let outcome = outcomes.iter().find(|outcome| outcome.experiment == experiment);
    outcome.expect("all experiments were run").verdict.kind
}

fn readings(verdict: &Verdict) -> Vec<&Reading> {
    verdict.transfers.iter().map(|transfer| &transfer.reading).collect()
}

fn only(verdict: &Verdict) -> &Reading {
    let [transfer] = &verdict.transfers[..] else { panic!("one transfer: {}", verdict.sentence) };
    &transfer.reading
}

#[track_caller]
fn assert_kind(verdict: &Verdict, kind: Kind) {
    assert_eq!(verdict.kind, kind, "{}", verdict.sentence);
}

#[track_caller]
fn assert_died(verdict: &Verdict, last_words: &str) {
    assert_kind(verdict, Kind::Died);
    assert!(verdict.sentence.contains(last_words), "{}", verdict.sentence);
}

/// Each byte that was sent either arrived, in order, or is counted as missing.
#[track_caller]
fn assert_all_accounted_for(reading: &Reading) {
    let damage = &reading.damage;
    assert_eq!(damage.received + damage.missing(), damage.sent, "{:?}", damage.gaps);
    let others = (damage.reordered, damage.repeated, damage.altered, damage.foreign);
    assert_eq!(others, (0, 0, 0, 0));
}

/// The same program with a tag in its environment. The program and all that it starts have that tag.
fn tagged(spec: &Spec) -> (String, Spec) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let tag = format!("LAB_TEST={}-{number}", std::process::id());
    let mut command = vec!["env".to_string(), tag.clone()];
    command.extend(spec.command.clone());
    (tag, Spec { command, ..spec.clone() })
}

/// The processes with that tag.
fn alive(tag: &str) -> Vec<i32> {
    procfs::with_environment(tag)
}

/// No process with that tag is left, or will be in a moment: the kernel needs some time to end one.
#[track_caller]
fn assert_gone(tag: &str) {
    let gone = true_within(Duration::from_secs(2), || alive(tag).is_empty());
    assert!(gone, "left behind: {:?}", alive(tag));
}
