use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::common::*;
use crate::kernel::procfs::Times;

pub const EXPERIMENT: Experiment = Experiment {
    name: "idle",
    question: "a dozen connections have nothing to do: how much processor time does the proxy use?",
    method: "A dozen connections are brought into states that may last: nothing has been sent yet, half a \
        request, an answer that waits, one end that has ended its direction, a client that has stopped \
        reading, a backend that does. When nothing moves anymore, the proxy's processor time is taken \
        over a second. If it is too much, the clients leave, one kind after the other, until it stops.",
    finds: "A proxy that is woken again and again for something that it will not do: room to write when \
        it has nothing to write, an end that it has seen already, a client that has not said anything. \
        One that looks around by a timer is fine, unless it looks all the time.",
    meaning: "One open connection uses up a whole processor, and everything else gets slower. On a \
        laptop it is the battery, in a data center the bill.",
    judges: &[Matter::Processor],
    run,
};

/// For so long the processor time is taken.
const WINDOW: Duration = Duration::from_secs(1);

/// This share of a processor is too much for nothing. A loop that never sleeps takes all that it can get,
/// and a timer that goes off a hundred times a second takes less than a hundredth.
const TOO_MUCH: f64 = 0.1;

/// So many windows may be too much before one is not: a program may have to tidy up once.
const WINDOWS: usize = 3;

/// Clients in one state, and what they do, in the words for "when they are gone".
struct Idlers {
    what: &'static str,
    clients: Vec<Client>,
}

/// What clients do before they are idle.
#[derive(Clone, Copy, PartialEq)]
enum Begin {
    /// They send nothing.
    Nothing,
    /// They send a part of the request.
    Half,
    /// They send as much of the request as is taken.
    Send,
    /// They do, and end their direction.
    SendAndEnd,
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let never = Gate::new();
    let each = (1 << 20) + 4 * net::absorbed(Window::Small)?;
    let short = || Wire::response(Framing::Close, SHORT);
    let wait = Act::Await(never.clone());
    let later = Route::scripted("/later", short(), vec![wait.clone(), Act::SendAll]);
    let ended = Route::scripted("/ended", short(), vec![Act::SendAll, Act::End, wait.clone()]);
    let big = Route::simple("/big", Wire::response(Framing::Chunked, each));
    let unread = Route {
        target: "/unread",
        request: Wire::post("/unread", LONG),
        response: short(),
        acts: vec![wait],
    };
    let routes = [&later, &ended, &big, &unread].map(Clone::clone).to_vec();
    let mut rig = Rig::start(spec, routes, story)?;
    let states = [
        (&later, 2, Begin::Nothing, "that have sent nothing"),
        (&later, 1, Begin::Half, "that have sent half a request"),
        (&later, 2, Begin::Send, "whose answer waits"),
        (&later, 2, Begin::SendAndEnd, "that have ended their direction"),
        (&ended, 2, Begin::Send, "whose backend has ended its direction"),
        (&big, 1, Begin::Send, "that do not read"),
        (&big, 1, Begin::SendAndEnd, "that do not read and have ended their direction"),
        (&unread, 1, Begin::Send, "whose upload nobody reads"),
    ];
    let mut idlers = vec![];
    for (route, count, begin, what) in states {
        let mut clients = vec![];
        for _ in 0..count {
            clients.push(begin_with(&mut rig, route, begin)?);
        }
        idlers.push(Idlers { what, clients });
    }
    let count: usize = idlers.iter().map(|idlers| idlers.clients.len()).sum();
    // One of the clients whose backend has ended reads everything, so that its connection is open in one
    // direction only. The other does not, so the end is behind bytes that wait.
    let reader = idlers.iter_mut().find(|idlers| idlers.what == states[4].3);
    let reader = &mut reader.expect("it is among them").clients[0];
    spinning_or(rig.pump(SETTLE, |_| rig::read(reader, usize::MAX)))?;
    spinning_or(rig.settle())?;
    rig.tell(format!("{count} connections are open, and nobody has anything to do."));
    if let Some(why) = rig.unsampled() {
        return rig.conclude(Verdict::new(Kind::NotJudged, why));
    }
    let share = least_share(&mut rig, WINDOW)?;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let used = format!("{count} open connections with nothing to do use {}", percent(share));
    rig.tell(format!("It uses {} of a processor.", percent(share)));
    if share < TOO_MUCH {
        let what = format!("{used} of a processor");
        return rig.conclude(Verdict::new(Kind::Exact, what));
    }
    let culprit = who_keeps_it_awake(&mut rig, idlers, &never)?;
    Ok(Verdict::new(Kind::Spun, format!("{used} of a processor; {culprit}")))
}

fn begin_with(rig: &mut Rig, route: &Route, begin: Begin) -> Result<Client, Halt> {
    let mut client = connected(rig, route)?;
    match begin {
        Begin::Nothing => {}
        Begin::Half => {
            client.send_part(10);
        }
        Begin::Send | Begin::SendAndEnd => while rig::send(&mut client) == Attempt::Moved {},
    }
    if begin == Begin::SendAndEnd {
        client.end_sending()?;
    }
    Ok(client)
}

/// A client that has connected, even if the proxy spins and nobody else gets far.
fn connected(rig: &mut Rig, route: &Route) -> Result<Client, Halt> {
    loop {
        match rig.silent_client(Window::Small, &route.request, &route.response) {
            // When the time for an experiment is over, the rig has another verdict.
            Err(Halt::Verdict(verdict)) if verdict.kind == Kind::Spun => {}
            other => return other,
        }
    }
}

/// Spinning is no reason to end here: the experiment wants to know why.
fn spinning_or<T>(result: Result<T, Halt>) -> Result<(), Halt> {
    match result {
        Err(Halt::Verdict(verdict)) if verdict.kind == Kind::Spun => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The smallest share of a processor that it used in some windows. A little may still move in them: the
/// kernel probes a full peer now and then, and that makes some room.
fn least_share(rig: &mut Rig, window: Duration) -> Result<f64, Halt> {
    let mut least = f64::INFINITY;
    for _ in 0..WINDOWS {
        let (begun, before) = (Instant::now(), rig.proxy.processor_times());
        spinning_or(rig.pump(FOREVER, |_| done_if(begun.elapsed() >= window)))?;
        least = least.min(share(&before, &rig.proxy.processor_times(), begun.elapsed()));
        if least < TOO_MUCH {
            break;
        }
    }
    Ok(least)
}

/// How much of a processor the threads have used between two looks. On a busy machine a loop that never
/// sleeps gets only a part of one, so the time that it spent waiting for a processor is left out.
fn share(before: &BTreeMap<i32, Times>, after: &BTreeMap<i32, Times>, passed: Duration) -> f64 {
    let passed = passed.as_nanos() as f64;
    let of_thread = |(thread, now): (&i32, &Times)| {
        let then = before.get(thread).copied().unwrap_or_default();
        let used = now.used_ns.saturating_sub(then.used_ns) as f64;
        let waited = now.waited_ns.saturating_sub(then.waited_ns) as f64;
        // Not less than an eighth: a thread that nearly only waits should not count as one that spins.
        (used / (passed - waited).max(passed / 8.0)).min(1.0)
    };
    after.iter().map(of_thread).sum()
}

/// The clients leave, one kind after the other, and then the backend. Says when the proxy sleeps.
fn who_keeps_it_awake(
    rig: &mut Rig,
    idlers: Vec<Idlers>,
    backend_goes_on: &Gate,
) -> Result<String, Halt> {
    for Idlers { what, clients } in idlers {
        drop(clients);
        rig.tell(format!("The clients {what} leave."));
        if sleeps_now(rig)? {
            return Ok(format!("it stops when the clients {what} are gone"));
        }
    }
    backend_goes_on.open();
    rig.tell("The backend ends its connections, too.");
    Ok(match sleeps_now(rig)? {
        true => "it stops when no connection is left".into(),
        false => "it goes on when all of them are gone".into(),
    })
}

fn sleeps_now(rig: &mut Rig) -> Result<bool, Halt> {
    spinning_or(rig.settle())?;
    Ok(least_share(rig, WINDOW / 4)? < TOO_MUCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(used_ms: u64, waited_ms: u64) -> f64 {
        let times = |used: u64, waited: u64| Times {
            used_ns: used * 1_000_000,
            waited_ns: waited * 1_000_000,
        };
        let before = [(1, times(5_000, 700)), (2, times(9, 9))].into();
        let after = [(1, times(5_000 + used_ms, 700 + waited_ms)), (2, times(9, 9))].into();
        share(&before, &after, Duration::from_secs(1))
    }

    #[test]
    fn a_loop_that_never_sleeps_is_told_from_a_timer_on_any_machine() {
        // It gets all of a processor, a half, or a thirtieth.
        for used in [1000, 500, 33] {
            assert!(after(used, 1000 - used) > TOO_MUCH, "{used}");
        }
        // A timer goes off a hundred times a second, and each time it waits 5 ms for a processor.
        assert!(after(5, 500) < TOO_MUCH);
        assert!(after(5, 0) < TOO_MUCH);
    }
}
