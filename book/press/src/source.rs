//! Items of Rust files, found by name.
//!
//! A file is taken apart into tokens, so that no bracket in a string or a comment is mistaken for
//! code. An item goes from the end of the one before it to its own block or semicolon.

use std::ops::Range;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// An item of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As a listing names it: `fn main`, `struct Proxy`, `impl Display for Kind`.
    pub name: String,
    /// Its lines, counted from 0, from its first comment or attribute to its last bracket.
    pub lines: Range<usize>,
    /// The `impl` or the like around it; empty where there is none.
    pub inside: String,
}

const KINDS: [&str; 9] =
    ["fn", "struct", "enum", "impl", "const", "static", "type", "trait", "mod"];
/// Words that may stand before the kind of an item.
const BEFORE: [&str; 6] = ["pub", "unsafe", "async", "extern", "default", "const"];

/// All items of a Rust source, nested ones too, in order. None where it is not Rust.
pub fn items(source: &str) -> Vec<Item> {
    let mut found = Vec::new();
    if let Ok(tokens) = source.parse::<TokenStream>() {
        collect(source, tokens, "", &mut found);
    }
    found
}

fn collect(source: &str, tokens: TokenStream, inside: &str, found: &mut Vec<Item>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    // Where the current item, or statement, begins.
    let mut start = 0;
    let mut inside_this = inside.to_string();
    for at in 0..trees.len() {
        let before = trees.get(start..at).is_some_and(|trees| trees.iter().all(may_precede));
        let is_first_kind = before && inside_this == inside;
        if let Some(name) = item_name(source, &trees[at..]).filter(|_| is_first_kind) {
            let end = trees[at + ends(&trees[at..])].span().end().line;
            let first = with_comments(source, trees[start].span().start().line - 1);
            let inside = inside.to_string();
            found.push(Item { name: name.clone(), lines: first..end, inside });
            inside_this = name;
        }
        if let TokenTree::Group(group) = &trees[at]
            && is_block(&trees[at])
        {
            collect(source, group.stream(), &inside_this, found);
        }
        // `#![allow(…)]`, a header `//! …`: these belong to the file.
        let inner = trees[at].to_string() == "!" && at > start && trees[at - 1].to_string() == "#";
        if inner {
            start = at + 2;
        } else if is_block(&trees[at]) || trees[at].to_string() == ";" {
            (start, inside_this) = (at + 1, inside.to_string());
        }
    }
}

fn is_block(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether it may stand before the kind of an item: `#[test] pub(crate) unsafe extern "C"`.
fn may_precede(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Ident(word) => BEFORE.contains(&word.to_string().as_str()),
        TokenTree::Punct(punct) => punct.as_char() == '#',
        TokenTree::Group(_) | TokenTree::Literal(_) => true,
    }
}

/// The name of the item, if its kind is what `trees` begin with.
fn item_name(source: &str, trees: &[TokenTree]) -> Option<String> {
    let kind = trees[0].to_string();
    if !matches!(trees[0], TokenTree::Ident(_)) || !KINDS.contains(&kind.as_str()) {
        return None;
    }
    if kind == "impl" {
        let block = trees.iter().find(|tree| is_block(tree))?;
        let head = trees[0].span().byte_range().start..block.span().byte_range().start;
        return Some(source.get(head)?.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let mut words = trees[1..].iter().map(ToString::to_string);
    let name = words.next().filter(|word| word != "mut").or_else(|| words.next())?;
    // `const fn` and `const unsafe fn` are functions.
    let is_word = KINDS.iter().chain(&BEFORE).any(|word| *word == name);
    (!is_word).then(|| format!("{kind} {name}"))
}

/// Where an item ends, counted from its kind: at its block or its semicolon. The braces of
/// `const COUNT: usize = { 3 };` are not its end.
fn ends(trees: &[TokenTree]) -> usize {
    let is_value = ["const", "static", "type"].contains(&trees[0].to_string().as_str());
    let end = |tree: &TokenTree| tree.to_string() == ";" || (!is_value && is_block(tree));
    trees.iter().position(end).unwrap_or(trees.len() - 1)
}

/// The first of the comment lines right above a line, all counted from 0.
fn with_comments(source: &str, line: usize) -> usize {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let is_own = |text: &&&str| text.starts_with("//") && !text.starts_with("//!");
    line - lines[..line].iter().rev().take_while(is_own).count()
}

/// The item of that name, moved to the left edge.
///
/// `fn name` also finds a function inside an `impl`; where several have that name,
/// `fn Type::name` tells them apart.
pub fn item(source: &str, name: &str) -> Result<String, String> {
    let all = items(source);
    let (name, owner) = match name.strip_prefix("fn ").and_then(|path| path.rsplit_once("::")) {
        Some((owner, function)) => (format!("fn {function}"), format!(" {owner}")),
        None => (name.to_string(), String::new()),
    };
    let is_it = |item: &&Item| item.name == name && item.inside.ends_with(&owner);
    match all.iter().filter(is_it).collect::<Vec<_>>()[..] {
        [item] => {
            let lines: Vec<&str> = source.lines().collect();
            Ok(to_the_edge(&lines[item.lines.clone()]))
        }
        [] => {
            let kind = name.split(' ').next().unwrap_or("");
            if !KINDS.contains(&kind) {
                return Err(format!("{name:?} is not an item such as \"fn main\""));
            }
            let names = all.iter().map(|item| item.name.as_str());
            let same: Vec<&str> = names.filter(|one| one.split(' ').next() == Some(kind)).collect();
            let others = if same.is_empty() { "" } else { "; there are " };
            Err(format!("there is no {name}{others}{}", same.join(", ")))
        }
        _ => Err(format!("there is more than one {name}: say fn Type::name")),
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

/// The innermost item that a line belongs to, the line counted from 0.
pub fn enclosing(items: &[Item], line: usize) -> Option<&Item> {
    items.iter().filter(|item| item.lines.contains(&line)).min_by_key(|item| item.lines.len())
}

fn to_the_edge(lines: &[&str]) -> String {
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let written = lines.iter().filter(|line| !line.trim().is_empty());
    let least = written.map(indent).min().unwrap_or(0);
    lines.iter().map(|line| line.get(least..).unwrap_or("")).collect::<Vec<_>>().join("\n")
}
