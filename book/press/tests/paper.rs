//! The book as an EPUB and as a PDF: that nothing is missing in them, and that every number and link is right.

#[allow(dead_code, reason = "the transcripts use the rest")]
#[path = "../../../tests/common/tools.rs"]
mod tools;

mod tiny;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use press::directive::Directive;
use press::transcript::Transcript;
use press::{Project, binding, check, chromium, dom, epub, page, pdf, source};
use regex::Regex;
use roxmltree::{Document, ParsingOptions};
use tempfile::TempDir;
use tiny::Tiny;
use zip::ZipArchive;

/// The book itself, and its finished pages.
static BOOK: LazyLock<(Project, TempDir)> = LazyLock::new(|| {
    let project = Project::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(binding::build(&project, &dir.path().join("pages")).unwrap(), [""; 0]);
    (project, dir)
});

/// What is in an EPUB: the text files by their names.
fn unpacked(epub: &Path) -> BTreeMap<String, String> {
    let mut zip = ZipArchive::new(File::open(epub).unwrap()).unwrap();
    let mut all = BTreeMap::new();
    for at in 0..zip.len() {
        let mut file = zip.by_index(at).unwrap();
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).unwrap();
        if let Ok(text) = String::from_utf8(bytes) {
            all.insert(file.name().unwrap().into_owned(), text);
        }
    }
    all
}

/// Makes the EPUB of a project, and unpacks it.
fn made(project: &Project, dir: &Path) -> BTreeMap<String, String> {
    let epub = dir.join("book.epub");
    epub::write(project, &dir.join("pages"), &epub).unwrap();
    unpacked(&epub)
}

/// Reads XML, which a page of an EPUB must be.
fn xml(text: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).unwrap()
}

fn text_of(document: &Document) -> String {
    let texts = document.descendants().filter(|node| node.is_text());
    texts.filter_map(|node| node.text()).collect()
}

/// A text without its spaces, for what may be broken into lines.
fn dense(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Every link of these pages that leads nowhere.
fn broken_links(files: &BTreeMap<String, String>) -> Vec<String> {
    let pages = files.iter().filter(|(name, _)| name.ends_with(".xhtml"));
    let pages: Vec<_> = pages.map(|(name, text)| (name, xml(text))).collect();
    let ids = |document: &Document| -> Vec<String> {
        document.descendants().filter_map(|it| it.attribute("id").map(String::from)).collect()
    };
    let ids: BTreeMap<&str, _> = pages.iter().map(|(name, it)| (name.as_str(), ids(it))).collect();
    let mut broken = vec![];
    for (name, document) in &pages {
        let links =
            document.descendants().filter_map(|it| it.attribute("href").or(it.attribute("src")));
        for link in links.filter(|link| !link.contains(':')) {
            let (file, id) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { name.to_string() } else { format!("book/{file}") };
            let known = ids.get(file.as_str());
            // Pictures and style sheets have no ids.
            let leads =
                known.map_or(id.is_empty(), |ids| id.is_empty() || ids.iter().any(|it| it == id));
            let is_there = known.is_some() || files.contains_key(&file) || file.ends_with(".png");
            if !leads || !is_there {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    broken
}

#[test]
fn a_page_becomes_xml_and_answers_go_to_its_end() {
    let tiny = Tiny::new();
    tiny.end_with(
        "Why?\n\n<details class=\"predict\"><summary>So?</summary>\n\nBecause `a<b`.\n\n</details>\n\n\
        To [the start](start.md#start)<br>and on.\n\n<details><summary>More</summary>\n\nOpen.\n\n</details>",
    );
    binding::build(&tiny.project, &tiny.dir.path().join("pages")).unwrap();
    let files = made(&tiny.project, tiny.dir.path());
    assert_eq!(files["mimetype"], "application/epub+zip");
    for (file, part) in [
        (
            "end",
            "<p class=\"fold predict\" id=\"question-end-1\"><a class=\"to-answer\" href=\"#answer-end-1\">So?</a></p>",
        ),
        ("end", "<a href=\"start.xhtml#start\">the start</a><br/>and on.</p>"),
        ("end", "<div class=\"unfolded\"><p class=\"summary\">More</p>"),
        (
            "end",
            "<h2 class=\"answers\" id=\"answers-end\">Answers</h2><div class=\"unfolded predict\" id=\"answer-end-1\">\
            <h3>Last: So? <a class=\"to-question\" href=\"#question-end-1\">↩</a></h3>\n<p>Because <code>a&lt;b</code>.</p>",
        ),
        ("start", "viewBox=\"0 0 9 9\" xmlns=\"http://www.w3.org/2000/svg\""),
        ("start", "<span class=\"in-1\">    <i class=\"co\">// A comment: a &lt; b.</i>\n</span>"),
        ("start", "<caption>What the simulator shows here</caption>"),
        ("contents", "<li><a href=\"01-one.xhtml\">One</a></li>"),
        ("01-one", "<h1 id=\"one\"><span class=\"chapter-number\">1</span> One</h1>"),
    ] {
        let text = &files[&format!("book/{file}.xhtml")];
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!files["book/start.xhtml"].contains("buffer-sim"));
    assert_eq!(broken_links(&files), [""; 0]);
    // Whether a broken link would be seen.
    let broken: BTreeMap<_, _> = files
        .into_iter()
        .map(|(name, text)| (name, text.replace("#answer-end-1", "#answer")))
        .collect();
    assert_eq!(broken_links(&broken), ["book/end.xhtml: #answer"]);
}

#[test]
fn the_same_source_makes_the_same_epub() {
    let tiny = Tiny::new();
    binding::build(&tiny.project, &tiny.dir.path().join("pages")).unwrap();
    let made = ["one.epub", "two.epub"].map(|name| {
        let file = tiny.dir.path().join(name);
        epub::write(&tiny.project, &tiny.dir.path().join("pages"), &file).unwrap();
        fs::read(file).unwrap()
    });
    assert!(made[0] == made[1], "two EPUBs of the same pages differ");
}

#[test]
fn the_epub_has_every_page_and_all_that_is_shown_on_it() {
    let (project, dir) = &*BOOK;
    let files = made(project, dir.path());
    let (pages, _) = check::summary(project);
    assert!(pages.len() > 20);
    let (contents, _) = files["book/contents.xhtml"].split_once("</nav>").unwrap();
    for name in &pages {
        let page = name.replace(".md", ".xhtml");
        assert!(contents.contains(&format!("href=\"{page}\"")), "{page} is not in the contents");
        let text = text_of(&xml(&files[&format!("book/{page}")]));
        for (what, shown) in shown_on(project, name) {
            assert!(text.contains(&shown), "{page} lacks this of {what}:\n{shown}");
        }
    }
    assert_eq!(broken_links(&files), [""; 0]);
}

/// What a page shows, line by line where the page adds something of its own: each with its name.
fn shown_on(project: &Project, name: &str) -> Vec<(String, String)> {
    let markdown = project.read(&format!("book/src/{name}")).unwrap();
    let directives = page::expand(project, name, &markdown).directives;
    let shown = directives.into_iter().flat_map(|(_, directive)| match directive {
        Directive::Listing { file, item, omit: None, .. } => {
            let text = project.read(&file).unwrap();
            let text = item.map_or(text.clone(), |item| source::item(&text, &item).unwrap());
            vec![(file, text.trim_matches('\n').to_string())]
        }
        Directive::Transcript { name, .. } => {
            let file = format!("book/transcripts/{name}.txt");
            let text = Transcript::parse(&project.read(&file).unwrap()).unwrap().text;
            let lines = text.lines().map(|line| line.trim_start_matches("$ ").to_string());
            lines.map(|line| (file.clone(), line)).collect()
        }
        _ => vec![],
    });
    shown.collect()
}

#[test]
fn epubcheck_finds_nothing() {
    if tools::are_missing(["epubcheck"].into_iter(), "the EPUB") {
        return;
    }
    let (project, dir) = &*BOOK;
    let epub = dir.path().join("checked.epub");
    epub::write(project, &dir.path().join("pages"), &epub).unwrap();
    let check = "if epubcheck --version 2>&1 | grep -q EPUBCheck
        then epubcheck --failonwarnings \"$1\"
        else java -jar \"$(command -v epubcheck)\" --failonwarnings \"$1\"; fi 2>&1";
    let output = Command::new("sh").args(["-c", check, "sh"]).arg(&epub).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("0 fatals / 0 errors / 0 warnings"), "{said}");
}

/// The PDF, printed once, if it can be.
static PDF: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    if tools::are_missing(["chromium", "pdftotext"].into_iter(), "the PDF") {
        return None;
    }
    let (project, dir) = &*BOOK;
    let file = dir.path().join("book.pdf");
    let chromium = chromium::find().expect("Chromium was there just now");
    pdf::write(project, &chromium, &dir.path().join("pages"), &file).unwrap();
    Some(file)
});

/// What pdftotext says with these arguments.
fn pdftotext(pdf: &Path, arguments: &[&str]) -> String {
    let output = Command::new("pdftotext").args(arguments).arg(pdf).arg("-").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The text of each page, without the running title.
fn pages_of(pdf: &Path) -> Vec<String> {
    let all = pdftotext(pdf, &[]);
    let body = |page: &str| page.split_once("\n\n").map_or(String::new(), |(_, body)| body.into());
    all.split('\u{c}').map(body).collect()
}

/// How many chapters have a number.
fn numbered_chapters(project: &Project) -> usize {
    let pages = check::summary(project).0;
    pages.iter().filter(|page| press::page::chapter_number(page).is_some()).count()
}

#[test]
fn the_pdf_has_every_chapter_from_its_first_words_to_its_last() {
    let Some(file) = &*PDF else { return };
    let (project, dir) = &*BOOK;
    let pages = pages_of(file);
    // A book of four chapters has fewer than 130 pages, and one chapter more is some twenty.
    let most = 130 + 20 * (numbered_chapters(project) - 4);
    assert!(pages.len() > 50 && pages.len() - 1 < most, "{} pages", pages.len() - 1);
    let text = dense(&pages.concat());
    for name in check::summary(project).0 {
        let page = dir.path().join("pages").join(name.replace(".md", ".html"));
        let page = dom::parse(&fs::read_to_string(page).unwrap());
        let main = page.first("main").unwrap().all().into_iter();
        // What stands in a figure or a box may be shown in another way.
        let paragraphs: Vec<String> =
            main.filter(|it| it.name == "p").map(|it| it.text()).collect();
        // The opening of a chapter is for browsers.
        let paragraphs: Vec<&String> =
            paragraphs.iter().filter(|text| !text.ends_with("minutes to read")).collect();
        let words = |text: &String| dense(&text.split_whitespace().take(5).collect::<String>());
        for paragraph in [paragraphs.first(), paragraphs.last()].into_iter().flatten().copied() {
            assert!(text.contains(&words(paragraph)), "{name}: {paragraph}");
        }
    }
}

/// Titles and numbers in the table of contents: each column is read by itself.
fn contents_of(pdf: &Path) -> Vec<(String, usize)> {
    let entry = Regex::new(r"(?m)^\s*(\S.*?)\s{2,}(\d+)$").unwrap();
    let columns = [("0", "270"), ("270", "290")];
    let text = columns.map(|(from, width)| {
        let area = ["-x", from, "-y", "0", "-W", width, "-H", "800"];
        pdftotext(pdf, &[&["-layout", "-f", "2", "-l", "2"], &area[..]].concat())
    });
    let found = text.iter().flat_map(|text| entry.captures_iter(text));
    found.map(|found| (found[1].to_string(), found[2].parse().unwrap())).collect()
}

#[test]
fn the_numbers_of_the_contents_are_those_of_the_pages() {
    let Some(file) = &*PDF else { return };
    let (pages, contents) = (pages_of(file), contents_of(file));
    let (project, _) = &*BOOK;
    assert!(contents.len() > check::summary(project).0.len() * 3, "{contents:?}");
    for (title, number) in &contents {
        // A title that is broken into two lines has its number in the first.
        let is_there = |number: usize| dense(&pages[number - 1]).contains(&dense(title));
        assert!(is_there(*number), "{title} is not on page {number}");
    }
    // A chapter begins its page, so it cannot be on one next to it.
    let chapters = contents.iter().filter(|(title, _)| title.contains('·'));
    let starts = chapters.filter(|(title, at)| dense(&pages[at - 1]).starts_with(&dense(title)));
    assert_eq!(starts.count(), numbered_chapters(project));
}

#[test]
fn pages_are_full_and_have_bookmarks() {
    let Some(file) = &*PDF else { return };
    let bookmarks = lopdf::Document::load(file).unwrap().get_toc().unwrap().toc;
    assert!(bookmarks.iter().any(|it| it.title.contains("Short pages are fine")));
    let boxes = pdftotext(file, &["-bbox"]);
    let word = Regex::new(r#"yMax="([\d.]+)">(.*)</word>"#).unwrap();
    let chapters: Vec<usize> =
        bookmarks.iter().filter(|it| it.level == 1).map(|it| it.page).collect();
    // Neither the cover nor the last page.
    for (page, text) in boxes.split("<page ").skip(1).enumerate().skip(1) {
        let number = page + 1;
        let height =
            |text: &str| word.captures(text).map_or(0.0, |it| it[1].parse::<f64>().unwrap());
        let lowest = text.lines().map(height).filter(|y| *y < 740.0).fold(0.0, f64::max);
        let ends = chapters.contains(&(number + 1)) || text.contains("</doc>");
        assert!(lowest > 260.0 || ends, "page {number} ends at {lowest} of 780 points");
    }
}

#[test]
fn a_missing_chromium_is_said_in_a_sentence() {
    let mut press = Command::new(env!("CARGO_BIN_EXE_press"));
    let output = press.arg("pdf").env("CHROMIUM", "/nowhere/chromium").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, format!("{}\n", chromium::MISSING));
}
