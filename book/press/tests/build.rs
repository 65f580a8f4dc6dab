//! A tiny book, built by mdBook with the press in front of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use press::{Project, binding, output};

const BOOK: &str = "[book]\ntitle = \"Tiny\"\n[build]\nuse-default-preprocessors = false\n\
                    [output.html]\nadditional-css = [\"theme/press.css\"]\n\
                    [output.html.playground]\nrunnable = false\n\
                    [output.html.print]\nenable = true\n";
const SUMMARY: &str =
    "# Tiny\n\n[Start](start.md)\n\n- [Between](between.md)\n- [One](01-one.md)\n";
const START: &str = "# Start\n\nTo [the end](between.md#the-end), to <https://example.org/>.\n\n\
    {{#listing file=\"steps/03-dropped-write/main.rs\" item=\"fn main\" caption=\"All of it\"}}\n\n\
    {{#figure file=\"a.svg\" alt=\"A line\" caption=\"A line\"}}\n\n\
    > [!NOTE]\n> It {{#badge step=\"03-dropped-write\"}}.\n";
const BETWEEN: &str = "# Between\n\n{{#sim preset=\"chapter-3\"}}\n\n{{#matrix}}\n\n## The end\n\n\
    {{#figure file=\"a.svg\" alt=\"The same line\" caption=\"A line\"}}\n\n\
    {{#diff from=\"02-naive-epoll\" to=\"03-dropped-write\" caption=\"What changes\"}}\n";

fn tiny() -> (tempfile::TempDir, Project) {
    let dir = tempfile::tempdir().unwrap();
    let project = Project::new(dir.path());
    write(&project, "book/book.toml", BOOK);
    write(&project, "book/theme/press.css", "figure {}\n");
    write(&project, "book/src/SUMMARY.md", SUMMARY);
    write(&project, "book/src/start.md", START);
    write(&project, "book/src/between.md", BETWEEN);
    write(&project, "book/src/01-one.md", &chapter());
    write(
        &project,
        "book/src/figures/a.svg",
        "<svg viewBox=\"0 0 9 9\"><line id=\"a\" x2=\"9\"/></svg>",
    );
    write(&project, "steps/02-naive-epoll/main.rs", "fn main() {\n    wait();\n}\n");
    let step = "#![allow(unused)]\n\nfn main() {\n    // A comment.\n\n    go();\n}\n";
    write(&project, "steps/03-dropped-write/main.rs", step);
    (dir, project)
}

fn write(project: &Project, file: &str, text: &str) {
    let path = project.root().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A chapter with everything that one must have.
fn chapter() -> String {
    let mut text = "# One\n".to_string();
    for section in press::check::SECTIONS {
        text += &format!("\n## {section}\n\nWords.\n");
        match section {
            "Why" => {
                text += &format!("\n{}\n", "So it is. ".repeat(*press::check::WORDS.start() / 3))
            }
            "Predict" => {
                text += "\nWhat now?\n\n<details class=\"predict\"><summary>S</summary>\n\nThis.\n\n</details>\n"
            }
            "Exercises" => {
                for number in 1..=3 {
                    text += &format!("\n### Exercise 1.{number}: do\n");
                    for class in ["hint", "answer"] {
                        text += &format!(
                            "\n<details class=\"{class}\"><summary>S</summary>\n\nSo.\n\n</details>\n"
                        );
                    }
                }
            }
            _ => {}
        }
    }
    text
}

fn contents(pages: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = output::files(pages).unwrap();
    let name = |file: &Path| file.strip_prefix(pages).unwrap().display().to_string();
    files.iter().map(|file| (name(file), fs::read(file).unwrap())).collect()
}

#[test]
fn a_book_is_built_and_nothing_is_wrong_with_it() {
    let (dir, project) = tiny();
    assert_eq!(binding::check(&project).unwrap(), [""; 0]);
    let pages = dir.path().join("target/book");
    assert_eq!(binding::build(&project, &pages).unwrap(), [""; 0]);

    let start = fs::read_to_string(pages.join("start.html")).unwrap();
    for part in [
        "<figure class=\"listing\" id=\"listing-start-1\">",
        "<code class=\"language-rust\">fn main() {\n    // A comment.\n\n    go();\n}</code>",
        "<span class=\"badge badge-loses\">loses bytes</span>",
        "aria-labelledby=\"figure-start-1-title\"><title id=\"figure-start-1-title\">A line</title>",
    ] {
        assert!(start.contains(part), "{part} is not in\n{start}");
    }
    let between = fs::read_to_string(pages.join("between.html")).unwrap();
    for part in [
        "<del class=\"diff-line diff-del\"><span class=\"diff-sign\">-</span>    wait();\n</del>",
        "<ins class=\"diff-line diff-add\"><span class=\"diff-sign\">+</span>    go();\n</ins>",
        "<buffer-sim preset=\"chapter-3\"><table",
        "id=\"figure-between-1-a\"",
    ] {
        assert!(
            between.replace("\n<table", "<table").contains(part),
            "{part} is not in\n{between}"
        );
    }
    // Only the chapter has a number.
    let contents = fs::read_to_string(pages.join("toc.html")).unwrap();
    assert!(contents.contains("<strong aria-hidden=\"true\">1.</strong> One"), "{contents}");
    assert_eq!(contents.matches("<strong").count(), 1, "{contents}");
}

#[test]
fn two_builds_are_the_same_byte_for_byte() {
    let (dir, project) = tiny();
    let [first, second] = ["one", "two"].map(|name| {
        let pages = dir.path().join(name);
        binding::build(&project, &pages).unwrap();
        // And once more over the pages that are there.
        binding::build(&project, &pages).unwrap();
        contents(&pages)
    });
    assert!(first.len() > 10 && first.contains_key("print.html"));
    let names = |pages: &BTreeMap<String, Vec<u8>>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second));
    for (name, content) in &first {
        assert!(second[name] == *content, "{name} differs");
    }
}

#[test]
fn what_mdbook_only_warns_of_is_a_problem() {
    let (_dir, project) = tiny();
    write(&project, "book/src/start.md", &format!("{START}\n<div>\n\nNever closed.\n"));
    let problems = binding::check(&project).unwrap();
    assert!(
        problems.iter().any(|one| one.starts_with("mdBook warns: unclosed HTML tag `<div>`")),
        "{problems:?}"
    );
    write(&project, "book/src/start.md", &START.replace("fn main", "fn man"));
    let problems = binding::check(&project).unwrap();
    assert_eq!(
        problems,
        [
            "book/src/start.md:5: steps/03-dropped-write/main.rs: there is no fn man; there are fn main"
        ]
    );
    fs::remove_file(project.root().join("book/theme/press.css")).unwrap();
    let problems = binding::check(&project).unwrap();
    assert_eq!(problems[0], "book/book.toml: there is no file book/theme/press.css");
}
