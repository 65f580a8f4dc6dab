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
//! what happens meanwhile: that a text is printed, or that nothing moves any more.

#[path = "../common/package.rs"]
mod package;
mod paper;
mod pattern;
mod play;
mod programs;
mod script;
mod sockets;
mod stage;
mod tools;

use std::io::{Write, stderr};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use script::{Paper, Scene};

/// How many scenes are played at a time. In most of them nearly all of the time is spent waiting.
const AT_A_TIME: usize = 8;

/// All scenes. It fails with what is wrong in a header.
fn scenes() -> Vec<Scene> {
    script::read_all().unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_terminal_in_the_book_shows_what_happens() {
    let wanted = std::env::var("BLESS").ok().filter(|value| !value.is_empty());
    let mut chosen = scenes();
    if let Some(name) = wanted.as_deref().filter(|name| *name != "1") {
        chosen.retain(|scene| scene.papers.iter().any(|paper| paper.name.contains(name)));
    }
    assert!(!chosen.is_empty(), "BLESS names no transcript");
    // Those first that wait for seconds to pass.
    chosen.sort_by_key(Scene::waits_by_the_clock);

    let waiting = Mutex::new(chosen);
    let failures = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(scene) = waiting.lock().unwrap().pop() else { break };
                    let begun = Instant::now();
                    let found = play(&scene, wanted.is_some());
                    println!("{:5.1} s  {}", begun.elapsed().as_secs_f64(), scene.title);
                    failures.lock().unwrap().extend(found);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
}

/// Plays a scene and compares, or records; what is wrong, in sentences.
fn play(scene: &Scene, bless: bool) -> Vec<String> {
    let files: Vec<_> = scene.papers.iter().map(Paper::file).collect();
    let place = format!("{}, scene \"{}\"", files.join(", "), scene.title);
    let mut missing = scene.needs.clone();
    missing.retain(|tool| tools::version(tool).is_none());
    if !missing.is_empty() {
        let what = format!("{place}: {} cannot be used here", missing.join(" and "));
        // Not `eprintln!`, which nobody sees when a test passes.
        let _ = writeln!(stderr(), "\n*** {what}: NOTHING HAS BEEN CHECKED ***\n");
        // Where the checks of the project run, everything must be there. But a right cannot be
        // installed.
        let may_be_missing = missing == [tools::ATTACH];
        let is_failure = std::env::var_os("CI").is_some() && !may_be_missing;
        return if is_failure { vec![what] } else { vec![] };
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

#[test]
fn every_transcript_fits_a_page() {
    for paper in scenes().iter().flat_map(|scene| &scene.papers) {
        let file = paper.file();
        let text = &paper.transcript.text;
        for line in text.lines() {
            // The laboratory has its sentences in one line each, and the page breaks them.
            let width = line.chars().count();
            let is_sentence = text.contains("$ cargo lab ");
            assert!(is_sentence || width <= 105, "{file}: {width} wide: {line}");
        }
    }
}
