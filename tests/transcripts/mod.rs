//! What the book shows of a terminal is what happens when the commands in it are run.
//!
//! `book/transcripts/NAME.txt` holds one terminal: a header of `# key: value` lines, a line `---`, and
//! then what the terminal shows, from the first prompt on. Each is recorded in a scene: real
//! programs, started on free ports, with the command lines that the reader types ([`stage`] says what
//! is different about them). The test below plays all scenes and compares ([`paper`] says how).
//!
//! `BLESS=1 cargo test --test book` writes the files anew. `BLESS=03-curl` does so for the
//! scenes and transcripts with `03-curl` in their names.

mod paper;
mod scenes;
mod stage;

use std::collections::VecDeque;
use std::fs;
use std::io::{Write, stderr};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use paper::Verdict;
use scenes::{SCENES, Scene};
use stage::Stage;

/// How many scenes are played at a time. In most of them nearly all of the time is spent waiting.
const AT_A_TIME: usize = 8;

/// How often a scene is played for a recording until the bug comes out the way that the book tells.
/// A check takes it as it comes.
const TAKES: usize = 5;

#[test]
fn every_terminal_in_the_book_shows_what_happens() {
    let wanted = std::env::var("BLESS").ok().filter(|value| !value.is_empty());
    let is_wanted = |scene: &&Scene| match wanted.as_deref() {
        None | Some("1") => true,
        Some(name) => {
            scene.name.contains(name) || scene.papers.iter().any(|p| p.name.contains(name))
        }
    };
    let scenes: VecDeque<&Scene> = SCENES.iter().filter(is_wanted).collect();
    assert!(!scenes.is_empty(), "BLESS names no scene and no transcript");

    let waiting = Mutex::new(scenes);
    let failures = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(scene) = waiting.lock().unwrap().pop_front() else { break };
                    let begun = Instant::now();
                    let found = play(scene, wanted.is_some());
                    println!("{:5.1} s  {}", begun.elapsed().as_secs_f64(), scene.name);
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
    let papers: Vec<_> = scene.papers.iter().map(|paper| paper.name).collect();
    let place = format!("book/transcripts/{}.txt, scene \"{}\"", papers.join(".txt, "), scene.name);
    let missing: Vec<_> = scene.needs.iter().filter(|tool| tool.version().is_none()).collect();
    if !missing.is_empty() {
        let tools: Vec<_> = missing.iter().map(|tool| tool.name()).collect();
        let what = format!("{place}: {} cannot be used here", tools.join(" and "));
        // Not `eprintln!`, which nobody sees when a test passes.
        let _ = writeln!(stderr(), "\n*** {what}: NOTHING HAS BEEN CHECKED ***\n");
        // Where the checks of the project run, everything must be there. But a right cannot be
        // installed.
        let may_be_missing = missing == [&stage::Tool::Attach];
        let is_failure = std::env::var_os("CI").is_some() && !may_be_missing;
        return if is_failure { vec![what] } else { vec![] };
    }
    for take in 1.. {
        let mut stage = match Stage::set() {
            Ok(stage) => stage,
            Err(error) => return vec![format!("{place}: {error}")],
        };
        stage.recording = bless;
        let played = (scene.play)(&mut stage);
        let recordings = match played {
            Ok(recordings) => recordings,
            Err(error) => return vec![format!("{place}: {error}")],
        };
        drop(stage);
        if bless && recordings.iter().any(|recording| recording.unusual) {
            if take < TAKES {
                continue;
            }
            let text: String = recordings.into_iter().map(|recording| recording.text).collect();
            return vec![format!("{place}: {TAKES} takes, all unusual:\n{text}")];
        }
        let names: Vec<_> = recordings.iter().map(|recording| recording.name).collect();
        assert_eq!(names, papers, "{place} records others");
        let both = scene.papers.iter().zip(&recordings);
        return match bless {
            true => both.filter_map(|(paper, text)| paper.write(scene, text).err()).collect(),
            false => both
                .filter_map(|(paper, text)| match paper.compare(text) {
                    Verdict::Same => None,
                    Verdict::Different(what) => Some(what),
                })
                .collect(),
        };
    }
    unreachable!("the loop ends by returning")
}

#[test]
fn every_transcript_belongs_to_a_scene_and_fits_a_page() {
    let mut known: Vec<String> = SCENES
        .iter()
        .flat_map(|scene| scene.papers.iter().map(|paper| format!("{}.txt", paper.name)))
        .collect();
    known.sort();
    let mut found: Vec<String> = fs::read_dir(paper::directory())
        .expect("book/transcripts is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    if std::env::var_os("BLESS").is_none() {
        assert_eq!(found, known, "`BLESS=1 cargo test --test book` writes what is missing");
    }
    for name in found {
        let text = fs::read_to_string(paper::directory().join(&name)).expect("it can be read");
        for (number, line) in (1..).zip(text.lines()) {
            // The laboratory has its sentences in one line each, and the page breaks them.
            let width = line.chars().count();
            let is_sentence = text.contains("$ cargo lab ");
            assert!(is_sentence || width <= 105, "{name}, line {number}, {width} wide: {line}");
            let plain = line.chars().all(|char| !char.is_control());
            assert!(plain, "{name}, line {number} has a control character: {line:?}");
        }
    }
}
