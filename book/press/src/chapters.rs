//! The finished pages, made ready for a book that is not in a browser: nothing on them moves or unfolds.
//!
//! What a reader of the pages would unfold is opened. On paper that happens where it is, so that an answer stands
//! with its question. An e-reader can follow links: there an answer goes to the end of its chapter, with a link
//! there and one back, and nobody reads it by accident.

use std::mem::take;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use maud::{Markup, PreEscaped, html};
use mdbook_driver::book::BookItem;

use crate::dom::{self, Element, Node};
use crate::page::{chapter_number, short_name};
use crate::{Project, binding, output};

/// A page that `SUMMARY.md` names, as part of a book.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// The name of its page, without an ending: `03-the-dropped-write`.
    pub name: String,
    /// Its title, as `SUMMARY.md` has it.
    pub title: String,
    /// The part that it is in, if it is in one.
    pub part: Option<String>,
    /// What stands on it, in a `<section>`.
    pub content: Element,
}

/// Reads the chapters from their finished pages, each with links to the pages of the others.
pub fn of_pages(project: &Project, pages: &Path) -> Result<Vec<Chapter>> {
    let mut chapters = contents(project)?;
    for chapter in &mut chapters {
        let page = dom::parse(&output::read(&pages.join(&chapter.name).with_extension("html"))?);
        let main = page.first("main").with_context(|| format!("{} has no <main>", chapter.name))?;
        chapter.fill(main.children.clone());
        chapter.move_answers();
    }
    Ok(chapters)
}

/// Reads the chapters from the page for printing, whose ids and links are those of a single page.
pub fn of_print(project: &Project, print: &Element) -> Result<Vec<Chapter>> {
    let mut chapters = contents(project)?;
    let main = print.first("main").context("the page for printing has no <main>")?;
    let mut parts: Vec<Vec<Node>> = Vec::new();
    for node in &main.children {
        let element = node.element();
        if element.is_some_and(|element| element.name == "h1") {
            parts.push(Vec::new());
        }
        // mdBook's own page breaks are empty elements with a style.
        let is_break = element.and_then(|it| it.attribute("style")).is_some();
        if let Some(part) = parts.last_mut().filter(|_| !is_break) {
            part.push(node.clone());
        }
    }
    let (found, named) = (parts.len(), chapters.len());
    ensure!(found == named, "the page for printing has {found} titles for {named} chapters");
    for (chapter, part) in chapters.iter_mut().zip(parts) {
        chapter.fill(part);
        open(&mut chapter.content.children);
    }
    Ok(chapters)
}

/// The chapters in their order, still empty.
fn contents(project: &Project) -> Result<Vec<Chapter>> {
    let mut chapters = Vec::new();
    let mut part = None;
    for item in binding::load(project, Path::new("unused"))?.book.items {
        match item {
            BookItem::PartTitle(title) => part = Some(title),
            // What follows a line stands apart.
            BookItem::Separator => part = None,
            BookItem::Chapter(chapter) => {
                let path = chapter.path.context("a chapter without a page")?;
                let name = path.with_extension("").to_string_lossy().into_owned();
                let title = chapter.name.replace('`', "");
                let content = Element::new("section", "", vec![]);
                chapters.push(Chapter { name, title, part: part.clone(), content });
            }
        }
    }
    Ok(chapters)
}

impl Chapter {
    /// A word for it that no other chapter has, for ids.
    pub fn short(&self) -> String {
        short_name(&format!("{}.md", self.name))
    }

    fn fill(&mut self, content: Vec<Node>) {
        self.content.children = content;
        let number = chapter_number(&self.name);
        self.content.rewrite(&mut |node| still(node, number));
    }

    /// Takes the answers to the end of the chapter, and opens everything else that is folded.
    fn move_answers(&mut self) {
        let mut folds = Folds { short: self.short(), ..Folds::default() };
        folds.take(&mut self.content.children);
        self.content.children.extend(folds.at_the_end());
    }
}

/// Replaces what only works in a browser by what works everywhere.
fn still(node: Node, number: Option<u32>) -> Vec<Node> {
    let Node::Element(mut element) = node else { return vec![node] };
    match element.name.as_str() {
        // Headings link to themselves, for the address line of a browser.
        "a" if element.is("header") => return element.children,
        // A book has its own opening of a chapter, and its own way to turn a page.
        "div" if element.is("opening") => return vec![],
        "nav" if element.is("turn") => return vec![],
        // A link to the glossary is enough where nothing hovers.
        "a" if element.is("term") => {
            element.attributes.retain(|(name, _)| name != "aria-description")
        }
        // What is inside is the table for those who cannot run it.
        "buffer-sim" => return element.children,
        "a" if element.attribute("href").is_some_and(|to| to.contains("#sim=")) => {
            return element.children;
        }
        "pre" => {
            in_lines(&mut element);
            keep_together(&mut element);
        }
        "figure" => keep_together(&mut element),
        // A browser knows SVG by its name; XML does not.
        "svg" => element.set("xmlns", "http://www.w3.org/2000/svg"),
        "h1" => {
            if let Some(number) = number {
                let number = Node::Text(format!("{number}"));
                let number = Element::new("span", "chapter-number", vec![number]);
                let space = Node::Text(" ".into());
                element.children.splice(0..0, [Node::Element(number), space]);
            }
        }
        _ => {}
    }
    vec![Node::Element(element)]
}

/// Puts each line of code into an element of its own, so that what does not fit goes on in the next line, further
/// in. A diff has such elements already.
fn in_lines(pre: &mut Element) {
    let Some(code) = pre.first_mut("code") else { return };
    if !code.children.iter().any(|node| node.element().is_some_and(is_line)) {
        let mut line = vec![];
        for node in take(&mut code.children).into_iter().flat_map(cut) {
            let is_end = node.text().ends_with('\n');
            line.push(node);
            if is_end {
                code.children.push(Node::Element(Element::new("span", "line", take(&mut line))));
            }
        }
        let last = (!line.is_empty()).then(|| Element::new("span", "line", line));
        code.children.extend(last.map(Node::Element));
    }
    for line in code.children.iter_mut().filter_map(Node::element_mut).filter(|it| is_line(it)) {
        // Behind the sign, if it is a diff's.
        let text = line.text();
        let text = text.get(usize::from(line.is("diff-line"))..).unwrap_or("");
        let depth = (text.len() - text.trim_start_matches(' ').len()) / 4;
        if depth > 0 && !line.is("diff-fold") {
            line.add_class(&format!("in-{}", depth.min(DEEPEST)));
        }
    }
}

/// How far in a line may go on. On a telephone there is room for about forty characters.
const DEEPEST: usize = 3;

fn is_line(element: &Element) -> bool {
    // A line of a listing has no class, because a page has so many of them.
    let is_plain = element.name == "span" && element.attribute("class").is_none();
    is_plain || ["line", "marked", "diff-line"].iter().any(|class| element.is(class))
}

/// Marks code so short that no page should end in it.
fn keep_together(element: &mut Element) {
    const SHORT: usize = 12;
    if (1..=SHORT).contains(&element.all().into_iter().filter(|it| is_line(it)).count()) {
        element.add_class("short-code");
    }
}

/// Cuts a text behind the end of each of its lines.
fn cut(node: Node) -> Vec<Node> {
    match node {
        Node::Text(text) => text.split_inclusive('\n').map(|it| Node::Text(it.into())).collect(),
        element => vec![element],
    }
}

/// The answers of a chapter on their way to its end.
#[derive(Default)]
struct Folds {
    /// The chapter's word, for ids.
    short: String,
    /// The last heading passed.
    heading: String,
    /// Each with its heading, and its summary.
    taken: Vec<(String, Markup, Element)>,
}

impl Folds {
    fn take(&mut self, nodes: &mut [Node]) {
        for element in nodes.iter_mut().filter_map(Node::element_mut) {
            if element.level().is_some() {
                self.heading = element.text();
            }
            if element.name != "details" {
                self.take(&mut element.children);
                continue;
            }
            let kind = ["predict", "hint", "answer"].into_iter().find(|kind| element.is(kind));
            let summary = summary(element);
            open(&mut element.children);
            *element = match kind {
                Some(kind) => self.link(kind, summary, take(element)),
                None => opened(summary, take(element)),
            };
        }
    }

    /// Takes an answer out of the page. What stands in its place is a link to it.
    fn link(&mut self, kind: &str, summary: Markup, mut answer: Element) -> Element {
        let number = self.taken.len() + 1;
        let [from, to] =
            ["question", "answer"].map(|what| format!("{what}-{}-{number}", self.short));
        answer.name = "div".into();
        answer.attributes = vec![];
        answer.set("class", &format!("unfolded {kind}"));
        answer.set("id", &to);
        let link = html! { p id=(from) { a.to-answer href=(format!("#{to}")) { (summary) } } };
        let mut link = dom::parse_piece(&link.into_string());
        self.taken.push((self.heading.clone(), summary, answer));
        let Some(Node::Element(mut link)) = link.pop() else { return Element::default() };
        link.set("class", &format!("fold {kind}"));
        link
    }

    /// The answers, under a heading of their own.
    fn at_the_end(self) -> Vec<Node> {
        if self.taken.is_empty() {
            return vec![];
        }
        let title = html! { h2.answers id=(format!("answers-{}", self.short)) { "Answers" } };
        let mut end = dom::parse_piece(&title.into_string());
        for (at, (heading, summary, mut answer)) in self.taken.into_iter().enumerate() {
            let back = format!("#question-{}-{}", self.short, at + 1);
            let title =
                html! { h3 { (heading) ": " (summary) " " a.to-question href=(back) { "↩" } } };
            answer.children.splice(0..0, dom::parse_piece(&title.into_string()));
            end.push(Node::Element(answer));
        }
        end
    }
}

/// Takes the summary out of a `<details>`.
fn summary(details: &mut Element) -> Markup {
    let is_summary = |node: &Node| node.element().is_some_and(|it| it.name == "summary");
    let at = details.children.iter().position(is_summary);
    let summary = at.map(|at| details.children.remove(at));
    let inside = summary.as_ref().and_then(Node::element).map_or(vec![], |it| it.children.clone());
    PreEscaped(dom::markup(&inside))
}

/// Opens every `<details>` among these nodes and in them.
fn open(nodes: &mut [Node]) {
    for element in nodes.iter_mut().filter_map(Node::element_mut) {
        open(&mut element.children);
        if element.name == "details" {
            let summary = summary(element);
            *element = opened(summary, take(element));
        }
    }
}

fn opened(summary: Markup, mut details: Element) -> Element {
    let class = format!("unfolded {}", details.attribute("class").unwrap_or(""));
    let title = html! { p.summary { (summary) } };
    details.children.splice(0..0, dom::parse_piece(&title.into_string()));
    Element::new("div", class.trim(), details.children)
}
