//! The pages that mdBook made, and what is checked in them: every link is followed as far as it
//! stays in the book, every id stands once, and nothing is loaded from elsewhere.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer,
};

use crate::{Problem, Project, sim};

/// One page, as far as links go.
#[derive(Default)]
struct Links {
    ids: BTreeSet<String>,
    /// The ids that stand there more than once: line and id.
    twice: Vec<(u64, String)>,
    /// What is linked to or loaded.
    targets: Vec<Target>,
}

struct Target {
    /// In the finished page.
    line: u64,
    /// `a`, `img` and the like.
    element: String,
    url: String,
}

/// What only the finished pages can show. Problems name the Markdown where a page has one.
pub fn check(project: &Project, pages: &Path) -> Result<Vec<Problem>> {
    let names = files(pages)?;
    let of = |extension: &str| -> Vec<&PathBuf> {
        names
            .iter()
            .filter(|name| name.extension().is_some_and(|given| given == extension))
            .collect()
    };
    let mut all = BTreeMap::new();
    for name in of("html") {
        all.insert(name.clone(), links(project, &read(&pages.join(name))?));
    }
    let mut problems = Vec::new();
    for name in of("css") {
        for (at, line) in read(&pages.join(name))?.lines().enumerate() {
            if ["url(http", "url(\"http", "url('http", "url(//"]
                .iter()
                .any(|url| line.contains(url))
            {
                let message = "this style sheet loads something from elsewhere";
                problems.push(Problem::new(name, at + 1, message));
            }
        }
    }
    // The page for printing repeats all others, and index.html the first: what is wrong in them has
    // been said, unless it is wrong only there.
    let (pages_of_text, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|(name, _)| source_of(project, name).is_some());
    for group in [pages_of_text, others] {
        if problems.is_empty() {
            for (name, links) in group {
                judge(project, pages, name, links, &all, &mut problems);
            }
        }
    }
    problems.sort();
    Ok(problems)
}

/// Every link out of the book, with the places that use it. Nobody has followed them.
pub fn external(project: &Project, pages: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in files(pages)? {
        let Some(source) = source_of(project, &name) else { continue };
        for target in links(project, &read(&pages.join(&name))?).targets {
            if is_external(&target.url) {
                let (file, line) = place(project, &source, &target.url);
                found.entry(target.url).or_default().insert(format!("{file}:{line}"));
            }
        }
    }
    Ok(found)
}

/// Whether a link leaves the book.
fn is_external(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    url.starts_with("//") || (!scheme.is_empty() && scheme.chars().all(in_scheme))
}

/// The Markdown that a page was made from, if it was made from one file.
fn source_of(project: &Project, page: &Path) -> Option<String> {
    let file = format!("book/src/{}", page.with_extension("md").display());
    project.root().join(&file).is_file().then_some(file)
}

/// Where in its Markdown a text of a finished page stands: file and line; line 0 if it was made by
/// a directive, or by mdBook.
fn place(project: &Project, source: &str, text: &str) -> (String, usize) {
    let markdown = project.read(source).unwrap_or_default();
    let written = [text.to_string(), text.replace(".html", ".md")];
    let line = markdown.lines().position(|line| written.iter().any(|text| line.contains(text)));
    (source.to_string(), line.map_or(0, |line| line + 1))
}

fn judge(
    project: &Project,
    pages: &Path,
    name: &Path,
    links: &Links,
    all: &BTreeMap<PathBuf, Links>,
    problems: &mut Vec<Problem>,
) {
    let mut complain = |line: u64, text: &str, message: String| {
        let (file, line) = match source_of(project, name) {
            Some(source) => place(project, &source, text),
            None => (name.display().to_string(), line as usize),
        };
        problems.push(Problem::new(file, line, message));
    };
    for (line, id) in &links.twice {
        complain(*line, &format!("\"{id}\""), format!("the id {id} is given twice on this page"));
    }
    for Target { line, element, url } in &links.targets {
        let message = if !is_external(url) {
            follow(pages, name, url, all)
        } else if element != "a" && !url.starts_with("data:") {
            Some(format!("<{element}> loads {url} from elsewhere"))
        } else {
            None
        };
        if let Some(message) = message {
            complain(*line, url, message);
        }
    }
}

/// What is wrong with a link inside the book.
fn follow(pages: &Path, page: &Path, url: &str, all: &BTreeMap<PathBuf, Links>) -> Option<String> {
    let (path, fragment) = url.split_once('#').unwrap_or((url, ""));
    let path = path.split('?').next().unwrap_or(path);
    // The page for "not found" is shown anywhere, so its links begin at the root.
    let beside = page.parent().unwrap_or(Path::new(""));
    let mut target = match path {
        "" => page.to_path_buf(),
        path => beside.join(path.trim_start_matches('/')),
    };
    if path.split('/').any(|part| part == "..") {
        return Some(format!("the link {url:?} does not stay inside the book"));
    }
    if pages.join(&target).is_dir() {
        target = target.join("index.html");
    }
    if !pages.join(&target).is_file() {
        return Some(format!("the link {url:?} leads nowhere: there is no {}", target.display()));
    }
    let known = all.get(&target).is_none_or(|links| links.ids.contains(fragment));
    (!fragment.is_empty() && !known)
        .then(|| format!("the link {url:?} leads nowhere: {} has no #{fragment}", target.display()))
}

/// The ids and links of a page, in order.
fn links(project: &Project, html: &str) -> Links {
    let presets = sim::presets(project).unwrap_or_default();
    let fragments = presets.keys().map(|name| format!("sim={name}")).collect();
    let sink = LinkSink { links: RefCell::default(), fragments };
    let tokenizer = Tokenizer::new(sink, Default::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.links.take()
}

/// Collects the links of a page while it is taken apart.
struct LinkSink {
    links: RefCell<Links>,
    /// What a simulator answers to, beside the ids.
    fragments: BTreeSet<String>,
}

impl TokenSink for LinkSink {
    type Handle = ();

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<()> {
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                self.open(&tag, line);
                match &*tag.name {
                    "script" => TokenSinkResult::RawData(RawKind::ScriptData),
                    "style" => TokenSinkResult::RawData(RawKind::Rawtext),
                    _ => TokenSinkResult::Continue,
                }
            }
            _ => TokenSinkResult::Continue,
        }
    }
}

impl LinkSink {
    fn open(&self, tag: &Tag, line: u64) {
        let mut links = self.links.borrow_mut();
        if &*tag.name == "buffer-sim" {
            links.ids.extend(self.fragments.iter().cloned());
        }
        for attribute in &tag.attrs {
            let value = attribute.value.to_string();
            match &*attribute.name.local {
                "id" if links.ids.contains(&value) => links.twice.push((line, value)),
                "id" => drop(links.ids.insert(value)),
                "href" | "src" if &*tag.name != "base" => {
                    let element = tag.name.to_string();
                    links.targets.push(Target { line, element, url: value });
                }
                _ => {}
            }
        }
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// The names of all files below a directory, as seen from it, in order.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let entries = fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", path.display()))?.path();
            if entry.is_dir() {
                waiting.push(entry);
            } else {
                found.push(entry.strip_prefix(directory)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}
