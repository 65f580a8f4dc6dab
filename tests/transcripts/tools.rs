//! The tools that scenes need besides the programs of the repository, and the machine.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::stage::Result;

/// A program that a scene needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// What a header calls it.
    pub name: &'static str,
    /// The command that prints its version.
    probe: &'static [&'static str],
    /// The least version that will do.
    least: (u32, u32),
}

const fn tool(name: &'static str, probe: &'static [&'static str], least: (u32, u32)) -> Tool {
    Tool { name, probe, least }
}

/// strace prints the version of an strace that it watches: without the right to watch, none.
const STRACE: &[&str] = &["strace", "-o", "/dev/null", "strace", "--version"];

static TOOLS: [Tool; 7] = [
    tool("curl", &["curl", "--version"], (7, 0)),
    // Its HTTP server has --protocol since then.
    tool("python3", &["python3", "--version"], (3, 11)),
    tool("ps", &["ps", "--version"], (0, 0)),
    tool("ss", &["ss", "--version"], (0, 0)),
    tool("strace", STRACE, (0, 0)),
    // With the right to watch what it has not started.
    tool(ATTACH, STRACE, (0, 0)),
    tool("xxd", &["xxd", "-v"], (0, 0)),
];

const ATTACH: &str = "strace -p";

/// The tool of that name.
pub fn named(name: &str) -> Result<&'static Tool> {
    let known = || TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ");
    let found = TOOLS.iter().find(|tool| tool.name == name);
    found.ok_or_else(|| format!("there is no tool `{name}`; there are {}", known()))
}

impl Tool {
    /// Its version; `None` where it is not installed, too old, or not allowed to do its work. Every
    /// tool is asked once.
    pub fn version(&self) -> Option<&'static str> {
        static VERSIONS: OnceLock<HashMap<&str, String>> = OnceLock::new();
        let versions = VERSIONS.get_or_init(|| {
            TOOLS.iter().filter_map(|tool| Some((tool.name, tool.look()?))).collect()
        });
        versions.get(self.name).map(String::as_str)
    }

    fn look(&self) -> Option<String> {
        let (program, arguments) = self.probe.split_first()?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
        if !output.status.success() || self.name == ATTACH && !may_attach() {
            return None;
        }
        // `xxd -v` says it on stderr.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let is_version = |word: &&str| word.starts_with(|char: char| char.is_ascii_digit());
        let version = said.split_whitespace().find(is_version).unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (found >= self.least).then(|| version.to_string())
    }

    /// Whether it is a right that is missing, and not a program: that cannot be installed.
    pub fn is_right(&self) -> bool {
        self.name == ATTACH
    }
}

/// Whether a process may be watched that is not a child (ptrace(2), `ptrace_scope`).
fn may_attach() -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or("0".into());
    match scope.trim() {
        "0" => true,
        "1" | "2" => fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t0"))),
        _ => false,
    }
}

/// The machine, in the words of a header: kernel, distribution, and the versions of these tools.
pub fn machine(needs: &[&Tool]) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<_> = kernel.trim().split('.').take(2).collect();
    let release = read("/etc/os-release");
    let value = |key: &str| {
        let found = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches('"').to_string()
    };
    let name = value("NAME");
    let name = name.split_whitespace().next().unwrap_or_default();
    let mut machine = format!("Linux {}, {name} {}", kernel.join("."), value("VERSION_ID"));
    for tool in needs.iter().filter(|tool| WORDS_DIFFER.contains(&tool.name)) {
        machine += &format!(", {} {}", tool.name, tool.version().unwrap_or_default());
    }
    machine
}

/// Tools whose own words are those of their version.
pub const WORDS_DIFFER: [&str; 2] = ["curl", "strace"];
