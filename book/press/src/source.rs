//! Items of Rust files, found by name.
//!
//! A file is taken apart into tokens, so that no bracket in a string or a comment is taken for code.
//! What goes from one block or semicolon to the next may be an item: its first words say whether.

use std::ops::Range;
use std::sync::LazyLock;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use regex::Regex;

/// An item of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As a listing names it: `fn main`, `struct Proxy`, `impl Display for Kind`.
    pub name: String,
    /// Its lines, counted from 0, from its first comment or attribute to its last bracket.
    pub lines: Range<usize>,
}

/// The first words of an item: what may stand before it, and then its kind and its name.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    let before = r#"(?:pub(?:\([a-z]+\))?|unsafe|async|const|default|extern(?: "C")?)\s+"#;
    let kinds = "fn|struct|enum|trait|type|mod|const|static";
    Regex::new(&format!(r"^(?:{before})*((?:{kinds})\s+\w+|impl\b[^{{]*)")).expect("a pattern")
});

/// All items of a Rust source in order, also those inside others. If it is not Rust, there are none.
pub fn items(source: &str) -> Vec<Item> {
    let mut found = Vec::new();
    if let Ok(tokens) = source.parse::<TokenStream>() {
        collect(source, tokens, &mut found);
    }
    found
}

fn collect(source: &str, tokens: TokenStream, found: &mut Vec<Item>) {
    let is_block = |tree: &TokenTree| matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for part in trees.split_inclusive(|tree| is_block(tree) || tree.to_string() == ";") {
        let is = |at: usize, word: &str| part.get(at).is_some_and(|tree| tree.to_string() == word);
        let (mut first, mut head) = (0, 0);
        // Its attributes, doc comments among them. Those with a ! belong to the file.
        while is(head, "#") {
            head += if is(head + 1, "!") { 3 } else { 2 };
            first = if is(head - 2, "!") { head } else { first };
        }
        if let (Some(first), Some(head)) = (part.get(first), part.get(head))
            && let Some(words) = HEAD.captures(&source[head.span().byte_range().start..])
        {
            let name = words[1].split_whitespace().collect::<Vec<_>>().join(" ");
            let start = with_comments(source, first.span().start().line - 1);
            let end = part[part.len() - 1].span().end().line;
            found.push(Item { name, lines: start..end });
        }
        if let Some(TokenTree::Group(block)) = part.last() {
            collect(source, block.stream(), found);
        }
    }
}

/// The first of the comment lines right above a line, all counted from 0.
fn with_comments(source: &str, line: usize) -> usize {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let is_own = |text: &&&str| text.starts_with("//") && !text.starts_with("//!");
    line - lines[..line].iter().rev().take_while(is_own).count()
}

/// The item of that name, moved to the left edge. It may stand inside an `impl`.
pub fn item(source: &str, name: &str) -> Result<String, String> {
    let all = items(source);
    match all.iter().filter(|item| item.name == name).collect::<Vec<_>>()[..] {
        [item] => {
            let lines: Vec<&str> = source.lines().collect();
            let lines = &lines[item.lines.clone()];
            let written = lines.iter().filter(|line| !line.trim().is_empty());
            let indent = written.map(|line| line.len() - line.trim_start().len()).min();
            let cut = |line: &&str| line.get(indent.unwrap_or(0)..).unwrap_or("").to_string();
            Ok(lines.iter().map(cut).collect::<Vec<_>>().join("\n"))
        }
        [] => {
            let kind = name.split(' ').next();
            let names = all.iter().map(|item| item.name.as_str());
            let same: Vec<&str> = names.filter(|one| one.split(' ').next() == kind).collect();
            let others = if same.is_empty() { "" } else { "; there are " };
            Err(format!("there is no {name}{others}{}", same.join(", ")))
        }
        _ => Err(format!("there is more than one {name}: show the item around it")),
    }
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
