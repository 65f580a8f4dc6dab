//! An expanded page as a tree of elements, and what is to be known of it to judge it.
//!
//! The Markdown is turned into HTML with a comment, `<!--17-->`, wherever the line of the page's
//! file changes, so that everything found in the tree has a line. The HTML is read as XML: whatever
//! a page opens it must close.

use pulldown_cmark::{Event, Parser};
use roxmltree::{Document, Error, Node};

use crate::page::{Page, markdown_options};

/// What a page consists of, as far as it is judged.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub headings: Vec<Heading>,
    pub details: Vec<Details>,
    /// Lines of text with a question mark that stand in no box.
    pub questions: Vec<usize>,
    /// Lines with a **Question** in bold type, numbered or not, that stand in no box.
    pub asked: Vec<usize>,
    /// How many words of prose there are.
    pub words: usize,
    /// What is wrong with single elements: line and message.
    pub wrong: Vec<(usize, String)>,
}

#[derive(Clone, Debug)]
pub struct Heading {
    /// 1 for `#`, 2 for `##`.
    pub level: u8,
    pub text: String,
    pub line: usize,
}

/// A `<details>` element.
#[derive(Clone, Debug)]
pub struct Details {
    /// Its classes, as written.
    pub class: String,
    pub line: usize,
    /// Whether it begins with a `<summary>`.
    pub summary: bool,
    /// Whether there is anything else in it.
    pub content: bool,
}

/// Collects the facts about a page. The error is that its HTML is not well-formed: line and message.
pub fn facts(page: &Page) -> Result<Facts, (usize, String)> {
    let html = render(page);
    let document = Document::parse(&html).map_err(|error| malformed(&html, &error))?;
    let mut facts = Facts::default();
    let mut line = 0;
    for node in document.descendants() {
        if node.is_comment() {
            line = node.text().and_then(|text| text.parse().ok()).unwrap_or(line);
        } else if node.is_element() {
            facts.element(node, line);
        } else if node.text().is_some_and(|text| !text.trim().is_empty()) {
            facts.text(node, line);
        }
    }
    Ok(facts)
}

/// The page as HTML, with the lines of its file as comments.
fn render(page: &Page) -> String {
    let text = page.markdown.as_str();
    let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
    let starts: Vec<usize> = [0].into_iter().chain(newlines).collect();
    let mut last = 0;
    // The block of HTML so far: no comment may be put into a tag that goes on in the next line.
    let mut block = String::new();
    let events = Parser::new_ext(text, markdown_options()).into_offset_iter();
    let marked = events.flat_map(|(event, range)| {
        let at = starts.partition_point(|start| *start <= range.start) - 1;
        let line = page.lines.get(at).copied().unwrap_or(0);
        let inside =
            block.rfind('<') > block.rfind('>') || block.rfind("<!--") > block.rfind("-->");
        match &event {
            Event::Html(html) => block += html,
            _ => block.clear(),
        }
        let mark = (line != last && !inside).then(|| {
            last = line;
            Event::Html(format!("<!--{line}-->").into())
        });
        mark.into_iter().chain([event])
    });
    let mut html = String::from("<page>");
    pulldown_cmark::html::push_html(&mut html, marked);
    html + "</page>"
}

/// What is wrong with the HTML of a page, as a sentence, with the line in its file.
fn malformed(html: &str, error: &Error) -> (usize, String) {
    let position = error.pos();
    let line = html.split_inclusive('\n').take(position.row as usize - 1).map(str::len).sum();
    let column = html[line..].char_indices().nth(position.col as usize - 1);
    let at: usize = line + column.map_or(0, |(at, _)| at);
    let line_at = |at: usize| {
        let numbers = html[..at]
            .rmatch_indices("<!--")
            .filter_map(|(mark, _)| html[mark + 4..].split("-->").next()?.parse::<usize>().ok());
        numbers.into_iter().next().unwrap_or(1)
    };
    match error {
        Error::UnexpectedCloseTag(open, closing, _) if open == "page" => {
            (line_at(at), format!("</{closing}> closes nothing"))
        }
        Error::UnexpectedCloseTag(open, closing, _) => {
            // From here back, to the first that is not closed on the way.
            let mut closed = 0;
            let tags = html[..at].rmatch_indices(open.as_str()).filter_map(|(tag, _)| {
                closed += usize::from(html[..tag].ends_with("</"));
                let opens = html[..tag].ends_with('<');
                if opens && closed > 0 {
                    closed -= 1;
                    return None;
                }
                opens.then_some(tag)
            });
            let from = tags.into_iter().next().unwrap_or(at);
            let before = if closing == "page" { "the end of the page" } else { closing };
            (line_at(from), format!("<{open}> is not closed before {before}"))
        }
        other => (line_at(at), format!("the HTML cannot be read: {other}")),
    }
}

impl Facts {
    fn element(&mut self, node: Node, line: usize) {
        let attribute = |name: &str| node.attribute(name).unwrap_or("").trim();
        match node.tag_name().name() {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let level = node.tag_name().name().as_bytes()[1] - b'0';
                self.headings.push(Heading { level, text: text_of(node), line });
            }
            "details" => {
                let first = node.first_element_child();
                let summary = first.filter(|first| first.has_tag_name("summary"));
                let children = node.children().filter(|child| Some(*child) != summary);
                self.details.push(Details {
                    class: attribute("class").to_string(),
                    line,
                    summary: summary.is_some(),
                    content: children.into_iter().any(|child| {
                        child.is_element() || child.is_text() && !text_of(child).trim().is_empty()
                    }),
                });
            }
            "img" if attribute("alt").is_empty() => {
                self.wrong.push((line, "a picture without a text alternative".into()));
            }
            "strong" if text_of(node).starts_with("Question") && !is_boxed(node) => {
                self.asked.push(line);
            }
            _ => {}
        }
    }

    fn text(&mut self, node: Node, line: usize) {
        let text = node.text().unwrap_or("");
        let within = |names: &[&str]| {
            node.ancestors().any(|element| names.contains(&element.tag_name().name()))
        };
        if node.parent().is_some_and(|parent| parent.has_tag_name("details")) {
            let message =
                "an empty line must follow <summary>…</summary>, or Markdown stays unread";
            self.wrong.push((line, message.into()));
        }
        if text.contains("[^") && !within(&["code", "figure"]) {
            self.wrong.push((line, "a footnote that is not defined".into()));
        }
        if !within(&["figure", "pre", "summary"]) && !node.ancestors().any(is_frame) {
            self.words += words(text);
        }
        let headings = ["h1", "h2", "h3", "h4", "h5", "h6", "code"];
        if text.contains('?') && !within(&headings) && !is_boxed(node) {
            self.questions.push(line);
        }
    }
}

/// Whether it is in a box of its own beside the text: an answer, an aside, a note.
fn is_boxed(node: Node) -> bool {
    node.ancestors().any(|element| match element.tag_name().name() {
        "details" | "aside" | "figure" => true,
        "blockquote" => element.has_attribute("class"),
        _ => false,
    })
}

/// Whether it is what directives put around a table. Markdown itself only makes a `<div>` for notes.
fn is_frame(node: Node) -> bool {
    node.has_tag_name("div") && node.attribute("class") != Some("footnote-definition")
}

fn text_of(node: Node) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// How many words there are; a dash, a plus or an ellipsis by itself is none.
fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}
