//! The book for e-readers: an EPUB, which is a ZIP of XHTML pages, pictures, fonts, and lists of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Error, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::about::{About, modified};
use crate::chapters::{self, Chapter};
use crate::chromium;
use crate::dom::{self, Element, Node};
use crate::{Project, files, output, pdf};

/// What the book is known by to an e-reader, so that a new edition takes the place of the old one. It is a
/// random number, drawn once.
const IDENTIFIER: &str = "urn:uuid:5f0c3a5e-7d0b-4c1e-9b7a-2f6f0a1d6c43";
/// Pixels; what shops ask for.
const COVER: [u32; 2] = [1200, 1800];

/// A file of the EPUB.
struct Part {
    /// Its path, seen from the list of files.
    path: String,
    /// What it is: `application/xhtml+xml`.
    kind: &'static str,
    /// What the list of files says of it besides: `nav`.
    properties: &'static str,
    bytes: Vec<u8>,
}

/// Makes the EPUB from finished pages.
pub fn write(project: &Project, pages: &Path, destination: &Path) -> Result<()> {
    let about = About::read(project)?;
    let chapters = chapters::of_pages(project, pages)?;
    let style = project.read("book/theme/epub.css").map_err(Error::msg)?;
    let mut parts = vec![part("epub.css", "text/css", "", style)];
    let fonts = project.root().join("book/theme/fonts");
    for font in files(&fonts, ".woff2") {
        let bytes = fs::read(fonts.join(&font)).context("reading the fonts")?;
        parts.push(part(&format!("fonts/{}", font.display()), "font/woff2", "", bytes));
    }
    let cover = cover(project, &about, pages)?;
    let contents = page(&about, "Contents", "contents", nav(&chapters, cover.is_some()));
    if let Some(cover) = cover {
        let first = page(&about, &about.title, "cover", cover_page(&about, &cover.path));
        parts.extend([cover, part("cover.xhtml", XHTML, "", first)]);
    }
    parts.push(part("contents.xhtml", XHTML, "nav", contents));
    for chapter in &chapters {
        let text = page(&about, &chapter.title, "chapter", body(chapter));
        let properties = if chapter.content.first("svg").is_some() { "svg" } else { "" };
        parts.push(part(&format!("{}.xhtml", chapter.name), XHTML, properties, text));
    }
    let list = list(project, &about, &parts);
    pack(destination, &parts, &list).with_context(|| format!("writing {}", destination.display()))
}

/// What a reader who does not see the pages can expect.
const ACCESS: [(&str, &str); 7] = [
    ("accessMode", "textual"),
    ("accessMode", "visual"),
    ("accessModeSufficient", "textual"),
    ("accessibilityFeature", "structuralNavigation"),
    ("accessibilityFeature", "alternativeText"),
    ("accessibilityHazard", "none"),
    ("accessibilitySummary", "Every picture has a text that says what it shows."),
];

const XHTML: &str = "application/xhtml+xml";

fn part(
    path: &str,
    kind: &'static str,
    properties: &'static str,
    bytes: impl Into<Vec<u8>>,
) -> Part {
    Part { path: path.into(), kind, properties, bytes: bytes.into() }
}

/// The cover as a picture, if the book has one: of pixels where Chromium can draw it, because few e-readers
/// show another. One that fails at it is as good as none.
fn cover(project: &Project, about: &About, pages: &Path) -> Result<Option<Part>> {
    let Ok(svg) = project.read("book/src/figures/cover.svg") else { return Ok(None) };
    let [page, png] = ["cover.html", "cover.png"].map(|name| pages.join(name));
    let html = pdf::cover_page(project, about, &svg)?;
    fs::write(&page, html).with_context(|| format!("writing {}", page.display()))?;
    let drawn = chromium::find().is_some_and(|it| it.picture(&page, &png, COVER).is_ok());
    Ok(Some(match drawn {
        true => part("cover.png", "image/png", "cover-image", fs::read(&png)?),
        false => part("cover.svg", "image/svg+xml", "cover-image", svg),
    }))
}

fn cover_page(about: &About, picture: &str) -> Markup {
    html! { div.cover { img src=(picture) alt=(format!("The cover of {}", about.title)); } }
}

/// A page of the EPUB: XHTML, whatever `maud` and the chapter's own markup are.
fn page(about: &About, title: &str, class: &str, body: Markup) -> String {
    let mut root = dom::parse(
        &html! {
            (DOCTYPE)
            html lang=(about.language) {
                head {
                    title { (title) }
                    link rel="stylesheet" type="text/css" href="epub.css";
                }
                body class=(class) { (body) }
            }
        }
        .into_string(),
    );
    root.set("xmlns", "http://www.w3.org/1999/xhtml");
    root.set("xmlns:epub", "http://www.idpf.org/2007/ops");
    root.set("xml:lang", &about.language);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html>\n");
    root.write(&mut text);
    text + "\n"
}

fn body(chapter: &Chapter) -> Markup {
    let mut content = chapter.content.clone();
    content.rewrite(&mut |mut node| {
        if let Node::Element(element) = &mut node {
            follow(element);
            // What is reached with the keyboard in order to be scrolled: an e-reader has pages.
            element.attributes.retain(|(name, _)| name != "tabindex");
        }
        vec![node]
    });
    PreEscaped(dom::markup(&[Node::Element(content)]))
}

/// Makes a link to another page of the book one to another file of the EPUB.
fn follow(element: &mut Element) {
    let Some(to) = element.attribute("href").filter(|_| element.name == "a") else { return };
    let (page, rest) = to.split_once('#').map_or((to, None), |(page, rest)| (page, Some(rest)));
    if output::is_external(page) || !page.ends_with(".html") {
        return;
    }
    let page = page.trim_end_matches(".html");
    let rest = rest.map_or(String::new(), |rest| format!("#{rest}"));
    element.set("href", &format!("{page}.xhtml{rest}"));
}

/// The table of contents, by parts.
fn nav(chapters: &[Chapter], has_cover: bool) -> Markup {
    let entry = |chapter: &Chapter| {
        html! { li { a href=(format!("{}.xhtml", chapter.name)) { (chapter.title) } } }
    };
    html! {
        nav #toc epub:type="toc" {
            h1 { "Contents" }
            ol { @for chapters in chapters.chunk_by(|one, next| one.part == next.part) {
                @match &chapters[0].part {
                    Some(part) => li { span { (part) } ol { @for one in chapters { (entry(one)) } } },
                    None => @for one in chapters { (entry(one)) },
                }
            } }
        }
        nav #landmarks epub:type="landmarks" hidden="hidden" {
            h2 { "Landmarks" }
            ol {
                @if has_cover { li { a epub:type="cover" href="cover.xhtml" { "Cover" } } }
                li { a epub:type="toc" href="contents.xhtml" { "Contents" } }
                @if let Some(first) = chapters.first() {
                    li { a epub:type="bodymatter" href=(format!("{}.xhtml", first.name)) { "Start" } }
                }
            }
        }
    }
}

/// The list of files. It also says what the book is, and the order of its pages.
fn list(project: &Project, about: &About, parts: &[Part]) -> String {
    let modified = modified(project);
    let id = |part: &Part| format!("part-{}", part.path.replace(['/', '.'], "-"));
    let pages = parts.iter().filter(|part| part.kind == XHTML);
    let list = html! {
        package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" {
            metadata xmlns:dc="http://purl.org/dc/elements/1.1/" {
                dc:identifier #id { (IDENTIFIER) }
                dc:title { (about.title) }
                dc:language { (about.language) }
                @for author in &about.authors { dc:creator { (author) } }
                @if !about.description.is_empty() { dc:description { (about.description) } }
                dc:date { (modified.split('T').next().unwrap_or("")) }
                meta property="dcterms:modified" { (modified) }
                @for (property, value) in ACCESS {
                    meta property=(format!("schema:{property}")) { (value) }
                }
            }
            manifest { @for part in parts {
                item id=(id(part)) href=(part.path) media-type=(part.kind)
                    properties=[(!part.properties.is_empty()).then_some(part.properties)] {}
            } }
            spine { @for page in pages { itemref idref=(id(page)) {} } }
        }
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", list.into_string())
}

const CONTAINER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="book/book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"#;

/// Writes the ZIP. Its first file says what it is, and is not compressed, so that it can be seen from outside.
fn pack(destination: &Path, parts: &[Part], list: &str) -> Result<()> {
    let mut zip = ZipWriter::new(File::create(destination)?);
    // Without the time of day, which would make each EPUB another.
    let plain = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    let stored = plain.compression_method(CompressionMethod::Stored);
    let small = plain.compression_method(CompressionMethod::Deflated);
    zip.start_file("mimetype", stored)?;
    zip.write_all(b"application/epub+zip")?;
    zip.start_file("META-INF/container.xml", small)?;
    zip.write_all(CONTAINER.as_bytes())?;
    zip.start_file("book/book.opf", small)?;
    zip.write_all(list.as_bytes())?;
    for part in parts {
        zip.start_file(format!("book/{}", part.path), small)?;
        zip.write_all(&part.bytes)?;
    }
    zip.finish()?;
    Ok(())
}
