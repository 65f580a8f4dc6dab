//! The book on paper: a PDF, printed by Chromium from mdBook's page for printing.
//!
//! Chromium knows the number of a page only while it prints it, and a table of contents needs the numbers before.
//! So the book is printed twice: the PDF says on which page each heading is, and the second time the numbers
//! stand where they belong. If that moved a heading, it is printed once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use lopdf::{Dictionary, Document, Object, ObjectId, SaveOptions, StringFormat};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::about::{About, modified};
use crate::chapters::{self, Chapter};
use crate::chromium::Chromium;
use crate::dom::{self, Element, Node};
use crate::{Project, output};

/// The page of each id that something on paper leads to.
pub type Numbers = BTreeMap<String, u32>;

/// The looks of the PDF and of the cover. What every print of the pages needs is in paper.css.
const SHEET: &str = "book/theme/pdf.css";
/// How often the book is printed until the numbers stay as they are.
const ROUNDS: usize = 4;

/// Prints the book from finished pages.
pub fn write(project: &Project, chromium: &Chromium, pages: &Path, to: &Path) -> Result<()> {
    let about = About::read(project)?;
    let print = dom::parse(&output::read(&pages.join("print.html"))?);
    let chapters = chapters::of_print(project, &print)?;
    let cover = project.read("book/src/figures/cover.svg").unwrap_or_default();
    let sheet = project.read(SHEET).map_err(Error::msg)?;
    // Among the pages, for the sake of their style sheets and fonts.
    let [page, printed] = ["paper.html", "paper.pdf"].map(|name| pages.join(name));
    let mut numbers = Numbers::new();
    for _ in 0..ROUNDS {
        fs::write(&page, paper(&about, &print, [&sheet, &cover], &chapters, &numbers))?;
        chromium.print(&page, &printed)?;
        let pdf = Document::load(&printed).context("reading what Chromium has printed")?;
        let found = destinations(&pdf)?;
        if found == numbers {
            return finish(project, &about, pdf, to);
        }
        numbers = found;
    }
    bail!("the numbers of the pages are still changing after {ROUNDS} rounds");
}

/// On which page each id is that a link leads to.
pub fn destinations(pdf: &Document) -> Result<Numbers> {
    let pages: BTreeMap<ObjectId, u32> =
        pdf.get_pages().into_iter().map(|(number, id)| (id, number)).collect();
    let named = pdf.catalog()?.get(b"Dests").context("the PDF names no places")?;
    let (_, named) = pdf.dereference(named)?;
    let place = |(name, place): (&Vec<u8>, &Object)| {
        let (_, place) = pdf.dereference(place).ok()?;
        let page = place.as_array().ok()?.first()?.as_reference().ok()?;
        Some((String::from_utf8_lossy(name).into_owned(), *pages.get(&page)?))
    };
    Ok(named.as_dict()?.iter().filter_map(place).collect())
}

/// Says who wrote it and when, and makes it small: Chromium writes it without compression of its structure.
fn finish(project: &Project, about: &About, mut pdf: Document, to: &Path) -> Result<()> {
    let digits: String = modified(project).chars().filter(char::is_ascii_digit).collect();
    let date = format!("D:{digits}Z");
    let mut info = Dictionary::new();
    for (key, value) in [
        ("Title", &about.title),
        ("Author", &about.authors.join(", ")),
        ("Subject", &about.description),
        ("CreationDate", &date),
        ("ModDate", &date),
    ] {
        info.set(key, Object::String(value.clone().into_bytes(), StringFormat::Literal));
    }
    let info = pdf.add_object(info);
    pdf.trailer.set("Info", info);
    let small = SaveOptions::builder().use_object_streams(true).use_xref_streams(true);
    let small = small.compression_level(9).build();
    pdf.compress();
    let mut bytes = Vec::new();
    pdf.save_with_options(&mut bytes, small).context("writing the PDF")?;
    fs::write(to, bytes).with_context(|| format!("writing {}", to.display()))
}

/// The page that is printed: the cover, the contents, the chapters.
fn paper(
    about: &About,
    print: &Element,
    [sheet, cover]: [&str; 2],
    chapters: &[Chapter],
    numbers: &Numbers,
) -> String {
    let all = print.all();
    let is_sheet = |it: &&&Element| it.attribute("rel") == Some("stylesheet");
    let sheets = all.iter().filter(is_sheet).filter_map(|it| it.attribute("href"));
    html! {
        (DOCTYPE)
        html.light.js.paper lang=(about.language) {
            head {
                meta charset="UTF-8";
                title { (about.title) }
                @for sheet in sheets { link rel="stylesheet" href=(sheet); }
                style { (PreEscaped(sheet)) (PreEscaped(running_titles(chapters))) }
            }
            body { div.content { main {
                div.paper-cover { (cover_body(about, cover)) }
                (contents(chapters, numbers))
                @for chapter in chapters { (section(chapter)) }
            } } }
        }
    }
    .into_string()
}

/// Above each page, the title of its chapter.
fn running_titles(chapters: &[Chapter]) -> String {
    let rule = |chapter: &Chapter| {
        let title = chapter.title.replace('\\', "\\\\").replace('"', "\\\"").replace('<', "\\3c ");
        format!("@page {} {{ @top-left {{ content: \"{title}\"; }} }}\n", sheet(chapter))
    };
    chapters.iter().map(rule).collect()
}

fn sheet(chapter: &Chapter) -> String {
    format!("chapter-{}", chapter.short())
}

/// A chapter, on pages that carry its title.
fn section(chapter: &Chapter) -> Markup {
    let mut content = chapter.content.clone();
    content.set("style", &format!("page: {}", sheet(chapter)));
    content.set("class", "paper-chapter");
    PreEscaped(dom::markup(&[Node::Element(content)]))
}

/// The number of a page, or as much room as it will need.
fn page_number(numbers: &Numbers, id: &str) -> Markup {
    html! { span.paper-number { @match numbers.get(id) {
        Some(number) => (number),
        None => "000",
    } } }
}

/// The table of contents. A section is in it if no other chapter has one of that name: each chapter has a
/// `Run it`, which nobody looks up.
fn contents(chapters: &[Chapter], numbers: &Numbers) -> Markup {
    let headings: Vec<Vec<(String, String)>> = chapters.iter().map(headings).collect();
    let mut once = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for (_, title) in headings.iter().flatten() {
        if !once.insert(title) {
            twice.insert(title);
        }
    }
    let entry = |id: &str, title: &str| {
        html! { a href=(format!("#{id}")) {
            span.title { (title) } span.leader {} (page_number(numbers, id))
        } }
    };
    html! { nav.paper-contents {
        h1 #contents { "Contents" }
        @for (at, headings) in headings.iter().enumerate() {
            @if let Some(part) = beginning(chapters, at) { p.part { (part) } }
            @if let Some(((id, _), sections)) = headings.split_first() {
                div.of-chapter {
                    (entry(id, &chapters[at].title))
                    @for (id, title) in sections.iter().filter(|it| !twice.contains(&it.1)) {
                        div.of-section { (entry(id, title)) }
                    }
                }
            }
        }
    } }
}

/// The title of the part that begins with this chapter, if one does.
fn beginning(chapters: &[Chapter], at: usize) -> Option<&str> {
    let before = at.checked_sub(1).and_then(|before| chapters[before].part.as_deref());
    chapters[at].part.as_deref().filter(|part| before != Some(part))
}

/// The ids and titles of a chapter's title and of its sections.
fn headings(chapter: &Chapter) -> Vec<(String, String)> {
    let all = chapter.content.all().into_iter();
    let own = all.filter(|it| it.level().is_some_and(|level| level < 3));
    own.filter_map(|it| Some((it.attribute("id")?.to_string(), it.text()))).collect()
}

/// A page that is all cover, for a picture of it.
pub fn cover_page(project: &Project, about: &About, svg: &str) -> Result<String> {
    let sheet = project.read(SHEET).map_err(Error::msg)?;
    let page = html! {
        (DOCTYPE)
        html.cover-only lang=(about.language) {
            head { meta charset="UTF-8"; title { (about.title) } style { (PreEscaped(sheet)) } }
            body { div.paper-cover { (cover_body(about, svg)) } }
        }
    };
    Ok(page.into_string())
}

/// The picture of the cover, and who wrote the book. The picture has its title in it.
fn cover_body(about: &About, svg: &str) -> Markup {
    let drawing = svg.find("<svg").map_or("", |at| &svg[at..]);
    html! { (PreEscaped(drawing)) p.authors { (about.authors.join(", ")) } }
}
