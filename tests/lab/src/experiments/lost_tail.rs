use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "lost-tail",
    question: "one burst while the client does not read: does the end of it arrive?",
    method: "The backend sends one page, more than twice what the kernel's buffers hold, and closes. \
        Meanwhile the client does not read. When nothing moves anymore, it reads everything.",
    finds: "Bytes that the proxy took from the backend while the client could take no more, and that \
        never came out again; or a connection that was closed before they did.",
    meaning: "The user's download stops short. Where the page said how long it is, the browser or curl \
        reports an error; where it did not, nobody notices.",
    judges: &[Matter::Responses],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let route = Route::simple("/burst", Wire::response(Framing::Chunked, flood(Window::Narrow)?));
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let client = stalled_client(&mut rig, &route)?;
    rig.tell("The client reads, as fast as it can.");
    let transfer = read_to_the_end(&mut rig, client)?;
    rig.conclude(Verdict::of(vec![transfer]))
}
