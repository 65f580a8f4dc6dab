//! What the stories of the steps have in common.
#![allow(dead_code, reason = "each story uses its own part of this")]

mod tools;

use lab::ends::backend::{Act, Gate, Route};
use lab::ends::curl::{self, Curl};
use lab::experiments::rig::{Ended, FOREVER, Rig, SETTLE, Story};
use lab::kernel::net::{self, Window};
use lab::sent::wire::{Framing, Wire};
use lab::subject::proxy::Spec;

/// A page that fits into any kernel's buffers, in bytes.
pub const SHORT: u64 = 200_000;

/// A step in front of a backend with these routes.
pub fn rig(step: &str, routes: &[Route]) -> Rig {
    Rig::start(&Spec::step(step), routes.to_vec(), &Story::default()).expect("the step starts")
}

/// More than the kernel takes for a client that does not read.
pub fn flood() -> u64 {
    (4 << 20) + 2 * net::absorbed(Window::Default).expect("loopback works")
}

/// A page in two acts, the second behind the gate.
pub fn two_acts() -> (Route, u64, Gate) {
    let (first, gate) = (flood(), Gate::new());
    let script = vec![Act::SendTo(first), Act::Await(gate.clone()), Act::SendAll];
    let response = Wire::response(Framing::Chunked, first + SHORT);
    (Route::scripted("/two-acts", response, script), first, gate)
}

/// Whether curl is missing. Then the test can test nothing, and says so loudly. In CI that is a failure.
pub fn curl_is_missing() -> bool {
    tools::are_missing(["curl"].into_iter(), "a story with curl")
}

/// Expects these words of curl, if its version is one whose words we know; else expects nothing.
pub fn words(text: &'static str) -> impl predicates::Predicate<str> {
    let recorded = curl::version().is_some_and(|version| curl::RECORDED.contains(&version));
    predicates::str::contains(if recorded { text } else { "" })
}

/// A curl that has asked for the route and does not read. Returns when everything is still.
pub fn stalled_curl(rig: &mut Rig, route: &Route, options: &[&str]) -> Curl {
    let url = format!("http://{}{}", rig.address(), route.target);
    let curl = Curl::get(&url, options).expect("curl runs");
    rig.until_asked(route).expect("curl's request reaches the backend");
    rig.settle().expect("everything comes to rest");
    curl
}

/// Lets curl read until nothing more comes for now.
pub fn let_it_read(rig: &mut Rig, curl: &mut Curl) {
    rig.pump(SETTLE, |_| curl.read_now()).expect("the proxy lives");
}

/// Lets curl read to the end, and returns how it ended.
pub fn let_it_end(rig: &mut Rig, mut curl: Curl) -> std::process::Output {
    let ended = rig.pump(FOREVER, |_| curl.read_now()).expect("the proxy lives");
    assert_eq!(ended, Ended::Done, "curl still waits");
    curl.finish().expect("curl ends")
}

/// The whole body of a response.
pub fn body(response: &Wire) -> Vec<u8> {
    response.body().bytes()
}
