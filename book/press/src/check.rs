//! All pages of the book, judged without building it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use pulldown_cmark::{
    BlockQuoteKind, CodeBlockKind, Event, HeadingLevel, LinkType, Parser, Tag, TagEnd,
};

use crate::directive::Directive;
use crate::html::{self, Token};
use crate::page::{self, Page, chapter_number, markdown_options};
use crate::transcript::Transcript;
use crate::{Problem, Project, diff};

/// The sections of a numbered chapter, in their order.
pub const SECTIONS: [&str; 10] = [
    "Where we are",
    "Predict",
    "Run it",
    "The code",
    "What goes wrong",
    "Why",
    "The diff",
    "The proof",
    "Exercises",
    "A closing note",
];

/// Chapter 3 shows its code when the evidence has been collected, and no earlier.
const CODE_COMES_LATER: u32 = 3;

/// What a look over the whole book found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that is wrong, by file and line.
    pub problems: Vec<Problem>,
    /// Every link out of the book, with the places that use it. Nobody has followed them.
    pub external: BTreeMap<String, Vec<(PathBuf, usize)>>,
    /// The directives of each page, with their lines.
    pub directives: BTreeMap<String, Vec<(usize, Directive)>>,
}

/// Reads every page that `SUMMARY.md` names and reports all that is wrong with the book.
pub fn check(project: &Project) -> Report {
    let mut report = Report::default();
    let pages = summary(project, &mut report.problems);
    let mut known = BTreeMap::new();
    for name in &pages {
        let path = format!("book/src/{name}");
        let text = match project.read(&path) {
            Ok(text) => text,
            // Said where SUMMARY.md names it.
            Err(_) => continue,
        };
        let expanded = page::expand(project, name, &text);
        report.problems.extend(expanded.problems.clone());
        report.directives.insert(name.clone(), expanded.directives.clone());
        typed_by_hand(&path, &text, &mut report.problems);
        let facts = read(&path, &expanded, &mut report.problems);
        judge(name, &path, &facts, &mut report.problems);
        known.insert(name.clone(), facts);
    }
    for (name, facts) in &known {
        for (line, url) in &facts.links {
            let path = PathBuf::from(format!("book/src/{name}"));
            if is_external(url) {
                report.external.entry(url.clone()).or_default().push((path, *line));
            } else if let Err(message) = resolve(project, name, url, &known) {
                report.problems.push(Problem::new(path, *line, message));
            }
        }
    }
    files(project, &mut report.problems);
    report.problems.sort();
    report.problems.dedup();
    report
}

/// The pages of the book, in order.
pub fn pages(project: &Project) -> Vec<String> {
    summary(project, &mut vec![])
}

/// Whether a link leaves the book.
pub fn is_external(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or("");
    url.starts_with("//")
        || (scheme.len() < url.len()
            && scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c)))
}

fn summary(project: &Project, problems: &mut Vec<Problem>) -> Vec<String> {
    let path = "book/src/SUMMARY.md";
    let text = match project.read(path) {
        Ok(text) => text,
        Err(message) => {
            problems.push(Problem::new(path, 0, message));
            return vec![];
        }
    };
    let mut pages: Vec<String> = Vec::new();
    let mut last_number = 0;
    let mut lists = 0;
    for (event, range) in Parser::new(&text).into_offset_iter() {
        let line = line_of(&text, range.start);
        let mut complain = |message: String| problems.push(Problem::new(path, line, message));
        match event {
            Event::Start(Tag::List(_)) => lists += 1,
            Event::End(TagEnd::List(_)) => lists -= 1,
            Event::Start(Tag::Link { dest_url, .. }) => {
                let name = dest_url.to_string();
                if name.is_empty() {
                    complain("a chapter without a file".into());
                    continue;
                }
                if !project.root().join("book/src").join(&name).is_file() {
                    complain(format!("there is no page book/src/{name}"));
                }
                if pages.contains(&name) {
                    complain(format!("{name} is listed twice"));
                }
                if let Some(number) = chapter_number(&name) {
                    if number != last_number + 1 || lists == 0 {
                        complain(format!(
                            "{name} is chapter {number}, in a place for chapter {}",
                            last_number + 1
                        ));
                    }
                    last_number = number;
                }
                pages.push(name);
            }
            _ => {}
        }
    }
    let Ok(entries) = std::fs::read_dir(project.root().join("book/src")) else { return pages };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names {
        if name.ends_with(".md") && name != "SUMMARY.md" && !pages.contains(&name) {
            let file = format!("book/src/{name}");
            problems.push(Problem::new(file, 0, "SUMMARY.md does not list this page"));
        }
    }
    pages
}

/// The line at a byte, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Code, diffs and output that somebody typed instead of naming where they come from.
fn typed_by_hand(path: &str, text: &str, problems: &mut Vec<Problem>) {
    for (event, range) in Parser::new_ext(text, markdown_options()).into_offset_iter() {
        let what = match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let language = info.split([' ', ',', '\t']).next().unwrap_or("").to_lowercase();
                match language.as_str() {
                    "rust" | "rs" => "a ```rust fence typed by hand: use {{#listing}}",
                    "diff" | "patch" => "a ```diff fence typed by hand: use {{#diff}}",
                    "console" | "terminal" | "shell-session" => {
                        "a terminal typed by hand: use {{#transcript}}"
                    }
                    _ => continue,
                }
            }
            Event::Html(html) | Event::InlineHtml(html) if html.contains("language-rust") => {
                "Rust code typed by hand: use {{#listing}}"
            }
            _ => continue,
        };
        problems.push(Problem::new(path, line_of(text, range.start), what));
    }
}

/// What a page consists of, as far as it is judged.
#[derive(Clone, Debug, Default)]
struct Facts {
    headings: Vec<Heading>,
    details: Vec<Details>,
    /// Lines of text with a question mark that stand in no box.
    questions: Vec<usize>,
    ids: BTreeSet<String>,
    links: Vec<(usize, String)>,
}

#[derive(Clone, Debug)]
struct Heading {
    level: HeadingLevel,
    text: String,
    line: usize,
}

/// A `<details>` element.
#[derive(Clone, Debug)]
struct Details {
    class: String,
    line: usize,
    summary: bool,
    content: bool,
    closed: bool,
}

/// Collects the facts about a page from its expanded Markdown.
fn read(path: &str, page: &Page, problems: &mut Vec<Problem>) -> Facts {
    let text = page.markdown.as_str();
    let line_at = |at: usize| page.lines.get(line_of(text, at) - 1).copied().unwrap_or(0);
    let mut reader = Reader { path, problems, facts: Facts::default(), open: vec![], alerts: 0 };
    let mut heading: Option<(Heading, Option<String>)> = None;
    let mut term: Option<String> = None;
    let mut used = HashSet::new();
    let mut block: Option<(usize, String)> = None;
    let mut alt: Option<(usize, String)> = None;
    let mut code = 0;
    let mut notes: Vec<usize> = Vec::new();
    let mut verbatim = Vec::new();
    let options = markdown_options();
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let line = line_at(range.start);
        match event {
            Event::Start(Tag::Heading { level, id, .. }) => {
                let new = Heading { level, text: String::new(), line };
                heading = Some((new, id.map(|id| id.to_string())));
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((heading, id)) = heading.take() {
                    let id = id.unwrap_or_else(|| unique(&heading.text, &mut used));
                    reader.facts.ids.insert(id);
                    reader.facts.headings.push(heading);
                }
            }
            Event::Start(Tag::DefinitionListTitle) => term = Some(String::new()),
            Event::End(TagEnd::DefinitionListTitle) => {
                let id = unique(&term.take().unwrap_or_default(), &mut used);
                reader.facts.ids.insert(id);
            }
            Event::Start(Tag::Link { link_type, dest_url, .. }) => {
                let mail = link_type == LinkType::Email;
                let url = if mail { format!("mailto:{dest_url}") } else { dest_url.to_string() };
                reader.facts.links.push((line, url));
                reader.content();
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                reader.facts.links.push((line, dest_url.to_string()));
                alt = Some((line, String::new()));
                reader.content();
            }
            Event::End(TagEnd::Image) => {
                if let Some((line, text)) = alt.take().filter(|(_, text)| text.trim().is_empty()) {
                    let _ = text;
                    reader.complain(line, "a picture without a text alternative");
                }
            }
            Event::Start(Tag::CodeBlock(_)) => {
                verbatim.push(range);
                code += 1;
                reader.content();
            }
            Event::End(TagEnd::CodeBlock) => code -= 1,
            Event::Start(Tag::BlockQuote(kind)) => {
                reader.alerts += usize::from(alert(&kind));
            }
            Event::End(TagEnd::BlockQuote(kind)) => {
                reader.alerts -= usize::from(alert(&kind));
            }
            Event::Start(Tag::HtmlBlock) => block = Some((range.start, String::new())),
            Event::End(TagEnd::HtmlBlock) => {
                if let Some((at, html)) = block.take() {
                    reader.html(&html, |offset| line_at((at + offset).min(text.len())), true);
                }
            }
            Event::Html(html) => {
                verbatim.push(range);
                if let Some((_, block)) = &mut block {
                    block.push_str(&html);
                }
            }
            Event::InlineHtml(html) => {
                verbatim.push(range);
                reader.html(&html, |_| line, false);
            }
            Event::Text(part) => {
                if let Some((_, alt)) = &mut alt {
                    alt.push_str(&part);
                } else if let Some((heading, _)) = &mut heading {
                    heading.text.push_str(&part);
                } else if let Some(term) = &mut term {
                    term.push_str(&part);
                } else if code == 0 {
                    if part.contains('?') && reader.open.is_empty() && reader.alerts == 0 {
                        reader.facts.questions.push(line);
                    }
                    reader.content();
                }
            }
            Event::Code(part) => {
                verbatim.push(range);
                if let Some((_, alt)) = &mut alt {
                    alt.push_str(&part);
                }
                if let Some((heading, _)) = &mut heading {
                    heading.text.push_str(&part);
                }
                if let Some(term) = &mut term {
                    term.push_str(&part);
                }
                reader.content();
            }
            Event::Start(Tag::FootnoteDefinition(name)) => {
                notes.push(range.start);
                reader.facts.ids.insert(format!("footnote-{name}"));
            }
            Event::FootnoteReference(name) => {
                notes.push(range.start);
                let count = (1..)
                    .find(|n| !reader.facts.ids.contains(&format!("fr-{name}-{n}")))
                    .unwrap_or(1);
                reader.facts.ids.insert(format!("fr-{name}-{count}"));
            }
            _ => {}
        }
    }
    for (at, _) in text.match_indices("[^") {
        let is_code = verbatim.iter().any(|range| range.contains(&at));
        if !is_code && !notes.contains(&at) && !text[..at].ends_with('\\') {
            reader.complain(line_at(at), "a footnote that is not defined");
        }
    }
    let unclosed: Vec<usize> =
        reader.facts.details.iter().filter(|one| !one.closed).map(|one| one.line).collect();
    for line in unclosed {
        reader.complain(line, "<details> is not closed");
    }
    reader.facts
}

fn alert(kind: &Option<BlockQuoteKind>) -> bool {
    kind.is_some()
}

/// The id that mdBook gives to a heading with this text.
fn unique(text: &str, used: &mut HashSet<String>) -> String {
    let id: String = text
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c),
            c if c.is_whitespace() => Some('-'),
            _ => None,
        })
        .collect();
    let mut candidate = id.clone();
    let mut count = 0;
    while !used.insert(candidate.clone()) {
        count += 1;
        candidate = format!("{id}-{count}");
    }
    candidate
}

struct Reader<'a> {
    path: &'a str,
    problems: &'a mut Vec<Problem>,
    facts: Facts,
    /// The elements that are open, each with the place of its `<details>` in the facts if it is one.
    open: Vec<(String, Option<usize>)>,
    /// How many alerts (`> [!NOTE]`) we are in.
    alerts: usize,
}

impl Reader<'_> {
    fn complain(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem::new(self.path, line, message));
    }

    /// Notes that there is something in all `<details>` that are open, if it is not their summary.
    fn content(&mut self) {
        if self.open.iter().any(|(name, _)| name == "summary") {
            return;
        }
        for (_, details) in &self.open {
            if let Some(at) = details {
                self.facts.details[*at].content = true;
            }
        }
    }

    fn html(&mut self, html: &str, line_at: impl Fn(usize) -> usize, block: bool) {
        for (offset, token) in html::tokens(html) {
            let line = line_at(offset);
            match token {
                Token::Open(tag) => {
                    if let Some(id) = tag.attribute("id")
                        && !self.facts.ids.insert(id.to_string())
                    {
                        self.complain(line, format!("the id {id} is given twice on this page"));
                    }
                    for name in ["href", "src"] {
                        // Inside a picture, references have been seen to already.
                        let in_svg = self.open.iter().any(|(name, _)| name == "svg");
                        if let Some(url) = tag.attribute(name).filter(|_| !in_svg) {
                            self.facts.links.push((line, url.replace("&amp;", "&")));
                        }
                    }
                    if tag.name == "img"
                        && tag.attribute("alt").is_none_or(|alt| alt.trim().is_empty())
                    {
                        self.complain(line, "a picture without a text alternative");
                    }
                    if tag.name == "summary"
                        && let Some((_, Some(at))) = self.open.last()
                    {
                        self.facts.details[*at].summary = true;
                    } else if tag.name != "details" {
                        self.content();
                    }
                    let details = (tag.name == "details").then(|| {
                        self.facts.details.push(Details {
                            class: tag.attribute("class").unwrap_or("").to_string(),
                            line,
                            summary: false,
                            content: false,
                            closed: false,
                        });
                        self.facts.details.len() - 1
                    });
                    if !tag.empty {
                        self.open.push((tag.name, details));
                    }
                }
                Token::Close(name) => {
                    if let Some(at) = self.open.iter().rposition(|(open, _)| *open == name) {
                        if let (_, Some(details)) = self.open[at] {
                            self.facts.details[details].closed = true;
                        }
                        self.open.truncate(at);
                    } else {
                        self.complain(line, format!("</{name}> closes nothing"));
                    }
                }
                Token::Text(text) if text.trim().is_empty() => {}
                Token::Text(text) => {
                    if block && self.open.last().is_some_and(|(_, details)| details.is_some()) {
                        let line = line + text.len() - text.trim_start_matches('\n').len();
                        self.complain(
                            line,
                            "an empty line must follow <summary>…</summary>, or Markdown stays unread",
                        );
                    }
                    self.content();
                }
            }
        }
    }
}

/// What must be true of a page by itself.
fn judge(name: &str, path: &str, facts: &Facts, problems: &mut Vec<Problem>) {
    let mut complain =
        |line: usize, message: String| problems.push(Problem::new(path, line, message));
    let titles: Vec<&Heading> =
        facts.headings.iter().filter(|one| one.level == HeadingLevel::H1).collect();
    match titles[..] {
        [_] => {}
        [] => complain(1, "the page has no title: a line that begins with #".into()),
        [_, second, ..] => complain(second.line, "a second title: use ##".into()),
    }
    for one in &facts.details {
        if !one.summary {
            complain(one.line, "<details> without a <summary>".into());
        }
        if !one.content {
            complain(one.line, format!("<details class=\"{}\"> is empty", one.class));
        }
    }
    let Some(number) = chapter_number(name) else { return };
    sections(number, facts, &mut complain);
    predictions(facts, &mut complain);
    exercises(number, facts, &mut complain);
}

fn sections(number: u32, facts: &Facts, complain: &mut impl FnMut(usize, String)) {
    let given: Vec<&Heading> =
        facts.headings.iter().filter(|one| one.level == HeadingLevel::H2).collect();
    let mut place = 0;
    let later = |title: &str| number == CODE_COMES_LATER && title == "The code";
    for (at, heading) in given.iter().enumerate() {
        let title = heading.text.as_str();
        let Some(position) = SECTIONS.iter().position(|one| *one == title) else {
            complain(
                heading.line,
                format!(
                    "a numbered chapter has no section {title:?}; its sections are {}",
                    SECTIONS.join(" · ")
                ),
            );
            continue;
        };
        if given[..at].iter().any(|one| one.text == title) {
            complain(heading.line, format!("a second section {title:?}"));
        } else if later(title) {
            // Anywhere between the evidence and the diff.
            let before = |one: &str| given[..at].iter().any(|heading| heading.text == one);
            if !before("Run it") || before("The diff") {
                let message =
                    "the section \"The code\" belongs between \"Run it\" and \"The diff\"";
                complain(heading.line, message.into());
            }
        } else if position < place {
            complain(
                heading.line,
                format!("the section {title:?} is out of order: {}", SECTIONS.join(" · ")),
            );
        } else {
            place = position;
        }
    }
    for section in SECTIONS {
        if !given.iter().any(|one| one.text == section) {
            complain(1, format!("the section {section:?} is missing"));
        }
    }
}

/// The lines of a section: from its heading to the next one of its level or above.
fn span(facts: &Facts, title: &str) -> Option<std::ops::Range<usize>> {
    let at =
        facts.headings.iter().position(|one| one.level == HeadingLevel::H2 && one.text == title)?;
    let next = facts.headings[at + 1..].iter().find(|one| one.level <= HeadingLevel::H2);
    Some(facts.headings[at].line..next.map_or(usize::MAX, |one| one.line))
}

fn predictions(facts: &Facts, complain: &mut impl FnMut(usize, String)) {
    let Some(section) = span(facts, "Predict") else { return };
    let answers: Vec<usize> = facts
        .details
        .iter()
        .filter(|one| one.class.split_whitespace().any(|class| class == "predict"))
        .map(|one| one.line)
        .filter(|line| section.contains(line))
        .collect();
    let questions = facts.questions.iter().copied().filter(|line| section.contains(line));
    let last_answer = answers.last().copied().unwrap_or(0);
    if let Some(open) = questions.clone().find(|line| *line > last_answer) {
        complain(open, "a question to predict without its answer below it".into());
    } else if answers.is_empty() {
        complain(section.start, "nothing to predict: no <details class=\"predict\">".into());
    }
    let mut from = section.start;
    for answer in answers {
        if !questions.clone().any(|line| (from..answer).contains(&line)) {
            complain(answer, "an answer without a question above it".into());
        }
        from = answer;
    }
}

fn exercises(number: u32, facts: &Facts, complain: &mut impl FnMut(usize, String)) {
    let Some(section) = span(facts, "Exercises") else { return };
    let all: Vec<&Heading> = facts
        .headings
        .iter()
        .filter(|one| one.level == HeadingLevel::H3 && section.contains(&one.line))
        .collect();
    if !(3..=5).contains(&all.len()) {
        complain(section.start, format!("{} exercises; 3 to 5 belong here", all.len()));
    }
    for (at, exercise) in all.iter().enumerate() {
        let expected = format!("Exercise {number}.{}: ", at + 1);
        if !exercise.text.starts_with(&expected) {
            complain(exercise.line, format!("the exercise's title does not begin {expected:?}"));
        }
        let end = all.get(at + 1).map_or(section.end, |next| next.line);
        for class in ["hint", "answer"] {
            let there = facts.details.iter().any(|one| {
                (exercise.line..end).contains(&one.line)
                    && one.class.split_whitespace().any(|given| given == class)
            });
            if !there {
                complain(exercise.line, format!("the exercise has no <details class=\"{class}\">"));
            }
        }
    }
}

/// Whether a link inside the book leads somewhere.
fn resolve(
    project: &Project,
    page: &str,
    url: &str,
    known: &BTreeMap<String, Facts>,
) -> Result<(), String> {
    let (path, fragment) = match url.split_once('#') {
        Some((path, fragment)) => (path, Some(fragment)),
        None => (url, None),
    };
    let path = path.strip_prefix("./").unwrap_or(path);
    if url.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(format!("the link {url:?} does not stay inside the book"));
    }
    let target = match path {
        "" => page.to_string(),
        path => path.strip_suffix(".html").map_or(path.to_string(), |stem| format!("{stem}.md")),
    };
    let Some(facts) = known.get(&target) else {
        let file = Path::new("book/src").join(path);
        return match project.root().join(&file).is_file() && !path.ends_with(".md") {
            true => Ok(()),
            false => Err(format!("the link {url:?} leads nowhere: there is no page {target}")),
        };
    };
    match fragment {
        Some(fragment) if !facts.ids.contains(fragment) => {
            Err(format!("the link {url:?} leads nowhere: {target} has no #{fragment}"))
        }
        _ => Ok(()),
    }
}

/// Transcripts and answers that no page shows must be sound all the same.
fn files(project: &Project, problems: &mut Vec<Problem>) {
    for (directory, extension) in [("book/transcripts", "txt"), ("book/answers", "patch")] {
        let Ok(entries) = std::fs::read_dir(project.root().join(directory)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(&format!(".{extension}")) {
                continue;
            }
            let file = format!("{directory}/{name}");
            let shown = |problem: &Problem| problem.file == Path::new(&file);
            if problems.iter().any(shown) {
                continue;
            }
            let result = match project.read(&file) {
                Err(message) => Err((0, message)),
                Ok(text) if extension == "txt" => Transcript::parse(&text).map(|_| ()),
                Ok(text) => diff::parse_patch(&text).and_then(|patches| {
                    patches.iter().try_for_each(|patch| {
                        let old = project.read(&patch.file).map_err(|message| (0, message))?;
                        patch.apply(&old).map(|_| ())
                    })
                }),
            };
            if let Err((line, message)) = result {
                problems.push(Problem::new(file, line, message));
            }
        }
    }
}
