//! `cargo book`: builds the book, serves it, checks it. And the preprocessor of stock mdBook.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use press::serve::{self, Changes};
use press::{Project, binding, check, output};

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
    /// Names everything that is wrong with the book: one line each.
    Check,
    /// Lists the links that lead out of the book, and where they are. Follows none.
    Links,
    /// Started by mdBook itself, which book/book.toml tells to do so.
    #[command(hide = true)]
    Preprocess {
        #[command(subcommand)]
        question: Option<Question>,
    },
}

/// What mdBook asks before it hands over the book.
#[derive(Subcommand)]
enum Question {
    /// Whether there is something to do for this renderer: there is for any.
    Supports { renderer: String },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let project = Project::new(root());
    let result = match arguments.task {
        None => read(&project, arguments.port, arguments.open),
        Some(Task::Build) => build(&project),
        Some(Task::Check) => examine(&project),
        Some(Task::Links) => links(&project),
        Some(Task::Preprocess { question: Some(Question::Supports { .. }) }) => {
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::Preprocess { question: None }) => preprocess(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The root of the project: cargo says where the press lies, and so does the compiler.
fn root() -> PathBuf {
    let press = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|directory| directory.ends_with("book/press"))
        .unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    press.ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}

/// A line on stdout. Whoever reads it may have gone, as `head` does.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wrong, a line each. Returns whether there is anything.
fn report(project: &Project) -> bool {
    let mut problems = binding::settings(project);
    problems.extend(check::check(project).problems);
    problems.iter().for_each(|problem| complain(&problem.to_string()));
    !problems.is_empty()
}

fn build(project: &Project) -> Result<ExitCode> {
    let wrong = report(project);
    let pages = serve::destination(project);
    let warnings = binding::build(project, &pages)?;
    warnings.iter().for_each(|warning| complain(&format!("mdBook warns: {warning}")));
    say(&format!("The book is in {}", pages.join("index.html").display()));
    // The pages are there, with the faults shown where they are: somebody may want to look.
    Ok(code(!wrong && warnings.is_empty()))
}

fn examine(project: &Project) -> Result<ExitCode> {
    let problems = binding::check(project)?;
    problems.iter().for_each(|problem| complain(problem));
    match problems.len() {
        0 => say(&format!("Nothing wrong with {} pages.", check::pages(project).len())),
        1 => complain("1 problem."),
        count => complain(&format!("{count} problems.")),
    }
    Ok(code(problems.is_empty()))
}

fn links(project: &Project) -> Result<ExitCode> {
    let directory = tempfile::tempdir().context("creating a directory for the pages")?;
    let pages = directory.path().join("pages");
    binding::build(project, &pages)?;
    for (url, places) in output::external(project, &pages)? {
        say(&format!("{url}  {}", places.into_iter().collect::<Vec<_>>().join(" ")));
    }
    Ok(ExitCode::SUCCESS)
}

fn preprocess() -> Result<ExitCode> {
    let problems = binding::preprocess()?;
    problems.iter().for_each(|problem| complain(&problem.to_string()));
    Ok(code(problems.is_empty()))
}

/// Builds, serves, and builds again whenever something changes.
fn read(project: &Project, port: u16, open: bool) -> Result<ExitCode> {
    let changes = Changes::watch(project)?;
    let directory = serve::destination(project);
    // A book with faults can be read: they stand where they are, in bold.
    report(project);
    binding::build(project, &directory)?;
    let listener = serve::listen(port)?;
    let address = listener.local_addr().context("reading our own address")?;
    if address.port() != port {
        say(&format!("Port {port} is taken, so this is port {}.", address.port()));
    }
    let url = format!("http://{address}/");
    say(&format!("The book is at {url} and follows every change. Ctrl-C ends it."));
    if open && let Err(error) = opener::open_browser(&url) {
        complain(&format!("No browser was opened: {error}."));
    }
    let (router, reloader) = serve::pages(&directory);
    thread::spawn(move || {
        if let Err(error) = serve::serve(listener, router) {
            complain(&format!("The server has ended: {error:#}"));
        }
    });
    while changes.next().is_some() {
        report(project);
        match binding::build(project, &directory) {
            Ok(_) => reloader.reload(),
            Err(error) => complain(&format!("Still showing the pages from before: {error:#}")),
        }
    }
    Ok(ExitCode::FAILURE)
}
