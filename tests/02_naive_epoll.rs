//! Step 02: everyone at once, until someone is slow.

mod common;

use common::*;
use lab::ends::backend::Route;
use lab::experiments::common::{read_to_the_end, stalled_client};
use lab::experiments::rig::{self, Ended, FOREVER};
use lab::kernel::net::Window;
use lab::sent::wire::{Framing, Wire};

const STEP: &str = env!("CARGO_BIN_EXE_02-naive-epoll");

#[test]
fn one_client_that_does_not_read_freezes_everyone_until_it_reads() {
    let big = Route::simple("/big", Wire::response(Framing::Chunked, flood()));
    let small = Route::simple("/small", Wire::response(Framing::ContentLength, 100));
    let mut rig = rig(STEP, &[big.clone(), small.clone()]);

    let slow = stalled_client(&mut rig, &big).expect("it takes the request");
    let mut next = rig.client(Window::Default, &small).expect("the kernel takes the request");
    let ended = rig.pump(FOREVER, |_| rig::read(&mut next, usize::MAX)).expect("it lives");
    assert_eq!((ended, next.received()), (Ended::Still, 0), "everyone waits for the slow one");
    assert!(!rig.proxy.vitals().running, "the proxy is asleep, not busy");
    assert!(rig.queued() > 0, "while bytes wait to be moved");

    let slow = read_to_the_end(&mut rig, slow).expect("the slow client gets its page");
    let next = read_to_the_end(&mut rig, next).expect("and so does the next one");
    assert!(slow.reading.is_exact() && next.reading.is_exact(), "late, but whole");
}
