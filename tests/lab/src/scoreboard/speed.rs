//! How fast a proxy passes on one long transfer, and what it uses for that.
//!
//! The backend sends as fast as it can and the client reads as fast as it can, each in a thread of its own.
//! What is sent is the same block of random bytes again and again. Its length is a prime number, so no
//! program reads or writes in pieces that divide it: bytes that are missing, doubled, or moved put all that
//! follows beside its place. The client compares every byte.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::subject::proxy::{Proxy, Spec};

/// The length of the block, in bytes: the largest prime number below 1 MiB.
const PERIOD: usize = 1_048_573;

/// The most that is read or written by one call, in bytes.
const PIECE: usize = 256 << 10;

/// How long a read or a write may wait before the transfer counts as blocked.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one transfer took.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Bytes.
    pub bytes: u64,
    /// From the request to the last byte.
    pub took: Duration,
    /// Processor time of all the proxy's threads.
    pub processor: Duration,
}

impl Speed {
    /// In 10⁹ bytes a second.
    pub fn gb_per_second(&self) -> f64 {
        self.bytes as f64 / 1e9 / self.took.as_secs_f64()
    }

    /// Processor time in seconds for 10⁹ bytes.
    pub fn processor_per_gb(&self) -> f64 {
        self.processor.as_secs_f64() / (self.bytes as f64 / 1e9)
    }
}

/// Two periods of what is sent, so that a piece of it begins anywhere and needs no copying.
fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        // xorshift64: quick, and no two places look the same.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut period: Vec<u8> = Vec::with_capacity(PERIOD + 8);
        while period.len() < PERIOD {
            period.extend(next());
        }
        period.truncate(PERIOD);
        [&period[..], &period[..]].concat()
    })
}

/// The bytes from `offset` on, `length` at most.
fn piece(offset: u64, length: u64) -> &'static [u8] {
    let at = (offset % PERIOD as u64) as usize;
    &pattern()[at..at + length.min(PIECE as u64) as usize]
}

/// Sends so many bytes through a fresh proxy and checks every one.
///
/// # Errors
/// When the proxy does not start, or when not exactly these bytes arrive, in order, and then the end.
pub fn transfer(spec: &Spec, bytes: u64) -> Result<Speed> {
    let listener = TcpListener::bind("127.0.0.1:0").context("opening the backend")?;
    let backend = listener.local_addr()?;
    let proxy = Proxy::start(spec, backend).map_err(|why| anyhow!("{}: {why}", spec.name))?;
    let processor = || {
        let used = proxy.processor_times().values().map(|times| times.used_ns).sum();
        Duration::from_nanos(used)
    };
    let mut client = TcpStream::connect(proxy.address).context("connecting to the proxy")?;
    patient(&client)?;
    let (before, begun) = (processor(), Instant::now());
    client.write_all(b"go").context("asking")?;
    let sender = thread::spawn(move || send(&listener, bytes));
    let received = receive(&mut client, bytes);
    let took = begun.elapsed();
    let processor = processor() - before;
    // If the client gave up, the backend's write fails when the proxy ends.
    drop(client);
    drop(proxy);
    let sent = sender.join().map_err(|_| anyhow!("the backend's thread has failed"))?;
    received.with_context(|| spec.name.clone())?;
    sent.with_context(|| spec.name.clone())?;
    Ok(Speed { bytes, took, processor })
}

fn patient(stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(())
}

/// The backend: waits for the request of one connection, sends everything, and closes.
fn send(listener: &TcpListener, bytes: u64) -> Result<()> {
    let (mut stream, _) = listener.accept().context("accepting the proxy")?;
    patient(&stream)?;
    stream.read_exact(&mut [0; 2]).context("reading the request")?;
    let mut sent = 0;
    while sent < bytes {
        sent += stream.write(piece(sent, bytes - sent)).context("the backend's write")? as u64;
    }
    Ok(())
}

/// The client: reads to the end and compares every byte.
fn receive(stream: &mut TcpStream, bytes: u64) -> Result<()> {
    let mut block = vec![0; PIECE];
    let mut received = 0;
    loop {
        let count = stream.read(&mut block).context("the client's read")?;
        if count == 0 {
            break;
        }
        let expected = piece(received, count as u64);
        if block[..count] != *expected {
            let same = block.iter().zip(expected).take_while(|(came, sent)| came == sent).count();
            bail!("the byte at {} is not the one that was sent", received + same as u64);
        }
        received += count as u64;
    }
    ensure!(received == bytes, "{received} of {bytes} bytes came");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_can_be_told_from_the_same_piece_anywhere_else() {
        let first = piece(0, 64);
        for offset in [1, 16, PIECE as u64, PERIOD as u64 - 1, PERIOD as u64 + 1] {
            assert_ne!(piece(offset, 64), first, "{offset}");
        }
        assert_eq!(piece(PERIOD as u64, 64), first);
    }
}
