//! What the header of a transcript says: how its terminal was recorded, and what is compared.
//!
//! A scene is one or more terminals that are recorded together. One of them leads: its header has
//! the title (`scene`) and says who plays and what happens in which order. The others name it
//! (`with`). A terminal whose first command is that of the scene's backend, proxy or client shows
//! that program. In all others the commands, which are the `$ ` lines of the file, run one after the
//! other.
//!
//! | key | in it |
//! |---|---|
//! | `scene` | the title of the scene that this file leads |
//! | `with` | the name of the file that leads |
//! | `needs` | the [tools](crate::tools) that must be installed |
//! | `apart` | why the scene is played only by `cargo test --test transcripts -- --ignored` |
//! | `backend`, `proxy`, `client` | what runs in other terminals, started in the order of the lines |
//! | `answer` | the patch in `book/answers` with which its step is built for this scene |
//! | `run-as` | `A -> B`: where a command says A, B is run; [`stage`](crate::stage) does the rest |
//! | `then` | a [cue](crate::play::CUES); the lines are followed in order, once the programs run |
//! | `masks` | what may differ, by the names of [`paper`](crate::paper), applied in this order |
//! | `machine` | where it was recorded; the only line that recording changes |

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use press::transcript::{TerminalLine, Transcript};

use crate::package::ROOT;
use crate::stage::{BACKEND, CLIENT, PROXY};
use crate::{paper, play, tools};

/// Terminals that are recorded together, the one that leads first.
pub struct Scene {
    pub papers: Vec<Paper>,
}

/// One transcript: what its file says.
pub struct Paper {
    /// The file's name without `.txt`.
    pub name: String,
    pub transcript: Transcript,
}

/// Where the transcripts are.
pub fn directory() -> PathBuf {
    Path::new(ROOT).join("book/transcripts")
}

/// Reads all transcripts, and puts those together that are recorded together.
///
/// # Errors
/// The first thing that is wrong, with the name of its file and the line.
pub fn read_all() -> Result<Vec<Scene>> {
    let entries = fs::read_dir(directory()).context("book/transcripts")?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let papers = files.iter().map(|file| read(file)).collect::<Result<Vec<Paper>>>()?;
    let leads = |paper: &Paper| paper.values("scene").next().is_some();
    let (leaders, followers): (Vec<_>, Vec<_>) = papers.into_iter().partition(leads);
    let mut scenes: Vec<_> =
        leaders.into_iter().map(|paper| Scene { papers: vec![paper] }).collect();
    for paper in followers {
        let leads = |scene: &&mut Scene| paper.values("with").any(|of| of == scene.papers[0].name);
        let scene = scenes.iter_mut().find(leads);
        scene
            .with_context(|| format!("{}:1: no other file leads it", paper.file()))?
            .papers
            .push(paper);
    }
    Ok(scenes)
}

/// Reads one file, and looks at its header.
fn read(file: &Path) -> Result<Paper> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let place = |line: usize| format!("book/transcripts/{name}.txt:{line}");
    let text = fs::read_to_string(file).with_context(|| place(1))?;
    let parsed = Transcript::parse(&text);
    let transcript = parsed.map_err(|(line, what)| anyhow!("{}: {what}", place(line)))?;
    let follows = transcript.header("with").is_some();
    for (line, (key, value)) in (1..).zip(&transcript.header) {
        check(key, value, follows).with_context(|| place(line))?;
    }
    Ok(Paper { name, transcript })
}

/// Whether a header may say this.
fn check(key: &str, value: &str, follows: bool) -> Result<()> {
    match key {
        "masks" => value.split(", ").try_for_each(paper::known),
        "with" | "machine" => Ok(()),
        _ if follows => bail!("`{key}` is for the file that leads the scene to say"),
        "scene" | "apart" | "answer" | BACKEND | PROXY | CLIENT => Ok(()),
        "needs" => {
            let unknown = value.split(", ").find(|tool| !tools::is_known(tool));
            unknown.map_or(Ok(()), |tool| Err(anyhow!("there is no tool `{tool}`")))
        }
        "then" => play::cue(value).map(drop),
        "run-as" => {
            ensure!(value.contains(" -> "), "it is not `A -> B`");
            Ok(())
        }
        _ => bail!("there is no key `{key}`"),
    }
}

impl Paper {
    /// What the header says under a key, line by line.
    pub fn values(&self, key: &'static str) -> impl Iterator<Item = &str> {
        let of_key = move |(other, _): &&(String, String)| other == key;
        self.transcript.header.iter().filter(of_key).map(|(_, value)| value.as_str())
    }

    /// The commands, each in all its lines.
    pub fn commands(&self) -> Vec<String> {
        let mut commands: Vec<String> = vec![];
        for line in self.transcript.lines() {
            match (line, commands.last_mut()) {
                (TerminalLine::Typed(line), _) => commands.push(line.into()),
                (TerminalLine::More(line), Some(command)) => *command += &format!("\n{line}"),
                _ => {}
            }
        }
        commands
    }
}

impl Scene {
    /// Whether it is played only when asked for.
    pub fn is_apart(&self) -> bool {
        self.values("apart").next().is_some()
    }

    /// What the header of the file that leads says under a key, line by line.
    pub fn values(&self, key: &'static str) -> impl Iterator<Item = &str> {
        self.papers[0].values(key)
    }

    /// Who runs in other terminals, and what.
    pub fn programs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.papers[0].transcript.header.iter().filter_map(|(key, value)| {
            let role = [BACKEND, PROXY, CLIENT].into_iter().find(|role| role == key)?;
            Some((role, value.as_str()))
        })
    }

    /// Whose terminal a transcript shows; `None` where its commands are run.
    pub fn shows(&self, paper: &Paper) -> Option<&'static str> {
        let first = paper.commands().swap_remove(0);
        self.programs().find(|(_, command)| *command == first).map(|(role, _)| role)
    }
}

/// What the stars of a pattern such as `* says *` stand for in a text that fits it. Each star stands
/// for any text, and for as little as will do.
pub fn fits<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let (start, rest) = pattern.split_once('*').unwrap_or((pattern, ""));
    let text = text.strip_prefix(start)?;
    if start.len() == pattern.len() {
        return text.is_empty().then(Vec::new);
    }
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.filter_map(|end| Some((end, fits(rest, &text[end..])?)))
        .next()
        .map(|(end, others)| [vec![&text[..end]], others].concat())
}
