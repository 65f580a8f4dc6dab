//! What `/proc` says of processes (proc(5)).

use std::ffi::OsStr;
use std::fs;
use std::sync::OnceLock;

use procfs::process::{Process, Stat, Task, all_processes};
use serde::Serialize;

/// What a group of processes is doing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Vitals {
    /// Its processes.
    pub processes: Vec<i32>,
    /// At least one thread is running, or waits only for a processor or a disk.
    pub running: bool,
    /// Every thread is stopped by a signal.
    pub stopped: bool,
    /// Processor time of all living threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

/// All processes.
pub fn processes() -> Vec<Stat> {
    all().filter_map(|process| process.stat().ok()).collect()
}

fn all() -> impl Iterator<Item = Process> {
    all_processes().into_iter().flatten().flatten()
}

/// One process. `None`: there is none of that id.
pub fn process(pid: i32) -> Option<Stat> {
    Process::new(pid).ok()?.stat().ok()
}

fn threads(process: &Process) -> impl Iterator<Item = Task> {
    process.tasks().into_iter().flatten().flatten()
}

/// The process of that id, the members of the process group that it leads, if it leads one, and all
/// their descendants. Those that have ended are left out.
pub fn family(pid: i32) -> Vec<Stat> {
    let mut others = processes();
    others.retain(|process| process.state != 'Z');
    let mut members: Vec<Stat> = vec![];
    loop {
        let (found, left): (Vec<_>, Vec<_>) = others.into_iter().partition(|process| {
            process.pid == pid
                || process.pgrp == pid
                || members.iter().any(|member| member.pid == process.ppid)
        });
        if found.is_empty() {
            return members;
        }
        members.extend(found);
        others = left;
    }
}

/// The processes that have `entry` (`NAME=value`) in the environment that they were started with.
pub fn with_environment(entry: &str) -> Vec<i32> {
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    let has_it = |process: &Process| {
        let environment = process.environ().unwrap_or_default();
        environment.get(OsStr::new(name)).is_some_and(|own| own == value)
    };
    all().filter(has_it).map(|process| process.pid).collect()
}

/// Those of `pids` that live, and all their descendants (proc_pid_task_tid_children(5)). It is quicker
/// than [`family`], and misses processes whose parent has ended.
pub fn with_children(pids: &[i32]) -> Vec<i32> {
    let mut members = pids.to_vec();
    members.retain(|&pid| Process::new(pid).is_ok());
    let mut next = 0;
    while let Some(&pid) = members.get(next) {
        next += 1;
        let Ok(process) = Process::new(pid) else { continue };
        for child in threads(&process).flat_map(|thread| thread.children().unwrap_or_default()) {
            if !members.contains(&(child as i32)) {
                members.push(child as i32);
            }
        }
    }
    members
}

/// Looks at these processes. Memory and descriptors take longer to find out than the rest, and are 0
/// unless `thoroughly` is set.
pub fn vitals(pids: &[i32], thoroughly: bool) -> Vitals {
    let mut vitals =
        Vitals { processes: pids.to_vec(), stopped: !pids.is_empty(), ..Vitals::default() };
    for process in pids.iter().filter_map(|&pid| Process::new(pid).ok()) {
        for thread in threads(&process) {
            let Ok(stat) = thread.stat() else { continue };
            vitals.running |= matches!(stat.state, 'R' | 'D');
            vitals.stopped &= matches!(stat.state, 'T' | 't' | 'Z');
            vitals.cpu_ns += thread.schedstat().map_or(0, |times| times.sum_exec_runtime);
        }
        if thoroughly {
            let memory = process.status().map(|status| [status.rssanon, status.rssshmem]);
            vitals.memory_kib += memory.into_iter().flatten().flatten().sum::<u64>();
            vitals.descriptors += process.fd().map_or(0, Iterator::count);
        }
    }
    vitals
}

/// Whether a thread of our own process is running, or waits only for a processor or a disk.
pub fn thread_runs(thread: i32) -> bool {
    let task = Process::myself().and_then(|process| process.task_from_tid(thread));
    task.and_then(|task| task.stat()).is_ok_and(|stat| matches!(stat.state, 'R' | 'D'))
}

/// Whether the kernel has packets to deliver and waits for a processor (its `ksoftirqd` threads are
/// ready to run). On a busy machine, packets on loopback are delivered by these threads.
pub fn deliveries_wait() -> bool {
    static THREADS: OnceLock<Vec<i32>> = OnceLock::new();
    let threads = THREADS.get_or_init(|| {
        let processes = processes().into_iter();
        let deliverers = processes.filter(|process| process.comm.starts_with("ksoftirqd/"));
        deliverers.map(|process| process.pid).collect()
    });
    threads.iter().filter_map(|pid| process(*pid)).any(|process| process.state == 'R')
}

/// The three numbers of a sysctl such as `net.ipv4.tcp_rmem`: least, initial, most, in bytes.
pub fn sysctl_triple(name: &str) -> Option<[u64; 3]> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    let numbers: Vec<u64> = text.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
    numbers.try_into().ok()
}

/// The most bytes that a TCP socket may buffer by default, `tcp_rmem` to receive or `tcp_wmem` to send
/// (tcp(7)). If the system does not say, the larger of the kernel's own defaults.
pub fn largest_buffer(name: &str) -> u64 {
    sysctl_triple(&format!("net.ipv4.{name}")).map_or(6 << 20, |[_, _, most]| most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_alive_and_owns_descriptors() {
        let pid = std::process::id() as i32;
        let vitals = vitals(&[pid], true);
        assert!(vitals.running && !vitals.stopped);
        assert!(vitals.cpu_ns > 0 && vitals.memory_kib > 0 && vitals.descriptors >= 3);
    }
}
