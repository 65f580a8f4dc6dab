//! Sockets with chosen buffer sizes, ports that nobody else takes, and how much the kernel buffers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// How large a client's receive window is, and so how much the kernel takes for a client that does not
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// What the kernel chooses: several megabytes over loopback.
    Default,
    /// A receive buffer of 4 KiB (the kernel doubles it). The sender's socket still takes megabytes,
    /// because segments on loopback are 64 KiB, but it takes them at once and then no more. So what a
    /// proxy drops is one piece.
    Narrow,
    /// A receive buffer of 16 KiB and segments of 1,400 bytes, as on a network. Both sockets together
    /// take some hundred KiB. For crowds.
    Small,
    /// The same with a receive buffer of 4 KiB. For crowds of a thousand: nearly all that a client costs is
    /// then on the proxy's side.
    Tiny,
    /// What the kernel chooses, with segments of 1,400 bytes: a client as it comes over a network.
    Network,
}

/// Begins to connect to `address` on loopback, with this receive window. Neither this nor reading and
/// writing will wait; [`is_connected`] says when the connection is there. It may take long: where the
/// queue of a listener is full, the kernel tries again after 1, 3, 7, … seconds.
pub fn begin_to_connect(address: SocketAddr, window: Window) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Set before connecting, because the handshake tells the other side about both.
    match window {
        Window::Default => {}
        Window::Narrow => socket.set_recv_buffer_size(4 * 1024)?,
        Window::Small => {
            socket.set_recv_buffer_size(16 * 1024)?;
            socket.set_tcp_mss(1400)?;
        }
        Window::Tiny => {
            socket.set_recv_buffer_size(4 * 1024)?;
            socket.set_tcp_mss(1400)?;
        }
        Window::Network => socket.set_tcp_mss(1400)?,
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        connected => connected?,
    }
    Ok(socket.into())
}

/// Whether the connection is there. Fails when it cannot be made.
pub fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        connected => connected.map(|_| true),
    }
}

/// Connects to `address` as [`begin_to_connect`] does, and waits `patience` at most.
pub fn connect(address: SocketAddr, window: Window, patience: Duration) -> io::Result<TcpStream> {
    let stream = begin_to_connect(address, window)?;
    wait_ready(&stream, PollFlags::POLLOUT, patience);
    match is_connected(&stream)? {
        true => Ok(stream),
        false => Err(ErrorKind::TimedOut.into()),
    }
}

/// A port that is bound but refuses connections, until it is opened.
pub struct ClosedPort(Socket);

impl ClosedPort {
    /// Binds a free port on 127.0.0.1.
    pub fn bind() -> io::Result<ClosedPort> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        Ok(ClosedPort(socket))
    }

    /// The port's address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or(ErrorKind::AddrNotAvailable.into())
    }

    /// Begins to accept connections.
    pub fn open(self) -> io::Result<TcpListener> {
        self.0.listen(1024)?;
        Ok(self.0.into())
    }
}

/// Makes closing `stream` a reset: what is queued is thrown away and the peer gets an RST.
pub fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Has the kernel send only full segments, and the rest together with the end (TCP_CORK, tcp(7)).
///
/// # Errors
/// Those of setsockopt(2).
pub fn cork(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_cork(true)
}

/// Lets the kernel hold no more than about so many bytes that `stream` has not sent yet (TCP_NOTSENT_LOWAT,
/// tcp(7)).
///
/// # Errors
/// Those of setsockopt(2).
pub fn leave_unsent(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    SockRef::from(stream).set_tcp_notsent_lowat(bytes)
}

/// Waits until `stream` is ready for `flags`, or failed, or `patience` is over.
pub fn wait_ready(stream: &impl AsFd, flags: PollFlags, patience: Duration) {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    // If the wait is interrupted or fails, the caller tries to read or write and sees what happens.
    let _ = poll(&mut [PollFd::new(stream.as_fd(), flags)], timeout);
}

/// What came of an attempt to read or write without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes moved.
    Bytes(usize),
    /// Nothing can move now.
    Nothing,
    /// The other side has closed in order: nothing more can be read, and what is written comes too late.
    Fin,
    /// The other side has reset the connection, or it failed in another way.
    Reset,
}

/// Reads what is there, without waiting.
pub fn read_now(mut stream: &TcpStream, buffer: &mut [u8]) -> Moved {
    match stream.read(buffer) {
        Ok(0) => Moved::Fin,
        other => moved(other),
    }
}

/// Writes as much as the kernel takes, without waiting.
pub fn write_now(mut stream: &TcpStream, bytes: &[u8]) -> Moved {
    moved(stream.write(bytes))
}

fn moved(result: io::Result<usize>) -> Moved {
    match result {
        Ok(count) => Moved::Bytes(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Moved::Nothing
        }
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Moved::Fin,
        Err(_) => Moved::Reset,
    }
}

/// A port for a program that cannot choose one by itself.
///
/// The kernel will not give it to an outgoing connection, because it is below the range for those, and
/// no other laboratory on this machine will take it while the reservation lives.
pub struct ReservedPort {
    /// The port.
    pub port: u16,
    /// A socket that holds the name `dropped-write/port/N`. Only one socket can have that name, and
    /// the kernel frees it when this process ends, however it ends.
    _name: Socket,
}

/// The ports to choose from: above the well-known ones, and below the default of
/// `net.ipv4.ip_local_port_range` (ip(7)).
const PORTS: std::ops::Range<u16> = 15_000..32_000;

impl ReservedPort {
    /// Finds a port on which nobody listens; `AddrInUse` when a few hundred attempts found none.
    pub fn new() -> io::Result<ReservedPort> {
        let start = RandomState::new().hash_one(std::process::id()) as usize;
        for attempt in 0..500 {
            let port = PORTS.start + ((start + attempt * 7) % PORTS.len()) as u16;
            let named = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
            // The zero in front makes it a name of its own, not a file's (unix(7), abstract).
            let name = SockAddr::unix(format!("\0dropped-write/port/{port}"))?;
            if named.bind(&name).is_err() {
                continue;
            }
            // Without SO_REUSEADDR this fails also where an old connection is in TIME_WAIT.
            let probe = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            if probe.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into()).is_ok() {
                return Ok(ReservedPort { port, _name: named });
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }
}

/// Ample time for a connection over loopback to somebody who is there.
const SECONDS: Duration = Duration::from_secs(10);

/// How many bytes the kernel takes from a writer whose reader never reads: what fits into the writer's
/// send buffer and the reader's receive buffer. Measured on this machine, once for each window.
pub fn absorbed(window: Window) -> io::Result<u64> {
    static MEASURED: [OnceLock<u64>; 5] = [const { OnceLock::new() }; 5];
    let place = &MEASURED[window as usize];
    if let Some(&bytes) = place.get() {
        return Ok(bytes);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _reader = connect(listener.local_addr()?, window, SECONDS)?;
    let (writer, _) = listener.accept()?;
    writer.set_nonblocking(true)?;
    let block = [0; 1 << 16];
    let mut total = 0;
    // The kernel may take some more a little after it first refused, so go on until it has refused for
    // 50 ms.
    let mut refused_since = Instant::now();
    while refused_since.elapsed() < Duration::from_millis(50) {
        match write_now(&writer, &block) {
            Moved::Bytes(count) => {
                total += count as u64;
                refused_since = Instant::now();
            }
            _ => wait_ready(&writer, PollFlags::POLLOUT, Duration::from_millis(5)),
        }
    }
    Ok(*place.get_or_init(|| total))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_closed_port_refuses_until_it_is_opened() {
        let port = ClosedPort::bind().unwrap();
        let address = port.address().unwrap();
        let refused = connect(address, Window::Default, SECONDS).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let _listener = port.open().unwrap();
        connect(address, Window::Default, SECONDS).unwrap();
    }

    #[test]
    fn reserved_ports_differ() {
        let ports: Vec<_> = (0..20).map(|_| ReservedPort::new().unwrap()).collect();
        let numbers: HashSet<_> = ports.iter().map(|port| port.port).collect();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn a_small_window_absorbs_less() {
        let (small, default) =
            (absorbed(Window::Small).unwrap(), absorbed(Window::Default).unwrap());
        assert!(small >= 16 * 1024 && small < default, "{small} {default}");
    }
}
