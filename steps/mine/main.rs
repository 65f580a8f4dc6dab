//! Your proxy.
//!
//! It starts as the book's proxies do, and says where it listens. It relays nothing yet: that is
//! yours to write. `cargo lab learn` tries it each time you save this file.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

// anyhow's Result has one kind of error for everything that can fail. `context` puts in front of an
// error what the program was trying to do.
use anyhow::{Context, Result};

fn main() -> Result<()> {
    let listen = address(1, "127.0.0.1:8080")?;
    let backend = address(2, "127.0.0.1:9000")?;
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    let listen = listener.local_addr()?;
    writeln!(std::io::stdout(), "listening on {listen}, forwarding to {backend}")?;

    loop {
        let (_client, _) = listener.accept().context("accepting a client")?;
        // Here the client's connection is closed at once, because `_client` is dropped.
    }
}

/// The argument at this position, or else the default: an address and a port.
fn address(position: usize, default: &str) -> Result<SocketAddr> {
    let text = std::env::args().nth(position).unwrap_or(default.into());
    text.parse().with_context(|| format!("{text:?} is not an address and port like {default}"))
}
