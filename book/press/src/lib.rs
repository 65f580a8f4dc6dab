//! The press: makes the pages of the book from what they show.
//!
//! A page of the book is Markdown with directives, `{{#listing file="…" caption="…"}}` and their
//! like. Each is replaced by something that was made from its source just now: code from the steps,
//! a diff between two of them, a recorded terminal, verdicts from the laboratory's matrix. So no
//! page can disagree with what it talks about; at worst a page names something that is not there,
//! and that is a [`Problem`] with a file and a line.
//!
//! | module | what it knows |
//! |---|---|
//! | [`directive`] | the directives and their attributes |
//! | [`source`] | items and marked parts of Rust files |
//! | [`diff`] | diffs between two texts, folded; patches: shown and applied |
//! | [`transcript`] | the files of `book/transcripts` |
//! | [`figure`] | pictures, inlined |
//! | [`verdicts`] | badges and tables made from the laboratory's matrix |
//! | [`sim`] | the simulator's place on a page, with a table for those who cannot run it |
//! | [`page`] | one page, expanded |
//! | [`check`] | all pages, judged |
//!
//! None of these needs mdBook, so the tests of the workbook use them without compiling it. With the
//! feature `book` come the modules that do.
#![cfg(target_os = "linux")]

#[cfg(feature = "book")]
pub mod binding;
pub mod check;
pub mod diff;
pub mod directive;
pub mod figure;
pub mod html;
#[cfg(feature = "book")]
pub mod output;
pub mod page;
#[cfg(feature = "book")]
pub mod serve;
pub mod sim;
pub mod source;
pub mod transcript;
pub mod verdicts;

use std::fmt;
use std::path::{Path, PathBuf};

/// Something wrong with the book, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, seen from the root of the project.
    pub file: PathBuf,
    /// The line in it, counted from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// What is wrong, in a line.
    pub message: String,
}

impl Problem {
    /// A problem in this line of this file.
    pub fn new(file: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Problem {
        Problem { file: file.into(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Where the project lies: the directory with `book/` and `steps/` in it.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The project in this directory.
    pub fn new(root: impl Into<PathBuf>) -> Project {
        Project { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads a file of the project, named as seen from its root; an error says what was wrong.
    pub fn read(&self, path: &str) -> Result<String, String> {
        let inside = Path::new(path).components();
        if !inside.clone().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(format!("{path} is not a path inside the project"));
        }
        match std::fs::read_to_string(self.root.join(path)) {
            Ok(text) => Ok(text.replace("\r\n", "\n")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("there is no file {path}"))
            }
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        }
    }
}
