//! What one receiver got: which bytes are missing or out of place, how far the message got, and what
//! curl would say about it.

use serde::Serialize;

use crate::arrived::align::{Aligner, Damage};
use crate::arrived::http::{CurlExit, Decoder, End, Message, Reached};
use crate::sent::coding::Owner;
use crate::sent::wire::Wire;

/// What the offsets of a [`Reading`] count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offsets {
    /// From the first byte of the stream: the proxy passes on every byte as it is.
    Stream,
    /// From the first byte of the body: the proxy writes a head or a framing of its own, so only the
    /// bodies can be compared.
    Body,
}

/// What came in one direction of one transfer, compared with what was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// The status of the response, if one came.
    pub status: Option<u16>,
    /// How the stream ended.
    pub end: End,
    /// How far the message got.
    pub reached: Reached,
    /// What curl would say.
    pub curl: CurlExit,
    /// What is missing or out of place.
    pub damage: Damage,
    /// What the offsets in `damage` count from.
    pub offsets: Offsets,
    /// Whose message the head says this is, if that is another's.
    pub head_of: Option<Owner>,
}

/// The bytes on both sides of a place where the stream jumps.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// How many bytes had arrived before the jump.
    pub received_at: u64,
    /// Up to 48 bytes before it.
    pub before: Vec<u8>,
    /// Up to 48 bytes after it.
    pub after: Vec<u8>,
}

impl Reading {
    /// Whether the user got exactly what was sent, including its end.
    pub fn is_exact(&self) -> bool {
        self.damage.is_exact() && self.reached == Reached::Complete && self.head_of.is_none()
    }

    /// Whether a part of it is another connection's.
    pub fn has_crossed(&self) -> bool {
        self.damage.crossed > 0 || self.head_of.is_some()
    }
}

/// Follows one direction of one transfer at the receiver. It compares twice, the stream as it comes and
/// the decoded body, and decides at the end which of the two counts.
pub struct Judge {
    wire: Wire,
    stream: Aligner,
    body: Aligner,
    /// The message so far.
    pub decoder: Decoder,
}

impl Judge {
    /// Expects `wire`, a message of that kind.
    pub fn new(wire: &Wire, message: Message) -> Judge {
        Judge {
            wire: wire.clone(),
            stream: Aligner::new(wire.clone()),
            body: Aligner::new(wire.body()),
            decoder: Decoder::new(message),
        }
    }

    /// Takes the next bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.stream.push(bytes);
        let body = &mut self.body;
        if self.stream.on_track() {
            // The whole stream is as it was sent, so the body is too: no need to compare it again.
            self.decoder.push(bytes, |bytes| body.trust(bytes.len() as u64));
        } else {
            self.decoder.push(bytes, |bytes| body.push(bytes));
        }
    }

    /// Compares what arrived with what was sent, the first `sent` bytes of the stream.
    pub fn finish(self, sent: u64, end: End) -> Reading {
        let reached = self.decoder.reached(end);
        let curl = self.decoder.curl(end);
        let body = self.body.finish(self.wire.body_before(sent));
        let stream = self.stream.finish(sent);
        // If the head arrived as it was sent, the proxy passes on bytes and the stream counts. If not,
        // it writes a head of its own and only the body counts. It may also keep the head and cut the
        // body into other chunks: then the body is whole although the stream is not.
        let head = self.wire.head_len().min(sent).max(1);
        let starts = stream.segments.first().is_some_and(|it| it.start == 0 && it.len >= head);
        // A field may have been put into the head, before or between those that were sent. Then it is still
        // a head, and what is in it is nobody's.
        let amended = self.decoder.status.is_some()
            && stream.crossed == 0
            && stream.jumps.iter().any(|jump| jump.received_at < head && jump.foreign > 0);
        let verbatim = starts && !amended;
        let reframed = reached == Reached::Complete && body.is_exact();
        let by_stream = verbatim && (!reframed || stream.is_exact()) || stream.received == 0;
        let (damage, offsets) =
            if by_stream { (stream, Offsets::Stream) } else { (body, Offsets::Body) };
        let is_other = |owner: &Owner| ![self.wire.owner(), Owner::NOBODY].contains(owner);
        let head_of = self.decoder.owner.filter(is_other);
        let status = self.decoder.status;
        Reading { status, end, reached, curl, damage, offsets, head_of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sent::wire::{CHUNK, Framing};

    fn judge(wire: &Wire, arrived: &[u8], end: End) -> Reading {
        let mut judge = Judge::new(wire, Message::Response);
        judge.push(arrived);
        judge.finish(wire.len(), end)
    }

    #[test]
    fn a_proxy_that_rechunks_is_exact() {
        let wire = Wire::response(Framing::Chunked, 100_000);
        let body = wire.body().bytes();
        for head in [
            "HTTP/1.1 200 OK\r\nServer: other\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
        ] {
            let mut arrived =
                format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
                    .into_bytes();
            for part in body.chunks(7_777) {
                arrived.extend(format!("{:x}\r\n", part.len()).as_bytes());
                arrived.extend(part);
                arrived.extend(b"\r\n");
            }
            arrived.extend(b"0\r\n\r\n");
            let reading = judge(&wire, &arrived, End::Open);
            assert!(reading.is_exact(), "{reading:?}");
        }
    }

    #[test]
    fn a_field_that_the_proxy_adds_to_the_head_is_no_damage_where_the_page_is_cut_either() {
        let wire = Wire::response(Framing::Chunked, 200_000);
        let sent = wire.head_len() + 3 * crate::sent::wire::stride();
        let bytes = wire.bytes()[..sent as usize].to_vec();
        let head = String::from_utf8(bytes[..wire.head_len() as usize].to_vec()).unwrap();
        for last in ["Connection: close", "Content-Type"] {
            let at = head.find(last).expect("the head has that field");
            let arrived = [&bytes[..at], b"Via: 1.1 somebody\r\n", &bytes[at..]].concat();
            let mut judge = Judge::new(&wire, Message::Response);
            judge.push(&arrived);
            let reading = judge.finish(sent, End::Reset);
            assert_eq!(reading.offsets, Offsets::Body);
            assert_eq!((reading.damage.foreign, reading.damage.missing()), (0, 0), "{reading:?}");
        }
    }

    #[test]
    fn a_hole_is_counted_in_the_stream_and_breaks_the_framing() {
        let wire = Wire::response(Framing::Chunked, 500_000);
        let mut arrived = wire.bytes();
        arrived.drain(100_000..165_536);
        let reading = judge(&wire, &arrived, End::Fin);
        assert_eq!((reading.damage.missing(), reading.offsets), (65_536, Offsets::Stream));
        assert_eq!(reading.curl.exit, 56);
    }

    #[test]
    fn a_missing_chunk_satisfies_curl_and_is_seen_all_the_same() {
        let wire = Wire::response(Framing::Chunked, 10 * CHUNK);
        let start = wire.chunk_at(wire.of_body(3 * CHUNK)).unwrap().header_at as usize;
        let end = wire.chunk_at(wire.of_body(4 * CHUNK)).unwrap().header_at as usize;
        let mut arrived = wire.bytes();
        arrived.drain(start..end);
        let reading = judge(&wire, &arrived, End::Fin);
        assert_eq!((reading.curl.exit, reading.reached), (0, Reached::Complete));
        assert_eq!(reading.damage.gaps[0].body_len, CHUNK);
        assert!(!reading.is_exact());
    }

    #[test]
    fn a_changed_byte_is_seen_in_a_stream_that_is_whole_otherwise() {
        let wire = Wire::response(Framing::Chunked, 200_000);
        let mut arrived = wire.bytes();
        arrived[100_000] ^= 1;
        for portion in [1, 1000, 65_536, arrived.len()] {
            let mut judge = Judge::new(&wire, Message::Response);
            arrived.chunks(portion).for_each(|bytes| judge.push(bytes));
            let reading = judge.finish(wire.len(), End::Fin);
            assert_eq!(reading.damage.altered, 1, "in portions of {portion}");
        }
    }

    #[test]
    fn a_body_in_the_head_of_another_has_crossed() {
        for framing in [Framing::Chunked, Framing::Close] {
            let [own, other] = [1, 4].map(Owner::of_request);
            let wire = Wire::response(framing, 100_000).of(own);
            let (sent, theirs) = (wire.bytes(), wire.of(other).bytes());
            let head = wire.head_len() as usize;
            let reading = judge(&wire, &[&theirs[..head], &sent[head..]].concat(), End::Fin);
            assert_eq!((reading.head_of, reading.damage.is_exact()), (Some(other), true));
            assert!(reading.has_crossed() && !reading.is_exact());
            // If the number of the request was lost on the way, nobody else's is there.
            let nobodys = wire.of(Owner::NOBODY).bytes();
            let reading = judge(&wire, &[&nobodys[..head], &sent[head..]].concat(), End::Fin);
            assert!(reading.is_exact(), "{reading:?}");
        }
    }

    #[test]
    fn the_page_of_another_has_crossed_also_where_a_proxy_rechunks_it() {
        let [own, other] = [1, 4].map(Owner::of_request);
        let wire = Wire::response(Framing::Chunked, 100_000).of(own);
        let mut arrived = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for part in wire.of(other).body().bytes().chunks(7_777) {
            arrived.extend(format!("{:x}\r\n", part.len()).as_bytes());
            arrived.extend(part);
            arrived.extend(b"\r\n");
        }
        arrived.extend(b"0\r\n\r\n");
        let reading = judge(&wire, &arrived, End::Open);
        let whose: Vec<_> = reading.damage.crossings.iter().map(|it| it.whose).collect();
        assert_eq!((whose, reading.offsets), (vec![other], Offsets::Body));
        assert!((99_000..=100_000).contains(&reading.damage.crossed), "{}", reading.damage.crossed);
    }

    #[test]
    fn a_missing_end_is_no_exact_transfer() {
        let wire = Wire::response(Framing::Chunked, 1000);
        let arrived = wire.bytes();
        let reading = judge(&wire, &arrived[..arrived.len() - 5], End::Fin);
        assert!(!reading.is_exact());
        assert_eq!(reading.damage.missing(), 5);
    }
}
