//! As much HTML as the press needs: escaping, a line of Markdown, and a reader of tags.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A text that stands for itself between tags, on one line: line breaks are written as `&#10;`.
///
/// On one line, because Markdown ends a block of HTML at the first empty line.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A caption: a line of Markdown as HTML, without a paragraph around it.
pub fn inline(markdown: &str) -> String {
    let events = Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH).filter(|event| {
        !matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph))
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html.trim().replace('\n', " ")
}

/// The text of a caption, without its marks.
pub fn plain(markdown: &str) -> String {
    let mut text = String::new();
    for event in Parser::new(markdown) {
        match event {
            Event::Text(part) | Event::Code(part) => text.push_str(&part),
            Event::SoftBreak | Event::HardBreak => text.push(' '),
            _ => {}
        }
    }
    text
}

/// A piece of HTML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A tag that opens an element.
    Open(Tagged<'a>),
    /// A tag that closes one; the name in lower case.
    Close(String),
    /// Text between tags, as written.
    Text(&'a str),
}

/// An opening tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// In lower case.
    pub name: String,
    /// Names in lower case, values as written, with entities.
    pub attributes: Vec<(String, &'a str)>,
    /// Whether the element has no content: `<br>`, `<path/>`.
    pub empty: bool,
    /// The bytes from `<` to `>`.
    pub range: std::ops::Range<usize>,
}

impl Tagged<'_> {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// Whether it has this class.
    pub fn has_class(&self, class: &str) -> bool {
        self.attribute("class").is_some_and(|all| all.split_whitespace().any(|one| one == class))
    }
}

const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Takes HTML apart into tags and texts. Comments and declarations are left out, and what stands
/// inside `<script>` and `<style>` is one text.
pub fn tokens(html: &str) -> Vec<(usize, Token<'_>)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut text_from = 0;
    while let Some(next) = html[at..].find('<') {
        let start = at + next;
        let rest = &html[start..];
        let end = if rest.starts_with("<!--") {
            rest.find("-->").map_or(html.len(), |end| start + end + 3)
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            rest.find('>').map_or(html.len(), |end| start + end + 1)
        } else if let Some((token, length)) = tag(rest, start) {
            if text_from < start {
                found.push((text_from, Token::Text(&html[text_from..start])));
            }
            let raw = match &token {
                Token::Open(tag)
                    if ["script", "style"].contains(&tag.name.as_str()) && !tag.empty =>
                {
                    Some(format!("</{}", tag.name))
                }
                _ => None,
            };
            found.push((start, token));
            at = start + length;
            text_from = at;
            if let Some(close) = raw {
                at += html[at..].find(&close).unwrap_or(html.len() - at);
            }
            continue;
        } else {
            // A lone `<` is text.
            at = start + 1;
            continue;
        };
        if text_from < start {
            found.push((text_from, Token::Text(&html[text_from..start])));
        }
        at = end;
        text_from = end;
    }
    if text_from < html.len() {
        found.push((text_from, Token::Text(&html[text_from..])));
    }
    found
}

/// The tag that `text` begins with, and its length.
fn tag(text: &str, start: usize) -> Option<(Token<'_>, usize)> {
    let bytes = text.as_bytes();
    let closing = bytes.get(1) == Some(&b'/');
    let name_from = if closing { 2 } else { 1 };
    if !bytes.get(name_from)?.is_ascii_alphabetic() {
        return None;
    }
    let is_name = |byte: &u8| !byte.is_ascii_whitespace() && !b"/>=".contains(byte);
    let skip = |mut at: usize, test: &dyn Fn(&u8) -> bool| {
        while bytes.get(at).is_some_and(test) {
            at += 1;
        }
        at
    };
    let mut at = skip(name_from, &is_name);
    let name = text[name_from..at].to_ascii_lowercase();
    let mut attributes = Vec::new();
    let mut empty = VOID.contains(&name.as_str());
    loop {
        at = skip(at, &|byte| byte.is_ascii_whitespace());
        match *bytes.get(at)? {
            b'>' => {
                at += 1;
                break;
            }
            b'/' => {
                empty |= bytes.get(at + 1) == Some(&b'>');
                at += 1;
            }
            b'=' => at += 1,
            _ => {
                let key_from = at;
                at = skip(at, &is_name);
                let key = text[key_from..at].to_ascii_lowercase();
                let after = skip(at, &|byte| byte.is_ascii_whitespace());
                let mut value = "";
                if bytes.get(after) == Some(&b'=') {
                    at = skip(after + 1, &|byte| byte.is_ascii_whitespace());
                    match *bytes.get(at)? {
                        quote @ (b'"' | b'\'') => {
                            let length = text[at + 1..].find(quote as char)?;
                            value = &text[at + 1..at + 1 + length];
                            at += length + 2;
                        }
                        _ => {
                            let from = at;
                            at = skip(at, &|b| !b.is_ascii_whitespace() && *b != b'>');
                            value = &text[from..at];
                        }
                    }
                }
                attributes.push((key, value));
            }
        }
    }
    let token = if closing {
        Token::Close(name)
    } else {
        Token::Open(Tagged { name, attributes, empty, range: start..start + at })
    };
    Some((token, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_stays_on_one_line() {
        assert_eq!(escape("a < b && \"c\"\n\nd"), "a &lt; b &amp;&amp; &quot;c&quot;&#10;&#10;d");
    }

    #[test]
    fn a_caption_is_a_line_of_markdown() {
        assert_eq!(inline("`write` is *not* done"), "<code>write</code> is <em>not</em> done");
        assert_eq!(plain("`write` is *not* done"), "write is not done");
    }

    #[test]
    fn html_is_taken_apart() {
        let html = "<!-- <a> -->x<DETAILS class='one two' open>a < b<br/><script>if (a<b) \"<p>\"</script>";
        let found = tokens(html);
        let names: Vec<String> = found
            .iter()
            .map(|(_, token)| match token {
                Token::Open(tag) => format!("<{}>", tag.name),
                Token::Close(name) => format!("</{name}>"),
                Token::Text(text) => text.to_string(),
            })
            .collect();
        assert_eq!(
            names,
            ["x", "<details>", "a < b", "<br>", "<script>", "if (a<b) \"<p>\"", "</script>"]
        );
        let Token::Open(details) = &found[1].1 else { panic!() };
        assert!(details.has_class("two") && !details.empty);
        assert_eq!(details.attribute("open"), Some(""));
    }
}
