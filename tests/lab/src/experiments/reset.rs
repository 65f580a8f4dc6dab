use super::common::*;
use super::giving_back::{WINDOW, what_is_kept};

pub const EXPERIMENT: Experiment = Experiment {
    name: "reset",
    question: "clients reset their connections mid-transfer: does the proxy get everything back?",
    method: "Ten clients at a time ask for a large page, read nothing, and reset their connections while \
        the page is on its way. The proxy's descriptors and memory are counted after each ten. If they \
        rise, it goes on with more: a pool is full at some time, and a leak grows to the end. \
        Then one more client asks for a small page.",
    finds: "Sockets or memory that are not released, a proxy that ends at a reset, and one that serves \
        nobody afterward.",
    meaning: "Every visitor who closes the page too early costs a little. After some thousands of them \
        the proxy has no descriptor or no memory left, and stops serving.",
    judges: &[Matter::Survival, Matter::Descriptors, Matter::Memory],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let each = (1 << 20) + 4 * net::absorbed(Window::Small)?;
    let big = Route::simple("/big", Wire::response(Framing::Chunked, each));
    let mut rig = Rig::start(spec, vec![big.clone(), small_page()], story)?;
    let at_a_time = how_many_at_a_time(&mut rig, &big)?;
    let kept = what_is_kept(&mut rig, "reset", |rig, count| {
        for _ in 0..count / at_a_time {
            let clients = ask_and_be_served(rig, &big, at_a_time)?;
            reset(clients)?;
        }
        Ok(())
    })?;
    let count = kept.connections;
    let Some(transfer) = ask_for_small(&mut rig)? else {
        let what = format!("after {count} resets the next client is not answered");
        return Err(rig.frozen(&what).into());
    };
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        let cost = if kept.is_nothing() { ", and what they cost came back" } else { "" };
        verdict.sentence = format!("{count} resets{cost}; the next client is served");
    }
    rig.conclude(kept.add_to(verdict))
}

/// [`WINDOW`], or 1 for a proxy that serves one client at a time. Finding out costs two resets.
fn how_many_at_a_time(rig: &mut Rig, big: &Route) -> Result<usize, Halt> {
    let mut clients = ask_and_be_served(rig, big, 1)?;
    clients.push(rig.client(Window::Small, big)?);
    let is_served = |backend: &Backend| served(backend, big) == 2;
    let both = rig.pump(FOREVER, |backend| done_if(is_served(backend)))?;
    if both == Ended::Done {
        reset(clients)?;
        return Ok(WINDOW);
    }
    rig.tell("It serves one client at a time.");
    let second = clients.split_off(1);
    reset(clients)?;
    if rig.pump(FOREVER, |backend| done_if(is_served(backend)))? == Ended::Still {
        return Err(rig
            .frozen("after a client has reset its connection, the next is not served")
            .into());
    }
    reset(second)?;
    Ok(1)
}

/// How many clients have got something of this page, or could have.
fn served(backend: &Backend, big: &Route) -> usize {
    backend.asked_for(big.target).iter().filter(|progress| progress.sent > 0).count()
}

/// So many clients ask for the page at the same time. The backend has begun to answer all of them.
fn ask_and_be_served(rig: &mut Rig, big: &Route, count: usize) -> Result<Vec<Client>, Halt> {
    let before = served(&rig.backend, big);
    let clients: Vec<Client> =
        (0..count).map(|_| rig.client(Window::Small, big)).collect::<Result<_, _>>()?;
    let all = rig.pump(FOREVER, |backend| done_if(served(backend, big) == before + count))?;
    if all == Ended::Still {
        let now = served(&rig.backend, big) - before;
        let what = match before {
            0 => "a client asks for a page, and the backend never hears of it".into(),
            _ => format!(
                "{before} clients have reset their connections; of the {count} that ask next, {now} are served"
            ),
        };
        return Err(rig.frozen(&what).into());
    }
    rig.settle()?;
    Ok(clients)
}

fn reset(clients: Vec<Client>) -> Result<(), Halt> {
    clients.into_iter().try_for_each(|client| Ok(client.reset()?))
}
