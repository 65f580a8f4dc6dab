//! Programs that tests build besides those of the workbook: answers of the book.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use lab::ladder::cargo::Manifest;

/// The root of the workbook.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Builds programs, each a name and a source, as one package with the dependencies of the steps.
/// Returns the directory that they are in.
///
/// # Errors
/// When one does not compile: with what the compiler says.
pub fn build(package: &str, programs: &[(String, String)]) -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    fs::create_dir_all(directory.join("src")).context("making a directory")?;
    let mut files = Vec::new();
    for (name, source) in programs {
        files.push((name.clone(), format!("src/{name}.rs")));
        write_if_new(&directory.join("src").join(format!("{name}.rs")), source)?;
    }
    let manifest = Manifest::read(Path::new(ROOT)).map_err(|what| anyhow!(what))?;
    write_if_new(&directory.join("Cargo.toml"), &manifest.package(package, &files))?;
    fs::copy(Path::new(ROOT).join("Cargo.lock"), directory.join("Cargo.lock"))?;
    let target = directory.join("target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bins", "--offline", "--target-dir"]).arg(&target);
    let built = cargo.current_dir(&directory).output().context("running cargo")?;
    let complaint = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "{package} does not build:\n{complaint}");
    Ok(target.join("debug"))
}

/// Leaves a file alone that is as it should be, so that cargo need not build again.
fn write_if_new(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
