//! One page of the book, with its directives replaced by what they stand for.

use std::collections::HashMap;
use std::ops::Range;

use lab::experiments::{self, Experiment};
use lab::ladder::milestones;
use lab::numbers::in_words;
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::diff::{self, DiffLine};
use crate::directive::{self, Directive};
use crate::terminal::{self, Owner};
use crate::transcript::Transcript;
use crate::{Problem, Project, color, figure, notes, scores, sim, source, verdicts};

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
    /// The Markdown that remains for mdBook, with as many lines as before.
    pub markdown: String,
    /// The directives on it, each with its line.
    pub directives: Vec<(usize, Directive)>,
    /// What is wrong with them. The page shows the message in the directive's place.
    pub problems: Vec<Problem>,
}

/// The line at a byte of a text, counted from 1.
pub fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The markup on one line, with `&#10;` for line breaks: Markdown ends HTML at the first empty line.
fn one_line(markup: Markup) -> String {
    markup.into_string().replace('\n', "&#10;")
}

/// A caption: a line of Markdown as HTML, without a paragraph around it.
fn inline(markdown: &str) -> Markup {
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, Parser::new(markdown));
    PreEscaped(html.replace("<p>", "").replace("</p>\n", ""))
}

/// Expands the page `file` of `book/src`.
pub fn expand(project: &Project, file: &str, text: &str) -> Page {
    let text = text.replace("\r\n", "\n");
    let path = format!("book/src/{file}");
    let examples = examples(&text);
    let mut expander = Expander { project, short: short_name(file), counts: HashMap::new() };
    let mut page = Page::default();
    let mut done = 0;
    let is_example = |at: usize| examples.iter().any(|example| example.contains(&at));
    for (range, directive) in directive::find(&text).filter(|found| !is_example(found.0.start)) {
        let line = line_at(&text, range.start);
        let made = directive.map_err(Problem::from).and_then(|directive| {
            page.directives.push((line, directive.clone()));
            if !directive.is_inline() && !is_alone(&text, &range) {
                let rule = "this directive must stand on a line of its own, between empty ones";
                return Err(rule.to_string().into());
            }
            expander.make(&directive)
        });
        page.markdown += &text[done..range.start];
        page.markdown += &match made {
            Ok(markup) => one_line(markup),
            Err(problem) => {
                let problem = problem.noticed_in(&path, line);
                let words = problem.to_string();
                page.problems.push(problem);
                one_line(html! { strong.press-error { (words) } })
            }
        };
        done = range.end;
    }
    page.markdown += &text[done..];
    page
}

/// Whether a part of the text stands between empty lines, where a block of HTML can begin and end.
fn is_alone(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].trim_end_matches([' ', '\t']);
    let after = text[range.end..].trim_start_matches([' ', '\t']);
    (before.is_empty() || before.ends_with("\n\n"))
        && (after.trim().is_empty() || after.starts_with("\n\n"))
}

/// Where code stands in a text: directives in it are examples.
fn examples(text: &str) -> Vec<Range<usize>> {
    let events = Parser::new_ext(text, markdown_options()).into_offset_iter();
    let code = |event: &Event| matches!(event, Event::Start(Tag::CodeBlock(_)) | Event::Code(_));
    events.filter(|(event, _)| code(event)).map(|(_, range)| range).collect()
}

/// A part of a file of the project, as listings and diffs show it.
fn part(project: &Project, file: &str, item: Option<&str>) -> Result<String, String> {
    let text = project.read(file)?;
    match item {
        Some(item) => source::item(&text, item).map_err(|message| format!("{file}: {message}")),
        None => Ok(text.trim_matches('\n').to_string()),
    }
}

/// The HTML for a directive, or what is wrong with it.
type Made = Result<Markup, Problem>;

/// The experiments that a directive names, or all.
fn experiments_of(names: Option<&str>) -> Result<Vec<&'static Experiment>, String> {
    let Some(names) = names else { return Ok(experiments::ALL.iter().collect()) };
    let named =
        |name| experiments::named(name).ok_or_else(|| format!("there is no experiment {name:?}"));
    names.split_whitespace().map(named).collect()
}

/// How many minutes it takes to read a page, rounded up to the next five: 200 words in a minute, which is
/// slow for prose. Directives and addresses are counted as words; what listings and terminals hold is not.
pub fn minutes(page: &str) -> usize {
    const WORDS: usize = 200;
    page.split_whitespace().count().div_ceil(WORDS).next_multiple_of(5)
}

/// Makes what directives stand for.
struct Expander<'a> {
    project: &'a Project,
    short: String,
    /// How many there have been of each kind: listings have numbers, figures have ids.
    counts: HashMap<&'static str, usize>,
}

impl Expander<'_> {
    /// An id that no other figure of the book has: `listing-3-1`.
    fn id(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).and_modify(|count| *count += 1).or_insert(1);
        format!("{kind}-{}-{count}", self.short)
    }

    /// A figure with code in it: `listing`, `diff` or `terminal`. `bar` stands above the code.
    fn code(&self, id: &str, language: &str, bar: Markup, code: Markup, caption: &str) -> Markup {
        let kind = id.split('-').next().unwrap_or(id);
        let bar_class = if kind == "terminal" { "terminal-bar" } else { "listing-bar" };
        html! {
            figure class=(kind) id=(id) {
                div class=(bar_class) { (bar) }
                pre { code class=(language) { (code) } }
                figcaption { (inline(caption)) }
            }
        }
    }

    fn make(&mut self, directive: &Directive) -> Made {
        let project = self.project;
        Ok(match directive {
            Directive::Listing { file, item, omit, notes, caption } => {
                let notes = notes.as_deref().unwrap_or("");
                self.listing(file, item.as_deref(), omit.as_deref(), notes, caption)?
            }
            Directive::Diff { from, to, item, caption } => {
                self.diff([from, to], item.as_deref(), caption)?
            }
            Directive::Answer { answer, caption } => self.answer(answer, caption)?,
            Directive::Transcript { name, caption } => self.transcript(name, caption)?,
            Directive::Figure { file, alt, caption } => self.figure(file, alt, caption)?,
            Directive::Matrix { step, of } => {
                verdicts::matrix(&project.step(step)?, &experiments_of(of.as_deref())?)
            }
            Directive::Verdicts {} => verdicts::whole_matrix(&project.ladder()?),
            Directive::Milestone { step } => {
                let step = project.step(step)?;
                let all = project.milestones()?;
                let its = all.iter().find(|it| it.chapter == step.chapter);
                let none = || format!("{} has no milestone for {}", milestones::FILE, step.chapter);
                verdicts::milestone(&step, its.ok_or_else(none)?)
            }
            Directive::Badge { step } => verdicts::step_badge(&project.step(step)?),
            Directive::Sim { preset } => sim::element(&sim::presets(project)?, preset)?,
            Directive::Ladder {} => verdicts::ladder_table(&project.ladder()?),
            Directive::Scoreboard { of } => scores::table(&scores::record(project)?, of)?,
            Directive::Graded { program } => scores::whole(&scores::record(project)?, program)?,
            Directive::Score { program, experiment, answer } => {
                scores::score(&scores::record(project)?, program, experiment, answer)?
            }
            Directive::Version { of } => {
                let version = scores::entry(&scores::record(project)?, of)?.version.clone();
                html! { (version) }
            }
            Directive::Minutes { of } => {
                let text = project.read(&format!("book/src/{of}"))?;
                html! { (minutes(&text)) }
            }
            Directive::Count { of } => {
                let words = in_words(match of.as_str() {
                    "programs" => scores::record(project)?.programs.len(),
                    "exhibits" => exhibits(project)?,
                    _ => verdicts::count(&project.ladder()?, &of.to_lowercase())?,
                });
                let (first, rest) = words.split_at(1);
                let capital = of.starts_with(char::is_uppercase);
                html! { @if capital { (first.to_uppercase()) (rest) } @else { (words) } }
            }
        })
    }

    fn listing(
        &mut self,
        file: &str,
        item: Option<&str>,
        omit: Option<&str>,
        notes: &str,
        caption: &str,
    ) -> Made {
        let id = self.id("listing");
        let mut code = part(self.project, file, item)?;
        if let Some(omit) = omit {
            code = source::without(&code, omit).map_err(|message| format!("{file}: {message}"))?;
        }
        if code.trim().is_empty() {
            return Err(format!("{file}: the listing is empty").into());
        }
        let is_rust = file.ends_with(".rs");
        let language = if is_rust { "language-rust" } else { "nohighlight" };
        let place = item.and_then(|item| self.lines_of(file, item));
        let bar = html! {
            span.listing-number { "Listing " (&id["listing-".len()..]) }
            " " (self.file_name(file))
            @if let Some(lines) = place { " " span.listing-lines { (lines) } }
        };
        let notes = notes::read(notes, &code).map_err(|message| format!("{file}: {message}"))?;
        let colored = |line: &str| {
            if is_rust {
                color::rust(line)
            } else {
                html! { (line) }
            }
        };
        // A whole file is long, and the page is lighter without an element for each of its lines.
        let listing = match item {
            Some(_) => notes::marked(&code, &notes, colored),
            None => html! { @for line in code.lines() { (colored(line)) "\n" } },
        };
        let figure = self.code(&id, language, bar, listing, caption);
        Ok(html! {
            @if notes.is_empty() { (figure) } @else {
                div.with-notes { (figure) ol.notes { @for note in &notes { li { (inline(&note.says)) } } } }
            }
        })
    }

    /// Where an item is in its file: `lines 142 to 160`.
    fn lines_of(&self, file: &str, item: &str) -> Option<String> {
        let text = self.project.read(file).ok()?;
        let found = source::items(&text).into_iter().find(|one| one.name == item)?;
        Some(format!("lines {} to {}", found.lines.start + 1, found.lines.end))
    }

    /// The name of a file, and the badge of the step that it belongs to.
    fn file_name(&self, file: &str) -> Markup {
        let step = file.strip_prefix("steps/").and_then(|path| path.split('/').next());
        let step = step.and_then(|step| self.project.step(step).ok());
        html! {
            span.listing-file { (file) }
            @if let Some(step) = step { " " (verdicts::step_badge(&step)) }
        }
    }

    fn diff(&mut self, [from, to]: [&str; 2], item: Option<&str>, caption: &str) -> Made {
        let files = [from, to].map(|step| format!("steps/{step}/main.rs"));
        let [old, new] = files.each_ref().map(|file| part(self.project, file, item));
        // An item may be new, or go away.
        let (old, new) = match (old, new) {
            (Err(_), Ok(new)) if item.is_some() => (String::new(), new),
            (Ok(old), Err(_)) if item.is_some() => (old, String::new()),
            (old, new) => (old?, new?),
        };
        let mut lines = diff::folded(&old, &new, item.is_some());
        diff::without_header(&mut lines);
        if lines.is_empty() {
            let what = item.map_or(String::new(), |item| format!(" in {item}"));
            return Err(format!("nothing differs between {from} and {to}{what}").into());
        }
        let bar = html! {
            (self.file_name(&files[0])) " "
            span.diff-new {
                span.diff-arrow aria-label="becomes" role="img" { "→" } " "
                (self.file_name(&files[1]))
            }
        };
        Ok(self.diff_figure(bar, &lines, caption))
    }

    fn answer(&mut self, answer: &str, caption: &str) -> Made {
        let file = format!("book/answers/{answer}.patch");
        self.project.read(&file)?;
        let patched = diff::patched(self.project, answer)?;
        let bar = html! {
            span.listing-file { (patched.file) } code.apply { "git apply " (file) }
        };
        let mut lines = diff::folded(&patched.old, &patched.new, false);
        diff::without_header(&mut lines);
        Ok(self.diff_figure(bar, &lines, caption))
    }

    fn diff_figure(&mut self, bar: Markup, lines: &[DiffLine], caption: &str) -> Markup {
        let id = self.id("diff");
        let words = |at: usize, text: &str| match text.trim_start().starts_with("//") {
            // Prose is read as a whole.
            true => color::rust(text),
            false => html! { @for (is_new, text) in diff::words(lines, at) {
                @if is_new { mark { (color::rust(&text)) } } @else { (color::rust(&text)) }
            } },
        };
        let hang = |line: &str| notes::hang(line, 1);
        let code = html! { @for (at, line) in lines.iter().enumerate() { @match line {
            DiffLine::Same(text) => span.diff-line style=[hang(text)] { b { " " } (color::rust(text)) "\n" },
            DiffLine::Added(text) => ins.diff-line style=[hang(text)] { b { "+" } (words(at, text)) "\n" },
            DiffLine::Removed(text) => del.diff-line style=[hang(text)] { b { "-" } (words(at, text)) "\n" },
            DiffLine::Fold(words) => span.diff-line.diff-fold { (words) "\n" },
        } } };
        self.code(&id, "language-rust", bar, code, caption)
    }

    fn transcript(&mut self, name: &str, caption: &str) -> Made {
        let file = format!("book/transcripts/{name}.txt");
        let transcript = Transcript::parse(&self.project.read(&file)?)
            .map_err(|(line, message)| Problem::new(&file, line, message))?;
        let id = self.id("terminal");
        let first = transcript.text.lines().next().and_then(|line| line.strip_prefix("$ "));
        let owner = Owner::of(first.unwrap_or(""));
        let bar = html! {
            span class={ "terminal-title " (owner.class()) } { (owner.title()) }
            @if let Some(machine) = transcript.header("machine") {
                " " span.terminal-machine { "recorded on " (machine) }
            }
        };
        Ok(self.code(&id, "nohighlight", bar, terminal::lines(&transcript), caption))
    }

    fn figure(&mut self, file: &str, alt: &str, caption: &str) -> Made {
        let path = format!("book/src/figures/{file}");
        let id = self.id("figure");
        let svg =
            figure::inlined(&self.project.read(&path)?, file.trim_end_matches(".svg"), &id, alt)
                .map_err(|(line, message)| Problem::new(&path, line, message))?;
        Ok(html! { figure.figure id=(id) { (svg) figcaption { (inline(caption)) } } })
    }
}

/// How many exhibits the museum has: its numbered headings.
pub fn exhibits(project: &Project) -> Result<usize, String> {
    let museum = project.read("book/src/appendix-museum.md")?;
    let heading = |line: &&str| {
        let title = line.strip_prefix("## ").and_then(|title| title.split_once(". "));
        title.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    };
    Ok(museum.lines().filter(heading).count())
}
