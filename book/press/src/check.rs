//! All pages of the book, judged without building it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use pulldown_cmark::{
    BlockQuoteKind, CodeBlockKind, Event, HeadingLevel, LinkType, Parser, Tag, TagEnd,
};

use crate::directive::Directive;
use crate::html::{self, Token};
use crate::page::{self, Page, chapter_number, markdown_options};
use crate::transcript::Transcript;
use crate::{Problem, Project, diff, sim};

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

/// How many words a numbered chapter may have, answers included: a sitting, and no more. Listings,
/// diffs, terminals and captions are not counted.
pub const WORDS: RangeInclusive<usize> = 1_500..=4_000;

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
        let mut facts = read(&path, &expanded, &mut report.problems);
        if expanded.directives.iter().any(|(_, one)| matches!(one, Directive::Sim { .. })) {
            facts.ids.extend(sim::fragments());
        }
        judge(name, &path, &facts, &mut report.problems);
        // What is said in the place of a directive that failed would be counted too.
        if expanded.problems.is_empty() {
            length(name, &path, &facts, &mut report.problems);
        }
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
    /// Lines with a **Question** in bold type, numbered or not.
    asked: Vec<usize>,
    ids: BTreeSet<String>,
    links: Vec<(usize, String)>,
    /// How many words of prose there are.
    words: usize,
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
    let mut strong = false;
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
            Event::Start(Tag::Strong) => strong = true,
            Event::Text(part) => {
                if alt.is_none() && code == 0 {
                    reader.facts.words += words(&part);
                }
                if std::mem::take(&mut strong)
                    && part.starts_with("Question")
                    && reader.open.is_empty()
                {
                    reader.facts.asked.push(line);
                }
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
                if alt.is_none() {
                    reader.facts.words += words(&part);
                }
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

/// How many words there are; a dash, a plus or an ellipsis by itself is none.
fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
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
    for pair in facts.headings.windows(2) {
        if pair[1].level as usize > pair[0].level as usize + 1 {
            let message = format!("the heading {:?} is more than one level down", pair[1].text);
            complain(pair[1].line, message);
        }
    }
    for one in &facts.details {
        if !one.summary {
            complain(one.line, "<details> without a <summary>".into());
        }
        if !one.content {
            complain(one.line, format!("<details class=\"{}\"> is empty", one.class));
        }
    }
    for (at, line) in facts.asked.iter().enumerate() {
        let next = facts.asked.get(at + 1).copied().unwrap_or(usize::MAX);
        let section = facts.headings.iter().map(|one| one.line).find(|other| other > line);
        let end = next.min(section.unwrap_or(usize::MAX));
        if !predictions_of(facts).any(|answer| (*line..end).contains(&answer)) {
            complain(*line, "a question without its answer below it".into());
        }
    }
    let Some(number) = chapter_number(name) else { return };
    sections(number, facts, &mut complain);
    predictions(facts, &mut complain);
    exercises(number, facts, &mut complain);
}

/// Whether a numbered chapter is as long as it should be.
fn length(name: &str, path: &str, facts: &Facts, problems: &mut Vec<Problem>) {
    if chapter_number(name).is_some() && !WORDS.contains(&facts.words) {
        let (words, least, most) = (facts.words, WORDS.start(), WORDS.end());
        let message = format!("the chapter has {words} words; {least} to {most} belong here");
        problems.push(Problem::new(path, 1, message));
    }
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

/// Where the answers to questions begin.
fn predictions_of(facts: &Facts) -> impl Iterator<Item = usize> {
    let is_one = |one: &&Details| one.class.split_whitespace().any(|class| class == "predict");
    facts.details.iter().filter(is_one).map(|one| one.line)
}

fn predictions(facts: &Facts, complain: &mut impl FnMut(usize, String)) {
    let Some(section) = span(facts, "Predict") else { return };
    let answers: Vec<usize> = predictions_of(facts).filter(|line| section.contains(line)).collect();
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A book of one chapter and one interlude, in which nothing is wrong.
    struct Tiny {
        dir: tempfile::TempDir,
        chapter: String,
    }

    impl Tiny {
        fn new() -> Tiny {
            let mut chapter =
                "# One\n\nSee [the end](end.md#last), <https://example.org/>.\n".to_string();
            for section in SECTIONS {
                chapter += &format!("\n## {section}\n\nWords. {section}!\n");
                match section {
                    "Why" => chapter += &format!("\n{}\n", "word – ".repeat(*WORDS.start())),
                    "Predict" => {
                        chapter += "\nWhat is next?\n\n<details class=\"predict\"><summary>What do you think?</summary>\n\nThis is. Or is it?\n\n</details>\n";
                    }
                    "Exercises" => {
                        for number in 1..=3 {
                            chapter += &format!("\n### Exercise 1.{number}: again\n");
                            for class in ["hint", "answer"] {
                                chapter += &format!(
                                    "\n<details class=\"{class}\"><summary>S</summary>\n\nSo.\n\n</details>\n"
                                );
                            }
                        }
                    }
                    _ => {}
                }
            }
            let tiny = Tiny { dir: tempfile::tempdir().unwrap(), chapter };
            tiny.write("book/src/SUMMARY.md", "# S\n\n- [One](01-one.md)\n\n[End](end.md)\n");
            tiny.write("book/src/01-one.md", &tiny.chapter);
            tiny.write(
                "book/src/end.md",
                "# End\n\n## Last\n\nBack to [one](01-one.md).[^n]\n\n[^n]: A note.\n",
            );
            tiny
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn problems(&self) -> Vec<String> {
            check(&Project::new(self.dir.path())).problems.iter().map(ToString::to_string).collect()
        }

        /// What is wrong with the chapter when `from` is replaced by `to` in it.
        fn with(&self, from: &str, to: &str) -> Vec<String> {
            assert!(self.chapter.contains(from), "{from} is not in the chapter");
            self.write("book/src/01-one.md", &self.chapter.replacen(from, to, 1));
            self.problems()
        }

        /// What is wrong when this is the fourth line of the last page.
        fn page(&self, text: &str) -> Vec<String> {
            self.write("book/src/end.md", &format!("# End\n\n## Last\n{text}\n"));
            self.problems()
        }
    }

    #[test]
    fn nothing_is_wrong_with_a_sound_book() {
        let tiny = Tiny::new();
        assert_eq!(tiny.problems(), [""; 0]);
        let report = check(&Project::new(tiny.dir.path()));
        let links: Vec<(&str, usize)> =
            report.external.iter().map(|(url, places)| (url.as_str(), places[0].1)).collect();
        assert_eq!(links, [("https://example.org/", 3)]);
    }

    #[test]
    fn what_is_typed_by_hand_is_found() {
        let tiny = Tiny::new();
        let place = "book/src/end.md:4: ";
        for (text, message) in [
            ("```rust\nfn main() {}\n```", "a ```rust fence typed by hand: use {{#listing}}"),
            ("~~~ rs,ignore\nfn main() {}\n~~~", "a ```rust fence typed by hand: use {{#listing}}"),
            ("> ```Rust\n> fn main() {}\n> ```", "a ```rust fence typed by hand: use {{#listing}}"),
            ("```console\n$ ls\n```", "a terminal typed by hand: use {{#transcript}}"),
            ("```diff\n+x\n```", "a ```diff fence typed by hand: use {{#diff}}"),
            (
                "<pre><code class=\"language-rust\">x</code></pre>",
                "Rust code typed by hand: use {{#listing}}",
            ),
            ("{{#badge}}", "{{#badge has no step"),
            ("![](x.png)", "a picture without a text alternative"),
            ("<img src=\"01-one.md\">", "a picture without a text alternative"),
            ("Text.[^nowhere]", "a footnote that is not defined"),
            ("<details>\n\nText.\n\n</details>", "<details> without a <summary>"),
            (
                "<details class=\"hint\"><summary>S</summary>\n\n</details>",
                "<details class=\"hint\"> is empty",
            ),
            ("<details><summary>S</summary>\n\nText.", "<details> is not closed"),
            ("<p id=\"last\">Text.</p>", "the id last is given twice on this page"),
            ("#### Deep", "the heading \"Deep\" is more than one level down"),
        ] {
            let problems = tiny.page(text);
            let expected = format!("{place}{message}");
            assert!(problems.contains(&expected), "{text}: {expected} is not in {problems:?}");
        }
        assert_eq!(tiny.page("```sh\nls\n```\n\n`[^x]` and \\[^x]"), [""; 0]);
        let unread = tiny.page("<details><summary>S</summary>\n*Text.*\n</details>");
        assert!(
            unread[0].starts_with("book/src/end.md:5: an empty line must follow"),
            "{unread:?}"
        );
    }

    #[test]
    fn a_link_must_lead_somewhere() {
        let tiny = Tiny::new();
        for (link, message) in [
            ("other.md", "the link \"other.md\" leads nowhere: there is no page other.md"),
            ("01-one.md#what", "the link \"01-one.md#what\" leads nowhere: 01-one.md has no #what"),
            ("#here", "the link \"#here\" leads nowhere: end.md has no #here"),
            ("../x.md", "the link \"../x.md\" does not stay inside the book"),
        ] {
            let expected = format!("book/src/end.md:4: {message}");
            assert_eq!(tiny.page(&format!("[x]({link})")), [expected.as_str()]);
            assert_eq!(tiny.page(&format!("<a href=\"{link}\">x</a>")), [expected.as_str()]);
        }
        let no_simulator =
            "book/src/end.md:4: the link \"#sim=spill\" leads nowhere: end.md has no #sim=spill";
        assert_eq!(tiny.page("[x](#sim=spill)"), [no_simulator]);
        let sim = "{{#sim preset=\"chapter-3\"}}";
        assert_eq!(tiny.page(&format!("[x](#sim=spill)\n\n{sim}")), [""; 0]);
        assert!(tiny.page(&format!("[x](#sim=split)\n\n{sim}"))[0].ends_with("has no #sim=split"));
        let good = "[x](01-one.md#exercise-11-again) [x](#last) [x](01-one.html#why) [x](#a)\n\n<p id=\"a\">x</p>";
        assert_eq!(tiny.page(good), [""; 0]);
        tiny.page("");
        assert_eq!(
            tiny.with("end.md#last", "end.md#least"),
            ["book/src/01-one.md:3: the link \"end.md#least\" leads nowhere: end.md has no #least"]
        );
    }

    #[test]
    fn the_summary_names_every_page_once_and_in_order() {
        let tiny = Tiny::new();
        tiny.write("book/src/03-three.md", "# Three\n");
        tiny.write(
            "book/src/SUMMARY.md",
            "# S\n\n- [One](01-one.md)\n- [Three](03-three.md)\n- [No](no.md)\n- [One](01-one.md)\n",
        );
        let problems = tiny.problems();
        for expected in [
            "book/src/SUMMARY.md:4: 03-three.md is chapter 3, in a place for chapter 2",
            "book/src/SUMMARY.md:5: there is no page book/src/no.md",
            "book/src/SUMMARY.md:6: 01-one.md is listed twice",
            "book/src/end.md: SUMMARY.md does not list this page",
        ] {
            assert!(
                problems.iter().any(|one| one == expected),
                "{expected} is not in {problems:?}"
            );
        }
    }

    #[test]
    fn a_chapter_has_its_sections_in_their_order() {
        let tiny = Tiny::new();
        let wrong = tiny.with("## Why\n", "## Because\n");
        assert!(wrong.contains(&"book/src/01-one.md:1: the section \"Why\" is missing".into()));
        assert!(wrong.iter().any(|one| one.contains("has no section \"Because\"")), "{wrong:?}");
        let swapped =
            tiny.chapter.replace("## Why\n", "## X\n").replace("## The code\n", "## Why\n");
        tiny.write("book/src/01-one.md", &swapped.replace("## X\n", "## The code\n"));
        let wrong = tiny.problems();
        assert!(wrong.iter().any(|one| one.contains("is out of order")), "{wrong:?}");
        // In chapter 3 the code may come after the evidence.
        let report = |order: &[&str]| {
            let heading = |(at, title): (usize, &&str)| Heading {
                level: HeadingLevel::H2,
                text: title.to_string(),
                line: at + 1,
            };
            let headings = order.iter().enumerate().map(heading).collect();
            let facts = Facts { headings, ..Facts::default() };
            let mut found = Vec::new();
            sections(3, &facts, &mut |line, message| found.push((line, message)));
            found
        };
        let mut order = SECTIONS.to_vec();
        let code = order.remove(3);
        order.insert(4, code);
        assert_eq!(report(&order), []);
        let code = order.remove(4);
        order.insert(0, code);
        assert_eq!(report(&order).len(), 1);
    }

    #[test]
    fn a_chapter_is_as_long_as_a_sitting() {
        let tiny = Tiny::new();
        assert_eq!(words("`a` word – 2 + … one,two"), 4);
        tiny.write("book/src/01-one.md", &tiny.chapter.replace("word – ", "– "));
        assert!(tiny.problems()[0].contains("words; 1500 to 4000 belong here"));
        let long = tiny.chapter.replacen("word – ", &"word ".repeat(2_500), 1);
        tiny.write("book/src/01-one.md", &long);
        assert!(tiny.problems()[0].starts_with("book/src/01-one.md:1: the chapter has 4"));
        // A terminal or a listing as long as it may be does not count.
        let code = tiny.chapter.replacen(
            "word – ",
            &format!("\n```text\n{}\n```\n", "x ".repeat(4_000)),
            1,
        );
        tiny.write("book/src/01-one.md", &code);
        assert_eq!(tiny.problems(), [""; 0]);
    }

    #[test]
    fn a_question_has_an_answer_below_it() {
        let tiny = Tiny::new();
        let place = |text: &str, chapter: &str| {
            let at = chapter.find(text).unwrap();
            line_of(chapter, at)
        };
        let line = place("What is next?", &tiny.chapter);
        let later = "</details>\n\nAnd what then?\n";
        let problems = tiny.with("</details>\n", later);
        let expected = format!(
            "book/src/01-one.md:{}: a question to predict without its answer below it",
            line + 8
        );
        assert_eq!(problems, [expected]);
        let problems = tiny.with("What is next?", "Nothing is next.");
        assert!(problems[0].ends_with("an answer without a question above it"), "{problems:?}");
        let problems = tiny.with("class=\"predict\"", "class=\"other\"");
        assert!(problems[0].contains("a question to predict without its answer"), "{problems:?}");
    }

    #[test]
    fn a_question_in_bold_has_one_on_any_page() {
        let tiny = Tiny::new();
        let answer = "\n\n<details class=\"predict\"><summary>S</summary>\n\nSo.\n\n</details>\n";
        assert_eq!(tiny.page(&format!("**Question 1.** What?{answer}")), [""; 0]);
        assert_eq!(
            tiny.page(&format!("**Question 1.** What?\n\n**Question 2.** And what?{answer}")),
            ["book/src/end.md:4: a question without its answer below it"]
        );
        assert_eq!(
            tiny.page(&format!("**Question.** What?\n\n### Next{answer}")),
            ["book/src/end.md:4: a question without its answer below it"]
        );
    }

    #[test]
    fn an_exercise_has_a_hint_and_an_answer() {
        let tiny = Tiny::new();
        let line = line_of(&tiny.chapter, tiny.chapter.find("### Exercise 1.1").unwrap());
        let at = format!("book/src/01-one.md:{line}: ");
        assert_eq!(
            tiny.with("class=\"hint\"", "class=\"x\""),
            [format!("{at}the exercise has no <details class=\"hint\">")]
        );
        assert_eq!(
            tiny.with("Exercise 1.1: again", "Exercise 1: again"),
            [format!("{at}the exercise's title does not begin \"Exercise 1.1: \"")]
        );
        let two = &tiny.chapter[..tiny.chapter.find("### Exercise 1.3").unwrap()];
        tiny.write("book/src/01-one.md", &format!("{two}## A closing note\n\nBye.\n"));
        assert!(tiny.problems()[0].ends_with("2 exercises; 3 to 5 belong here"));
    }

    #[test]
    fn files_that_no_page_shows_are_read_too() {
        let tiny = Tiny::new();
        tiny.write("book/transcripts/x.txt", "no header\n");
        tiny.write(
            "book/answers/x.patch",
            "--- a/steps/x.rs\n+++ b/steps/x.rs\n@@ -1 +1 @@\n-a\n+b\n",
        );
        assert_eq!(
            tiny.problems(),
            [
                "book/answers/x.patch: there is no file steps/x.rs",
                "book/transcripts/x.txt:1: a header line is `# key: value`, and --- ends it",
            ]
        );
    }
}
