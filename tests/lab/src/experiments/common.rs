//! What several experiments do, and the names that nearly all of them use.

pub use super::Experiment;
pub use super::rig::{self, DEADLINE, Ended, FOREVER, Halt, LULL, Patience, Rig, SETTLE, Story};
use crate::arrived::http::End;
use crate::arrived::reading::Reading;
pub use crate::arrived::verdict::{Direction, Figure, Kind, Matter, Transfer, Verdict};
pub use crate::ends::Attempt;
pub use crate::ends::backend::{Act, Allowance, Backend, Gate, Progress, Route};
pub use crate::ends::client::Client;
pub use crate::kernel::net::{self, Moved, Window};
pub use crate::kernel::procfs;
pub use crate::numbers::{size, thousands};
pub use crate::sent::wire::{Framing, Wire};
pub use crate::subject::proxy::Spec;

/// A page that the kernel's buffers take at once, whether anybody reads or not, in bytes.
pub const SHORT: u64 = 256 * 1024 + 77;

/// What an upload carries, in bytes.
pub const LONG: u64 = 16 << 20;

/// More than twice what the kernel's buffers take for a client with this window that does not read, in
/// bytes.
pub fn flood(window: Window) -> Result<u64, Halt> {
    Ok((4 << 20) + 2 * net::absorbed(window)?)
}

/// A page of 100 bytes, for the client who only wants to know whether anybody answers.
pub fn small_page() -> Route {
    Route::simple("/small", Wire::response(Framing::ContentLength, 100))
}

/// Asks for [`small_page`]. `None`: nobody answers, and nobody is going to.
pub fn ask_for_small(rig: &mut Rig) -> Result<Option<Transfer>, Halt> {
    let small = small_page();
    let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
    rig.pump(SETTLE, |_| rig::send(&mut client))?;
    let ended = rig.drain(&mut client, FOREVER)?;
    if ended == Ended::Still && client.received() == 0 {
        return Ok(None);
    }
    Ok(Some(rig.judge(client, ended)?))
}

/// A client that has asked and does not read. Returns when nobody can go any further.
pub fn stalled_client(rig: &mut Rig, route: &Route) -> Result<Client, Halt> {
    let client = rig.client(Window::Narrow, route)?;
    rig.tell(format!("The client asks for {} and does not read.", route.target));
    let begun = rig.pump(FOREVER, |backend| {
        done_if(backend.asked_for(route.target).iter().any(|progress| progress.sent > 0))
    })?;
    if begun == Ended::Still {
        return Err(rig.frozen("the request never reached the backend").into());
    }
    rig.settle()?;
    tell_whereabouts(rig, route, &client);
    Ok(client)
}

fn tell_whereabouts(rig: &Rig, route: &Route, client: &Client) {
    let Some(progress) = rig.backend.asked_for(route.target).pop() else { return };
    let place = rig.whereabouts(&progress, client);
    rig.tell(format!(
        "Nothing moves anymore. The backend has sent {} bytes: {place}.",
        thousands(progress.sent)
    ));
}

/// The client reads for as long as anything comes; then it goes on waiting.
pub fn read_what_there_is(rig: &mut Rig, client: &mut Client) -> Result<(), Halt> {
    rig.pump(SETTLE, |_| rig::read(client, usize::MAX))?;
    tell_received(rig, client);
    Ok(())
}

/// The client reads to the end, and what it got is told and judged.
pub fn read_to_the_end(rig: &mut Rig, client: Client) -> Result<Transfer, Halt> {
    read_and_judge(rig, client, tell_received)
}

/// The same for one of many clients, of which the story does not tell.
pub fn read_to_the_end_quietly(rig: &mut Rig, client: Client) -> Result<Transfer, Halt> {
    read_and_judge(rig, client, |_, _| {})
}

fn read_and_judge(
    rig: &mut Rig,
    mut client: Client,
    tell: impl FnOnce(&Rig, &Client),
) -> Result<Transfer, Halt> {
    let ended = rig.drain(&mut client, FOREVER)?;
    tell(rig, &client);
    rig.judge(client, ended)
}

/// Tells what the client has received.
pub fn tell_received(rig: &Rig, client: &Client) {
    let end = match client.end() {
        End::Open => "the connection is open",
        End::Fin => "the connection has ended",
        End::Reset => "the connection was reset",
    };
    rig.tell(format!("The client has {} bytes; {end}.", thousands(client.received())));
}

/// What to return to [`Rig::pump`], if there is nothing to do but to wait until something is so.
pub fn done_if(is_so: bool) -> Attempt {
    if is_so { Attempt::Done } else { Attempt::Idle }
}

/// Sends the rest of the request, until `is_done`.
pub fn send_until(client: &mut Client, is_done: impl FnOnce() -> bool) -> Attempt {
    match rig::send(client) {
        Attempt::Moved => Attempt::Moved,
        Attempt::Done | Attempt::Idle => done_if(is_done()),
    }
}

/// Whether `is_so` is true of the newest connection that asked for this route. False if there is none.
pub fn newest_is(backend: &Backend, route: &Route, is_so: impl FnOnce(&Progress) -> bool) -> bool {
    backend.asked_for(route.target).pop().is_some_and(|progress| is_so(&progress))
}

/// What the backend has received on a route.
pub fn uploads(rig: &Rig, route: &Route) -> Vec<Transfer> {
    let connection = rig.backend.asked_for(route.target).pop();
    let reading = connection.and_then(|progress| progress.upload);
    reading.map(uploaded).into_iter().collect()
}

/// What the backend has received on one connection.
pub fn uploaded(reading: Reading) -> Transfer {
    Transfer { direction: Direction::Upload, reading, evidence: vec![] }
}

/// The verdict on transfers in both directions. If all is well, its sentence counts both.
pub fn verdict_on_both(transfers: Vec<Transfer>) -> Verdict {
    let mut verdict = Verdict::of(transfers);
    if verdict.kind == Kind::Exact {
        let total: u64 =
            verdict.transfers.iter().map(|transfer| transfer.reading.damage.received).sum();
        verdict.sentence = format!("{} bytes, all of them, in order", thousands(total));
    }
    verdict
}
