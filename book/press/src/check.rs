//! All pages of the book, judged without building it. What only the finished pages can show, links
//! for example, is in `output`.

use std::collections::BTreeMap;

use lab::ladder::Ladder;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};
use regex::Regex;

use crate::directive::Directive;
use crate::page::{self, chapter_number, line_at, markdown_options};
use crate::rules::Complain;
use crate::transcript::Transcript;
use crate::{Problem, Project, diff, rules, sim, tree, verdicts};

/// What a look over the whole book found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that is wrong, by file and line.
    pub problems: Vec<Problem>,
    /// The directives of each page, with their lines.
    pub directives: BTreeMap<String, Vec<(usize, Directive)>>,
}

/// Reads every page that `SUMMARY.md` names and reports all that is wrong with the book.
pub fn check(project: &Project) -> Report {
    let mut report = Report::default();
    // Where the manifests are wrong, that is said once, at the end.
    let ladder = project.ladder().unwrap_or_default();
    for name in summary(project, &mut report.problems) {
        let path = format!("book/src/{name}");
        // Where it cannot be read, that is said where SUMMARY.md names it.
        let Ok(text) = project.read(&path) else { continue };
        let mut complain = |line, message| report.problems.push(Problem::new(&path, line, message));
        typed_code(&text, &mut complain);
        typed_counts(&text, &ladder, &mut complain);
        let page = page::expand(project, &name, &text);
        // What is said in the place of a directive that failed would be judged too.
        if page.problems.is_empty()
            && let Some(outline) = tree::outline(&page.markdown, &mut complain)
        {
            rules::judge(&name, &outline, &mut complain);
        }
        report.problems.extend(page.problems);
        report.directives.insert(name, page.directives);
    }
    not_shown(project, &mut report.problems);
    match (sim::presets(project), project.ladder()) {
        (Ok(presets), Ok(ladder)) => {
            report.problems.extend(sim::disagreements(&presets, &ladder));
        }
        (presets, ladder) => report.problems.extend(presets.err().into_iter().chain(ladder.err())),
    }
    report.problems.sort();
    report.problems.dedup();
    report
}

/// The pages of the book, in order.
pub fn pages(project: &Project) -> Vec<String> {
    summary(project, &mut vec![])
}

/// The pages that `SUMMARY.md` names: each once, the chapters in their order, none left out.
fn summary(project: &Project, problems: &mut Vec<Problem>) -> Vec<String> {
    let path = "book/src/SUMMARY.md";
    let text = project.read(path).unwrap_or_else(|message| {
        problems.push(Problem::new(path, 0, message));
        String::new()
    });
    let entry = Regex::new(r"^\s*(- )?\[.*\]\((.*)\)\s*$").expect("a pattern");
    let mut pages: Vec<String> = Vec::new();
    let mut next = 1;
    for (at, line) in text.lines().enumerate() {
        let Some(found) = entry.captures(line) else { continue };
        let (in_list, name) = (found.get(1).is_some(), &found[2]);
        let mut complain = |message| problems.push(Problem::new(path, at + 1, message));
        if !project.root().join("book/src").join(name).is_file() {
            complain(format!("there is no page book/src/{name}"));
        }
        if pages.iter().any(|page| page == name) {
            complain(format!("{name} is listed twice"));
        }
        if let Some(number) = chapter_number(name) {
            // mdBook gives numbers only to what stands in a list.
            if number != next || !in_list {
                complain(format!("{name} is chapter {number}, in a place for chapter {next}"));
            }
            next = number + 1;
        }
        pages.push(name.to_string());
    }
    for name in project.files("book/src", "md") {
        if name != "SUMMARY" && !pages.contains(&format!("{name}.md")) {
            let message = "SUMMARY.md does not list this page";
            problems.push(Problem::new(format!("book/src/{name}.md"), 0, message));
        }
    }
    pages
}

/// Code, diffs and output that somebody typed instead of naming where they come from.
fn typed_code(text: &str, complain: Complain) {
    for (event, range) in Parser::new_ext(text, markdown_options()).into_offset_iter() {
        let what = match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let language = info.split([' ', ',', '\t']).next().unwrap_or("").to_lowercase();
                match language.as_str() {
                    "rust" | "rs" => "a ```rust fence typed by hand: use {{#listing}}",
                    "diff" | "patch" => "a ```diff fence typed by hand: use {{#diff}}",
                    "console" | "terminal" | "shell-session" => {
                        "a terminal typed by hand: use {{#transcript}}"
                    }
                    _ => continue,
                }
            }
            Event::Html(html) | Event::InlineHtml(html) if html.contains("language-rust") => {
                "Rust code typed by hand: use {{#listing}}"
            }
            _ => continue,
        };
        complain(line_at(text, range.start), what.into());
    }
}

/// "thirteen experiments" that somebody typed. Two may be any two; four steps may be any four,
/// unless there are four.
fn typed_counts(text: &str, ladder: &Ladder, complain: Complain) {
    let lines = text.lines().enumerate();
    let words: Vec<(usize, &str)> = lines
        .flat_map(|(at, line)| line.split_whitespace().map(move |word| (at + 1, word)))
        .collect();
    for pair in words.windows(2) {
        let [(line, number), (_, things)] = pair else { continue };
        let things = things.trim_end_matches(|c: char| !c.is_alphabetic());
        let Some(number) = verdicts::number_of(number).filter(|number| *number > 2) else {
            continue;
        };
        let all = verdicts::count(ladder, things) == Ok(number);
        if all || things == "experiments" {
            complain(*line, format!("a count typed by hand: use {{{{#count of=\"{things}\"}}}}"));
        }
    }
}

/// Transcripts and answers must be sound even where no page shows them.
fn not_shown(project: &Project, problems: &mut Vec<Problem>) {
    let mut found = Vec::new();
    for name in project.files("book/transcripts", "txt") {
        let file = format!("book/transcripts/{name}.txt");
        let text = project.read(&file).map_err(|message| (0, message));
        if let Err((line, message)) = text.and_then(|text| Transcript::parse(&text)) {
            found.push(Problem::new(file, line, message));
        }
    }
    for name in project.files("book/answers", "patch") {
        found.extend(diff::patched(project, &name).err());
    }
    // What a page shows has been named already, with the page.
    found.retain(|problem| !problems.iter().any(|known| known.file == problem.file));
    problems.extend(found);
}
