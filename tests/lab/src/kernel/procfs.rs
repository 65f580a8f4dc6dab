//! What `/proc` says: the state of processes (proc(5)), and the queues of sockets
//! (Documentation/networking/proc_net_tcp.rst in Linux).

use std::ffi::OsStr;
use std::fs;
use std::sync::OnceLock;

use procfs::process::{Process, Stat, Task, all_processes};
use serde::Serialize;

/// One end of a TCP connection, from `/proc/net/tcp` or `tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Socket {
    /// Own port.
    pub local: u16,
    /// The other end's port.
    pub remote: u16,
    /// As in the kernel's `tcp_states.h`: 1 established, 8 close-wait, 10 listening, …
    pub state: u8,
    /// Bytes that the program has written and the other end has not acknowledged.
    pub send_queue: u64,
    /// Bytes that have arrived and the program has not read. A FIN that it has not read counts as one.
    pub receive_queue: u64,
    /// Whether the retransmission timer runs: something was sent and is not acknowledged. If it has
    /// arrived already, it is in the queues of both ends, and would be counted twice.
    pub awaits_ack: bool,
}

impl Socket {
    /// 1 if `receive_queue` counts an unread FIN, else 0. A FIN is no byte that anybody waits for.
    pub fn unread_fin(self) -> u64 {
        u64::from(self.state == CLOSE_WAIT && self.receive_queue > 0)
    }
}

/// The state of a listening socket in the kernel's `tcp_states.h`.
pub const LISTEN: u8 = 10;

/// The state of a socket whose peer has sent its FIN while this side has not.
const CLOSE_WAIT: u8 = 8;

/// The kind of timer in `/proc/net/tcp` that runs while something is not acknowledged.
const RETRANSMISSION: &str = "01";

/// The state of a socket that is closed and waits for old segments to die out.
const TIME_WAIT: u8 = 6;

/// Which of the kernel's tables of sockets to read. Each takes the kernel some milliseconds on a machine
/// with much memory, because it walks a large hash table, so we read only what we need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// IPv4 sockets.
    V4,
    /// IPv6 sockets too: a program that listens on `::` is reached over IPv4 as well.
    V4AndV6,
}

/// The sockets that have one of `ports` at either end, sorted.
pub fn sockets(ports: &[u16], tables: Tables) -> Vec<Socket> {
    let mut found = in_table("/proc/net/tcp", ports);
    if tables == Tables::V4AndV6 {
        found.extend(in_table("/proc/net/tcp6", ports));
    }
    found.sort();
    found
}

fn in_table(table: &str, ports: &[u16]) -> Vec<Socket> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let concerned = |socket: &Socket| {
        (ports.contains(&socket.local) || ports.contains(&socket.remote))
            && socket.state != TIME_WAIT
    };
    text.lines().skip(1).filter_map(parse_socket).filter(concerned).collect()
}

/// Whether bytes are on their way between two sockets: they are in the sender's queue, and the
/// receiver's queue is empty. They will arrive although no program does anything; if a segment was
/// lost, after some 200 ms, when it is sent again.
pub fn in_flight(sockets: &[Socket]) -> bool {
    sockets.iter().filter(|socket| socket.send_queue > 0).any(|sender| {
        let ends = (sender.remote, sender.local);
        let receiver = sockets.iter().find(|socket| (socket.local, socket.remote) == ends);
        receiver.is_some_and(|receiver| receiver.receive_queue == 0)
    })
}

/// Whether the same sockets have the same queues as before. Timers do not matter.
pub fn same_queues(sockets: &[Socket], before: &[Socket]) -> bool {
    let queues = |socket: &Socket| Socket { awaits_ack: false, ..*socket };
    sockets.iter().map(queues).eq(before.iter().map(queues))
}

/// The tables that show the connections of the program that listens on `port`. `None`: none does.
pub fn listens_in(port: u16) -> Option<Tables> {
    let listens = |table| {
        in_table(table, &[port]).iter().any(|socket| socket.state == LISTEN && socket.local == port)
    };
    match (listens("/proc/net/tcp"), listens("/proc/net/tcp6")) {
        (_, true) => Some(Tables::V4AndV6),
        (true, false) => Some(Tables::V4),
        (false, false) => None,
    }
}

fn parse_socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let mut port = || u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok();
    let (local, remote) = (port()?, port()?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let (send, receive) = fields.next()?.split_once(':')?;
    let timer = fields.next()?.split(':').next()?;
    Some(Socket {
        local,
        remote,
        state,
        send_queue: u64::from_str_radix(send, 16).ok()?,
        receive_queue: u64::from_str_radix(receive, 16).ok()?,
        awaits_ack: timer == RETRANSMISSION,
    })
}

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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::kernel::wait::find_within;

    /// A listener, the port that it listens on, and both ends of a connection to it.
    fn connected() -> (TcpListener, u16, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        (listener, address.port(), client, server)
    }

    #[test]
    fn our_own_process_is_alive_and_owns_descriptors() {
        let pid = std::process::id() as i32;
        let vitals = vitals(&[pid], true);
        assert!(vitals.running && !vitals.stopped);
        assert!(vitals.cpu_ns > 0 && vitals.memory_kib > 0 && vitals.descriptors >= 3);
    }

    #[test]
    fn a_listener_and_unread_bytes_are_seen() {
        let (_listener, port, mut client, _server) = connected();
        assert_eq!(listens_in(port), Some(Tables::V4));
        client.write_all(b"seven!!").unwrap();
        let queued: u64 = sockets(&[port], Tables::V4)
            .iter()
            .filter(|socket| socket.local == port && socket.state != LISTEN)
            .map(|socket| socket.receive_queue)
            .sum();
        assert_eq!(queued, 7);
    }

    #[test]
    fn what_was_written_is_in_one_queue_or_the_other_once_it_is_acknowledged() {
        let (_listener, port, _client, mut server) = connected();
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = server.write(&[0; 1 << 16]) {
            written += count as u64;
        }
        let sockets = find_within(Duration::from_secs(5), || {
            let sockets = sockets(&[port], Tables::V4);
            let arrived = !in_flight(&sockets) && !sockets.iter().any(|socket| socket.awaits_ack);
            arrived.then_some(sockets)
        });
        let sockets = sockets.expect("everything is acknowledged in time");
        let queued = |socket: &Socket| match socket.state {
            LISTEN => 0,
            _ => socket.send_queue + socket.receive_queue,
        };
        assert_eq!(sockets.iter().map(queued).sum::<u64>(), written, "{sockets:?}");
    }
}
