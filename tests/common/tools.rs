//! Tools that tests need besides the programs of the workbook. They may be missing.

use std::io::{Write, stderr};
use std::process::Command;
use std::sync::OnceLock;

/// strace with the right to watch what it has not started.
const ATTACH: &str = "strace -p";

/// What a tool is called, and a command that prints its version where the tool can do its work.
const TOOLS: &[(&str, &str)] = &[
    // As the press looks for it.
    (
        "chromium",
        "for name in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do \
            $name --version && exit; done; exit 1",
    ),
    ("curl", "curl --version"),
    // Debian installs an archive of Java's that only some kernels start by itself.
    (
        "epubcheck",
        "{ epubcheck --version || java -jar \"$(command -v epubcheck)\" --version; } 2>&1 \
            | grep EPUBCheck",
    ),
    ("pdftotext", "pdftotext -v 2>&1"),
    ("ps", "ps --version"),
    ("python3", "python3 -m http.server --help | grep -q protocol && python3 --version"),
    ("ss", "ss --version"),
    // strace prints the version of an strace that it watches: without the right to watch, none.
    ("strace", "strace -o /dev/null strace --version"),
    (
        ATTACH,
        "test $(id -u) = 0 || ! grep -qs '[123]' /proc/sys/kernel/yama/ptrace_scope \\
            && strace -o /dev/null strace --version",
    ),
    ("xxd", "xxd -v 2>&1"),
];

/// Whether there is a tool of that name in the table.
pub fn is_known(name: &str) -> bool {
    TOOLS.iter().any(|(known, _)| *known == name)
}

/// A tool's version; `None` where it cannot be used. Each tool is asked once.
pub fn version(name: &str) -> Option<&'static str> {
    static VERSIONS: [OnceLock<Option<String>>; TOOLS.len()] =
        [const { OnceLock::new() }; TOOLS.len()];
    let place = TOOLS.iter().position(|(known, _)| *known == name)?;
    let ask = || {
        let said = output(TOOLS[place].1)?;
        let is_version = |word: &&str| word.starts_with(|char: char| char.is_ascii_digit());
        Some(said.split_whitespace().find(is_version).unwrap_or("").into())
    };
    VERSIONS[place].get_or_init(ask).as_deref()
}

/// Whether one of these tools cannot be used. Then nothing can be tested, and that is said loudly.
///
/// # Panics
/// In CI, where everything must be installed. But a right cannot be installed.
pub fn are_missing<'t>(needs: impl Iterator<Item = &'t str>, for_what: &str) -> bool {
    let missing: Vec<&str> = needs.filter(|tool| version(tool).is_none()).collect();
    if !missing.is_empty() {
        let what = format!("{for_what}: {} cannot be used here", missing.join(" and "));
        assert!(std::env::var_os("CI").is_none() || missing == [ATTACH], "{what}");
        // Not `eprintln!`, which nobody sees when a test passes.
        let _ = writeln!(stderr(), "\n*** {what}: NOTHING HAS BEEN TESTED ***\n");
    }
    !missing.is_empty()
}

/// The machine, in words: kernel, distribution, and those versions of the tools that are needed on
/// which it depends what they say.
pub fn machine(needs: &str) -> String {
    let system = ". /etc/os-release; kernel=$(uname -r | cut -d . -f 1,2)
        echo \"Linux $kernel, ${NAME%% *} $VERSION_ID\"";
    let mut machine = output(system).unwrap_or_default().trim().to_string();
    for tool in ["curl", "strace"].into_iter().filter(|tool| needs.contains(tool)) {
        machine += &format!(", {tool} {}", version(tool).unwrap_or_default());
    }
    machine
}

/// What a command prints, if it succeeds.
fn output(command: &str) -> Option<String> {
    let output = Command::new("sh").args(["-c", command]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
