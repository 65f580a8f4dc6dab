use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "plain",
    question: "a fast client and a short page, in all three framings: does everything arrive?",
    method: "The client asks for three short pages, one after the other, and reads as fast as it can. \
        The end of the first is told by chunks, of the second by a Content-Length, of the third by \
        closing the connection.",
    finds: "A proxy that cannot even pass on a page without any pressure: it changes bytes, cuts the \
        page short, or never passes on its end.",
    meaning: "Nobody can use this proxy.",
    judges: &[Matter::Responses],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let framings = [
        ("/chunked", Framing::Chunked),
        ("/content-length", Framing::ContentLength),
        ("/close", Framing::Close),
    ];
    let routes = framings
        .map(|(target, framing)| Route::simple(target, Wire::response(framing, SHORT)))
        .to_vec();
    let mut rig = Rig::start(spec, routes.clone(), story)?;
    let mut transfers = vec![];
    for route in &routes {
        let mut client = rig.client(Window::Default, route)?;
        let ended = rig.drain(&mut client, FOREVER)?;
        rig.tell(format!("GET {}: {} bytes came.", route.target, thousands(client.received())));
        transfers.push(rig.judge(client, ended)?);
    }
    rig.conclude(Verdict::of(transfers))
}
