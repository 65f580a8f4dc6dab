//! The programs of the repository: where they are, and how those are built that are not there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use press::Project;

use crate::package::{self, ROOT};

/// Where cargo puts the steps.
pub fn steps() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_03-dropped-write")).parent().expect("it is in a directory")
}

/// The laboratory's program. `cargo test` has built it, but `cargo test --test transcripts` has not.
pub fn lab() -> Result<&'static Path> {
    static LAB: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet"]).current_dir(ROOT);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        cargo.status().is_ok_and(|status| status.success()).then(|| steps().join("lab"))
    });
    LAB.as_deref().context("the laboratory does not build")
}

/// Builds a step as an answer of the book changes it: the step's name, and the program.
pub fn answer(name: &str) -> Result<(String, PathBuf)> {
    let patched =
        press::diff::patched(&Project::new(ROOT), name).map_err(|what| anyhow!("{what}"))?;
    let step = patched.file.split('/').nth(1).context("the answer changes no step")?;
    let directory = package::build("answer", &[(step.into(), patched.new)])?;
    Ok((step.into(), directory.join(step)))
}
