//! Notes on a listing: lines that are marked and numbered, and what there is to say of them.

use maud::{Markup, html};

/// A note on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The line of the listing, counted from 0.
    pub line: usize,
    /// What there is to say, in Markdown.
    pub says: String,
}

/// Reads `code :: what it says || code :: what it says`. Fails unless each piece of code stands in
/// exactly one line of the listing, and the notes are in the order of their lines.
pub fn read(notes: &str, listing: &str) -> Result<Vec<Note>, String> {
    let mut read: Vec<Note> = vec![];
    for part in notes.split("||").map(str::trim).filter(|part| !part.is_empty()) {
        let (code, says) =
            part.split_once(" :: ").ok_or_else(|| format!("a note is `code :: words`: {part}"))?;
        let lines = listing.lines().enumerate().filter(|(_, line)| line.contains(code.trim()));
        let [(line, _)] = lines.collect::<Vec<_>>()[..] else {
            return Err(format!("a note is on {:?}, which is not in one line", code.trim()));
        };
        if read.last().is_some_and(|last| last.line >= line) {
            return Err(format!("the note on {:?} is out of order", code.trim()));
        }
        read.push(Note { line, says: says.trim().into() });
    }
    Ok(read)
}

/// A style for how far in the rest of a line begins where it is too long, behind so many characters for its sign.
/// Most lines need none: the style sheet knows what they have.
pub fn hang(line: &str, sign: usize) -> Option<String> {
    const FURTHER: usize = 4;
    const MOST: usize = 4 + FURTHER;
    let hang = line.len() - line.trim_start().len() + FURTHER;
    (hang != MOST).then(|| format!("--h:{}", hang + sign))
}

/// The listing, line by line: a telephone breaks long ones, and begins the rest further in. A mark has its
/// number in an attribute, so that who copies the code does not copy it.
pub fn marked(listing: &str, notes: &[Note], colored: impl Fn(&str) -> Markup) -> Markup {
    html! { @for (at, line) in listing.split('\n').enumerate() {
        @let hang = hang(line, 0);
        @match notes.iter().position(|note| note.line == at) {
            Some(number) => span.marked style=[hang] data-note=(number + 1) { (colored(line)) "\n" },
            None => span style=[hang] { (colored(line)) "\n" },
        }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stands_at_its_line() {
        let notes = read("b( :: first || c :: second", "a\nb()\nc").unwrap();
        assert_eq!(notes.iter().map(|note| note.line).collect::<Vec<_>>(), [1, 2]);
        let html = marked("a\nb()\nc", &notes, |line| html! { (line) }).into_string();
        assert!(
            html.starts_with(
                "<span style=\"--h:4\">a
</span>"
            ),
            "{html}"
        );
        assert!(
            html.contains(
                "data-note=\"1\">b()
</span>"
            ),
            "{html}"
        );
    }

    #[test]
    fn a_note_on_no_line_or_on_two_is_wrong() {
        for (notes, listing) in
            [("x :: y", "a"), ("a :: y", "a\na"), ("no words", "a"), ("b :: 1 || a :: 2", "a\nb")]
        {
            assert!(read(notes, listing).is_err(), "{notes}");
        }
    }
}
