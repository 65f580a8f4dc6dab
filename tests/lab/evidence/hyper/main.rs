//! hyper's dropped flush of 2026, made to happen every time.
//!
//! A client uploads a few bytes. The server answers with a large page and never looks at the upload.
//! The client reads late: not before the server's thread has gone to sleep, because the socket is
//! full or because the server is done. Then it reads to the end, and every byte is checked.
//!
//! The packages `before` and `after` both build this file, each with a release of hyper of its own.
//!
//!     before [unix|tcp] [bytes to upload; 0 is a plain GET] [read: the server reads the upload]

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, net};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, server::conn::http1, service::service_fn};
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
    let upload = args.next().map_or(10, |bytes| bytes.parse().expect("a number of bytes"));
    let reads = args.next().is_some_and(|arg| arg == "read");

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
            exchange(listener.accept().await?.0, client, upload, reads, asleep).await
        } else {
            let (server, client) = UnixStream::pair()?;
            let client = client.into_std()?;
            client.set_nonblocking(false)?;
            exchange(server, client, upload, reads, asleep).await
        }
    })
}

/// One request, one response, and a line that says what came of it.
async fn exchange(
    server: impl AsyncRead + AsyncWrite + Unpin,
    mut client: impl Read + Write + Send + 'static,
    upload: usize,
    reads: bool,
    asleep: Receiver<()>,
) -> io::Result<()> {
    // The whole request is in the kernel before the server runs.
    client.write_all(request(upload).as_bytes())?;
    let reader = task::spawn_blocking(move || read_late(client, asleep));
    let page = page();
    let service = service_fn(|request: Request<Incoming>| {
        let response = Response::new(Full::new(page.clone()));
        async move {
            if reads {
                request.into_body().collect().await?;
            }
            ANSWERED.store(true, Relaxed);
            Ok::<_, hyper::Error>(response)
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(server), service).await;

    let (came, end) = reader.await?;
    let head = came.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head") + 4;
    assert!(page.starts_with(&came[head..]), "a byte is not where it belongs");
    let [came, whole] = [came.len(), head + page.len()].map(thousands);
    println!("{came} of {whole} bytes came, then: {end}; serve_connection said {served:?}");
    Ok(())
}

/// Waits until the server sleeps, then reads to the end: the bytes, and what the end was.
fn read_late(mut client: impl Read, asleep: Receiver<()>) -> (Vec<u8>, String) {
    asleep.recv_timeout(Duration::from_secs(30)).expect("the server neither ends nor waits");
    let mut came = Vec::new();
    let end = client.read_to_end(&mut came);
    (came, end.map_or_else(|error| error.kind().to_string(), |_| "the end".into()))
}

/// A POST that uploads so many bytes, all in one chunk; or a GET.
fn request(upload: usize) -> String {
    let headers = "Host: localhost\r\nConnection: close";
    let chunk = "x".repeat(upload);
    match upload {
        0 => format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n"),
        _ => format!(
            "POST / HTTP/1.1\r\n{headers}\r\nTransfer-Encoding: chunked\r\n\r\n\
             {upload:x}\r\n{chunk}\r\n0\r\n\r\n"
        ),
    }
}

/// Lines of 64 bytes, each with its own offset: no byte can be missing or moved without being seen.
fn page() -> Bytes {
    let lines: String = (0..PAGE).step_by(64).map(|at| format!("{at:063}\n")).collect();
    Bytes::from(lines).slice(..PAGE)
}

/// 219264 as 219,264.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
