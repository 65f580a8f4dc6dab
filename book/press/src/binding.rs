//! From Markdown to pages: mdBook, with the press as its only preprocessor.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

use anyhow::{Context, Result, bail};
use mdbook_driver::MDBook;
use mdbook_driver::book::{Book, SectionNumber};
use mdbook_driver::config::Config;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::page::{chapter_number, expand};
use crate::{Problem, Project, output};

/// Builds the pages into `destination`, which is replaced as a whole, or left alone if nothing came
/// of it. Returns what mdBook warned of.
pub fn build(project: &Project, destination: &Path) -> Result<Vec<String>> {
    let parent = destination.parent().context("a directory to build into")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    // Next to it, so that it can take its place in one move.
    let fresh = tempfile::Builder::new()
        .prefix(".book-")
        .tempdir_in(parent)
        .with_context(|| format!("creating a directory in {}", parent.display()))?;
    let pages = fresh.path().join("new");
    let (result, warnings) = listening(|| bind(project, &pages));
    result?;
    if destination.exists() {
        let old = fresh.path().join("old");
        fs::rename(destination, old)
            .with_context(|| format!("moving {} away", destination.display()))?;
    }
    fs::rename(&pages, destination)
        .with_context(|| format!("moving the pages to {}", destination.display()))?;
    Ok(warnings)
}

fn bind(project: &Project, destination: &Path) -> Result<()> {
    let directory = project.root().join("book");
    let mut config = Config::from_disk(directory.join("book.toml"))?;
    config.build.build_dir = destination.to_path_buf();
    let mut book = MDBook::load_with_config(&directory, config)?;
    book.with_preprocessor(Press { project: project.clone() });
    book.build()
}

/// The preprocessor: expands the directives and numbers the chapters.
struct Press {
    project: Project,
}

impl Preprocessor for Press {
    fn name(&self) -> &str {
        "press"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        book.for_each_chapter_mut(|chapter| {
            let Some(file) = chapter.source_path.as_ref().and_then(|path| path.to_str()) else {
                return;
            };
            // mdBook would number the interludes too.
            chapter.number = chapter_number(file).map(|number| SectionNumber::new([number]));
            // What is wrong is reported by the check and shown in its place.
            chapter.content = expand(&self.project, file, &chapter.content).markdown;
        });
        Ok(book)
    }
}

/// What is wrong with the settings in `book.toml`.
pub fn settings(project: &Project) -> Vec<Problem> {
    let file = "book/book.toml";
    let config = match Config::from_disk(project.root().join(file)) {
        Ok(config) => config,
        Err(error) => return vec![Problem::new(file, 0, format!("{error:#}"))],
    };
    let html = config.html_config().unwrap_or_default();
    let mut problems = Vec::new();
    for path in html.additional_css.iter().chain(&html.additional_js) {
        if !project.root().join("book").join(path).is_file() {
            let message = format!("there is no file book/{}", path.display());
            problems.push(Problem::new(file, 0, message));
        }
    }
    if html.mathjax_support {
        problems.push(Problem::new(file, 0, "mathjax-support loads a script from elsewhere"));
    }
    problems
}

// ---- mdBook's warnings --------------------------------------------------------------------------

/// What mdBook says while it works. It has no other way of telling that something is missing.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LISTEN: Once = Once::new();
/// One build at a time: nobody could tell whose warnings are heard.
static BUILDING: Mutex<()> = Mutex::new(());

/// Runs `work` and returns what was warned of meanwhile.
fn listening<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    // For the whole process, because a renderer may work in threads of its own.
    LISTEN.call_once(|| {
        // Fails only where somebody listens already, and then the warnings are heard there.
        let _ = tracing::subscriber::set_global_default(Listener);
    });
    let _alone = BUILDING.lock().unwrap_or_else(|poison| poison.into_inner());
    let said = || std::mem::take(&mut *SAID.lock().unwrap_or_else(|poison| poison.into_inner()));
    said();
    let result = work();
    (result, said())
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Errors are the smallest level.
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        let line = words.0.split_whitespace().collect::<Vec<_>>().join(" ");
        SAID.lock().unwrap_or_else(|poison| poison.into_inner()).push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

// ---- Everything together ------------------------------------------------------------------------

/// Everything that is wrong with the book and with the pages made from it: one line each.
pub fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = settings(project);
    problems.extend(crate::check::check(project).problems);
    let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let directory = tempfile::tempdir().context("creating a directory for the pages")?;
    let pages: PathBuf = directory.path().join("pages");
    match build(project, &pages) {
        Ok(warnings) => {
            lines.extend(warnings.iter().map(|warning| format!("mdBook warns: {warning}")));
            // What is wrong in the Markdown is wrong on its page again, and on the one for printing.
            if lines.is_empty() {
                lines.extend(output::check(&pages)?.iter().map(ToString::to_string));
            }
        }
        // The pages that are missing have been named.
        Err(_) if !lines.is_empty() => {}
        Err(error) => bail!(error),
    }
    Ok(lines)
}
