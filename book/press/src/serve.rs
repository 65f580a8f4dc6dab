//! The book on 127.0.0.1, which reloads itself when a page or a step changes.
//!
//! A small server for one reader: files from one directory, a thread for each request, and a stream
//! of events that tells the pages to reload. What makes them do so is put in while they are sent,
//! so the files themselves work without a server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::Project;
use crate::output::files;

/// How often we look for changes.
const LOOK: Duration = Duration::from_millis(400);
/// How long a request may take to arrive, and a piece of an answer to leave.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many ports after a taken one are tried.
const PORTS: u16 = 50;
/// The most that the head of a request may have, in bytes.
const HEAD: u64 = 16 * 1024;
/// Where the pages ask whether they have changed.
const RELOAD: &str = "/.press/reload";

/// Counts the builds, and wakes whoever waits for the next one.
#[derive(Default)]
pub struct Version {
    number: Mutex<u64>,
    next: Condvar,
}

impl Version {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.number.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// There are new pages.
    pub fn advance(&self) {
        *self.lock() += 1;
        self.next.notify_all();
    }

    fn current(&self) -> u64 {
        *self.lock()
    }

    /// Waits until the version is not `seen` any more, or the time is over.
    fn wait(&self, seen: u64, time: Duration) -> u64 {
        let guard = self.lock();
        let waited = self.next.wait_timeout_while(guard, time, |number| *number == seen);
        *waited.map_or_else(|poison| poison.into_inner().0, |(guard, _)| guard)
    }
}

/// Opens the first free port from `port` on. Says nothing: compare the port.
pub fn listen(port: u16) -> Result<TcpListener> {
    let last = port.saturating_add(PORTS);
    for candidate in port..=last {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, candidate))) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error).with_context(|| format!("listening on 127.0.0.1:{candidate}"));
            }
        }
    }
    bail!("all ports from {port} to {last} are taken: say --port N");
}

/// Serves the pages for ever.
pub fn serve(listener: TcpListener, pages: PathBuf, version: Arc<Version>) {
    let pages = Arc::new(pages);
    for stream in listener.incoming() {
        let (pages, version) = (pages.clone(), version.clone());
        // A browser that has gone away is nobody's concern.
        let Ok(stream) = stream else { continue };
        thread::spawn(move || answer(stream, &pages, &version));
    }
}

/// Whatever goes wrong here goes wrong with a browser that has gone away.
fn answer(mut stream: TcpStream, pages: &Path, version: &Version) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut head = Vec::new();
    let mut reader = BufReader::new(stream.try_clone().ok()?.take(HEAD));
    while reader.read_until(b'\n', &mut head).ok()? > 0 {
        if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n") {
            break;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method != "GET" && method != "HEAD" {
        return send(&mut stream, method, "405 Method Not Allowed", "text/plain", b"Only GET.\n");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path == RELOAD {
        return events(stream, query, version);
    }
    match find(pages, path) {
        Some(file) => {
            let kind = content_type(&file);
            let mut body = fs::read(&file).ok()?;
            if kind.starts_with("text/html") {
                body = with_reload(&body, version.current());
            }
            send(&mut stream, method, "200 OK", kind, &body)
        }
        None => {
            let body = fs::read(pages.join("404.html")).unwrap_or(b"Not found.\n".to_vec());
            let body = with_reload(&body, version.current());
            send(&mut stream, method, "404 Not Found", "text/html; charset=utf-8", &body)
        }
    }
}

fn send(stream: &mut TcpStream, method: &str, status: &str, kind: &str, body: &[u8]) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(body).ok()?;
    }
    stream.flush().ok()
}

/// Tells a page to reload, as soon as its version is not the current one.
fn events(mut stream: TcpStream, query: &str, version: &Version) -> Option<()> {
    let seen: u64 = query.strip_prefix("version=")?.parse().ok()?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                Connection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    loop {
        let event = if version.wait(seen, PATIENCE) == seen { ":\n\n" } else { "data: new\n\n" };
        // The comment finds out whether the page is still there.
        stream.write_all(event.as_bytes()).ok()?;
        if event.starts_with("data") {
            return stream.flush().ok();
        }
    }
}

/// The page with a script before its end that waits for a newer version of it.
///
/// A page in the background does not wait: a browser has few connections for one address.
fn with_reload(page: &[u8], version: u64) -> Vec<u8> {
    let script = format!(
        "<script>(() => {{\n\
         let source;\n\
         const wait = () => {{\n\
         if (document.hidden) {{ source?.close(); source = null; return; }}\n\
         source ??= new EventSource('{RELOAD}?version={version}');\n\
         source.onmessage = () => {{ source.close(); location.reload(); }};\n\
         }};\n\
         document.addEventListener('visibilitychange', wait);\n\
         addEventListener('pagehide', () => source?.close());\n\
         wait();\n\
         }})();</script>\n"
    );
    let end = page.windows(7).rposition(|window| window.eq_ignore_ascii_case(b"</body>"));
    let (before, after) = page.split_at(end.unwrap_or(page.len()));
    [before, script.as_bytes(), after].concat()
}

/// The file for a path of a URL. Nothing above `pages` is ever found.
fn find(pages: &Path, path: &str) -> Option<PathBuf> {
    let path = decoded(path)?;
    let mut file = pages.to_path_buf();
    for part in path.strip_prefix('/')?.split('/') {
        let odd = part.contains(['\\', '\0']) || (part.starts_with('.') && part != ".");
        match part {
            "" | "." => {}
            _ if odd => return None,
            part => file.push(part),
        }
    }
    if file.is_dir() {
        file.push("index.html");
    }
    // A symbolic link may not lead out either.
    let file = file.canonicalize().ok()?;
    (file.is_file() && file.starts_with(pages.canonicalize().ok()?)).then_some(file)
}

/// A path with its `%20` and the like replaced.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "txt" | "patch" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The files that the book is made from, with what tells one state of them from another.
pub type State = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Everything below `book/` and `steps/`, but for the press itself.
pub fn state(project: &Project) -> State {
    let mut state = State::new();
    let all = ["src", "theme", "transcripts", "answers"].map(|name| Path::new("book").join(name));
    for directory in all.into_iter().chain([PathBuf::from("steps")]) {
        // A directory that is not there has no files.
        let found = files(&project.root().join(directory)).unwrap_or_default();
        for file in found.into_iter().chain([project.root().join("book/book.toml")]) {
            if let Ok(metadata) = fs::metadata(&file) {
                state.insert(file, (metadata.len(), metadata.modified().ok()));
            }
        }
    }
    state
}

/// Waits until the files are in another state than `before`, and that for a whole look.
pub fn wait_for_change(project: &Project, before: &State) -> State {
    let mut last = before.clone();
    loop {
        thread::sleep(LOOK);
        let now = state(project);
        // An editor may write a file in several steps.
        if now != *before && now == last {
            return now;
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves a directory with one page and returns what a request is answered with.
    fn served() -> (tempfile::TempDir, SocketAddr, Arc<Version>) {
        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("pages");
        fs::create_dir(&pages).unwrap();
        fs::write(pages.join("index.html"), "<body>Hello</body>").unwrap();
        fs::write(pages.join("a b.css"), "a {}").unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), pages.join("link.txt")).unwrap();
        let listener = listen(30_000).unwrap();
        let address = listener.local_addr().unwrap();
        let version = Arc::new(Version::default());
        let given = version.clone();
        thread::spawn(move || serve(listener, pages, given));
        (dir, address, version)
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_are_served_and_nothing_above_them() {
        let (dir, address, _) = served();
        let page = ask(address, "GET /");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"), "{page}");
        assert!(page.contains("Hello<script>") && page.ends_with("</script>\n</body>"), "{page}");
        assert_eq!(fs::read_to_string(dir.path().join("pages/index.html")).unwrap().len(), 18);
        let css = ask(address, "GET /a%20b.css?x");
        assert!(css.contains("text/css") && css.ends_with("\r\n\r\na {}"), "{css}");
        let head = ask(address, "HEAD /a%20b.css");
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for path in
            ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/link.txt", "/x", "secret", "/%zz"]
        {
            let answer = ask(address, &format!("GET {path}"));
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
            assert!(!answer.contains("secret"), "{path}: {answer}");
        }
        assert!(ask(address, "POST /").starts_with("HTTP/1.1 405 "));
    }

    #[test]
    fn a_page_hears_of_a_newer_version() {
        let (_dir, address, version) = served();
        let waiting = thread::spawn(move || ask(address, "GET /.press/reload?version=0"));
        version.advance();
        assert!(waiting.join().unwrap().ends_with("data: new\n\n"));
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let first = listen(31_000).unwrap();
        let port = first.local_addr().unwrap().port();
        let second = listen(port).unwrap();
        assert!(second.local_addr().unwrap().port() > port);
    }

    #[test]
    fn a_change_in_book_or_steps_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["book/src/a.md", "steps/01/main.rs", "book/press/src/lib.rs"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "one").unwrap();
        }
        let project = Project::new(dir.path());
        let before = state(&project);
        fs::write(dir.path().join("book/press/src/lib.rs"), "three").unwrap();
        assert_eq!(state(&project), before);
        fs::write(dir.path().join("steps/01/main.rs"), "three").unwrap();
        assert_ne!(wait_for_change(&project, &before), before);
    }
}
