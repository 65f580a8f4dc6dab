//! Pieces of HTML that Markdown takes as they are.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The markup on one line: line breaks in its text become `&#10;`.
///
/// Markdown ends a block of HTML at the first empty line, and code has empty lines.
pub fn one_line(markup: Markup) -> String {
    markup.into_string().replace('\n', "&#10;")
}

/// A caption: a line of Markdown as HTML, without a paragraph around it.
pub fn inline(markdown: &str) -> Markup {
    let events = Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH).filter(|event| {
        !matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph))
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    PreEscaped(html.trim().replace('\n', " "))
}
