//! Step 01: one at a time.
//!
//! Does: takes a client, connects to the backend, passes on the request, streams the response to
//! its end; then the next client. Every byte arrives, in order.
//! Wrong on purpose: the second client waits until the first is done, however slow that one is. Of
//! a request only as much is passed on as one read gives. And the end of a response is the backend
//! closing the connection: a keep-alive server, which does not, holds this proxy until it times out.
//! Chapter 1: One at a time.

use std::fmt::Display;
use std::io::{ErrorKind, Read, Write, stderr, stdout};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// The most that one read takes, in bytes.
const BLOCK: usize = 64 * 1024;

fn main() -> ExitCode {
    let (listen, backend) = match addresses() {
        Ok(addresses) => addresses,
        Err(error) => {
            complain(format_args!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    match run(listen, backend) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves one client after the other, forever. Clients who come meanwhile wait in the kernel's
/// queue of connections to be accepted.
fn run(listen: SocketAddr, backend: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    let listen = listener.local_addr().context("reading our own address")?;
    writeln!(stdout(), "listening on {listen}, forwarding to {backend}")
        .context("announcing the address")?;
    let mut block = vec![0; BLOCK];
    loop {
        let client = match listener.accept() {
            Ok((client, _)) => client,
            // Other systems tell that a client left the queue; Linux hands it out all the same.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error).context("accepting a client"),
        };
        // Whatever goes wrong with one client costs that client its connection and no more.
        if let Err(error) = serve(client, backend, &mut block) {
            complain(format_args!("{error:#}"));
        }
    }
}

/// Relays one request and its response. Both connections are closed on the way out, when their
/// sockets are dropped.
fn serve(mut client: TcpStream, backend: SocketAddr, block: &mut [u8]) -> Result<()> {
    let mut server = TcpStream::connect(backend)
        .with_context(|| format!("connecting to the backend {backend}"))?;

    // One read, and we pretend that it is the whole request. For a GET it nearly always is. A
    // client that leaves without a word has none.
    let count = read(&mut client, block).context("reading from the client")?;
    if count == 0 {
        return Ok(());
    }
    server.write_all(&block[..count]).context("writing to the backend")?;

    // Block by block. `write_all` returns when the kernel has taken the whole block, or the
    // connection is broken. Only then is the block free for what comes next.
    loop {
        let count = read(&mut server, block).context("reading from the backend")?;
        if count == 0 {
            return Ok(());
        }
        client.write_all(&block[..count]).context("writing to the client")?;
    }
}

/// One read, asked again where a signal interrupted it. Nothing read means the end of the stream.
fn read(socket: &mut TcpStream, block: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match socket.read(block) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads `[LISTEN] [BACKEND]` from the command line.
fn addresses() -> Result<(SocketAddr, SocketAddr)> {
    let usage = concat!("usage: ", env!("CARGO_BIN_NAME"), " [LISTEN] [BACKEND]");
    let given: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into()).collect();
    if let Some(extra) = given.get(2) {
        bail!("one argument too many, {extra:?} ({usage})");
    }
    let address = |position: usize, default: &str| {
        let text = given.get(position).map_or(default, |text| text);
        text.parse().ok().with_context(|| {
            format!("{text:?} is not an address and port like {default} ({usage})")
        })
    };
    Ok((address(0, "127.0.0.1:8080")?, address(1, "127.0.0.1:9000")?))
}

/// One line on stderr. Not `eprintln!`, which panics where stderr has been closed.
fn complain(what: impl Display) {
    let _ = writeln!(stderr(), concat!(env!("CARGO_BIN_NAME"), ": {}"), what);
}
