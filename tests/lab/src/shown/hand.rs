//! The two ends to play with by hand: a backend to put behind a proxy, a client to put in front of it.

use std::io::{self, Read, Write, copy, sink, stdin};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::{Context, Result, bail};

use crate::arrived::http::{Decoder, Message};
use crate::arrived::verdict::{Direction, Kind, Transfer, Verdict};
use crate::ends::client::Client;
use crate::kernel::net::{Moved, Window};
use crate::kernel::procfs;
use crate::numbers::{bytes, size, thousands};
use crate::sent::coding::Owner;
use crate::sent::wire::{ENDLESS, Framing, Wire};
use crate::shown::lines::{self, Columns};
use crate::shown::progress;
use crate::shown::report::{strip, word};

/// A number of bytes: `1500`, `64K`, `16M`, `2G`, or `endless`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        if text == "endless" {
            return Ok(Bytes(ENDLESS));
        }
        let units = [(['K', 'k'], 1 << 10), (['M', 'm'], 1 << 20), (['G', 'g'], 1 << 30)];
        let in_units =
            units.iter().find_map(|(names, unit)| Some((text.strip_suffix(names)?, *unit)));
        let (digits, unit) = in_units.unwrap_or((text, 1));
        let number: Option<u64> = digits.parse().ok();
        number
            .and_then(|number| number.checked_mul(unit))
            .filter(|bytes| *bytes <= ENDLESS)
            .map(Bytes)
            .ok_or_else(|| "it must be a number such as 1500, 64K, 16M or 2G, or `endless`".into())
    }
}

/// How large the page is, unless told otherwise: three times what the largest socket buffers of this
/// machine hold (tcp(7), tcp_rmem and tcp_wmem). If the page fitted into them, nothing would be lost.
pub fn default_size() -> u64 {
    let buffers = ["tcp_rmem", "tcp_wmem"].map(procfs::largest_buffer).iter().sum::<u64>();
    (3 * buffers).clamp(48 << 20, 1 << 30)
}

/// How a backend by hand behaves: the arguments of `cargo lab backend`.
#[derive(Clone, Copy, clap::Args)]
pub struct Server {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Bytes of page: 1500, 64K, 16M, 2G or endless [default: three times what this machine's
    /// largest socket buffers hold]
    #[arg(long)]
    size: Option<Bytes>,
    /// How the page's end is told
    #[arg(long, value_enum, default_value = "chunked")]
    framing: Framing,
    /// Bytes per second at most [default: as fast as they are taken]
    #[arg(long)]
    rate: Option<Bytes>,
    /// Send as far as standard input says: an offset in the response on each line, and the
    /// rest when the input ends
    #[arg(long, conflicts_with = "rate")]
    cue: bool,
}

/// How a client by hand behaves: the arguments of `cargo lab client`.
#[derive(Clone, Copy, clap::Args)]
pub struct Habits {
    /// Where to connect
    #[arg(default_value = "127.0.0.1:8080")]
    proxy: SocketAddr,
    /// Seconds without reading, once the request is sent
    #[arg(long, value_parser = seconds)]
    stall: Option<f64>,
    /// Read so many bytes before the stall
    #[arg(long, requires = "stall")]
    after: Option<Bytes>,
    /// End the stall when standard input ends (Ctrl-D), and not by the clock
    #[arg(long, requires = "stall")]
    cue: bool,
    /// Bytes per second at most
    #[arg(long)]
    rate: Option<Bytes>,
    /// Receive as over a thin line: a buffer of 4 KiB, in segments of 1,400 bytes
    #[arg(long)]
    narrow: bool,
    /// Reset the connection after so many bytes
    #[arg(long)]
    reset_after: Option<Bytes>,
    /// Send a request with so many bytes of body
    #[arg(long)]
    upload: Option<Bytes>,
    /// The backend's --size
    #[arg(long)]
    size: Option<Bytes>,
    /// The backend's --framing
    #[arg(long, value_enum, default_value = "chunked")]
    framing: Framing,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "it must be between 0 and 86400 seconds".into())
}

/// Sleeps until it is time for byte number `count`, at `rate` bytes per second since `begun`. If that
/// time is over, it does not sleep.
fn keep_pace(begun: Instant, count: u64, rate: Option<Bytes>) {
    if let Some(Bytes(rate)) = rate {
        let due = Duration::from_secs_f64(count as f64 / rate as f64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

/// Serves pages until it is interrupted; fails when it cannot listen.
pub fn backend(server: Server) -> Result<()> {
    let Server { listen, size, framing, .. } = server;
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    let size = size.map_or_else(default_size, |Bytes(size)| size);
    let length = page_of(size);
    let end = match framing {
        Framing::Chunked => "chunked",
        Framing::ContentLength => "with a Content-Length",
        Framing::Close => "ended by closing the connection",
    };
    let address = listener.local_addr()?;
    let text = format!("listening on {address}: every request gets a page {length}, {end}");
    println!("{}", Columns::of_stdout().fill(&text));
    let page = Wire::response(framing, size);
    for (number, stream) in (1_u64..).zip(listener.incoming()) {
        let Ok(stream) = stream else { continue };
        let page = page.clone();
        thread::spawn(move || {
            if let Err(error) = serve(stream, &page, server, number) {
                println!("connection {number}: {error:#}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, page: &Wire, server: Server, number: u64) -> Result<()> {
    let mut request = Decoder::new(Message::Request);
    let mut block = vec![0; 1 << 16];
    let mut body = 0;
    while !request.is_complete() {
        let count = stream.read(&mut block).context("reading the request")?;
        if count == 0 || request.is_malformed() {
            bail!("no whole HTTP request came");
        }
        request.push(&block[..count], |bytes| body += bytes.len() as u64);
    }
    let target = request.target.as_deref().unwrap_or("/");
    let page = page.of(Owner::in_target(target).1);
    let uploaded = match body {
        0 => String::new(),
        body => format!(", with {} bytes of body", thousands(body)),
    };
    println!("connection {number}: {target} is asked for{uploaded}");
    let begun = Instant::now();
    let mut sent = 0;
    let mut allowed = if server.cue { 0 } else { page.len() };
    while sent < page.len() {
        while sent >= allowed {
            allowed = cue()?.unwrap_or(page.len());
        }
        let most = (block.len() as u64).min(allowed - sent) as usize;
        let count = page.fill(sent, &mut block[..most]);
        stream.write_all(&block[..count]).with_context(|| {
            format!("after {} of {} bytes", thousands(sent), thousands(page.len()))
        })?;
        sent += count as u64;
        keep_pace(begun, sent, server.rate);
    }
    let (bytes, seconds) = (thousands(sent), begun.elapsed().as_secs_f64());
    println!("connection {number}: sent all {bytes} bytes in {seconds:.2} s");
    Ok(())
}

/// Waits for a line on standard input, and reads a number from it. `None`: the input has ended.
fn cue() -> Result<Option<u64>> {
    let mut line = String::new();
    let count = stdin().read_line(&mut line).context("reading the next cue")?;
    match count {
        0 => Ok(None),
        _ => line.trim().parse().map(Some).with_context(|| format!("the cue {line:?}")),
    }
}

/// Two ends that were started with different sizes. Nothing that the client saw says anything about
/// the proxy then.
#[derive(Debug)]
pub struct Disagreement {
    /// Bytes of page, as the backend's response says.
    backend: u64,
    /// Bytes of page that the client expects.
    client: u64,
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let [backend, client] = [self.backend, self.client].map(page_of);
        write!(
            f,
            "the backend says that its page is {backend}, and this client expects one {client}: \
             give both the same --size"
        )
    }
}

impl std::error::Error for Disagreement {}

/// How long a page is, in words.
fn page_of(size: u64) -> String {
    match size {
        ENDLESS => "without end".into(),
        size => format!("of {}", bytes(size)),
    }
}

/// Asks for a page, reads it by its habits, and judges what came. False: something was wrong. Fails
/// when it cannot connect or send, and with a [`Disagreement`] if the backend has another page.
pub fn client(habits: Habits) -> Result<bool> {
    let Habits { proxy, stall, after, cue, rate, narrow, reset_after, upload, .. } = habits;
    let Habits { size: bytes, framing, .. } = habits;
    let window = if narrow { Window::Tiny } else { Window::Default };
    let request = match upload {
        None => Wire::get("/"),
        Some(Bytes(bytes)) => Wire::post("/", bytes),
    };
    let page = Wire::response(framing, bytes.map_or_else(default_size, |Bytes(bytes)| bytes));
    let connected = || -> io::Result<Client> {
        let client = Client::connect(proxy, window, &request, &page)?;
        while !client.is_connected()? {
            client.wait_writable(A_WHILE);
        }
        Ok(client)
    };
    let mut client = connected().with_context(|| format!("connecting to {proxy}"))?;
    while !client.has_sent_all() {
        match client.send_now() {
            Moved::Bytes(_) => {}
            Moved::Nothing => client.wait_writable(A_WHILE),
            Moved::Fin | Moved::Reset => bail!("sending the request: the connection has ended"),
        }
    }
    if let Some(seconds) = stall {
        let Bytes(after) = after.unwrap_or(Bytes(0));
        while client.received() < after && !client.has_ended() {
            let left = usize::try_from(after - client.received()).unwrap_or(usize::MAX);
            if client.read_now(left) == Moved::Nothing {
                client.wait_readable(A_WHILE);
            }
        }
        let done = match client.received() {
            0 => "The request is sent.".into(),
            received => format!("{} are read.", size(received)),
        };
        match cue {
            true => {
                eprintln!("{done} Not reading for {seconds} s.");
                copy(&mut stdin(), &mut sink()).context("waiting for the cue")?;
            }
            false => do_not_read_for(&done, seconds),
        }
    }
    let other_size = |client: &Client| client.announced().filter(|size| *size != page.body_len());
    let begun = Instant::now();
    while !client.is_complete() {
        if reset_after.is_some_and(|Bytes(most)| client.received() >= most) {
            println!("Reset the connection after {} bytes.", thousands(client.received()));
            client.reset()?;
            return Ok(true);
        }
        match client.read_now(usize::MAX) {
            Moved::Bytes(_) if client.is_complete() => {}
            Moved::Bytes(_) if other_size(&client).is_some() => break,
            Moved::Bytes(_) => keep_pace(begun, client.received(), rate),
            Moved::Nothing => client.wait_readable(A_WHILE),
            Moved::Fin | Moved::Reset => break,
        }
    }
    let received = client.received();
    if let Some(backend) = other_size(&client) {
        bail!(Disagreement { backend, client: page.body_len() });
    }
    let (reading, _) = client.finish(page.len());
    let transfer = Transfer { direction: Direction::Download, reading, evidence: vec![] };
    let columns = Columns::of_stdout();
    println!("  {}", strip(&transfer, columns.strip()));
    let verdict = Verdict::of(vec![transfer]);
    let sentence = format!("{}: {}", word(verdict.kind, 0), verdict.sentence);
    println!("{}", columns.hang("", 2, &sentence));
    println!("  {} in {:.2} s", size(received), begun.elapsed().as_secs_f64());
    Ok(verdict.kind == Kind::Exact)
}

/// Lets the time pass. `done` is what was before, in a sentence. A terminal shows how much of it is left.
fn do_not_read_for(done: &str, seconds: f64) {
    if !lines::can_redraw() {
        eprintln!("{done} Not reading for {seconds} s.");
    }
    progress::count_down(seconds, |left| format!("{done} Not reading for {left} s more."));
    if lines::can_redraw() {
        eprintln!("{done} Did not read for {seconds} s.");
    }
}

/// How long to wait for the socket before trying again. Any time will do.
const A_WHILE: Duration = Duration::from_secs(10);
