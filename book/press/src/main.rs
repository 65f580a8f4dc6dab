//! `cargo book`: builds the book, serves it, checks it. And the preprocessor of stock mdBook.
#![cfg(target_os = "linux")]

use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use press::about::About;
use press::output::Output;
use press::{Project, binding, check, chromium, epub, pdf, serve};

/// Builds the book and serves it on 127.0.0.1, up to date with every change.
#[derive(Parser)]
#[command(name = "cargo book", bin_name = "cargo book")]
struct Arguments {
    /// Opens the book in a browser.
    #[arg(long)]
    open: bool,
    /// The port to serve on; if it is taken, the next one that is free.
    #[arg(long, value_name = "N", default_value_t = 3000)]
    port: u16,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the pages into target/book. They need no server.
    Build,
    /// Makes the book for e-readers, an EPUB, in target.
    Epub,
    /// Makes the book for paper, a PDF, in target. Chromium prints it.
    Pdf,
    /// Names everything that is wrong with the book: one line each.
    Check,
    /// Lists the links that lead out of the book, and where they are. Follows none.
    Links,
    /// Started by mdBook itself, which book/book.toml tells to do so.
    #[command(hide = true)]
    Preprocess {
        /// mdBook first asks `supports RENDERER`. The answer is yes, whatever the renderer.
        question: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let project = Project::new(lab::ladder::root());
    // Where stock mdBook puts them too.
    let pages = project.root().join("target/book");
    let good = match arguments.task {
        None => read(&project, &pages, arguments.port, arguments.open),
        Some(Task::Build) => build(&project, &pages),
        Some(Task::Epub) => epub(&project),
        Some(Task::Pdf) => pdf(&project),
        Some(Task::Check) => examine(&project),
        Some(Task::Links) => links(&project, &pages),
        Some(Task::Preprocess { question }) if !question.is_empty() => Ok(true),
        Some(Task::Preprocess { .. }) => binding::preprocess().map(|wrong| complain(&wrong) == 0),
    };
    let good = good.unwrap_or_else(|error| complain(&[format!("{error:#}")]) == 0);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line. It is no error if nobody reads it anymore, as when `head` has seen enough.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Lines on stderr; returns how many.
fn complain<T: Display>(lines: &[T]) -> usize {
    for line in lines {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    lines.len()
}

fn build(project: &Project, pages: &Path) -> Result<bool> {
    let wrong = complain(&binding::build(project, pages)?);
    say(&format!("The book is in {}", pages.join("index.html").display()));
    // The pages are written all the same, with each fault marked where it is.
    Ok(wrong == 0)
}

fn epub(project: &Project) -> Result<bool> {
    bind(project, "epub", |pages, file| epub::write(project, pages, file))
}

fn pdf(project: &Project) -> Result<bool> {
    let chromium = chromium::find().context(chromium::MISSING)?;
    bind(project, "pdf", |pages, file| pdf::write(project, &chromium, pages, file))
}

/// Makes a file from fresh pages, which are not kept. The file is beside the pages of `cargo book build`, which
/// each build replaces with all that is among them.
fn bind(
    project: &Project,
    ending: &str,
    write: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<bool> {
    let target = project.root().join("target");
    fs::create_dir_all(&target).with_context(|| format!("creating {}", target.display()))?;
    let pages = tempfile::tempdir_in(&target).context("creating a directory for the pages")?;
    let pages = pages.path().join("pages");
    let wrong = complain(&binding::build(project, &pages)?);
    let name = About::read(project)?.file_name();
    let file = target.join(name).with_extension(ending);
    write(&pages, &file)?;
    say(&format!("The book is in {}", file.display()));
    Ok(wrong == 0)
}

fn examine(project: &Project) -> Result<bool> {
    let wrong = complain(&binding::examine(project)?);
    if wrong == 0 {
        say(&format!("Nothing wrong with {} pages.", check::summary(project).0.len()));
    }
    Ok(wrong == 0)
}

fn links(project: &Project, pages: &Path) -> Result<bool> {
    binding::build(project, pages)?;
    for (url, places) in Output::read(project, pages)?.external() {
        say(&format!("{url}  {}", Vec::from_iter(places).join(" ")));
    }
    Ok(true)
}

/// Builds, serves, and builds again whenever something changes.
fn read(project: &Project, pages: &Path, port: u16, open: bool) -> Result<bool> {
    let changes = serve::changes(project)?;
    // A book with faults can be read: they stand where they are, in bold.
    complain(&binding::build(project, pages)?);
    let listener = serve::listen(port)?;
    let address = listener.local_addr().context("reading our own address")?;
    if address.port() != port {
        say(&format!("Port {port} is taken, so this is port {}.", address.port()));
    }
    let url = format!("http://{address}/");
    say(&format!("The book is at {url} and follows every change. Ctrl-C ends it."));
    if open && let Err(error) = open::that(&url) {
        complain(&[format!("No browser was opened: {error}.")]);
    }
    let (router, reloader) = serve::pages(pages);
    thread::spawn(move || {
        if let Err(error) = serve::serve(listener, router) {
            complain(&[format!("The server has ended: {error:#}")]);
        }
    });
    for _ in changes {
        let still = |error| vec![format!("Still showing the pages from before: {error:#}")];
        complain(&binding::build(project, pages).unwrap_or_else(still));
        reloader.reload();
    }
    Ok(false)
}
