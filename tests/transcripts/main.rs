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

mod paper;
mod play;
mod programs;
mod scenes;
mod script;
mod sockets;
mod stage;
mod tools;

use std::collections::VecDeque;
use std::io::{Write, stderr};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use paper::Recording;
use script::{Paper, Scene};

/// How many scenes are played at a time. In most of them nearly all of the time is spent waiting.
const AT_A_TIME: usize = 8;

/// All scenes. It fails with all that is wrong in the headers.
fn scenes() -> Vec<Scene> {
    script::read_all().unwrap_or_else(|problems| panic!("\n\n{}\n", problems.join("\n")))
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
    chosen.sort_by_key(|scene| !scene.papers.iter().any(|paper| paper.waits_by_the_clock()));

    let waiting = Mutex::new(VecDeque::from(chosen));
    let failures = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(scene) = waiting.lock().unwrap().pop_front() else { break };
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
    let missing: Vec<_> = scene.needs.iter().filter(|tool| tool.version().is_none()).collect();
    if !missing.is_empty() {
        let tools: Vec<_> = missing.iter().map(|tool| tool.name).collect();
        let what = format!("{place}: {} cannot be used here", tools.join(" and "));
        // Not `eprintln!`, which nobody sees when a test passes.
        let _ = writeln!(stderr(), "\n*** {what}: NOTHING HAS BEEN CHECKED ***\n");
        // Where the checks of the project run, everything must be there. But a right cannot be
        // installed.
        let may_be_missing = missing.iter().all(|tool| tool.is_right());
        let is_failure = std::env::var_os("CI").is_some() && !may_be_missing;
        return if is_failure { vec![what] } else { vec![] };
    }
    let recordings = match record(scene) {
        Ok(recordings) => recordings,
        Err(error) => return vec![format!("{place}: {error}")],
    };
    let both = scene.papers.iter().zip(&recordings);
    let compared = both.map(|(paper, recording)| match bless {
        true => paper.write(scene, &recording.text),
        false => paper.compare(&recording.text),
    });
    compared.filter_map(Result::err).collect()
}

/// What the terminals of a scene show, in the order of its papers.
fn record(scene: &Scene) -> stage::Result<Vec<Recording>> {
    let recordings = play::play(scene)?;
    if let Some(check) = scene.check {
        check(&recordings)?;
    }
    Ok(recordings)
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
