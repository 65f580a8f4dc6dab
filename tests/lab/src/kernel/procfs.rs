//! What `/proc` says of processes (proc(5)).

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::libc;
pub use procfs::process::Stat;
use procfs::process::{FDTarget, Process, Task, all_processes};
use procfs::{Current, Meminfo};
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
    /// Processor time of each living thread, in nanoseconds.
    pub used_ns: BTreeMap<i32, u64>,
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// Open descriptors.
    pub descriptors: usize,
}

impl Vitals {
    /// Processor time of all living threads, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.used_ns.values().sum()
    }
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

/// The processes of these ids, the members of the process groups that they lead, those that have
/// `entry` (`NAME=value`) in the environment they were started with, and all their descendants. Those
/// that have ended are left out.
pub fn family(pids: &[i32], entry: &str) -> Vec<Stat> {
    let marked = with_environment(entry);
    let mut others = processes();
    others.retain(|process| process.state != 'Z');
    let mut members: Vec<Stat> = vec![];
    loop {
        let (found, left): (Vec<_>, Vec<_>) = others.into_iter().partition(|process| {
            pids.contains(&process.pid)
                || pids.contains(&process.pgrp)
                || marked.contains(&process.pid)
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
            let used_ns = thread.schedstat().map_or(0, |times| times.sum_exec_runtime);
            vitals.used_ns.insert(thread.tid, used_ns);
        }
        if thoroughly {
            let memory = process.status().map(|status| [status.rssanon, status.rssshmem]);
            vitals.memory_kib += memory.into_iter().flatten().flatten().sum::<u64>();
            vitals.descriptors += process.fd().map_or(0, Iterator::count);
        }
    }
    vitals
}

/// How many threads these processes have. A child that has ended and that nobody has waited for counts
/// as one.
pub fn tasks(pids: &[i32]) -> usize {
    let threads: i64 = pids.iter().filter_map(|&pid| process(pid)).map(|it| it.num_threads).sum();
    let zombies = processes().into_iter().filter(|it| it.state == 'Z' && pids.contains(&it.ppid));
    threads as usize + zombies.count()
}

/// The inodes of the sockets that these processes hold.
pub fn socket_inodes(pids: &[i32]) -> HashSet<u64> {
    let held = |pid: &i32| Process::new(*pid).and_then(|process| process.fd());
    let descriptors = pids.iter().filter_map(|pid| held(pid).ok()).flatten().flatten();
    let inode = |target| match target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    };
    descriptors.filter_map(|descriptor| inode(descriptor.target)).collect()
}

/// A process that holds the socket of this inode.
pub fn holder_of(inode: u64) -> Option<Stat> {
    processes().into_iter().find(|process| socket_inodes(&[process.pid]).contains(&inode))
}

/// The bytes on disk of the files that these processes hold open, also of those that have no name any
/// more, and of all files below `directory`, which they may have closed.
pub fn file_bytes(pids: &[i32], directory: Option<&Path>) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut add = |file: fs::Metadata| {
        if file.is_file() && seen.insert((file.dev(), file.ino())) {
            total += file.blocks() * 512;
        }
    };
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    for pid in pids {
        let descriptors = PathBuf::from(format!("/proc/{pid}/fd"));
        entries(&descriptors).flat_map(|entry| fs::metadata(entry.path())).for_each(&mut add);
    }
    let mut directories: Vec<PathBuf> = directory.into_iter().map(Path::to_owned).collect();
    while let Some(directory) = directories.pop() {
        // A link is not followed: it may lead anywhere.
        for (entry, file) in entries(&directory).flat_map(|it| it.metadata().map(|file| (it, file)))
        {
            match file.is_dir() {
                true => directories.push(entry.path()),
                false => add(file),
            }
        }
    }
    total
}

/// Whether any thread of these processes may go on by itself: it waits with a time limit, or we cannot
/// tell what it waits for. A thread that waits without a limit needs somebody else, as does one that was
/// stopped. The kernel says which system call a thread is in, with its arguments (proc_pid_syscall(5)).
pub fn may_go_on_alone(pids: &[i32]) -> bool {
    let has_timer = |pid: &i32| {
        let descriptors = Process::new(*pid).and_then(|process| process.fd());
        descriptors.into_iter().flatten().flatten().any(|descriptor| {
            matches!(descriptor.target, FDTarget::AnonInode(name) if name == "[timerfd]")
        })
    };
    let waits_with_limit = |pid: &i32| {
        let Ok(process) = Process::new(*pid) else { return false };
        threads(&process).any(|thread| {
            let path = format!("/proc/{pid}/task/{}/syscall", thread.tid);
            fs::read_to_string(path).map_or(true, |call| has_time_limit(&call))
        })
    };
    pids.iter().any(|pid| has_timer(pid) || waits_with_limit(pid))
}

/// Whether this system call, as proc_pid_syscall(5) writes it, ends after some time by itself.
fn has_time_limit(call: &str) -> bool {
    let mut words = call.split_ascii_whitespace();
    let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else { return true };
    let arguments: Vec<u64> = words
        .map_while(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .collect();
    let argument = |place: usize| arguments.get(place).copied().unwrap_or(1);
    // A limit in milliseconds, where a negative one is none; and a pointer to one, where 0 is none.
    let milliseconds = |place| argument(place) as i32 >= 0;
    let pointer = |place| argument(place) != 0;
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_poll => return milliseconds(2),
        libc::SYS_epoll_wait => return milliseconds(3),
        libc::SYS_select => return pointer(4),
        libc::SYS_accept | libc::SYS_pause => return false,
        _ => {}
    }
    match number {
        libc::SYS_epoll_pwait => milliseconds(3),
        libc::SYS_epoll_pwait2 | libc::SYS_futex => pointer(3),
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => pointer(2),
        libc::SYS_pselect6 => pointer(4),
        libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg => false,
        libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg => false,
        libc::SYS_sendfile | libc::SYS_splice | libc::SYS_accept4 | libc::SYS_connect => false,
        libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_rt_sigsuspend => false,
        _ => true,
    }
}

/// What a thread has had of processors so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// It ran, in nanoseconds.
    pub used_ns: u64,
    /// It was ready to run and waited for a processor, in nanoseconds.
    pub waited_ns: u64,
}

/// The same for all threads of these processes, by their ids.
pub fn processor_times(pids: &[i32]) -> BTreeMap<i32, Times> {
    let processes = pids.iter().filter_map(|&pid| Process::new(pid).ok());
    let threads = processes.flat_map(|process| threads(&process).collect::<Vec<_>>());
    let times = threads.filter_map(|thread| {
        let times = thread.schedstat().ok()?;
        Some((thread.tid, Times { used_ns: times.sum_exec_runtime, waited_ns: times.run_delay }))
    });
    times.collect()
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

/// How much memory TCP uses on this machine and how much it may use, in bytes: `mem` in
/// `/proc/net/sockstat`, and the last number of `net.ipv4.tcp_mem` (tcp(7)), both in pages there.
pub fn tcp_memory() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    let mut words = tcp.split_ascii_whitespace().skip_while(|word| *word != "mem").skip(1);
    let used: u64 = words.next()?.parse().ok()?;
    let [_, _, most] = sysctl_triple("net.ipv4.tcp_mem")?;
    Some([used * procfs::page_size(), most * procfs::page_size()])
}

/// How much memory programs can still get without swapping, in bytes (MemAvailable, proc_meminfo(5)).
pub fn available_memory() -> Option<u64> {
    Meminfo::current().ok()?.mem_available
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_time_limit_is_read_from_the_system_call() {
        let call = |number: i64, arguments: &str| has_time_limit(&format!("{number} {arguments}"));
        let with = |place: usize, value: &str| {
            let mut words = ["0x7"; 8];
            words[place] = value;
            words.join(" ")
        };
        assert!(!call(libc::SYS_epoll_pwait, &with(3, "0xffffffff")));
        assert!(call(libc::SYS_epoll_pwait, &with(3, "0x3e8")));
        assert!(!call(libc::SYS_futex, &with(3, "0x0")));
        assert!(call(libc::SYS_futex, &with(3, "0x7ffe00")));
        assert!(call(libc::SYS_clock_nanosleep, &with(0, "0x0")));
        assert!(!call(libc::SYS_recvfrom, &with(0, "0x3")));
        assert!(has_time_limit("running"));
    }

    #[test]
    fn files_count_once_whether_they_are_open_or_lie_in_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, size: usize| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; size]).unwrap();
        };
        write("a", 1 << 20);
        let mut holds_a = Command::new("sh");
        // It ends when its stdin does, also if this test fails.
        holds_a.args(["-c", "exec 3<a; echo; read -r line"]).current_dir(directory.path());
        holds_a.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = holds_a.spawn().unwrap();
        // While a program is being loaded it also holds its libraries open.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let pids = [child.id() as i32];
        let bytes = |pids: &[i32], directory| file_bytes(pids, directory) >> 20;
        assert_eq!(bytes(&pids, None), 1);
        assert_eq!(bytes(&pids, Some(directory.path())), 1);
        write("below/b", 2 << 20);
        assert_eq!(bytes(&[], Some(directory.path())), 3);
        assert_eq!(bytes(&pids, Some(directory.path())), 3);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn our_own_process_is_alive_and_owns_descriptors() {
        let pid = std::process::id() as i32;
        let vitals = vitals(&[pid], true);
        assert!(vitals.running && !vitals.stopped);
        assert!(vitals.cpu_ns() > 0 && vitals.memory_kib > 0 && vitals.descriptors >= 3);
    }
}
