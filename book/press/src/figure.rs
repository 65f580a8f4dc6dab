//! Pictures: an SVG file as part of the page, so that it takes on the page's colors.

use maud::{Markup, PreEscaped, html};
use roxmltree::{Document, Node};

/// The picture as one line of SVG.
///
/// `id` must be the only one of its kind in the whole book: it becomes the prefix of all ids in the
/// picture, because the page for printing holds all pictures at once. `alt` becomes its title, and
/// takes the place of the one in the file. An error comes with its line.
pub fn inlined(file: &str, id: &str, alt: &str) -> Result<Markup, (usize, String)> {
    let document =
        Document::parse(file).map_err(|error| (error.pos().row as usize, error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "svg" {
        return Err((1, format!("<{}> where <svg> belongs", root.tag_name().name())));
    }
    if root.attribute("viewBox").is_none() {
        return Err((1, "<svg> has no viewBox, so it cannot shrink".into()));
    }
    for element in root.descendants().filter(Node::is_element) {
        let line = document.text_pos_at(element.range().start).row as usize;
        forbidden(element).map_err(|message| (line, message))?;
    }
    let mut svg = String::from("<svg");
    if let Some(namespace) = root.tag_name().namespace() {
        push_attribute(&mut svg, "xmlns", namespace);
    }
    for attribute in root.attributes() {
        let replaced = ["id", "role", "aria-labelledby", "aria-label", "aria-hidden"];
        if !replaced.contains(&attribute.name()) {
            push_attribute(&mut svg, attribute.name(), attribute.value());
        }
    }
    svg += &format!(" id=\"{id}\" role=\"img\" aria-labelledby=\"{id}-title\">");
    svg += &html! { title id=(format!("{id}-title")) { (alt) } }.into_string();
    for child in root.children().filter(|child| !child.has_tag_name("title")) {
        push(&mut svg, child, id);
    }
    Ok(PreEscaped(svg + "</svg>"))
}

/// What would act on the page around the picture, or reach out of it.
fn forbidden(element: Node) -> Result<(), String> {
    let name = element.tag_name().name();
    match name {
        "script" | "foreignObject" => return Err(format!("<{name}> in a picture")),
        "style" => {
            return Err("<style> would style every picture of the page: use attributes, or the classes of press.css".into());
        }
        _ => {}
    }
    for attribute in element.attributes() {
        let (key, value) = (attribute.name(), attribute.value());
        let link = ["href", "src"].contains(&key);
        if key.starts_with("on") || (link && !value.starts_with('#')) {
            return Err(format!("<{name} {key}=\"{value}\"> in a picture"));
        }
    }
    Ok(())
}

/// Writes an element and what is in it. Every id, and every reference to one, gets the prefix.
fn push(svg: &mut String, node: Node, id: &str) {
    if let Some(text) = node.text().filter(|_| node.is_text()) {
        // Between tags, line breaks and indentation mean nothing.
        let between = text.trim().is_empty() && text.contains('\n');
        if !between {
            *svg += &html! { (text.replace('\n', " ")) }.into_string();
        }
        return;
    }
    if !node.is_element() {
        return;
    }
    let name = node.tag_name().name();
    *svg += &format!("<{name}");
    for attribute in node.attributes() {
        let value = attribute.value();
        let value = match (attribute.name(), value.strip_prefix('#')) {
            ("id", _) => format!("{id}-{value}"),
            ("href", Some(target)) => format!("#{id}-{target}"),
            _ => value.replace("url(#", &format!("url(#{id}-")),
        };
        push_attribute(svg, attribute.name(), &value);
    }
    if !node.has_children() {
        *svg += "/>";
        return;
    }
    svg.push('>');
    node.children().for_each(|child| push(svg, child, id));
    *svg += &format!("</{name}>");
}

fn push_attribute(svg: &mut String, name: &str, value: &str) {
    *svg += &format!(" {name}=\"{}\"", html! { (value) }.into_string());
}
