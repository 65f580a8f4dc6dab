//! How a recorded terminal is drawn: whose it is, and its lines in the colors that it had.
//!
//! A recording goes through a pipe, so it has no colors in it. What the lab prints in color follows
//! from the words: this is the same rule, with the book's color for each place where a byte can be.

use std::sync::LazyLock;

use lab::arrived::verdict::Kind;
use maud::{Markup, html};
use regex::{Captures, Regex};

use crate::transcript::{TerminalLine, Transcript};

/// Whose terminal it is: what runs in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The server that has the page.
    Backend,
    /// One of the book's proxies, or what stands in its place.
    Proxy,
    /// Somebody who wants the page, or looks at the page that came.
    Client,
    /// An experiment: the lab plays backend and client.
    Lab,
    /// A fourth terminal, for looking at the other three.
    Other,
}

impl Owner {
    /// Whose terminal it is, going by the first command typed in it.
    pub fn of(command: &str) -> Owner {
        let is = |start: &str| command.starts_with(start);
        let has = |part: &str| command.contains(part);
        if is("cargo lab backend") {
            Owner::Backend
        } else if is("cargo run --bin ") || is("cargo lab relay") || has("trace.txt target/debug/")
        {
            Owner::Proxy
        } else if is("cargo lab client") || has("curl ") || has("page.txt") {
            Owner::Client
        } else if is("cargo lab ") {
            Owner::Lab
        } else {
            Owner::Other
        }
    }

    /// What the bar above the terminal says.
    pub fn title(self) -> &'static str {
        match self {
            Owner::Backend => "backend",
            Owner::Proxy => "proxy",
            Owner::Client => "client",
            Owner::Lab => "the lab",
            Owner::Other => "a terminal",
        }
    }

    /// The class that colors the bar.
    pub fn class(self) -> &'static str {
        match self {
            Owner::Backend => "of-backend",
            Owner::Proxy => "of-proxy",
            Owner::Client => "of-client",
            Owner::Lab => "of-lab",
            Owner::Other => "of-nobody",
        }
    }
}

/// The class that colors a verdict: the place where its bytes are.
fn place(kind: Kind) -> &'static str {
    match kind {
        Kind::Exact | Kind::Noted => "in-delivered",
        Kind::HeldBack => "in-kernel",
        Kind::Grew | Kind::Leaked | Kind::Spun => "in-proxy",
        Kind::Spilled => "in-disk",
        Kind::Frozen | Kind::NotJudged => "in-none",
        _ => "in-lost",
    }
}

/// The lines of a transcript, each with its line break.
pub fn lines(transcript: &Transcript) -> Markup {
    let mut from_lab = false;
    html! { @for line in transcript.lines() { @match line {
        TerminalLine::Typed(text) => {
            @let () = from_lab = text.starts_with("cargo lab ");
            span.line style="--h:4" { span.prompt { "$ " } span.typed { (text) } "\n" }
        },
        TerminalLine::More(text) => span.line { span.typed { (text) } "\n" },
        TerminalLine::Printed(text) if from_lab => (from_the_lab(text)),
        TerminalLine::Printed(text) => span.line { (text) "\n" },
    } } }
}

/// A bar of bytes: `█` arrived, `▒` partly, `·` never.
fn is_strip(line: &str) -> bool {
    const LEAST: usize = 20;
    let strip = line.trim();
    strip.chars().count() >= LEAST && strip.chars().all(|char| "█▒·".contains(char))
}

static HEX: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^ +[0-9,]+  (?:[0-9a-f]{2} ){4}|^ *-{8,}").expect("a pattern"));
/// What stands out in a line of the lab: a time, a verdict, what is missing, and where bytes are.
static MARKED: LazyLock<Regex> = LazyLock::new(|| {
    let verdict = r"^[a-z-]+ {2,}(?P<word>[a-z]+(?: [a-z]+)?) {2,}|^(?P<verdict>[a-z]+(?: [a-z]+)?)(?::| {2,})";
    let amount = r"[0-9.,]+ (?:KiB|MiB|GiB|bytes)";
    let places = format!(
        "(?P<kernel>{amount} (?:before the proxy|after it))|(?P<proxy>{amount} inside it)|(?P<delivered>{amount} delivered)"
    );
    let pattern = format!(r"(?P<time>^ *[0-9,]+ ms)|{verdict}|(?P<missing>^ *missing:)|{places}");
    Regex::new(&pattern).expect("a pattern")
});

/// A line that the lab printed.
fn from_the_lab(text: &str) -> Markup {
    if is_strip(text) {
        return strip(text);
    }
    if HEX.is_match(text) {
        return html! { span.line.hex { (text) "\n" } };
    }
    let indent = text.len() - text.trim_start().len();
    let is_timed = MARKED.captures(text).is_some_and(|found| found.name("time").is_some());
    // Where the words begin behind a time; else two columns further in than the line.
    let hang = if is_timed { 11 } else { indent + 2 };
    let mut done = 0;
    html! { span.line style={ "--h:" (hang) } {
        @for found in MARKED.captures_iter(text) {
            @if let Some((range, class)) = mark(&found) {
                (text[done..range.start])
                @let () = done = range.end;
                span class=(class) { (text[range]) }
            }
        }
        (text[done..]) "\n"
    } }
}

/// What is to be colored of a match, and how.
fn mark(found: &Captures) -> Option<(std::ops::Range<usize>, &'static str)> {
    for (name, class) in [
        ("time", "faint"),
        ("missing", "in-lost"),
        ("kernel", "in-kernel"),
        ("proxy", "in-proxy"),
        ("delivered", "in-delivered"),
    ] {
        if let Some(part) = found.name(name) {
            return Some((part.range(), class));
        }
    }
    let word = found.name("verdict").or(found.name("word"))?;
    let kind = Kind::of_word(word.as_str())?;
    Some((word.range(), place(kind)))
}

/// A bar of bytes as wide as there is room for: a telephone shows all of it.
fn strip(text: &str) -> Markup {
    let strip = text.trim();
    let mut runs: Vec<(char, usize)> = vec![];
    for char in strip.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == char => *count += 1,
            _ => runs.push((char, 1)),
        }
    }
    let class = |char| match char {
        '█' => "arrived",
        '▒' => "partly",
        _ => "never",
    };
    let indent = &text[..text.len() - text.trim_start().len()];
    html! { span.line.strip { (indent) @for (char, count) in runs {
        span class=(class(char)) style={ "flex:" (count) } { (char.to_string().repeat(count)) }
    } "\n" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_its_first_command() {
        for (command, owner) in [
            ("cargo lab backend --size 2M", Owner::Backend),
            ("cargo run --bin 01-blocking", Owner::Proxy),
            ("strace -e trace=write -o trace.txt target/debug/03-dropped-write", Owner::Proxy),
            ("cargo lab client --stall 2", Owner::Client),
            ("curl --silent http://127.0.0.1:8080/", Owner::Client),
            ("wc -c page.txt", Owner::Client),
            ("cargo lab show crowd 01-blocking", Owner::Lab),
            ("ps -C 02-naive-epoll", Owner::Other),
        ] {
            assert_eq!(Owner::of(command), owner, "{command}");
        }
    }

    #[test]
    fn the_words_of_the_lab_have_the_color_of_their_place() {
        let html = |line| from_the_lab(line).into_string();
        assert!(html("hole: 3 gaps").contains(r#"<span class="in-lost">hole</span>: 3 gaps"#));
        assert!(
            html("held back: it stopped").contains(r#"<span class="in-kernel">held back</span>"#)
        );
        assert!(
            html("crowd             frozen      one more")
                .contains(r#"<span class="in-none">frozen</span>"#)
        );
        assert!(html("   172 ms  71.8 MiB sent: 64 KiB before the proxy, 67.7 MiB inside it").contains(
            r#"<span class="faint">   172 ms</span>  71.8 MiB sent: <span class="in-kernel">64 KiB before the proxy</span>, <span class="in-proxy">67.7 MiB inside it</span>"#
        ));
        let plain = "The proxy: 03-dropped-write";
        assert!(html(plain).contains(&format!(">{plain}\n<")));
    }

    #[test]
    fn a_bar_keeps_its_characters() {
        let html = strip("  ██▒····················").into_string();
        assert!(html.contains(r#"<span class="arrived" style="flex:2">██</span>"#), "{html}");
    }
}
