//! The simulator's place on a page, the table for readers who cannot run it, and its scripts as one file.

use std::collections::BTreeMap;
use std::fs;

use maud::{Markup, html};
use serde::Deserialize;

use crate::page::line_at;
use crate::verdicts::{Mark, badge};
use crate::{Problem, Project};

const FILE: &str = "book/theme/presets.js";

/// What the simulator is made of, in the order a browser must run it.
const PARTS: [&str; 4] =
    [FILE, "book/theme/buffer-model.js", "book/theme/buffer-stage.js", "book/theme/buffer-sim.js"];

/// All of it as one script, which `book.toml` names and git ignores.
const SCRIPT: &str = "book/theme/simulator.js";

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

/// Writes the simulator's script: its parts one after the other, without comments and indentation. Every page
/// loads it, and a page has to stay below 400 KB. mdBook reads scripts when it writes the pages, which is
/// after the preprocessor has run, so stock mdBook finds this file as well.
pub fn join(project: &Project) -> Result<(), Problem> {
    let problem = |message| Problem::new(SCRIPT, 0, message);
    let mut script = String::new();
    for part in PARTS {
        let text = project.read(part).map_err(problem)?;
        script.extend(text.lines().filter_map(bare).flat_map(|line| [line, "\n"]));
    }
    // Not written again when nothing changed: `mdbook serve` watches this directory.
    if project.read(SCRIPT).is_ok_and(|before| before == script) {
        return Ok(());
    }
    // In one move, for another build may be reading it.
    let failed = |error: std::io::Error| problem(error.to_string());
    let path = project.root().join(SCRIPT);
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&fresh, script).and_then(|()| fs::rename(&fresh, &path)).map_err(failed)
}

/// A line of a script without its indentation; nothing for a line that is empty or only a comment. In these
/// scripts a comment has its own lines, and no text in quotes depends on how it is indented.
fn bare(line: &str) -> Option<&str> {
    let line = line.trim();
    let is_comment =
        ["//", "/**", "* ", "*/"].iter().any(|sign| line.starts_with(sign)) || line == "*";
    (!line.is_empty() && !is_comment).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn only_code_is_left_of_a_line() {
        let code = ["    step(); // and why", "x", "*, *::before { top: 0; }"];
        assert_eq!(
            code.map(bare),
            [Some("step(); // and why"), Some("x"), Some("*, *::before { top: 0; }")]
        );
        let rest =
            ["", "   ", "// why", "    /** What. */", "     * More of it.", "     *", "     */"];
        assert_eq!(rest.map(bare), [None; 7]);
    }
}
