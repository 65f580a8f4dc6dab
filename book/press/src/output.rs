//! The pages that mdBook made, and what is checked in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Problem;
use crate::check::is_external;
use crate::html::{Token, tokens};
use crate::sim;

/// One page, as far as links go.
#[derive(Default)]
struct Links {
    ids: BTreeSet<String>,
    /// What is linked to or loaded: line, tag, address.
    targets: Vec<(usize, String, String)>,
}

/// Follows every link inside the finished pages, and finds what would be loaded from elsewhere.
pub fn check(pages: &Path) -> Result<Vec<Problem>> {
    let mut all: BTreeMap<PathBuf, Links> = BTreeMap::new();
    let mut problems = Vec::new();
    for file in files(pages)? {
        let name = file.strip_prefix(pages).unwrap_or(&file).to_path_buf();
        if file.extension().is_some_and(|extension| extension == "html") {
            let text =
                fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            all.insert(name, links(&text));
        } else if file.extension().is_some_and(|extension| extension == "css") {
            let text =
                fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            for (at, line) in text.lines().enumerate() {
                if line.contains("url(http")
                    || line.contains("url(\"http")
                    || line.contains("url(//")
                {
                    let message = "this style sheet loads something from elsewhere";
                    problems.push(Problem::new(&name, at + 1, message));
                }
            }
        }
    }
    for (name, links) in &all {
        for (line, tag, url) in &links.targets {
            let fault = if is_external(url) {
                (tag != "a" && !url.starts_with("data:"))
                    .then(|| format!("<{tag}> loads {url} from elsewhere"))
            } else {
                follow(pages, name, url, &all)
            };
            if let Some(fault) = fault {
                problems.push(Problem::new(name, *line, fault));
            }
        }
    }
    Ok(problems)
}

fn links(text: &str) -> Links {
    let mut links = Links::default();
    for (at, token) in tokens(text) {
        let Token::Open(tag) = token else { continue };
        if let Some(id) = tag.attribute("id") {
            links.ids.insert(id.to_string());
        }
        if tag.name == "buffer-sim" {
            links.ids.extend(sim::fragments());
        }
        for name in ["href", "src", "xlink:href"] {
            if let Some(url) = tag.attribute(name)
                && tag.name != "base"
            {
                let line = text[..at].matches('\n').count() + 1;
                links.targets.push((line, tag.name.clone(), url.replace("&amp;", "&")));
            }
        }
    }
    links
}

/// What is wrong with a link inside the pages.
fn follow(pages: &Path, page: &Path, url: &str, all: &BTreeMap<PathBuf, Links>) -> Option<String> {
    let (path, fragment) = match url.split_once('#') {
        Some((path, fragment)) => (path, fragment),
        None => (url, ""),
    };
    let path = path.split('?').next().unwrap_or(path);
    let mut target = match path {
        "" => page.to_path_buf(),
        path => page.parent().unwrap_or(Path::new("")).join(path.strip_prefix('/').unwrap_or(path)),
    };
    if pages.join(&target).is_dir() {
        target = target.join("index.html");
    }
    if !pages.join(&target).is_file() {
        return Some(format!("the link {url:?} leads nowhere"));
    }
    let known = all.get(&target).is_none_or(|links| links.ids.contains(fragment));
    (!fragment.is_empty() && !known)
        .then(|| format!("the link {url:?} leads nowhere: no #{fragment} there"))
}

/// Every file below a directory, in order.
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
                found.push(entry);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_to_its_page_and_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a.html", "<p id='x'><a href=\"b.html#y\"></a><a href='#x'></a>\n<a href='#z'></a>");
        write("b.html", "<h2 id=y></h2><a href='https://example.org/'></a><a href='c.html'></a>");
        write("d.html", "<script src=\"https://example.org/x.js\"></script><img src='data:,'>");
        write("e.css", "a {}\nb { background: url(https://example.org/x.png) }\n");
        let problems: Vec<String> =
            check(dir.path()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "e.css:2: this style sheet loads something from elsewhere",
                "a.html:2: the link \"#z\" leads nowhere: no #z there",
                "b.html:1: the link \"c.html\" leads nowhere",
                "d.html:1: <script> loads https://example.org/x.js from elsewhere",
            ]
        );
    }
}
