use super::common::*;
use super::giving_back::what_is_kept;

pub const EXPERIMENT: Experiment = Experiment {
    name: "plain",
    question: "a fast client and a short page, which can end in three ways: does everything arrive?",
    method: "The client asks for three short pages, one after the other, and reads as fast as it can. \
        The end of the first is told by chunks, of the second by a Content-Length, of the third by \
        closing the connection. Then ten clients at a time ask for a small page, and the proxy's \
        descriptors and memory are counted after each ten.",
    finds: "A proxy that cannot even pass on a page without any pressure: it changes bytes, cuts the \
        page short, or never passes on its end. And one that keeps something of every connection.",
    meaning: "Nobody can use this proxy.",
    judges: &[Matter::Responses, Matter::Descriptors, Matter::Memory],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let framings = [
        ("/chunked", Framing::Chunked),
        ("/content-length", Framing::ContentLength),
        ("/close", Framing::Close),
    ];
    let mut routes = framings
        .map(|(target, framing)| Route::simple(target, Wire::response(framing, SHORT)))
        .to_vec();
    routes.push(small_page());
    let mut rig = Rig::start(spec, routes.clone(), story)?;
    routes.pop();
    let mut transfers = vec![];
    for route in &routes {
        let mut client = rig.client(Window::Default, route)?;
        let ended = rig.drain(&mut client, FOREVER)?;
        rig.tell(format!("GET {}: {} bytes came.", route.target, thousands(client.received())));
        transfers.push(rig.judge(client, ended)?);
    }
    let verdict = Verdict::of(transfers);
    if !verdict.kind.is_good() {
        return rig.conclude(verdict);
    }
    let kept = what_is_kept(&mut rig, "small page", ask_at_once)?;
    rig.conclude(kept.add_to(verdict))
}

/// So many clients ask for a small page at the same time, and all get it.
fn ask_at_once(rig: &mut Rig, count: usize) -> Result<(), Halt> {
    let small = small_page();
    let clients: Vec<Client> =
        (0..count).map(|_| rig.client(Window::Default, &small)).collect::<Result<_, _>>()?;
    let mut transfers = vec![];
    for client in clients {
        transfers.push(read_to_the_end_quietly(rig, client)?);
    }
    let verdict = Verdict::of(transfers);
    if verdict.kind.is_good() { Ok(()) } else { Err(verdict.into()) }
}
