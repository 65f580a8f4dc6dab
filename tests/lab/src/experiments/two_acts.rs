use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "two-acts",
    question: "a burst while the client stalls, and more after it has read: is there a hole between?",
    method: "Act one: the backend sends more than twice what the kernel's buffers hold, and the client \
        does not read. When nothing moves anymore, the client reads all that comes. Act two: the \
        backend sends a short rest and closes, and the client reads to the end.",
    finds: "A hole. If bytes of act one are missing, the bytes of act two arrive behind them, and \
        everything after the hole is in the wrong place.",
    meaning: "The page is damaged in the middle. The framing breaks where the hole is, so curl stops \
        with an error; a client that does not check saves a damaged file.",
    judges: &[Matter::Responses],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let second_act = Gate::new();
    let first = flood(Window::Narrow)?;
    let response = Wire::response(Framing::Chunked, first + SHORT);
    let script = vec![Act::SendTo(first), Act::Await(second_act.clone()), Act::SendAll];
    let route = Route::scripted("/two-acts", response.clone(), script);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    rig.tell(format!("Act one: the backend sends {} bytes.", thousands(first)));
    let mut client = stalled_client(&mut rig, &route)?;
    rig.tell("The client reads until nothing comes anymore.");
    read_what_there_is(&mut rig, &mut client)?;
    let rest = thousands(response.len() - first);
    rig.tell(format!("Act two: the backend sends the remaining {rest} bytes and closes."));
    second_act.open();
    let transfer = read_to_the_end(&mut rig, client)?;
    rig.conclude(Verdict::of(vec![transfer]))
}
