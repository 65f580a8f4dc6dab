//! The pages that mdBook made, and what is checked in them: every link is followed as far as it
//! stays in the book, every id stands once, and nothing is loaded from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use html5gum::{Token, Tokenizer};
use regex::Regex;

use crate::{Problem, Project, files, sim};

/// What a finished page links to, and what on it can be linked to.
#[derive(Default)]
struct Finished {
    /// The Markdown that it was made from, if it was made from one file.
    source: Option<(String, String)>,
    ids: BTreeSet<String>,
    /// The ids that stand there more than once.
    twice: Vec<String>,
    /// What is linked to or loaded: the name of the element, and the URL.
    links: Vec<(String, String)>,
}

/// The finished pages by their file names.
pub struct Output {
    directory: PathBuf,
    pages: BTreeMap<PathBuf, Finished>,
}

impl Output {
    /// Reads the pages that were made from `project` into `directory`.
    pub fn read(project: &Project, directory: &Path) -> Result<Output> {
        let presets = sim::presets(project).unwrap_or_default();
        let simulator: BTreeSet<String> =
            presets.keys().map(|name| format!("sim={name}")).collect();
        let mut pages = BTreeMap::new();
        for name in files(directory, ".html") {
            let mut page = Finished::read(&read(&directory.join(&name))?, &simulator);
            let markdown = format!("book/src/{}", name.with_extension("md").display());
            page.source = project.read(&markdown).ok().map(|text| (markdown, text));
            pages.insert(name, page);
        }
        Ok(Output { directory: directory.to_path_buf(), pages })
    }

    /// Everything that is wrong. A problem names the Markdown where a page was made from one file.
    pub fn problems(&self) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (name, page) in &self.pages {
            for id in &page.twice {
                let message = format!("the id {id} is given twice on this page");
                problems.extend(page.problems(name, &format!("\"{id}\""), &message));
            }
            for (element, url) in &page.links {
                let wrong = match (is_external(url), element == "a" || url.starts_with("data:")) {
                    (false, _) => self.follow(name, url),
                    (true, true) => None,
                    (true, false) => Some(format!("<{element}> loads {url} from elsewhere")),
                };
                problems.extend(wrong.iter().flat_map(|wrong| page.problems(name, url, wrong)));
            }
        }
        // The page for printing repeats all others, and index.html the first: what is wrong in them
        // has been said, unless it is wrong only there.
        let is_source = |problem: &Problem| problem.file.starts_with("book/src");
        if problems.iter().any(is_source) {
            problems.retain(is_source);
        }
        let elsewhere = Regex::new(r#"url\(["']?(https?:)?//"#)?;
        for name in files(&self.directory, ".css") {
            for (at, line) in read(&self.directory.join(&name))?.lines().enumerate() {
                if elsewhere.is_match(line) {
                    let message = "this style sheet loads something from elsewhere";
                    problems.push(Problem::new(&name, at + 1, message));
                }
            }
        }
        problems.sort();
        problems.dedup();
        Ok(problems)
    }

    /// Every link out of the book, with the places that use it. They are not followed.
    pub fn external(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (name, page) in self.pages.iter().filter(|(_, page)| page.source.is_some()) {
            for (_, url) in page.links.iter().filter(|(_, url)| is_external(url)) {
                let places = page.problems(name, url, "").into_iter();
                let places = places.map(|one| format!("{}:{}", one.file.display(), one.line));
                found.entry(url).or_default().extend(places);
            }
        }
        found
    }

    /// What is wrong with a link inside the book.
    fn follow(&self, page: &Path, url: &str) -> Option<String> {
        let (path, fragment) = url.split_once('#').unwrap_or((url, ""));
        if path.split('/').any(|part| part == "..") {
            return Some(format!("the link {url:?} does not stay inside the book"));
        }
        let mut target = page.with_file_name(path.trim_start_matches('/'));
        if path.is_empty() {
            target = page.to_path_buf();
        } else if self.directory.join(&target).is_dir() {
            target.push("index.html");
        }
        let file = target.display();
        if !self.directory.join(&target).is_file() {
            return Some(format!("the link {url:?} leads nowhere: there is no {file}"));
        }
        let known = self.pages.get(&target).is_none_or(|page| page.ids.contains(fragment));
        (!fragment.is_empty() && !known)
            .then(|| format!("the link {url:?} leads nowhere: {file} has no #{fragment}"))
    }
}

impl Finished {
    /// Collects the ids and links of a page. On a page with a simulator, links such as `#sim=NAME` set
    /// the simulator, so these names count as ids.
    fn read(html: &str, simulator: &BTreeSet<String>) -> Finished {
        let mut page = Finished::default();
        for token in Tokenizer::new(html) {
            let Ok(Token::StartTag(tag)) = token else { continue };
            let element = String::from_utf8_lossy(&tag.name).to_string();
            if element == "buffer-sim" {
                page.ids.extend(simulator.iter().cloned());
            }
            for (key, value) in tag.attributes {
                let value = String::from_utf8_lossy(&value).to_string();
                match &key[..] {
                    b"id" if page.ids.contains(&value) => page.twice.push(value),
                    b"id" => drop(page.ids.insert(value)),
                    b"href" | b"src" if element != "base" => {
                        page.links.push((element.clone(), value));
                    }
                    _ => {}
                }
            }
        }
        page
    }

    /// A problem for each line of this page's Markdown that contains `text`. If none does, a directive
    /// or mdBook made the text, and there is one problem, in line 0.
    fn problems(&self, name: &Path, text: &str, message: &str) -> Vec<Problem> {
        let Some((file, markdown)) = &self.source else {
            return vec![Problem::new(name, 0, message)];
        };
        let written = text.replace(".html", ".md");
        let is_there = |line: &str| line.contains(text) || line.contains(&written);
        let lines = markdown.lines().zip(1..).filter(|(line, _)| is_there(line));
        let mut lines: Vec<usize> = lines.map(|(_, at)| at).collect();
        lines.extend(lines.is_empty().then_some(0));
        lines.into_iter().map(|at| Problem::new(file, at, message)).collect()
    }
}

/// Whether a link leaves the book.
pub(crate) fn is_external(url: &str) -> bool {
    let file = url.split(['/', '#']).next().unwrap_or("");
    url.starts_with("//") || file.contains(':')
}

/// The text of a file; an error names it.
pub(crate) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}
