//! The simulator's place on a page, and the table for readers who cannot run it.

use lab::ladder::ladder;

use crate::html::escape;
use crate::verdicts::{Mark, badge};

/// A setting of the simulator that a page can load.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Who is on either side.
    pub scene: &'static str,
    /// What the proxy does when the kernel's buffer is full.
    pub policy: &'static str,
    /// What becomes of the bytes, and of the proxy.
    pub outcome: &'static str,
    /// In a word.
    pub mark: Mark,
    /// The step and the experiment of the matrix in which the same thing can be seen.
    pub seen_in: Option<(&'static str, &'static str)>,
}

const SLOW: &str = "a fast backend, a slow client";

/// All presets.
pub const PRESETS: [Preset; 6] = [
    Preset {
        name: "chapter-1",
        scene: SLOW,
        policy: "waits in write, and serves nobody else",
        outcome: "every byte arrives; the next client waits in the queue until this one is done",
        mark: Mark::Freezes,
        seen_in: Some(("01-blocking", "crowd")),
    },
    Preset {
        name: "chapter-2",
        scene: "a fast backend, a client that does not read",
        policy: "waits in write, inside the loop that serves everyone",
        outcome: "no byte is lost; all other clients stand still until that one reads",
        mark: Mark::Freezes,
        seen_in: Some(("02-naive-epoll", "crowd")),
    },
    Preset {
        name: "chapter-3",
        scene: SLOW,
        policy: "does not wait, and forgets what write did not take",
        outcome: "the buffer fills, and from then on bytes are lost",
        mark: Mark::Loses,
        seen_in: Some(("03-dropped-write", "paced")),
    },
    Preset {
        name: "chapter-4",
        scene: SLOW,
        policy: "keeps the rest in a buffer of its own, and writes it when there is room",
        outcome: "no byte is lost; the proxy's memory grows as long as the backend is faster",
        mark: Mark::Grows,
        seen_in: Some(("04-output-buffer", "pile-up")),
    },
    Preset {
        name: "backpressure",
        scene: SLOW,
        policy: "stops reading from the backend until there is room again",
        outcome: "no byte is lost, the memory stays small, and the backend is held back",
        mark: Mark::Held,
        seen_in: None,
    },
    Preset {
        name: "spill",
        scene: SLOW,
        policy: "puts what has no room into a file, and reads it back later",
        outcome: "no byte is lost, the memory stays small, and the file grows instead",
        mark: Mark::Held,
        seen_in: None,
    },
];

/// The simulator with this preset, as one line of HTML. What stands inside the element is shown as
/// long as no script has taken its place.
pub fn element(preset: &str) -> Result<String, String> {
    let preset = PRESETS.iter().find(|one| one.name == preset).ok_or_else(|| {
        let names = PRESETS.map(|one| one.name);
        format!("there is no preset {preset}; there are {}", names.join(", "))
    })?;
    let mut rows = String::new();
    let verdict = badge(preset.mark, preset.mark.words());
    for (head, cell) in [
        ("On either side", escape(preset.scene)),
        ("When the kernel’s buffer is full, the proxy", escape(preset.policy)),
        ("What becomes of it", escape(preset.outcome)),
        ("In a word", verdict),
    ] {
        rows += &format!("<tr><th scope=\"row\">{head}</th><td>{cell}</td></tr>");
    }
    Ok(format!(
        "<div class=\"sim\"><buffer-sim preset=\"{}\"><table class=\"sim-fallback\">\
         <caption>What the simulator shows here</caption><tbody>{rows}</tbody></table>\
         </buffer-sim></div>",
        preset.name
    ))
}

/// What a link puts behind the name of a page that has a simulator, to load a preset into it.
pub fn fragments() -> impl Iterator<Item = String> {
    PRESETS.iter().map(|preset| format!("sim={}", preset.name))
}

/// Whether a preset says of its step what the matrix says.
pub fn agrees_with_the_matrix(preset: &Preset) -> bool {
    preset.seen_in.is_none_or(|(step, experiment)| {
        let cell = ladder().expected(experiment, step);
        cell.is_some_and(|cell| cell.kinds.iter().all(|kind| Mark::of(*kind) == preset.mark))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_agrees_with_the_matrix() {
        for preset in &PRESETS {
            assert!(agrees_with_the_matrix(preset), "{}", preset.name);
        }
    }

    #[test]
    fn the_element_holds_a_table_on_one_line() {
        let html = element("chapter-3").unwrap();
        assert!(html.contains("<buffer-sim preset=\"chapter-3\"><table"), "{html}");
        assert!(html.contains("loses bytes") && !html.contains('\n'), "{html}");
        assert!(element("chapter-9").unwrap_err().contains("no preset chapter-9"));
    }
}
