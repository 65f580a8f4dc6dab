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
//! | `backend`, `proxy`, `client` | what runs in other terminals, started in the order of the lines |
//! | `answer` | the patch in `book/answers` with which its step is built for this scene |
//! | `run-as` | `A -> B`: where a command says A, B is run; [`stage`](crate::stage) does the rest |
//! | `then` | a [cue](crate::play::CUES); the lines are followed in order, once the programs run |
//! | `masks` | what may differ, by the names of [`paper`](crate::paper), applied in this order |
//! | `machine` | where it was recorded; the only line that recording changes |

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use press::transcript::{TerminalLine, Transcript};

use crate::paper;
use crate::play::{self, Cue};
use crate::stage::{BACKEND, CLIENT, PROXY, ROOT};
use crate::tools;

/// Terminals that are recorded together.
#[derive(Default)]
pub struct Scene {
    pub title: String,
    /// The one that leads is the first.
    pub papers: Vec<Paper>,
    pub needs: Vec<&'static str>,
    /// Who runs in other terminals, and what.
    pub programs: Vec<(&'static str, String)>,
    pub answer: Option<String>,
    /// What is said in a command, and what is run instead.
    pub run_as: Vec<(String, String)>,
    pub cues: Vec<Cue>,
}

/// One transcript: what its file says.
pub struct Paper {
    /// The file's name without `.txt`.
    pub name: String,
    pub masks: Vec<&'static str>,
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
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into()).collect();
    names.sort();
    let (mut scenes, mut followers): (Vec<Scene>, Vec<_>) = (vec![], vec![]);
    for name in names {
        match read(&name)? {
            (scene, None) => scenes.push(scene),
            (scene, Some(leader)) => followers.push((name, leader, scene.papers)),
        }
    }
    for (name, leader, papers) in followers {
        let scene = scenes.iter_mut().find(|scene| scene.papers[0].name == leader);
        let wrong = || format!("book/transcripts/{name}:1: {leader} leads no scene");
        scene.with_context(wrong)?.papers.extend(papers);
    }
    Ok(scenes)
}

/// Reads one file: its scene, and the name of the file that leads, if that is another one.
fn read(name: &str) -> Result<(Scene, Option<String>)> {
    let place = |line: usize| format!("book/transcripts/{name}:{line}");
    let text = fs::read_to_string(directory().join(name)).with_context(|| place(1))?;
    let parsed = Transcript::parse(&text);
    let transcript = parsed.map_err(|(line, what)| anyhow!("{}: {what}", place(line)))?;
    let (mut scene, mut leader, mut masks) = (Scene::default(), None, vec![]);
    for (line, (key, value)) in (1..).zip(&transcript.header) {
        let words = || value.split(", ");
        let mut take_in = || -> Result<()> {
            match key.as_str() {
                "scene" if line == 1 => scene.title = value.clone(),
                "with" if line == 1 => leader = Some(value.clone()),
                "masks" => masks = words().map(paper::mask).collect::<Result<_>>()?,
                "machine" => {}
                _ if leader.is_some() || scene.title.is_empty() => {
                    bail!("`{key}` belongs into the file that leads, below its `scene`");
                }
                "needs" => scene.needs = words().map(tools::named).collect::<Result<_>>()?,
                "answer" => scene.answer = Some(value.clone()),
                "run-as" => {
                    let (shown, run) = value.split_once(" -> ").context("it is not `A -> B`")?;
                    scene.run_as.push((shown.into(), run.into()));
                }
                "then" => scene.cues.push(play::cue(value)?),
                _ => {
                    let role = [BACKEND, PROXY, CLIENT].into_iter().find(|role| role == key);
                    let role = role.with_context(|| format!("there is no key `{key}`"))?;
                    scene.programs.push((role, value.clone()));
                }
            }
            Ok(())
        };
        take_in().with_context(|| place(line))?;
    }
    let name = name.trim_end_matches(".txt").into();
    scene.papers.push(Paper { name, masks, transcript });
    Ok((scene, leader))
}

impl Paper {
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
    /// Whose terminal a transcript shows; `None` where its commands are run.
    pub fn shows(&self, paper: &Paper) -> Option<&'static str> {
        let first = paper.commands().into_iter().next()?;
        self.programs.iter().find(|(_, command)| *command == first).map(|(role, _)| *role)
    }

    /// Whether cues say what the backend sends.
    pub fn leads_backend(&self) -> bool {
        self.papers[0]
            .transcript
            .header
            .iter()
            .any(|(_, value)| value.starts_with("backend sends "))
    }

    /// Whether a command waits for seconds to pass.
    pub fn waits_by_the_clock(&self) -> bool {
        let has = |text| self.papers.iter().any(|paper| paper.transcript.text.contains(text));
        ["timeout ", "--max-time ", "--limit-rate "].iter().any(|clock| has(*clock))
    }
}
