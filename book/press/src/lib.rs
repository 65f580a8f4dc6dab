//! The press: makes the pages of the book from what they show.
//!
//! A page of the book is Markdown with directives, `{{#listing file="…" caption="…"}}` and their
//! like. Each is replaced by something that was made from its source just now, so no page can
//! disagree with what it talks about. At worst it names something that is not there: a [`Problem`].
//!
//! Most modules know nothing of mdBook, so the tests of the workbook use them without compiling it.
//! With the feature `book` come those that do.
#![cfg(target_os = "linux")]

pub mod check;
pub mod color;
pub mod diff;
pub mod directive;
pub mod figure;
pub mod frame;
pub mod notes;
pub mod page;
pub mod rules;
pub mod scores;
pub mod sim;
pub mod source;
pub mod terminal;
pub mod transcript;
pub mod tree;
pub mod verdicts;

#[cfg(feature = "book")]
pub mod about;
#[cfg(feature = "book")]
pub mod binding;
#[cfg(feature = "book")]
pub mod chapters;
#[cfg(feature = "book")]
pub mod chromium;
#[cfg(feature = "book")]
pub mod dom;
#[cfg(feature = "book")]
pub mod epub;
#[cfg(feature = "book")]
pub mod output;
#[cfg(feature = "book")]
pub mod pdf;
#[cfg(feature = "book")]
pub mod serve;

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::{fmt, fs};

use lab::ladder::milestones::{self, Milestone};
use lab::ladder::{Ladder, Step};
use walkdir::{DirEntry, WalkDir};

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

    /// A message that is about no file becomes one about this line. One that is about a file keeps
    /// its place, and names the line too.
    pub fn noticed_in(self, file: &str, line: usize) -> Problem {
        if self.file.as_os_str().is_empty() {
            return Problem::new(file, line, self.message);
        }
        Problem { message: format!("{} (shown in {file}:{line})", self.message), ..self }
    }
}

/// A message without a file. [`Problem::noticed_in`] adds the file and the line.
impl From<String> for Problem {
    fn from(message: String) -> Problem {
        Problem::new("", 0, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let line = if self.line == 0 { String::new() } else { format!("{}:", self.line) };
        write!(f, "{}:{line} {}", self.file.display(), self.message)
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
        if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("{path} is not a path inside the project"));
        }
        let text =
            fs::read_to_string(self.root.join(path)).map_err(|error| match error.kind() {
                ErrorKind::NotFound => format!("there is no file {path}"),
                _ => format!("{path} cannot be read: {error}"),
            })?;
        Ok(text.replace("\r\n", "\n"))
    }

    /// What the chapters ask of the reader's own proxy.
    pub fn milestones(&self) -> Result<Vec<Milestone>, Problem> {
        milestones::read(&self.root, &self.ladder()?).map_err(|wrong| in_its_file(&wrong))
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Result<Step, Problem> {
        let ladder = self.ladder()?;
        let none = || format!("there is no step {name}; there are {}", ladder.names());
        Ok(ladder.step(name).ok_or_else(none)?.clone())
    }

    /// The steps, as their manifests describe them.
    pub fn ladder(&self) -> Result<Ladder, Problem> {
        Ladder::read(&self.root).map_err(|wrong| in_its_file(&wrong))
    }
}

/// `FILE: what is wrong` as a problem of that file.
fn in_its_file(wrong: &str) -> Problem {
    let (file, message) = wrong.split_once(": ").unwrap_or(("steps", wrong));
    Problem::new(file, 0, message.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// All files below a directory whose names end like this, sorted, as paths from that directory. There
/// are none if there is no such directory.
pub fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let found = WalkDir::new(directory).sort_by_file_name().into_iter().flatten();
    let found = found.map(DirEntry::into_path).filter(|path| {
        path.is_file()
            && path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ending))
    });
    found.filter_map(|path| Some(path.strip_prefix(directory).ok()?.to_path_buf())).collect()
}
