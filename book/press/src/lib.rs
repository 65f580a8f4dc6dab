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
//! | [`page`] | one page, expanded |
//! | [`source`] | items of Rust files |
//! | [`diff`] | diffs between two texts, folded; the patches of answers |
//! | [`transcript`] | the files of `book/transcripts` |
//! | [`figure`] | pictures, inlined |
//! | [`verdicts`] | badges, tables and counts made from the laboratory's matrix |
//! | [`sim`] | the simulator's place on a page, with a table for those who cannot run it |
//! | [`tree`] | an expanded page as a tree of elements |
//! | [`rules`] | what must be true of a page by itself |
//! | [`check`] | all pages, judged |
//!
//! None of these needs mdBook, so the tests of the workbook use them without compiling it. With the
//! feature `book` come the modules that do: `binding` (mdBook, with the press in front of it),
//! `output` (the finished pages, judged) and `serve` (the pages on 127.0.0.1).
#![cfg(target_os = "linux")]

#[cfg(feature = "book")]
pub mod binding;
pub mod check;
pub mod diff;
pub mod directive;
pub mod figure;
mod html;
#[cfg(feature = "book")]
pub mod output;
pub mod page;
pub mod rules;
#[cfg(feature = "book")]
pub mod serve;
pub mod sim;
pub mod source;
pub mod transcript;
pub mod tree;
pub mod verdicts;

use std::fmt;
use std::path::{Path, PathBuf};

use lab::ladder::Ladder;

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

    /// The steps, as their manifests describe them.
    pub fn ladder(&self) -> Result<Ladder, Problem> {
        Ladder::read(&self.root).map_err(|wrong| {
            let (file, message) = wrong.split_once(": ").unwrap_or(("steps", &wrong));
            Problem::new(file, 0, message.replace('\n', "; "))
        })
    }

    /// The names of the files in a directory that have this extension, without it, in order. A
    /// directory that is not there has none.
    pub fn files(&self, directory: &str, extension: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(directory)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut names: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|given| given == extension))
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }
}
