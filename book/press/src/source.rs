//! Parts of source files: items, and what stands between two marks.
//!
//! The sources are formatted by rustfmt and compile, so a reader of brackets, comments and strings
//! is enough here. It does not need to know Rust.

use std::ops::Range;

/// A text in which comments, strings and characters are blanked out, byte for byte, so that every
/// bracket left is code.
fn code_only(source: &str) -> Vec<u8> {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut blank = |range: Range<usize>| {
        for byte in &mut code[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + block_comment(rest)
        } else if bytes[at] == b'"' {
            at + string(rest)
        } else if bytes[at] == b'r' && !(at > 0 && is_word(bytes[at - 1])) {
            at + raw_string(rest).unwrap_or(0)
        } else if bytes[at] == b'\'' {
            at + character(rest).unwrap_or(0)
        } else {
            at
        };
        if end > at {
            blank(at..end);
            at = end;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    code
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of the block comment that `text` begins with. They nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text.as_bytes()[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text.as_bytes()[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len()))
}

/// The length of the character that `text` begins with; none where it is a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut inside = text[1..].chars();
    match inside.next()? {
        '\\' => text[3..].find('\'').map(|at| at + 4),
        c => (inside.next()? == '\'').then(|| c.len_utf8() + 2),
    }
}

/// An item of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As a listing names it: `fn main`, `struct Proxy`, `impl Proxy`, `impl Display for Kind`.
    pub name: String,
    /// Its lines, counted from 0, from its first doc comment or attribute to its last bracket.
    pub lines: Range<usize>,
    /// Where its own code begins, after doc comments and attributes.
    pub head: usize,
}

const KINDS: [&str; 10] =
    ["fn", "struct", "enum", "impl", "const", "static", "type", "trait", "mod", "union"];

/// All items of a Rust source, nested ones too, in the order of their first lines.
pub fn items(source: &str) -> Vec<Item> {
    let code = code_only(source);
    let lines: Vec<&str> = source.split('\n').collect();
    let mut found = Vec::new();
    let mut start = 0;
    // Inside round or square brackets no item begins: `impl Trait` there is a type.
    let mut inside = 0_i32;
    for (number, line) in lines.iter().enumerate() {
        let text = &code[start..start + line.len()];
        if inside == 0
            && let Some(name) = item_name(&code, start)
        {
            let end = start + length(&code[start..], &name);
            let last = number + source[start..end].matches('\n').count();
            let first = above(&lines, number);
            found.push(Item { name, lines: first..last + 1, head: number });
        }
        for byte in text {
            match byte {
                b'(' | b'[' => inside += 1,
                b')' | b']' => inside -= 1,
                _ => {}
            }
        }
        start += line.len() + 1;
    }
    found
}

/// The name of the item whose head begins on the line at `start`.
fn item_name(code: &[u8], start: usize) -> Option<String> {
    // Blanked code is ASCII where it matters; a name outside of ASCII would be cut short.
    let text = String::from_utf8_lossy(&code[start..]);
    let mut rest = text.split('\n').next().unwrap_or("").trim_start();
    loop {
        let word_end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        let next = after.trim_start();
        match word {
            "pub" if next.starts_with('(') => rest = next.split_once(')')?.1.trim_start(),
            "pub" | "unsafe" | "async" | "extern" | "default" => rest = next,
            "const"
                if ["fn ", "unsafe ", "async ", "extern "].iter().any(|k| next.starts_with(k)) =>
            {
                rest = next;
            }
            "impl" => {
                let whole = text.trim_start();
                let head = &whole[..whole.find('{')?];
                let mut head = head[head.find("impl")? + 4..].to_string();
                if head.starts_with('<') {
                    head = head[angle(&head)..].to_string();
                }
                let head = head.split(" where ").next().unwrap_or("");
                let words: Vec<&str> = head.split_whitespace().collect();
                return Some(format!("impl {}", words.join(" ")));
            }
            kind if KINDS.contains(&kind) && after.starts_with(' ') => {
                let next = next.strip_prefix("mut ").unwrap_or(next);
                let end = next.bytes().position(|byte| !is_word(byte)).unwrap_or(next.len());
                return (end > 0).then(|| format!("{kind} {}", &next[..end]));
            }
            _ => return None,
        }
    }
}

/// The length of the `<…>` that `text` begins with.
fn angle(text: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if at > 0 && text.as_bytes()[at - 1] == b'-' => {}
            b'>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// How far an item goes: to the end of its block, or to its semicolon.
fn length(code: &[u8], name: &str) -> usize {
    let values = ["const ", "static ", "type "].iter().any(|kind| name.starts_with(kind));
    let mut depth = 0_i32;
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
        if *byte == b'}' && depth == 0 && !values {
            return at + 1;
        }
    }
    code.len()
}

/// The first of the lines above `line` that are its doc comments, comments and attributes.
fn above(lines: &[&str], line: usize) -> usize {
    let mut first = line;
    while first > 0 {
        let text = lines[first - 1].trim();
        if text.starts_with("//!") {
            break;
        } else if text.starts_with("//") || text.starts_with("#[") {
            first -= 1;
        } else if text == ")]" || text == "]" {
            // The end of an attribute over several lines.
            let opened = lines[..first].iter().rposition(|text| text.trim().starts_with("#["));
            match opened {
                Some(opened) => first = opened,
                None => break,
            }
        } else {
            break;
        }
    }
    first
}

/// Whether a line is one of the marks between which parts of files are cut.
pub fn is_mark(line: &str) -> bool {
    line.contains("ANCHOR: ") || line.contains("ANCHOR_END: ")
}

/// The item of that name: its lines without marks, moved to the left edge.
///
/// `fn name` also finds a function inside an `impl`; where several have that name,
/// `fn Type::name` tells them apart.
pub fn item(source: &str, name: &str) -> Result<String, String> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = items(source);
    let scoped = name.strip_prefix("fn ").and_then(|path| path.rsplit_once("::"));
    let matches: Vec<&Item> = match scoped {
        Some((owner, function)) => {
            let wanted = format!("fn {function}");
            let owners: Vec<&Item> = all
                .iter()
                .filter(|item| {
                    item.name == format!("impl {owner}")
                        || item.name.ends_with(&format!(" for {owner}"))
                })
                .collect();
            let inside = |item: &Item| owners.iter().any(|o| o.lines.contains(&item.head));
            all.iter().filter(|item| item.name == wanted && inside(item)).collect()
        }
        None => all.iter().filter(|item| item.name == name).collect(),
    };
    match matches[..] {
        [item] => Ok(cut(source, item.lines.clone())),
        [] => {
            let kind = name.split(' ').next().unwrap_or("");
            if !KINDS.contains(&kind) {
                return Err(format!("{name:?} is not an item such as \"fn main\""));
            }
            let same: Vec<&str> = all
                .iter()
                .map(|item| item.name.as_str())
                .filter(|other| other.split(' ').next() == Some(kind))
                .collect();
            Err(match same.is_empty() {
                true => format!("there is no {name}"),
                false => format!("there is no {name}; there are {}", same.join(", ")),
            })
        }
        _ => Err(format!("{} items are called {name}: say fn Type::name", matches.len())),
    }
}

/// What stands between `ANCHOR: name` and `ANCHOR_END: name`, moved to the left edge.
pub fn anchor(source: &str, name: &str) -> Result<String, String> {
    let is = |line: &str, mark: &str| {
        line.split_once(mark)
            .is_some_and(|(_, after)| after.split_whitespace().next() == Some(name))
    };
    let lines: Vec<&str> = source.split('\n').collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|&at| is(lines[at], "ANCHOR: ")).collect();
    match starts[..] {
        [] => Err(format!("there is no ANCHOR: {name}")),
        [start] => {
            let end = (start..lines.len()).find(|&at| is(lines[at], "ANCHOR_END: "));
            let end = end.ok_or_else(|| format!("ANCHOR: {name} has no ANCHOR_END: {name}"))?;
            Ok(cut(source, start..end))
        }
        _ => Err(format!("there is more than one ANCHOR: {name}")),
    }
}

/// A whole file without its marks.
pub fn whole(source: &str) -> String {
    cut(source, 0..source.split('\n').count())
}

/// Leaves out the comment lines that contain `text`.
pub fn without(listing: &str, text: &str) -> Result<String, String> {
    let is_comment = |line: &str| line.trim_start().starts_with("//") && line.contains(text);
    let kept: Vec<&str> = listing.split('\n').filter(|line| !is_comment(line)).collect();
    if kept.len() == listing.split('\n').count() {
        return Err(format!("no comment line contains {text:?}, so there is nothing to omit"));
    }
    Ok(kept.join("\n"))
}

/// The innermost item that a line belongs to, the line counted from 0.
pub fn enclosing(items: &[Item], line: usize) -> Option<&Item> {
    items.iter().filter(|item| item.lines.contains(&line)).min_by_key(|item| item.lines.len())
}

fn cut(source: &str, range: Range<usize>) -> String {
    let lines: Vec<&str> = source
        .split('\n')
        .take(range.end)
        .skip(range.start)
        .filter(|line| !is_mark(line))
        .collect();
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    lines.join("\n").trim_matches('\n').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r##"//! Header.

use std::fmt;

/// How many.
const COUNT: usize = { 3 };
const NAMES: [&str; 2] =
    ["a;", "b}"];

/// A thing.
#[derive(
    Clone,
)]
pub(crate) struct Thing<'a> {
    // ANCHOR: field
    name: &'a str,
    // ANCHOR_END: field
}

impl<'a> Thing<'a> {
    /// Makes it.
    ///
    /// Twice: "}".
    const fn new(name: &'a str) -> Self {
        let _ = ('}', "}", r#"}"#, b'{'); // }
        Thing { name }
    }
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name) /* } */
    }
}

struct Unit;

fn show(
    what: &str,
    how: impl Fn(),
) where
    (): Sized,
{
    // SECRET. Not to be told.
    how();
}
"##;

    #[test]
    fn an_item_comes_with_its_comments_and_attributes() {
        assert_eq!(
            item(SOURCE, "const COUNT").unwrap(),
            "/// How many.\nconst COUNT: usize = { 3 };"
        );
        assert_eq!(
            item(SOURCE, "const NAMES").unwrap(),
            "const NAMES: [&str; 2] =\n    [\"a;\", \"b}\"];"
        );
        assert_eq!(
            item(SOURCE, "struct Thing").unwrap(),
            "/// A thing.\n#[derive(\n    Clone,\n)]\npub(crate) struct Thing<'a> {\n    name: &'a str,\n}"
        );
        assert_eq!(item(SOURCE, "struct Unit").unwrap(), "struct Unit;");
        let show = item(SOURCE, "fn show").unwrap();
        assert!(show.starts_with("fn show(\n") && show.ends_with("    how();\n}"), "{show}");
    }

    #[test]
    fn a_function_in_an_impl_moves_to_the_left_edge() {
        let new = item(SOURCE, "fn new").unwrap();
        assert!(new.starts_with("/// Makes it.\n///\n/// Twice"), "{new}");
        assert!(new.ends_with("    Thing { name }\n}"), "{new}");
        assert_eq!(item(SOURCE, "fn Thing<'a>::new").unwrap(), new);
        let shown = item(SOURCE, "impl fmt::Display for Thing<'_>").unwrap();
        assert!(shown.contains("f.write_str"), "{shown}");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert_eq!(
            item(SOURCE, "struct Nothing").unwrap_err(),
            "there is no struct Nothing; there are struct Thing, struct Unit"
        );
        assert_eq!(item(SOURCE, "enum E").unwrap_err(), "there is no enum E");
        assert_eq!(
            item(SOURCE, "main").unwrap_err(),
            "\"main\" is not an item such as \"fn main\""
        );
        let twice = "fn a() {}\nmod b {\n    fn a() {}\n}\n";
        assert!(item(twice, "fn a").unwrap_err().starts_with("2 items are called fn a"));
    }

    #[test]
    fn an_anchor_is_cut_and_never_shown() {
        assert_eq!(anchor(SOURCE, "field").unwrap(), "name: &'a str,");
        assert_eq!(anchor(SOURCE, "fields").unwrap_err(), "there is no ANCHOR: fields");
        let open = "// ANCHOR: x\ncode\n";
        assert_eq!(anchor(open, "x").unwrap_err(), "ANCHOR: x has no ANCHOR_END: x");
        assert_eq!(whole("a\n// ANCHOR: x\nb\n"), "a\nb");
    }

    #[test]
    fn a_comment_is_omitted_and_must_be_there() {
        let show = item(SOURCE, "fn show").unwrap();
        assert!(!without(&show, "SECRET").unwrap().contains("SECRET"));
        // Code is never left out.
        assert!(without(&show, "how();").is_err());
    }

    #[test]
    fn every_item_of_every_step_is_found_with_its_brackets_balanced() {
        let steps = concat!(env!("CARGO_MANIFEST_DIR"), "/../../steps");
        for step in std::fs::read_dir(steps).unwrap() {
            let main = step.unwrap().path().join("main.rs");
            let source = std::fs::read_to_string(&main).unwrap();
            let all = items(&source);
            assert!(all.iter().any(|item| item.name == "fn main"), "{}", main.display());
            for found in all {
                let text = cut(&source, found.lines.clone());
                let code = String::from_utf8(code_only(&text)).unwrap();
                assert_eq!(code.matches('{').count(), code.matches('}').count(), "{text}");
                assert!(text.ends_with(['}', ';']), "{text}");
            }
        }
    }
}
