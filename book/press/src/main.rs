//! `cargo book`: builds the book, serves it, checks it.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use press::serve::Version;
use press::{Project, binding, check, serve};

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let project = Project::new(root());
    let result = match arguments.task {
        None => read(&project, arguments.port, arguments.open),
        Some(Task::Build) => build(&project),
        Some(Task::Check) => examine(&project),
        Some(Task::Links) => links(&project),
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

fn pages(project: &Project) -> PathBuf {
    project.root().join("target/book")
}

/// A line on stdout. Whoever reads it may have gone, as `head` does.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What is wrong, a line each. Returns whether there is anything.
fn report(project: &Project) -> bool {
    let mut problems = binding::settings(project);
    problems.extend(check::check(project).problems);
    for problem in &problems {
        complain(&problem.to_string());
    }
    !problems.is_empty()
}

fn build(project: &Project) -> Result<ExitCode> {
    let wrong = report(project);
    let warnings = binding::build(project, &pages(project))?;
    for warning in &warnings {
        complain(&format!("mdBook warns: {warning}"));
    }
    say(&format!("The book is in {}", pages(project).join("index.html").display()));
    // The pages are there, with the faults shown where they are: somebody may want to look.
    Ok(if wrong || !warnings.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn examine(project: &Project) -> Result<ExitCode> {
    let problems = binding::check(project)?;
    for problem in &problems {
        complain(problem);
    }
    Ok(match problems.len() {
        0 => {
            say(&format!("Nothing wrong with {} pages.", check::pages(project).len()));
            ExitCode::SUCCESS
        }
        count => {
            complain(&format!("{count} {}.", if count == 1 { "problem" } else { "problems" }));
            ExitCode::FAILURE
        }
    })
}

fn links(project: &Project) -> Result<ExitCode> {
    for (url, places) in check::check(project).external {
        let places: Vec<String> =
            places.iter().map(|(file, line)| format!("{}:{line}", file.display())).collect();
        say(&format!("{url}  {}", places.join(" ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds, serves, and builds again whenever something changes.
fn read(project: &Project, port: u16, open: bool) -> Result<ExitCode> {
    let mut state = serve::state(project);
    // A book with faults can be read: they stand where they are, in bold.
    report(project);
    binding::build(project, &pages(project))?;
    let listener = serve::listen(port)?;
    let address = listener.local_addr().context("reading our own address")?;
    if address.port() != port {
        say(&format!("Port {port} is taken, so this is port {}.", address.port()));
    }
    let url = format!("http://{address}/");
    say(&format!("The book is at {url} and follows every change. Ctrl-C ends it."));
    if open {
        browse(&url);
    }
    let version = Arc::new(Version::default());
    let (pages_there, version_there) = (pages(project), version.clone());
    thread::spawn(move || serve::serve(listener, pages_there, version_there));
    loop {
        state = serve::wait_for_change(project, &state);
        report(project);
        match binding::build(project, &pages(project)) {
            Ok(_) => version.advance(),
            Err(error) => complain(&format!("Still showing the pages from before: {error:#}")),
        }
    }
}

/// Opens a browser, and says so if there is none.
fn browse(url: &str) {
    let mut command = Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(mut child) => {
            thread::spawn(move || child.wait());
        }
        Err(error) => complain(&format!("No browser was opened (xdg-open: {error}).")),
    }
}
