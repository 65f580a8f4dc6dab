use std::time::{Duration, Instant};

use super::common::*;
use super::giving_back::{Kept, what_is_kept};

pub const EXPERIMENT: Experiment = Experiment {
    name: "refused",
    question: "the backend is not there: is the client told, and the next one served?",
    method: "Nobody listens on the backend's port when the first client asks. Whatever the client is \
        told will do: an error page, the end of the connection, or a reset. Ten clients at a time are \
        refused like that, and the proxy's descriptors and memory are counted after each ten. Then the \
        backend opens its port, and the next client asks, again and again if it must, for 40 s.",
    finds: "A proxy that leaves the client waiting, ends, loses descriptors, or does not find its \
        backend again.",
    meaning: "A backend that is restarted takes the proxy down with it, or leaves users in front of an \
        empty page for minutes.",
    judges: &[Matter::Survival, Matter::Descriptors, Matter::Memory],
    run,
};

/// For so long a proxy may leave a backend alone that has refused it.
const LEFT_ALONE: Duration = Duration::from_secs(40);

/// Perlbal tries again for 35 s before it tells the client.
const TRIES_AGAIN: Patience = Patience { for_timers: Duration::from_secs(45), ..FOREVER };

/// A proxy that takes longer to tell one client is not asked whether sixty leave anything behind.
const TOO_SLOW_TO_REPEAT: Duration = Duration::from_secs(8);

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let small = small_page();
    let backend = Backend::refusing(vec![small.clone()])?;
    let mut rig = Rig::with_backend(spec, backend, story)?;
    let asked = Instant::now();
    let told = be_refused(&mut rig, &small, 1)?;
    let took = asked.elapsed();
    rig.tell(format!("The backend refuses; the client got {told}."));
    let kept = match took > TOO_SLOW_TO_REPEAT {
        true => Kept::unknown("a client is told so late that too few can be asked"),
        false => what_is_kept(&mut rig, "refusal", |rig, count| {
            be_refused(rig, &small, count).map(|_| ())
        })?,
    };
    rig.backend.open()?;
    rig.tell("The backend is there now, and the next client asks.");
    let (transfer, waited) = ask_until_served(&mut rig)?;
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        verdict.sentence = format!("the clients got {told}, and the next one was served");
        if took > A_MOMENT {
            let seconds = took.as_secs_f64();
            verdict.notes.push(format!(
                "it tries again when the backend refuses: the client got {told} after {seconds:.1} s"
            ));
        }
        if let Some((answers, waited)) = waited {
            let seconds = waited.as_secs_f64();
            verdict.notes.push(format!(
                "after a refusal it leaves the backend alone for a while: for {seconds:.1} s, clients still got {told} ({answers} of them) although the backend was there again"
            ));
        }
    }
    rig.conclude(kept.add_to(verdict))
}

/// A proxy that tells the client later than this has tried again, or waited.
const A_MOMENT: Duration = Duration::from_millis(900);

/// So many clients ask at the same time while the backend refuses. What the last one got.
fn be_refused(rig: &mut Rig, small: &Route, count: usize) -> Result<String, Halt> {
    let mut clients = vec![];
    for _ in 0..count {
        let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
        rig.pump(SETTLE, |_| rig::send(&mut client))?;
        clients.push(client);
    }
    let mut told = String::new();
    for mut client in clients {
        if rig.drain(&mut client, TRIES_AGAIN)? == Ended::Still {
            let what = "the backend refuses, and the client waits for an answer or an end";
            return Err(rig.frozen(what).into());
        }
        told = match (client.status(), client.received()) {
            (Some(status), _) => format!("the answer {status}"),
            (None, 0) => "the end of the connection".to_string(),
            (None, count) => format!("{count} bytes that are no answer"),
        };
    }
    Ok(told)
}

/// Asks again and again until a client is served. With that comes how many were not, and for how long,
/// if any.
fn ask_until_served(rig: &mut Rig) -> Result<(Transfer, Option<(usize, Duration)>), Halt> {
    let begun = Instant::now();
    let mut turned_away = 0;
    loop {
        let small = small_page();
        let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
        rig.pump(SETTLE, |_| rig::send(&mut client))?;
        let ended = rig.drain(&mut client, FOREVER)?;
        let is_told = ended == Ended::Done && rig.backend.asked_for(small.target).is_empty();
        if !is_told || begun.elapsed() > LEFT_ALONE {
            if ended == Ended::Still && client.received() == 0 {
                let what = "the backend is there again, and the next client is not answered";
                return Err(rig.frozen(what).into());
            }
            let waited = (turned_away > 0).then(|| (turned_away, begun.elapsed()));
            return Ok((rig.judge(client, ended)?, waited));
        }
        turned_away += 1;
        // A pace, and no more: a few clients each second.
        std::thread::sleep(Duration::from_millis(200));
    }
}
