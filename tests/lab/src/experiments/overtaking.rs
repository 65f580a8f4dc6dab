use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "overtaking",
    question: "old bytes wait, new ones come and there is room, all at one wake-up: who goes first?",
    method: "The backend sends more than the kernel's buffers hold, and the client does not read. Then \
        the proxy is stopped by a signal. While it is stopped, the backend sends 32 KiB more and the \
        client reads what it can get. When the proxy goes on, it finds new bytes to read and room to \
        write at the same time, while old bytes still wait.",
    finds: "A proxy that writes the new bytes first.",
    meaning: "Every byte arrives and the page is damaged all the same, now and then, under load: one of \
        the hardest faults to find.",
    judges: &[Matter::Responses],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let second = Gate::new();
    let first = flood(Window::Narrow)?;
    let response = Wire::response(Framing::Chunked, first + 32 * 1024);
    let script = vec![Act::SendTo(first), Act::Await(second.clone()), Act::SendAll];
    let route = Route::scripted("/overtaking", response, script);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let mut client = stalled_client(&mut rig, &route)?;
    rig.freeze()?;
    rig.tell("The proxy is stopped. The backend sends more, and the client reads what it can get.");
    second.open();
    read_what_there_is(&mut rig, &mut client)?;
    rig.tell("The proxy goes on: it finds room to write and new bytes to read, at one wake-up.");
    rig.thaw()?;
    let transfer = read_to_the_end(&mut rig, client)?;
    rig.conclude(Verdict::of(vec![transfer]))
}
