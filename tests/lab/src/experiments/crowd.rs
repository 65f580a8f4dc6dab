use std::time::Instant;

use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "crowd",
    question: "20 clients do not read: is the next one, who does, still served?",
    method: "20 clients each ask for a page that is larger than the kernel's buffers and do not read \
        it. When nothing moves anymore, one more client asks for 100 bytes and reads them at once.",
    finds: "A proxy that waits for one client at the expense of all others. It is frozen if the last \
        client gets nothing and every thread of the proxy is asleep.",
    meaning: "One visitor with a bad connection, or one who means harm, stops the service for \
        everybody.",
    judges: &[Matter::Others],
    run,
};

/// How many clients do not read.
const CROWD: usize = 20;

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let each = (1 << 20) + 4 * net::absorbed(Window::Small)?;
    let big = Route::simple("/big", Wire::response(Framing::Chunked, each));
    let mut rig = Rig::start(spec, vec![big.clone(), small_page()], story)?;
    let mut crowd = vec![];
    for _ in 0..CROWD {
        let mut client = rig.silent_client(Window::Small, &big.request, &big.response)?;
        // A frozen proxy may not even take the request out of the queue: that is not asked here.
        rig.pump(SETTLE, |_| rig::send(&mut client))?;
        crowd.push(client);
    }
    // All of them, or as many as the proxy ever lets through.
    rig.pump(FOREVER, |backend| done_if(backend.asked_for(big.target).len() == CROWD))?;
    rig.settle()?;
    let served = rig.backend.asked_for(big.target).len();
    let have = if served == 1 { "has" } else { "have" };
    rig.tell(format!(
        "{CROWD} clients have each asked for {} and do not read; {served} of them {have} reached the backend.",
        size(each)
    ));
    let asked = Instant::now();
    let Some(transfer) = ask_for_small(&mut rig)? else {
        let waiting = rig.backend.asked_for(big.target).len();
        let what = format!(
            "one more client asks for 100 bytes and gets nothing; of the {CROWD} that do not read, {waiting} got as far as the backend"
        );
        return Err(rig.frozen(&what).into());
    };
    let took_ms = asked.elapsed().as_secs_f64() * 1000.0;
    rig.tell(format!("The next client was answered in {took_ms:.1} ms."));
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        verdict.sentence = format!("the next client was answered in {took_ms:.1} ms");
    }
    rig.conclude(verdict)
}
