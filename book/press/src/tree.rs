//! An expanded page as a tree of elements, and the parts of it that there are rules for.
//!
//! The Markdown is turned into HTML with a comment, `<!--17-->`, wherever the line changes, so that
//! everything in the tree has a line. The HTML is read as XML: what a page opens it must close.

use pulldown_cmark::{Event, Parser};
use roxmltree::{Document, Error, Node};

use crate::page::{line_at, markdown_options};
use crate::rules::Complain;

/// The parts of a page that there are rules for.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// In the order of the page, each with its line in the page's file.
    pub parts: Vec<(usize, Part)>,
    /// How many words of prose there are.
    pub words: usize,
}

/// Something on a page that there are rules for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A heading: level 1 for `#`, 2 for `##`.
    Heading { level: usize, title: String },
    /// A `<details>` element of these classes: does it begin with a `<summary>`, and is there more?
    Details { class: String, summary: bool, content: bool },
    /// A question mark in the running text, outside of any box.
    Asking,
    /// The word **Question** in bold type, numbered or not, outside of any box.
    Question,
}

/// Reads a page, and tells `complain` what is wrong with single elements. `None` if its HTML is not
/// well-formed.
pub fn outline(markdown: &str, complain: Complain) -> Option<Outline> {
    let html = render(markdown);
    let document = match Document::parse(&html) {
        Ok(document) => document,
        Err(error) => {
            let (line, message) = malformed(markdown, &error);
            complain(line, message);
            return None;
        }
    };
    let mut outline = Outline::default();
    let mut line = 0;
    for node in document.descendants() {
        if node.is_comment() {
            line = node.text().and_then(|text| text.parse().ok()).unwrap_or(line);
        } else if node.is_element() {
            outline.parts.extend(element(node).map(|part| (line, part)));
            if node.has_tag_name("img") && node.attribute("alt").unwrap_or("").trim().is_empty() {
                complain(line, "a picture without a text alternative".into());
            }
            if let Some((language, directive)) = typed(node) {
                complain(line, format!("{language} typed by hand: use {{{{#{directive}}}}}"));
            }
        } else if node.text().is_some_and(|text| !text.trim().is_empty()) {
            outline.text(node, line, complain);
        }
    }
    Some(outline)
}

/// The page as HTML, with the lines of its file as comments.
fn render(text: &str) -> String {
    let mut last = 0;
    // The block of HTML so far: no comment may be put into a tag that goes on in the next line.
    let mut block = String::new();
    let events = Parser::new_ext(text, markdown_options()).into_offset_iter();
    let marked = events.flat_map(|(event, range)| {
        let line = line_at(text, range.start);
        let inside =
            block.rfind('<') > block.rfind('>') || block.rfind("<!--") > block.rfind("-->");
        match &event {
            Event::Html(html) => block += html,
            _ => block.clear(),
        }
        let mark = (line != last && !inside).then(|| Event::Html(format!("<!--{line}-->").into()));
        last = if mark.is_some() { line } else { last };
        mark.into_iter().chain([event])
    });
    let mut html = String::from("<page>");
    pulldown_cmark::html::push_html(&mut html, marked);
    html + "</page>"
}

/// What is wrong with the HTML of a page, as a sentence, with the line in its file.
fn malformed(markdown: &str, error: &Error) -> (usize, String) {
    let Error::UnexpectedCloseTag(open, closing, _) = error else {
        return (1, format!("the HTML cannot be read: {error}"));
    };
    let (name, message) = match (open.as_str(), closing.as_str()) {
        ("page", _) => (closing, format!("</{closing}> closes nothing")),
        (_, "page") => (open, format!("<{open}> is not closed before the page ends")),
        _ => (open, format!("<{open}> is not closed before </{closing}>")),
    };
    let (mut still_open, mut closes_nothing) = (Vec::new(), None);
    for (at, _) in markdown.match_indices(name.as_str()) {
        if markdown[..at].ends_with('<') {
            still_open.push(at);
        } else if markdown[..at].ends_with("</") && still_open.pop().is_none() {
            closes_nothing = Some(at);
        }
    }
    (closes_nothing.or(still_open.pop()).map_or(1, |at| line_at(markdown, at)), message)
}

/// Directives, each with the languages of code that it stands for and that nobody types.
const DIRECTIVES: [(&str, &[&str]); 3] = [
    ("listing", &["rust", "rs"]),
    ("diff", &["diff", "patch"]),
    ("transcript", &["console", "terminal", "shell-session"]),
];

/// The language of code that was typed by hand, and the directive to use instead.
fn typed(node: Node) -> Option<(String, &'static str)> {
    let class = node.attribute("class").filter(|_| node.has_tag_name("code"))?.to_lowercase();
    let language = class.strip_prefix("language-")?.split([',', ' ']).next()?;
    let (directive, _) = DIRECTIVES.iter().find(|(_, all)| all.contains(&language))?;
    let made = node.ancestors().any(|element| element.has_tag_name("figure"));
    (!made).then(|| (language.to_string(), *directive))
}

const HEADINGS: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];

fn element(node: Node) -> Option<Part> {
    let name = node.tag_name().name();
    if let Some(at) = HEADINGS.iter().position(|heading| *heading == name) {
        return Some(Part::Heading { level: at + 1, title: text_of(node) });
    }
    if name == "details" {
        let first = node.first_element_child();
        let summary = first.filter(|first| first.has_tag_name("summary"));
        let mut others = node.children().filter(|child| Some(*child) != summary);
        return Some(Part::Details {
            class: node.attribute("class").unwrap_or("").to_string(),
            summary: summary.is_some(),
            content: others.any(|child| child.is_element() || !text_of(child).trim().is_empty()),
        });
    }
    let is_question = name == "strong" && text_of(node).starts_with("Question");
    (is_question && !is_boxed(node)).then_some(Part::Question)
}

impl Outline {
    fn text(&mut self, node: Node, line: usize, complain: Complain) {
        let text = node.text().unwrap_or("");
        let within = |names: &[&str]| {
            node.ancestors().any(|element| names.contains(&element.tag_name().name()))
        };
        if node.parent().is_some_and(|parent| parent.has_tag_name("details")) {
            let rule = "an empty line must follow <summary>…</summary>, or Markdown stays unread";
            complain(line, rule.into());
        }
        if text.contains("[^") && !within(&["code", "figure"]) {
            complain(line, "a footnote that is not defined".into());
        }
        if !within(&["figure", "pre", "summary"]) && !node.ancestors().any(is_frame) {
            let is_word = |word: &&str| word.contains(char::is_alphanumeric);
            self.words += text.split_whitespace().filter(is_word).count();
        }
        if text.contains('?') && !within(&HEADINGS) && !within(&["code"]) && !is_boxed(node) {
            self.parts.push((line, Part::Asking));
        }
    }
}

/// Whether it is in a box of its own beside the text: an answer, an aside, a note.
fn is_boxed(node: Node) -> bool {
    node.ancestors().any(|element| match element.tag_name().name() {
        "blockquote" => element.has_attribute("class"),
        name => ["details", "aside", "figure"].contains(&name),
    })
}

/// Whether it is what directives put around a table. Markdown itself only makes a `<div>` for notes.
fn is_frame(node: Node) -> bool {
    node.has_tag_name("div") && node.attribute("class") != Some("footnote-definition")
}

fn text_of(node: Node) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}
