use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "fin-while-frozen",
    question: "data and the backend's end arrive while the proxy is stopped: is the data still read?",
    method: "The proxy is stopped by a signal after it has passed on the request. The backend sends a \
        little more than one read of 64 KiB takes, and closes. When the proxy goes on, the data and \
        the backend's end (its FIN) are there at the same time.",
    finds: "A proxy that sees that the backend has ended and closes before it has read what is left.",
    meaning: "On a busy machine the last part of a page is missing. The same happens without any signal \
        when a backend answers quickly and closes.",
    judges: &[Matter::Responses],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let send = Gate::new();
    // A little more than one read of 64 KiB takes.
    let response = Wire::response(Framing::Close, 64 * 1024 + 500);
    let script = vec![Act::Await(send.clone()), Act::SendAll];
    let route = Route::scripted("/fin", response.clone(), script);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let client = rig.client(Window::Default, &route)?;
    rig.until_asked(&route)?;
    rig.settle()?;
    rig.freeze()?;
    send.open();
    rig.settle()?;
    rig.tell(format!(
        "While the proxy was stopped, the backend sent {} bytes and its end. The proxy goes on.",
        thousands(response.len())
    ));
    rig.thaw()?;
    let transfer = read_to_the_end(&mut rig, client)?;
    rig.conclude(Verdict::of(vec![transfer]))
}
