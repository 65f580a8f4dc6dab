//! What one side sends, as one stream of known bytes: a head, then a framed, position-coded body.
//!
//! Nothing is stored: every byte is computed from its offset, so a stream may be as long as a test
//! needs. A chunked response looks like this:
//!
//! ```text
//! HTTP/1.1 200 OK … \r\n\r\n   the head
//! 753b\r\n                      header of chunk 0: its size in hexadecimal, 30,011
//! 0000000000 00cD\n…           30,011 bytes of body
//! \r\n753b\r\n                  line end of chunk 0, header of chunk 1
//! …
//! 0\r\n\r\n                     the last chunk is empty: the end
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::sent::coding::{self, Owner};

/// How a sender says where a body ends (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// `Transfer-Encoding: chunked`: the body comes in parts, each after its size. Size 0 is the end.
    Chunked,
    /// `Content-Length`: the head says how many bytes follow.
    ContentLength,
    /// The body ends where the connection is closed, as in HTTP/1.0.
    Close,
}

/// The data bytes in one chunk. It is a prime number because programs read in blocks of 4,096 or 65,536
/// bytes: if a chunk divided such a block, a lost block could be a number of whole chunks, and the
/// framing around the hole would still fit together.
pub const CHUNK: u64 = 30_011;

/// The body size of a stream that has no end yet. More would not fit into a cell's ten digits.
pub const ENDLESS: u64 = 1 << 40;

/// One chunk, as positions in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Chunk {
    /// Counted from 0.
    pub index: u64,
    /// Where its header (the size in hexadecimal) starts.
    pub header_at: u64,
    /// Data bytes.
    pub size: u64,
}

/// The head field of a response that says how many bytes its body has, whatever its framing is.
pub const LENGTH_FIELD: &str = "Lab-Length";

/// The head field of a response that says whose it is.
pub const OWNER_FIELD: &str = "Lab-Request";

/// A stream of bytes that can be computed at any offset.
#[derive(Clone, Debug)]
pub struct Wire {
    opening: Opening,
    head: Arc<[u8]>,
    framing: Framing,
    /// Bytes of body. Clones share it, because an endless stream gets its end later.
    size: Arc<AtomicU64>,
    owner: Owner,
}

/// What the head of a message is made from, besides its framing and its owner.
#[derive(Clone, Debug)]
enum Opening {
    /// A response, which announces so many bytes of body.
    Response(u64),
    /// A request with this method and path, and so many bytes of body.
    Request(&'static str, Arc<str>, u64),
    /// There is no head.
    None,
}

impl Opening {
    fn head(&self, framing: Framing, owner: Owner) -> Arc<[u8]> {
        let head = match self {
            Opening::Response(size) => {
                let (version, field) = match framing {
                    Framing::Chunked => ("1.1", "Transfer-Encoding: chunked\r\n".to_string()),
                    Framing::ContentLength => ("1.1", format!("Content-Length: {size}\r\n")),
                    Framing::Close => ("1.0", String::new()),
                };
                let length = match *size {
                    ENDLESS => "endless".into(),
                    size => size.to_string(),
                };
                format!(
                    "HTTP/{version} 200 OK\r\nContent-Type: text/plain\r\n{field}\
                     Cache-Control: no-store\r\n{LENGTH_FIELD}: {length}\r\n{OWNER_FIELD}: {owner}\r\n\
                     Connection: close\r\n\r\n"
                )
            }
            Opening::Request(method, path, size) => {
                let query = match owner {
                    Owner::NOBODY => String::new(),
                    owner => format!("?{owner}"),
                };
                let length = match framing {
                    Framing::ContentLength => format!("Content-Length: {size}\r\n"),
                    _ => String::new(),
                };
                format!(
                    "{method} {path}{query} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\
                     {length}\r\n"
                )
            }
            Opening::None => String::new(),
        };
        head.into_bytes().into()
    }
}

impl Wire {
    /// An HTTP response with `size` bytes of body.
    pub fn response(framing: Framing, size: u64) -> Wire {
        Wire::new(Opening::Response(size), framing, size)
    }

    /// A chunked response that goes on until [`Wire::end_after`] says where it ends.
    pub fn endless_response() -> Wire {
        Wire::response(Framing::Chunked, ENDLESS)
    }

    /// A response that goes on until [`Wire::end_at`] says where it ends. Closing the connection tells it.
    pub fn endless_page() -> Wire {
        Wire::response(Framing::Close, ENDLESS)
    }

    /// An HTTP request without a body.
    pub fn get(path: &str) -> Wire {
        Wire::new(Opening::Request("GET", path.into(), 0), Framing::Close, 0)
    }

    /// The same, with so many bytes behind it that do not belong to it.
    pub fn get_and_more(path: &str, more: u64) -> Wire {
        Wire::new(Opening::Request("GET", path.into(), 0), Framing::Close, more)
    }

    /// An HTTP request with `size` bytes of body.
    pub fn post(path: &str, size: u64) -> Wire {
        Wire::new(Opening::Request("POST", path.into(), size), Framing::ContentLength, size)
    }

    fn new(opening: Opening, framing: Framing, size: u64) -> Wire {
        let (owner, size) = (Owner::NOBODY, Arc::new(AtomicU64::new(size)));
        Wire { head: opening.head(framing, owner), opening, framing, size, owner }
    }

    /// The same message as one of this owner's: its head and every cell of its body say so.
    pub fn of(&self, owner: Owner) -> Wire {
        Wire { head: self.opening.head(self.framing, owner), owner, ..self.clone() }
    }

    /// Whose it is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Gives an endless stream an end, after the chunk that holds offset `at` of the stream.
    pub fn end_after(&self, at: u64) {
        let chunks = at.saturating_sub(self.head_len()).div_ceil(stride()).max(1);
        self.size.store(chunks * CHUNK, Ordering::SeqCst);
    }

    /// Gives a stream without a framing its end, at offset `at`.
    pub fn end_at(&self, at: u64) {
        self.size.store(at.saturating_sub(self.head_len()), Ordering::SeqCst);
    }

    /// The body without its framing, as a stream of its own.
    pub fn body(&self) -> Wire {
        let (opening, framing) = (Opening::None, Framing::Close);
        Wire { opening, head: Arc::new([]), framing, ..self.clone() }
    }

    /// Bytes of head.
    pub fn head_len(&self) -> u64 {
        self.head.len() as u64
    }

    /// Bytes of body.
    pub fn body_len(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    /// Bytes in all.
    pub fn len(&self) -> u64 {
        match self.framing {
            Framing::Chunked => self.chunk(u64::MAX).end(),
            Framing::ContentLength | Framing::Close => self.head_len() + self.body_len(),
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole stream, which must have an end.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len() as usize];
        self.fill(0, &mut bytes);
        bytes
    }

    /// Writes the bytes of the stream from `at` on into `buffer`. Returns how many it wrote: fewer than
    /// the buffer holds, if the stream ends.
    pub fn fill(&self, at: u64, buffer: &mut [u8]) -> usize {
        let end = self.len();
        let mut at = at;
        let mut done = 0;
        while done < buffer.len() && at < end {
            let count = self.fill_piece(at, &mut buffer[done..]);
            done += count;
            at += count as u64;
        }
        done
    }

    /// Writes the rest of the piece that offset `at` is in: the head, a header, data, or a line end.
    fn fill_piece(&self, at: u64, buffer: &mut [u8]) -> usize {
        let copy = |rest: &[u8], buffer: &mut [u8]| {
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        };
        if at < self.head_len() {
            return copy(&self.head[at as usize..], buffer);
        }
        let (left, offset) = if self.framing == Framing::Chunked {
            let chunk = self.chunk(at);
            let (header, within) = (chunk_header(chunk.size), at - chunk.header_at);
            let Some(within) = within.checked_sub(header.len() as u64) else {
                return copy(&header.as_bytes()[within as usize..], buffer);
            };
            if within >= chunk.size {
                return copy(&b"\r\n"[(within - chunk.size) as usize..], buffer);
            }
            (chunk.size - within, chunk.index * CHUNK + within)
        } else {
            let offset = at - self.head_len();
            (self.body_len() - offset, offset)
        };
        let count = left.min(buffer.len() as u64) as usize;
        coding::fill(self.owner, offset, &mut buffer[..count]);
        count
    }

    /// The byte at `at`, which must lie before the end.
    pub fn byte(&self, at: u64) -> u8 {
        let mut byte = [0];
        assert_eq!(self.fill(at, &mut byte), 1, "offset {at} is past the end of the stream");
        byte[0]
    }

    /// Offset in the stream of the byte at `offset` of the body.
    pub fn of_body(&self, offset: u64) -> u64 {
        self.head_len()
            + match self.framing {
                Framing::Chunked => {
                    let index = offset / CHUNK;
                    let size = CHUNK.min(self.body_len().saturating_sub(index * CHUNK));
                    index * stride() + chunk_header(size).len() as u64 + offset % CHUNK
                }
                Framing::ContentLength | Framing::Close => offset,
            }
    }

    /// How many bytes of body come before `at` in the stream.
    pub fn body_before(&self, at: u64) -> u64 {
        if self.framing == Framing::Chunked && at >= self.head_len() {
            let chunk = self.chunk(at);
            let within =
                (at - chunk.header_at).saturating_sub(chunk_header(chunk.size).len() as u64);
            (chunk.index * CHUNK + within.min(chunk.size)).min(self.body_len())
        } else {
            at.saturating_sub(self.head_len()).min(self.body_len())
        }
    }

    /// The chunk that offset `at` of the stream is in. `None` in the head and in the last, empty chunk,
    /// and for other framings.
    pub fn chunk_at(&self, at: u64) -> Option<Chunk> {
        let in_body = self.framing == Framing::Chunked && at >= self.head_len();
        in_body.then(|| self.chunk(at)).filter(|chunk| chunk.size > 0)
    }

    /// The same, where `at` is known to lie in a chunked body or after it: then it is the last, empty
    /// chunk.
    fn chunk(&self, at: u64) -> Chunk {
        let body = self.body_len();
        // All chunks but the last two are full.
        let index = ((at - self.head_len()) / stride()).min(body / CHUNK);
        let header_at = self.head_len() + index * stride();
        let chunk = Chunk { index, header_at, size: CHUNK.min(body - index * CHUNK) };
        if at < chunk.end() || chunk.size == 0 {
            return chunk;
        }
        Chunk { index: index + 1, header_at: chunk.end(), size: 0 }
    }
}

impl Chunk {
    /// Where it ends in the stream: its header, its data and the line end lie before that.
    fn end(self) -> u64 {
        self.header_at + chunk_header(self.size).len() as u64 + self.size + 2
    }
}

/// Bytes of a stream in one full chunk: header, data, line end.
pub fn stride() -> u64 {
    Chunk { index: 0, header_at: 0, size: CHUNK }.end()
}

fn chunk_header(size: u64) -> String {
    format!("{size:x}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_stream_is_what_the_rfc_says() {
        let size = 2 * CHUNK + 5;
        let wire = Wire::response(Framing::Chunked, size);
        let body = wire.body().bytes();
        let mut expected = wire.head.to_vec();
        for chunk in body.chunks(CHUNK as usize) {
            expected.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            expected.extend(chunk);
            expected.extend(b"\r\n");
        }
        expected.extend(b"0\r\n\r\n");
        assert!(wire.bytes() == expected);
        let chunk = wire.chunk_at(wire.of_body(CHUNK)).unwrap();
        assert_eq!((chunk.index, chunk.size), (1, CHUNK));
        assert_eq!(&expected[chunk.header_at as usize..][..6], b"753b\r\n");
    }

    #[test]
    fn positions_in_stream_and_body_agree() {
        for framing in [Framing::Chunked, Framing::ContentLength, Framing::Close] {
            for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
                let wire = Wire::response(framing, size);
                let bytes = wire.bytes();
                for offset in (0..size).step_by(997).chain(size.checked_sub(1)) {
                    let at = wire.of_body(offset);
                    assert_eq!(
                        bytes[at as usize],
                        wire.body().byte(offset),
                        "{framing:?} {offset}"
                    );
                    assert_eq!(wire.body_before(at), offset, "{framing:?} {offset}");
                }
                assert_eq!(wire.body_before(wire.len()), size);
            }
        }
    }

    #[test]
    fn a_message_says_whose_it_is_in_its_head_and_in_every_cell() {
        let text = |wire: &Wire| String::from_utf8(wire.bytes()).expect("it is text");
        let owner = Owner::of_request(2);
        let page = Wire::response(Framing::Chunked, 4 * coding::CELL as u64);
        let upload = Wire::post("/up", 4 * coding::CELL as u64);
        assert_eq!(text(&page.of(owner)).matches("0 02").count(), 4);
        assert_eq!(text(&upload.of(owner)).matches("0 02").count(), 4);
        assert!(text(&page.of(owner)).contains("\r\nLab-Length: 64\r\nLab-Request: 02\r\n"));
        assert!(text(&upload.of(owner)).starts_with("POST /up?02 HTTP/1.1\r\n"));
        assert!(text(&upload).starts_with("POST /up HTTP/1.1\r\n"));
        assert_eq!(text(&page.of(owner).of(Owner::NOBODY)), text(&page));
    }

    #[test]
    fn an_endless_stream_ends_where_it_is_told() {
        let wire = Wire::endless_response();
        wire.end_after(wire.of_body(5 * CHUNK + 7));
        assert_eq!(wire.body_len(), 6 * CHUNK);
        assert!(wire.bytes().ends_with(b"\r\n0\r\n\r\n"));
    }
}
