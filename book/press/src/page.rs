//! One page of the book, with its directives replaced by what they stand for.

use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::diff::{self, Line, Next};
use crate::directive::{self, Directive, Part};
use crate::html::{escape, inline};
use crate::transcript::{self, Transcript};
use crate::{Problem, Project, figure, sim, source, verdicts};

/// The Markdown that mdBook reads with the settings of `book.toml`.
pub fn markdown_options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_DEFINITION_LIST
        | Options::ENABLE_GFM
}

/// The number of a chapter: that in front of its file's name, `03-the-dropped-write.md`.
pub fn chapter_number(file: &str) -> Option<u32> {
    let digits = file.split('-').next()?;
    (digits.len() == 2).then(|| digits.parse().ok())?
}

/// What listings are numbered with: the chapter's number, or the last word of its file's name.
pub fn short_name(file: &str) -> String {
    match chapter_number(file) {
        Some(number) => number.to_string(),
        None => {
            let stem = file.strip_suffix(".md").unwrap_or(file);
            stem.rsplit(['-', '/']).next().unwrap_or(stem).to_string()
        }
    }
}

/// A page with its directives expanded.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The Markdown that remains for mdBook.
    pub markdown: String,
    /// For each line of it, the line of the page's file that it came from, counted from 1.
    pub lines: Vec<usize>,
    /// The directives, each with its line.
    pub directives: Vec<(usize, Directive)>,
    /// What is wrong with them. Their places hold the message instead.
    pub problems: Vec<Problem>,
}

/// Expands the page `file` of `book/src`.
pub fn expand(project: &Project, file: &str, text: &str) -> Page {
    let text = text.replace("\r\n", "\n");
    let path = Path::new("book/src").join(file);
    let code = code_ranges(&text);
    let mut press = Press {
        project,
        short: short_name(file),
        listings: 0,
        diffs: 0,
        figures: 0,
        terminals: vec![],
    };
    let mut page = Page::default();
    let mut start = 0;
    // Whether the next line must be preceded by an empty one.
    let mut gap = false;
    for (at, line) in text.split('\n').enumerate() {
        let number = at + 1;
        let mut expanded = String::new();
        let mut done = 0;
        let mut block = false;
        while let Some(next) = line[done..].find("{{#") {
            let begin = done + next;
            expanded += &line[done..begin];
            if code.iter().any(|range| range.contains(&(start + begin))) {
                expanded += "{{#";
                done = begin + 3;
                continue;
            }
            let (result, length) = match directive::parse(&line[begin..]) {
                Ok((directive, length)) => {
                    let alone =
                        line[..begin].trim().is_empty() && line[begin + length..].trim().is_empty();
                    let made = if directive.is_inline() || alone {
                        block |= !directive.is_inline();
                        press.make(&directive).map_err(|wrong| match wrong {
                            Wrong::Here(message) => Problem::new(&path, number, message),
                            Wrong::There(problem) => Problem {
                                message: format!(
                                    "{} (shown in {}:{number})",
                                    problem.message,
                                    path.display()
                                ),
                                ..problem
                            },
                        })
                    } else {
                        let message = "this directive must stand on a line of its own";
                        Err(Problem::new(&path, number, message))
                    };
                    page.directives.push((number, directive));
                    (made, length)
                }
                Err((message, length)) => (Err(Problem::new(&path, number, message)), length),
            };
            match result {
                Ok(html) => expanded += &html,
                Err(problem) => {
                    let words = escape(&problem.to_string());
                    expanded += &format!("<strong class=\"press-error\">{words}</strong>");
                    page.problems.push(problem);
                }
            }
            done = begin + length;
        }
        expanded += &line[done..];
        // Markdown ends a block of HTML at an empty line, and at nothing else.
        let empty = expanded.trim().is_empty();
        if (gap || block)
            && !empty
            && page.lines.last().is_some()
            && !page.markdown.ends_with("\n\n")
        {
            page.markdown.push('\n');
            page.lines.push(number);
        }
        gap = block;
        page.markdown += &expanded;
        page.markdown.push('\n');
        page.lines.push(number);
        start += line.len() + 1;
    }
    page
}

/// Where code and comments stand in a text: directives in them are examples.
fn code_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (event, range) in Parser::new_ext(text, markdown_options()).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(_)) | Event::Code(_) => ranges.push(range),
            Event::Start(Tag::HtmlBlock) | Event::InlineHtml(_) => {
                let html = &text[range.clone()];
                let mut from = 0;
                while let Some(open) = html[from..].find("<!--") {
                    let close =
                        html[from + open..].find("-->").map_or(html.len(), |at| from + open + at);
                    ranges.push(range.start + from + open..range.start + close);
                    from = close;
                }
            }
            _ => {}
        }
    }
    ranges
}

/// What is wrong with a directive: with itself, or with the file that it names.
enum Wrong {
    Here(String),
    There(Problem),
}

impl From<String> for Wrong {
    fn from(message: String) -> Wrong {
        Wrong::Here(message)
    }
}

fn there(file: impl Into<PathBuf>) -> impl FnOnce((usize, String)) -> Wrong {
    move |(line, message)| Wrong::There(Problem::new(file, line, message))
}

/// What is counted while a page is made.
struct Press<'a> {
    project: &'a Project,
    short: String,
    listings: usize,
    diffs: usize,
    figures: usize,
    terminals: Vec<String>,
}

impl Press<'_> {
    fn make(&mut self, directive: &Directive) -> Result<String, Wrong> {
        Ok(match directive {
            Directive::Listing { file, part, omit, caption } => {
                self.listing(file, part, omit.as_deref(), caption)?
            }
            Directive::Diff { from, to, item, caption } => {
                self.diff(from, to, item.as_deref(), caption)?
            }
            Directive::Answer { answer, caption } => self.answer(answer, caption)?,
            Directive::Transcript { name, caption } => self.transcript(name, caption)?,
            Directive::Figure { file, alt, caption } => self.figure(file, alt, caption)?,
            Directive::Matrix(slice) => verdicts::table(slice)?,
            Directive::Badge { step } => verdicts::step_badge(step)?,
            Directive::Sim { preset } => sim::element(preset)?,
        })
    }

    fn listing(
        &mut self,
        file: &str,
        part: &Part,
        omit: Option<&str>,
        caption: &str,
    ) -> Result<String, Wrong> {
        self.listings += 1;
        let text = self.project.read(file)?;
        let in_file = |message| format!("{file}: {message}");
        let mut code = match part {
            Part::Whole => source::whole(&text),
            Part::Item(name) => source::item(&text, name).map_err(in_file)?,
            Part::Anchor(name) => source::anchor(&text, name).map_err(in_file)?,
        };
        if let Some(omit) = omit {
            code = source::without(&code, omit).map_err(in_file)?;
        }
        if code.trim().is_empty() {
            return Err(Wrong::Here(format!("{file}: the listing is empty")));
        }
        let language = match file.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "rs" => "language-rust",
            "toml" => "language-toml",
            "sh" => "language-bash",
            "js" => "language-javascript",
            _ => "nohighlight",
        };
        let number = format!("{}-{}", self.short, self.listings);
        Ok(format!(
            "<figure class=\"listing\" id=\"listing-{number}\"><div class=\"listing-bar\">\
             <span class=\"listing-number\">Listing {}</span> \
             <span class=\"listing-file\">{}</span>{}</div>\
             <pre><code class=\"{language}\">{}&#10;</code></pre>\
             <figcaption>{}</figcaption></figure>",
            capital(&number),
            escape(file),
            badge_of(file),
            escape(&code),
            inline(caption)
        ))
    }

    fn diff(
        &mut self,
        from: &str,
        to: &str,
        item: Option<&str>,
        caption: &str,
    ) -> Result<String, Wrong> {
        let files = [from, to].map(|step| format!("steps/{step}/main.rs"));
        let [old, new] = [&files[0], &files[1]].map(|file| self.project.read(file));
        let (old, new) = (source::whole(&old?) + "\n", source::whole(&new?) + "\n");
        let (old, new) = match item {
            None => (old, new),
            Some(item) => {
                let parts = [source::item(&old, item), source::item(&new, item)];
                if let [Err(_), Err(message)] = &parts {
                    return Err(Wrong::Here(format!("{} and {}: {message}", files[0], files[1])));
                }
                let [old, new] = parts.map(|part| part.map_or(String::new(), |text| text + "\n"));
                (old, new)
            }
        };
        let mut lines = diff::folded(&old, &new);
        for line in &mut lines {
            // Within an item, its lines have other numbers than in the file.
            if let (Line::Fold { next: next @ Next::Line(..), .. }, Some(_)) = (line, item) {
                *next = Next::Rest;
            }
        }
        if lines.is_empty() {
            let what = item.map_or(String::new(), |item| format!(" in {item}"));
            return Err(Wrong::Here(format!("nothing differs between {from} and {to}{what}")));
        }
        let bar = format!(
            "<span class=\"listing-file\">{}</span>{} \
             <span class=\"diff-arrow\" aria-label=\"becomes\" role=\"img\">→</span> \
             <span class=\"listing-file\">{}</span>{}",
            escape(&files[0]),
            badge_of(&files[0]),
            escape(&files[1]),
            badge_of(&files[1])
        );
        Ok(self.diff_figure(&bar, &lines, caption))
    }

    fn answer(&mut self, answer: &str, caption: &str) -> Result<String, Wrong> {
        let file = format!("book/answers/{answer}.patch");
        let patches = diff::parse_patch(&self.project.read(&file)?).map_err(there(&file))?;
        let mut figures = String::new();
        let last = patches.len() - 1;
        for (at, patch) in patches.iter().enumerate() {
            let old = source::whole(&self.project.read(&patch.file)?) + "\n";
            let new = patch.apply(&old).map_err(there(&file))?;
            // Once, above the first of its files: what to type to have it.
            let apply = match at {
                0 => format!(
                    "<code class=\"apply\">git apply book/answers/{}.patch</code>",
                    escape(answer)
                ),
                _ => String::new(),
            };
            let file = escape(&patch.file);
            let bar = format!("<span class=\"listing-file\">{file}</span>{apply}");
            let lines = diff::folded(&old, &new);
            figures += &self.diff_figure(&bar, &lines, if at == last { caption } else { "" });
        }
        Ok(figures)
    }

    fn diff_figure(&mut self, bar: &str, lines: &[Line], caption: &str) -> String {
        self.diffs += 1;
        let mut code = String::new();
        for line in lines {
            let (tag, class, sign, text) = match line {
                Line::Same(text) => ("span", "diff-ctx", ' ', text.clone()),
                Line::Added(text) => ("ins", "diff-add", '+', text.clone()),
                Line::Removed(text) => ("del", "diff-del", '-', text.clone()),
                Line::Fold { lines, next } => {
                    let words = escape(&Line::fold_words(*lines, next));
                    code += &format!("<span class=\"diff-line diff-fold\">{words}&#10;</span>");
                    continue;
                }
            };
            code += &format!(
                "<{tag} class=\"diff-line {class}\"><span class=\"diff-sign\">{sign}</span>{}&#10;</{tag}>",
                escape(&text)
            );
        }
        let caption = match caption {
            "" => String::new(),
            caption => format!("<figcaption>{}</figcaption>", inline(caption)),
        };
        format!(
            "<figure class=\"diff\" id=\"diff-{}-{}\"><div class=\"listing-bar\">{bar}</div>\
             <pre><code class=\"language-rust\">{code}</code></pre>{caption}</figure>",
            self.short, self.diffs
        )
    }

    fn transcript(&mut self, name: &str, caption: &str) -> Result<String, Wrong> {
        let file = format!("book/transcripts/{name}.txt");
        let transcript = Transcript::parse(&self.project.read(&file)?).map_err(there(&file))?;
        let mut code = String::new();
        for line in transcript.lines() {
            code += &match line {
                transcript::Line::Typed(text) => format!(
                    "<span class=\"prompt\">$ </span><span class=\"typed\">{}</span>&#10;",
                    escape(text)
                ),
                transcript::Line::More(text) => {
                    format!("<span class=\"typed\">{}</span>&#10;", escape(text))
                }
                transcript::Line::Printed(text) => escape(text) + "&#10;",
            };
        }
        let title = transcript.header("title").unwrap_or("Terminal");
        let machine = transcript.header("machine").map_or(String::new(), |machine| {
            format!(" <span class=\"terminal-machine\">recorded on {}</span>", escape(machine))
        });
        self.terminals.push(name.to_string());
        let again = self.terminals.iter().filter(|other| *other == name).count();
        let id = match again {
            1 => format!("terminal-{name}"),
            again => format!("terminal-{name}-{again}"),
        };
        Ok(format!(
            "<figure class=\"terminal\" id=\"{id}\"><div class=\"terminal-bar\">\
             <span class=\"terminal-title\">{}</span>{machine}</div>\
             <pre><code class=\"nohighlight\">{code}</code></pre>\
             <figcaption>{}</figcaption></figure>",
            escape(title),
            inline(caption)
        ))
    }

    fn figure(&mut self, file: &str, alt: &str, caption: &str) -> Result<String, Wrong> {
        self.figures += 1;
        let path = format!("book/src/figures/{file}");
        let picture = self.project.read(&path)?;
        let id = format!("figure-{}-{}", self.short, self.figures);
        let svg = figure::inlined(&picture, &id, alt)
            .map_err(|message| Wrong::There(Problem::new(path, 0, message)))?;
        Ok(format!(
            "<figure class=\"figure\">{svg}<figcaption>{}</figcaption></figure>",
            inline(caption)
        ))
    }
}

/// The badge of the step that a file belongs to, with a space before it.
fn badge_of(file: &str) -> String {
    let badge = verdicts::step_of(file).and_then(|step| verdicts::step_badge(step).ok());
    badge.map_or(String::new(), |badge| format!(" {badge}"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn project() -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("steps/02-naive-epoll/main.rs", "fn main() {\n    wait();\n}\n\nfn same() {}\n"),
            (
                "steps/03-dropped-write/main.rs",
                "// ANCHOR: all\nfn main() {\n    // WRONG: a < b.\n    go();\n}\n\nfn same() {}\n// ANCHOR_END: all\n",
            ),
            ("steps/03-dropped-write/empty.rs", "// ANCHOR: none\n// ANCHOR_END: none\n"),
            (
                "book/answers/03-1.patch",
                "--- a/steps/02-naive-epoll/main.rs\n+++ b/steps/02-naive-epoll/main.rs\n@@ -2 +2 @@\n-    wait();\n+    done();\n",
            ),
            ("book/transcripts/03-curl.txt", "# machine: Linux\n---\n$ curl <x>\n\nout\n"),
            ("book/src/figures/a.svg", "<svg viewBox=\"0 0 1 1\">\n<g id=\"g\"/>\n</svg>\n"),
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let project = Project::new(dir.path());
        (dir, project)
    }

    fn page(text: &str) -> Page {
        let (_dir, project) = project();
        expand(&project, "03-the-dropped-write.md", text)
    }

    fn problem(text: &str) -> String {
        let page = page(&format!("# Title\n\n{text}\n"));
        assert_eq!(page.problems.len(), 1, "{:?}", page.problems);
        page.problems[0].to_string()
    }

    #[test]
    fn a_listing_has_a_number_a_file_a_badge_and_a_caption() {
        let page = page(
            "Text\n{{#listing file=\"steps/03-dropped-write/main.rs\" item=\"fn main\" omit=\"WRONG\" caption=\"The `main`\"}}\nmore\n",
        );
        assert_eq!(page.problems, []);
        assert_eq!(
            page.markdown,
            "Text\n\n<figure class=\"listing\" id=\"listing-3-1\"><div class=\"listing-bar\">\
             <span class=\"listing-number\">Listing 3-1</span> \
             <span class=\"listing-file\">steps/03-dropped-write/main.rs</span> \
             <span class=\"badge badge-loses\">loses bytes</span></div>\
             <pre><code class=\"language-rust\">fn main() {&#10;    go();&#10;}&#10;</code></pre>\
             <figcaption>The <code>main</code></figcaption></figure>\n\nmore\n\n"
        );
        assert_eq!(page.lines, [1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn a_diff_keeps_its_signs() {
        let page = page(
            r#"{{#diff from="02-naive-epoll" to="03-dropped-write" item="fn main" caption="c"}}"#,
        );
        assert_eq!(page.problems, []);
        for part in [
            "<figure class=\"diff\" id=\"diff-3-1\">",
            "<span class=\"diff-line diff-ctx\"><span class=\"diff-sign\"> </span>fn main() {&#10;</span>",
            "<del class=\"diff-line diff-del\"><span class=\"diff-sign\">-</span>    wait();&#10;</del>",
            "<ins class=\"diff-line diff-add\"><span class=\"diff-sign\">+</span>    // WRONG: a &lt; b.&#10;</ins>",
            "steps/02-naive-epoll/main.rs</span> <span class=\"badge badge-freezes\">",
        ] {
            assert!(page.markdown.contains(part), "{part} in {}", page.markdown);
        }
        assert!(!page.markdown.contains("ANCHOR"), "{}", page.markdown);
    }

    #[test]
    fn an_answer_a_terminal_and_a_picture_are_shown() {
        let page = page(
            "{{#diff answer=\"03-1\" caption=\"c\"}}\n\n{{#transcript name=\"03-curl\" caption=\"c\"}}\n\n{{#figure file=\"a.svg\" alt=\"One line\" caption=\"c\"}}\n",
        );
        assert_eq!(page.problems, []);
        for part in [
            "diff-add\"><span class=\"diff-sign\">+</span>    done();",
            "<span class=\"prompt\">$ </span><span class=\"typed\">curl &lt;x&gt;</span>&#10;&#10;out&#10;",
            "recorded on Linux",
            "<title id=\"figure-3-1-title\">One line</title><g id=\"figure-3-1-g\"/>",
        ] {
            assert!(page.markdown.contains(part), "{part} in {}", page.markdown);
        }
    }

    #[test]
    fn a_badge_stands_in_a_line_and_code_is_left_alone() {
        let page = page(
            "It {{#badge step=\"03-dropped-write\"}}. `{{#badge}}`\n\n```\n{{#wrong}}\n```\n<!-- {{#no}} -->\n",
        );
        assert_eq!(page.problems, []);
        assert!(page.markdown.starts_with(
            "It <span class=\"badge badge-loses\">loses bytes</span>. `{{#badge}}`\n"
        ));
        assert!(page.markdown.contains("\n{{#wrong}}\n"));
    }

    #[test]
    fn what_is_not_there_is_named_with_its_place() {
        let place = "book/src/03-the-dropped-write.md:3: ";
        for (directive, message) in [
            (r#"{{#listing file="steps/x.rs" caption="c"}}"#, "there is no file steps/x.rs"),
            (
                r#"{{#listing file="steps/03-dropped-write/main.rs" anchor="x" caption="c"}}"#,
                "steps/03-dropped-write/main.rs: there is no ANCHOR: x",
            ),
            (
                r#"{{#listing file="steps/03-dropped-write/main.rs" item="fn x" caption="c"}}"#,
                "steps/03-dropped-write/main.rs: there is no fn x; there are fn main, fn same",
            ),
            (
                r#"{{#listing file="steps/03-dropped-write/empty.rs" anchor="none" caption="c"}}"#,
                "steps/03-dropped-write/empty.rs: the listing is empty",
            ),
            (r#"{{#listing file="../x" caption="c"}}"#, "../x is not a path inside the project"),
            (
                r#"{{#listing file="steps/03-dropped-write/main.rs" omit="x" caption="c"}}"#,
                "steps/03-dropped-write/main.rs: no comment line contains \"x\", so there is nothing to omit",
            ),
            (
                r#"{{#diff from="02-naive-epoll" to="03-dropped-write" item="fn same" caption="c"}}"#,
                "nothing differs between 02-naive-epoll and 03-dropped-write in fn same",
            ),
            (r#"{{#transcript name="x" caption="c"}}"#, "there is no file book/transcripts/x.txt"),
            (r#"{{#figure file="a.svg" caption="c"}}"#, "{{#figure has no alt"),
            (r#"{{#figure file="a.svg" alt="" caption="c"}}"#, "{{#figure: alt is empty"),
            (
                r#"{{#badge step="05"}}"#,
                "there is no step 05; there are 01-blocking, 02-naive-epoll, 03-dropped-write, 04-output-buffer",
            ),
            (r#"and {{#matrix}}"#, "this directive must stand on a line of its own"),
            ("{{#include x}}", "{{#include: expected key=\"value\" or }} at x}}"),
        ] {
            assert_eq!(problem(directive), format!("{place}{message}"));
        }
    }

    #[test]
    fn a_fault_in_a_file_is_named_in_that_file() {
        let (dir, project) = project();
        fs::write(dir.path().join("book/transcripts/03-curl.txt"), "---\nno\n").unwrap();
        fs::write(dir.path().join("book/src/figures/a.svg"), "<svg/>").unwrap();
        fs::write(dir.path().join("steps/02-naive-epoll/main.rs"), "fn main() {}\n").unwrap();
        let text = "{{#transcript name=\"03-curl\" caption=\"c\"}}\n\n{{#figure file=\"a.svg\" alt=\"a\" caption=\"c\"}}\n\n{{#diff answer=\"03-1\" caption=\"c\"}}\n";
        let page = expand(&project, "x.md", text);
        let problems: Vec<String> = page.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "book/transcripts/03-curl.txt:2: the first line is not a command: `$ command` (shown in book/src/x.md:1)",
                "book/src/figures/a.svg: <svg> has no viewBox, so it cannot shrink (shown in book/src/x.md:3)",
                "book/answers/03-1.patch:3: does not fit steps/02-naive-epoll/main.rs at line 2 or elsewhere (shown in book/src/x.md:5)",
            ]
        );
    }

    #[test]
    fn chapters_have_numbers_and_interludes_names() {
        assert_eq!(short_name("03-the-dropped-write.md"), "3");
        assert_eq!(short_name("where-bytes-wait.md"), "wait");
        assert_eq!(chapter_number("where-bytes-wait.md"), None);
    }
}
