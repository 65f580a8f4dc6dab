use super::common::*;
use crate::arrived::http::{End, Reached};
use crate::sent::wire;

pub const EXPERIMENT: Experiment = Experiment {
    name: "aborted",
    question: "the backend breaks off in the middle of a page: can the client tell?",
    method: "The backend sends half a page, and when that has got as far as it goes, it resets the \
        connection (a close(2) with SO_LINGER 0). One page is chunked, and what is sent of it is a number \
        of whole chunks. The end of the other is told by closing the connection. Then another client \
        asks for a small page.",
    finds: "A proxy that turns the reset into an end: it makes up the last chunk or a length that fits what \
        it has, or it closes in good order where closing is the end. And one that leaves the client \
        waiting, or does not live through it. What the backend sent just before its reset need not \
        arrive.",
    meaning: "Half a file is taken for a whole one, and nobody notices. Where closing the connection is \
        the end, a proxy has to pass on the reset, by SO_LINGER 0 and close(2), and few do. A server that \
        sends a length or chunks is safe from those that close in good order, but not from those that \
        make up an end.",
    judges: &[Matter::Responses, Matter::Ends, Matter::Survival],
    run,
};

/// How many whole chunks of the chunked page are sent.
const CHUNKS: u64 = 4;

/// What the client can know of a page that was broken off.
enum Told {
    /// That it is not whole.
    Broken,
    /// Nothing: the connection was closed in good order, and that is the end of such a page.
    PlainEnd,
    /// It was told that the page is whole.
    MadeUp,
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let page = |target, framing| {
        let response = Wire::response(framing, SHORT);
        let sent = response.head_len()
            + if framing == Framing::Chunked { CHUNKS * wire::stride() } else { SHORT / 2 };
        let gate = Gate::new();
        let script = vec![Act::SendTo(sent), Act::Await(gate.clone()), Act::Reset];
        (Route::scripted(target, response, script), sent, gate)
    };
    let pages = [page("/chunked", Framing::Chunked), page("/close", Framing::Close)];
    let mut routes: Vec<Route> = pages.iter().map(|(route, ..)| route.clone()).collect();
    routes.push(small_page());
    let mut rig = Rig::start(spec, routes, story)?;
    let mut transfers = vec![];
    for (route, sent, gate) in &pages {
        let (told, transfer) = break_off(&mut rig, route, *sent, gate)?;
        let got = thousands(transfer.reading.damage.received);
        let all = thousands(route.response.body_len());
        let what = match told {
            Told::Broken => {
                transfers.push(transfer);
                continue;
            }
            Told::MadeUp => "the backend broke off, and the proxy made up an end",
            Told::PlainEnd => {
                "the backend reset its connection, and the proxy closes the client's in good order, which is the end of such a page"
            }
        };
        let what = format!("{what}: the client takes {got} bytes for a page of {all}");
        return rig.conclude(Verdict::new(Kind::Truncated, what).with(vec![transfer]));
    }
    let Some(transfer) = ask_for_small(&mut rig)? else {
        let what = "after the backend has reset two connections, the next client is not answered";
        return Err(rig.frozen(what).into());
    };
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        transfers.extend(verdict.transfers);
        verdict = Verdict::new(
            Kind::Exact,
            "the client could tell each time, and the next one is served",
        )
        .with(transfers);
    }
    rig.conclude(verdict)
}

/// The backend sends so many bytes of the page and resets its connection.
fn break_off(
    rig: &mut Rig,
    route: &Route,
    sent: u64,
    gate: &Gate,
) -> Result<(Told, Transfer), Halt> {
    let mut client = rig.client(Window::Default, route)?;
    rig.until_asked(route)?;
    read_what_there_is(rig, &mut client)?;
    let all = thousands(route.response.len());
    rig.tell(format!(
        "The backend has sent {} of {all} bytes, and resets its connection.",
        thousands(sent)
    ));
    gate.open();
    let ended = rig.drain(&mut client, FOREVER)?;
    tell_received(rig, &client);
    if ended == Ended::Still {
        let what = "the backend breaks off in the middle of a page, and the client is never told";
        return Err(rig.frozen(what).into());
    }
    // A status of its own tells the client as well.
    let own_answer = client.status().is_some_and(|status| status >= 400);
    let framed_end = client.is_complete();
    let (reading, evidence) = client.finish(sent);
    let told = match reading.reached {
        _ if own_answer => Told::Broken,
        Reached::Complete if framed_end => Told::MadeUp,
        Reached::Complete if reading.end == End::Fin => Told::PlainEnd,
        _ => Told::Broken,
    };
    let damage = &reading.damage;
    let others = damage.reordered + damage.repeated + damage.altered + damage.foreign;
    let is_damaged = others > 0 || damage.gaps.iter().any(|gap| !gap.tail);
    let transfer = Transfer { direction: Direction::Download, reading, evidence };
    let crossed = transfer.reading.has_crossed();
    if crossed || is_damaged && !own_answer && !matches!(told, Told::MadeUp) {
        return Err(Verdict::of(vec![transfer]).into());
    }
    Ok((told, transfer))
}
