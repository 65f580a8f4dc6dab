//! The directives: `{{#name key="value" …}}`.
//!
//! A wrong name, attribute or quotation mark is an error. It never becomes a piece of text.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a page asks for. The names of variants and fields are those that a page writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Directive {
    /// A file of the project, or one item of it, without the comment lines that contain `omit`.
    Listing { file: String, item: Option<String>, omit: Option<String>, caption: String },
    /// What changed between two steps, in one item or in all of `main.rs`.
    Diff { from: String, to: String, item: Option<String>, caption: String },
    /// The patch of an answer. Written `{{#diff answer="…"}}`.
    Answer { answer: String, caption: String },
    /// A recorded terminal.
    Transcript { name: String, caption: String },
    /// A picture.
    Figure { file: String, alt: String, caption: String },
    /// What every step does in every experiment, or one step.
    Matrix { step: Option<String> },
    /// The verdict over a step in a word or two.
    Badge { step: String },
    /// The simulator.
    Sim { preset: String },
    /// The table of all steps: name, idea, verdict.
    Ladder {},
    /// How many there are, in words. `{{#Count …}}` begins with a capital letter.
    Count {
        of: String,
        #[serde(skip)]
        capital: bool,
    },
}

impl Directive {
    /// Whether it may stand in the middle of a line.
    pub fn is_inline(&self) -> bool {
        matches!(self, Directive::Badge { .. } | Directive::Count { .. })
    }
}

static WHOLE: LazyLock<Regex> = LazyLock::new(|| {
    let attribute = r#"[ \t]+[a-z]+="(?:[^"\\]|\\.)*""#;
    Regex::new(&format!(r"^\{{\{{#([A-Za-z]+)((?:{attribute})*)[ \t]*\}}\}}")).expect("a pattern")
});
static ATTRIBUTE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([a-z]+)="((?:[^"\\]|\\.)*)""#).expect("a pattern"));

/// Reads the directive that `text` begins with; `text` begins with `{{#`.
///
/// Returns it together with its length in bytes. An error comes with the length to skip.
pub fn parse(text: &str) -> Result<(Directive, usize), (String, usize)> {
    let line = text.lines().next().unwrap_or("");
    let Some(found) = WHOLE.captures(line) else {
        let skip = line.find("}}").map_or(line.len(), |at| at + 2);
        let name = line[3..].split([' ', '\t', '}']).next().unwrap_or("");
        return Err((
            format!("{{{{#{name}: a directive is {{{{#name key=\"value\" …}}}}, on one line"),
            skip,
        ));
    };
    let (name, length) = (&found[1], found[0].len());
    match build(name, &found[2]) {
        Ok(directive) => Ok((directive, length)),
        Err(message) => Err((format!("{{{{#{name}: {message}"), length)),
    }
}

fn build(name: &str, attributes: &str) -> Result<Directive, String> {
    let mut given = Map::new();
    for attribute in ATTRIBUTE.captures_iter(attributes) {
        let key = &attribute[1];
        let value = attribute[2].replace("\\\"", "\"").replace("\\\\", "\\");
        if value.trim().is_empty() {
            return Err(format!("{key} is empty"));
        }
        if given.insert(key.into(), value.into()).is_some() {
            return Err(format!("{key} is given twice"));
        }
    }
    let variant = match name {
        "diff" if given.contains_key("answer") => "answer",
        "Count" => "count",
        "answer" => return Err("write {{#diff answer=\"…\"".into()),
        name => name,
    };
    let mut directive = serde_json::from_value(Value::Object(Map::from_iter([(
        variant.to_string(),
        Value::Object(given),
    )])))
    .map_err(|error| error.to_string())?;
    if let Directive::Count { capital, .. } = &mut directive {
        *capital = name == "Count";
    }
    Ok(directive)
}
