//! The client: it sends and reads only when the experiment tells it to.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use nix::poll::PollFlags;

use crate::arrived::http::{End, Message};
use crate::arrived::others::SHOWN;
use crate::arrived::reading::{Evidence, Judge, Offsets, Reading};
use crate::kernel::net::{self, Moved, Window};
use crate::sent::coding::Owner;
use crate::sent::wire::Wire;

/// A client of the proxy. It moves only when it is told to.
pub struct Client {
    stream: TcpStream,
    request: Wire,
    response: Wire,
    sent: u64,
    judge: Judge,
    received: u64,
    end: End,
    /// Whether a write has said that the connection was reset. The kernel says so only once: the next read
    /// returns 0, as after an orderly end.
    is_reset: bool,
    /// The beginning of what arrived, for the evidence.
    record: Vec<u8>,
    /// How much of it is kept, in bytes.
    keeps: usize,
    block: Vec<u8>,
}

/// How much of what arrived is kept for the evidence, in bytes, unless it is one of many.
const RECORD: usize = 32 << 20;

/// The most that one read takes, in bytes.
const BLOCK: usize = 1 << 16;

impl Client {
    /// Begins to connect to the proxy, and does not wait: see [`Client::is_connected`]. Sends nothing
    /// yet; `response` is what should come back for `request`.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn connect(
        proxy: SocketAddr,
        window: Window,
        request: &Wire,
        response: &Wire,
    ) -> io::Result<Client> {
        Ok(Client {
            stream: net::begin_to_connect(proxy, window)?,
            request: request.clone(),
            response: response.clone(),
            sent: 0,
            judge: Judge::new(response, Message::Response),
            received: 0,
            end: End::Open,
            is_reset: false,
            record: vec![],
            keeps: RECORD,
            block: vec![0; BLOCK],
        })
    }

    /// Keeps nothing of what arrives as evidence. A thousand clients would need too much memory for it.
    pub fn keep_no_evidence(&mut self) {
        self.keeps = 0;
    }

    /// Whether the connection is there. Until then nothing can be sent.
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub fn is_connected(&self) -> io::Result<bool> {
        net::is_connected(&self.stream)
    }

    /// Sends what the kernel takes of the rest of the request.
    pub fn send_now(&mut self) -> Moved {
        self.send_part(self.block.len())
    }

    /// The same, but `most` bytes at most.
    pub fn send_part(&mut self, most: usize) -> Moved {
        let most = most.min(self.block.len()) as u64;
        let left = (self.request.len() - self.sent).min(most) as usize;
        if left == 0 {
            return Moved::Nothing;
        }
        self.request.fill(self.sent, &mut self.block[..left]);
        let moved = net::write_now(&self.stream, &self.block[..left]);
        match moved {
            Moved::Bytes(count) => self.sent += count as u64,
            Moved::Reset => self.is_reset = true,
            Moved::Nothing | Moved::Fin => {}
        }
        moved
    }

    /// Whether the whole request has been sent.
    pub fn has_sent_all(&self) -> bool {
        self.sent == self.request.len()
    }

    /// Bytes of the whole request.
    pub fn request_len(&self) -> u64 {
        self.request.len()
    }

    /// Bytes of the request sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Keeps a short request back until [`Client::end_sending`], so that both arrive at once and not one
    /// before the other is seen.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn send_with_end(&self) -> io::Result<()> {
        net::cork(&self.stream)
    }

    /// Ends its own direction (FIN), and can still read.
    ///
    /// # Errors
    /// Those of shutdown(2).
    pub fn end_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads what is there, `most` bytes at most.
    pub fn read_now(&mut self, most: usize) -> Moved {
        if self.end != End::Open {
            return Moved::Nothing;
        }
        let most = most.min(self.block.len());
        let moved = net::read_now(&self.stream, &mut self.block[..most]);
        match moved {
            Moved::Bytes(count) => {
                let bytes = &self.block[..count];
                self.received += count as u64;
                self.judge.push(bytes);
                if self.record.len() + count <= self.keeps {
                    self.record.extend(bytes);
                }
            }
            Moved::Fin if self.is_reset => self.end = End::Reset,
            Moved::Fin => self.end = End::Fin,
            Moved::Reset => self.end = End::Reset,
            Moved::Nothing => {}
        }
        moved
    }

    /// Waits until there is something to read, or until `patience` is over.
    pub fn wait_readable(&self, patience: Duration) {
        net::wait_ready(&self.stream, PollFlags::POLLIN, patience);
    }

    /// Waits until more of the request can be sent, or until `patience` is over.
    pub fn wait_writable(&self, patience: Duration) {
        net::wait_ready(&self.stream, PollFlags::POLLOUT, patience);
    }

    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of the whole response.
    pub fn expected(&self) -> u64 {
        self.response.len()
    }

    /// How the stream ended, if it has.
    pub fn end(&self) -> End {
        self.end
    }

    /// Whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        self.end != End::Open
    }

    /// Whose request it has sent.
    pub fn owner(&self) -> Owner {
        self.response.owner()
    }

    /// Bytes of body that the backend says its response has.
    pub fn announced(&self) -> Option<u64> {
        self.judge.decoder.announced
    }

    /// Whether the response is complete, as its framing tells it.
    pub fn is_complete(&self) -> bool {
        self.judge.decoder.is_complete()
    }

    /// The status of the response, once its head has come.
    pub fn status(&self) -> Option<u16> {
        self.judge.decoder.status
    }

    /// Its own port.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Closes the connection by a reset.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn reset(self) -> io::Result<()> {
        net::reset_on_close(&self.stream)
    }

    /// Compares what arrived with the first `sent` bytes of the response. With it comes the evidence: the
    /// bytes around the first four jumps.
    pub fn finish(self, sent: u64) -> (Reading, Vec<Evidence>) {
        let reading = self.judge.finish(sent, self.end);
        let evidence = match reading.offsets {
            Offsets::Body => vec![],
            Offsets::Stream => reading
                .damage
                .jumps
                .iter()
                .filter(|jump| jump.received_at + jump.foreign < self.record.len() as u64)
                .take(4)
                .map(|jump| {
                    let at = jump.received_at as usize;
                    let from = jump.received_at.saturating_sub(SHOWN as u64) as usize;
                    let to = (at + SHOWN).min(self.record.len());
                    Evidence {
                        received_at: jump.received_at,
                        before: self.record[from..at].to_vec(),
                        after: self.record[at..to].to_vec(),
                    }
                })
                .collect(),
        };
        (reading, evidence)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::sent::wire::Framing;

    #[test]
    fn a_reset_that_a_write_was_told_of_is_no_orderly_end() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let request = Wire::post("/upload", 64 << 20);
        let response = Wire::response(Framing::Close, 100);
        let proxy = listener.local_addr().unwrap();
        let mut client = Client::connect(proxy, Window::Default, &request, &response).unwrap();
        let (peer, _) = listener.accept().unwrap();
        client.wait_writable(Duration::from_secs(10));
        while let Moved::Bytes(_) = client.send_now() {}
        // Nothing of that has been read, so the kernel answers this with a reset.
        drop(peer);
        client.wait_readable(Duration::from_secs(10));
        assert_eq!(client.send_now(), Moved::Reset);
        client.read_now(1);
        assert_eq!(client.end(), End::Reset);
    }
}
