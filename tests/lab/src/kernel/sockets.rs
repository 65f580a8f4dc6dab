//! What the kernel says of TCP sockets: their states and queues (sock_diag(7)).
//!
//! `/proc/net/tcp` says the same and is much slower. It prints a line for every socket of the machine,
//! also for the hundreds that have just been closed and wait in TIME_WAIT. Here the kernel leaves those
//! out, and prints nothing.

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE_WAIT, TCP_LISTEN,
};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, Timer, nlas::Nla,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use serde::Serialize;

/// One end of a TCP connection, over IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Socket {
    /// Own port.
    pub local: u16,
    /// The other end's port.
    pub remote: u16,
    /// As in the kernel's `tcp_states.h`: 1 established, 8 close-wait, 10 listening, …
    pub state: u8,
    /// The number by which `/proc/PID/fd` names it. 0: no process has it, because it was not accepted
    /// yet or is closed already.
    pub inode: u64,
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
        u64::from(self.state == TCP_CLOSE_WAIT && self.receive_queue > 0)
    }
}

/// The state of a listening socket.
pub const LISTEN: u8 = TCP_LISTEN;

/// The sockets that have one of `ports` at either end, sorted. Those in TIME_WAIT are left out.
///
/// # Panics
/// If the kernel does not answer. Without an answer nothing that the laboratory says would be true.
pub fn sockets(ports: &[u16]) -> Vec<Socket> {
    let states = StateFlags::all() - StateFlags::TIME_WAIT;
    in_states(states, ports)
}

fn in_states(states: StateFlags, ports: &[u16]) -> Vec<Socket> {
    let concerned =
        |id: &SocketId| ports.contains(&id.source_port) || ports.contains(&id.destination_port);
    let mut found = vec![];
    // The kernel goes through its whole table of connections for each family, and mostly there is nothing
    // of the second one.
    let families: &[u8] = if any_over_ipv6() { &[AF_INET, AF_INET6] } else { &[AF_INET] };
    for &family in families {
        dump(family, states.clone(), ExtensionFlags::empty(), |response| {
            if concerned(&response.header.socket_id) {
                found.push(Socket::from(response));
            }
        })
        .expect("the kernel tells of its sockets (sock_diag(7))");
    }
    found.sort();
    found
}

/// Whether there is any TCP socket over IPv6: "TCP6: inuse 3" (proc_net(5)). An IPv4 connection of a program
/// that listens on `[::]` is one. If the kernel does not say, there may be.
fn any_over_ipv6() -> bool {
    let counts = std::fs::read_to_string("/proc/net/sockstat6").unwrap_or_default();
    !counts.lines().any(|line| line.trim() == "TCP6: inuse 0")
}

impl From<&InetResponse> for Socket {
    fn from(response: &InetResponse) -> Socket {
        let header = &response.header;
        let is_connection = header.state != LISTEN;
        // For a listener the kernel gives the length of its backlog, and how long that may be.
        let queue = |bytes: u32| if is_connection { u64::from(bytes) } else { 0 };
        Socket {
            local: header.socket_id.source_port,
            remote: header.socket_id.destination_port,
            state: header.state,
            inode: header.inode.into(),
            send_queue: queue(header.send_queue),
            receive_queue: queue(header.recv_queue),
            awaits_ack: matches!(header.timer, Some(Timer::Retransmit(..))),
        }
    }
}

/// Memory of the kernel's that the connections with one of these local or remote ports use, in bytes: for
/// what has arrived and is not read, for what was written and is not acknowledged, and what is kept ready
/// for more. It is the sum of r, w, and f in the `skmem` of ss(8). Each byte of data costs more than a byte,
/// because the kernel counts whole buffers.
///
/// # Panics
/// As [`sockets`] does.
pub fn memory(local: u16, remote: u16) -> u64 {
    let mut total = 0;
    let states = StateFlags::all() - StateFlags::TIME_WAIT - StateFlags::LISTEN;
    for family in [AF_INET, AF_INET6] {
        dump(family, states.clone(), ExtensionFlags::SKMEMINFO, |response| {
            let id = &response.header.socket_id;
            if id.source_port != local && id.destination_port != remote {
                return;
            }
            for attribute in &response.nlas {
                if let Nla::MemInfo(it) = attribute {
                    total += u64::from(it.receive_queue) + u64::from(it.send_queue);
                    total += u64::from(it.cache);
                }
            }
        })
        .expect("the kernel tells of its sockets (sock_diag(7))");
    }
    total
}

/// Hands over all sockets of an address family that are in one of these states.
fn dump(
    family: u8,
    states: StateFlags,
    extensions: ExtensionFlags,
    mut hand_over: impl FnMut(&InetResponse),
) -> io::Result<()> {
    let socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions,
        states,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut block = vec![0; 1 << 16];
    loop {
        let count = socket.recv(&mut &mut block[..], 0)?;
        let mut rest = &block[..count];
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| io::Error::other(error.to_string()))?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    hand_over(&response)
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            // Each message begins at a multiple of four bytes (netlink(7)).
            let length = (message.header.length as usize).next_multiple_of(4).max(16);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
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

/// Whether a program listens on `port`, at whatever address. This is asked again and again while a
/// program starts, and the kernel has far fewer listeners to go through than connections.
pub fn is_listening(port: u16) -> bool {
    in_states(StateFlags::LISTEN, &[port]).iter().any(|socket| socket.local == port)
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
    fn a_listener_and_unread_bytes_are_seen() {
        let (_listener, port, mut client, _server) = connected();
        assert!(is_listening(port));
        client.write_all(b"seven!!").unwrap();
        let queued: u64 = sockets(&[port])
            .iter()
            .filter(|socket| socket.local == port && socket.state != LISTEN)
            .map(|socket| socket.receive_queue)
            .sum();
        assert_eq!(queued, 7);
    }

    #[test]
    fn the_memory_of_unread_bytes_belongs_to_the_end_that_has_them() {
        let (_listener, port, client, mut server) = connected();
        let client_port = client.local_addr().unwrap().port();
        server.write_all(&[7; 100_000]).unwrap();
        let at_client = || memory(client_port, port);
        assert!(
            find_within(Duration::from_secs(5), || (at_client() >= 100_000).then_some(()))
                .is_some()
        );
        // Nobody's ports.
        assert_eq!(memory(1, 1), 0);
    }

    #[test]
    fn a_listener_over_ipv6_is_seen() {
        // A machine may be without IPv6.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        assert!(is_listening(listener.local_addr().unwrap().port()));
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
            let sockets = sockets(&[port]);
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
