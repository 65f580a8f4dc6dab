//! Chromium, which prints pages and takes pictures of them. It is not part of the project and may be missing.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::kernel::wait::find_within;

/// What it may be called.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// How long it may take. It needs some seconds; a busy machine may need many.
const PATIENCE: Duration = Duration::from_secs(240);

/// What to say where there is none.
pub const MISSING: &str = "Chromium is missing, which prints the book: install chromium or google-chrome, \
    or name its program in the variable CHROMIUM";

/// A Chromium that was found.
#[derive(Clone, Debug)]
pub struct Chromium(PathBuf);

/// Looks for the program that the variable CHROMIUM names, or for one of the usual names, in PATH.
pub fn find() -> Option<Chromium> {
    let named = env::var_os("CHROMIUM").filter(|named| !named.is_empty());
    let names = named.map_or(NAMES.map(OsString::from).to_vec(), |named| vec![named]);
    let path = env::var_os("PATH")?;
    // A name with a slash stays as it is, wherever it is looked for.
    let in_path = |name| env::split_paths(&path).map(move |place| place.join(&name));
    names.into_iter().flat_map(in_path).find(|file| file.is_file()).map(Chromium)
}

impl Chromium {
    /// Prints a page into a PDF, with bookmarks made from its headings.
    pub fn print(&self, page: &Path, pdf: &Path) -> Result<()> {
        let to = format!("--print-to-pdf={}", pdf.display());
        self.run(page, pdf, &[&to, "--no-pdf-header-footer", "--generate-pdf-document-outline"])
    }

    /// Takes a picture of a page, `size` pixels wide and high.
    pub fn picture(&self, page: &Path, png: &Path, [width, height]: [u32; 2]) -> Result<()> {
        let to = format!("--screenshot={}", png.display());
        let size = format!("--window-size={width},{height}");
        self.run(page, png, &[&to, &size, "--hide-scrollbars", "--force-device-scale-factor=1"])
    }

    fn run(&self, page: &Path, result: &Path, arguments: &[&str]) -> Result<()> {
        // Beside the result, because some distributions let Chromium see only its user's files.
        let place = result.parent().context("a directory to write into")?;
        let directory = tempfile::tempdir_in(place).context("creating a directory for Chromium")?;
        let notes = directory.path().join("notes");
        let mut command = Command::new(&self.0);
        command.args(["--headless=new", "--disable-gpu", "--no-first-run", "--disable-sync"]);
        command.args(["--disable-background-networking", "--disable-dev-shm-usage"]);
        command.arg(format!("--user-data-dir={}", directory.path().join("profile").display()));
        // Its sandbox refuses to be started by root, as programs in containers are.
        if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            command.arg("--no-sandbox");
        }
        command.args(arguments).arg(format!("file://{}", page.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&notes)?);
        let name = self.0.display();
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let status = wait(child).with_context(|| format!("waiting for {name}"))?;
        // It may also fail with status 0.
        if !status.success() || !result.is_file() {
            let said = fs::read_to_string(&notes).unwrap_or_default();
            let last = said.lines().last().unwrap_or("it does not say why");
            bail!("{name} has printed nothing ({status}): {last}");
        }
        Ok(())
    }
}

/// Waits, but not forever.
fn wait(mut child: Child) -> Result<ExitStatus> {
    if let Some(status) = find_within(PATIENCE, || child.try_wait().transpose()) {
        return Ok(status?);
    }
    child.kill()?;
    child.wait()?;
    bail!("it did not come to an end in {} seconds", PATIENCE.as_secs());
}
