//! What a page may ask for, what it gets, and what is said where something is wrong.

mod tiny;

use press::directive::{self, Directive};
use press::{check, diff, figure, page, source, transcript};
use tiny::Tiny;

/// What is wrong with the tiny book after something was done to it.
fn after(change: impl FnOnce(&Tiny)) -> Vec<String> {
    let tiny = Tiny::new();
    change(&tiny);
    check::check(&tiny.project).iter().map(ToString::to_string).collect()
}

/// What is wrong when this is the fourth line of the last page.
fn with_line(text: &str) -> Vec<String> {
    after(|tiny| tiny.end_with(text))
}

#[test]
fn a_directive_ends_where_its_own_braces_are() {
    let text = r#"{{#listing file="a.rs" item="fn main" caption="Say \"hi\" }} there"}} and on"#;
    let (range, found) = directive::find(text).next().unwrap();
    assert_eq!(&text[range.end..], " and on");
    let Ok(Directive::Listing { file, item, omit: None, notes: None, caption }) = found else {
        panic!()
    };
    assert_eq!((&*file, item.as_deref()), ("a.rs", Some("fn main")));
    assert_eq!(caption, "Say \"hi\" }} there");
}

/// Lines `what is written => what is said of it` of a file in `cases`. `⏎` is the end of a line; in
/// `chapters.txt` what is written is `what was there | what takes its place`.
fn cases(table: &str) -> impl Iterator<Item = (String, &str)> {
    let cases = table.lines().filter_map(|line| line.trim().split_once(" => "));
    cases.map(|(text, message)| (text.replace('⏎', "\n"), message))
}

#[test]
fn whatever_is_wrong_with_a_directive_is_named_with_its_place() {
    for (text, message) in cases(include_str!("cases/directives.txt")) {
        let step = "steps/03-dropped-write/main.rs";
        let problems = with_line(&text.replace("S3", step));
        let expected = format!("book/src/end.md:4: {}", message.replace("S3", step));
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with(&expected), "{expected} does not begin {problems:?}");
    }
    assert_eq!(with_line("`{{#badge}}`\n\n```\n{{#wrong}}\n```"), [""; 0]);
}

#[test]
fn directives_become_what_they_stand_for() {
    let tiny = Tiny::new();
    let text = "{{#count of=\"Steps\"}} or {{#count of=\"steps\"}} {{#badge step=\"03-dropped-write\"}}\n\n\
        {{#listing file=\"steps/03-dropped-write/main.rs\" item=\"fn main\" omit=\"a < b\" caption=\"The `main`\"}}\n\n\
        {{#diff answer=\"03-1\" caption=\"c\"}}\n\n{{#transcript name=\"ls\" caption=\"c\"}}\n\n{{#ladder}}\n";
    let page = page::expand(&tiny.project, "03-x.md", text);
    assert_eq!(page.problems, []);
    for part in [
        "Two or two <span class=\"badge badge-loses\">loses bytes</span>\n\n<figure class=\"listing\" id=\"listing-3-1\">",
        "<span class=\"listing-number\">Listing 3-1</span> <span class=\"listing-file\">steps/03-dropped-write/main.rs</span> <span class=\"badge",
        "<pre><code class=\"language-rust\"><span style=\"--h:4\"><i class=\"kw\">fn</i><i class=\"fu\"> main</i>() {&#10;</span>",
        "    go();&#10;</span><span style=\"--h:4\">}&#10;</span></code></pre><figcaption>The <code>main</code>",
        "<del class=\"diff-line\"><b>-</b>    <mark>wait();</mark>&#10;</del>",
        "recorded on Linux",
        "<span class=\"prompt\">$ </span><span class=\"typed\">ls &lt;x&gt;</span>&#10;</span><span class=\"line\">&#10;</span><span class=\"line\">out&#10;</span>",
        "<td><code>02-naive-epoll</code></td>",
    ] {
        assert!(page.markdown.contains(part), "{part} is not in {}", page.markdown);
    }
    assert_eq!(page.markdown.lines().count(), text.lines().count());
}

#[test]
fn what_the_scoreboard_says_is_shown_from_its_record() {
    let tiny = Tiny::new();
    let text = "{{#score program=\"bad\" experiment=\"two-acts\" answer=\"fault\"}} in \
        {{#version of=\"bad\"}}, a {{#score program=\"bad\" experiment=\"plain\" answer=\"note\"}}, \
        {{#count of=\"programs\"}} programs\n\n{{#scoreboard of=\"good-one bad\"}}\n\n\
        {{#graded program=\"bad\"}}\n";
    let page = page::expand(&tiny.project, "x.md", text);
    assert_eq!(page.problems, []);
    for part in [
        "<span class=\"badge badge-loses\">hole</span> in 1.0, a <span class=\"score-word\">note</span>, two programs\n",
        "2 programs, one with a fault. Graded from 2013-09-28 to 2013-09-30 with Linux 3.2, 2 cores.</caption>",
        // Good first, because the page names it first.
        "<code>good-one</code> Language 2.0<span class=\"question\">A sound relay</span></th>\
            <td role=\"cell\"><span class=\"badge badge-exact\">no fault found</span></td>\
            <td role=\"cell\">sound in all 1</td></tr>\
            <tr role=\"row\"><th scope=\"row\" role=\"rowheader\"><code>bad</code> 1.0\
            <span class=\"question\">A relay &lt;with&gt; a fault</span></th>\
            <td role=\"cell\"><span class=\"badge badge-loses\">loses bytes</span></td>",
        "<li><code>two-acts</code>: a hole of 7 bytes.</li><li><code>plain</code>: it dallies.</li>",
        "bad 1.0: a fault in 1 of 2. Graded on 2013-09-28 with Linux 3.2, 2 cores.</caption>",
    ] {
        assert!(page.markdown.contains(part), "{part} is not in {}", page.markdown);
    }
}

#[test]
fn every_program_of_the_record_stands_in_one_table() {
    let problems = after(|tiny| tiny.replace("book/src/start.md", "good-one bad", "bad"));
    let forgotten = "tests/lab/scoreboard.json: no table of the book has the program good-one";
    assert_eq!(problems, [forgotten]);
    let problems = after(|tiny| {
        let record = tiny.project.read("tests/lab/scoreboard.json").unwrap();
        tiny.write("tests/lab/scoreboard.json", &record.replace("\"hole\"", "\"whole\""));
    });
    let begins = |one: &String| {
        one.starts_with("tests/lab/scoreboard.json: unknown variant `whole`")
            && one.ends_with("(shown in book/src/start.md:22)")
    };
    assert!(problems.iter().any(begins), "{problems:?}");
}

#[test]
fn a_fault_in_a_file_is_named_in_that_file() {
    let problems = after(|tiny| {
        tiny.write("book/transcripts/ls.txt", "---\nno\n");
        tiny.write("book/src/figures/a.svg", "<svg/>");
        tiny.write("steps/02-naive-epoll/main.rs", "fn main() {}\n");
        tiny.replace("steps/03-dropped-write/step.toml", "\"hole\"", "\"whole\"");
    });
    for expected in [
        "book/transcripts/ls.txt:2: the first line is not a command: `$ command` (shown in book/src/start.md:20)",
        "book/src/figures/a.svg:1: not an <svg> with a viewBox, without which it cannot shrink (shown in book/src/start.md:7)",
        "book/answers/03-1.patch: error applying hunk #1: it does not fit steps/02-naive-epoll/main.rs",
        "steps/03-dropped-write/step.toml: ",
    ] {
        assert!(problems.iter().any(|one| one.starts_with(expected)), "{expected}: {problems:?}");
    }
    let problems = after(|tiny| tiny.replace("book/theme/presets.js", "loses", "held"));
    let expected = "book/theme/presets.js: chapter-3 says \"held back\", but 03-dropped-write in";
    assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:?}");
}

#[test]
fn what_a_page_must_not_hold_is_found() {
    for (text, message) in cases(include_str!("cases/pages.txt")) {
        assert_eq!(with_line(&text), [format!("book/src/end.md:4: {message}")], "{text}");
    }
    assert_eq!(with_line("```sh\nls\n```\n\n`[^x]`, three steps, two experiments"), [""; 0]);
    let unread = with_line("<details><summary>S</summary>\n*Text.*\n</details>");
    assert!(unread[0].starts_with("book/src/end.md:5: an empty line must follow"), "{unread:?}");
}

#[test]
fn the_summary_names_every_page_once_and_in_order() {
    let problems = after(|tiny| {
        tiny.write("book/src/03-three.md", "# Three\n");
        let summary =
            "# S\n\n- [Three](03-three.md)\n- [No](no.md)\n- [End](end.md)\n- [End](end.md)\n";
        tiny.write("book/src/SUMMARY.md", summary);
    });
    for expected in [
        "book/src/SUMMARY.md:3: 03-three.md is chapter 3, in a place for chapter 1",
        "book/src/SUMMARY.md:4: there is no page book/src/no.md",
        "book/src/SUMMARY.md:6: end.md is listed twice",
        "book/src/start.md: SUMMARY.md does not list this page",
    ] {
        assert!(problems.iter().any(|one| one == expected), "{expected}: {problems:?}");
    }
}

#[test]
fn a_chapter_has_its_sections_its_length_and_its_exercises() {
    for (change, message) in cases(include_str!("cases/chapters.txt")) {
        let (from, to) = change.split_once(" | ").unwrap();
        let count = if from.starts_with("word") { usize::MAX } else { 1 };
        let problems = after(|tiny| {
            let chapter = tiny.project.read("book/src/01-one.md").unwrap();
            assert!(chapter.contains(from), "{from} is not in the chapter");
            tiny.write("book/src/01-one.md", &chapter.replacen(from, to, count));
        });
        let is_it = |one: &String| one.starts_with("book/src/01-one.md:") && one.contains(message);
        assert!(problems.iter().any(is_it), "{message}: {problems:?}");
    }
    // A terminal may be long.
    let long = after(|tiny| {
        let long = format!("```text\n{}\n```\n\n## The code", "x ".repeat(4_000));
        tiny.replace("book/src/01-one.md", "## The code", &long);
    });
    assert_eq!(long, [""; 0]);
}

const SOURCE: &str = r##"//! Header.

use std::fmt;

/// How many.
const COUNT: usize = { 3 };
const NAMES: [&'static str; 2] =
    ["a;", "b}"];

// A thing.
#[derive(
    Clone,
)]
pub(crate) struct Thing<'a> {
    name: &'a str,
}

impl<'a> Thing<'a> {
    /// Makes it. Twice: "}".
    const fn new(name: &'static str) -> impl Sized {
        let _ = ('}', "}", r#"}"#, b'{'); // }
        let _: *const u8 = name.as_ptr();
        Thing { name }
    }
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self) { f.write_str(self.name) /* } */ }
}

fn fmt(how: impl Fn()) where (): Sized {}
"##;

#[test]
fn an_item_is_found_by_its_name_and_comes_with_its_comments() {
    let item = |name: &str| source::item(SOURCE, name);
    assert_eq!(item("const COUNT").unwrap(), "/// How many.\nconst COUNT: usize = { 3 };");
    assert!(item("const NAMES").unwrap().ends_with("=\n    [\"a;\", \"b}\"];"));
    let thing = item("struct Thing").unwrap();
    assert!(
        thing.starts_with("// A thing.\n#[derive(\n") && thing.ends_with("    name: &'a str,\n}")
    );
    let new = item("fn new").unwrap();
    assert!(new.starts_with("/// Makes it.") && new.ends_with("    Thing { name }\n}"), "{new}");
    assert!(item("impl fmt::Display for Thing<'_>").unwrap().contains("fn fmt(&self)"));
    assert_eq!(
        item("fn fmt").unwrap_err(),
        "there is more than one fn fmt: show the item around it"
    );
    assert_eq!(item("struct X").unwrap_err(), "there is no struct X; there are struct Thing");
    assert_eq!(item("enum E").unwrap_err(), "there is no enum E");
    let names: Vec<String> = source::items(SOURCE).into_iter().map(|item| item.name).collect();
    assert_eq!(names.len(), 8, "{names:?}");
}

#[test]
fn what_stays_the_same_is_folded() {
    let body = "    a();\n".repeat(9);
    let old = format!("fn one() {{\n{body}}}\n\nfn two() {{\n{body}    b();\n{body}}}\n");
    let lines = diff::folded(&old, &old.replace("    b();\n", "    c();\n    d();\n"), false);
    let fold = |words: &str| diff::DiffLine::Fold(words.into());
    assert_eq!(lines[0], fold("// ⋯ 19 lines as before; on at line 20, in fn two"));
    assert_eq!(
        lines[4..7],
        [
            diff::DiffLine::Removed("    b();".into()),
            diff::DiffLine::Added("    c();".into()),
            diff::DiffLine::Added("    d();".into()),
        ]
    );
    assert_eq!(lines[10], fold("// ⋯ 7 lines as before, to the end"));
    assert_eq!(diff::folded(&old, &old, false), []);
}

#[test]
fn only_lines_of_code_count_as_changed_and_as_few_as_can_be() {
    let changed = |old: &str, new: &str| diff::changed_code(old, new).join("|");
    let one = "//! Header\n\nfn main() {\n    // Why.\n    go();\n}\n";
    assert_eq!(changed(one, "/// Does.\nfn main() {\n    go();\n\n\n}\n"), "");
    // A comment behind code belongs to its line.
    assert_eq!(changed(one, &one.replace("go();", "go(); // now")), "-    go();|+    go(); // now");
    assert_eq!(changed("a\nb\nc", "b\nc\na"), "-a|+a");
    assert_eq!(changed("a\nc", "a\nb\nc\nd"), "+b|+d");
}

#[test]
fn a_picture_gets_a_title_and_keeps_the_rest() {
    let svg = "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\">\n  \
        <title>Old</title>\n  <g id=\"p-tip\" class=\"p-tip\"><path d=\"M0 0\"/></g>\n<use href=\"#p-tip\"/>\n</svg>\n";
    assert_eq!(
        figure::inlined(svg, "p", "f", "A & B").unwrap().into_string(),
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\" role=\"img\" \
         aria-labelledby=\"f-title\"><title id=\"f-title\">A &amp; B</title>\
         <g id=\"p-tip\" class=\"p-tip\"><path d=\"M0 0\"/></g>\n<use href=\"#p-tip\"/></svg>"
    );
    for (svg, message) in cases(include_str!("cases/pictures.txt")) {
        let error = figure::inlined(&svg, "p", "f", "alt").map(|_| ()).unwrap_err();
        assert!(error.1.contains(message), "{message}: {error:?}");
    }
}

#[test]
fn a_transcript_says_why_it_is_none() {
    let error = |file: &str| transcript::Transcript::parse(file).unwrap_err();
    assert_eq!(error("$ ls\n").0, 1);
    assert!(error("# machine: Linux\n").1.starts_with("nothing was recorded, or no line ---"));
    assert!(error("---\n\n").1.starts_with("nothing was recorded"));
    assert_eq!(error("---\n$ a\n\u{1b}[1m\n"), (3, "a control character".into()));
}
