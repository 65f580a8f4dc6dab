use std::time::{Duration, Instant};

use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "paced",
    question: "the client reads all the time, but slower than the backend sends: what is missing?",
    method: "The backend sends a long page, with a short pause after each 256 KiB. The client never \
        stops reading, but it never has more than a quarter of what was sent. When the backend is \
        done, the client reads the rest.",
    finds: "The same as two-acts, many times over: each time the kernel's buffers are full, a piece may \
        go missing.",
    meaning: "This is an ordinary slow connection. A page that is long enough arrives with holes, or the \
        transfer stops for good.",
    judges: &[Matter::Responses],
    run,
};

/// The client's pace follows the backend's, not a clock: while the backend sends, the client has read
/// at most a quarter of what was sent. So it is the slower one on any machine, however busy.
fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    // The send buffer grows while a client reads; up to here (tcp(7), tcp_wmem).
    let most = procfs::largest_buffer("tcp_wmem");
    let response = Wire::response(Framing::Chunked, (16 << 20).max(4 * most));
    let pace =
        Act::SendPaced { to: response.len(), block: 256 * 1024, pause: Duration::from_millis(1) };
    let route = Route::scripted("/paced", response.clone(), vec![pace]);
    let mut rig = Rig::start(spec, vec![route.clone()], story)?;
    rig.tell(format!(
        "The backend sends {} bytes, with a pause after each 256 KiB; the client reads a quarter as fast.",
        thousands(response.len())
    ));
    let mut client = rig.client(Window::Small, &route)?;
    rig.until_asked(&route)?;
    // A backend that is kept waiting goes on only when the client reads more: then it reads more.
    let mut waited_at = (0, Instant::now());
    let ended = rig.pump(FOREVER, |backend| {
        let Some(progress) = backend.asked_for(route.target).pop() else { return Attempt::Idle };
        if progress.is_finished {
            return Attempt::Done;
        }
        let sent = progress.sent;
        if sent != waited_at.0 {
            waited_at = (sent, Instant::now());
        }
        let allowed = (sent / 4).saturating_sub(client.received());
        let stuck = waited_at.1.elapsed() > Duration::from_millis(20);
        match if stuck { 16 * 1024 } else { allowed } {
            0 => Attempt::Idle,
            most => rig::read(&mut client, most as usize),
        }
    })?;
    rig.tell(format!(
        "The backend has {}; the client has read {} bytes so far and reads the rest.",
        if ended == Ended::Done { "sent everything" } else { "stopped" },
        thousands(client.received())
    ));
    let transfer = read_to_the_end(&mut rig, client)?;
    rig.conclude(Verdict::of(vec![transfer]))
}
