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
//! | `needs` | the tools that must be installed |
//! | `backend`, `proxy`, `client` | what runs in other terminals, started in the order of the lines |
//! | `answer` | the patch in `book/answers` with which its step is built for this scene |
//! | `run-as` | `A -> B`: where a command says A, B is run; [`stage`](crate::stage) does the rest |
//! | `then` | a [`Cue`]; the lines are followed in order |
//! | `check` | a function in [`scenes`](crate::scenes) |
//! | `masks` | what may differ, by the names of [`MASKS`], applied in this order |
//! | `machine` | where it was recorded; the only line that recording changes |

use std::fs;
use std::path::{Path, PathBuf};

use press::transcript::Transcript;

use crate::paper::{MASKS, Mask};
use crate::scenes::{CHECKS, Check};
use crate::stage::{ROOT, Result};
use crate::tools::{self, Tool};

/// Terminals that are recorded together, the one that leads first.
pub struct Scene {
    pub title: String,
    pub papers: Vec<Paper>,
    pub needs: Vec<&'static Tool>,
    pub programs: Vec<(Role, String)>,
    pub answer: Option<String>,
    /// What is said in a command, and what is run instead.
    pub run_as: Vec<(String, String)>,
    pub cues: Vec<Cue>,
    pub check: Option<Check>,
}

/// One transcript: what its file says.
pub struct Paper {
    /// The file's name without `.txt`.
    pub name: String,
    pub masks: Vec<&'static Mask>,
    pub transcript: Transcript,
}

/// Whose terminal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What listens on port 9000.
    Backend,
    /// What listens on port 8080.
    Proxy,
    Client,
    /// The first command of the transcript that leads, once it has been started.
    Command,
}

/// What happens next. Before the first one, the programs of the header have been started.
#[derive(Debug, PartialEq)]
pub enum Cue {
    /// `command starts`: so that it runs while the next cues are followed.
    Starts,
    /// `client says TEXT`: the text is waited for.
    Says(Role, String),
    /// `trace.txt says TEXT`: it is waited for in a file.
    FileSays(String, String),
    /// `command is stopped`, by SIGSTOP.
    IsStopped(Role),
    /// `command goes on`: by SIGCONT; a client that stalls reads again.
    GoesOn(Role),
    /// `command is told to end`, by SIGTERM.
    IsToldToEnd(Role),
    /// `client ends`: its end is waited for. If it stalls, it goes on first.
    Ends(Role),
    /// `backend sends 37%`: up to there, and not before. `the rest` is everything.
    Sends(u64),
    /// `backend sends bit by bit`: each only when nothing is left to do with the one before.
    SendsBits,
    /// `backend sends until bytes are lost`.
    SendsUntilLost,
    /// `nothing moves`: every program sleeps, and no byte is under way.
    NothingMoves,
    /// `queues are empty`: everything that was sent has been read.
    QueuesAreEmpty,
    /// `the commands run`. Without this cue, it is the last one.
    CommandsRun,
}

/// Where the transcripts are.
pub fn directory() -> PathBuf {
    Path::new(ROOT).join("book/transcripts")
}

/// Reads all transcripts, and puts those together that are recorded together. What is wrong with a
/// file is said with its name and line.
pub fn read_all() -> std::result::Result<Vec<Scene>, Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .map_err(|error| vec![format!("book/transcripts: {error}")])?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let (mut scenes, mut followers, mut problems) = (vec![], vec![], vec![]);
    for file in names {
        let read =
            fs::read_to_string(directory().join(&file)).map_err(|error| (1, error.to_string()));
        match read.and_then(|text| parse(&file, &text)) {
            Ok((scene, None)) => scenes.push(scene),
            Ok((scene, Some(leader))) => followers.push((file, leader, scene)),
            Err((line, what)) => problems.push(format!("book/transcripts/{file}:{line}: {what}")),
        }
    }
    for (file, leader, follower) in followers {
        match scenes.iter_mut().find(|scene: &&mut Scene| scene.papers[0].name == leader) {
            Some(scene) => scene.papers.extend(follower.papers),
            None => problems.push(format!("book/transcripts/{file}:1: {leader:?} leads no scene")),
        }
    }
    if problems.is_empty() { Ok(scenes) } else { Err(problems) }
}

/// Reads one file: its scene, if it leads one, or the name of the file that does. A problem comes
/// with its line.
pub fn parse(
    file: &str,
    text: &str,
) -> std::result::Result<(Scene, Option<String>), (usize, String)> {
    let transcript = Transcript::parse(text)?;
    let mut scene = Scene {
        title: String::new(),
        papers: vec![],
        needs: vec![],
        programs: vec![],
        answer: None,
        run_as: vec![],
        cues: vec![],
        check: None,
    };
    let (mut leader, mut masks) = (None, vec![]);
    for (line, (key, value)) in (1..).zip(&transcript.header) {
        let wrong = |what: String| (line, what);
        let text = value.clone();
        // What only a file that leads may have.
        let is_follower = leader.is_some() && !["masks", "machine"].contains(&key.as_str());
        if is_follower
            || (scene.title.is_empty()
                && leader.is_none()
                && !["scene", "with"].contains(&key.as_str()))
        {
            return Err(wrong(format!("`{key}` belongs below `scene`, in the file that leads")));
        }
        match key.as_str() {
            "scene" => scene.title = text,
            "with" => leader = Some(text),
            "needs" => {
                scene.needs =
                    words(value).map(tools::named).collect::<Result<_>>().map_err(wrong)?
            }
            "backend" => scene.programs.push((Role::Backend, text)),
            "proxy" => scene.programs.push((Role::Proxy, text)),
            "client" => scene.programs.push((Role::Client, text)),
            "answer" => scene.answer = Some(text),
            "run-as" => {
                let both =
                    value.split_once(" -> ").ok_or_else(|| wrong("it is not `A -> B`".into()))?;
                scene.run_as.push((both.0.into(), both.1.into()));
            }
            "then" => scene.cues.push(cue(value).map_err(wrong)?),
            "check" => scene.check = Some(one_of(&CHECKS, value).map_err(wrong)?),
            "masks" => masks = words(value).map(mask).collect::<Result<_>>().map_err(wrong)?,
            "machine" => {}
            _ => return Err(wrong(format!("there is no key `{key}`"))),
        }
    }
    let name = file.strip_suffix(".txt").ok_or((1, "its name does not end in .txt".to_string()))?;
    scene.papers.push(Paper { name: name.into(), masks, transcript });
    Ok((scene, leader))
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// What has that name in a table of functions.
fn one_of<F: Copy>(table: &[(&str, F)], name: &str) -> Result<F> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|(_, function)| *function).ok_or_else(|| format!("there is no `{name}`"))
}

fn mask(name: &str) -> Result<&'static Mask> {
    let known = || MASKS.iter().map(|mask| mask.name).collect::<Vec<_>>().join(", ");
    let found = MASKS.iter().find(|mask| mask.name == name);
    found.ok_or_else(|| format!("there is no mask `{name}`; there are {}", known()))
}

fn cue(text: &str) -> Result<Cue> {
    let unknown = || format!("`{text}` is nothing that can happen in a scene");
    let (who, what) = text.split_once(' ').ok_or_else(unknown)?;
    let role = match who {
        "backend" => Some(Role::Backend),
        "proxy" => Some(Role::Proxy),
        "client" => Some(Role::Client),
        "command" => Some(Role::Command),
        _ => None,
    };
    let said = what.strip_prefix("says ").map(str::to_string);
    Ok(match (role, what) {
        _ if text == "nothing moves" => Cue::NothingMoves,
        _ if text == "queues are empty" => Cue::QueuesAreEmpty,
        _ if text == "the commands run" => Cue::CommandsRun,
        (Some(Role::Command), "starts") => Cue::Starts,
        (Some(role), "is stopped") => Cue::IsStopped(role),
        (Some(role), "goes on") => Cue::GoesOn(role),
        (Some(role), "is told to end") => Cue::IsToldToEnd(role),
        (Some(role), "ends") => Cue::Ends(role),
        (Some(Role::Backend), "sends the rest") => Cue::Sends(100),
        (Some(Role::Backend), "sends until bytes are lost") => Cue::SendsUntilLost,
        (Some(Role::Backend), "sends bit by bit") => Cue::SendsBits,
        (Some(Role::Backend), _) if what.starts_with("sends ") => {
            let percent =
                what["sends ".len()..].strip_suffix('%').and_then(|number| number.parse().ok());
            Cue::Sends(percent.filter(|percent| *percent < 100).ok_or_else(unknown)?)
        }
        (Some(role), _) => Cue::Says(role, said.ok_or_else(unknown)?),
        (None, _) => {
            Cue::FileSays(who.into(), said.filter(|_| who.contains('.')).ok_or_else(unknown)?)
        }
    })
}

impl Paper {
    /// The commands, each in all its lines.
    pub fn commands(&self) -> Vec<String> {
        let mut commands: Vec<String> = vec![];
        let mut goes_on = false;
        for line in self.transcript.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push(command.into()),
                (None, Some(command)) if goes_on => *command += &format!("\n{line}"),
                _ => continue,
            }
            goes_on = line.ends_with('\\');
        }
        commands
    }

    /// Whether a command waits for seconds to pass.
    pub fn waits_by_the_clock(&self) -> bool {
        let clocks = ["timeout ", "--max-time ", "--limit-rate "];
        clocks.iter().any(|clock| self.transcript.text.contains(clock))
    }
}

impl Scene {
    /// Whether the backend waits for cues.
    pub fn cues_backend(&self) -> bool {
        self.cues
            .iter()
            .any(|cue| matches!(cue, Cue::Sends(_) | Cue::SendsBits | Cue::SendsUntilLost))
    }

    /// Whose terminal a transcript shows; `None` where its commands are run.
    pub fn shows(&self, paper: &Paper) -> Option<Role> {
        let first = paper.commands().into_iter().next()?;
        self.programs.iter().find(|(_, command)| *command == first).map(|(role, _)| *role)
    }
}
