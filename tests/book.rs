//! The book says nothing that is not so: every listing, diff, terminal, figure and verdict in it is
//! made from its source, and here each is found to be there; what a terminal shows is run again
//! (`transcripts`). `cargo book check` builds the book besides.

use std::path::Path;

use lab::arrived::verdict::{Answer, Kind};
use lab::experiments::{self, Experiment};
use lab::ladder::{Budget, ladder};
use lab::numbers::in_words;
use lab::scoreboard::record::{FILE, Record};
use predicates::Predicate;
use predicates::str::is_match;
use press::Project;
use press::check;
use press::directive::Directive;
use press::verdicts::{self, Mark};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The directives of all pages, each with its place.
fn directives() -> Vec<(String, Directive)> {
    let project = Project::new(ROOT);
    let mut all = Vec::new();
    for page in pages() {
        let found = press::page::expand(&project, &page, &read(&page)).directives;
        all.extend(found.into_iter().map(|(line, one)| (format!("book/src/{page}:{line}"), one)));
    }
    all
}

#[test]
fn nothing_is_wrong_with_any_page() {
    let problems = check::check(&Project::new(ROOT));
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_rust_fence_is_a_directive() {
    // The press refuses typed fences; this finds them without its help, in any indentation or box.
    for page in pages() {
        let text = read(&page);
        for (at, line) in text.lines().enumerate() {
            let fence = line.trim_start_matches([' ', '>', '\t', '-', '*']);
            let info = fence.trim_start_matches(['`', '~']);
            let is_fence = fence.len() - info.len() >= 3;
            let language = info.trim().split([' ', ',', '{']).next().unwrap_or("");
            assert!(
                !is_fence || !["rust", "rs", "Rust"].contains(&language),
                "book/src/{page}:{}: a Rust fence typed by hand",
                at + 1
            );
        }
    }
}

#[test]
fn badges_and_tables_say_what_the_manifests_say() {
    let mut badges = 0;
    for (place, directive) in directives() {
        let step = |name: &str| ladder().step(name).expect(&place);
        match directive {
            Directive::Badge { step: name } => {
                let html = verdicts::step_badge(step(&name)).into_string();
                for mark in expected_marks(&name) {
                    assert!(html.contains(&format!(">{}<", mark.words())), "{place}: {html}");
                }
            }
            Directive::Matrix { step: name, of } => {
                let is_shown = |one: &&Experiment| {
                    of.as_ref().is_none_or(|of| of.split(' ').any(|name| name == one.name))
                };
                let shown: Vec<&Experiment> = experiments::ALL.iter().filter(is_shown).collect();
                let html = verdicts::matrix(step(&name), &shown).into_string();
                for kind in shown.iter().flat_map(|one| expected(one, &name)) {
                    let words = format!(">{}</span>", kind.word());
                    assert!(html.contains(&words), "{place}: {words} of {name}");
                }
            }
            Directive::Verdicts {} => {
                let html = verdicts::whole_matrix(ladder()).into_string();
                for one in experiments::ALL {
                    let name = format!("<code>{}</code>", one.name);
                    let row = html.split("<tr>").find(|row| row.contains(&name)).expect(&place);
                    let cells: Vec<&str> = row.split("<td>").skip(1).collect();
                    assert_eq!(cells.len(), ladder().steps.len(), "{place}: {}", one.name);
                    for (cell, step) in cells.iter().zip(&ladder().steps) {
                        for kind in expected(one, &step.name) {
                            let words = format!(">{}</span>", kind.word());
                            assert!(cell.contains(&words), "{place}: {words} of {}", step.name);
                        }
                    }
                }
            }
            _ => continue,
        }
        badges += 1;
    }
    assert!(badges > 0, "no page shows a verdict");
}

/// What a step comes to, worked out here once more and in another way.
fn expected_marks(step: &str) -> Vec<Mark> {
    // What is cut off at an end that was mistaken is not lost on its way.
    let mark = |experiment: &str, kind: Kind| match (experiment, kind) {
        ("half-close" | "aborted", Kind::Truncated) => Some(Mark::Mistakes),
        _ => Mark::of(kind),
    };
    let found: Vec<Option<Mark>> = experiments::ALL
        .iter()
        .flat_map(|one| expected(one, step).into_iter().map(|kind| (one.name, kind)))
        .filter(|(_, kind)| !kind.is_good())
        .map(|(experiment, kind)| mark(experiment, kind))
        .collect();
    let all = [Mark::Loses, Mark::Freezes, Mark::Grows, Mark::Mistakes];
    let bad: Vec<Mark> = all.into_iter().filter(|mark| found.contains(&Some(*mark))).collect();
    if bad.is_empty() { vec![Mark::Exact] } else { bad }
}

fn expected(experiment: &Experiment, step: &str) -> Vec<Kind> {
    ladder().expected(experiment.name, step).expect(step).kinds
}

#[test]
fn every_step_is_shown_and_every_change_between_two() {
    let all = directives();
    let all: Vec<&Directive> = all.iter().map(|(_, directive)| directive).collect();
    for step in ladder().steps.iter().map(|step| &step.name) {
        let file = format!("steps/{step}/main.rs");
        let shown =
            |one: &&Directive| matches!(one, Directive::Listing { file: f, .. } if *f == file);
        assert!(all.iter().any(shown), "no listing shows {step}");
    }
    for pair in ladder().steps.windows(2) {
        let [before, after] = [&pair[0], &pair[1]];
        let is_it = |one: &&Directive| matches!(one, Directive::Diff { from, to, .. } if *from == before.name && *to == after.name);
        let is_rewrite = matches!(after.budget, Some(Budget::Anything(_)));
        assert!(
            is_rewrite || all.iter().any(is_it),
            "no diff from {} to {}",
            before.name,
            after.name
        );
    }
}

#[test]
fn the_numbered_chapters_are_called_what_their_steps_call_them() {
    for step in ladder().steps.iter().map(|step| &step.name) {
        let program = read_path(&format!("steps/{step}/main.rs"));
        let (number, title) = program
            .lines()
            .find_map(|line| line.strip_prefix("//! Chapter "))
            .and_then(|line| line.trim_end_matches('.').split_once(": "))
            .unwrap_or_else(|| panic!("{step} names no chapter"));
        let summary = read("SUMMARY.md");
        let entry = format!("[{number} · {title}](0{number}-");
        assert!(summary.contains(&entry), "SUMMARY.md has no chapter {number}, {title:?}");
    }
}

#[test]
fn readme_does_not_count_the_experiments() {
    // A page counts them with a directive. README cannot have any, so it would go stale.
    let text = read_path("README.md");
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.windows(2).filter(|pair| pair[1].starts_with("experiments")) {
        let count = verdicts::number_of(pair[0]).unwrap_or(0);
        assert!(count <= 2, "README.md says {:?}", pair.join(" "));
    }
}

#[test]
fn the_museum_counts_what_it_and_the_notes_have() {
    let museum = read("appendix-museum.md");
    let history = read_path("notes/history.md");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut total = 0;
    for (answer, sentence) in [
        ("yes", "ruled out **{}** of them"),
        ("half", "made **{}** less harmful"),
        ("no", "The other **{}** compile"),
    ] {
        let exhibits = museum.matches(&format!("Rust prevents it: {answer}*")).count()
            + museum.matches(&format!("Rust prevents it: **{answer}**")).count();
        let rows = history.lines().filter(|line| {
            let cells: Vec<&str> =
                line.split('|').map(|cell| cell.trim().trim_matches('*')).collect();
            cells.len() == 5 && cells[1].parse::<u32>().is_ok() && cells[2] == answer
        });
        assert_eq!(exhibits, rows.count(), "exhibits and notes that say {answer:?}");
        let sentence = sentence.replace("{}", &in_words(exhibits));
        assert!(words(&museum).contains(&sentence), "the museum does not say {sentence:?}");
        total += exhibits;
    }
    assert_eq!(press::page::exhibits(&Project::new(ROOT)), Ok(total), "each has an answer");
    let made = "{{#count of=\"exhibits\"}}";
    assert!(words(&museum).contains(&format!("The dropped write was one of {made}.")));
}

/// "All of them turn a backend's reset into an ordinary end", says the page above the table of relays.
#[test]
fn every_relay_of_the_table_is_what_the_page_says_of_all_of_them() {
    let record = Record::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap();
    let tables = directives().into_iter().filter_map(|(_, directive)| match directive {
        Directive::Scoreboard { of } if of.contains("nginx-stream") => Some(of),
        _ => None,
    });
    let names = tables.collect::<Vec<_>>().join(" ");
    assert!(!names.is_empty(), "no table has nginx-stream");
    for name in names.split_whitespace() {
        let score = record.entry(name).and_then(|entry| entry.score("aborted"));
        assert_eq!(score.map(|score| score.answer), Some(Answer::Fault), "{name}");
    }
}

/// Words that would tell a reader of chapter 3 what becomes of the bytes before the evidence does: patterns,
/// without regard to case.
const GIVEAWAYS: &str = r"let _ = write\(|`let _
(can|may) be short
(did not|didn't) take\b|not taken\b
what `?write`? (returns|returned|answers|says|took)
`write`[^.]{0,20} returns a number
return value
ignor(es|ed|ing) (the|what|its|a) (number|result|answer|count|write)
what is ignored|is ignored
throw[ns]? [^.]{0,30}away
short write
takes a part|took a part|took fewer|takes fewer|fewer bytes than
Ok\(10000\)|55,536
forgets|forgotten
rest of the block
first refusal|the refusal
one read, one write|no questions? asked
let_underscore|must_use|unused_io
temporarily unavailable
room for (something|how)
(does not|doesn't) write it
partial
looks? at the count
drops (the|what|whole) (rest|write|bytes)";

#[test]
fn nothing_gives_the_cause_away_before_the_evidence_does() {
    let patterns: Vec<_> = GIVEAWAYS
        .lines()
        .map(|line| (line, is_match(format!("(?i){line}")).expect("a pattern")))
        .collect();
    let chapter = "03-the-dropped-write.md";
    let reading_order: Vec<String> = read("SUMMARY.md")
        .split(['(', ')'])
        .filter(|part| part.ends_with(".md"))
        .map(String::from)
        .collect();
    let reveal = reading_order.iter().position(|page| page == chapter).expect("it is there");
    let mut found = vec![];
    for page in &reading_order[..=reveal] {
        let whole = read(page);
        let text = match page == chapter {
            true => whole.split_once("\n## The code").expect("the reveal").0,
            false => &whole,
        };
        // With everything that it shows: listings, terminals, tables.
        let shown = press::page::expand(&Project::new(ROOT), page, text).markdown;
        for part in without_tags(&shown).split("\n\n") {
            // A pattern may be broken between two lines.
            let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
            for (words, _) in patterns.iter().filter(|(_, pattern)| pattern.eval(&part)) {
                found.push(format!("{page}: {words}: {part}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// What a reader sees of markup: code is colored piece by piece.
fn without_tags(markup: &str) -> String {
    let mut parts = markup.split('<');
    let first = parts.next().unwrap_or("");
    let rest = parts.map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    let text: String = std::iter::once(first).chain(rest).collect();
    let marks = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#10;", "\n"), ("&amp;", "&")];
    marks.into_iter().fold(text, |text, (mark, char)| text.replace(mark, char))
}

#[test]
fn every_terminal_fits_a_page() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("book/transcripts");
    for entry in std::fs::read_dir(&directory).expect("reading book/transcripts") {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let text = read_path(&format!("book/transcripts/{file}"));
        let (_, terminal) = text.split_once("\n---\n").unwrap_or_else(|| panic!("{file}"));
        // The laboratory has its sentences in one line each, and so has what a step says of a connection that
        // is finished. The page breaks them.
        let is_sentence = |line: &&str| {
            terminal.contains("$ cargo lab ") || line.contains(": to the client taken ")
        };
        for line in terminal.lines().filter(|line| !is_sentence(line)) {
            let width = line.chars().count();
            assert!(width <= 105, "book/transcripts/{file}: {width} wide: {line}");
        }
    }
}

/// The pages that are there; whether they are those that SUMMARY.md names is said elsewhere.
fn pages() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("book/src");
    let entries = std::fs::read_dir(&directory).expect("reading book/src");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md")).collect()
}

fn read(page: &str) -> String {
    read_path(&format!("book/src/{page}"))
}

fn read_path(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}
