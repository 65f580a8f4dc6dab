use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "upload",
    question: "16 MiB to a backend that does not read yet: does it get all of them?",
    method: "The client sends a request with a body of 16 MiB. The backend reads the head and then \
        nothing more. When nothing moves anymore, it reads the body, compares it, and answers.",
    finds: "A proxy that is careful with responses and not with requests: bytes of the body are missing, \
        or it stops passing them on.",
    meaning: "The user's photo or form arrives damaged at the server, or not at all, and the client is \
        told nothing.",
    judges: &[Matter::Uploads],
    run,
};

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let (read, enough) = (Gate::new(), Gate::new());
    let route = Route {
        target: "/upload",
        request: Wire::post("/upload", LONG),
        response: Wire::response(Framing::ContentLength, 100),
        acts: vec![Act::Await(read.clone()), Act::ReadBody(enough.clone()), Act::SendAll],
    };
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    let mut client = rig.silent_client(Window::Default, &route.request, &route.response)?;
    rig.pump(SETTLE, |_| rig::send(&mut client))?;
    rig.tell(format!(
        "The client sends {} bytes to a backend that does not read; {} of them were taken.",
        thousands(client.request_len()),
        thousands(client.sent())
    ));
    rig.tell("The backend begins to read.");
    read.open();
    let received = |backend: &Backend| newest_is(backend, &route, |newest| newest.upload.is_some());
    let mut ended = rig.pump(FOREVER, |backend| send_until(&mut client, || received(backend)))?;
    if ended == Ended::Still && rig.queued() == 0 && client.has_sent_all() {
        // The client is done and the queues are empty: what has not come by now never will. The
        // backend answers what it got, so that the connection can end.
        enough.open();
        ended = rig.pump(FOREVER, |backend| done_if(received(backend)))?;
    }
    if ended == Ended::Still && !client.has_ended() {
        // Perhaps the proxy has answered by itself instead of passing the request on.
        rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
        if client.status().is_none() {
            return Err(never_arrives(&rig, &client).into());
        }
    }
    let ended = rig.drain(&mut client, FOREVER)?;
    let mut transfers = uploads(&rig, &route);
    if let Some(upload) = transfers.first() {
        let count = thousands(upload.reading.damage.received);
        rig.tell(format!("The backend got {count} bytes in all, and answers."));
    }
    if transfers.iter().all(|transfer| transfer.reading.is_exact()) {
        // The answer counts too, where the upload itself arrived.
        transfers.push(rig.judge(client, ended)?);
    }
    rig.conclude(verdict_on_both(transfers))
}

fn never_arrives(rig: &Rig, client: &Client) -> Verdict {
    rig.frozen(&format!(
        "the upload never arrives: {} of {} bytes were taken, and {} wait in the kernel's queues",
        thousands(client.sent()),
        thousands(client.request_len()),
        thousands(rig.queued())
    ))
}
