//! The colors of Rust code, put in when the pages are made: a page needs no highlighter, and neither
//! does paper or an e-book.
//!
//! A line is taken apart from left to right. That is enough for code as `rustfmt` leaves it, where no
//! string and no comment goes over several lines.

use std::sync::LazyLock;

use maud::{Markup, PreEscaped, html};
use regex::Regex;

/// The pieces that get a color, each under the name of its class: comment, string, meta (an attribute),
/// keyword, literal, macro, type. Names and element are short because a page has thousands of them.
static PIECE: LazyLock<Regex> = LazyLock::new(|| {
    let keywords = "as|async|await|break|const|continue|crate|dyn|else|enum|extern|fn|for|if|impl|in|let|loop|\
                    match|mod|move|mut|pub|ref|return|self|Self|static|struct|super|trait|type|unsafe|use|where|while";
    let pattern = format!(
        r#"(?P<co>//.*)|(?P<st>b?r?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])')|(?P<me>#!?\[[^\]]*\])|(?-u:\b)(?:(?P<ma>[a-z_]+!)|(?:(?P<kw>{keywords})|(?P<li>true|false|[0-9][0-9a-z_]+)|(?P<ty>[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*))(?-u:\b))"#
    );
    Regex::new(&pattern).expect("a pattern")
});

/// These stand everywhere, and a color would only tell that they do.
const COMMON: [&str; 4] = ["Ok", "Err", "Some", "None"];

/// A line of Rust, or a piece of one.
pub fn rust(line: &str) -> Markup {
    let mut done = 0;
    let mut after_fn = false;
    html! { @for found in PIECE.captures_iter(line) {
        @let names = ["co", "st", "me", "kw", "li", "ma", "ty"];
        @let piece = names.iter().find_map(|name| Some((*name, found.name(name)?)));
        @if let Some((name, part)) = piece.filter(|(_, part)| !COMMON.contains(&part.as_str())) {
            (between(&line[done..part.start()], after_fn))
            @let () = { after_fn = part.as_str() == "fn"; done = part.end(); };
            i class=(name) { (part.as_str()) }
        }
    } (between(&line[done..], after_fn)) }
}

/// What stands between two pieces. Behind `fn` it begins with the name of a function.
fn between(text: &str, is_name: bool) -> Markup {
    let name = if is_name {
        text.find(|char: char| !char.is_alphanumeric() && char != '_' && char != ' ')
    } else {
        None
    };
    match name {
        Some(end) => html! { i.fu { (text[..end]) } (breakable(&text[end..])) },
        None => breakable(text),
    }
}

/// A line breaks at its spaces. Where there is none for long, it may also break where `rustfmt` would break it:
/// behind a parenthesis and before a method. Otherwise a telephone cuts through a name, below an empty line.
fn breakable(text: &str) -> Markup {
    const LONG: usize = 16;
    html! { @for word in text.split_inclusive(' ') {
        @let mut rest = word;
        @while let Some(at) = break_in(rest).filter(|_| word.len() > LONG) {
            (rest[..at]) (PreEscaped("<wbr/>"))
            @let () = rest = &rest[at..];
        }
        (rest)
    } }
}

fn break_in(word: &str) -> Option<usize> {
    let is_method = |at| word[at..].starts_with('.') && !word[..at].ends_with(['.', '[']);
    let mut places = word.char_indices().map(|(at, _)| at).skip(1);
    let is_inside = |at: usize| word[..at].ends_with('(') && !word[at..].starts_with(')');
    places.find(|&at| is_method(at) || is_inside(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_colored_is_what_a_reader_would_mark() {
        let html = rust("    let count = read(&mut client)?; // one, \"two\"").into_string();
        assert_eq!(
            html,
            "    <i class=\"kw\">let</i> count = read(&amp;<i class=\"kw\">mut</i> client)?; \
             <i class=\"co\">// one, &quot;two&quot;</i>"
        );
        let html =
            rust("fn serve(block: &[u8]) -> Result<()> { println!(\"a // b\", format!(x)) }")
                .into_string();
        for part in [
            "<i class=\"fu\"> serve</i>",
            "<i class=\"ty\">Result</i>",
            "<i class=\"ma\">println!</i>",
            "<i class=\"ma\">format!</i>",
            "<i class=\"st\">&quot;a // b&quot;</i>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn a_long_word_can_break_where_it_would_be_broken() {
        let html = rust("    client.write_all(block[..count]).len()?;").into_string();
        assert_eq!(html, "    client<wbr/>.write_all(<wbr/>block[..count])<wbr/>.len()?;");
    }

    #[test]
    fn no_character_is_lost() {
        let source = include_str!("color.rs");
        for line in source.lines() {
            let html = rust(line).into_string();
            let text =
                html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
            let text = text
                .collect::<String>()
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"");
            assert_eq!(text.replace("&amp;", "&"), line);
        }
    }
}
