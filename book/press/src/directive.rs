//! The directives: `{{#name key="value" …}}`.
//!
//! Strict on purpose: a name, an attribute or a quotation mark that is wrong is an error, and never
//! quietly a piece of text.

/// What a page asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// A file of the project, or a part of it.
    Listing { file: String, part: Part, omit: Option<String>, caption: String },
    /// What changed between two steps, in one item or in all of `main.rs`.
    Diff { from: String, to: String, item: Option<String>, caption: String },
    /// The patch of an answer.
    Answer { answer: String, caption: String },
    /// A recorded terminal.
    Transcript { name: String, caption: String },
    /// A picture.
    Figure { file: String, alt: String, caption: String },
    /// The matrix, or the part of it that concerns one step or one experiment.
    Matrix(Slice),
    /// The verdict over a step in a word or two.
    Badge { step: String },
    /// The simulator.
    Sim { preset: String },
}

/// Which part of a file a listing shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// One item, such as `fn main`.
    Item(String),
    /// What stands between `ANCHOR: name` and `ANCHOR_END: name`.
    Anchor(String),
}

/// Which part of the matrix is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slice {
    /// All of it.
    Whole,
    /// One step in every experiment.
    Step(String),
    /// One experiment with every step.
    Experiment(String),
}

impl Directive {
    /// Whether it may stand in the middle of a line.
    pub fn is_inline(&self) -> bool {
        matches!(self, Directive::Badge { .. })
    }
}

/// Reads the directive that `text` begins with; `text` begins with `{{#`.
///
/// Returns it together with its length in bytes. An error comes with the length to skip.
pub fn parse(text: &str) -> Result<(Directive, usize), (String, usize)> {
    let line = &text[..text.find('\n').unwrap_or(text.len())];
    let mut rest = &line[3..];
    let skip = line.find("}}").map_or(line.len(), |at| at + 2);
    let fail = |message: String| Err((message, skip));

    let name = take_word(&mut rest);
    if name.is_empty() {
        return fail("a directive without a name".into());
    }
    let mut given: Vec<(&str, String)> = Vec::new();
    loop {
        let spaced = rest.starts_with([' ', '\t']);
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("}}") {
            let length = line.len() - after.len();
            return match build(name, given) {
                Ok(directive) => Ok((directive, length)),
                Err(message) => Err((message, length)),
            };
        }
        if rest.is_empty() {
            return fail(format!("{{{{#{name} is not closed with }}}} on its line"));
        }
        let key = take_word(&mut rest);
        let after_key = rest.strip_prefix("=\"").filter(|_| spaced && !key.is_empty());
        let Some(after_key) = after_key else {
            let from: String = rest.chars().take(20).collect();
            return fail(format!("{{{{#{name}: expected key=\"value\" or }}}} at {key}{from}"));
        };
        let Some((value, length)) = take_value(after_key) else {
            return fail(format!("{{{{#{name}: the value of {key} has no closing \""));
        };
        rest = &after_key[length..];
        if given.iter().any(|(other, _)| *other == key) {
            return fail(format!("{{{{#{name}: {key} is given twice"));
        }
        given.push((key, value));
    }
}

/// Takes the word that `rest` begins with.
fn take_word<'a>(rest: &mut &'a str) -> &'a str {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

/// The value up to the closing quotation mark, and the length including that mark.
fn take_value(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                value.extend(characters.next().map(|(_, escaped)| escaped));
            }
            c => value.push(c),
        }
    }
    None
}

/// The attributes of one directive, taken out one by one.
struct Given<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
}

impl Given<'_> {
    fn optional(&mut self, key: &str) -> Result<Option<String>, String> {
        let Some(at) = self.attributes.iter().position(|(other, _)| *other == key) else {
            return Ok(None);
        };
        let (_, value) = self.attributes.remove(at);
        if value.trim().is_empty() {
            return Err(format!("{{{{#{}: {key} is empty", self.name));
        }
        Ok(Some(value))
    }

    fn required(&mut self, key: &str) -> Result<String, String> {
        self.optional(key)?.ok_or_else(|| format!("{{{{#{} has no {key}", self.name))
    }

    fn done(self, directive: Directive) -> Result<Directive, String> {
        match self.attributes.first() {
            Some((key, _)) => Err(format!("{{{{#{} knows no {key}", self.name)),
            None => Ok(directive),
        }
    }

    fn either<T>(&self, a: Option<T>, b: Option<T>, names: &str) -> Result<Option<T>, String> {
        match (a, b) {
            (Some(_), Some(_)) => Err(format!("{{{{#{}: either {names}, not both", self.name)),
            (a, b) => Ok(a.or(b)),
        }
    }
}

fn build(name: &str, attributes: Vec<(&str, String)>) -> Result<Directive, String> {
    let mut given = Given { name, attributes };
    let directive = match name {
        "listing" => {
            let item = given.optional("item")?.map(Part::Item);
            let anchor = given.optional("anchor")?.map(Part::Anchor);
            Directive::Listing {
                file: given.required("file")?,
                part: given.either(item, anchor, "item or anchor")?.unwrap_or(Part::Whole),
                omit: given.optional("omit")?,
                caption: given.required("caption")?,
            }
        }
        "diff" => match given.optional("answer")? {
            Some(answer) => Directive::Answer { answer, caption: given.required("caption")? },
            None => Directive::Diff {
                from: given.required("from")?,
                to: given.required("to")?,
                item: given.optional("item")?,
                caption: given.required("caption")?,
            },
        },
        "transcript" => Directive::Transcript {
            name: given.required("name")?,
            caption: given.required("caption")?,
        },
        "figure" => Directive::Figure {
            file: given.required("file")?,
            alt: given.required("alt")?,
            caption: given.required("caption")?,
        },
        "matrix" => {
            let step = given.optional("step")?.map(Slice::Step);
            let experiment = given.optional("experiment")?.map(Slice::Experiment);
            let slice = given.either(step, experiment, "step or experiment")?;
            Directive::Matrix(slice.unwrap_or(Slice::Whole))
        }
        "badge" => Directive::Badge { step: given.required("step")? },
        "sim" => Directive::Sim { preset: given.required("preset")? },
        _ => return Err(format!("there is no directive {{{{#{name}")),
    };
    given.done(directive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).expect_err(text).0
    }

    #[test]
    fn a_directive_is_read_with_its_length() {
        let text =
            r#"{{#listing file="a.rs" item="fn main" caption="Say \"hi\" }} there"}} and on"#;
        let (directive, length) = parse(text).unwrap();
        assert_eq!(&text[length..], " and on");
        assert_eq!(
            directive,
            Directive::Listing {
                file: "a.rs".into(),
                part: Part::Item("fn main".into()),
                omit: None,
                caption: "Say \"hi\" }} there".into()
            }
        );
        assert_eq!(parse("{{#matrix}}").unwrap(), (Directive::Matrix(Slice::Whole), 11));
        let answer = parse(r#"{{#diff answer="03-1" caption="c"}}"#).unwrap().0;
        assert_eq!(answer, Directive::Answer { answer: "03-1".into(), caption: "c".into() });
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        assert_eq!(error("{{#}}"), "a directive without a name");
        assert_eq!(error("{{#lasting file=\"a\"}}"), "there is no directive {{#lasting");
        assert_eq!(error("{{#badge}}"), "{{#badge has no step");
        assert_eq!(error("{{#badge step=\"\"}}"), "{{#badge: step is empty");
        assert_eq!(error("{{#badge step=\"a\" color=\"b\"}}"), "{{#badge knows no color");
        assert_eq!(error("{{#badge step=\"a\" step=\"b\"}}"), "{{#badge: step is given twice");
        assert_eq!(error("{{#badge step=\"a}}"), "{{#badge: the value of step has no closing \"");
        assert_eq!(error("{{#badge step=\"a\"\n}}"), "{{#badge is not closed with }} on its line");
        assert_eq!(
            error("{{#badge step=a}}"),
            "{{#badge: expected key=\"value\" or }} at step=a}}"
        );
        assert_eq!(
            error("{{#matrix step=\"a\" experiment=\"b\"}}"),
            "{{#matrix: either step or experiment, not both"
        );
        assert_eq!(error("{{#diff from=\"a\" caption=\"c\"}}"), "{{#diff has no to");
        let both = r#"{{#diff answer="a" from="b" caption="c"}}"#;
        assert_eq!(error(both), "{{#diff knows no from");
    }
}
