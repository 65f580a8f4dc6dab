//! Pictures: an SVG file as part of the page, so that it takes on the page's colours.

use crate::html::{self, Token};

/// The picture as one line of SVG.
///
/// `id` must be the only one of its kind in the whole book: it becomes the prefix of all ids in the
/// picture, because the page for printing holds all pictures at once. `alt` becomes its title, and
/// takes the place of the one in the file.
pub fn inlined(file: &str, id: &str, alt: &str) -> Result<String, String> {
    let mut svg = String::new();
    let mut depth = 0_usize;
    let mut closed = false;
    // Inside the file's own title, which the alternative text replaces.
    let mut in_title = false;
    for (_, token) in html::tokens(file) {
        match token {
            Token::Open(tag) => {
                if depth == 0 {
                    if tag.name != "svg" || closed {
                        return Err(format!("<{}> where <svg> belongs", tag.name));
                    }
                    if tag.attribute("viewbox").is_none() {
                        return Err("<svg> has no viewBox, so it cannot shrink".into());
                    }
                }
                forbidden(&tag)?;
                if depth == 1 && tag.name == "title" {
                    in_title = !tag.empty;
                    continue;
                }
                let text = &file[tag.range.clone()];
                if depth == 0 {
                    let open = root(&tag, text, id);
                    svg.push_str(&format!(
                        "{open}<title id=\"{id}-title\">{}</title>",
                        html::escape(alt)
                    ));
                } else {
                    svg.push_str(&prefixed(&tag, text, id));
                }
                if !tag.empty {
                    depth += 1;
                } else if depth == 0 {
                    return Err("<svg> is empty".into());
                }
            }
            Token::Close(name) => {
                if in_title {
                    in_title = false;
                    continue;
                }
                depth = depth.checked_sub(1).ok_or(format!("</{name}> closes nothing"))?;
                closed = depth == 0;
                svg.push_str(&format!("</{}>", cased(&name)));
            }
            Token::Text(text) if in_title || (depth == 0 && text.trim().is_empty()) => {}
            Token::Text(_) if depth == 0 => return Err("text outside of <svg>".into()),
            // In a picture, line breaks and indentation mean nothing.
            Token::Text(text) if text.trim().is_empty() => {
                if !svg.ends_with('>') || !text.contains('\n') {
                    svg.push(' ');
                }
            }
            Token::Text(text) => svg.push_str(&text.replace('\n', " ")),
        }
    }
    if !closed {
        return Err("<svg> is not closed, or not there".into());
    }
    Ok(svg)
}

/// What would act on the page around the picture, or reach out of it.
fn forbidden(tag: &html::Tagged) -> Result<(), String> {
    match tag.name.as_str() {
        "script" | "foreignobject" => return Err(format!("<{}> in a picture", tag.name)),
        "style" => {
            return Err("<style> would style every picture of the page: use attributes, or the classes of press.css".into());
        }
        _ => {}
    }
    for (name, value) in &tag.attributes {
        let link = ["href", "xlink:href", "src"].contains(&name.as_str());
        if name.starts_with("on") || (link && !value.starts_with('#')) {
            return Err(format!("<{} {name}=\"{value}\"> in a picture", tag.name));
        }
    }
    Ok(())
}

/// The opening tag of the picture, made an image with a name.
fn root(tag: &html::Tagged, text: &str, id: &str) -> String {
    let mut open = String::from("<svg");
    for (name, value) in &tag.attributes {
        if !["id", "role", "aria-labelledby", "aria-label", "aria-hidden"].contains(&name.as_str())
        {
            // Names are written as they were: viewBox.
            let at = text.to_ascii_lowercase().find(&format!(" {name}=")).unwrap_or(0);
            let cased = text.get(at + 1..at + 1 + name.len()).unwrap_or(name);
            open.push_str(&format!(" {cased}=\"{}\"", value.replace('\n', " ")));
        }
    }
    format!("{open} id=\"{id}\" role=\"img\" aria-labelledby=\"{id}-title\">")
}

/// A tag in which every id, and every reference to one, has got the prefix.
fn prefixed(tag: &html::Tagged, text: &str, id: &str) -> String {
    let mut text = text.replace('\n', " ");
    for (name, value) in &tag.attributes {
        let new = match name.as_str() {
            "id" => format!("{id}-{value}"),
            "href" | "xlink:href" => value.replacen('#', &format!("#{id}-"), 1),
            "aria-labelledby" | "aria-describedby" => {
                let all: Vec<_> =
                    value.split_whitespace().map(|one| format!("{id}-{one}")).collect();
                all.join(" ")
            }
            _ => value.replace("url(#", &format!("url(#{id}-")),
        };
        if new != *value {
            for quote in ['"', '\''] {
                text = text
                    .replace(&format!("={quote}{value}{quote}"), &format!("={quote}{new}{quote}"));
            }
        }
    }
    text
}

/// The names of SVG's elements that are not all lower case, where a picture is likely to use them.
fn cased(name: &str) -> &str {
    match name {
        "lineargradient" => "linearGradient",
        "radialgradient" => "radialGradient",
        "clippath" => "clipPath",
        "textpath" => "textPath",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = r##"<?xml version="1.0"?>
<!-- Drawn by hand. -->
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10" id="root">
  <title>Old</title>
  <defs><marker id="tip"><path d="M0 0
    L1 1"/></marker></defs>
  <line id="a" marker-end="url(#tip)"/>
  <use href="#a"/>
  <text>one <tspan>two</tspan></text>
</svg>
"##;

    #[test]
    fn a_picture_is_one_line_with_ids_of_its_own_and_a_title() {
        assert_eq!(
            inlined(SVG, "figure-3-1", "A & B").unwrap(),
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 10 10\" id=\"figure-3-1\" \
             role=\"img\" aria-labelledby=\"figure-3-1-title\"><title id=\"figure-3-1-title\">\
             A &amp; B</title><defs><marker id=\"figure-3-1-tip\"><path d=\"M0 0     L1 1\"/>\
             </marker></defs><line id=\"figure-3-1-a\" marker-end=\"url(#figure-3-1-tip)\"/>\
             <use href=\"#figure-3-1-a\"/><text>one <tspan>two</tspan></text></svg>"
        );
    }

    #[test]
    fn what_does_not_belong_into_a_picture_is_refused() {
        let error = |svg: &str| inlined(svg, "x", "alt").unwrap_err();
        assert!(error("<svg><g/></svg>").contains("viewBox"));
        assert!(error("<p>no</p>").contains("<p> where <svg> belongs"));
        assert!(error("").contains("not there"));
        assert!(error("<svg viewBox=\"0 0 1 1\"><g>").contains("not closed"));
        assert!(error("<svg viewBox=\"0 0 1 1\"><style>a{}</style></svg>").contains("<style>"));
        let link = "<svg viewBox=\"0 0 1 1\"><image href=\"http://x/y.png\"/></svg>";
        assert!(error(link).contains("<image href="));
    }
}
