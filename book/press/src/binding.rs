//! From Markdown to pages: mdBook, with the press as its only preprocessor.
//!
//! `cargo book` runs the press inside of mdBook. Stock `mdbook` starts `press preprocess`, as `book.toml`
//! says, with the chapters as JSON on stdin, and takes them, expanded, from its stdout.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use mdbook_driver::book::{Book, SectionNumber};
use mdbook_driver::config::Config;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::frame::{self, Entry, Glossary};
use crate::output::Output;
use crate::page::{chapter_number, expand};
use crate::{Problem, Project, check, sim};

/// Builds the pages into `destination`. If that fails, what was there before stays. Returns what is
/// wrong with the book, a line each; a page with a directive that failed says so in its place.
pub fn build(project: &Project, destination: &Path) -> Result<Vec<String>> {
    let mut wrong: Vec<String> = check::check(project).iter().map(ToString::to_string).collect();
    let parent = destination.parent().context("a directory to build into")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    // Next to it, so that the pages can take their place in one move.
    let fresh = tempfile::tempdir_in(parent).context("creating a directory for the pages")?;
    let pages = fresh.path().join("new");
    let built = load(project, &pages).and_then(|mut book| {
        // It has the same name as the command in book.toml, and so takes its place.
        book.with_preprocessor(Expansion { project: project.clone() });
        warnings(|| book.build())
    });
    let warned = built.with_context(|| [&wrong[..], &["No pages".into()]].concat().join("\n"))?;
    wrong.extend(warned);
    let place = || format!("putting the pages in {}", destination.display());
    if destination.exists() {
        fs::rename(destination, fresh.path().join("old")).with_context(place)?;
    }
    fs::rename(&pages, destination).with_context(place)?;
    Ok(wrong)
}

/// The book as stock mdBook would load it, to be built into `destination`.
pub fn load(project: &Project, destination: &Path) -> Result<MDBook> {
    let book = project.root().join("book");
    let mut config = Config::from_disk(book.join("book.toml"))?;
    config.build.build_dir = destination.to_path_buf();
    MDBook::load_with_config(book, config)
}

/// The preprocessor: expands the directives and numbers the chapters.
struct Expansion {
    project: Project,
}

impl Expansion {
    fn expand(&self, book: &mut Book) -> Vec<Problem> {
        let mut problems = Vec::from_iter(sim::join(&self.project).err());
        let all = entries(book);
        let glossary = Glossary::read(&self.project);
        book.for_each_chapter_mut(|chapter| {
            let Some(file) = chapter.source_path.as_ref().and_then(|path| path.to_str()) else {
                return;
            };
            // mdBook would number the interludes too.
            chapter.number = chapter_number(file).map(|number| SectionNumber::new([number]));
            let page = expand(&self.project, file, &chapter.content);
            problems.extend(page.problems);
            let text = &chapter.content;
            chapter.content =
                frame::around(&self.project, &all, &glossary, file, text, &page.markdown);
        });
        problems
    }
}

/// The pages in the order of the table of contents.
fn entries(book: &mut Book) -> Vec<Entry> {
    let mut all = vec![];
    book.for_each_chapter_mut(|chapter| {
        let file = chapter.source_path.as_ref().and_then(|path| path.to_str());
        all.extend(file.map(|file| Entry { file: file.into(), title: chapter.name.clone() }));
    });
    all
}

impl Preprocessor for Expansion {
    fn name(&self) -> &str {
        "press"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        // The problems are reported by the check, and the pages show them.
        self.expand(&mut book);
        Ok(book)
    }
}

/// Does what stock mdBook starts the press for: chapters come on stdin and go to stdout, expanded. If
/// there are problems, they are returned and nothing is written, and mdBook publishes nothing.
pub fn preprocess() -> Result<Vec<Problem>> {
    let (context, mut book) = mdbook_preprocessor::parse_input(io::stdin())?;
    let root = context.root.canonicalize().context("finding the book")?;
    let project = Project::new(root.parent().context("the directory around the book")?);
    let problems = Expansion { project }.expand(&mut book);
    if problems.is_empty() {
        serde_json::to_writer(io::stdout(), &book).context("handing the book back to mdBook")?;
    }
    Ok(problems)
}

/// Runs `work` and returns what mdBook warned of meanwhile, a line each. It has no other way to
/// say that something is missing.
fn warnings(work: impl FnOnce() -> Result<()>) -> Result<Vec<String>> {
    let mut notes = tempfile::tempfile().context("creating a file for mdBook's warnings")?;
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .without_time()
        .with_target(false)
        .with_level(false)
        .with_writer(Arc::new(notes.try_clone()?));
    // Only in this thread: others may build another book.
    let listening = subscriber.finish().set_default();
    work()?;
    drop(listening);
    let mut said = String::new();
    notes.rewind()?;
    notes.read_to_string(&mut said)?;
    Ok(said.lines().map(|line| format!("mdBook warns: {line}")).collect())
}

/// Everything that is wrong with the book and with the pages made from it: one line each.
pub fn examine(project: &Project) -> Result<Vec<String>> {
    let directory = tempfile::tempdir().context("creating a directory for the pages")?;
    let pages = directory.path().join("pages");
    let mut wrong = build(project, &pages)?;
    let finished = Output::read(project, &pages)?.problems()?;
    wrong.extend(finished.iter().map(ToString::to_string));
    Ok(wrong)
}
