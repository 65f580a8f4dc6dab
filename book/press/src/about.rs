//! What the book says of itself: its title, who wrote it, and when.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Project, binding};

/// The modified date where there is no git to ask.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// What `book.toml` says of the book.
pub struct About {
    /// The title.
    pub title: String,
    /// One sentence; may be empty.
    pub description: String,
    /// The names, as they shall be shown.
    pub authors: Vec<String>,
    /// `en`.
    pub language: String,
}

impl About {
    /// Reads `book.toml`.
    pub fn read(project: &Project) -> Result<About> {
        let config = binding::load(project, Path::new("unused"))?.config.book;
        Ok(About {
            title: config.title.context("book.toml gives the book no title")?,
            description: config.description.unwrap_or_default(),
            authors: config.authors,
            language: config.language.unwrap_or("en".into()),
        })
    }

    /// The title as the name of a file: `the-dropped-write`.
    pub fn file_name(&self) -> String {
        let words = self.title.split(|c: char| !c.is_alphanumeric());
        let words: Vec<String> = words.filter(|it| !it.is_empty()).map(str::to_lowercase).collect();
        words.join("-")
    }
}

/// When the book was last changed: the date of the last commit, so that the same source makes the same file.
pub fn modified(project: &Project) -> String {
    let mut git = Command::new("git");
    git.current_dir(project.root()).env("TZ", "UTC");
    git.args(["log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd"]);
    let said = git.output().ok().filter(|output| output.status.success());
    let date = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    date.filter(|date| !date.is_empty()).unwrap_or(LONG_AGO.into())
}
