use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "turnover",
    question: "clients leave and others come while the proxy is stopped: does each get its own bytes?",
    method: "Some clients have read the first act of their page when the proxy is stopped by a signal. Now \
        the backend sends to all of them, some of them leave, and others come and ask. When the proxy \
        goes on, it learns all of this at once, and the descriptors of those who left are free for those \
        who came. There are six rounds, in which the three things happen in different orders. Every line \
        of a page says which request it answers.",
    finds: "A proxy that writes to a descriptor after somebody else has got it, or handles an event of a \
        connection that is gone, and one that reads for several connections into the same memory. Then \
        one client gets the bytes of another.",
    meaning: "One visitor sees another's page, perhaps with a name or a password in it.",
    judges: &[Matter::Owners, Matter::Responses],
    run,
};

/// What happens while the proxy is stopped.
#[derive(Clone, Copy)]
enum Event {
    /// The backend sends to everybody who is there.
    Data,
    /// Some clients leave.
    Leave,
    /// Others come and ask.
    Come,
}
use Event::{Come, Data, Leave};

/// The orders of events, one round after the other.
const ORDERS: [[Event; 3]; 3] = [[Data, Leave, Come], [Leave, Come, Data], [Come, Data, Leave]];

/// The targets of each round. A gate stays open, so each round needs scripts of its own.
const TARGETS: [[&str; 2]; 6] = [
    ["/short/1", "/long/1"],
    ["/short/2", "/long/2"],
    ["/short/3", "/long/3"],
    ["/short/4", "/long/4"],
    ["/short/5", "/long/5"],
    ["/short/6", "/long/6"],
];

/// On a busy machine this many rounds are enough, if half the time is over.
const ENOUGH_ROUNDS: usize = 3;

/// How many clients leave in each round. The first closes its connection, the others reset theirs.
const LEAVING: usize = 3;

/// How many stay whose page ends while the proxy is stopped.
const ENDING: usize = 2;

/// How many come.
const COMING: usize = 4;

/// Bytes in each act of a page. The kernel takes an act at once, whether anybody reads or not.
const ACT: u64 = 20_000;

/// Bytes of body in the request of those who come. They arrive together with the head, because some
/// proxies read a request only once.
const UPLOAD: u64 = 1_000;

/// The scripts of one round, and what they wait for.
struct Round {
    order: [Event; 3],
    /// A page in two acts.
    short: Route,
    /// A page in three acts.
    long: Route,
    second_act: Gate,
    third_act: Gate,
}

impl Round {
    fn new([short, long]: [&'static str; 2], order: [Event; 3]) -> Round {
        let (second_act, third_act) = (Gate::new(), Gate::new());
        let [two, three] = [2, 3].map(|acts| Wire::response(Framing::Chunked, acts * ACT));
        let first = [Act::SendTo(two.of_body(ACT)), Act::Await(second_act.clone())];
        let second = [Act::SendTo(three.of_body(2 * ACT)), Act::Await(third_act.clone())];
        let last = [Act::SendAll];
        let short = Route::scripted(short, two, [&first[..], &last].concat());
        let long = Route::scripted(long, three, [&first[..], &second, &last].concat());
        Round { order, short, long, second_act, third_act }
    }
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let enough = Gate::new();
    let newcomer = Route {
        target: "/new",
        request: Wire::post("/new", UPLOAD),
        response: Wire::response(Framing::ContentLength, ACT),
        acts: vec![Act::ReadBody(enough.clone()), Act::SendAll],
    };
    let rounds = TARGETS.into_iter().zip(ORDERS.into_iter().cycle());
    let rounds: Vec<_> = rounds.map(|(targets, order)| Round::new(targets, order)).collect();
    let mut routes = vec![newcomer.clone()];
    routes.extend(rounds.iter().flat_map(|round| [round.short.clone(), round.long.clone()]));
    let mut rig = Rig::start(spec, routes, story)?;
    rig.tell("The clients are called 01, 02 and so on, as in their requests and in their pages.");
    let mut served = 0;
    for (index, round) in rounds.iter().enumerate() {
        if index >= ENOUGH_ROUNDS && rig.elapsed() > DEADLINE / 2 {
            break;
        }
        let mut clients = play(&mut rig, round, &newcomer)?;
        served += clients.len();
        let ended = serve(&mut rig, &mut clients, &enough)?;
        let mut verdict = judge(&mut rig, clients, ended, &newcomer)?;
        if verdict.kind != Kind::Exact {
            verdict.transfers.retain(|transfer| !transfer.reading.is_exact());
            // Of several that are as bad, the sentence is about the last.
            verdict.transfers.reverse();
            return rig.conclude(verdict);
        }
    }
    let what = format!("{served} clients got every byte of their own, and none of another's");
    rig.conclude(Verdict::new(Kind::Exact, what))
}

/// Plays a round until nobody gets any more. Returns the clients who have not left.
fn play(rig: &mut Rig, round: &Round, newcomer: &Route) -> Result<Vec<Client>, Halt> {
    let mut leaving = vec![];
    for _ in 0..LEAVING {
        leaving.push(rig.client(Window::Default, &round.short)?);
    }
    let mut clients = vec![rig.client(Window::Default, &round.long)?];
    for _ in 0..ENDING {
        clients.push(rig.client(Window::Default, &round.short)?);
    }
    rig.pump(SETTLE, |_| read_all(leaving.iter_mut().chain(&mut clients)))?;
    rig.freeze()?;
    let mut story = [const { String::new() }; 3];
    for (told, event) in story.iter_mut().zip(round.order) {
        *told = match event {
            Data => {
                round.second_act.open();
                "the backend sent to everybody".to_string()
            }
            Leave => {
                let told = format!("{} left", names(&leaving));
                let mut leaving = leaving.drain(..);
                drop(leaving.next());
                leaving.try_for_each(Client::reset)?;
                told
            }
            Come => {
                for _ in 0..COMING {
                    clients.push(rig.client(Window::Default, newcomer)?);
                }
                format!("{} came", names(&clients[clients.len() - COMING..]))
            }
        };
        rig.settle()?;
    }
    let [first, second, third] = story;
    rig.tell(format!("While the proxy was stopped, {first}, {second}, and {third}. It goes on."));
    rig.thaw()?;
    rig.pump(SETTLE, |_| read_all(&mut clients))?;
    round.third_act.open();
    Ok(clients)
}

/// What clients are called who have asked one after the other.
fn names(clients: &[Client]) -> String {
    match clients {
        [first, .., last] => format!("{} to {}", first.owner(), last.owner()),
        _ => String::new(),
    }
}

/// Everybody reads to the end.
fn serve(rig: &mut Rig, clients: &mut [Client], enough: &Gate) -> Result<Ended, Halt> {
    let mut ended = rig.pump(FOREVER, |_| read_all(&mut *clients))?;
    if ended == Ended::Still && rig.queued() == 0 {
        // What has not come by now never will. The backend may still wait for a request's body.
        enough.open();
        ended = rig.pump(FOREVER, |_| read_all(&mut *clients))?;
    }
    // Nothing should follow but the ends of the connections.
    rig.pump(SETTLE, |_| {
        let open = clients.iter_mut().filter(|client| !client.has_ended());
        open.fold(Attempt::Done, |so_far, client| so_far.and(read_now(client)))
    })?;
    Ok(ended)
}

/// One attempt to read more for each client whose response is not complete.
fn read_all<'c>(clients: impl IntoIterator<Item = &'c mut Client>) -> Attempt {
    let waiting = clients.into_iter().filter(|client| !client.is_complete() && !client.has_ended());
    waiting.fold(Attempt::Done, |so_far, client| so_far.and(read_now(client)))
}

fn read_now(client: &mut Client) -> Attempt {
    match client.read_now(usize::MAX) {
        Moved::Bytes(_) => Attempt::Moved,
        Moved::Nothing => Attempt::Idle,
        Moved::Fin | Moved::Reset => Attempt::Done,
    }
}

/// The verdict on what the clients got, and the backend from them.
fn judge(
    rig: &mut Rig,
    clients: Vec<Client>,
    ended: Ended,
    newcomer: &Route,
) -> Result<Verdict, Halt> {
    let mut transfers = vec![];
    let mut halt = None;
    for client in clients {
        let asked = rig.backend.asked_for(newcomer.target);
        let its = asked.into_iter().rfind(|progress| progress.owner == client.owner());
        transfers.extend(its.and_then(|progress| progress.upload).map(uploaded));
        match rig.judge(client, ended) {
            Ok(transfer) => transfers.push(transfer),
            // Another client may have got what is worse than this.
            Err(why) => halt = halt.or(Some(why)),
        }
    }
    let verdict = Verdict::of(transfers);
    match halt {
        Some(halt) if verdict.kind != Kind::Crossed => Err(halt),
        _ => Ok(verdict),
    }
}
