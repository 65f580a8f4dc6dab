//! The two ends by hand: a backend to put behind a proxy, and a client to put before it.

use std::io::{ErrorKind, Read, Write, copy, sink, stdin};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use crate::arrived::http::{Decoder, End, Message};
use crate::arrived::reading::Judge;
use crate::arrived::verdict::{Direction, Kind, Transfer, Verdict};
use crate::kernel::net::{self, Window};
use crate::kernel::procfs;
use crate::numbers::{size, thousands};
use crate::sent::wire::{Framing, Wire};
use crate::shown::report::{strip, word};
use anstream::{eprintln, println};
use anyhow::{Context, Result, bail};

/// A number of bytes: `1500`, `64K`, `16M`, `2G`, or `endless`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

/// More than anybody waits for, and no more than ten hexadecimal digits can name.
const ENDLESS: u64 = 1 << 40;

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        if text == "endless" {
            return Ok(Bytes(ENDLESS));
        }
        let (digits, unit) = match text.char_indices().last() {
            Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
            Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
            Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
            _ => (text, 1),
        };
        let number: Option<u64> = digits.parse().ok();
        number
            .and_then(|number| number.checked_mul(unit))
            .filter(|bytes| *bytes <= ENDLESS)
            .map(Bytes)
            .ok_or_else(|| "it must be a number such as 1500, 64K, 16M or 2G, or `endless`".into())
    }
}

/// How large the page is, unless told otherwise: three times what the largest socket buffers of this
/// machine can hold (tcp(7), tcp_rmem and tcp_wmem), so that a client which reads a little while the
/// backend sends cannot hide the bug in them.
pub fn default_size() -> u64 {
    let most = |name: &str| procfs::sysctl_triple(name).map_or(6 << 20, |numbers| numbers[2]);
    let buffers = most("net.ipv4.tcp_rmem") + most("net.ipv4.tcp_wmem");
    (3 * buffers).clamp(48 << 20, 1 << 30)
}

/// How fast a backend by hand sends its page.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As fast as it is taken.
    Full,
    /// So many bytes per second at most.
    Rate(u64),
    /// As far as standard input says: an offset in the response on each line, and the rest when
    /// the input ends.
    Cue,
}

/// Serves pages until it is interrupted.
///
/// # Errors
/// When it cannot listen.
pub fn backend(listen: SocketAddr, bytes: u64, framing: Framing, pace: Pace) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    println!(
        "listening on {}: every request gets a page {}, {}",
        listener.local_addr()?,
        if bytes == ENDLESS {
            "without end".into()
        } else {
            format!("of {} bytes", thousands(bytes))
        },
        match framing {
            Framing::Chunked => "chunked",
            Framing::ContentLength => "with a Content-Length",
            Framing::Close => "ended by closing the connection",
        },
    );
    for (number, stream) in (1_u64..).zip(listener.incoming()) {
        let Ok(stream) = stream else { continue };
        thread::spawn(move || {
            let told = serve(stream, bytes, framing, pace, number);
            if let Err(error) = told {
                println!("connection {number}: {error:#}");
            }
        });
    }
    Ok(())
}

fn serve(
    mut stream: TcpStream,
    bytes: u64,
    framing: Framing,
    pace: Pace,
    number: u64,
) -> Result<()> {
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
    let uploaded =
        if body == 0 { String::new() } else { format!(", with {} bytes of body", thousands(body)) };
    println!("connection {number}: {target} is asked for{uploaded}");
    let page = Wire::response(framing, bytes);
    let begun = Instant::now();
    let mut sent = 0;
    let mut allowed = if let Pace::Cue = pace { 0 } else { page.len() };
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
        if let Pace::Rate(rate) = pace {
            // A pace, not a wait: where the sender should be by now at this rate.
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    println!(
        "connection {number}: sent all {} bytes in {:.2} s",
        thousands(sent),
        begun.elapsed().as_secs_f64()
    );
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

/// How a client by hand behaves.
pub struct Habits {
    /// Seconds without reading, after the request.
    pub stall: Option<f64>,
    /// The stall ends when standard input ends, and not by the clock.
    pub cue: bool,
    /// Bytes per second at most.
    pub rate: Option<u64>,
    /// Resets the connection after so many bytes.
    pub reset_after: Option<u64>,
    /// Bytes of request body.
    pub upload: Option<u64>,
    /// The page that is expected.
    pub bytes: u64,
    /// Its framing.
    pub framing: Framing,
}

/// Asks for a page, reads it by its habits, and judges what came. False: something was wrong.
///
/// # Errors
/// When it cannot connect or send.
pub fn client(proxy: SocketAddr, habits: &Habits) -> Result<bool> {
    let mut stream =
        net::connect(proxy, Window::Default).with_context(|| format!("connecting to {proxy}"))?;
    stream.set_nonblocking(false)?;
    let request = match habits.upload {
        None => Wire::get("/"),
        Some(bytes) => Wire::post("/", bytes),
    };
    let mut block = vec![0; 1 << 16];
    let mut sent = 0;
    while sent < request.len() {
        let count = request.fill(sent, &mut block);
        stream.write_all(&block[..count]).context("sending the request")?;
        sent += count as u64;
    }
    if let Some(seconds) = habits.stall {
        eprintln!("The request is sent. Not reading for {seconds} s.");
        match habits.cue {
            true => drop(copy(&mut stdin(), &mut sink()).context("waiting for the cue")?),
            false => thread::sleep(Duration::from_secs_f64(seconds)),
        }
    }
    let page = Wire::response(habits.framing, habits.bytes);
    let mut judge = Judge::new(&page, Message::Response);
    let begun = Instant::now();
    let mut received = 0_u64;
    let end = loop {
        if habits.reset_after.is_some_and(|most| received >= most) {
            net::reset_on_close(&stream)?;
            println!("Reset the connection after {} bytes.", thousands(received));
            return Ok(true);
        }
        match stream.read(&mut block) {
            Ok(0) => break End::Fin,
            Ok(count) => {
                judge.push(&block[..count]);
                received += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break End::Reset,
        }
        if judge.decoder.is_complete() {
            break End::Open;
        }
        if let Some(rate) = habits.rate {
            let due = Duration::from_secs_f64(received as f64 / rate as f64);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    };
    let reading = judge.finish(page.len(), end);
    let transfer = Transfer { direction: Direction::Download, reading, evidence: vec![] };
    println!("  {}", strip(&transfer, 72));
    let verdict = Verdict::of(vec![transfer]);
    println!("  {}: {}", word(verdict.kind, 0), verdict.sentence);
    println!("  {} in {:.2} s", size(received), begun.elapsed().as_secs_f64());
    Ok(verdict.kind == Kind::Exact)
}
