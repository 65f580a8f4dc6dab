//! One page of the book, with its directives replaced by what they stand for.

use std::ops::Range;

use maud::{Markup, html};
use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::diff::{self, DiffLine};
use crate::directive::{self, Directive};
use crate::html::{inline, one_line};
use crate::transcript::{TerminalLine, Transcript};
use crate::verdicts::{self, step_badge};
use crate::{Problem, Project, figure, sim, source};

/// The Markdown that mdBook reads with the settings of `book.toml`.
pub fn markdown_options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_DEFINITION_LIST
        | Options::ENABLE_GFM
}

/// The number of a chapter: that in front of its file's name, `03-the-dropped-write.md`.
pub fn chapter_number(file: &str) -> Option<u32> {
    let digits = file.split('-').next()?;
    (digits.len() == 2).then(|| digits.parse().ok())?
}

/// What listings are numbered with: the chapter's number, or the last word of its file's name.
pub fn short_name(file: &str) -> String {
    let stem = file.strip_suffix(".md").unwrap_or(file);
    let last = stem.rsplit(['-', '/']).next().unwrap_or(stem);
    chapter_number(file).map_or(last.to_string(), |number| number.to_string())
}

/// A page with its directives expanded.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The Markdown that remains for mdBook.
    pub markdown: String,
    /// For each line of it, the line of the page's file that it came from, counted from 1.
    pub lines: Vec<usize>,
    /// The directives, each with its line.
    pub directives: Vec<(usize, Directive)>,
    /// What is wrong with them. Their places hold the message instead.
    pub problems: Vec<Problem>,
}

impl Page {
    fn push(&mut self, line: &str, number: usize) {
        self.markdown += line;
        self.markdown.push('\n');
        self.lines.push(number);
    }
}

/// Expands the page `file` of `book/src`.
pub fn expand(project: &Project, file: &str, text: &str) -> Page {
    let text = text.replace("\r\n", "\n");
    let path = format!("book/src/{file}");
    let examples = examples(&text);
    let mut expander = Expander::new(project, file);
    let mut page = Page::default();
    let mut start = 0;
    for (at, line) in text.split('\n').enumerate() {
        let number = at + 1;
        let mut expanded = String::new();
        let mut block = false;
        let mut done = 0;
        for (begin, _) in line.match_indices("{{#") {
            let is_example = examples.iter().any(|range| range.contains(&(start + begin)));
            // `begin < done`: inside the value of an attribute of the directive before.
            if is_example || begin < done {
                continue;
            }
            expanded += &line[done..begin];
            let (made, length) = match directive::parse(&line[begin..]) {
                Err((message, length)) => (Err(message.into()), length),
                Ok((directive, length)) => {
                    let around = [&line[..begin], &line[begin + length..]];
                    let alone = around.iter().all(|text| text.trim().is_empty());
                    let made = if directive.is_inline() || alone {
                        expander.make(&directive)
                    } else {
                        Err("this directive must stand on a line of its own".to_string().into())
                    };
                    block |= !directive.is_inline();
                    page.directives.push((number, directive));
                    (made, length)
                }
            };
            match made {
                Ok(made) => expanded += &one_line(made),
                Err(wrong) => {
                    let problem = wrong.at(&path, number);
                    let words = html! { strong.press-error { (problem.to_string()) } };
                    expanded += &words.into_string();
                    page.problems.push(problem);
                }
            }
            done = begin + length;
        }
        expanded += &line[done..];
        // A block of HTML begins and ends at an empty line.
        if block {
            page.push("", number);
        }
        page.push(&expanded, number);
        if block {
            page.push("", number);
        }
        start += line.len() + 1;
    }
    page
}

/// Where code stands in a text: directives in it are examples.
fn examples(text: &str) -> Vec<Range<usize>> {
    let events = Parser::new_ext(text, markdown_options()).into_offset_iter();
    let code = |event: &Event| matches!(event, Event::Start(Tag::CodeBlock(_)) | Event::Code(_));
    events.filter(|(event, _)| code(event)).map(|(_, range)| range).collect()
}

/// What is wrong with a directive: with itself, or with the file that it names.
enum Wrong {
    Here(String),
    There(Problem),
}

impl Wrong {
    /// As a problem of the directive in this line of this page.
    fn at(self, path: &str, line: usize) -> Problem {
        match self {
            Wrong::Here(message) => Problem::new(path, line, message),
            Wrong::There(problem) => {
                let message = format!("{} (shown in {path}:{line})", problem.message);
                Problem { message, ..problem }
            }
        }
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Wrong {
        Wrong::Here(message)
    }
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Wrong {
        Wrong::There(problem)
    }
}

/// A part of a file of the project, as listings and diffs show it.
fn part(project: &Project, file: &str, item: Option<&str>) -> Result<String, String> {
    let text = project.read(file)?;
    match item {
        Some(item) => source::item(&text, item).map_err(|message| format!("{file}: {message}")),
        None => Ok(text.trim_matches('\n').to_string()),
    }
}

/// Makes what directives stand for, and counts it: listings have numbers, figures have ids.
struct Expander<'a> {
    project: &'a Project,
    short: String,
    listings: usize,
    diffs: usize,
    figures: usize,
    terminals: Vec<String>,
}

impl<'a> Expander<'a> {
    fn new(project: &'a Project, file: &str) -> Expander<'a> {
        let short = short_name(file);
        Expander { project, short, listings: 0, diffs: 0, figures: 0, terminals: vec![] }
    }

    /// The HTML for a directive.
    fn make(&mut self, directive: &Directive) -> Result<Markup, Wrong> {
        let ladder = || self.project.ladder();
        Ok(match directive {
            Directive::Listing { file, item, omit, caption } => {
                self.listing(file, item.as_deref(), omit.as_deref(), caption)?
            }
            Directive::Diff { from, to, item, caption } => {
                self.diff([from, to], item.as_deref(), caption)?
            }
            Directive::Answer { answer, caption } => self.answer(answer, caption)?,
            Directive::Transcript { name, caption } => self.transcript(name, caption)?,
            Directive::Figure { file, alt, caption } => self.figure(file, alt, caption)?,
            Directive::Matrix { step: None } => verdicts::matrix(&ladder()?),
            Directive::Matrix { step: Some(step) } => {
                verdicts::matrix_of(verdicts::step(&ladder()?, step)?)
            }
            Directive::Badge { step } => verdicts::step_badge(verdicts::step(&ladder()?, step)?),
            Directive::Sim { preset } => sim::element(&sim::presets(self.project)?, preset)?,
            Directive::Ladder {} => verdicts::ladder_table(&ladder()?),
            Directive::Count { of, capital } => {
                let words = verdicts::in_words(verdicts::count(&ladder()?, of)?);
                let words = if *capital { capitalized(&words) } else { words };
                html! { (words) }
            }
        })
    }

    fn listing(
        &mut self,
        file: &str,
        item: Option<&str>,
        omit: Option<&str>,
        caption: &str,
    ) -> Result<Markup, Wrong> {
        self.listings += 1;
        let mut code = part(self.project, file, item)?;
        if let Some(omit) = omit {
            code = source::without(&code, omit).map_err(|message| format!("{file}: {message}"))?;
        }
        if code.trim().is_empty() {
            return Err(format!("{file}: the listing is empty").into());
        }
        let number = format!("{}-{}", self.short, self.listings);
        let language = if file.ends_with(".rs") { "language-rust" } else { "nohighlight" };
        Ok(html! {
            figure.listing id=(format!("listing-{number}")) {
                div.listing-bar {
                    span.listing-number { "Listing " (capitalized(&number)) } " " (self.file_name(file))
                }
                pre { code class=(language) { (code) "\n" } }
                figcaption { (inline(caption)) }
            }
        })
    }

    fn diff(
        &mut self,
        [from, to]: [&str; 2],
        item: Option<&str>,
        caption: &str,
    ) -> Result<Markup, Wrong> {
        let files = [from, to].map(|step| format!("steps/{step}/main.rs"));
        let [old, new] = files.each_ref().map(|file| part(self.project, file, item));
        // An item may be new, or go away.
        let [old, new] = match (old, new) {
            (Ok(old), Ok(new)) => [old, new],
            (Err(_), Ok(new)) if item.is_some() => [String::new(), new],
            (Ok(old), Err(_)) if item.is_some() => [old, String::new()],
            (Err(message), _) | (_, Err(message)) => return Err(message.into()),
        };
        let whole = |text: String| if text.is_empty() { text } else { text + "\n" };
        let lines = diff::folded(&whole(old), &whole(new), item.is_some());
        if lines.is_empty() {
            let what = item.map_or(String::new(), |item| format!(" in {item}"));
            return Err(format!("nothing differs between {from} and {to}{what}").into());
        }
        let bar = html! {
            (self.file_name(&files[0])) " "
            span.diff-arrow aria-label="becomes" role="img" { "→" } " "
            (self.file_name(&files[1]))
        };
        Ok(self.diff_figure(bar, &lines, caption))
    }

    /// The name of a file, and the badge of the step that it belongs to.
    fn file_name(&self, file: &str) -> Markup {
        let step = file.strip_prefix("steps/").and_then(|path| path.split('/').next());
        let ladder = self.project.ladder().unwrap_or_default();
        html! {
            span.listing-file { (file) }
            @if let Some(step) = step.and_then(|step| ladder.step(step)) { " " (step_badge(step)) }
        }
    }

    fn answer(&mut self, answer: &str, caption: &str) -> Result<Markup, Wrong> {
        self.project.read(&format!("book/answers/{answer}.patch"))?;
        let patched = diff::patched(self.project, answer)?;
        let bar = html! {
            span.listing-file { (patched.file) }
            code.apply { "git apply book/answers/" (answer) ".patch" }
        };
        let lines = diff::folded(&patched.old, &patched.new, false);
        Ok(self.diff_figure(bar, &lines, caption))
    }

    fn diff_figure(&mut self, bar: Markup, lines: &[DiffLine], caption: &str) -> Markup {
        self.diffs += 1;
        html! {
            figure.diff id=(format!("diff-{}-{}", self.short, self.diffs)) {
                div.listing-bar { (bar) }
                pre { code.language-rust { @for line in lines { @match line {
                    DiffLine::Same(text) => {
                        span.diff-line.diff-ctx { span.diff-sign { " " } (text) "\n" }
                    },
                    DiffLine::Added(text) => {
                        ins.diff-line.diff-add { span.diff-sign { "+" } (text) "\n" }
                    },
                    DiffLine::Removed(text) => {
                        del.diff-line.diff-del { span.diff-sign { "-" } (text) "\n" }
                    },
                    DiffLine::Fold(words) => span.diff-line.diff-fold { (words) "\n" },
                } } } }
                figcaption { (inline(caption)) }
            }
        }
    }

    fn transcript(&mut self, name: &str, caption: &str) -> Result<Markup, Wrong> {
        let file = format!("book/transcripts/{name}.txt");
        let transcript = Transcript::parse(&self.project.read(&file)?)
            .map_err(|(line, message)| Problem::new(&file, line, message))?;
        self.terminals.push(name.to_string());
        let id = match self.terminals.iter().filter(|other| *other == name).count() {
            1 => format!("terminal-{name}"),
            again => format!("terminal-{name}-{again}"),
        };
        Ok(html! {
            figure.terminal id=(id) {
                div.terminal-bar {
                    span.terminal-title { (transcript.header("title").unwrap_or("Terminal")) }
                    @if let Some(machine) = transcript.header("machine") {
                        " " span.terminal-machine { "recorded on " (machine) }
                    }
                }
                pre { code.nohighlight { @for line in transcript.lines() { @match line {
                    TerminalLine::Typed(text) => {
                        span.prompt { "$ " } span.typed { (text) } "\n"
                    },
                    TerminalLine::More(text) => { span.typed { (text) } "\n" },
                    TerminalLine::Printed(text) => { (text) "\n" },
                } } } }
                figcaption { (inline(caption)) }
            }
        })
    }

    fn figure(&mut self, file: &str, alt: &str, caption: &str) -> Result<Markup, Wrong> {
        self.figures += 1;
        let path = format!("book/src/figures/{file}");
        let id = format!("figure-{}-{}", self.short, self.figures);
        let svg = figure::inlined(&self.project.read(&path)?, &id, alt)
            .map_err(|(line, message)| Problem::new(&path, line, message))?;
        Ok(html! { figure.figure { (svg) figcaption { (inline(caption)) } } })
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
