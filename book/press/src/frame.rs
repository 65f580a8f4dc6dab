//! What stands around the words of a page: its opening, the way to the pages before and after it, and
//! the words that explain themselves.
//!
//! All of it is made from what is there anyway: the ladder, `SUMMARY.md` and the glossary.

use std::collections::BTreeMap;
use std::ops::Range;

use maud::{Markup, html};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use regex::Regex;

use crate::Project;
use crate::page::{chapter_number, markdown_options, minutes};

/// The page whose paragraphs explain words.
pub const GLOSSARY: &str = "appendix-glossary.md";

/// A page of the book, in the order of `SUMMARY.md`.
pub struct Entry {
    /// Its file in `book/src`.
    pub file: String,
    /// Its title in the table of contents.
    pub title: String,
}

/// Puts the frame around a page. `markdown` is the page with its directives expanded, `text` as it was
/// written.
pub fn around(
    project: &Project,
    all: &[Entry],
    glossary: &Glossary,
    file: &str,
    text: &str,
    markdown: &str,
) -> String {
    let mut page = match file {
        GLOSSARY => with_places(markdown),
        _ => with_terms(markdown, glossary),
    };
    if let Some(opening) = opening(project, all, file, text)
        && let Some(end) = page.find('\n')
    {
        page.insert_str(end, &format!("\n\n{}\n", opening.into_string()));
    }
    if let Some(turn) = turn(all, file) {
        page += &format!("\n\n{}\n", turn.into_string());
    }
    page
}

/// The number of a chapter, how long it takes to read, and the ladder with its step lit. An interlude has
/// the minutes only; what comes before the first chapter, and the appendices, have neither.
fn opening(project: &Project, all: &[Entry], file: &str, text: &str) -> Option<Markup> {
    let number = chapter_number(file);
    let first = all.iter().position(|entry| chapter_number(&entry.file).is_some())?;
    let place = all.iter().position(|entry| entry.file == file)?;
    if place < first || file.starts_with("appendix") {
        return None;
    }
    let ladder = project.ladder().ok()?;
    Some(html! { div.opening {
        p {
            @match number { Some(number) => { "Chapter " (number) }, None => "Between the chapters" }
            span.opening-minutes { (minutes(text)) " minutes to read" }
        }
        @if number.is_some() { ol.rungs aria-label="The ladder" { @for step in &ladder.steps {
            @let is_here = step.chapter == file;
            li.here[is_here] aria-current=[is_here.then_some("step")] title=(step.idea) {
                (format!("{:02}", step.number()))
            }
        } } }
    } })
}

/// Links to the pages before and after, with their titles.
fn turn(all: &[Entry], file: &str) -> Option<Markup> {
    let place = all.iter().position(|entry| entry.file == file)?;
    let before = place.checked_sub(1).and_then(|place| all.get(place));
    let after = all.get(place + 1);
    let link = |entry: &Entry, class: &str, word: &str| {
        let href = entry.file.replace(".md", ".html");
        html! { a class=(class) href=(href) { small { (word) } " " (entry.title) } }
    };
    Some(html! { nav.turn aria-label="The pages before and after" {
        @if let Some(entry) = before { (link(entry, "turn-before", "Before")) }
        @if let Some(entry) = after { (link(entry, "turn-after", "Next")) }
    } })
}

/// A word of the glossary: the id of its paragraph, and what that says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    id: String,
    says: String,
}

/// Words that every page uses, and words that are ordinary English too: they would be marked everywhere,
/// and some of them wrongly.
const EVERYDAY: &[&str] = &[
    "address",
    "arm",
    "backend",
    "block",
    "body",
    "client",
    "crossed",
    "direction",
    "disarm",
    "end",
    "event",
    "experiment",
    "frozen",
    "gap",
    "grew",
    "head",
    "hole",
    "kernel",
    "lab",
    "ladder",
    "leaked",
    "milestone",
    "pending",
    "port",
    "proxy",
    "ready",
    "refused",
    "seam",
    "step",
    "still",
    "swallowed",
    "tail",
    "verdict",
];

/// Words that name a place where bytes are: their mark has its color.
const PLACES: [(&str, &str); 9] = [
    ("receive buffer", "kernel"),
    ("send buffer", "kernel"),
    ("accept queue", "kernel"),
    ("window", "kernel"),
    ("segment", "kernel"),
    ("FIFO", "proxy"),
    ("held back", "kernel"),
    ("short write", "lost"),
    ("truncated", "lost"),
];

/// The glossary's paragraphs: `**Accept queue.** Connections that …`, with a comma between words that
/// share one.
fn entries(glossary: &str) -> Vec<(Range<usize>, Vec<String>, String)> {
    let entry = Regex::new(r"(?m)^\*\*([^*]+)\.\*\* ").expect("a pattern");
    let found = entry.captures_iter(glossary).map(|found| {
        let all = found.get_match();
        let words = found[1].split(", ").map(inside_a_sentence).collect();
        let says = glossary[all.end()..].split("\n\n").next().unwrap_or("");
        (all.range(), words, plain(says))
    });
    found.collect()
}

/// A word as it stands inside a sentence: `Accept queue` begins with a small letter there, `FIN` does not.
fn inside_a_sentence(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next();
    match chars.clone().next() {
        Some(second) if second.is_lowercase() => {
            first.iter().flat_map(|it| it.to_lowercase()).chain(chars).collect()
        }
        _ => word.to_string(),
    }
}

/// Markdown as text.
fn plain(markdown: &str) -> String {
    let words = Parser::new(markdown).map(|event| match event {
        Event::Text(text) | Event::Code(text) => text.into_string(),
        Event::SoftBreak => " ".into(),
        _ => String::new(),
    });
    words.collect()
}

fn id(word: &str) -> String {
    format!("term-{}", word.replace(|char: char| !char.is_ascii_alphanumeric(), "-"))
}

/// The words of the glossary, each with its meaning.
#[derive(Default)]
pub struct Glossary(BTreeMap<String, Meaning>);

impl Glossary {
    /// Takes it from the text of its page.
    pub fn of(text: &str) -> Glossary {
        let mut meanings = BTreeMap::new();
        for (_, words, says) in entries(text) {
            let id = id(&words[0]);
            for word in words {
                meanings.insert(word, Meaning { id: id.clone(), says: says.clone() });
            }
        }
        Glossary(meanings)
    }

    /// Reads it. A book without a glossary has no such words.
    pub fn read(project: &Project) -> Glossary {
        let text = project.read(&format!("book/src/{GLOSSARY}"));
        text.map_or_else(|_| Glossary::default(), |text| Glossary::of(&text))
    }
}

/// The glossary, with a place to link to at each of its paragraphs.
fn with_places(markdown: &str) -> String {
    let mut page = markdown.to_string();
    for (range, words, _) in entries(markdown).into_iter().rev() {
        page.insert_str(range.start, &format!("<a id=\"{}\"></a>", id(&words[0])));
    }
    page
}

/// A page on which the first mention of each word of the glossary explains it. A word that the page
/// itself explains, in bold, needs none.
fn with_terms(markdown: &str, Glossary(meanings): &Glossary) -> String {
    let (texts, bold) = prose(markdown);
    let mut marks: Vec<(Range<usize>, &Meaning)> = vec![];
    let mut done: Vec<&str> = vec![];
    for (word, meaning) in meanings {
        if EVERYDAY.contains(&word.as_str())
            || done.contains(&meaning.id.as_str())
            || bold.iter().any(|bold| bold.contains(&word.to_lowercase()))
        {
            continue;
        }
        let pattern = Regex::new(&format!(r"(?-u)\b{}s?\b", regex::escape(word))).expect("a word");
        let found = texts.iter().find_map(|range| {
            let found = pattern.find(&markdown[range.clone()])?;
            let place = range.start + found.start()..range.start + found.end();
            let is_free =
                marks.iter().all(|(other, _)| other.end <= place.start || place.end <= other.start);
            is_free.then_some(place)
        });
        if let Some(place) = found {
            marks.push((place, meaning));
            done.push(&meaning.id);
        }
    }
    marks.sort_by_key(|(range, _)| range.start);
    let mut page = markdown.to_string();
    for (range, Meaning { id, says }) in marks.into_iter().rev() {
        let href = format!("{}#{id}", GLOSSARY.replace(".md", ".html"));
        let word = &markdown[range.clone()];
        let place = PLACES.iter().find(|(name, _)| word.starts_with(name));
        let class = place.map_or("term".into(), |(_, place)| format!("term in-{place}"));
        let link = html! { a class=(class) href=(href) aria-description=(says) { (word) } };
        page.replace_range(range, &link.into_string());
    }
    page
}

/// Where there is running text, outside of headings, links, code and emphasis; and what is in bold.
fn prose(markdown: &str) -> (Vec<Range<usize>>, Vec<String>) {
    let (mut texts, mut bold) = (vec![], vec![]);
    let mut inside = 0;
    let mut is_bold = false;
    for (event, range) in Parser::new_ext(markdown, markdown_options()).into_offset_iter() {
        match event {
            Event::Start(
                Tag::Heading { .. }
                | Tag::Link { .. }
                | Tag::CodeBlock(_)
                | Tag::Emphasis
                | Tag::BlockQuote(_),
            ) => inside += 1,
            Event::End(
                TagEnd::Heading(_)
                | TagEnd::Link
                | TagEnd::CodeBlock
                | TagEnd::Emphasis
                | TagEnd::BlockQuote(_),
            ) => inside -= 1,
            Event::Start(Tag::Strong) => is_bold = true,
            Event::End(TagEnd::Strong) => is_bold = false,
            Event::Text(text) if is_bold => bold.push(text.to_lowercase()),
            Event::Text(_) if inside == 0 => texts.push(range),
            _ => {}
        }
    }
    (texts, bold)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str =
        "# Glossary\n\n**Batch.** The `events` of\none call.\n\n**Window, view.** Room.\n";

    #[test]
    fn the_first_mention_explains_a_word() {
        let page = with_terms(
            "A batch, two batches, a batch. `a window`, [a view](x), two views.",
            &Glossary::of(WORDS),
        );
        let link = "<a class=\"term\" href=\"appendix-glossary.html#term-batch\" aria-description=\"The events of one call.\"";
        assert_eq!(page.matches(link).count(), 1, "{page}");
        assert!(page.starts_with("A <a class"), "{page}");
        assert_eq!(page.matches("#term-window").count(), 1, "{page}");
        assert!(page.contains(">views</a>.") && page.contains("`a window`, [a view](x)"), "{page}");
    }

    #[test]
    fn what_the_page_itself_explains_is_left_alone() {
        let page = "A batch. A **batch** is what one call returns.";
        assert_eq!(with_terms(page, &Glossary::of(WORDS)), page);
    }

    #[test]
    fn the_glossary_has_places_to_link_to() {
        assert!(with_places(WORDS).contains("\n<a id=\"term-window\"></a>**Window, view.** "));
    }
}
