//! A book of one chapter and two pages, in a directory of its own, in which nothing is wrong.

use std::fs;

use press::Project;
use press::rules::{CODE, SECTIONS, WORDS};

const BOOK: &str = "[book]\ntitle = \"Tiny\"\n[build]\nuse-default-preprocessors = false\n\
                    [output.html]\nadditional-css = [\"theme/press.css\"]\n\
                    [output.html.playground]\nrunnable = false\n\
                    [output.html.print]\nenable = true\n";
const SUMMARY: &str = "# Tiny\n\n[Start](start.md)\n\n- [One](01-one.md)\n\n[End](end.md)\n";
const START: &str = "# Start\n\nTo [the end](end.md#last), to <https://example.org/>.\n\n\
    {{#listing file=\"steps/03-dropped-write/main.rs\" item=\"fn main\" caption=\"All of it\"}}\n\n\
    {{#figure file=\"a.svg\" alt=\"A line\" caption=\"A line\"}}\n\n\
    > [!NOTE]\n> It {{#badge step=\"03-dropped-write\"}}, after {{#count of=\"experiments\"}}.\n\n\
    {{#sim preset=\"chapter-3\"}}\n\n{{#matrix step=\"03-dropped-write\"}}\n\n{{#ladder}}\n\n\
    {{#diff from=\"02-naive-epoll\" to=\"03-dropped-write\" caption=\"What changes\"}}\n\n\
    {{#transcript name=\"ls\" caption=\"Files\"}}\n";
const FILES: [(&str, &str); 13] = [
    ("book/book.toml", BOOK),
    ("book/theme/press.css", "figure {}\n"),
    ("book/theme/presets.js", include_str!("../../../theme/presets.js")),
    ("book/src/SUMMARY.md", SUMMARY),
    ("book/src/start.md", START),
    ("book/src/end.md", "# End\n\n## Last\n\nBack to [one](01-one.md).[^n]\n\n[^n]: A note.\n"),
    ("book/src/figures/a.svg", "<svg viewBox=\"0 0 9 9\"><line id=\"a-line\" x2=\"9\"/></svg>"),
    ("book/transcripts/ls.txt", "# machine: Linux\n---\n$ ls <x>\n\nout\n"),
    ("steps/02-naive-epoll/main.rs", "fn main() {\n    wait();\n}\n\nfn same() {}\n"),
    (
        "steps/03-dropped-write/main.rs",
        "#![allow(unused)]\n\nfn main() {\n    // A comment: a < b.\n\n    go();\n}\n\nfn same() {}\n",
    ),
    (
        "book/answers/03-1.patch",
        "Why.\n--- a/steps/02-naive-epoll/main.rs\n+++ b/steps/02-naive-epoll/main.rs\n\
         @@ -1,3 +1,3 @@\n fn main() {\n-    wait();\n+    done();\n }\n",
    ),
    ("steps/02-naive-epoll/step.toml", include_str!("../../../../steps/02-naive-epoll/step.toml")),
    (
        "steps/03-dropped-write/step.toml",
        include_str!("../../../../steps/03-dropped-write/step.toml"),
    ),
];

pub struct Tiny {
    pub dir: tempfile::TempDir,
    pub project: Project,
    pub chapter: String,
}

impl Tiny {
    pub fn new() -> Tiny {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::new(dir.path());
        let tiny = Tiny { dir, project, chapter: chapter() };
        FILES.iter().for_each(|(file, text)| tiny.write(file, text));
        // The presets that are seen in a step are those of steps that this book does not have.
        let presets = FILES[2].1.replace("01-blocking", "02-naive-epoll");
        let grows = presets.find("\"chapter-4\"").unwrap();
        let presets = presets[..grows].to_string()
            + &presets[grows..].replace("[\"04-output-buffer\", \"pile-up\"]", "null");
        tiny.write("book/theme/presets.js", &presets);
        tiny.write("book/src/01-one.md", &tiny.chapter);
        tiny
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a part of a file, which must be there.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.project.read(file).unwrap();
        assert!(text.contains(from), "{from} is not in {file}");
        self.write(file, &text.replacen(from, to, 1));
    }
}

/// A chapter with everything that one must have.
fn chapter() -> String {
    let mut text = "# One\n".to_string();
    let sections = SECTIONS.replace("Run it", &format!("Run it · {}", CODE.0));
    for section in sections.split(" · ") {
        text += &format!("\n## {section}\n\nWords. {section}!\n");
        let details = |class: &str| {
            format!("\n<details class=\"{class}\"><summary>S?</summary>\n\nSo.\n\n</details>\n")
        };
        match section {
            "Why" => text += &format!("\n{}\n", "word – ".repeat(*WORDS.start())),
            "Predict" => text += &format!("\nWhat is next?\n{}", details("predict")),
            "Exercises" => {
                for number in 1..=3 {
                    text += &format!("\n### Exercise 1.{number}: again\n");
                    text += &(details("hint") + &details("answer"));
                }
            }
            _ => {}
        }
    }
    text
}
