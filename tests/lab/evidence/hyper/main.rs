//! hyper's dropped flush of 2026, made to happen every time.
//!
//! A client uploads a few bytes. The server answers with a large page and never looks at the upload.
//! The client reads late: not before the server's thread has gone to sleep, because the socket is
//! full or because the server is done. Then it reads to the end, and every byte is checked.
//!
//! The packages `before` and `after` both build this file, each with a release of hyper of its own.
//!
//!     before [unix|tcp] [bytes to upload; 0 is a plain GET] [bytes in the page]

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, net};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixStream};
use tokio::{runtime, task};

/// The Content-Length of the response that is cut off in hyperium/hyper#4022.
const PAGE: usize = 14_896_092;

/// Whether the server has been asked and has answered.
static ANSWERED: AtomicBool = AtomicBool::new(false);

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let socket = args.next().unwrap_or("unix".into());
    let mut number = |default| args.next().map_or(default, |arg| arg.parse().expect("a number"));
    let (request, page) = (request(number(10)), page(number(PAGE)));

    // The server has one thread. When it goes to sleep after the answer, the client may read.
    let (sleeps, asleep) = mpsc::channel();
    let tell_client = move || {
        if ANSWERED.load(Relaxed) {
            sleeps.send(()).ok();
        }
    };
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_io().on_thread_park(tell_client).build()?.block_on(async {
        if socket == "tcp" {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let client = net::TcpStream::connect(listener.local_addr()?)?;
            exchange(listener.accept().await?.0, client, &request, page, asleep).await
        } else {
            let (server, client) = UnixStream::pair()?;
            let client = client.into_std()?;
            client.set_nonblocking(false)?;
            exchange(server, client, &request, page, asleep).await
        }
    })
}

/// One request, one response, and a line that says what came of it.
async fn exchange(
    server: impl AsyncRead + AsyncWrite + Unpin,
    mut client: impl Read + Write + Send + 'static,
    request: &[u8],
    page: Bytes,
    asleep: Receiver<()>,
) -> io::Result<()> {
    // The whole request is in the kernel before the server runs.
    client.write_all(request)?;
    let reader = task::spawn_blocking(move || read_late(client, asleep));
    let service = service_fn(|_request| {
        ANSWERED.store(true, Relaxed);
        let response = Response::new(Full::new(page.clone()));
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(server), service).await;

    let (came, end) = reader.await?;
    let head = came.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head") + 4;
    assert!(page.starts_with(&came[head..]), "a byte is not where it belongs");
    let [came, whole] = [came.len(), head + page.len()].map(thousands);
    println!("{came} of {whole} bytes came, then {end}; serve_connection said {served:?}");
    Ok(())
}

/// Waits until the server sleeps, then reads to the end: the bytes, and what the end was.
fn read_late(mut client: impl Read, asleep: Receiver<()>) -> (Vec<u8>, String) {
    asleep.recv_timeout(Duration::from_secs(30)).expect("the server neither ends nor waits");
    let mut came = Vec::new();
    let end = client.read_to_end(&mut came);
    (came, end.map_or_else(|error| format!("an error, {}", error.kind()), |_| "the end".into()))
}

/// A POST that uploads so many bytes, all in one chunk; or a GET.
fn request(upload: usize) -> Vec<u8> {
    if upload == 0 {
        return b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into();
    }
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{upload:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(upload)).into()
}

/// Lines of 64 bytes, each with its own offset: no byte can be missing or moved without being seen.
fn page(bytes: usize) -> Bytes {
    let lines: String = (0..bytes).step_by(64).map(|at| format!("{at:063}\n")).collect();
    Bytes::from(lines).slice(..bytes)
}

/// 219264 as 219,264.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
