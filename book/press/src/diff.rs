//! Diffs: between two texts, with what stayed the same folded away; and the patches of answers.

use similar::{Algorithm, ChangeTag, TextDiff};

use crate::{Problem, Project, source};

/// How many unchanged lines are shown around a change.
const CONTEXT: usize = 3;

/// A line of a diff as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffLine {
    /// In both texts.
    Same(String),
    /// Only in the new one.
    Added(String),
    /// Only in the old one.
    Removed(String),
    /// Stands for unchanged lines that are not shown, and says how many they are.
    Fold(String),
}

/// What changed from `old` to `new`, with three lines around each change. Empty where nothing did.
///
/// A fold names the line of the new file, and the item, where the diff continues. With `in_one_item` it
/// does not, because the lines of an item are not numbered as in its file.
pub fn folded(old: &str, new: &str, in_one_item: bool) -> Vec<DiffLine> {
    let [old_lines, new_lines] = [old, new].map(|text| text.lines().collect::<Vec<_>>());
    // Not the shortest diff but one that keeps whole functions together: it is read by people.
    let diff =
        TextDiff::configure().algorithm(Algorithm::Patience).diff_slices(&old_lines, &new_lines);
    let items = source::items(new);
    let mut lines = Vec::new();
    let mut shown = 0;
    for group in diff.grouped_ops(CONTEXT) {
        let Some(first) = group.first() else { continue };
        let (from, old_from) = (first.new_range().start, first.old_range().start);
        // A fold of one line would take as much room as the line.
        if old_from == shown + 1 {
            lines.push(DiffLine::Same(old_lines[shown].to_string()));
        } else if old_from > shown {
            // The change, not the context before it, says where we are.
            let change = group.iter().find(|op| op.tag() != similar::DiffTag::Equal);
            let line = change.map_or(from, |op| op.new_range().start);
            let mut next = String::new();
            if !in_one_item {
                let around = items.iter().filter(|item| item.lines.contains(&line));
                let item = around.min_by_key(|item| item.lines.len());
                let item = item.map_or(String::new(), |item| format!(", in {}", item.name));
                next = format!("; on at line {}{item}", from + 1);
            }
            lines.push(fold(old_from - shown, &next));
        }
        for op in &group {
            for change in diff.iter_changes(op) {
                let text = change.value().to_string();
                lines.push(match change.tag() {
                    ChangeTag::Equal => DiffLine::Same(text),
                    ChangeTag::Insert => DiffLine::Added(text),
                    ChangeTag::Delete => DiffLine::Removed(text),
                });
            }
            shown = op.old_range().end;
        }
    }
    if !lines.is_empty() && shown < diff.old_len() {
        lines.push(fold(diff.old_len() - shown, ", to the end"));
    }
    lines
}

/// Takes away what changed in the comment at the top of a file: the prose around the diff says it.
pub fn without_header(lines: &mut Vec<DiffLine>) {
    fn is(line: &DiffLine, wanted: fn(&str) -> bool) -> bool {
        match line {
            DiffLine::Same(text) | DiffLine::Added(text) | DiffLine::Removed(text) => wanted(text),
            DiffLine::Fold(_) => false,
        }
    }
    let is_comment = |line: &DiffLine| is(line, |text| text.starts_with("//!"));
    let is_header = |line: &DiffLine| is_comment(line) || is(line, str::is_empty);
    if lines.first().is_some_and(is_comment) {
        let end = lines.iter().position(|line| !is_header(line)).unwrap_or(lines.len());
        lines.drain(..end);
    }
}

/// A line that was added or removed, in pieces, with those marked that are not in the line in its place.
/// Where as many lines went as came, the first stands in the place of the first, and so on.
pub fn words(lines: &[DiffLine], at: usize) -> Vec<(bool, String)> {
    /// Below this, hardly anything of the line is left, and marks would only flicker.
    const ALIKE: f32 = 0.5;
    let run = |from: usize, step: isize, is: fn(&DiffLine) -> bool| {
        let mut count = 0;
        while from.checked_add_signed(step * count).and_then(|at| lines.get(at)).is_some_and(is) {
            count += 1;
        }
        usize::try_from(count).unwrap_or(0)
    };
    let removed: fn(&DiffLine) -> bool = |line| matches!(line, DiffLine::Removed(_));
    let added: fn(&DiffLine) -> bool = |line| matches!(line, DiffLine::Added(_));
    let (text, partner) = match &lines[at] {
        DiffLine::Removed(text) => {
            let (above, below) = (run(at, -1, removed), run(at, 1, removed));
            let (size, first) = (above + below - 1, at + below);
            (text, (run(first, 1, added) == size).then(|| first + above - 1))
        }
        DiffLine::Added(text) => {
            let (above, below) = (run(at, -1, added), run(at, 1, added));
            let (size, first) = (above + below - 1, (at + 1).checked_sub(above));
            let last = first.and_then(|first| first.checked_sub(1));
            let matches = last.is_some_and(|last| run(last, -1, removed) == size);
            (text, matches.then(|| at - size))
        }
        DiffLine::Same(text) | DiffLine::Fold(text) => (text, None),
    };
    let whole = vec![(false, text.clone())];
    let Some(DiffLine::Removed(other) | DiffLine::Added(other)) =
        partner.and_then(|at| lines.get(at))
    else {
        return whole;
    };
    let diff = TextDiff::from_words(other.as_str(), text.as_str());
    if diff.ratio() < ALIKE {
        return whole;
    }
    let mut pieces: Vec<(bool, String)> = vec![];
    for change in diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Delete) {
        let is_new = change.tag() == ChangeTag::Insert;
        match pieces.last_mut() {
            Some((last, piece)) if *last == is_new => *piece += change.value(),
            _ => pieces.push((is_new, change.value().into())),
        }
    }
    pieces
}

/// A comment, because it stands among Rust and is colored with it.
fn fold(lines: usize, next: &str) -> DiffLine {
    let plural = if lines == 1 { "" } else { "s" };
    DiffLine::Fold(format!("// ⋯ {lines} line{plural} as before{next}"))
}

/// The lines of code in a program: no blank ones, and none that are only a comment.
pub fn code(program: &str) -> Vec<&str> {
    let is_code = |line: &&str| !line.is_empty() && !line.trim_start().starts_with("//");
    program.lines().map(str::trim_end).filter(is_code).collect()
}

/// The lines of code that a shortest diff takes away (`-`) and adds (`+`).
pub fn changed_code(old: &str, new: &str) -> Vec<String> {
    let [old, new] = [old, new].map(code);
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).diff_slices(&old, &new);
    let changes = diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal);
    changes.map(|change| format!("{}{}", change.tag(), change.value())).collect()
}

/// What the patch of an answer does to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patched {
    /// The file that it changes, seen from the root of the project.
    pub file: String,
    /// That file as it is.
    pub old: String,
    /// That file with the changes made to it.
    pub new: String,
}

/// Applies `book/answers/NAME.patch`, a unified diff on one file. What stands before it is a
/// comment. A hunk may have moved, but its lines must be there.
pub fn patched(project: &Project, name: &str) -> Result<Patched, Problem> {
    let place = format!("book/answers/{name}.patch");
    let problem = |message: String| Problem::new(&place, 0, message);
    let text = project.read(&place).map_err(problem)?;
    let patch = diffy::Patch::from_str(&text).map_err(|error| problem(error.to_string()))?;
    let file = patch.modified().unwrap_or("");
    let file = file.strip_prefix("b/").unwrap_or(file).to_string();
    if patch.hunks().is_empty() {
        return Err(problem("the patch changes nothing".into()));
    }
    let old = project.read(&file).map_err(problem)?;
    // "error applying hunk #2"
    let new = diffy::apply(&old, &patch)
        .map_err(|error| problem(format!("{error}: it does not fit {file}")))?;
    Ok(Patched { file, old, new })
}
