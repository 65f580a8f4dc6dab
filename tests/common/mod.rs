//! What the stories of the steps have in common.
#![allow(dead_code, reason = "each story uses its own part of this")]

mod tools;

use assert_cmd::assert::{Assert, OutputAssertExt};
use lab::ends::backend::{Act, Gate, Route};
use lab::ends::curl::{self, Curl};
use lab::experiments::common;
use lab::experiments::rig::{Ended, FOREVER, Rig, SETTLE, Story};
use lab::kernel::net::Window;
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
    common::flood(Window::Default).expect("loopback works")
}

/// A page in two acts, the second behind the gate.
pub fn two_acts() -> (Route, u64, Gate) {
    let (first, gate) = (flood(), Gate::new());
    let script = vec![Act::SendTo(first), Act::Await(gate.clone()), Act::SendAll];
    let response = Wire::response(Framing::Chunked, first + SHORT);
    (Route::scripted("/two-acts", response, script), first, gate)
}

/// A curl that reads between two acts gets the whole page from this step, and has nothing to complain of.
pub fn gets_both_acts_whole(step: &str) {
    let (route, _, second_act) = two_acts();
    let Some(mut visit) = Visit::begin(step, &route, &[]) else { return };
    visit.read();
    second_act.open();
    visit.end_with_the_whole_page().stderr("");
}

/// Expects these words of curl, if its version is one whose words we know; else expects nothing.
pub fn words(text: &'static str) -> impl predicates::Predicate<str> {
    let recorded = curl::version().is_some_and(|version| curl::RECORDED.contains(&version));
    predicates::str::contains(if recorded { text } else { "" })
}

/// A curl that has asked a step for a page, and reads when it is told to.
pub struct Visit {
    pub rig: Rig,
    curl: Curl,
    page: Wire,
}

impl Visit {
    /// Returns when curl has asked, has not read, and everything is still. `None`: there is no curl,
    /// so nothing can be tested.
    pub fn begin(step: &str, route: &Route, options: &[&str]) -> Option<Visit> {
        if tools::are_missing(["curl"].into_iter(), "a story with curl") {
            return None;
        }
        let mut rig = rig(step, std::slice::from_ref(route));
        let url = format!("http://{}{}", rig.address(), route.target);
        let curl = Curl::get(&url, options).expect("curl runs");
        rig.until_asked(route).expect("curl's request reaches the backend");
        rig.settle().expect("everything comes to rest");
        Some(Visit { rig, curl, page: route.response.clone() })
    }

    /// Curl reads until nothing more comes for now.
    pub fn read(&mut self) {
        self.rig.pump(SETTLE, |_| self.curl.read_now()).expect("the proxy lives");
    }

    /// Curl reads to the end. Returns how it ended.
    pub fn end(mut self) -> Assert {
        let ended = self.rig.pump(FOREVER, |_| self.curl.read_now()).expect("the proxy lives");
        assert_eq!(ended, Ended::Done, "curl still waits");
        self.curl.finish().expect("curl ends").assert()
    }

    /// The same, where curl must get the whole page and be content.
    pub fn end_with_the_whole_page(self) -> Assert {
        let page = self.page.body().bytes();
        let assert = self.end().code(0);
        assert!(assert.get_output().stdout == page, "the page differs");
        assert
    }
}
