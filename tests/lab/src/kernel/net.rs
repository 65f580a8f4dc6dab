//! Sockets with chosen buffer sizes, ports that nobody else takes, and how much the kernel buffers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrStorage, UnixAddr, bind,
    connect as connect_socket, getsockname, listen, setsockopt, socket, sockopt,
};

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
}

/// Connects to `address` on loopback.
///
/// # Errors
/// Those of socket(2), setsockopt(2) and connect(2).
pub fn connect(address: SocketAddr, window: Window) -> io::Result<TcpStream> {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Set before connecting, because the handshake tells the other side about both.
    match window {
        Window::Default => {}
        Window::Narrow => setsockopt(&fd, sockopt::RcvBuf, &(4 * 1024))?,
        Window::Small => {
            setsockopt(&fd, sockopt::RcvBuf, &(16 * 1024))?;
            setsockopt(&fd, sockopt::TcpMaxSeg, &1400)?;
        }
    }
    let SocketAddr::V4(address) = address else {
        return Err(io::Error::new(ErrorKind::Unsupported, "only IPv4 addresses are supported"));
    };
    connect_socket(fd.as_raw_fd(), &SockaddrIn::from(address))?;
    let stream = TcpStream::from(fd);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A port that is bound but refuses connections, until it is opened.
pub struct ClosedPort(OwnedFd);

impl ClosedPort {
    /// Binds a free port on 127.0.0.1.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn bind() -> io::Result<ClosedPort> {
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
        Ok(ClosedPort(fd))
    }

    /// The port's address.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        let address: SockaddrStorage = getsockname(self.0.as_raw_fd())?;
        let address = address.as_sockaddr_in().ok_or(ErrorKind::AddrNotAvailable)?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())))
    }

    /// Begins to accept connections.
    ///
    /// # Errors
    /// Those of listen(2).
    pub fn open(self) -> io::Result<TcpListener> {
        listen(&self.0, Backlog::new(1024).unwrap_or(Backlog::MAXCONN))?;
        Ok(TcpListener::from(self.0))
    }
}

/// Makes closing `stream` a reset: what is queued is thrown away and the peer gets an RST.
///
/// # Errors
/// Those of setsockopt(2).
pub fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(stream, sockopt::Linger, &linger)?)
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
    /// There is nothing more to read: the other side has closed in order.
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
    _name: OwnedFd,
}

/// The ports to choose from: above the well-known ones, and below the default of
/// `net.ipv4.ip_local_port_range` (ip(7)).
const PORTS: std::ops::Range<u16> = 15_000..32_000;

impl ReservedPort {
    /// Finds a port on which nobody listens.
    ///
    /// # Errors
    /// `AddrInUse` when a few hundred attempts found none.
    pub fn new() -> io::Result<ReservedPort> {
        let start = RandomState::new().hash_one(std::process::id()) as usize;
        for attempt in 0..500 {
            let port = PORTS.start + ((start + attempt * 7) % PORTS.len()) as u16;
            let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
            let name = UnixAddr::new_abstract(format!("dropped-write/port/{port}").as_bytes())?;
            if bind(fd.as_raw_fd(), &name).is_err() {
                continue;
            }
            // Without SO_REUSEADDR this fails also where an old connection is in TIME_WAIT.
            let probe =
                socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            if bind(probe.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port)).is_ok() {
                return Ok(ReservedPort { port, _name: fd });
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }
}

/// How many bytes the kernel takes from a writer whose reader never reads: what fits into the writer's
/// send buffer and the reader's receive buffer. Measured on this machine, once for each window.
///
/// # Errors
/// Those of the socket calls.
pub fn absorbed(window: Window) -> io::Result<u64> {
    static MEASURED: [OnceLock<u64>; 3] = [const { OnceLock::new() }; 3];
    let place = &MEASURED[window as usize];
    if let Some(&bytes) = place.get() {
        return Ok(bytes);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _reader = connect(listener.local_addr()?, window)?;
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
    use super::*;

    #[test]
    fn a_closed_port_refuses_until_it_is_opened() {
        let port = ClosedPort::bind().unwrap();
        let address = port.address().unwrap();
        let refused = connect(address, Window::Default).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let _listener = port.open().unwrap();
        connect(address, Window::Default).unwrap();
    }

    #[test]
    fn reserved_ports_differ() {
        let ports: Vec<_> = (0..20).map(|_| ReservedPort::new().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(|port| port.port).collect();
        numbers.sort();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }

    #[test]
    fn a_small_window_absorbs_less() {
        let (small, default) =
            (absorbed(Window::Small).unwrap(), absorbed(Window::Default).unwrap());
        assert!(small >= 16 * 1024 && small < default, "{small} {default}");
    }
}
