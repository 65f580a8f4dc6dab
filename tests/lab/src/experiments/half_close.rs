use std::time::{Duration, Instant};

use super::common::*;
use super::giving_back::what_is_kept;
use crate::arrived::http::End;
use crate::arrived::reading::Offsets;

pub const EXPERIMENT: Experiment = Experiment {
    name: "half-close",
    question: "one end has said all it has to say and still listens: does the other direction go on?",
    method: "Two clients end their direction (shutdown(2), a FIN) and wait: one right after its \
        request, for a backend that thinks for a second, and one when half the answer has come. Then \
        it is the other way around: a client has sent a part of its upload when the backend sends a \
        whole answer and ends its own direction. The client reads both and sends the rest. \
        In the end ten clients at a time end their direction, and what the proxy keeps of them is \
        counted.",
    finds: "A proxy that takes the end of one direction for the end of both, and throws away the answer \
        or the rest of the upload; and one that never passes the end on, so that a server which reads \
        to the end waits forever. An HTTP request says by itself where it ends, so for a proxy that \
        speaks HTTP this is only a note.",
    meaning: "A program that ends its direction to say that this was all, as nc -N does, gets no answer \
        or half of one. A server that answers early never gets the rest of an upload. nginx has a \
        setting: proxy_half_close in a stream, proxy_ignore_client_abort in http.",
    judges: &[
        Matter::Responses,
        Matter::Uploads,
        Matter::Ends,
        Matter::Descriptors,
        Matter::Memory,
    ],
    run,
};

/// How much is uploaded to the backend that ends first, in bytes.
const UPLOAD: u64 = 4 << 20;

/// The most that a head of the proxy's own may be shorter than the backend's, in bytes.
const OTHER_HEAD: u64 = 1024;

/// How long the backend thinks before it answers. socat gives up after half a second, unless it is told
/// otherwise (its option `-t`).
const THINKING: Patience =
    Patience { at_least: Duration::from_secs(1), for_timers: Duration::from_secs(1) };

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let gates = [Gate::new(), Gate::new()];
    let [after_request, midway] = gates.clone();
    let (read, enough) = (Gate::new(), Gate::new());
    let answer = || Wire::response(Framing::ContentLength, SHORT);
    let until = |gate: Gate| vec![Act::ReadToEnd(gate.clone()), Act::Await(gate), Act::SendAll];
    let whole = Route::scripted("/after-the-request", answer(), until(after_request));
    let half = vec![Act::SendTo(answer().len() / 2)];
    let halves = Route::scripted("/in-mid-answer", answer(), [half, until(midway)].concat());
    let early = Route {
        target: "/early-answer",
        request: Wire::post("/early-answer", UPLOAD),
        response: Wire::response(Framing::Close, SHORT),
        acts: vec![Act::SendAll, Act::End, Act::Await(read.clone()), Act::ReadBody(enough.clone())],
    };
    let response = Wire::response(Framing::ContentLength, 100);
    let with_more = Route {
        target: "/with-more",
        request: Wire::get_and_more("/with-more", 32),
        response,
        acts: vec![Act::SendAll, Act::ReadToEnd(Gate::new())],
    };
    let routes =
        vec![whole.clone(), halves.clone(), early.clone(), with_more.clone(), small_page()];
    let mut rig = Rig::start(spec, routes, story)?;
    let speaks_http = speaks_http(&mut rig, &with_more)?;
    let mut found = Found { speaks_http, ..Found::default() };
    found.client_ends(&mut rig, &whole, &gates[0], "right after its request")?;
    found.client_ends(&mut rig, &halves, &gates[1], "in mid-answer")?;
    found.backend_ends(&mut rig, &early, &read, &enough)?;
    let verdict = found.verdict();
    if !verdict.kind.is_good() {
        return rig.conclude(verdict);
    }
    let kept = what_is_kept(&mut rig, "half-close", end_at_once)?;
    rig.conclude(kept.add_to(verdict))
}

/// So many clients ask for a small page, end their direction, and read what comes. Whether that is the
/// page has been asked before.
fn end_at_once(rig: &mut Rig, count: usize) -> Result<(), Halt> {
    let mut clients = vec![];
    for _ in 0..count {
        let client = rig.client(Window::Default, &small_page())?;
        client.end_sending()?;
        clients.push(client);
    }
    clients.iter_mut().try_for_each(|client| rig.drain(client, FOREVER).map(|_| ()))
}

/// Whether the proxy knows where a request ends. It does if it writes a head of its own, or if it does
/// not pass on some bytes that a client sends behind its request.
fn speaks_http(rig: &mut Rig, with_more: &Route) -> Result<bool, Halt> {
    let Some(transfer) = ask_for_small(rig)? else {
        return Err(rig.frozen("not even an ordinary request is answered").into());
    };
    if !transfer.reading.is_exact() {
        return Err(Verdict::of(vec![transfer]).into());
    }
    if transfer.reading.offsets == Offsets::Body {
        rig.tell(
            "An ordinary request first: the proxy writes a head of its own, so it speaks HTTP.",
        );
        return Ok(true);
    }
    let mut client = rig.client(Window::Default, with_more)?;
    rig.drain(&mut client, FOREVER)?;
    let all = client.sent();
    let all_came = |backend: &Backend| newest_is(backend, with_more, |it| it.received == all);
    let speaks_http = rig.pump(LULL, |backend| done_if(all_came(backend)))? == Ended::Still;
    rig.tell(match speaks_http {
        true => "A request with some bytes behind it: the proxy does not pass those on, so it speaks HTTP.",
        false => "A request with some bytes behind it: the proxy passes on every byte as it is.",
    });
    Ok(speaks_http)
}

/// Sends more of the request, and reads what there is of the response.
fn send_and_read(client: &mut Client) -> Attempt {
    let sent = rig::send(client);
    match client.has_ended() || client.is_complete() {
        false if rig::read(client, usize::MAX) == Attempt::Moved => Attempt::Moved,
        _ => sent,
    }
}

/// What came of the parts so far.
#[derive(Default)]
struct Found {
    speaks_http: bool,
    transfers: Vec<Transfer>,
    /// What is damaged: the verdict on it, and the sentence.
    faults: Vec<(Kind, String)>,
    notes: Vec<String>,
}

impl Found {
    /// A client asks and ends its direction, after it has read what the backend sends before the gate.
    /// Once the backend has seen that end and the gate is open, the rest of the answer comes.
    fn client_ends(
        &mut self,
        rig: &mut Rig,
        route: &Route,
        gate: &Gate,
        when: &str,
    ) -> Result<(), Halt> {
        let at_once = matches!(route.acts[0], Act::ReadToEnd(_));
        let mut client = rig.silent_client(Window::Small, &route.request, &route.response)?;
        if at_once {
            client.send_with_end()?;
        }
        rig.send_request(&mut client)?;
        if !at_once {
            rig.until_asked(route)?;
            read_what_there_is(rig, &mut client)?;
        }
        client.end_sending()?;
        let ended_at = Instant::now();
        rig.tell(format!("The client ends its direction {when}, and waits."));
        let seen = |backend: &Backend| newest_is(backend, route, |it| it.end_seen.is_some());
        let passed_on = rig.pump(self.patience(), |backend| done_if(seen(backend)))?;
        rig.pump(SETTLE, |_| rig::read(&mut client, usize::MAX))?;
        if passed_on == Ended::Still && !self.speaks_http && !client.has_ended() {
            let what = format!(
                "the client ends its direction {when}, and the backend never learns of it: a server that reads to the end waits forever"
            );
            return Err(rig.frozen(&what).into());
        }
        if at_once && !client.has_ended() {
            let gave_up = rig.pump(THINKING, |_| rig::read(&mut client, usize::MAX))?;
            if gave_up == Ended::Done && client.received() == 0 {
                let ms = ended_at.elapsed().as_millis();
                self.note(&format!(
                    "once a client has ended its direction, the answer must begin within {ms} ms, or it is thrown away (socat: -t SECONDS)"
                ));
                return Ok(());
            }
        }
        gate.open();
        let ended = rig.drain(&mut client, FOREVER)?;
        tell_received(rig, &client);
        // Its own answer may be an error, the end of the connection, or an empty page.
        let is_over = client.has_ended() || client.is_complete();
        let own_answer = client.status().is_some_and(|status| status >= 400)
            || is_over && client.received() + OTHER_HEAD < client.expected();
        if self.speaks_http && own_answer {
            self.note(
                "it takes a client that ends its direction for one that has left, and drops its request (nginx: proxy_ignore_client_abort on; squid: half_closed_clients on)",
            );
            return Ok(());
        }
        let transfer = rig.judge(client, ended)?;
        self.add(transfer, &format!("the client ends {when}"));
        Ok(())
    }

    /// The backend sends its whole answer and its end when only a part of the upload has been sent.
    /// Only then does it begin to read the rest.
    fn backend_ends(
        &mut self,
        rig: &mut Rig,
        route: &Route,
        read: &Gate,
        enough: &Gate,
    ) -> Result<(), Halt> {
        const ENDS_FIRST: &str = "the backend ends during an upload";
        let mut client = rig.silent_client(Window::Default, &route.request, &route.response)?;
        rig::send(&mut client);
        rig.tell(format!(
            "Another client has sent {} of {} bytes. The backend answers, and ends its direction.",
            thousands(client.sent()),
            thousands(client.request_len())
        ));
        // A proxy that speaks HTTP may read the answer only after it has sent the request.
        let ended = rig.drain(&mut client, self.patience())?;
        tell_received(rig, &client);
        if !self.speaks_http && !client.has_ended() {
            if client.received() == client.expected() {
                let what = "the backend answers and ends its direction, and the client, which is still sending, never learns of the end";
                return Err(rig.frozen(what).into());
            }
            let transfer = rig.judge(client, ended)?;
            self.add(transfer, ENDS_FIRST);
            return Ok(());
        }
        rig.tell("The client sends the rest, and the backend reads it.");
        rig.pump(SETTLE, |_| send_and_read(&mut client))?;
        read.open();
        let received = |backend: &Backend| newest_is(backend, route, |it| it.upload.is_some());
        let sent = rig.pump(FOREVER, |backend| match send_and_read(&mut client) {
            Attempt::Moved => Attempt::Moved,
            _ => done_if(received(backend)),
        })?;
        if sent == Ended::Still {
            // Nothing moves anymore: what has not come never will.
            enough.open();
            rig.pump(FOREVER, |backend| done_if(received(backend)))?;
        }
        let ended = rig.drain(&mut client, FOREVER)?;
        for upload in uploads(rig, route) {
            let count = upload.reading.damage.received;
            let (got, all) = (thousands(count), thousands(client.request_len()));
            rig.tell(format!("The backend got {got} bytes of the request."));
            let reading = &upload.reading;
            let cut = reading.damage.gaps.iter().any(|gap| gap.tail) && !reading.has_crossed();
            if self.speaks_http && cut {
                self.note(&format!(
                    "it ends a request once its answer is complete: the backend got {got} of {all} bytes"
                ));
            } else {
                self.add(upload, ENDS_FIRST);
            }
        }
        let transfer = rig.judge(client, ended)?;
        let damage = &transfer.reading.damage;
        let cut = matches!(damage.gaps[..], [gap] if gap.tail) && !transfer.reading.has_crossed();
        if self.speaks_http && cut && transfer.reading.end == End::Reset {
            // It has closed a connection on which more had come than it had read. The kernel resets it then, and
            // what the client has not read by then is gone. How much that is depends on who is faster.
            self.note(
                "it closes a connection on which the client is still sending, and the reset that follows can cost the client a part of the answer (RFC 9112, section 9.6)",
            );
        } else {
            self.add(transfer, ENDS_FIRST);
        }
        Ok(())
    }

    /// How long to wait for an end that only a proxy that passes on bytes must pass on.
    fn patience(&self) -> Patience {
        if self.speaks_http { SETTLE } else { FOREVER }
    }

    fn note(&mut self, what: &str) {
        if !self.notes.iter().any(|note| note == what) {
            self.notes.push(what.into());
        }
    }

    fn add(&mut self, transfer: Transfer, when: &str) {
        let reading = &transfer.reading;
        if !reading.is_exact() {
            let verdict = Verdict::of(vec![transfer.clone()]);
            let what = match &reading.damage.gaps[..] {
                [gap] if gap.tail && verdict.kind == Kind::Truncated => {
                    let (missing, all) = (thousands(gap.len), thousands(reading.damage.sent));
                    let of = match transfer.direction {
                        Direction::Download => "the answer",
                        Direction::Upload => "the upload",
                    };
                    format!("{missing} of {all} bytes of {of} never arrive")
                }
                _ => verdict.sentence,
            };
            self.faults.push((verdict.kind, format!("{when}: {what}")));
        }
        self.transfers.push(transfer);
    }

    /// A fault if there is one; else the first note, if there is one.
    fn verdict(mut self) -> Verdict {
        let mut verdict = match self.faults.first() {
            Some((kind, _)) => {
                let sentences: Vec<&str> = self.faults.iter().map(|(_, it)| it.as_str()).collect();
                Verdict::new(*kind, sentences.join("; "))
            }
            None if !self.notes.is_empty() => Verdict::new(Kind::Noted, self.notes.remove(0)),
            None => {
                let what = "either end may be the first to end, and the other's bytes all arrive";
                Verdict::new(Kind::Exact, what)
            }
        };
        verdict.notes = self.notes;
        verdict.with(self.transfers)
    }
}
