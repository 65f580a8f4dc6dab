//! Recorded terminals: `book/transcripts/NAME.txt`.
//!
//! A header of `# key: value` lines, a line `---`, and then what the terminal showed, prompts
//! included:
//!
//! ```text
//! # machine: Linux 6.18, Debian 12, curl 7.88.1
//! # scene: dropped
//! # may-differ: numbers
//! ---
//! $ curl --output page.txt http://127.0.0.1:8080/
//! ```

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
        let mut lines = file.lines().enumerate();
        let mut body_from = None;
        for (at, line) in &mut lines {
            if line.trim_end() == "---" {
                body_from = Some(at + 2);
                break;
            }
            let entry = line.strip_prefix("# ").and_then(|entry| entry.split_once(':'));
            let (key, value) =
                entry.ok_or((at + 1, "a header line is `# key: value`, and --- ends it".into()))?;
            header.push((key.trim().to_string(), value.trim().to_string()));
        }
        let from = body_from.ok_or((1, "no line --- between the header and the text".into()))?;
        let body: Vec<&str> = lines.map(|(_, line)| line).collect();
        let text = body.join("\n").trim_end().to_string();
        if text.trim().is_empty() {
            return Err((from, "nothing was recorded".into()));
        }
        if !text.starts_with("$ ") {
            return Err((from, "the first line is not a command: `$ command`".into()));
        }
        if let Some(at) =
            body.iter().position(|line| line.contains(|c: char| c.is_control() && c != '\t'))
        {
            return Err((from + at, "a control character".into()));
        }
        Ok(Transcript { header, text })
    }

    /// The value of a header line.
    pub fn header(&self, key: &str) -> Option<&str> {
        self.header.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// The lines, told apart into what was typed and what was printed.
    pub fn lines(&self) -> Vec<TerminalLine<'_>> {
        let mut continued = false;
        let mut lines = Vec::new();
        for line in self.text.split('\n') {
            let typed = match line.strip_prefix("$ ") {
                Some(typed) => TerminalLine::Typed(typed),
                None if line == "$" => TerminalLine::Typed(""),
                None if continued => TerminalLine::More(line),
                None => TerminalLine::Printed(line),
            };
            continued = !matches!(typed, TerminalLine::Printed(_)) && line.ends_with('\\');
            lines.push(typed);
        }
        lines
    }
}
