//! The simulator's place on a page, and the table for readers who cannot run it.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;

use crate::page::line_at;
use crate::verdicts::{Mark, badge};
use crate::{Problem, Project};

const FILE: &str = "book/theme/presets.js";

/// A setting of the simulator, as `book/theme/presets.js` has it: the part that the page's table shows.
#[derive(Clone, Debug, Deserialize)]
pub struct Preset {
    /// Who is on either side.
    pub scene: String,
    /// What the proxy does when the kernel's buffer is full.
    pub proxy: String,
    /// What becomes of the bytes, and of the proxy.
    pub outcome: String,
    /// In a word.
    pub mark: Mark,
    /// The step and the experiment that show the same thing.
    pub seen: Option<(String, String)>,
}

/// All presets by name. The file is a script, because a page that was opened from a disk can load
/// no other file. Its JSON begins in the line of the assignment and ends with the last brace.
pub fn presets(project: &Project) -> Result<BTreeMap<String, Preset>, Problem> {
    let text = project.read(FILE).map_err(|message| Problem::new(FILE, 0, message))?;
    let from = text.find(" = {").map_or(0, |at| at + 3);
    let to = text.rfind('}').map_or(from, |at| at + 1);
    serde_json::from_str(&text[from..to.max(from)]).map_err(|error| {
        Problem::new(FILE, line_at(&text, from) + error.line() - 1, error.to_string())
    })
}

/// The simulator with this preset. The table inside the element is shown until the script replaces it.
pub fn element(presets: &BTreeMap<String, Preset>, name: &str) -> Result<Markup, String> {
    let preset = presets.get(name).ok_or_else(|| {
        let names: Vec<&str> = presets.keys().map(String::as_str).collect();
        format!("there is no preset {name}; there are {}", names.join(", "))
    })?;
    let rows = [
        ("On either side", html! { (preset.scene) }),
        ("When the kernel’s buffer is full, the proxy", html! { (preset.proxy) }),
        ("What becomes of it", html! { (preset.outcome) }),
        ("In a word", badge(preset.mark, preset.mark.words())),
    ];
    Ok(html! { div.sim { buffer-sim preset=(name) { table.sim-fallback {
        caption { "What the simulator shows here" }
        tbody { @for (head, cell) in rows { tr { th scope="row" { (head) } td { (cell) } } } }
    } } } })
}

/// The presets that say something else about their step than the ladder does.
pub fn disagreements(project: &Project) -> Result<Vec<Problem>, Problem> {
    let ladder = project.ladder()?;
    let wrong = presets(project)?.into_iter().filter_map(|(name, preset)| {
        let (step, experiment) = preset.seen?;
        let kinds = ladder.expected(&experiment, &step).map(|expected| expected.kinds);
        let is_same = |kind| Mark::of(kind) == Some(preset.mark);
        let says = preset.mark.words();
        let message = format!("{name} says {says:?}, but {step} in {experiment} does not");
        (!kinds.is_some_and(|kinds| kinds.into_iter().all(is_same)))
            .then(|| Problem::new(FILE, 0, message))
    });
    Ok(wrong.collect())
}
