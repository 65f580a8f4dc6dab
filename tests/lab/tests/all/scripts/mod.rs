//! Directories with scripts like those in `tests/lab/proxies`, for a scoreboard of our own.
#![allow(dead_code, reason = "each test uses its own part of this")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

/// The laboratory.
pub const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// A directory with scripts.
pub struct Scripts(tempfile::TempDir);

impl Scripts {
    pub fn new() -> Scripts {
        Scripts(tempfile::tempdir().unwrap())
    }

    /// Where the script of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A script that says this version, and does that when it is to be a proxy.
    pub fn add(self, name: &str, version: &str, proxy: &str) -> Scripts {
        let text = format!(
            "#!/bin/sh\n# It is {name}\nif [ \"$1\" = --version ]; then {version}; exit; fi\n{proxy}\n"
        );
        // Written by another process: a file that is open for writing anywhere cannot be run, and a test
        // beside this one may fork while it is open here.
        Command::new("tee").arg(self.path(name)).write_stdin(text).assert().success();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A relay of the laboratory with this fault.
    pub fn relay(self, name: &str, fault: &str) -> Scripts {
        self.add(name, "echo relay 1.0", &format!("exec {LAB} relay {fault} \"$1\" \"$2\""))
    }

    /// A script that says that its program is not installed.
    pub fn missing(self, name: &str) -> Scripts {
        let says =
            format!("echo '{name}: {name} is missing; the package {name}-tools brings it' >&2");
        self.add(name, &format!("{says}; exit 69"), "exit 69")
    }

    /// A script of a program that ends at once.
    pub fn broken(self, name: &str) -> Scripts {
        self.add(name, "echo broken 1.0", "echo no such luck >&2; exit 3")
    }

    /// The scoreboard on these.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let from = self.0.path().to_str().unwrap();
        let mut command = Command::new(LAB);
        command.args(["scoreboard", "--from", from]).args(arguments);
        command
    }

    /// Runs the scoreboard on these.
    pub fn run(&self, arguments: &[&str]) -> Assert {
        self.command(arguments).assert()
    }
}
