//! The programs of the repository: where they are, and how those are built that are not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::stage::{ROOT, Result};

/// Where cargo puts the steps.
pub fn steps() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_03-dropped-write")).parent().expect("it is in a directory")
}

/// The laboratory's program, as new as its sources. `cargo test` has built it, but
/// `cargo test --test transcripts` has not.
pub fn lab() -> Result<PathBuf> {
    static LAB: OnceLock<Result<PathBuf>> = OnceLock::new();
    LAB.get_or_init(|| {
        let path = steps().join("lab");
        let built = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        if built.is_none() || newest(&Path::new(ROOT).join("tests/lab/src")) > built {
            let mut cargo = cargo(Path::new(ROOT));
            cargo.args(["build", "--quiet", "--package", "lab", "--bin", "lab"]);
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            finish(cargo, "building the laboratory")?;
        }
        Ok(path)
    })
    .clone()
}

/// When something in a directory was last changed.
fn newest(directory: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let changed = entries.filter_map(|entry| match entry.file_type().ok()?.is_dir() {
        true => newest(&entry.path()),
        false => entry.metadata().ok()?.modified().ok(),
    });
    changed.max()
}

/// Builds a step as an answer of the book changes it: the step's name, and the program. `scratch` is
/// an empty directory.
pub fn answer(name: &str, scratch: &Path) -> Result<(String, PathBuf)> {
    let wrong = |error: std::io::Error| format!("preparing {name}: {error}");
    let patch = Path::new(ROOT).join(format!("book/answers/{name}.patch"));
    let text = fs::read_to_string(&patch).map_err(wrong)?;
    let step =
        text.lines().find_map(|line| line.strip_prefix("--- a/steps/")?.strip_suffix("/main.rs"));
    let step = step.ok_or(format!("{name}.patch changes no step"))?;
    let main = Path::new("steps").join(step).join("main.rs");
    fs::create_dir_all(scratch.join("steps").join(step)).map_err(wrong)?;
    fs::copy(Path::new(ROOT).join(&main), scratch.join(&main)).map_err(wrong)?;
    let mut git = Command::new("git");
    git.arg("apply").arg(&patch).current_dir(scratch);
    // Not as a part of the repository around it.
    git.env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"));
    finish(git, &format!("applying {name}.patch"))?;

    let root = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).map_err(wrong)?;
    let dependencies = root
        .split_once(r#"'cfg(target_os = "linux")'.dependencies]"#)
        .and_then(|(_, rest)| rest.split("\n[").next())
        .ok_or("the steps have no dependencies")?;
    let manifest = format!(
        "[workspace]\n[package]\nname = \"answer\"\nedition = \"2024\"\n\n[dependencies]{dependencies}\n\
         [[bin]]\nname = \"{step}\"\npath = \"main.rs\"\n"
    );
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&package).map_err(wrong)?;
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).map_err(wrong)?;
    let source = fs::read_to_string(scratch.join(&main)).map_err(wrong)?;
    for (file, text) in [("main.rs", source), ("Cargo.toml", manifest), ("Cargo.lock", lock)] {
        // Cargo builds again what has been written again.
        if fs::read_to_string(package.join(file)).ok().as_ref() != Some(&text) {
            fs::write(package.join(file), text).map_err(wrong)?;
        }
    }
    let mut cargo = cargo(&package);
    cargo.args(["build", "--quiet", "--offline", "--target-dir", "target"]);
    finish(cargo, &format!("building {name}"))?;
    Ok((step.into(), package.join("target/debug").join(step)))
}

fn cargo(directory: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(directory).stdin(Stdio::null());
    cargo
}

/// Runs a tool that is not part of any terminal.
fn finish(mut command: Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|error| format!("{what}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
