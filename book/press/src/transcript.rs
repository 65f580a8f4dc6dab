//! Recorded terminals: `book/transcripts/NAME.txt`.
//!
//! A header of `# key: value` lines, a line `---`, and then what the terminal showed, prompts
//! included.

/// A recorded terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The header, in order.
    pub header: Vec<(String, String)>,
    /// What the terminal showed, without a line break at the end.
    pub text: String,
}

/// A line of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalLine<'a> {
    /// What was typed, without its prompt.
    Typed(&'a str),
    /// The rest of a command that goes on after a backslash.
    More(&'a str),
    /// What a program printed.
    Printed(&'a str),
}

impl Transcript {
    /// Reads a transcript. An error comes with its line.
    pub fn parse(file: &str) -> Result<Transcript, (usize, String)> {
        let mut header = Vec::new();
        for line in file.lines().take_while(|line| *line != "---") {
            let entry = line.strip_prefix("# ").and_then(|entry| entry.split_once(':'));
            let rule = "a header line is `# key: value`, and --- ends it";
            let (key, value) = entry.ok_or((header.len() + 1, rule.to_string()))?;
            header.push((key.trim().to_string(), value.trim().to_string()));
        }
        let first = header.len() + 2;
        let body: Vec<&str> = file.lines().skip(first - 1).collect();
        let text = body.join("\n").trim_end().to_string();
        let is_control = |line: &&str| line.contains(|c: char| c.is_control() && c != '\t');
        if text.is_empty() {
            Err((first, "nothing was recorded, or no line --- is above it".into()))
        } else if !text.starts_with("$ ") {
            Err((first, "the first line is not a command: `$ command`".into()))
        } else if let Some(at) = body.iter().position(is_control) {
            Err((first + at, "a control character".into()))
        } else {
            Ok(Transcript { header, text })
        }
    }

    /// The value of a header line.
    pub fn header(&self, key: &str) -> Option<&str> {
        self.header.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// The lines, told apart into what was typed and what was printed.
    pub fn lines(&self) -> Vec<TerminalLine<'_>> {
        let mut lines = Vec::new();
        let mut continued = false;
        for line in self.text.split('\n') {
            lines.push(match line.strip_prefix("$ ") {
                Some(typed) => TerminalLine::Typed(typed),
                None if line == "$" => TerminalLine::Typed(""),
                None if continued => TerminalLine::More(line),
                None => TerminalLine::Printed(line),
            });
            continued = (continued || line.starts_with('$')) && line.ends_with('\\');
        }
        lines
    }
}
