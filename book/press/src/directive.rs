//! The directives: `{{#name key="value" …}}`.
//!
//! A wrong name, attribute or quotation mark is an error. It never becomes a piece of text.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a page asks for. The names of variants and fields are those that a page writes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Directive {
    /// A file of the project, or one item of it, without the comment lines that contain `omit`. In
    /// `notes`, `code :: what there is to say of it || more code :: more`: the code stands in one line.
    Listing {
        file: String,
        item: Option<String>,
        omit: Option<String>,
        notes: Option<String>,
        caption: String,
    },
    /// What changed between two steps, in one item or in all of `main.rs`.
    Diff { from: String, to: String, item: Option<String>, caption: String },
    /// The patch of an answer. Written `{{#diff answer="…"}}`.
    Answer { answer: String, caption: String },
    /// A recorded terminal.
    Transcript { name: String, caption: String },
    /// A picture.
    Figure { file: String, alt: String, caption: String },
    /// What one step does in these experiments, and why; or in all of them.
    Matrix { step: String, of: Option<String> },
    /// What every step does in every experiment.
    Verdicts {},
    /// What the reader's own proxy should be able to do after the chapter of this step.
    Milestone { step: String },
    /// The verdict over a step in a word or two.
    Badge { step: String },
    /// The simulator.
    Sim { preset: String },
    /// The table of all steps: name, idea, verdict.
    Ladder {},
    /// A table of real programs, by the names of their scripts.
    Scoreboard { of: String },
    /// All that was said of one real program.
    Graded { program: String },
    /// What one experiment said of a real program. The text around it rests on this answer.
    Score { program: String, experiment: String, answer: String },
    /// The version of a real program that was graded.
    Version { of: String },
    /// How many minutes it takes to read a page, a multiple of five.
    Minutes { of: String },
    /// How many there are, in words. Of `Steps` there are `Four`.
    Count { of: String },
}

impl Directive {
    /// Whether it may stand in the middle of a line.
    pub fn is_inline(&self) -> bool {
        use Directive::*;
        matches!(self, Badge { .. } | Count { .. } | Minutes { .. } | Score { .. } | Version { .. })
    }
}

static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    let attribute = r#"[ \t]+[a-z]+="(?:[^"\\\n]|\\.)*""#;
    let sound = format!(r"([A-Za-z]+)((?:{attribute})*)[ \t]*\}}\}}");
    Regex::new(&format!(r"\{{\{{#(?:{sound}|[^\n]*?(?:\}}\}}|\n|$))")).expect("a pattern")
});
static ATTRIBUTE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([a-z]+)="((?:[^"\\]|\\.)*)""#).expect("a pattern"));

/// All directives of a page: where they stand, and what they ask for or what is wrong with them.
pub fn find(page: &str) -> impl Iterator<Item = (Range<usize>, Result<Directive, String>)> {
    DIRECTIVE.captures_iter(page).map(|found| {
        let text = found[0].trim_end();
        let range = found.get_match().start()..found.get_match().start() + text.len();
        let (Some(name), Some(attributes)) = (found.get(1), found.get(2)) else {
            let message = format!("{text} is no {{{{#name key=\"value\" …}}}} on one line");
            return (range, Err(message));
        };
        let directive = build(name.as_str(), attributes.as_str());
        (range, directive.map_err(|message| format!("{{{{#{}: {message}", name.as_str())))
    })
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
        name => name,
    };
    // As serde writes an enum: {"variant": {"field": "value"}}.
    let written = Value::from_iter([(variant, Value::Object(given))]);
    serde_json::from_value(written).map_err(|error| error.to_string())
}
