//! The scoreboard: what the experiments say of programs that people really use.
//!
//! Each program has a script in `tests/lab/proxies` that starts it as a proxy with its plain defaults.
//! The script's second line says what it runs. `NAME --version` makes the program ready and prints
//! `program version`, or exits with status 69 and says what is missing; `NAME LISTEN BACKEND` runs it in
//! the foreground, with its files in the directory `$LAB_SCRATCH`.
//!
//! What came out, with the versions and the date, is the [`record`]. The book's page is made from it.

pub mod record;
pub mod speed;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::experiments::{Experiment, Outcome};
use crate::ladder::matrix;
use crate::subject::program::{Output, Program};
use crate::subject::proxy::Spec;

/// Where the scripts are, seen from the root of the workbook.
pub const SCRIPTS: &str = "tests/lab/proxies";

/// How long a program may take until it listens: some compile their configuration first.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long `--version` may take. A script may have to compile its program.
const READY: Duration = Duration::from_secs(900);

/// The exit status of a script whose program is not installed: EX_UNAVAILABLE in sysexits.h.
const UNAVAILABLE: i32 = 69;

/// A program that the scoreboard knows how to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The name of its script.
    pub name: String,
    /// What it is, in a sentence.
    pub what: String,
    script: PathBuf,
}

/// Whether a program can be graded on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there: what it calls itself, and its version.
    Installed { program: String, version: String },
    /// It is not, and this sentence says what would have to be installed.
    Missing(String),
}

impl Candidate {
    /// All programs that have a script in this directory, by name.
    ///
    /// # Errors
    /// When the directory cannot be read, or a script does not say what it runs.
    pub fn all(directory: &Path) -> Result<Vec<Candidate>> {
        let reading = || format!("reading {}", directory.display());
        let mut all = vec![];
        for entry in std::fs::read_dir(directory).with_context(reading)? {
            let script = entry.with_context(reading)?.path();
            let metadata = script.metadata().with_context(reading)?;
            // What the scripts share lies beside them, and is not executable.
            if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
                all.push(Candidate::read(script)?);
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn read(script: PathBuf) -> Result<Candidate> {
        let shown = script.display();
        let text = std::fs::read_to_string(&script).with_context(|| format!("reading {shown}"))?;
        let what = text.lines().nth(1).and_then(|line| line.strip_prefix("# "));
        let what = what.with_context(|| format!("{shown}: line 2 is not `# WHAT it is`"))?;
        let name = script.file_name().context("a file has a name")?.to_string_lossy().into();
        Ok(Candidate { name, what: what.into(), script })
    }

    /// Makes the program ready, and asks for its version.
    ///
    /// # Errors
    /// When the script fails in any other way than by saying that the program is not installed.
    pub fn presence(&self) -> Result<Presence> {
        let name = &self.name;
        let mut command = Command::new(&self.script);
        command.arg("--version");
        let mut asked = Program::start(command).with_context(|| format!("running {name}"))?;
        let Some(status) = asked.wait_for_exit(READY) else {
            bail!("{name} --version took longer than {} s", READY.as_secs());
        };
        // All is written; another thread may still be reading it.
        let said = |output: &Output| {
            output.whole_text(Duration::from_secs(5)).unwrap_or_else(|_| output.text())
        };
        let last = |text: String| text.trim().lines().last().unwrap_or_default().trim().to_string();
        let complaint = last(said(&asked.stderr));
        if status.code() == Some(UNAVAILABLE) {
            ensure!(!complaint.is_empty(), "{name} is not available and does not say why");
            return Ok(Presence::Missing(complaint));
        }
        ensure!(status.success(), "{name} --version failed ({status}): {complaint}");
        let line = last(said(&asked.stdout));
        let Some((program, version)) = line.rsplit_once(' ') else {
            bail!("{name} --version printed {line:?}, and not `program version`");
        };
        Ok(Presence::Installed { program: program.into(), version: version.into() })
    }

    /// How to start it as a proxy.
    pub fn spec(&self) -> Spec {
        let script = self.script.to_string_lossy().into_owned();
        let command = vec![script, "{listen}".into(), "{backend}".into()];
        Spec { name: self.name.clone(), patience: PATIENCE, ..Spec::foreign(command) }
    }

    /// Puts these experiments to it, `jobs` at a time; calls `begins` before and `finished` after each.
    pub fn grade(
        &self,
        chosen: &[&'static Experiment],
        jobs: usize,
        begins: impl Fn(&'static Experiment, &Spec) + Sync,
        mut finished: impl FnMut(&Outcome),
    ) -> Vec<Outcome> {
        let work = chosen.iter().map(|experiment| (*experiment, self.spec())).collect();
        matrix::run_all_if_present(work, jobs, begins, |outcome| {
            finished(outcome);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Stdio;

    use super::*;

    /// A directory with these scripts.
    fn directory(scripts: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text, mode) in scripts {
            let path = directory.path().join(name);
            // Written by another process: a file that is open for writing anywhere cannot be run, and
            // a test beside this one may fork while it is open here.
            let mut writer = Command::new("tee");
            writer.arg(&path).stdin(Stdio::piped()).stdout(Stdio::null());
            let mut writer = writer.spawn().unwrap();
            writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            assert!(writer.wait().unwrap().success());
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        directory
    }

    #[test]
    fn what_is_executable_is_a_program_and_says_what_it_is() {
        let scripts = directory(&[
            ("lib.sh", "# shared", 0o644),
            ("two", "#!/bin/sh\n# the second\n", 0o755),
            ("one", "#!/bin/sh\n# the first\n", 0o755),
        ]);
        let all = Candidate::all(scripts.path()).unwrap();
        let all: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.what.as_str())).collect();
        assert_eq!(all, [("one", "the first"), ("two", "the second")]);
        let scripts = directory(&[("one", "#!/bin/sh\nexit 1\n", 0o755)]);
        let error = Candidate::all(scripts.path()).unwrap_err().to_string();
        assert!(error.ends_with("/one: line 2 is not `# WHAT it is`"), "{error}");
    }

    #[test]
    fn a_script_says_which_version_it_runs_or_what_is_missing() {
        let says = |script: &str| {
            let scripts = directory(&[("it", &format!("#!/bin/sh\n# it\n{script}\n"), 0o755)]);
            Candidate::all(scripts.path()).unwrap()[0].presence()
        };
        let installed = Presence::Installed { program: "a b".into(), version: "1.2".into() };
        assert_eq!(says("echo compiling >&2; echo a b 1.2").unwrap(), installed);
        let missing = Presence::Missing("it: the package it brings it".into());
        assert_eq!(says("echo 'it: the package it brings it' >&2; exit 69").unwrap(), missing);
        for (script, complaint) in [
            ("echo broken >&2; exit 1", "it --version failed (exit status: 1): broken"),
            ("echo nothing", "it --version printed \"nothing\", and not `program version`"),
            ("exit 69", "it is not available and does not say why"),
        ] {
            assert_eq!(says(script).unwrap_err().to_string(), complaint);
        }
    }
}
