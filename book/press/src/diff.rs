//! Diffs: between two texts, with what stayed the same folded away; and patches.

use similar::{Algorithm, ChangeTag, TextDiff};

use crate::source;

/// How many unchanged lines are shown around a change.
const CONTEXT: usize = 3;

/// A line of a diff as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// In both texts.
    Same(String),
    /// Only in the new one.
    Added(String),
    /// Only in the old one.
    Removed(String),
    /// Unchanged lines that are not shown.
    Fold {
        /// How many.
        lines: usize,
        /// What follows.
        next: Next,
    },
}

/// What follows a part that is folded away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    End,
    /// This line of the new text, counted from 1, with the item around the change.
    Line(usize, Option<String>),
    /// The rest of the one item that is shown.
    Rest,
}

/// What changed from `old` to `new`, with three lines around each change. Empty where nothing did.
pub fn folded(old: &str, new: &str) -> Vec<Line> {
    // Not the shortest diff but one that keeps whole functions together: it is read by people.
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(old, new);
    let items = source::items(new);
    let mut lines = Vec::new();
    let mut shown = 0;
    for group in diff.grouped_ops(CONTEXT) {
        let Some(first) = group.first() else { continue };
        let (from, old_from) = (first.new_range().start, first.old_range().start);
        // A fold of one line would take as much room as the line.
        if old_from == shown + 1 {
            let line = diff.old_slice(shown).unwrap_or("");
            lines.push(Line::Same(line.trim_end_matches('\n').to_string()));
        } else if old_from > shown {
            // The change, not the context before it, says where we are.
            let change = group.iter().find(|op| op.tag() != similar::DiffTag::Equal);
            let line = change.map_or(from, |op| op.new_range().start);
            let around = source::enclosing(&items, line).map(|item| item.name.clone());
            lines.push(Line::Fold { lines: old_from - shown, next: Next::Line(from + 1, around) });
        }
        for op in &group {
            for change in diff.iter_changes(op) {
                let text = change.value().trim_end_matches('\n').to_string();
                lines.push(match change.tag() {
                    ChangeTag::Equal => Line::Same(text),
                    ChangeTag::Insert => Line::Added(text),
                    ChangeTag::Delete => Line::Removed(text),
                });
            }
            shown = op.old_range().end;
        }
    }
    if !lines.is_empty() && shown < diff.old_len() {
        lines.push(Line::Fold { lines: diff.old_len() - shown, next: Next::End });
    }
    lines
}

impl Line {
    /// What a folded part says. A comment, because it stands among Rust and is coloured with it.
    pub fn fold_words(lines: usize, next: &Next) -> String {
        let lines = format!("// ⋯ {lines} {} as before", if lines == 1 { "line" } else { "lines" });
        match next {
            Next::End => format!("{lines}, to the end"),
            Next::Line(line, None) => format!("{lines}; on at line {line}"),
            Next::Line(line, Some(item)) => format!("{lines}; on at line {line}, in {item}"),
            Next::Rest => lines,
        }
    }
}

/// The changes to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The file, seen from the root of the project.
    pub file: String,
    hunks: Vec<Hunk>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hunk {
    /// Where it stands in the patch, counted from 1.
    at: usize,
    /// The line of the old file at which it begins, counted from 0.
    old_line: usize,
    /// Sign and text of each line.
    lines: Vec<(char, String)>,
}

/// Reads a unified diff, as `git diff` and `diff -u` write it. What stands before the first `---`
/// is a comment. An error comes with its line.
pub fn parse_patch(text: &str) -> Result<Vec<Patch>, (usize, String)> {
    let mut patches: Vec<Patch> = Vec::new();
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    while let Some((at, line)) = lines.next() {
        if line.starts_with("--- ") {
            let new = lines.next().and_then(|(_, next)| next.strip_prefix("+++ "));
            let new = new.ok_or((at + 1, "--- without a +++ below it".to_string()))?;
            let name = new.split('\t').next().unwrap_or(new).trim();
            let file = name.strip_prefix("b/").unwrap_or(name).to_string();
            patches.push(Patch { file, hunks: vec![] });
        } else if let Some(head) = line.strip_prefix("@@ -") {
            let patch = patches.last_mut().ok_or((at, "a hunk before any ---".to_string()))?;
            let (old_line, mut old, mut new) =
                hunk_head(head).ok_or((at, format!("not a hunk's head: {line}")))?;
            let mut hunk = Hunk { at, old_line, lines: vec![] };
            while old > 0 || new > 0 {
                let Some((number, line)) = lines.next() else {
                    return Err((at, "the hunk ends too early".into()));
                };
                let sign = line.chars().next().unwrap_or(' ');
                match sign {
                    ' ' if old > 0 && new > 0 => (old, new) = (old - 1, new - 1),
                    '-' if old > 0 => old -= 1,
                    '+' if new > 0 => new -= 1,
                    '\\' => continue,
                    _ => return Err((number, "the hunk is not as long as its head says".into())),
                }
                hunk.lines.push((sign, line.get(1..).unwrap_or("").to_string()));
            }
            patch.hunks.push(hunk);
        } else if !patches.is_empty() && line.starts_with(['+', '-', ' ']) {
            return Err((at, "a line outside of any hunk".into()));
        }
    }
    if patches.iter().all(|patch| patch.hunks.is_empty()) {
        return Err((1, "the patch changes nothing".into()));
    }
    Ok(patches)
}

/// Reads `12,7 +12,9 @@`: the first old line from 0, and how many old and new ones there are.
fn hunk_head(head: &str) -> Option<(usize, usize, usize)> {
    let (old, rest) = head.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let pair = |text: &str| -> Option<(usize, usize)> {
        match text.split_once(',') {
            Some((line, count)) => Some((line.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let ((line, old), (_, new)) = (pair(old)?, pair(new)?);
    // An empty range names the line before it.
    Some((if old == 0 { line } else { line.checked_sub(1)? }, old, new))
}

impl Patch {
    /// The file with the changes made to it. A hunk may have moved, but its lines must be there.
    /// An error comes with the hunk's line in the patch.
    pub fn apply(&self, source: &str) -> Result<String, (usize, String)> {
        let old: Vec<&str> = source.lines().collect();
        let mut new: Vec<&str> = Vec::new();
        let mut done = 0;
        let mut moved = 0_isize;
        for hunk in &self.hunks {
            let before: Vec<&str> =
                hunk.lines.iter().filter(|(sign, _)| *sign != '+').map(|(_, l)| &l[..]).collect();
            let fits = |at: usize| old[at.min(old.len())..].starts_with(&before);
            let expected = hunk.old_line.saturating_add_signed(moved);
            let place = (done..=old.len())
                .filter(|at| fits(*at))
                .min_by_key(|at| at.abs_diff(expected))
                .ok_or_else(|| {
                    let line = hunk.old_line + 1;
                    (hunk.at, format!("does not fit {} at line {line} or elsewhere", self.file))
                })?;
            moved = place as isize - hunk.old_line as isize;
            new.extend(&old[done..place]);
            new.extend(hunk.lines.iter().filter(|(sign, _)| *sign != '-').map(|(_, l)| &l[..]));
            done = place + before.len();
        }
        new.extend(&old[done..]);
        Ok(new.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(changed: &[(usize, &str)]) -> String {
        let line = |n: usize| {
            let change = changed.iter().find(|(at, _)| *at == n);
            change.map_or(format!("{n}\n"), |(_, text)| text.to_string())
        };
        (1..=30).map(line).collect()
    }

    #[test]
    fn what_stays_is_folded() {
        let lines = folded(&numbered(&[]), &numbered(&[(10, "ten\n"), (20, "")]));
        let text: Vec<String> = lines
            .iter()
            .map(|line| match line {
                Line::Same(text) => format!(" {text}"),
                Line::Added(text) => format!("+{text}"),
                Line::Removed(text) => format!("-{text}"),
                Line::Fold { lines, next } => Line::fold_words(*lines, next),
            })
            .collect();
        let expected = "// ⋯ 6 lines as before; on at line 7| 7| 8| 9|-10|+ten| 11| 12| 13|\
                        // ⋯ 3 lines as before; on at line 17| 17| 18| 19|-20| 21| 22| 23|\
                        // ⋯ 7 lines as before, to the end";
        assert_eq!(text.join("|"), expected);
        assert_eq!(folded("a\n", "a\n"), []);
        // Line 14 between two changes, alone outside of their contexts, is shown.
        let close = folded(&numbered(&[]), &numbered(&[(10, ""), (18, "")]));
        assert!(close.contains(&Line::Same("14".into())), "{close:?}");
    }

    #[test]
    fn a_fold_names_the_function_that_follows() {
        let body = "    a();\n".repeat(9);
        let old = format!("fn one() {{\n{body}}}\n\nfn two() {{\n{body}    b();\n}}\n");
        let new = old.replace("b();", "c();");
        let Line::Fold { lines: 19, next } = &folded(&old, &new)[0] else { panic!("no fold") };
        assert_eq!(Line::fold_words(19, next), "// ⋯ 19 lines as before; on at line 20, in fn two");
    }

    const PATCH: &str = "Why.\n--- a/x/main.rs\n+++ b/x/main.rs\n@@ -9,3 +9,4 @@ fn a\n 9\n-10\n+ten\n+ten and a half\n 11\n";

    #[test]
    fn a_patch_is_applied_even_where_its_lines_have_moved() {
        let patches = parse_patch(PATCH).unwrap();
        assert_eq!(patches[0].file, "x/main.rs");
        let new = numbered(&[(10, "ten\nten and a half\n")]);
        assert_eq!(patches[0].apply(&numbered(&[])).unwrap(), new);
        let moved = format!("0\n{}", numbered(&[]));
        assert_eq!(patches[0].apply(&moved).unwrap(), format!("0\n{new}"));
    }

    #[test]
    fn a_patch_that_does_not_fit_says_where() {
        let patches = parse_patch(PATCH).unwrap();
        assert_eq!(
            patches[0].apply(&numbered(&[(10, "zehn\n")])).unwrap_err(),
            (4, "does not fit x/main.rs at line 9 or elsewhere".into())
        );
        assert_eq!(parse_patch("nothing\n").unwrap_err().0, 1);
        let short = PATCH.replace("-9,3 +9,4", "-9,4 +9,5");
        assert_eq!(parse_patch(&short).unwrap_err(), (4, "the hunk ends too early".into()));
    }
}
