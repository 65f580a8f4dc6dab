use std::fmt;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use parking_lot::Mutex;

use super::common::*;
use crate::arrived::http::End;
use crate::arrived::verdict::Unjudged;
use crate::kernel::sockets;

pub const EXPERIMENT: Experiment = Experiment {
    name: "stalled-crowd",
    question: "what does a client that has stopped reading cost, in the proxy's memory and in the kernel's?",
    method: "As many clients as fit ask for 24 MiB each and read nothing. When nothing moves anymore, the \
        proxy's memory is measured, and the kernel's memory for the proxy's own sockets; and another \
        client asks for 100 bytes, again and again. Then the same with a fresh proxy and with clients that \
        read 4 MiB before they stop. A few clients come first. What they cost says how many fit into half \
        of what the kernel allows TCP, half of the free memory, and half of the descriptors. Not more than \
        --clients says are taken.",
    finds: "Numbers. A proxy that bounds its own memory may leave much more in the kernel, where ps does \
        not see it. There is a fault only where the other client is not served, or where bytes of the \
        first 4 MiB are missing.",
    meaning: "Every visitor who leaves a download open costs that much. Divide what the machine has by it, \
        and you know how many it takes to bring everybody's connections down.",
    judges: &[Matter::Others],
    run,
};

/// The page that nobody reads to its end, in bytes.
const PAGE: u64 = 24 << 20;

/// So much some clients read before they stop, in bytes. By then the kernel has opened its windows.
const READ: u64 = 4 << 20;

/// So many clients come first, to find out how many fit.
const SCOUTS: u64 = 8;

/// How much the backend leaves unsent in the kernel, in bytes. Its own buffers would hold megabytes more for
/// each client, which nobody wants to know, and only half as many would fit.
const UNSENT: u32 = 64 << 10;

/// How often the other client asks. The median of so many is not that of a hiccup.
const ASKS: usize = 21;

/// The most that the crowd may make the proxy keep in memory, in bytes, and in files.
const MOST: u64 = 512 << 20;

/// Only one crowd at a time in this process: each takes half of what there is.
static TURN: Mutex<()> = Mutex::new(());

/// Descriptors that the laboratory and the proxy need for other things.
const SPARE: u64 = 128;

/// What a crowd costs in one place each, in bytes.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// The proxy's memory.
    user: u64,
    /// The kernel's memory, for the proxy's own sockets.
    kernel: u64,
    /// The proxy's files.
    files: u64,
    /// The kernel's memory for all sockets of the machine, both ends of each.
    machine: u64,
}

impl Cost {
    fn now(rig: &Rig) -> Cost {
        let [front, back] = rig.ports();
        Cost {
            user: rig.proxy.full_vitals().memory_kib * 1024,
            kernel: sockets::memory(front, back),
            files: rig.proxy.file_bytes(),
            machine: procfs::tcp_memory().map_or(0, |[used, _]| used),
        }
    }

    /// What each of `clients` costs, if there was `before` when nobody had come.
    fn each(self, before: Cost, clients: u64) -> Cost {
        let per = |now: u64, before: u64| now.saturating_sub(before) / clients;
        Cost {
            user: per(self.user, before.user),
            kernel: per(self.kernel, before.kernel),
            files: per(self.files, before.files),
            machine: per(self.machine, before.machine),
        }
    }

    /// How many clients fit that cost so much each, and what they would use up first.
    fn fit(self, most: u64) -> (u64, &'static str) {
        let half = |whole: Option<u64>| whole.unwrap_or(MOST) / 2;
        let tcp = procfs::tcp_memory().map(|[used, most]| most.saturating_sub(used));
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        // A client has two ends here and two in the proxy.
        let limits = [
            (most, "no more were asked for"),
            (half(tcp) / self.machine.max(1), "half of what the kernel allows TCP (tcp_mem)"),
            (
                half(procfs::available_memory()) / self.user.max(1),
                "half of the memory that is free",
            ),
            (MOST / self.user.max(1), "512 MiB of the proxy's memory"),
            (MOST / self.files.max(1), "512 MiB of files"),
            (descriptors.saturating_sub(SPARE) / 4, "half of the descriptors"),
        ];
        limits.into_iter().min_by_key(|(number, _)| *number).expect("there are some")
    }
}

/// How one of the crowd behaves.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    NeverReads,
    Stalls,
}

/// What came of a crowd.
struct Crowd {
    clients: u64,
    /// What each of them cost.
    each: Cost,
    /// How long a small page took, at the median.
    answered_in: Duration,
    /// Why the proxy's own memory says nothing.
    unsampled: Option<String>,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} in the kernel and {} in the proxy", size(self.kernel), size(self.user))?;
        if self.files > 0 { write!(f, ", {} in files", size(self.files)) } else { Ok(()) }
    }
}

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let _turn = TURN.lock();
    let begun = Instant::now();
    let tell = |text: String| story.tell(begun, text);
    let never = crowd_that_fits(spec, &tell, Habit::NeverReads)?;
    let stalls = crowd_that_fits(spec, &tell, Habit::Stalls)?;
    let slowest = never.answered_in.max(stalls.answered_in);
    let what = format!(
        "each of {} clients that never read costs {}; each of {} that read 4 MiB and stalled, {}; a small page beside them takes {:.1} ms",
        thousands(never.clients),
        never.each,
        thousands(stalls.clients),
        stalls.each,
        milliseconds(slowest),
    );
    let mut verdict = Verdict::new(Kind::Exact, what);
    for (habit, crowd) in [("never read", &never), ("stalled", &stalls)] {
        let Crowd { clients, each, answered_in, .. } = crowd;
        let figures = [
            ("clients", *clients, "clients"),
            ("kernel", each.kernel, "bytes"),
            ("user", each.user, "bytes"),
            ("files", each.files, "bytes"),
            ("small page", answered_in.as_micros() as u64, "microseconds"),
        ];
        verdict.figures.extend(figures.map(|(name, value, unit)| Figure {
            name: format!("{habit}: {name}"),
            value,
            unit: unit.into(),
        }));
    }
    if let Some(why) = never.unsampled.or(stalls.unsampled) {
        verdict.unjudged.push(Unjudged { matter: Matter::Memory, why });
    }
    Ok(verdict)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A few clients, and then as many as fit if each costs what those did. A proxy may take only so many
/// connections; then half as many come, and half of that.
fn crowd_that_fits(spec: &Spec, tell: &dyn Fn(String), habit: Habit) -> Result<Crowd, Halt> {
    let scouts = crowd(spec, tell, habit, SCOUTS, "to see how many fit")??;
    let (mut number, mut why) = scouts.each.fit(spec.crowd);
    while number > SCOUTS {
        match crowd(spec, tell, habit, number, why)? {
            Ok(crowd) => return Ok(crowd),
            Err(_) => (number, why) = (number / 2, "because the proxy did not serve twice as many"),
        }
    }
    Ok(scouts)
}

/// So many clients ask a fresh proxy, until nothing moves anymore. `tell` adds a line to the one story of all
/// crowds, and `why` says why there are so many. The inner error is the verdict if another client asks for a
/// small page beside them and does not get it.
fn crowd(
    spec: &Spec,
    tell: &dyn Fn(String),
    habit: Habit,
    number: u64,
    why: &str,
) -> Result<Result<Crowd, Verdict>, Halt> {
    let acts = vec![Act::LeaveUnsent(UNSENT), Act::SendAll];
    let big = Route::scripted("/big", Wire::response(Framing::ContentLength, PAGE), acts);
    let mut rig = Rig::start(spec, vec![big.clone(), small_page()], &Story::default())?;
    let before = Cost::now(&rig);
    let clients = join(&mut rig, &big, number, habit)?;
    let each = Cost::now(&rig).each(before, number);
    let unsampled = rig.unsampled();
    let answered_in = match small_page_beside_them(&mut rig, number)? {
        Ok(answered_in) => answered_in,
        Err(not_served) => return Ok(Err(not_served)),
    };
    let what = match habit {
        Habit::NeverReads => "and read nothing".to_string(),
        Habit::Stalls => format!("read {}, and stop", size(READ)),
    };
    tell(format!(
        "{} clients ({why}) ask a fresh proxy for {} each, {what}.",
        thousands(number),
        size(PAGE)
    ));
    tell(format!("Each costs {each}. A small page takes {:.1} ms.", milliseconds(answered_in)));
    let transfers: Vec<Transfer> = clients.into_iter().map(judge).collect();
    if transfers.iter().any(is_damaged) {
        let damaged = transfers.into_iter().filter(is_damaged).collect();
        return Err(rig.conclude(Verdict::of(damaged))?.into());
    }
    rig.conclude(Verdict::new(Kind::Exact, ""))?;
    Ok(Ok(Crowd { clients: number, each, answered_in, unsampled }))
}

/// So many clients come, and do what they do until nothing moves anymore. Those that read do so at the
/// same time, as a crowd does. One after the other they would not make the kernel open its windows as far.
fn join(rig: &mut Rig, big: &Route, number: u64, habit: Habit) -> Result<Vec<Client>, Halt> {
    // A client that never reads shows no more with a large buffer than with a small one. One that has read
    // makes both kernels open their windows, if its own does.
    let window = match habit {
        Habit::NeverReads => Window::Tiny,
        Habit::Stalls => Window::Network,
    };
    let mut clients = vec![];
    for _ in 0..number {
        let mut client = rig.silent_client(window, &big.request, &big.response)?;
        client.keep_no_evidence();
        rig.pump(SETTLE, |_| rig::send(&mut client))?;
        clients.push(client);
    }
    if habit == Habit::Stalls {
        rig.pump(FOREVER, |_| read_on(&mut clients))?;
    }
    rig.settle()?;
    Ok(clients)
}

/// Each of these clients reads what there is, up to [`READ`] bytes.
fn read_on(clients: &mut [Client]) -> Attempt {
    let mut attempt = Attempt::Done;
    for client in clients {
        let left = READ - client.received();
        if left == 0 || client.has_ended() {
            continue;
        }
        match client.read_now(left as usize) {
            Moved::Bytes(_) => attempt = Attempt::Moved,
            _ if attempt == Attempt::Done => attempt = Attempt::Idle,
            _ => {}
        }
    }
    attempt
}

/// The median of how long a small page takes; or the verdict, if it is not served.
fn small_page_beside_them(rig: &mut Rig, crowd: u64) -> Result<Result<Duration, Verdict>, Halt> {
    let Some(transfer) = ask_for_small(rig)? else {
        let what = format!(
            "beside {crowd} clients that do not read, one that asks for 100 bytes gets nothing"
        );
        return Ok(Err(rig.frozen(&what)));
    };
    let verdict = Verdict::of(vec![transfer]);
    if verdict.kind != Kind::Exact {
        return Ok(Err(verdict));
    }
    let mut times = vec![];
    for _ in 0..ASKS {
        times.push(how_long_a_small_page_takes(rig)?);
    }
    times.sort();
    Ok(Ok(times[ASKS / 2]))
}

/// Asks for [`small_page`] and waits for nothing else: the rig looks at the machine now and then, and that
/// would count.
fn how_long_a_small_page_takes(rig: &mut Rig) -> Result<Duration, Halt> {
    let small = small_page();
    let mut client = rig.silent_client(Window::Default, &small.request, &small.response)?;
    let asked = Instant::now();
    while !client.is_complete() && !client.has_ended() && asked.elapsed() < DEADLINE {
        match client.has_sent_all() {
            true => client.wait_readable(DEADLINE),
            false => drop(client.send_now()),
        }
        client.read_now(usize::MAX);
    }
    let took = asked.elapsed();
    let verdict = Verdict::of(vec![rig.judge(client, Ended::Done)?]);
    if verdict.kind != Kind::Exact {
        return Err(verdict.into());
    }
    Ok(took)
}

/// What one of the crowd has got, up to where it has read. Curl would have read on.
fn judge(client: Client) -> Transfer {
    let sent = client.expected();
    let (mut reading, evidence) = client.finish(sent);
    reading.curl.exit = 0;
    if reading.end == End::Open
        && let Some(unread) = reading.damage.gaps.pop_if(|gap| gap.tail)
    {
        reading.damage.sent = unread.at;
    }
    Transfer { direction: Direction::Download, reading, evidence }
}

/// Whether bytes are missing before the end of what it has read, or it came to an end.
fn is_damaged(transfer: &Transfer) -> bool {
    let damage = &transfer.reading.damage;
    transfer.reading.end != End::Open || !damage.is_exact()
}
