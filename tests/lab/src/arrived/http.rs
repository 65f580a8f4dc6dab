//! Takes HTTP/1 messages apart as they arrive: where the head ends, which bytes are body, whether the
//! message is complete, and what curl would say about it.

use serde::Serialize;

use crate::sent::coding::Owner;
use crate::sent::wire::{ENDLESS, LENGTH_FIELD, OWNER_FIELD};

/// How an incoming stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Still open.
    Open,
    /// An orderly end (FIN): `read` returned 0.
    Fin,
    /// A reset (RST): `read` returned ECONNRESET.
    Reset,
}

/// What kind of message is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// From a server.
    Response,
    /// From a client.
    Request,
}

/// What is wrong with a message that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// The head is not HTTP.
    Head,
    /// The size of a chunk is not a hexadecimal number.
    ChunkSize,
    /// The size of a chunk has more than 16 hexadecimal digits.
    ChunkSizeTooLong,
    /// The data of a chunk is not followed by a line end. curl calls this CHUNKE_BAD_CHUNK, its number
    /// 3; curl 7.22 to 7.35 print it as "Problem (3)".
    ChunkEnd,
}

/// How far a message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// It is complete, as its own framing says.
    Complete,
    /// It stopped before its end.
    Cut {
        /// Bytes of body that are missing, if a Content-Length says so.
        due: Option<u64>,
    },
    /// It could not be decoded any further.
    Malformed(Malformed),
    /// Not a byte came.
    Nothing,
}

/// What curl makes of a response: the exit status and the words of curl 7.36.0 to 8.x.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CurlExit {
    /// Exit status.
    pub exit: u8,
    /// What follows `curl: (N) ` on stderr; empty if the exit status is 0.
    pub words: String,
}

/// The most bytes that a head may have here.
const HEAD_LIMIT: usize = 64 * 1024;

/// What the next byte of a message belongs to.
#[derive(Clone, Debug)]
enum State {
    /// The head. It holds what has come of it.
    Head(Vec<u8>),
    /// A body with a Content-Length, and how many bytes of it are still to come.
    Sized(u64),
    /// A body that ends where the connection is closed.
    UntilClose,
    /// The digits of a chunk's size; `left` is their value so far.
    ChunkSize {
        digits: u8,
        left: u64,
    },
    /// Whatever comes between those digits and the line feed, after the size.
    ChunkExtension(u64),
    /// The data of a chunk, and how many bytes of it are still to come.
    ChunkData(u64),
    /// The line end after that data.
    ChunkEnd,
    /// The lines after the last chunk. It holds what has come of the current line.
    Trailer(Vec<u8>),
    Complete,
    Malformed(Malformed),
}

/// Where the size of a chunk begins.
const SIZE: State = State::ChunkSize { digits: 0, left: 0 };

/// Decodes one message, given piece by piece.
///
/// It reads chunks as curl does (`lib/http_chunks.c` of 7.88.1), which is more lenient than RFC 9112:
/// curl skips everything between the digits of a size and the line feed, and a lone line feed may end
/// a chunk. After a hole, curl may therefore take a line of our position-coded page for a chunk size.
pub struct Decoder {
    message: Message,
    state: State,
    /// Whether the message has begun: at least one byte came.
    begun: bool,
    /// Status of a response.
    pub status: Option<u16>,
    /// Target of a request.
    pub target: Option<String>,
    /// Whose response it is, as its head says.
    pub owner: Option<Owner>,
    /// Bytes of body that the head of a response announces in a field of the laboratory's own.
    /// [`ENDLESS`] if there is no end.
    pub announced: Option<u64>,
}

impl Decoder {
    /// Expects a message of that kind.
    pub fn new(message: Message) -> Decoder {
        let state = State::Head(vec![]);
        let (status, target, owner, announced) = (None, None, None, None);
        Decoder { message, state, begun: false, status, target, owner, announced }
    }

    /// Whether the head has been read.
    pub fn has_head(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// Whether the message is complete: nothing more belongs to it.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Whether decoding had to be given up.
    pub fn is_malformed(&self) -> bool {
        matches!(self.state, State::Malformed(_))
    }

    /// Takes the next bytes and hands every piece of body to `body`.
    pub fn push(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) {
        self.begun |= !bytes.is_empty();
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::Head(_) => self.head_bytes(bytes),
                State::Sized(left) | State::ChunkData(left) => {
                    let count = (*left).min(bytes.len() as u64) as usize;
                    body(&bytes[..count]);
                    *left -= count as u64;
                    if *left == 0 {
                        let in_chunk = matches!(self.state, State::ChunkData(_));
                        self.state = if in_chunk { State::ChunkEnd } else { State::Complete };
                    }
                    count
                }
                State::UntilClose => {
                    body(bytes);
                    bytes.len()
                }
                State::ChunkSize { .. }
                | State::ChunkExtension(_)
                | State::ChunkEnd
                | State::Trailer(_) => self.chunk_framing(bytes[0]),
                State::Complete | State::Malformed(_) => return,
            };
            bytes = &bytes[used..];
        }
    }

    /// Takes a byte of what stands between the data of two chunks, or after the last. Returns 1, or 0
    /// if the byte is to be looked at again in the next state.
    fn chunk_framing(&mut self, byte: u8) -> usize {
        let next = match &mut self.state {
            State::ChunkSize { digits, left } => match char::from(byte).to_digit(16) {
                Some(_) if *digits == 16 => State::Malformed(Malformed::ChunkSizeTooLong),
                Some(digit) => {
                    (*digits, *left) = (*digits + 1, *left << 4 | u64::from(digit));
                    return 1;
                }
                // curl keeps the size in a signed number of 64 bits.
                None if *digits == 0 || i64::try_from(*left).is_err() => {
                    State::Malformed(Malformed::ChunkSize)
                }
                None => {
                    self.state = State::ChunkExtension(*left);
                    return 0;
                }
            },
            State::ChunkExtension(left) => match (byte, *left) {
                (b'\n', 0) => State::Trailer(vec![]),
                (b'\n', left) => State::ChunkData(left),
                _ => return 1,
            },
            State::ChunkEnd => match byte {
                b'\n' => SIZE,
                b'\r' => return 1,
                _ => State::Malformed(Malformed::ChunkEnd),
            },
            State::Trailer(line) => {
                line.push(byte);
                match line[..] {
                    [b'\r', b'\n'] | [b'\n'] => State::Complete,
                    [.., b'\n'] => State::Trailer(vec![]),
                    _ => return 1,
                }
            }
            _ => unreachable!("only called between chunks"),
        };
        self.state = next;
        1
    }

    /// Collects the head; returns how many of `bytes` belong to it.
    fn head_bytes(&mut self, bytes: &[u8]) -> usize {
        let State::Head(head) = &mut self.state else { unreachable!("only called in the head") };
        let before = head.len();
        head.extend(bytes);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let (parsed, status, target) = match self.message {
            Message::Response => {
                let mut response = httparse::Response::new(&mut fields);
                (response.parse(head), response.code, None)
            }
            Message::Request => {
                let mut request = httparse::Request::new(&mut fields);
                (request.parse(head), None, request.path.map(str::to_string))
            }
        };
        match parsed {
            Ok(httparse::Status::Complete(length)) => {
                self.status = status;
                self.target = target;
                self.owner = value(&fields, OWNER_FIELD).map(str::as_bytes).and_then(Owner::named);
                self.announced = value(&fields, LENGTH_FIELD).and_then(|length| match length {
                    "endless" => Some(ENDLESS),
                    length => length.parse().ok(),
                });
                self.state = match status {
                    // An interim response: the real one follows.
                    Some(100..=199) => State::Head(vec![]),
                    _ => body_of(&fields, self.message),
                };
                return length - before;
            }
            Ok(httparse::Status::Partial) if head.len() < HEAD_LIMIT => {}
            _ => self.state = State::Malformed(Malformed::Head),
        }
        bytes.len()
    }

    /// How far the message got, if its stream has ended in that way.
    pub fn reached(&self, end: End) -> Reached {
        match &self.state {
            State::Complete => Reached::Complete,
            State::Malformed(how) => Reached::Malformed(*how),
            State::Head(_) if !self.begun => Reached::Nothing,
            State::UntilClose if end == End::Fin => Reached::Complete,
            State::Sized(left) => Reached::Cut { due: Some(*left) },
            _ => Reached::Cut { due: None },
        }
    }

    /// What curl would say of this response.
    pub fn curl(&self, end: End) -> CurlExit {
        use Malformed::{ChunkEnd, ChunkSize, ChunkSizeTooLong, Head};
        let says = |exit, words: &str| CurlExit { exit, words: words.into() };
        let chunk = |what: &str| says(56, &format!("{what} in chunked-encoding"));
        match (self.reached(end), end) {
            (Reached::Complete, _) => says(0, ""),
            (Reached::Malformed(Head), _) => says(1, "Received HTTP/0.9 when not allowed"),
            (Reached::Malformed(ChunkSize), _) => chunk("Illegal or missing hexadecimal sequence"),
            (Reached::Malformed(ChunkSizeTooLong), _) => chunk("Too long hexadecimal number"),
            (Reached::Malformed(ChunkEnd), _) => chunk("Malformed encoding found"),
            (_, End::Reset) => says(56, "Recv failure: Connection reset by peer"),
            (_, End::Open) => says(28, "Operation timed out"),
            (Reached::Nothing, End::Fin) => says(52, "Empty reply from server"),
            (Reached::Cut { due: Some(due) }, End::Fin) => {
                says(18, &format!("transfer closed with {due} bytes remaining to read"))
            }
            (Reached::Cut { due: None }, End::Fin) => {
                says(18, "transfer closed with outstanding read data remaining")
            }
        }
    }
}

/// The value of the first field of that name.
fn value<'f>(fields: &[httparse::Header<'f>], name: &str) -> Option<&'f str> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(field.value).ok()
}

/// How the body is framed after these header fields (RFC 9112, section 6.3).
fn body_of(fields: &[httparse::Header], message: Message) -> State {
    if value(fields, "Transfer-Encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"))
    {
        return SIZE;
    }
    match (value(fields, "Content-Length").map(str::parse::<u64>), message) {
        (Some(Ok(0)), _) | (None, Message::Request) => State::Complete,
        (Some(Ok(left)), _) => State::Sized(left),
        (Some(Err(_)), _) => State::Malformed(Malformed::Head),
        (None, Message::Response) => State::UntilClose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(stream: &[u8], end: End) -> (Vec<u8>, Reached, CurlExit) {
        let mut body = vec![];
        let mut whole = Decoder::new(Message::Response);
        whole.push(stream, |bytes| body.extend(bytes));
        let mut again: Vec<u8> = vec![];
        let mut bytewise = Decoder::new(Message::Response);
        stream.iter().for_each(|&byte| bytewise.push(&[byte], |bytes| again.extend(bytes)));
        assert_eq!(body, again);
        assert_eq!(whole.reached(end), bytewise.reached(end));
        (body, whole.reached(end), whole.curl(end))
    }

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn a_whole_message_is_complete() {
        let stream = format!("{CHUNKED}3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
        let (body, framing, curl) = decode(stream.as_bytes(), End::Open);
        assert_eq!(body, b"abc0123456789abcdef");
        assert_eq!((framing, curl.exit), (Reached::Complete, 0));
    }

    #[test]
    fn each_kind_of_damage_gets_curls_words() {
        let cases = [
            (format!("{CHUNKED}3\r\nabcd\r\n"), End::Fin, 56, "Malformed encoding found"),
            (format!("{CHUNKED}xyz\r\n"), End::Fin, 56, "Illegal or missing hexadecimal"),
            (format!("{CHUNKED}{}\r\n", "1".repeat(17)), End::Fin, 56, "Too long hexadecimal"),
            (format!("{CHUNKED}3\r\nab"), End::Fin, 18, "outstanding read data"),
            // A lone line feed ends the chunk, and then a line of the page is taken for a size.
            (format!("{CHUNKED}3\r\nabc\n0000e13390 x\ny"), End::Fin, 18, "outstanding read data"),
            (format!("{CHUNKED}3\r\nabc\n\n"), End::Fin, 56, "Illegal or missing hexadecimal"),
            (format!("{CHUNKED}8000000000000000\r\n"), End::Fin, 56, "Illegal or missing"),
            (format!("{CHUNKED}3\r\nab"), End::Reset, 56, "Recv failure: Connection reset"),
            (String::new(), End::Fin, 52, "Empty reply"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234".into(),
                End::Fin,
                18,
                "5 bytes remaining",
            ),
            ("HTTP/1.0 200 OK\r\n\r\n1234".into(), End::Fin, 0, ""),
        ];
        for (stream, end, exit, words) in cases {
            let (_, _, curl) = decode(stream.as_bytes(), end);
            assert_eq!(curl.exit, exit, "{stream:?}");
            assert!(curl.words.contains(words), "{stream:?}: {}", curl.words);
        }
    }

    #[test]
    fn a_request_without_a_length_has_no_body() {
        let mut decoder = Decoder::new(Message::Request);
        decoder.push(b"GET /small HTTP/1.1\r\nHost: lab\r\n\r\n", |_| panic!("no body"));
        assert!(decoder.is_complete());
        assert_eq!(decoder.target.as_deref(), Some("/small"));
    }
}
