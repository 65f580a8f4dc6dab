//! A finished page as a tree that can be changed, and written as markup that is both HTML and XML.
//!
//! Browsers forgive what e-readers, which read XML, do not: elements left open, attributes without a
//! value, `viewbox` for `viewBox`. html5ever reads like a browser, and [`Element::write`] closes everything.

use scraper::{ElementRef, Html};

/// A part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An element with all that is in it.
    Element(Element),
    /// Text, with `&` and `<` as themselves.
    Text(String),
}

/// An element of HTML or SVG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// `p`, or `linearGradient` as SVG spells it.
    pub name: String,
    /// Names and values, in no particular order.
    pub attributes: Vec<(String, String)>,
    /// What is inside. Comments are not kept.
    pub children: Vec<Node>,
}

/// What HTML never closes.
const VOID: [&str; 9] = ["area", "br", "col", "hr", "img", "input", "link", "meta", "wbr"];

/// Reads a page, or a piece of one, as a browser would; the element is `html`.
pub fn parse(html: &str) -> Element {
    read(Html::parse_document(html).root_element())
}

/// Reads a piece of a page: what stands in `<body>`.
pub fn parse_piece(html: &str) -> Vec<Node> {
    let mut root = parse(html);
    root.first_mut("body").map(|body| std::mem::take(&mut body.children)).unwrap_or_default()
}

fn read(parsed: ElementRef) -> Element {
    let attributes = parsed.value().attrs.iter().map(|(name, value)| {
        let prefix = name.prefix.as_ref().filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map_or(String::new(), |prefix| format!("{prefix}:"));
        (prefix + &name.local, value.to_string())
    });
    let children = parsed.children().filter_map(|child| match child.value() {
        scraper::Node::Text(text) => Some(Node::Text(text.to_string())),
        _ => ElementRef::wrap(child).map(read).map(Node::Element),
    });
    Element {
        name: parsed.value().name().to_string(),
        attributes: attributes.collect(),
        children: children.collect(),
    }
}

impl Node {
    /// The element, if it is one.
    pub fn element(&self) -> Option<&Element> {
        match self {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        }
    }

    /// The element, to be changed.
    pub fn element_mut(&mut self) -> Option<&mut Element> {
        match self {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        }
    }

    /// All text in it.
    pub fn text(&self) -> String {
        match self {
            Node::Element(element) => element.text(),
            Node::Text(text) => text.clone(),
        }
    }
}

impl Element {
    /// An element with a class and this inside.
    pub fn new(name: &str, class: &str, children: Vec<Node>) -> Element {
        let class = (!class.is_empty()).then(|| ("class".to_string(), class.to_string()));
        Element { name: name.into(), attributes: class.into_iter().collect(), children }
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Gives an attribute this value.
    pub fn set(&mut self, name: &str, value: &str) {
        self.attributes.retain(|(key, _)| key != name);
        self.attributes.push((name.into(), value.into()));
    }

    /// Whether it has this class.
    pub fn is(&self, class: &str) -> bool {
        self.attribute("class").is_some_and(|all| all.split_whitespace().any(|one| one == class))
    }

    /// Gives it one class more.
    pub fn add_class(&mut self, class: &str) {
        let all = format!("{} {class}", self.attribute("class").unwrap_or(""));
        self.set("class", all.trim());
    }

    /// The level of a heading: 2 for `h2`.
    pub fn level(&self) -> Option<u32> {
        let level = self.name.strip_prefix('h')?.parse().ok()?;
        (1..=6).contains(&level).then_some(level)
    }

    /// All text in it.
    pub fn text(&self) -> String {
        self.children.iter().map(Node::text).collect()
    }

    /// Itself and every element in it, in the order of the page.
    pub fn all(&self) -> Vec<&Element> {
        let inside = self.children.iter().filter_map(Node::element).flat_map(Element::all);
        [self].into_iter().chain(inside).collect()
    }

    /// The first element of this name in it.
    pub fn first(&self, name: &str) -> Option<&Element> {
        self.all().into_iter().find(|element| element.name == name)
    }

    /// The first element of this name in it, to be changed.
    pub fn first_mut(&mut self, name: &str) -> Option<&mut Element> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter_mut().filter_map(Node::element_mut).find_map(|it| it.first_mut(name))
    }

    /// Lets `change` replace each node in it by others. It is asked about what is inside of a node before it is
    /// asked about the node.
    pub fn rewrite(&mut self, change: &mut impl FnMut(Node) -> Vec<Node>) {
        let children = std::mem::take(&mut self.children);
        for mut node in children {
            if let Node::Element(element) = &mut node {
                element.rewrite(change);
            }
            self.children.extend(change(node));
        }
    }

    /// Writes it as markup that an HTML parser and an XML parser read alike.
    pub fn write(&self, into: &mut String) {
        *into += &format!("<{}", self.name);
        for (name, value) in &self.attributes {
            *into += &format!(" {name}=\"{}\"", escaped(value).replace('"', "&quot;"));
        }
        if VOID.contains(&self.name.as_str()) {
            *into += "/>";
            return;
        }
        *into += ">";
        self.children.iter().for_each(|child| write(child, into));
        *into += &format!("</{}>", self.name);
    }
}

/// Writes a node, see [`Element::write`].
fn write(node: &Node, into: &mut String) {
    match node {
        Node::Element(element) => element.write(into),
        Node::Text(text) => *into += &escaped(text),
    }
}

/// These nodes as markup.
pub fn markup(nodes: &[Node]) -> String {
    let mut markup = String::new();
    nodes.iter().for_each(|node| write(node, &mut markup));
    markup
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
