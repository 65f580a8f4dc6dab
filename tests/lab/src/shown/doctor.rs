//! The doctor examines this machine: will it show the bug?

use std::process::Command;

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit};
use serde::Serialize;

use crate::kernel::net::{self, Window};
use crate::kernel::procfs;
use crate::numbers::size;
use crate::shown::lines::Columns;

/// What was found out about this machine.
#[derive(Serialize)]
pub struct Findings {
    /// Release of the kernel.
    kernel: String,
    /// Smallest, initial and largest receive buffer, in bytes; then the same for send buffers.
    tcp_rmem: Option<[u64; 3]>,
    tcp_wmem: Option<[u64; 3]>,
    /// Bytes that the kernel takes for a client that never reads: with the buffers it chooses itself,
    /// with a receive buffer of 4 KiB, and with a small buffer and a network's segments.
    absorbed: u64,
    absorbed_narrow: u64,
    absorbed_small: u64,
    /// How many descriptors a process may open.
    descriptors: u64,
    /// Whether the processor time of threads can be read.
    schedstat: bool,
    /// What the tools say first when they are asked for their version.
    curl: Option<String>,
    strace: Option<String>,
    /// What would keep the experiments from working.
    obstacles: Vec<&'static str>,
}

/// How many descriptors a process should be able to open. An experiment needs up to a hundred (20 clients
/// have two connections each, with two ends each), and several run at a time.
const DESCRIPTORS: u64 = 512;

/// Examines this machine; fails when not even sockets on loopback work.
pub fn examine() -> Result<Findings> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE)?.0;
    let absorbed = net::absorbed(Window::Default)?;
    // Asked after that measurement, because a process that has hardly run may have no time to its name.
    let schedstat = procfs::vitals(&[std::process::id() as i32], false).cpu_ns() > 0;
    let own = std::process::id() as i32;
    let shows_us = procfs::processes().iter().any(|process| process.pid == own);
    let needs = [
        (
            descriptors >= DESCRIPTORS,
            "a process may open too few descriptors: try `ulimit -n 1024`",
        ),
        (schedstat, "/proc/PID/schedstat is missing, so a spinning proxy is not seen"),
        (shows_us, "/proc does not show this process"),
    ];
    Ok(Findings {
        kernel: kernel.trim().into(),
        tcp_rmem: procfs::sysctl_triple("net.ipv4.tcp_rmem"),
        tcp_wmem: procfs::sysctl_triple("net.ipv4.tcp_wmem"),
        absorbed,
        absorbed_narrow: net::absorbed(Window::Narrow)?,
        absorbed_small: net::absorbed(Window::Small)?,
        descriptors,
        schedstat,
        curl: first_line("curl", "--version"),
        strace: first_line("strace", "--version"),
        obstacles: needs.iter().filter(|(is_met, _)| !is_met).map(|(_, what)| *what).collect(),
    })
}

impl Findings {
    /// Whether nothing stands in the way.
    pub fn is_well(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// In words.
    pub fn text(&self, columns: Columns) -> String {
        let triple = |numbers: Option<[u64; 3]>| {
            numbers.map_or("unknown".into(), |numbers| {
                let [least, initial, most] = numbers.map(size);
                format!("{initial} at first, up to {most} (never under {least})")
            })
        };
        let tool = |found: &Option<String>, without: &str| {
            found.clone().unwrap_or_else(|| format!("not installed: {without}"))
        };
        let network = size(self.absorbed_small) + "   (16 KiB buffer, segments of 1,400 bytes)";
        let curl = tool(&self.curl, "the chapters use it; the tour and the matrix do not need it");
        let strace = tool(&self.strace, "one chapter uses it");
        let rows = |rows: &[(&str, String)]| {
            let row = |(head, text): &(&str, String)| columns.hang(head, 21, text) + "\n";
            rows.iter().map(row).collect::<String>()
        };
        let found = [
            rows(&[
                ("Linux", self.kernel.clone()),
                ("receive buffers", triple(self.tcp_rmem)),
                ("send buffers", triple(self.tcp_wmem)),
            ]),
            columns
                .fill("What the kernel takes for a client that does not read, measured just now:")
                + "\n"
                + &rows(&[
                    ("  as it is", size(self.absorbed)),
                    ("  4 KiB buffer", size(self.absorbed_narrow)),
                    ("  like a network", network),
                ]),
            rows(&[
                ("descriptors", self.descriptors.to_string()),
                ("curl", curl),
                ("strace", strace),
            ]),
            self.verdict(columns),
        ];
        found.join("\n")
    }

    /// Whether this machine will show the bug.
    fn verdict(&self, columns: Columns) -> String {
        let text = match &self.obstacles[..] {
            [] => format!(
                "This machine will show the bug: for a client that does not read, the buffers hold the\n\
                 first {} of a page.",
                size(self.absorbed)
            ),
            obstacles => format!("This machine cannot show the bug yet: {}.", obstacles.join("; ")),
        };
        // In a pipe the line breaks at the same word whatever the number is, because the book shows it.
        match columns {
            Columns(None) => text,
            _ => columns.fill(&text.replace('\n', " ")),
        }
    }
}

fn first_line(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.split(" (").next().unwrap_or(line).to_string())
}
