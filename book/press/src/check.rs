//! All pages of the book, judged without building it. What only the finished pages can show, links
//! for example, is in `output`.

use std::path::{Path, PathBuf};

use lab::ladder::Ladder;
use regex::Regex;

use crate::page::{self, chapter_number};
use crate::rules::Complain;
use crate::transcript::Transcript;
use crate::{Problem, Project, diff, files, rules, scores, sim, tree, verdicts};

/// Reads every page that `SUMMARY.md` names, and returns all that is wrong with the book, by file and
/// line.
pub fn check(project: &Project) -> Vec<Problem> {
    // If a manifest is wrong, `sim::disagreements` says so below.
    let ladder = project.ladder().unwrap_or_default();
    let (pages, mut problems) = summary(project);
    let mut directives = vec![];
    for name in pages {
        let path = format!("book/src/{name}");
        // If it cannot be read, `summary` has said so.
        let Ok(text) = project.read(&path) else { continue };
        let page = page::expand(project, &name, &text);
        let mut complain = |line, message| problems.push(Problem::new(&path, line, message));
        typed_counts(&text, &ladder, &mut complain);
        // A directive that failed has left a message on the page, which should not be judged as text.
        if page.problems.is_empty()
            && let Some(outline) = tree::outline(&page.markdown, &mut complain)
        {
            rules::judge(&name, &outline, &mut complain);
        }
        problems.extend(page.problems);
        directives.extend(page.directives.into_iter().map(|(line, one)| (path.clone(), line, one)));
    }
    // Where there is no record, each directive that needs one has said so.
    if let Ok(record) = scores::record(project) {
        let all = directives.iter().map(|(path, line, one)| (path.as_str(), *line, one));
        problems.extend(scores::not_shown(&record, all));
    }
    not_shown(project, &mut problems);
    problems.extend(sim::disagreements(project).unwrap_or_else(|problem| vec![problem]));
    problems.sort();
    problems.dedup();
    problems
}

/// The pages that `SUMMARY.md` names, and what is wrong with it: it names each once, the chapters in
/// their order, and leaves none out.
pub fn summary(project: &Project) -> (Vec<String>, Vec<Problem>) {
    let path = "book/src/SUMMARY.md";
    let mut problems = Vec::new();
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
    for name in files(&project.root().join("book/src"), ".md") {
        let is_listed = pages.iter().any(|page| Path::new(page) == name);
        if name != Path::new("SUMMARY.md") && !is_listed {
            let file = Path::new("book/src").join(name);
            problems.push(Problem::new(file, 0, "SUMMARY.md does not list this page"));
        }
    }
    (pages, problems)
}

/// Finds numbers of steps or experiments that somebody typed. Two may be any two. Other numbers of
/// steps may be any steps too, unless it is how many there are.
fn typed_counts(text: &str, ladder: &Ladder, complain: Complain) {
    let lines = text.lines().zip(1..);
    let words = lines.flat_map(|(line, at)| line.split_whitespace().map(move |word| (at, word)));
    for pair in words.collect::<Vec<_>>().windows(2) {
        let [(line, number), (_, things)] = pair else { continue };
        let things = things.trim_end_matches(|c: char| !c.is_alphabetic());
        let number = verdicts::number_of(number).filter(|number| *number > 2);
        let all = verdicts::count(ladder, things).ok();
        if number.is_some() && (number == all || things == "experiments") {
            complain(*line, format!("a count typed by hand: use {{{{#count of=\"{things}\"}}}}"));
        }
    }
}

/// Transcripts and answers must be sound even where no page shows them.
fn not_shown(project: &Project, problems: &mut Vec<Problem>) {
    let transcript = |name: &PathBuf| {
        let file = format!("book/transcripts/{}", name.display());
        let text = project.read(&file).map_err(|message| (0, message));
        let wrong = text.and_then(|text| Transcript::parse(&text)).err();
        wrong.map(|(line, message)| Problem::new(file, line, message))
    };
    let answer = |name: &PathBuf| diff::patched(project, name.file_stem()?.to_str()?).err();
    let transcripts = files(&project.root().join("book/transcripts"), ".txt");
    let answers = files(&project.root().join("book/answers"), ".patch");
    let found = transcripts.iter().filter_map(transcript).chain(answers.iter().filter_map(answer));
    // If a page shows it, the problem has been named already.
    let is_new = |one: &Problem| !problems.iter().any(|known| known.file == one.file);
    let new: Vec<Problem> = found.filter(is_new).collect();
    problems.extend(new);
}
