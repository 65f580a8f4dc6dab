//! A scene is played: its programs are started, its cues followed, its commands run.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use lab::numbers::thousands;
use nix::sys::signal::Signal;

use crate::programs;
use crate::script::{Paper, Scene, fits};
use crate::sockets;
use crate::stage::{CLIENT, COMMAND, ROLES, Stage};

/// What a cue does, given what the stars of its pattern stand for.
pub type Play = fn(&mut Stage, &[&str]) -> Result<()>;

/// All cues. A star at the beginning is one of [`ROLES`]; only a file may also say something. In what
/// is said, `{strace-sum}` is the number that this terminal shows last.
pub const CUES: [(&str, Play); 12] = [
    // The first command of the file that leads: it runs while the cues below are followed.
    ("command starts", |stage, _| {
        let first = stage.scene.papers[0].commands().swap_remove(0);
        stage.enter(COMMAND, &first)
    }),
    ("* says *", |stage, stars| match stars[0].contains('.') {
        true => stage.until_file_says(stars[0], stars[1]),
        false => {
            let says = |text: &str| text.contains(stars[1]).then_some(());
            stage.actor(stars[0])?.wait_for(stars[1], says)
        }
    }),
    // By SIGSTOP.
    ("* is stopped", |stage, stars| stage.actor(stars[0])?.stop()),
    // By SIGCONT; a client that stalls reads again.
    ("* goes on", |stage, stars| stage.actor(stars[0])?.signal(Signal::SIGCONT)),
    // By SIGTERM, as `timeout` does it.
    ("* is told to end", |stage, stars| stage.actor(stars[0])?.signal(Signal::SIGTERM)),
    // It is waited for. A client that stalls goes on first.
    ("* ends", |stage, stars| stage.actor(stars[0])?.ended().map(drop)),
    ("backend sends the rest", |stage, _| stage.cue(None)),
    ("backend sends until bytes are lost", |stage, _| stage.send_until_bytes_are_lost()),
    // Up to there, and not further.
    ("backend sends *%", |stage, stars| {
        let percent: u64 = stars[0].parse()?;
        stage.cue(Some(stage.page_size()? / 100 * percent))
    }),
    // Every program sleeps, and no byte is under way.
    ("nothing moves", |stage, _| stage.until_nothing_moves()),
    // All that was sent has been read.
    ("queues are empty", |stage, _| stage.until_queues_are_empty()),
    // Without this cue, they do after the last one.
    ("the commands run", |stage, _| run_all(stage)),
];

/// The cue that these words are: what it does, and what the stars of its pattern stand for.
pub fn cue(text: &str) -> Result<(Play, Vec<&str>)> {
    let found = CUES.iter().find_map(|(pattern, act)| Some((pattern, act, fits(pattern, text)?)));
    let (pattern, act, stars) = found.with_context(|| format!("there is no cue `{text}`"))?;
    let may_act = |who: &str| ROLES.contains(&who) || *pattern == "* says *" && who.contains('.');
    ensure!(!pattern.starts_with('*') || may_act(stars[0]), "`{}` plays in no scene", stars[0]);
    Ok((*act, stars))
}

/// Plays a scene: what its terminals show, by the names of its papers.
pub fn play(scene: &Scene) -> Result<HashMap<String, String>> {
    let mut stage = Stage::set(scene)?;
    if let Some(name) = scene.values("answer").next() {
        stage.answer = Some(programs::answer(name)?);
    }
    for (role, command) in scene.programs() {
        stage.enter(role, command)?;
    }
    for words in scene.values("then") {
        let mut words = words.to_string();
        for (name, text) in &stage.recordings {
            let last = text.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0);
            words = words.replace(&format!("{{{name}}}"), &thousands(last));
        }
        let (act, stars) = cue(&words)?;
        act(&mut stage, &stars).with_context(|| format!("`{words}`"))?;
    }
    if stage.recordings.is_empty() {
        run_all(&mut stage)?;
    }
    for paper in &scene.papers {
        if let Some(role) = scene.shows(paper) {
            let actor = stage.actor(role)?;
            if role == CLIENT {
                actor.ended()?;
            }
            let text = actor.terminal();
            stage.recordings.insert(paper.name.clone(), text);
        }
    }
    let recordings = std::mem::take(&mut stage.recordings);
    Ok(recordings.into_iter().map(|(name, text)| (name, stage.renamed(&text))).collect())
}

/// Runs the commands of every terminal that shows no program.
fn run_all(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene;
    for paper in scene.papers.iter().filter(|paper| scene.shows(paper).is_none()) {
        let text = run(stage, paper)?;
        stage.recordings.insert(paper.name.clone(), text);
    }
    Ok(())
}

/// Runs the commands of one terminal, one after the other: what it shows then.
fn run(stage: &mut Stage, paper: &Paper) -> Result<String> {
    let (mut terminal, mut status) = (String::new(), 0);
    for command in paper.commands() {
        let mut output = format!("{status}\n");
        if command != "echo $?" {
            (output, status) = stage.run(&command)?;
        }
        if command.starts_with("ss ") {
            output = sockets::in_order(stage, &output)?;
        }
        terminal += &format!("$ {command}\n{output}");
        if !terminal.ends_with('\n') {
            terminal.push('\n');
        }
    }
    Ok(terminal)
}
