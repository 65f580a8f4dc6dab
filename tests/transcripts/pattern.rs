//! Patterns such as `* says *`: each star stands for any text.

/// What the stars of `pattern` stand for in `text`, if it fits; each for as little as will do.
pub fn fits<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let (start, rest) = pattern.split_once('*').unwrap_or((pattern, ""));
    let text = text.strip_prefix(start)?;
    if start.len() == pattern.len() {
        return text.is_empty().then(Vec::new);
    }
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.filter_map(|end| Some((end, fits(rest, &text[end..])?)))
        .next()
        .map(|(end, others)| [vec![&text[..end]], others].concat())
}
