//! What the book shows of a terminal is what happens when the commands in it are run.
//!
//! `book/transcripts/NAME.txt` holds one terminal: a header, a line `---`, and then what the terminal
//! shows, from the first prompt on. The header says how it is recorded, and [`script`] how to read
//! it. The test below plays all scenes and compares; [`paper`] says how.
//!
//! `BLESS=1 cargo test --test transcripts` writes the files anew. `BLESS=03-curl` does so for the
//! scenes that have a transcript with `03-curl` in its name. For a new transcript, write a header,
//! the line `---` and the commands, each behind `$ `.
//!
//! Nothing here may depend on who is faster. Where a reader waits for ten seconds, a scene waits for
//! what happens meanwhile: that a text is printed, or that nothing moves anymore.

#[path = "../common/package.rs"]
mod package;
#[path = "../common/tools.rs"]
mod tools;

mod paper;
mod play;
mod programs;
mod script;
mod sockets;
mod stage;

use std::time::Instant;

use lab::ladder::matrix::in_parallel;
use script::{Paper, Scene};

/// How many scenes are played at a time. In most of them nearly all of the time is spent waiting.
const AT_A_TIME: usize = 8;

/// All scenes. It fails with what is wrong in a header.
fn scenes() -> Vec<Scene> {
    script::read_all().unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_terminal_in_the_book_shows_what_happens() {
    play_all(|scene| !scene.is_apart());
}

#[test]
#[ignore = "builds two releases of hyper, which cargo has to fetch; .ci/run does it, by -- --ignored"]
fn every_terminal_that_stands_apart_shows_what_happens() {
    play_all(Scene::is_apart);
}

/// Plays scenes and compares them, or records them if `BLESS` says so.
fn play_all(are_meant: fn(&Scene) -> bool) {
    let wanted = std::env::var("BLESS").ok().filter(|value| !value.is_empty());
    let mut chosen = scenes();
    chosen.retain(are_meant);
    if let Some(name) = wanted.as_deref().filter(|name| *name != "1") {
        chosen.retain(|scene| scene.papers.iter().any(|paper| paper.name.contains(name)));
    }
    assert!(!chosen.is_empty(), "BLESS names no transcript");
    // The first are those in front of 01 and 02, which wait for seconds to pass.
    let play_one = |scene: Scene| {
        let begun = Instant::now();
        let found = play(&scene, wanted.is_some());
        println!("{:5.1} s  {}", begun.elapsed().as_secs_f64(), scene.papers[0].name);
        found
    };
    let failures = in_parallel(chosen, AT_A_TIME, play_one, |_| {}).concat();
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
}

/// Plays a scene and compares, or records; what is wrong, in sentences.
fn play(scene: &Scene, bless: bool) -> Vec<String> {
    let files: Vec<_> = scene.papers.iter().map(Paper::file).collect();
    let place = files.join(", ");
    if tools::are_missing(scene.values("needs").flat_map(|needs| needs.split(", ")), &place) {
        return vec![];
    }
    let recordings = match play::play(scene) {
        Ok(recordings) => recordings,
        Err(error) => return vec![format!("{place}: {error:#}")],
    };
    let compared = scene.papers.iter().map(|paper| match bless {
        true => paper.write(scene, &recordings[&paper.name]),
        false => paper.compare(&recordings[&paper.name]),
    });
    compared.filter_map(|done| Some(format!("{:#}", done.err()?))).collect()
}
