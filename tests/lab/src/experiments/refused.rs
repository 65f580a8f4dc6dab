use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "refused",
    question: "the backend is not there: is the client told, and the next one served?",
    method: "Nobody listens on the backend's port when the first client asks. Whatever the client is \
        told will do: an error page, the end of the connection, or a reset. Then the backend opens its \
        port, and the next client asks.",
    finds: "A proxy that leaves the client waiting, ends, loses descriptors, or does not find its \
        backend again.",
    meaning: "A backend that is restarted takes the proxy down with it, or leaves users in front of an \
        empty page for minutes.",
    judges: &[Matter::Survival, Matter::Descriptors],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let small = small_page();
    let backend = Backend::refusing(vec![small.clone()])?;
    let mut rig = Rig::with_backend(spec, backend, story)?;
    let before = rig.proxy.full_vitals();
    let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
    rig.pump(SETTLE, |_| rig::send(&mut client))?;
    let ended = rig.drain(&mut client, FOREVER)?;
    if ended == Ended::Still {
        let what = "the backend refuses, and the client waits for an answer or an end";
        return Err(rig.frozen(what).into());
    }
    let told = match (client.status(), client.received()) {
        (Some(status), _) => format!("the answer {status}"),
        (None, 0) => "the end of the connection".to_string(),
        (None, count) => format!("{count} bytes that are no answer"),
    };
    rig.tell(format!("The backend refuses; the client got {told}."));
    drop(client);
    rig.settle()?;
    let after = rig.proxy.full_vitals();
    rig.backend.open()?;
    rig.tell("The backend is there now, and the next client asks.");
    let Some(transfer) = ask_for_small(&mut rig)? else {
        let what = "the backend is there again, and the next client is not answered";
        return Err(rig.frozen(what).into());
    };
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        verdict.sentence = format!("the client got {told}, and the next one was served");
        // One descriptor more is no leak: a program may open something at its first connection and
        // keep it. Whether each connection costs one is what `reset` asks.
        if after.descriptors > before.descriptors + 1 {
            let kept = after.descriptors - before.descriptors;
            let what = format!("a refused connection cost {kept} descriptors");
            verdict = Verdict::new(Kind::Leaked, what).with(verdict.transfers);
        }
    }
    rig.conclude(verdict)
}
