//! The tools that scenes need besides the programs of the repository, and the machine.

use std::collections::HashMap;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// strace with the right to watch what it has not started. That cannot be installed.
pub const ATTACH: &str = "strace -p";

/// What a header calls a tool, and a command that prints its version where the tool can do its work.
const TOOLS: [(&str, &str); 7] = [
    ("curl", "curl --version"),
    ("ps", "ps --version"),
    ("python3", "python3 -m http.server --help | grep -q protocol && python3 --version"),
    ("ss", "ss --version"),
    // strace prints the version of an strace that it watches: without the right to watch, none.
    ("strace", "strace -o /dev/null strace --version"),
    (
        ATTACH,
        "test $(id -u) = 0 || grep -q 0 /proc/sys/kernel/yama/ptrace_scope \\
            && strace -o /dev/null strace --version",
    ),
    ("xxd", "xxd -v 2>&1"),
];

/// The name of a tool that scenes may need.
pub fn named(name: &str) -> Result<&'static str> {
    let mut names = TOOLS.iter().map(|(name, _)| *name);
    names.find(|known| *known == name).with_context(|| format!("there is no tool `{name}`"))
}

/// A tool's version; `None` where it cannot be used. All tools are asked once.
pub fn version(name: &str) -> Option<&'static str> {
    static VERSIONS: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
        let asked = TOOLS.iter().filter_map(|(name, probe)| Some((*name, output(probe)?)));
        let is_version = |word: &&str| word.starts_with(|char: char| char.is_ascii_digit());
        let version = |said: String| said.split_whitespace().find(is_version).unwrap_or("").into();
        asked.map(|(name, said)| (name, version(said))).collect()
    });
    VERSIONS.get(name).map(String::as_str)
}

/// The machine, in the words of a header: kernel, distribution, and the versions of the tools whose
/// words are shown.
pub fn machine(needs: &[&str]) -> String {
    let system = ". /etc/os-release; kernel=$(uname -r | cut -d . -f 1,2)
        echo \"Linux $kernel, ${NAME%% *} $VERSION_ID\"";
    let mut machine = output(system).unwrap_or_default().trim().to_string();
    for tool in needs.iter().filter(|tool| ["curl", "strace"].contains(tool)) {
        machine += &format!(", {tool} {}", version(tool).unwrap_or_default());
    }
    machine
}

/// What a command prints, if it succeeds.
fn output(command: &str) -> Option<String> {
    let output = Command::new("sh").args(["-c", command]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
