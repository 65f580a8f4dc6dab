//! Step 04: every byte, in order. What it costs is memory.

mod common;

use common::*;
use lab::ends::backend::Route;
use lab::experiments::rig::FOREVER;
use lab::kernel::net::Window;
use lab::sent::wire::{Framing, Wire};

const STEP: &str = env!("CARGO_BIN_EXE_04-output-buffer");

#[test]
fn curl_gets_both_acts_whole() {
    gets_both_acts_whole(STEP);
}

#[test]
fn curl_gets_a_burst_whole_though_the_backend_has_closed_long_ago() {
    let route = Route::simple("/burst", Wire::response(Framing::ContentLength, flood()));
    let Some(visit) = Visit::begin(STEP, &route, &[]) else { return };
    let progress = visit.rig.backend.asked_for(route.target).pop().expect("asked for above");
    assert!(progress.is_finished, "the backend is done while curl has hardly begun");
    visit.end_with_the_whole_page().stderr("");
}

#[test]
fn a_byte_costs_no_more_when_many_are_pending() {
    // The cheapest of three: whatever else the machine does can only add.
    let cost = |pending: u64| (0..3).map(|_| ns_per_byte(pending)).fold(f64::INFINITY, f64::min);
    let (few, many) = (cost(8 << 20), cost(128 << 20));
    println!("{few:.2} ns per byte at 8 MiB, {many:.2} at 128 MiB: {:.2} times", many / few);
    assert!(many < 3.0 * few, "{few:.2} ns per byte at 8 MiB, {many:.2} at 128 MiB");
}

/// Processor time of the proxy, in nanoseconds per byte, for a page that is first kept whole and
/// then written.
fn ns_per_byte(pending: u64) -> f64 {
    let taken = lab::kernel::net::absorbed(Window::Default).expect("loopback works");
    let page = Wire::response(Framing::ContentLength, pending + taken);
    let route = Route::simple("/page", page.clone());
    let mut rig = rig(STEP, std::slice::from_ref(&route));
    let before = rig.proxy.vitals().cpu_ns();
    let mut client = rig.client(Window::Default, &route).expect("it takes the request");
    rig.until_asked(&route).expect("the backend is asked");
    rig.settle().expect("it comes to rest");
    let ended = rig.drain(&mut client, FOREVER).expect("it lives");
    rig.settle().expect("it comes to rest");
    let spent = rig.proxy.vitals().cpu_ns() - before;
    let transfer = rig.judge(client, ended).expect("it comes to an end");
    assert!(transfer.reading.is_exact());
    spent as f64 / page.len() as f64
}
