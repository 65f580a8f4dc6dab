//! Step 03: nobody freezes, and bytes vanish. If they ever stop vanishing, these stories fail.

mod common;

use common::*;
use lab::arrived::http::{Decoder, End, Message};
use lab::ends::backend::Route;
use lab::experiments::common::{read_to_the_end, read_what_there_is, stalled_client};
use lab::sent::wire::{Framing, Wire};

const STEP: &str = env!("CARGO_BIN_EXE_03-dropped-write");

#[test]
fn curl_gets_a_short_page_whole() {
    let route = Route::simple("/short", Wire::response(Framing::Chunked, SHORT));
    let Some(visit) = Visit::begin(STEP, &route, &[]) else { return };
    visit.end_with_the_whole_page();
}

#[test]
fn curl_says_56_when_there_is_a_hole() {
    let (route, _, second_act) = two_acts();
    let Some(mut visit) = Visit::begin(STEP, &route, &["--raw"]) else { return };
    visit.read();
    second_act.open();
    let assert = visit.end();
    let output = assert.get_output();
    // One byte of the page in 16 is an LF, with which curl is content at the end of a chunk. Where
    // the kernel let its count come out at one, the next line of the page is a size, a large one. Then
    // curl has read to the end, which has come, and still waits for more.
    if output.status.code() == Some(18) {
        assert!(output.stdout.ends_with(b"\r\n0\r\n\r\n"), "it is the tail that is lost");
        let mut decoder = Decoder::new(Message::Response);
        decoder.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", |_| ());
        decoder.push(&output.stdout, |_| ());
        assert_eq!(decoder.curl(End::Fin).exit, 18, "and not 56");
        return;
    }
    assert.code(56).stderr(words("Malformed encoding found in chunked-encoding"));
}

#[test]
fn curl_says_18_when_the_tail_of_a_burst_is_lost() {
    let route = Route::simple("/burst", Wire::response(Framing::ContentLength, flood()));
    let Some(visit) = Visit::begin(STEP, &route, &[]) else { return };
    let assert = visit.end().code(18);
    assert.stderr(words("transfer closed with")).stderr(words("bytes remaining to read"));
}

#[test]
fn what_is_missing_is_exactly_what_the_kernel_did_not_take() {
    let (route, first, second_act) = two_acts();
    let mut rig = rig(STEP, std::slice::from_ref(&route));
    let mut client = stalled_client(&mut rig, &route).expect("it takes the request");
    let progress = rig.backend.asked_for(route.target).pop().expect("asked for above");
    assert_eq!(progress.sent, first, "act one has been sent whole");

    // By the kernel's own account: what was sent and is in no queue is nowhere.
    let place = rig.whereabouts(&progress, &client);
    assert_eq!(place.before_proxy, 0, "it has all been read");
    assert!(place.inside_proxy > 0, "and not all of it been written");

    read_what_there_is(&mut rig, &mut client).expect("it lives");
    second_act.open();
    let transfer = read_to_the_end(&mut rig, client).expect("it comes to an end");
    let damage = &transfer.reading.damage;
    assert_eq!(damage.missing(), place.inside_proxy);
    let last = damage.gaps.last().expect("there is a gap");
    // Where the first bytes of act two equal the first of the hole, it may as well end that much later.
    let end = last.at + last.len;
    assert!(
        (end..=end + last.slack).contains(&first),
        "{last:?} ends where act two begins, at {first}"
    );
    assert_eq!((damage.reordered, damage.repeated, damage.foreign), (0, 0, 0));
}
