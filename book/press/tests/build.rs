//! A tiny book, built by mdBook with the press in front of it; and the book, by stock mdBook too.

mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use press::output::Output;
use press::{Project, binding, files, serve};
use tiny::Tiny;

fn contents(pages: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = files(pages, "").into_iter();
    names.map(|name| (name.clone(), fs::read(pages.join(name)).unwrap())).collect()
}

/// What `cargo book check` says after something was done to the tiny book.
fn after(change: impl FnOnce(&Tiny)) -> Vec<String> {
    let tiny = Tiny::new();
    change(&tiny);
    binding::examine(&tiny.project).unwrap()
}

fn with_line(text: &str) -> Vec<String> {
    after(|tiny| tiny.end_with(text))
}

#[test]
fn a_book_is_built_and_nothing_is_wrong_with_it() {
    let tiny = Tiny::new();
    assert_eq!(binding::examine(&tiny.project).unwrap(), [""; 0]);
    let pages = tiny.dir.path().join("target/book");
    assert_eq!(binding::build(&tiny.project, &pages).unwrap(), [""; 0]);
    let start = fs::read_to_string(pages.join("start.html")).unwrap();
    for part in [
        "<figure class=\"listing\" id=\"listing-start-1\">",
        "<code class=\"language-rust\"><span style=\"--h:4\"><i class=\"kw\">fn</i><i class=\"fu\"> main</i>() {\n</span>",
        "<i class=\"co\">// A comment: a &lt; b.</i>\n</span>",
        "<span class=\"badge badge-loses\">loses bytes</span>, after two.",
        "aria-labelledby=\"figure-start-1-title\"><title id=\"figure-start-1-title\">A line</title>",
        "<ins class=\"diff-line\"><b>+</b>    go();\n</ins>",
        "<buffer-sim preset=\"chapter-3\">",
        "id=\"a-line\"",
    ] {
        assert!(start.contains(part), "{part} is not in\n{start}");
    }
    // Only the chapter has a number.
    let contents = fs::read_to_string(pages.join("toc.html")).unwrap();
    assert!(contents.contains("<strong aria-hidden=\"true\">1.</strong> One"), "{contents}");
    assert_eq!(contents.matches("<strong").count(), 1, "{contents}");
    let output = Output::read(&tiny.project, &pages).unwrap();
    let external = output.external();
    assert_eq!(external["https://example.org/"].first().unwrap(), "book/src/start.md:3");
}

#[test]
fn two_builds_are_the_same_byte_for_byte() {
    let tiny = Tiny::new();
    let [first, second] = ["one", "two"].map(|name| {
        let pages = tiny.dir.path().join(name);
        binding::build(&tiny.project, &pages).unwrap();
        // And once more over the pages that are there.
        binding::build(&tiny.project, &pages).unwrap();
        contents(&pages)
    });
    assert!(first.len() > 10 && first.contains_key(Path::new("print.html")));
    assert!(first == second, "two builds differ");
}

#[test]
fn stock_mdbook_makes_the_same_pages() {
    let project = Project::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let dir = tempfile::tempdir().unwrap();
    let [stock, ours] = ["stock", "ours"].map(|name| dir.path().join(name));
    // As `mdbook build book` does it: with the command that book.toml names.
    binding::load(&project, &stock).unwrap().build().unwrap();
    binding::build(&project, &ours).unwrap();
    let [stock, ours] = [stock, ours].map(|pages| contents(&pages));
    assert!(ours.keys().eq(stock.keys()), "{:?}\n{:?}", ours.keys(), stock.keys());
    for (name, page) in &ours {
        assert!(stock[name] == *page, "{} differs", name.display());
    }
}

#[test]
fn stock_mdbook_never_publishes_a_directive_that_failed() {
    let tiny = Tiny::new();
    let command =
        format!("[preprocessor.press]\ncommand = \"{} preprocess\"\n", env!("CARGO_BIN_EXE_press"));
    tiny.replace("book/book.toml", "[output.html]", &format!("{command}[output.html]"));
    let pages = tiny.dir.path().join("pages");
    binding::load(&tiny.project, &pages).unwrap().build().unwrap();
    assert!(pages.join("start.html").is_file());
    tiny.replace("book/src/start.md", "fn main", "fn man");
    fs::remove_dir_all(&pages).unwrap();
    let error = binding::load(&tiny.project, &pages).unwrap().build().unwrap_err();
    assert!(error.to_string().contains("\"press\" preprocessor exited unsuccessfully"), "{error}");
    assert!(!pages.join("start.html").exists());
}

#[test]
fn what_only_the_finished_pages_show_is_a_problem() {
    for line in include_str!("cases/finished.txt").lines() {
        let (text, message) = line.split_once(" => ").unwrap();
        let expected = format!("book/src/end.md:4: {message}");
        assert_eq!(with_line(text), [expected], "{text}");
    }
    let good = "[x](01-one.md#exercise-11-again) [x](#last) [x](start.md#sim=spill)";
    assert_eq!(with_line(good), [""; 0]);
    let loads = "a {}\nb { c: url(//x.org/y) }\n";
    let problems = after(|tiny| tiny.write("book/theme/press.css", loads));
    let message = ":2: this style sheet loads something from elsewhere";
    assert!(problems[0].ends_with(message), "{problems:?}");
}

#[test]
fn what_mdbook_only_warns_of_is_a_problem() {
    let problems = with_line("<div>\n\nNever closed.");
    let warned = |one: &String| one.starts_with("mdBook warns: unclosed HTML tag `<div>`");
    assert!(problems.iter().any(warned), "{problems:?}");
    let tiny = Tiny::new();
    fs::remove_file(tiny.dir.path().join("book/theme/press.css")).unwrap();
    tiny.replace("book/src/end.md", "# End", "### End");
    let error = format!("{:#}", binding::examine(&tiny.project).unwrap_err());
    assert!(error.starts_with("book/src/end.md:1: the page has no title"), "{error}");
    assert!(error.contains("No pages: Rendering failed: failed to open `theme/press.css`"));
}

fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{request} {head}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn pages_are_served_and_nothing_above_them() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("pages");
    fs::create_dir(&pages).unwrap();
    for (file, text) in
        [("index.html", "<html>Hello</html>"), ("a b.css", "a {}"), ("404.html", "No.")]
    {
        fs::write(pages.join(file), text).unwrap();
    }
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = serve::listen(first.local_addr().unwrap().port()).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.ip().is_loopback() && address.port() > first.local_addr().unwrap().port());
    let (router, _reloader) = serve::pages(&pages);
    thread::spawn(move || serve::serve(listener, router));
    let page = ask(address, "GET /");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("Hello"), "{page}");
    assert!(page.contains("livereload") && page.contains("cache-control: no-store"), "{page}");
    let css = ask(address, "GET /a%20b.css?x");
    assert!(css.contains("text/css") && css.ends_with("\r\n\r\na {}"), "{css}");
    for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/x"] {
        let answer = ask(address, &format!("GET {path}"));
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && !answer.contains("secret"),
            "{path}: {answer}"
        );
    }
    assert!(ask(address, "GET /x").contains("No."));
    assert!(ask(address, "POST /").starts_with("HTTP/1.1 405 "));
}

#[test]
fn a_change_is_heard_of_and_reading_is_none() {
    let tiny = Tiny::new();
    let mut changes = serve::changes(&tiny.project).unwrap();
    tiny.project.read("book/src/end.md").unwrap();
    tiny.write("book/src/start.md", "# New\n");
    let new = tiny.dir.path().join("book/src/start.md");
    assert_eq!(changes.next().unwrap().into_iter().collect::<Vec<_>>(), [new]);
}
