//! A scene is played: its programs are started, its cues followed, its commands run.

use std::fs;

use lab::sent::wire::{Framing, Wire};

use crate::paper::Recording;
use crate::programs;
use crate::script::{Cue, Paper, Role, Scene};
use crate::sockets;
use crate::stage::{Result, Stage};

/// Plays a scene: what its terminals show, in the order of its papers.
pub fn play(scene: &Scene) -> Result<Vec<Recording>> {
    let mut stage = Stage::set(scene)?;
    if let Some(name) = &scene.answer {
        stage.answer = Some(programs::answer(name, stage.directory.path())?);
    }
    for (role, command) in &scene.programs {
        stage.enter(*role, command)?;
    }
    let mut recordings = vec![];
    for cue in &scene.cues {
        match cue {
            Cue::CommandsRun => recordings = run_all(&mut stage, scene)?,
            cue => follow(&mut stage, scene, cue)?,
        }
    }
    if !scene.cues.contains(&Cue::CommandsRun) {
        recordings = run_all(&mut stage, scene)?;
    }
    for paper in &scene.papers {
        let Some(role) = scene.shows(paper) else { continue };
        if role == Role::Client {
            stage.actor_mut(role)?.ended()?;
        }
        let text = stage.actor(role)?.terminal();
        recordings.push(Recording { name: paper.name.clone(), text });
    }
    for recording in &mut recordings {
        recording.text = stage.renamed(&recording.text);
    }
    let place = |recording: &Recording| scene.papers.iter().position(|p| p.name == recording.name);
    recordings.sort_by_key(place);
    Ok(recordings)
}

/// Does what a cue says.
fn follow(stage: &mut Stage, scene: &Scene, cue: &Cue) -> Result<()> {
    match cue {
        Cue::Starts => {
            let first = scene.papers[0].commands().swap_remove(0);
            stage.enter(Role::Command, &first)
        }
        Cue::Says(role, text) => stage.actor(*role)?.until_it_says(text),
        Cue::FileSays(file, text) => stage.until_file_says(file, text),
        Cue::IsStopped(role) => stage.actor(*role)?.stop(),
        Cue::GoesOn(role) => {
            stage.actor_mut(*role)?.go_on();
            Ok(())
        }
        Cue::IsToldToEnd(role) => {
            stage.actor(*role)?.tell_to_end();
            Ok(())
        }
        Cue::Ends(role) => stage.actor_mut(*role)?.ended().map(drop),
        Cue::Sends(percent) => stage.send(*percent),
        Cue::SendsUntilLost => stage.send_until_bytes_are_lost(),
        Cue::SendsBits => stage.send_bit_by_bit(),
        Cue::NothingMoves => stage.until_nothing_moves(),
        Cue::QueuesAreEmpty => stage.until_queues_are_empty(),
        Cue::CommandsRun => unreachable!("the caller runs them"),
    }
}

/// Runs the commands of every terminal that shows no program.
fn run_all(stage: &mut Stage, scene: &Scene) -> Result<Vec<Recording>> {
    let mut recordings = vec![];
    for paper in scene.papers.iter().filter(|paper| scene.shows(paper).is_none()) {
        recordings.push(Recording { name: paper.name.clone(), text: run(stage, paper)? });
    }
    Ok(recordings)
}

/// Runs the commands of one terminal, one after the other: what it shows then.
fn run(stage: &mut Stage, paper: &Paper) -> Result<String> {
    let (mut terminal, mut status) = (String::new(), 0);
    // What the reader's shell would remember.
    let mut header = 0;
    for command in paper.commands() {
        let (mut shown, mut run) = (command.clone(), command.clone());
        let last = terminal.lines().last().unwrap_or_default();
        if command.starts_with("sed --quiet '") {
            // Three lines before the one that awk has found, and three after it.
            let line = number_in(last)?;
            shown = format!("sed --quiet '{},{}p' page.txt", line - 3, line + 3);
            run = shown.clone();
        } else if command.starts_with("header=") {
            header = number_in(last)?;
            shown = format!("header={header}");
        } else if command.starts_with("xxd -s $((header") {
            run = format!("header={header}; {command}");
        } else if command.starts_with("xxd -s ") {
            // From the row above the one in which the stream jumps.
            let row = jump(stage, header)? / 16 * 16;
            shown = format!("xxd -s {} -l 64 raw.txt", row.saturating_sub(16));
            run = shown.clone();
        }
        let is_running =
            |stage: &Stage| stage.actor(Role::Command).is_ok_and(|it| it.command == run);
        let output = match command.as_str() {
            "echo $?" => format!("{status}\n"),
            _ if is_running(stage) => {
                let actor = stage.actor_mut(Role::Command)?;
                status = actor.ended()?;
                actor.program.stdout.text()
            }
            _ => {
                let (output, ended) = stage.run(&run)?;
                status = ended;
                if run.starts_with("ss ") { sockets::in_order(stage, &output)? } else { output }
            }
        };
        terminal += &format!("$ {shown}\n{output}");
        if !terminal.ends_with('\n') {
            terminal.push('\n');
        }
    }
    Ok(terminal)
}

/// The first number in a line.
fn number_in(line: &str) -> Result<u64> {
    let digits = line.split(|char: char| !char.is_ascii_digit()).find(|digits| !digits.is_empty());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| format!("{line:?} has no number for the next command"))
}

/// Where `raw.txt` ceases to be what the backend has sent, behind a chunk's header.
fn jump(stage: &Stage, header: u64) -> Result<u64> {
    let raw = fs::read(stage.directory.path().join("raw.txt"));
    let raw = raw.map_err(|error| format!("reading raw.txt: {error}"))?;
    let page = Wire::response(Framing::Chunked, stage.page_size()?);
    let differs = |at: &u64| raw[*at as usize] != page.byte(page.head_len() + at);
    let found = (header..raw.len() as u64).find(differs);
    found.ok_or_else(|| "raw.txt is what the backend has sent".into())
}
