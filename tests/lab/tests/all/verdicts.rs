//! The laboratory is tested on relays whose fault is known: each verdict is given to a relay that
//! deserves it, and relays without a fault are never accused. The faults are in `src/subject/relay.rs`.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::arrived::http::{End, Reached};
use lab::arrived::reading::Reading;
use lab::arrived::verdict::{Answer, Direction, Figure, Kind, Verdict};
use lab::experiments;
use lab::kernel::procfs::{self, with_environment};
use lab::kernel::wait::true_within;
use lab::sent::wire::CHUNK;
use lab::subject::proxy::{PATIENCE, Proxy, Spec};

/// For each verdict, the test that shows that it is given where it is deserved. If you add a verdict,
/// this does not compile until you name its test.
const _: fn(Kind) -> fn() = |kind| match kind {
    Kind::Exact | Kind::HeldBack => a_relay_that_holds_back_is_never_accused,
    Kind::Spilled => a_relay_that_spills_to_a_file_is_never_accused,
    Kind::Grew => a_relay_without_a_bound_grows_and_is_accused_of_nothing_else,
    Kind::Crossed => a_buffer_that_is_not_emptied_gives_a_client_the_bytes_of_another,
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
    Kind::Noted => a_proxy_that_speaks_http_may_take_an_end_for_the_end_of_both,
    // No relay deserves this: a question may not fit a proxy.
    Kind::NotJudged => || {},
};

// Relays without a fault.

#[test]
fn a_relay_that_holds_back_is_never_accused() {
    // All the other experiments have step 04 for this, which is sound in them (tests/ladder).
    let [pile_up, others @ ..] = &run_each("none", &["pile-up", "half-close", "plain"])[..] else {
        unreachable!("three experiments have three verdicts")
    };
    assert_kind(pile_up, Kind::HeldBack);
    others.iter().for_each(|verdict| assert_kind(verdict, Kind::Exact));
}

#[test]
fn a_relay_that_spills_to_a_file_is_never_accused() {
    let slow_readers = ["pile-up", "lost-tail", "two-acts", "overtaking", "early-close"];
    let [pile_up, others @ ..] = &run_each("spill", &slow_readers)[..] else {
        unreachable!("five experiments have five verdicts")
    };
    assert_kind(pile_up, Kind::Spilled);
    others.iter().for_each(|verdict| assert_kind(verdict, Kind::Exact));
}

#[test]
fn a_proxy_that_speaks_http_may_take_an_end_for_the_end_of_both() {
    let [verdict, others @ ..] = &run_each("speak-http", &["half-close", "plain", "upload"])[..]
    else {
        unreachable!("three experiments have three verdicts")
    };
    others.iter().for_each(|verdict| assert_kind(verdict, Kind::Exact));
    assert_kind(verdict, Kind::Noted);
    assert_says(verdict, "takes a client that ends its direction for one that has left");
    let [ends_request] = &verdict.notes[..] else { panic!("{:?}", verdict.notes) };
    assert!(ends_request.contains("ends a request once its answer is complete"), "{ends_request}");
}

#[test]
fn a_relay_that_passes_on_a_reset_is_never_accused() {
    let passed_on = expect("none", "aborted", Kind::Exact);
    let ends: Vec<End> = readings(&passed_on).iter().map(|reading| reading.end).collect();
    assert_eq!(ends, [End::Reset, End::Reset, End::Fin]);
}

#[test]
fn a_relay_that_waits_before_it_connects_is_slow_and_not_frozen() {
    for verdict in run_each("slow-to-connect", &["lost-tail", "two-acts", "crowd", "both-ways"]) {
        assert_eq!(verdict.answer(), Answer::Sound, "{}", verdict.sentence);
    }
}

#[test]
fn a_pool_is_a_note_and_no_leak() {
    for verdict in run_each("pool", &["plain", "reset", "refused"]) {
        assert!(verdict.answer() <= Answer::Note, "{}", verdict.sentence);
    }
}

#[test]
fn to_leave_a_backend_alone_after_a_refusal_is_a_note() {
    let verdict = run("leave-alone", "refused");
    assert_eq!(verdict.answer(), Answer::Note, "{}", verdict.sentence);
    assert!(
        verdict.notes.iter().any(|note| note.contains("the answer 503")),
        "{:?}",
        verdict.notes
    );
}

#[test]
fn a_relay_without_a_bound_grows_and_is_accused_of_nothing_else() {
    for verdict in run_each("unbounded", &["two-acts", "overtaking", "fin-while-frozen"]) {
        assert_kind(&verdict, Kind::Exact);
    }
    let verdict = expect("unbounded", "pile-up", Kind::Grew);
    assert_eq!(verdict.missing(), 0);
}

#[test]
fn a_relay_without_a_bound_toward_the_backend_grows() {
    let verdict = expect("unbounded-upload", "pile-up", Kind::Grew);
    assert!(verdict.sentence.contains("of an upload"), "{}", verdict.sentence);
    assert_eq!(verdict.missing(), 0);
}

#[test]
fn what_a_stalled_client_costs_is_found_where_it_is() {
    let figures = |fault: &str| {
        let spec = Spec { crowd: 12, ..relay(fault) };
        let verdict = expect_of(&spec, "stalled-crowd", Kind::Exact);
        let of = |name: &str| {
            let named = |figure: &&Figure| figure.name == format!("never read: {name}");
            verdict.figures.iter().find(named).map_or(0, |figure| figure.value)
        };
        assert!(of("clients") >= 8, "{:?}", verdict.figures);
        [of("user"), of("kernel"), of("files")]
    };
    // A page has 24 MiB; what the kernel does not hold is in the program, or in a file.
    let [[user, kernel, files], [unbounded, _, _], [_, _, spilled]] =
        ["none", "unbounded", "spill"].map(figures);
    assert!(user < 4 << 20 && kernel > 64 << 10 && files == 0, "{user} {kernel} {files}");
    assert!(unbounded > 8 << 20, "{unbounded} bytes in the memory of one without a bound");
    assert!(spilled > 8 << 20, "{spilled} bytes in the files of one that spills");
}

#[test]
fn one_client_at_a_time_freezes_a_crowd_that_stalls() {
    expect("one-at-a-time", "stalled-crowd", Kind::Frozen);
}

// Bytes that do not arrive.

#[test]
fn dropping_the_rest_of_a_block_leaves_a_hole_of_known_size() {
    let verdict = expect("drop-rest", "two-acts", Kind::Hole);
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
    let verdict = expect("drop-rest", "pile-up", Kind::Swallowed);
    assert!(verdict.missing() > 32 << 20, "{}", verdict.sentence);
}

#[test]
fn a_missing_chunk_is_seen_although_curl_is_content() {
    let verdict = expect("swallow-chunk", "plain", Kind::Hole);
    let [chunked, others @ ..] = &readings(&verdict)[..] else { panic!("nothing was read") };
    let [gap] = chunked.damage.gaps[..] else { panic!("{:?}", chunked.damage.gaps) };
    // The chunk is its four digits of size, a line end, the data, and a line end.
    assert_eq!((gap.len, gap.body_len), (CHUNK + 8, CHUNK));
    assert_eq!((chunked.curl.exit, chunked.reached), (0, Reached::Complete));
    assert_all_accounted_for(chunked);
    assert!(others.iter().all(|other| other.is_exact()));
    assert_says(&verdict, "curl would notice nothing");
}

#[test]
fn closing_before_the_buffer_is_flushed_truncates() {
    let verdict = expect("lose-tail", "lost-tail", Kind::Truncated);
    let reading = only(&verdict);
    assert_all_accounted_for(reading);
    assert_eq!((reading.damage.gaps.len(), reading.end, reading.curl.exit), (1, End::Fin, 18));
}

#[test]
fn one_read_at_the_end_passes_on_exactly_one_read() {
    let verdict = expect("one-read-at-end", "fin-while-frozen", Kind::Truncated);
    let reading = only(&verdict);
    assert_eq!(reading.damage.received, 64 * 1024);
    assert_all_accounted_for(reading);
    // This body ends where the connection is closed, so curl cannot know that it came too early.
    assert_eq!(reading.curl.exit, 0);
}

#[test]
fn one_write_at_the_end_loses_what_that_write_did_not_take() {
    let verdict = expect("one-write-at-end", "early-close", Kind::Truncated);
    // It keeps 4 KiB at most for each of the three clients.
    assert!((1..=3 * 4096).contains(&verdict.missing()), "{}", verdict.sentence);
    for reading in readings(&verdict) {
        assert_all_accounted_for(reading);
        assert_eq!((reading.end, reading.curl.exit), (End::Fin, 0));
    }
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
    let verdict = expect("never-flush", "lost-tail", Kind::Truncated);
    let reading = only(&verdict);
    assert_all_accounted_for(reading);
    assert_eq!((reading.end, reading.curl.exit), (End::Open, 28));
}

// Bytes of another connection.

#[test]
fn a_buffer_that_is_not_emptied_gives_a_client_the_bytes_of_another() {
    let verdict = expect("dirty-buffer", "reset", Kind::Crossed);
    let reading = only(&verdict);
    // The small page comes as well, after them.
    let damage = &reading.damage;
    assert_eq!((damage.received, damage.missing()), (damage.sent + damage.crossed, 0));
    assert_says(&verdict, "before any of its own");
}

#[test]
fn a_block_for_everybody_gives_clients_the_bytes_of_others() {
    let verdict = expect("shared-block", "turnover", Kind::Crossed);
    let reading = readings(&verdict)[0];
    let damage = &reading.damage;
    assert_eq!(damage.received + damage.missing(), damage.sent + damage.crossed);
    // The bytes are in the place of as many others, so the framing is whole.
    assert_says(&verdict, "of its own are missing");
}

#[test]
fn a_descriptor_that_is_used_again_gives_a_newcomer_the_bytes_of_another() {
    let verdict = expect("stale-descriptor", "turnover", Kind::Crossed);
    let reading = readings(&verdict)[0];
    let [crossing] = &reading.damage.crossings[..] else { panic!("{}", verdict.sentence) };
    // Those who leave in a round have the numbers before those who come.
    assert_eq!((crossing.received_at, reading.damage.missing()), (0, 0));
    assert_says(&verdict, "before any of its own");
}

#[test]
fn taking_an_end_for_the_end_of_both_costs_the_answer_and_the_upload() {
    let verdict = expect("end-both", "half-close", Kind::Truncated);
    let [after_request, midway, upload, early] = &readings(&verdict)[..] else {
        panic!("four transfers: {}", verdict.sentence)
    };
    assert_eq!(after_request.damage.received, 0);
    for cut in [after_request, midway, upload] {
        assert_all_accounted_for(cut);
        assert!(cut.damage.missing() > 0, "{}", verdict.sentence);
    }
    assert!(early.is_exact());
}

#[test]
fn a_last_chunk_that_the_backend_never_sent_makes_half_a_page_look_whole() {
    let verdict = expect("make-up-end", "aborted", Kind::Truncated);
    assert_says(&verdict, "made up an end");
    let reading = only(&verdict);
    assert_eq!((reading.curl.exit, reading.reached), (0, Reached::Complete));
}

#[test]
fn a_reset_that_becomes_an_ordinary_end_makes_half_a_page_look_whole() {
    let verdict = expect("mute-reset", "aborted", Kind::Truncated);
    assert_says(&verdict, "closes the client's in good order");
    let reading = only(&verdict);
    // The page's end is told by nothing else, so curl is content.
    assert_eq!((reading.end, reading.curl.exit), (End::Fin, 0));
}

// Bytes that arrive changed, twice, or in another order.

#[test]
fn overtaking_changes_the_order_and_loses_nothing() {
    let verdict = expect("overtake", "overtaking", Kind::Reordered);
    let damage = &only(&verdict).damage;
    assert_eq!((damage.received, damage.missing(), damage.repeated), (damage.sent, 0, 0));
    assert!(damage.reordered > 0);
}

#[test]
fn writing_a_block_again_repeats_bytes() {
    let verdict = expect("repeat", "two-acts", Kind::Repeated);
    let damage = &only(&verdict).damage;
    assert!(damage.repeated > 0);
    assert_eq!((damage.received, damage.missing()), (damage.sent + damage.repeated, 0));
}

#[test]
fn one_changed_byte_is_altered_and_not_missing() {
    let verdict = expect("alter", "plain", Kind::Altered);
    for reading in readings(&verdict) {
        let damage = &reading.damage;
        assert_eq!((damage.altered, damage.foreign, damage.missing()), (1, 0, 0));
        assert_eq!((damage.received, reading.curl.exit), (damage.sent, 0));
    }
}

// Nothing moves.

#[test]
fn one_client_at_a_time_freezes_the_crowd() {
    let verdict = expect("one-at-a-time", "crowd", Kind::Frozen);
    assert_says(&verdict, "1 got as far as the backend");
    assert_says(&verdict, "asleep in every thread");
}

#[test]
fn a_transfer_that_is_never_resumed_is_frozen_half_way() {
    let verdict = expect("never-resume", "lost-tail", Kind::Frozen);
    assert_says(&verdict, "wait in the kernel's queues");
    assert_all_accounted_for(only(&verdict));
}

#[test]
fn a_client_left_waiting_when_the_backend_refuses_is_frozen() {
    let verdict = expect("hang-on-refused", "refused", Kind::Frozen);
    assert_says(&verdict, "the backend refuses");
}

#[test]
fn waiting_for_room_with_nothing_to_write_is_spinning() {
    expect("spin", "lost-tail", Kind::Spun);
}

#[test]
fn spinning_while_a_client_is_silent_is_found_and_explained() {
    let verdict = expect("spin-until-asked", "idle", Kind::Spun);
    assert_says(&verdict, "it stops when the clients that have sent nothing are gone");
}

#[test]
fn looking_around_by_a_timer_is_not_spinning() {
    expect("tick", "idle", Kind::Exact);
}

// What a relay does not give back.

#[test]
fn descriptors_that_do_not_come_back_are_counted() {
    for verdict in run_each("leak-descriptors", &["reset", "plain"]) {
        assert_kind(&verdict, Kind::Leaked);
        assert_eq!(descriptors_for_each(&verdict), 2.0, "{}", verdict.sentence);
    }
}

#[test]
fn a_descriptor_for_each_refusal_is_a_leak() {
    let verdict = expect("leak-on-refused", "refused", Kind::Leaked);
    assert_eq!(descriptors_for_each(&verdict), 1.0, "{}", verdict.sentence);
    assert!(run("leak-on-refused", "plain").kind.is_good());
}

/// "290 connections, each with a reset, cost 580 descriptors": 2.
fn descriptors_for_each(verdict: &Verdict) -> f64 {
    let is_digit = |c: char| c.is_ascii_digit();
    let words = verdict.sentence.split(|c| !is_digit(c)).filter(|word| !word.is_empty());
    match words.map(|word| word.parse().expect("digits")).collect::<Vec<f64>>()[..] {
        [connections, descriptors] => descriptors / connections,
        _ => f64::NAN,
    }
}

#[test]
fn memory_that_does_not_come_back_is_a_leak() {
    let verdict = expect("leak-memory", "reset", Kind::Leaked);
    assert_says(&verdict, "of memory");
    assert_says(&expect("leak-a-little", "plain", Kind::Leaked), "of memory");
}

// What the laboratory looks at must be the proxy.

#[test]
fn a_daemon_that_hides_where_it_comes_from_is_found_by_its_socket() {
    let daemon = format!(
        "(env -i setsid {} relay spin {{listen}} {{backend}} >/dev/null 2>&1 &); exec sleep 60",
        env!("CARGO_BIN_EXE_lab")
    );
    let spec = program(&["sh", "-c", &daemon], PATIENCE);
    let verdict = experiments::named("lost-tail").unwrap().run(&spec).verdict;
    assert_kind(&verdict, Kind::Spun);
}

#[test]
fn a_socket_that_somebody_else_holds_leaves_memory_and_descriptors_not_judged() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap();
    let proxy = Proxy::start(&relay("none"), address).expect("the relay starts");
    assert_eq!(proxy.unsampled(address.port()), None);
    let _ours = TcpStream::connect(address).unwrap();
    let why = proxy.unsampled(address.port()).expect("we are no process of the proxy");
    assert!(why.contains(&format!("process {}", std::process::id())), "{why}");
}

// It ends, or never begins.

#[test]
fn dying_of_a_reset_is_reported_with_the_last_words() {
    assert_says(&expect("die-on-reset", "reset", Kind::Died), "Connection reset by peer");
}

#[test]
fn dying_of_a_refusal_is_reported_with_the_last_words() {
    assert_says(&expect("exit-on-refused", "refused", Kind::Died), "Connection refused");
}

#[test]
fn dying_of_a_stop_and_continue_is_reported_with_the_last_words() {
    assert_says(&expect("die-on-stop", "stop-and-go", Kind::Died), "Interrupted system call");
}

#[test]
fn a_program_that_ends_at_once_is_absent_and_quoted() {
    let spec = program(&["sh", "-c", "echo no such luck >&2; exit 3"], PATIENCE);
    let verdict = expect_of(&spec, "plain", Kind::Absent);
    assert_says(&verdict, "no such luck");
    assert_says(&verdict, "status 3");
}

#[test]
fn a_program_that_never_listens_is_absent_when_patience_is_over() {
    let begun = Instant::now();
    let spec = program(&["sleep", "60"], Duration::from_millis(300));
    let verdict = expect_of(&spec, "plain", Kind::Absent);
    assert_says(&verdict, "nothing listened after 0.3 s");
    let took = begun.elapsed();
    assert!((spec.patience..PATIENCE).contains(&took), "{took:?}");
}

#[test]
fn a_program_that_is_not_there_is_absent_and_named() {
    let spec = program(&["/no/such/program"], PATIENCE);
    let verdict = experiments::named("plain").unwrap().run(&spec).verdict;
    assert_kind(&verdict, Kind::Absent);
    assert_says(&verdict, "/no/such/program");
}

// No process is left behind. All tests above check that after each experiment. The next two show that
// the check would find one.

#[test]
fn a_relay_is_there_while_it_is_used_and_gone_afterwards() {
    let (tag, spec) = tagged(&relay("none"));
    let proxy = Proxy::start(&spec, ([127, 0, 0, 1], 9).into()).expect("the relay starts");
    assert_eq!(with_environment(&tag), proxy.family());
    drop(proxy);
    assert_gone(&tag);
}

#[test]
fn a_process_that_has_left_its_group_and_its_parent_is_ended_too() {
    let daemon = ["sh", "-c", "(setsid sleep 60 &); sleep 60"];
    let (tag, spec) = tagged(&program(&daemon, Duration::from_secs(3)));
    let start = thread::spawn(move || Proxy::start(&spec, ([127, 0, 0, 1], 9).into()).is_ok());
    let has_left = |pid: &i32| {
        procfs::process(*pid).is_some_and(|process| {
            let parents = [with_environment(&tag), vec![std::process::id() as i32]].concat();
            process.pgrp == process.pid && !parents.contains(&process.ppid)
        })
    };
    let left = true_within(PATIENCE, || with_environment(&tag).iter().any(has_left));
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
    run_spec(&relay(fault), experiment)
}

/// The same, where only one verdict will do.
#[track_caller]
fn expect(fault: &str, experiment: &str, kind: Kind) -> Verdict {
    expect_of(&relay(fault), experiment, kind)
}

#[track_caller]
fn expect_of(spec: &Spec, experiment: &str, kind: Kind) -> Verdict {
    let verdict = run_spec(spec, experiment);
    assert_kind(&verdict, kind);
    verdict
}

/// Runs several experiments at the same time.
fn run_each(fault: &str, names: &[&str]) -> Vec<Verdict> {
    thread::scope(|scope| {
        let running: Vec<_> =
            names.iter().map(|name| scope.spawn(move || run(fault, name))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn run_spec(spec: &Spec, experiment: &str) -> Verdict {
    let (tag, spec) = tagged(spec);
    let experiment = experiments::named(experiment).expect("an experiment of that name");
    let verdict = experiment.run(&spec).verdict;
    assert_gone(&tag);
    verdict
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
fn assert_says(verdict: &Verdict, words: &str) {
    assert!(verdict.sentence.contains(words), "{}", verdict.sentence);
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

/// No process with that tag is left, or will be in a moment: the kernel needs some time to end one.
#[track_caller]
fn assert_gone(tag: &str) {
    let gone = true_within(PATIENCE, || with_environment(tag).is_empty());
    assert!(gone, "left behind: {:?}", with_environment(tag));
}
