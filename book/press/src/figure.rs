//! Pictures: an SVG file as part of the page, so that it takes on the page's colors.

use maud::{Markup, PreEscaped, html};
use roxmltree::{Document, Node};

/// The picture `name`.svg, whose text is `file`, as a piece of HTML.
///
/// Its title is `alt`, with an id made from `id`. All other ids must begin with the picture's name,
/// because the page for printing holds all pictures at once. An error comes with its line.
pub fn inlined(file: &str, name: &str, id: &str, alt: &str) -> Result<Markup, (usize, String)> {
    let document =
        Document::parse(file).map_err(|error| (error.pos().row as usize, error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "svg" || root.attribute("viewBox").is_none() {
        return Err((1, "not an <svg> with a viewBox, without which it cannot shrink".into()));
    }
    for element in root.descendants().filter(Node::is_element) {
        let line = document.text_pos_at(element.range().start).row as usize;
        allowed(element, name).map_err(|message| (line, message))?;
    }
    let drawn = |child: &Node| child.is_element() && child.tag_name().name() != "title";
    let mut own = root.children().filter(drawn);
    let first = own.next().ok_or((1, "nothing is drawn".to_string()))?;
    let last = own.next_back().unwrap_or(first);
    let open = file[root.range().start..].split('>').next().unwrap_or("");
    let label = format!(" role=\"img\" aria-labelledby=\"{id}-title\">");
    Ok(html! {
        (PreEscaped(open)) (PreEscaped(label))
        title id=(format!("{id}-title")) { (alt) }
        (PreEscaped(&file[first.range().start..last.range().end])) (PreEscaped("</svg>"))
    })
}

/// What would act on the page around the picture, or reach out of it, is refused.
fn allowed(element: Node, name: &str) -> Result<(), String> {
    let tag = element.tag_name().name();
    if ["script", "style", "foreignObject"].contains(&tag) {
        return Err(format!("<{tag}> in a picture, where it would act on the whole page"));
    }
    for attribute in element.attributes() {
        let (key, value) = (attribute.name(), attribute.value());
        if key == "id" && !value.starts_with(&format!("{name}-")) {
            return Err(format!("the id {value} does not begin with {name}-"));
        }
        if key.starts_with("on") || (["href", "src"].contains(&key) && !value.starts_with('#')) {
            return Err(format!("<{tag} {key}=\"{value}\"> in a picture"));
        }
    }
    Ok(())
}
