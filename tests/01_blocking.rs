//! Step 01: right, and one client at a time.

mod common;

use common::*;
use lab::arrived::verdict::Verdict;
use lab::ends::backend::{Act, Gate, Route};
use lab::experiments::common::read_to_the_end;
use lab::experiments::rig::{self, Ended, SETTLE};
use lab::kernel::net::Window;
use lab::sent::wire::{Framing, Wire};

const STEP: &str = env!("CARGO_BIN_EXE_01-blocking");

#[test]
fn curl_gets_a_long_page_whole_however_long_it_stalls() {
    let route = Route::simple("/page", Wire::response(Framing::Chunked, flood()));
    let Some(visit) = Visit::begin(STEP, &route, &[]) else { return };
    visit.end_with_the_whole_page();
}

#[test]
fn a_keep_alive_backend_holds_it_and_everyone_else() {
    let close = Gate::new();
    let page = Wire::response(Framing::ContentLength, SHORT);
    let script = vec![Act::SendAll, Act::Await(close.clone())];
    let route = Route::scripted("/keep-alive", page, script);
    let mut rig = rig(STEP, std::slice::from_ref(&route));

    let mut first = rig.client(Window::Default, &route).expect("it takes the request");
    rig.pump(SETTLE, |_| rig::read(&mut first, usize::MAX)).expect("it lives");
    assert!(first.is_complete(), "the first client has its page");
    assert!(!first.has_ended(), "but its connection stays open");

    let mut second = rig.client(Window::Default, &route).expect("the kernel takes the request");
    let ended = rig.pump(SETTLE, |_| rig::read(&mut second, usize::MAX)).expect("it lives");
    assert_eq!((ended, second.received()), (Ended::Still, 0), "the second client waits");

    close.open();
    let transfer = read_to_the_end(&mut rig, second).expect("it is served at last");
    assert!(transfer.reading.is_exact(), "{}", Verdict::of(vec![transfer]).sentence);
}
