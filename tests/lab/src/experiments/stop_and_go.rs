use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "stop-and-go",
    question: "the proxy is stopped and continued, idle and at work: does it notice nothing?",
    method: "The proxy is stopped and continued by signals three times while it has nothing to do, and \
        then serves a client. It is stopped and continued again in the middle of a response. A wait \
        that is interrupted like this ends with the error EINTR.",
    finds: "A proxy that takes EINTR for a real error and ends, or closes a connection.",
    meaning: "A debugger, a laptop that sleeps, or a container that is paused takes the service down.",
    judges: &[Matter::Survival],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let second_half = Gate::new();
    let response = Wire::response(Framing::Chunked, SHORT);
    let half = response.len() / 2;
    let script = vec![Act::SendTo(half), Act::Await(second_half.clone()), Act::SendAll];
    let halves = Route::scripted("/halves", response, script);
    let mut rig = Rig::start(spec, vec![halves.clone(), small_page()], story)?;
    stop_and_continue(&mut rig)?;
    rig.tell("The idle proxy was stopped and continued three times.");
    let Some(transfer) = ask_for_small(&mut rig)? else {
        return Err(rig.frozen("after a stop and go of the idle proxy nobody is served").into());
    };
    let mut transfers = vec![transfer];
    let mut client = rig.client(Window::Default, &halves)?;
    rig.until_asked(&halves)?;
    rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
    stop_and_continue(&mut rig)?;
    rig.freeze()?;
    second_half.open();
    rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
    rig.thaw()?;
    rig.tell("It was stopped and continued again, in the middle of a response.");
    transfers.push(read_to_the_end(&mut rig, client)?);
    rig.conclude(Verdict::of(transfers))
}

/// Three times.
fn stop_and_continue(rig: &mut Rig) -> Result<(), Halt> {
    for _ in 0..3 {
        rig.freeze()?;
        rig.thaw()?;
        rig.settle()?;
    }
    Ok(())
}
