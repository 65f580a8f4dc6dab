//! Lines that fit the terminal: text is wrapped between words, and cut only where the rest can be had
//! in another way.

use std::fs::File;
use std::io::{IsTerminal, stderr, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use terminal_size::{Height, Width, terminal_size_of};
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// How many columns a line may have. `None`: as many as it needs, because what reads it is a program, a
/// file or the book, and each of these has its own idea of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns(pub Option<usize>);

/// Nobody likes to read lines that are longer than this, however wide the terminal is. What stands before
/// the text does not count.
const COMFORTABLE: usize = 100;

/// Narrower than this, a terminal is treated as if it were this wide.
const NARROWEST: usize = 40;

impl Columns {
    /// For what is written to stdout.
    pub fn of_stdout() -> Columns {
        Columns::of(stdout())
    }

    /// For what is written to stderr.
    pub fn of_stderr() -> Columns {
        Columns::of(stderr())
    }

    /// The environment variable `COLUMNS` decides, then the terminal.
    fn of(stream: impl AsFd + IsTerminal) -> Columns {
        let wanted = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
        let wanted =
            wanted.filter(|columns| *columns > 0).map(|columns: usize| Columns(Some(columns)));
        wanted.unwrap_or_else(|| Columns::of_terminal(stream)).at_least(NARROWEST)
    }

    /// For what is drawn again and again, and must have the width that the terminal really has.
    pub fn of_terminal(stream: impl AsFd) -> Columns {
        Columns(terminal_size_of(stream).map(|(Width(width), _)| width.into()))
    }

    fn at_least(self, least: usize) -> Columns {
        Columns(self.0.map(|columns| columns.max(least)))
    }

    /// A paragraph: wrapped between words.
    pub fn fill(self, text: &str) -> String {
        self.hang("", 0, text)
    }

    /// Text behind a head that stands to its left. All lines of the text begin in the same column,
    /// `indent`; the head must not be wider. It may hold colors, as the text may.
    pub fn hang(self, head: &str, indent: usize, text: &str) -> String {
        let rest = " ".repeat(indent.saturating_sub(display_width(head)));
        let first = format!("{head}{rest}");
        let Some(columns) = self.0 else { return format!("{first}{text}") };
        let columns = columns.min(indent + COMFORTABLE);
        let next = " ".repeat(indent);
        let options = options(columns).initial_indent(&first).subsequent_indent(&next);
        // An empty line of the text has no indent.
        let lines = textwrap::wrap(text, options);
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    /// How many places a picture of what arrived has, so that two columns are left on its left.
    pub fn strip(self) -> u64 {
        self.0.map_or(72, |columns| (columns - 2).min(72)) as u64
    }

    /// Rows of two columns, the second one wrapped. Behind a long head, and where the heads leave too
    /// little room, it stands below.
    pub fn rows(self, gap: usize, rows: &[(String, String)]) -> String {
        const LONGEST_HEAD: usize = 45;
        const LEAST_ROOM: usize = 30;
        let widths = rows.iter().map(|(head, _)| display_width(head));
        let indent = gap + widths.filter(|width| *width <= LONGEST_HEAD).max().unwrap_or(0);
        let is_wide = self.0.is_none_or(|columns| columns >= indent + LEAST_ROOM);
        let indent = if is_wide { indent } else { 6 };
        let row = |(head, text): &(String, String)| match display_width(head) + gap > indent {
            false => self.hang(head, indent, text) + "\n",
            true => format!("{head}\n{}\n", self.hang("", indent, text)),
        };
        rows.iter().map(row).collect()
    }

    /// These columns, or so many for what has no width of its own.
    pub fn or(self, columns: usize) -> Columns {
        Columns(self.0.or(Some(columns)))
    }
}

/// As much of a text as fits into `room` columns, cut between two words.
pub fn cut(room: usize, text: &str) -> String {
    if display_width(text) <= room {
        return text.into();
    }
    // One for the ellipsis, one for the space before it.
    let lines = textwrap::wrap(text, options(room.saturating_sub(2).max(1)));
    let cut = lines.first().map_or("", |line| line.trim_end_matches([' ', ',', ';', ':', '(']));
    format!("{cut} …")
}

/// The same for a sentence. What comes after its first semicolon is told only if all of it can be.
pub fn cut_sentence(room: usize, sentence: &str) -> String {
    match sentence.split_once("; ") {
        Some((clause, _)) if display_width(sentence) > room => {
            let shortened = format!("{clause} …");
            if display_width(&shortened) <= room { shortened } else { cut(room, clause) }
        }
        _ => cut(room, sentence),
    }
}

/// Words are what stands between spaces: a name such as `two-acts` is never torn, and neither is a path
/// that is longer than a line.
fn options<'o>(columns: usize) -> Options<'o> {
    Options::new(columns)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
}

/// A heading for a column of a table: broken behind its hyphens into lines of at most `width`.
pub fn heading(name: &str, width: usize) -> Vec<String> {
    let options = options(width).word_splitter(WordSplitter::HyphenSplitter);
    textwrap::wrap(name, options).iter().map(|line| line.to_string()).collect()
}

/// Pads text that may hold colors to this many columns.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(display_width(text))))
}

/// How many lines the terminal has, if stdout and stderr both go to one on which lines can be drawn
/// again.
pub fn height() -> Option<usize> {
    let is_terminal = stdout().is_terminal() && can_redraw();
    let (_, Height(lines)) = terminal_size_of(stdout()).filter(|_| is_terminal)?;
    Some(lines.into())
}

/// Whether stderr goes to a terminal on which a line can be drawn again. Behind a pipe, `tee` or `less`
/// may write to the same terminal, at times that we do not know: then nothing is drawn.
pub fn can_redraw() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stderr().is_terminal() && !is_dumb && !is_pipe(stdout())
}

fn is_pipe(stream: impl AsFd) -> bool {
    let file = stream.as_fd().try_clone_to_owned().map(File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|it| it.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::report::bold;

    #[test]
    fn a_line_ends_between_words_and_the_next_one_hangs() {
        let text = "the last two-acts are missing";
        let lines = Columns(Some(24)).hang("truncated", 12, text);
        assert_eq!(lines, "truncated   the last\n            two-acts are\n            missing");
        assert_eq!(Columns(None).hang("truncated", 12, text), format!("truncated   {text}"));
    }

    #[test]
    fn colors_have_no_width() {
        let plain = Columns(Some(20)).hang("head", 6, "one two three four");
        let colored = Columns(Some(20)).hang(&bold("head"), 6, &bold("one two three four"));
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
        assert_ne!(colored, plain);
        assert_eq!(display_width(&padded(&bold("a"), 5)), 5);
    }

    #[test]
    fn a_word_longer_than_the_line_is_not_torn() {
        let path = "/a/very/long/path/to/some-proxy";
        assert_eq!(
            Columns(Some(20)).hang("", 2, &format!("see {path}")),
            format!("  see\n  {path}")
        );
    }

    #[test]
    fn a_sentence_is_cut_between_words_and_says_so() {
        let sentence = "it kept the response in a file; others were served";
        assert_eq!(cut_sentence(80, sentence), sentence);
        assert_eq!(cut_sentence(40, sentence), "it kept the response in a file …");
        assert_eq!(cut_sentence(20, sentence), "it kept the …");
        assert_eq!(cut_sentence(12, "4 gaps, (in all"), "4 gaps …");
        assert_eq!(cut(7, "it answered this"), "it …");
        for room in 4..60 {
            assert!(display_width(&cut_sentence(room, sentence)) <= room, "{room}");
        }
    }

    #[test]
    fn a_second_column_without_room_stands_below_the_first() {
        let rows = [["a command that is long", "what it does for you"]];
        let rows = rows.map(|row| row.map(str::to_string).into());
        let wide = "a command that is long   what it does for you\n";
        assert_eq!(Columns(None).rows(3, &rows), wide);
        assert_eq!(Columns(Some(80)).rows(3, &rows), wide);
        let narrow = "a command that is long\n      what it does for you\n";
        assert_eq!(Columns(Some(45)).rows(3, &rows), narrow);
    }

    #[test]
    fn a_heading_breaks_behind_its_hyphens() {
        assert_eq!(heading("04-output-buffer", 12), ["04-output-", "buffer"]);
        assert_eq!(heading("01-blocking", 12), ["01-blocking"]);
    }
}
