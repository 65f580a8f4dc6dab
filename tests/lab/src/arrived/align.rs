//! Finds out what is missing, by comparing what arrived with what was sent.
//!
//! While every byte is the expected one, there is nothing to do. When one is not, the bytes pile up
//! until a whole cell is among them (see [`coding`]). The cell names its place in the body, so from
//! there on we know again where we are, and what was skipped is missing. With cells of eight bytes,
//! and eight bytes dropped:
//!
//! ```text
//! sent      AAAAAAAA BBBBBBBB CCCCCCCC DDDDDDDD EEEEEEEE
//! arrived   AAAAAAAA BBB         CCCCC DDDDDDDD EEEEEEEE
//!           (  segment 0 )       (      segment 1      )
//! ```
//!
//! The first C is not the B that was expected. The first whole cell that comes is D. It gives us the
//! place, and then the five bytes before it turn out to be in their places as well.
//!
//! A cell that names its place could still be there by chance: where two cells meet, the beginning of
//! one and the end of another may make up a third. So the place counts only if the bytes after the cell
//! are those that belong there.
//!
//! If the cells name another connection, they have *crossed* over from it. `others.rs` finds those.
//!
//! The bytes that arrived are not kept, only the *segments* that they form.

use std::cmp::Reverse;
use std::mem;

use serde::Serialize;

use crate::arrived::others::{Crossing, SHOWN, Stretch};
use crate::sent::coding::{self, CELL};
use crate::sent::wire::{Chunk, Wire};

/// A run of bytes that arrived as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Offset of its first byte in what was sent.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

impl Segment {
    fn end(self) -> u64 {
        self.start + self.len
    }
}

/// Bytes that were sent and never arrived.
///
/// Its size is exact; where it begins may not be. If `abcXYabcZ` was sent and `abcZ` arrived, then
/// either `abcXY` or `XYabc` is missing, and nobody who sees only what arrived can tell which. `at` is
/// the earliest place where the gap may begin, `at + slack` the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Offset of the first missing byte in what was sent.
    pub at: u64,
    /// Missing bytes.
    pub len: u64,
    /// How many bytes later it may begin.
    pub slack: u64,
    /// Offset in the body of the first missing byte of body.
    pub body_at: u64,
    /// How many of the missing bytes are body. The others are head or framing.
    pub body_len: u64,
    /// The chunk in which it begins.
    pub chunk: Option<Chunk>,
    /// Whether it reaches to the end of what was sent.
    pub tail: bool,
}

/// A place where the arriving stream jumps to another offset.
#[derive(Clone, Debug, Serialize)]
pub struct Jump {
    /// How many bytes had arrived before it.
    pub received_at: u64,
    /// Offset, in what was sent, of the byte that was expected next.
    pub from: u64,
    /// Offset, in what was sent, of the byte that came instead.
    pub to: u64,
    /// Bytes that arrived here and are not of this stream.
    pub foreign: u64,
    /// The chunk that the byte at `to` is in.
    pub next_chunk: Option<Chunk>,
    /// How many bytes later the jump may be.
    #[serde(skip)]
    slack: u64,
    /// Index of the segment that begins here.
    #[serde(skip)]
    segment: usize,
}

/// What is wrong with what arrived.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Damage {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes that arrived.
    pub received: u64,
    /// What is missing, in the order of the offsets.
    pub gaps: Vec<Gap>,
    /// Bytes that arrived after bytes that had been sent later.
    pub reordered: u64,
    /// Bytes that arrived more than once.
    pub repeated: u64,
    /// Bytes that arrived instead of as many others.
    pub altered: u64,
    /// Bytes that arrived in addition and were never sent.
    pub foreign: u64,
    /// Bytes that arrived and are another connection's.
    pub crossed: u64,
    /// The first [`JUMPS_KEPT`] runs of those.
    pub crossings: Vec<Crossing>,
    /// The first [`JUMPS_KEPT`] places where the stream jumps.
    pub jumps: Vec<Jump>,
    /// The runs of bytes that arrived as they were sent, in the order of arrival.
    #[serde(skip)]
    pub segments: Vec<Segment>,
}

/// How many jumps are kept as evidence. The gaps are counted in full.
pub const JUMPS_KEPT: usize = 64;

impl Damage {
    /// Whether everything arrived once, in order, and nothing else did.
    pub fn is_exact(&self) -> bool {
        let others = self.reordered + self.repeated + self.altered + self.foreign + self.crossed;
        self.gaps.is_empty() && others == 0
    }

    /// Bytes missing in all.
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.len).sum()
    }
}

/// Follows a stream as it arrives.
pub struct Aligner {
    wire: Wire,
    /// Offset of the byte expected next.
    expected: u64,
    received: u64,
    segments: Vec<Segment>,
    /// For each segment, how many bytes later it may begin (and the one before it end).
    slacks: Vec<u64>,
    /// The same for the segment that begins next.
    next_slack: u64,
    jumps: Vec<Jump>,
    /// Where bytes were replaced by as many others.
    altered: Vec<Segment>,
    foreign: u64,
    crossed: u64,
    crossings: Vec<Crossing>,
    /// What has arrived since a byte was not the expected one, and is given up: it is not ours.
    strange: Stretch,
    /// What has arrived after that. Its place is not known yet.
    unplaced: Vec<u8>,
    /// At so many of its first bytes no whole cell begins that could tell us.
    searched: usize,
    scratch: Vec<u8>,
}

/// How many bytes may pile up while we look for a whole cell. Our own streams need far fewer: some
/// cells, and the header of a chunk between them.
const MOST_UNPLACED: usize = 4096;

/// How many of them are kept when the others are given up: more than a head has, and the first cells
/// after it.
const KEPT: usize = 512;

/// How many bytes back a jump is traced through bytes that fit on both sides of it.
const MOST_SLACK: u64 = 4096;

impl Aligner {
    /// Expects the stream from its first byte.
    pub fn new(wire: Wire) -> Aligner {
        Aligner {
            wire,
            expected: 0,
            received: 0,
            segments: vec![],
            slacks: vec![],
            next_slack: 0,
            jumps: vec![],
            altered: vec![],
            foreign: 0,
            crossed: 0,
            crossings: vec![],
            strange: Stretch::default(),
            unplaced: vec![],
            searched: 0,
            scratch: vec![0; 1 << 16],
        }
    }

    /// Bytes that arrived as they were sent so far.
    pub fn recognized(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Whether everything up to now arrived as it was sent: every byte, in order, and no other.
    pub fn on_track(&self) -> bool {
        self.recognized() == self.received && self.expected == self.received
    }

    /// Takes the next `count` bytes. The caller knows already that they are the expected ones.
    pub fn trust(&mut self, count: u64) {
        self.received += count;
        self.accept(count);
    }

    /// Takes the next bytes that arrived.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.received += bytes.len() as u64;
        if self.unplaced.is_empty() {
            bytes = self.follow(bytes);
        }
        // In small portions: once a cell has shown the place, the rest is compared in one go.
        while !bytes.is_empty() {
            let (portion, rest) = bytes.split_at(bytes.len().min(MOST_UNPLACED));
            self.unplaced.extend(portion);
            bytes = rest;
            if self.recover(false) {
                bytes = self.follow_unplaced_then(bytes);
            }
        }
    }

    /// Accepts bytes while they are the expected ones, and returns the rest.
    fn follow<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        while !bytes.is_empty() {
            let wanted = bytes.len().min(self.scratch.len());
            let known = self.wire.fill(self.expected, &mut self.scratch[..wanted]);
            let same = common_prefix(&bytes[..known], &self.scratch[..known]);
            self.accept(same as u64);
            bytes = &bytes[same..];
            if same < wanted {
                break;
            }
        }
        bytes
    }

    fn accept(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        match self.segments.last_mut() {
            Some(last) if last.end() == self.expected => last.len += count,
            _ => {
                self.segments.push(Segment { start: self.expected, len: count });
                self.slacks.push(mem::take(&mut self.next_slack));
            }
        }
        self.expected += count;
    }

    /// Now that the place is known again: follows what has piled up, then what comes after it.
    fn follow_unplaced_then<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        loop {
            let placed = mem::take(&mut self.unplaced);
            let rest = self.follow(&placed);
            if rest.is_empty() {
                return self.follow(bytes);
            }
            self.unplaced.extend(rest);
            if !self.recover(false) {
                return bytes;
            }
        }
    }

    /// Looks for a whole cell in what has piled up, and takes the place from it. Says whether it found
    /// one. If too much has piled up without one, the oldest bytes are given up. `ended`: nothing more
    /// will come.
    fn recover(&mut self, ended: bool) -> bool {
        let mut places = (self.searched..self.unplaced.len())
            .filter_map(|index| Some((index, self.place_of(index, ended)?)));
        let found = places.next();
        match found {
            Some((index, at)) => self.jump(index, at),
            None => {
                // The last ones are looked at again when more has come.
                self.searched = (self.unplaced.len() + 1).saturating_sub(2 * CELL);
                if self.unplaced.len() > MOST_UNPLACED {
                    self.give_up(self.unplaced.len() - KEPT);
                }
            }
        }
        found.is_some()
    }

    /// Where in the stream the bytes from `index` of what has piled up belong. `None`: they do not begin
    /// with a whole cell of ours, or what follows does not belong there, or has not come yet.
    fn place_of(&self, index: usize, ended: bool) -> Option<u64> {
        let bytes = &self.unplaced[index..];
        let named = coding::named_by(bytes)?;
        if named.owner != self.wire.owner() || named.offset >= self.wire.body_len() {
            return None;
        }
        let at = self.wire.of_body(named.offset);
        let mut next = [0; CELL];
        let known = self.wire.fill(at + CELL as u64, &mut next);
        let came = &bytes[CELL..bytes.len().min(CELL + known)];
        ((ended || came.len() == known) && *came == next[..came.len()]).then_some(at)
    }

    /// The oldest `count` bytes of what has piled up are not ours.
    fn give_up(&mut self, count: usize) {
        self.strange.push(&self.unplaced[..count], self.wire.owner());
        self.unplaced.drain(..count);
        self.searched = self.searched.saturating_sub(count);
    }

    /// What was given up has ended. Counts it as another connection's if it is, and says whether it is.
    fn has_crossed(&mut self) -> bool {
        let received_at = self.received_and_placed();
        let stretch = mem::take(&mut self.strange);
        let len = stretch.bytes();
        let last = self.segments.last().filter(|last| last.end() == self.expected);
        let shown = last.map_or(0, |last| last.len.min(SHOWN as u64));
        let mut before = vec![0; shown as usize];
        self.wire.fill(self.expected - shown, &mut before);
        let found = stretch.finish(received_at, before);
        let crossed = !found.is_empty();
        self.crossed += if crossed { len } else { 0 };
        self.crossings.extend(found);
        self.crossings.truncate(JUMPS_KEPT);
        crossed
    }

    /// The byte at `index` of what has piled up has turned out to be the one at `at` of the stream.
    fn jump(&mut self, mut index: usize, mut at: u64) {
        // The bytes before it may fit as well.
        while index > 0
            && at > 0
            && at != self.expected
            && self.unplaced[index - 1] == self.wire.byte(at - 1)
        {
            index -= 1;
            at -= 1;
        }
        let received_at = self.received_and_placed();
        self.give_up(index);
        self.searched = 0;
        let foreign = self.strange.bytes();
        let crossings = self.crossings.len();
        let crossed = self.has_crossed();
        if crossed {
            self.take_back(at, crossings);
        } else if at == self.expected + foreign {
            self.altered.push(Segment { start: self.expected, len: foreign });
            self.expected = at;
            return;
        }
        self.foreign += if crossed { 0 } else { foreign };
        let mut slack = 0;
        if foreign == 0 {
            // So may the last ones before the jump. Go back as far as they do, to the earliest place
            // where the jump can be, and count how far that is.
            while slack < MOST_SLACK
                && at > 0
                && let Some(last) = self.segments.last_mut()
                && last.len > 1
                && last.end() == self.expected
                && self.wire.byte(self.expected - 1) == self.wire.byte(at - 1)
            {
                last.len -= 1;
                self.expected -= 1;
                at -= 1;
                slack += 1;
            }
        }
        if self.jumps.len() < JUMPS_KEPT {
            self.jumps.push(Jump {
                received_at: received_at - slack,
                from: self.expected,
                to: at,
                foreign,
                next_chunk: self.wire.chunk_at(at),
                slack,
                segment: self.segments.len(),
            });
        }
        self.expected = at;
        self.next_slack = slack;
        self.accept(slack);
    }

    /// Bytes of another connection have ended, and the stream goes on at `at`. If that is a few bytes
    /// before the expected place, then the other's first bytes happened to fit here as well, and were
    /// taken for ours. `index` is that of the crossing.
    fn take_back(&mut self, at: u64, index: usize) {
        let few = self.expected.saturating_sub(at);
        if (1..CELL as u64).contains(&few)
            && let Some(last) = self.segments.last_mut()
            && (last.end(), last.len > few) == (self.expected, true)
        {
            last.len -= few;
            self.expected -= few;
            self.crossed += few;
            if let Some(crossing) = self.crossings.get_mut(index) {
                crossing.len += few;
                crossing.received_at -= few;
                let known = crossing.before.len().saturating_sub(few as usize);
                let theirs = crossing.before.split_off(known);
                crossing.begins.splice(..0, theirs);
                crossing.begins.truncate(SHOWN);
            }
        }
    }

    fn received_and_placed(&self) -> u64 {
        self.recognized() + self.altered_bytes() + self.foreign + self.crossed
    }

    fn altered_bytes(&self) -> u64 {
        self.altered.iter().map(|span| span.len).sum()
    }

    /// Ends the comparison: the first `sent` bytes of the stream should have arrived.
    pub fn finish(mut self, sent: u64) -> Damage {
        while !self.unplaced.is_empty() && self.recover(true) {
            let placed = mem::take(&mut self.unplaced);
            self.unplaced = self.follow(&placed).to_vec();
        }
        self.recognize_end();
        self.give_up(self.unplaced.len());
        let strange = self.strange.bytes();
        self.foreign += if self.has_crossed() { 0 } else { strange };
        self.agree_on_cuts();
        let mut damage = Damage {
            sent,
            received: self.received,
            altered: self.altered_bytes(),
            foreign: self.foreign,
            crossed: self.crossed,
            crossings: mem::take(&mut self.crossings),
            ..Damage::default()
        };
        // An altered byte is not missing: another one came in its place.
        let mut sorted = [&self.segments[..], &self.altered].concat();
        sorted.sort_by_key(|segment| segment.start);
        // Up to `covered`, each byte has either arrived or is in a gap that has been counted.
        let mut covered = 0;
        for segment in &sorted {
            if segment.start > covered {
                damage.gaps.push(self.gap(covered, segment.start, sent));
            }
            damage.repeated += covered.min(segment.end()).saturating_sub(segment.start);
            covered = covered.max(segment.end());
        }
        if covered < sent {
            damage.gaps.push(self.gap(covered, sent, sent));
        }
        let mut highest = 0;
        for segment in &self.segments {
            damage.reordered += highest.min(segment.end()).saturating_sub(segment.start);
            highest = highest.max(segment.end());
        }
        // A byte that came again is repeated, and no longer reordered.
        damage.reordered = damage.reordered.saturating_sub(damage.repeated);
        damage.segments = self.segments;
        damage.jumps = self.jumps;
        damage
    }

    /// Makes the jumps around one cut agree about where the cut is.
    ///
    /// If blocks changed places, two jumps know about each cut between them. Say that blocks 1 and 2
    /// were swapped:
    ///
    /// ```text
    /// sent      ....|11111111|22222222|....     cuts at offsets 100, 200 and 300
    /// arrived   ....|22222222|11111111|....
    ///               a        b        c         jumps 100 → 200, 300 → 100, 200 → 300
    /// ```
    ///
    /// Jump a says that the bytes before the cut at 100 end there, jump b that block 1 begins there.
    /// But each jump was traced back on its own, as far as its own bytes fit. If bytes 99 and 199 are
    /// equal, a becomes 99 → 199, and b stays. Then byte 99 is in no segment and counts as missing, and
    /// byte 199 is in two and counts as repeated, though nothing is wrong but the order.
    ///
    /// So jumps that share a cut, directly or through other jumps, form a group, and a group is moved
    /// forward again, each jump within its slack, until all agree: here a by one byte. A group that
    /// cannot agree stays. Nothing moves at all unless fewer bytes are missing afterward, or as many
    /// in fewer pieces. At the two cuts of a hole there is only one jump, so holes stay where they are.
    fn agree_on_cuts(&mut self) {
        let jumps = 1..self.segments.len();
        if jumps.clone().all(|jump| self.segments[jump].start >= self.segments[jump - 1].end()) {
            return;
        }
        let links = self.shared_cuts();
        // How far each jump is moved. The entry after the last is for the end, where no jump is.
        let mut by = vec![0; self.segments.len() + 1];
        let mut seen = vec![false; self.segments.len()];
        for first in jumps {
            // The group of the first jump, and how far each would have to move if the first stayed.
            let mut group = vec![];
            let mut found = vec![(first, 0)];
            while let Some((jump, far)) = found.pop() {
                if !mem::replace(&mut seen[jump], true) {
                    group.push((jump, far));
                    found
                        .extend(links[jump].iter().map(|&(other, further)| (other, far + further)));
                }
            }
            let least = group.iter().map(|&(_, far)| far).min().unwrap_or(0);
            if group.iter().all(|&(jump, far)| far - least <= self.slacks[jump] as i64) {
                group.iter().for_each(|&(jump, far)| by[jump] = (far - least) as u64);
            }
        }
        let place = |(index, segment): (usize, &Segment)| {
            let (start, end) = (segment.start + by[index], segment.end() + by[index + 1]);
            Some(Segment { start, len: end.checked_sub(start)? })
        };
        let agreed: Option<Vec<Segment>> = self.segments.iter().enumerate().map(place).collect();
        let Some(agreed) = agreed.filter(|agreed| covered(agreed) > covered(&self.segments)) else {
            return;
        };
        self.segments = agreed;
        for jump in &mut self.jumps {
            let by = by[jump.segment];
            (jump.from, jump.to) = (jump.from + by, jump.to + by);
            (jump.received_at, jump.slack) = (jump.received_at + by, jump.slack.saturating_sub(by));
        }
    }

    /// For each jump, the other jumps at the same cut, and how many bytes further they have to move to
    /// agree with it. A jump is known by the index of the segment that begins there.
    fn shared_cuts(&self) -> Vec<Vec<(usize, i64)>> {
        let mut links = vec![vec![]; self.segments.len()];
        let mut by_start: Vec<usize> = (1..self.segments.len()).collect();
        by_start.sort_by_key(|&jump| self.segments[jump].start);
        for jump in 1..self.segments.len() {
            let end = self.segments[jump - 1].end();
            let near =
                by_start.partition_point(|&other| self.segments[other].start + MOST_SLACK < end);
            let shared = by_start[near..]
                .iter()
                .take_while(|&&other| self.segments[other].start <= end + self.slacks[jump])
                // The other side of the cut is neither this jump nor the one before it.
                .filter(|&&other| other != jump && other + 1 != jump)
                .map(|&other| (other, end as i64 - self.segments[other].start as i64))
                .filter(|&(other, further)| further <= self.slacks[other] as i64)
                .min_by_key(|&(_, further)| further.abs());
            if let Some((other, further)) = shared {
                links[jump].push((other, further));
                links[other].push((jump, -further));
            }
        }
        links
    }

    /// The last bytes may be too few for a whole cell. If they are the end of the stream, they are
    /// recognized all the same. A few that come after strange bytes prove nothing, unless they are where
    /// the end should be.
    fn recognize_end(&mut self) {
        const FEW: usize = 8;
        let end = self.wire.len();
        for index in self.unplaced.len().saturating_sub(2 * CELL)..self.unplaced.len() {
            let rest = &self.unplaced[index..];
            let at = end.saturating_sub(rest.len() as u64);
            let mut last = vec![0; rest.len()];
            self.wire.fill(at, &mut last);
            let strange = self.strange.bytes() + index as u64;
            let plausible = strange == 0 || rest.len() >= FEW || at == self.expected + strange;
            if last == rest && plausible {
                self.jump(index, at);
                let placed = mem::take(&mut self.unplaced);
                self.follow(&placed);
                return;
            }
        }
    }

    fn gap(&self, at: u64, end: u64, sent: u64) -> Gap {
        let slack = self.jumps.iter().find(|jump| jump.from == at).map_or(0, |jump| jump.slack);
        let body_at = self.wire.body_before(at);
        Gap {
            at,
            len: end - at,
            slack,
            body_at,
            body_len: self.wire.body_before(end) - body_at,
            chunk: self.wire.chunk_at(at),
            tail: end == sent,
        }
    }
}

/// How many of the bytes sent are in some segment, and how many pieces they form. More bytes compare
/// as greater, and if there are as many, fewer pieces do.
fn covered(segments: &[Segment]) -> (u64, Reverse<u64>) {
    let mut sorted = segments.to_vec();
    sorted.sort_by_key(|segment| segment.start);
    let (mut count, mut pieces, mut highest) = (0, 0, 0);
    for segment in sorted {
        pieces += u64::from(segment.start > highest);
        count += segment.end().saturating_sub(highest.max(segment.start));
        highest = highest.max(segment.end());
    }
    (count, Reverse(pieces))
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    // Comparing whole slices is one fast operation. Only if they differ, look for the place.
    if left == right {
        return left.len();
    }
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sent::coding::Owner;
    use crate::sent::wire::{CHUNK, Framing, stride};

    /// Compares what arrived in portions of several awkward sizes, which must make no difference.
    fn judge(wire: &Wire, arrived: &[u8]) -> Damage {
        let mut results = [1, 7, 1000, 65536, usize::MAX].map(|portion| {
            let mut aligner = Aligner::new(wire.clone());
            for bytes in arrived.chunks(portion.min(arrived.len().max(1))) {
                aligner.push(bytes);
            }
            aligner.finish(wire.len())
        });
        for other in &results[1..] {
            assert_eq!(other.gaps, results[0].gaps);
            assert_eq!(other.segments, results[0].segments);
            assert_eq!((other.altered, other.foreign), (results[0].altered, results[0].foreign));
        }
        std::mem::take(&mut results[0])
    }

    #[test]
    fn each_kind_of_damage_is_counted_as_itself() {
        for framing in [Framing::Chunked, Framing::ContentLength, Framing::Close] {
            let wire = Wire::response(framing, 100_000);
            let sent = wire.bytes();
            let (len, strange) = (wire.len(), [b'x'; 20_000]);
            // What arrives, and how much of it is missing, reordered, repeated, altered and foreign.
            let cases: [(&[&[u8]], [u64; 5]); 7] = [
                (&[&sent], [0, 0, 0, 0, 0]),
                (&[], [len, 0, 0, 0, 0]),
                (&[&strange], [len, 0, 0, 0, 20_000]),
                (&[&sent[..50_000], b"???", &sent[50_003..]], [0, 0, 0, 3, 0]),
                (&[&sent[..50_000], b"???", &sent[50_000..]], [0, 0, 0, 0, 3]),
                (&[&sent[..50_000], &sent[40_000..]], [0, 0, 10_000, 0, 0]),
                (
                    &[
                        &sent[..30_000],
                        &sent[60_000..70_000],
                        &sent[30_000..60_000],
                        &sent[70_000..],
                    ],
                    [0, 30_000, 0, 0, 0],
                ),
            ];
            for (case, (arrived, expected)) in cases.into_iter().enumerate() {
                let got = judge(&wire, &arrived.concat());
                let counts = [got.missing(), got.reordered, got.repeated, got.altered, got.foreign];
                assert_eq!(counts, expected, "{framing:?}, case {case}");
                assert_eq!(got.is_exact(), case == 0, "{framing:?}, case {case}");
                let is_tail = got.gaps.iter().all(|gap| gap.tail);
                assert!(is_tail && got.gaps.len() <= 1, "{framing:?}, case {case}");
            }
        }
    }

    #[test]
    fn bytes_of_another_connection_are_known_by_their_cells() {
        let [own, other, third] = [1, 4, 7].map(Owner::of_request);
        for framing in [Framing::Chunked, Framing::ContentLength, Framing::Close] {
            let wire = Wire::response(framing, 100_000).of(own);
            let [sent, theirs, thirds] = [own, other, third].map(|owner| wire.of(owner).bytes());
            let head = wire.head_len() as usize;
            // What arrives. Behind it: how much of that is not ours at most, and after how many bytes
            // it begins. Some bytes less may be counted, where they fit in both places.
            let cut = head + 80_000;
            let cases: [(&[&[u8]], usize, usize); 11] = [
                // In the place of as many of ours, as a shared buffer would have it.
                (&[&sent[..50_000], &theirs[50_000..60_000], &sent[60_000..]], 10_000, 50_000),
                (&[&sent[..50_000], &theirs[20_003..30_003], &sent[60_000..]], 10_000, 50_000),
                // In addition, as after a mistaken write.
                (&[&sent[..50_000], &theirs[60_000..60_100], &sent[50_000..]], 100, 50_000),
                (&[&theirs[40_000..50_000], &sent], 10_000, 0),
                (&[&theirs, &sent], theirs.len(), 0),
                // To the end.
                (&[&sent[..50_000], &theirs[50_000..]], theirs.len() - 50_000, 50_000),
                (&[&sent, &theirs[..5_000]], 5_000, sent.len()),
                // Instead of everything. The heads differ only in the owner.
                (&[&theirs], theirs.len(), 0),
                // From two others.
                (
                    &[&sent[..50_000], &theirs[head..9_000], &thirds[head..9_000], &sent[50_000..]],
                    2 * (9_000 - head),
                    50_000,
                ),
                // Cut off where a line ends, as ours does at its end.
                (&[&sent[..50_000], &theirs[50_000..cut]], cut - 50_000, 50_000),
                // So many that our head has half come when the first of them are given up.
                (&[&theirs[40_000..][..2 * MOST_UNPLACED - 50], &sent], 2 * MOST_UNPLACED - 50, 0),
            ];
            for (case, (arrived, most, at)) in cases.into_iter().enumerate() {
                let arrived = arrived.concat();
                let got = judge(&wire, &arrived);
                let what = format!("{framing:?}, case {case}: {:?}", got.crossings);
                let owners: Vec<_> = got.crossings.iter().map(|crossing| crossing.whose).collect();
                let whose = if case == 8 { vec![other, third] } else { vec![other] };
                assert_eq!(owners, whose, "{what}");
                let at_least = if at == 0 { most.saturating_sub(head) } else { most - 2 * CELL };
                assert!((at_least..=most).contains(&(got.crossed as usize)), "{what}");
                let total: u64 = got.crossings.iter().map(|crossing| crossing.len).sum();
                assert_eq!(total, got.crossed, "{what}");
                let near = at.saturating_sub(CELL)..=at + if at == 0 { head } else { CELL };
                assert!(near.contains(&(got.crossings[0].received_at as usize)), "{what}");
                // Each byte is accounted for, and nothing else is wrong.
                assert_eq!(got.received + got.missing(), got.sent + got.crossed, "{what}");
                assert_eq!(got.missing() == 0, arrived.len() > sent.len(), "{what}");
                assert!(case != 9 || got.gaps[0].tail, "{what} {:?}", got.gaps);
                let others = [got.reordered, got.repeated, got.altered, got.foreign];
                assert_eq!(others, [0; 4], "{what}");
                assert!(!got.is_exact());
            }
        }
    }

    #[test]
    fn the_evidence_of_a_crossing_is_what_came() {
        let wire = Wire::response(Framing::Close, 100_000).of(Owner::of_request(1));
        let (sent, theirs) = (wire.bytes(), wire.of(Owner::of_request(4)).bytes());
        let got =
            judge(&wire, &[&sent[..50_000], &theirs[70_000..75_000], &sent[55_000..]].concat());
        let [crossing] = &got.crossings[..] else { panic!("{:?}", got.crossings) };
        let at = crossing.received_at as usize;
        assert_eq!(crossing.before, sent[at - SHOWN..at]);
        assert_eq!(crossing.begins, theirs[at + 20_000..][..SHOWN]);
        let first = wire.of_body(crossing.body_at) as usize;
        assert!((70_000..70_016).contains(&first), "{crossing:?}");
    }

    #[test]
    fn a_few_cells_of_another_are_no_proof() {
        let wire = Wire::response(Framing::Close, 100_000).of(Owner::of_request(1));
        let (sent, theirs) = (wire.body().bytes(), wire.of(Owner::of_request(4)).body().bytes());
        let wire = wire.body();
        let with =
            |len| judge(&wire, &[&sent[..1600], &theirs[3200..3200 + len], &sent[1600..]].concat());
        // At both ends some bytes fit here too, so of four cells two are whole.
        assert_eq!(with(4 * CELL).crossed, 0);
        assert!(with(4 * CELL).foreign > 0);
        assert_eq!((with(5 * CELL).crossed, with(5 * CELL).foreign), (5 * CELL as u64, 0));
    }

    #[test]
    fn a_cell_that_is_there_by_chance_does_not_mislead() {
        // The first eight digits of one cell and the rest of another make up a whole third cell, because
        // the two are a multiple of 16 times the prime number in the check away from each other.
        let wire = Wire::response(Framing::Close, 2_000_000).body();
        let (sent, away) = (wire.bytes(), 256 * 3833);
        let [first, third] = [0x100, 0x120];
        let seam = [&sent[first..first + 8], &sent[third + away + 8..third + away + CELL]].concat();
        assert_eq!(coding::named_by(&seam).map(|named| named.offset), Some(third as u64));
        let arrived = [&sent[..0x80], b"???", &seam, &sent[third + away + CELL..]].concat();
        let got = judge(&wire, &arrived);
        assert_eq!((got.reordered, got.repeated, got.gaps.len()), (0, 0, 1));
    }

    #[test]
    fn any_hole_is_found_with_its_exact_size_and_place() {
        any_hole_is_found(Framing::Close);
    }

    #[test]
    fn any_hole_in_chunks_is_found_with_its_exact_size_and_place() {
        any_hole_is_found(Framing::Chunked);
    }

    fn any_hole_is_found(framing: Framing) {
        let wire = Wire::response(framing, 200_000);
        let bytes = wire.bytes();
        let each_length = |at: usize| {
            for len in [1, 15, 16, 17, 4096, 30_019, 65_536] {
                let mut arrived = bytes.clone();
                arrived.drain(at..at + len);
                let damage = judge(&wire, &arrived);
                let [gap] = damage.gaps[..] else {
                    panic!("{framing:?} {at} {len}: {:?}", damage.gaps)
                };
                assert_eq!(gap.len, len as u64, "{framing:?} at {at}");
                let beginnings = gap.at..=gap.at + gap.slack;
                assert!(beginnings.contains(&(at as u64)), "{framing:?} {at} {gap:?}");
                assert_eq!((damage.foreign, damage.altered, damage.reordered), (0, 0, 0));
                assert!(!gap.tail);
            }
        };
        std::thread::scope(|scope| {
            for at in [200, 4096, 65_536, 65_543, 120_001] {
                scope.spawn(move || each_length(at));
            }
        });
    }

    #[test]
    fn several_holes_are_a_list_with_a_total() {
        let wire = Wire::response(Framing::Chunked, 300_000);
        let mut arrived = wire.bytes();
        arrived.truncate(arrived.len() - 10_000);
        arrived.drain(200_000..250_000);
        arrived.drain(100_000..100_500);
        let damage = judge(&wire, &arrived);
        let sizes: Vec<_> = damage.gaps.iter().map(|gap| (gap.len, gap.tail)).collect();
        assert_eq!(sizes, [(500, false), (50_000, false), (10_000, true)]);
        assert_eq!(damage.missing(), 60_500);
    }

    #[test]
    fn a_hole_of_one_whole_chunk_is_seen() {
        let wire = Wire::response(Framing::Chunked, 5 * CHUNK);
        let chunk = wire.chunk_at(wire.of_body(2 * CHUNK)).unwrap();
        let mut arrived = wire.bytes();
        arrived.drain(chunk.header_at as usize..(chunk.header_at + stride()) as usize);
        let damage = judge(&wire, &arrived);
        assert_eq!((damage.gaps[0].len, damage.gaps[0].body_len), (stride(), CHUNK));
    }

    #[test]
    fn blocks_in_the_wrong_order_leave_no_holes_and_hide_none_wherever_they_were_cut() {
        for framing in [Framing::Chunked, Framing::Close] {
            let wire = Wire::response(framing, 60_000);
            let bytes = wire.bytes();
            let damage = |blocks: &[&[u8]]| {
                let mut aligner = Aligner::new(wire.clone());
                blocks.iter().for_each(|block| aligner.push(block));
                aligner.finish(wire.len())
            };
            for cut in (500..8_000).step_by(61) {
                // Four cuts at awkward places, and the blocks between them in the order 1 3 2 5 4.
                let [a, b, c, d] = [cut, 3 * cut + 11, 5 * cut + 2, 7 * cut + 1];
                let swapped =
                    damage(&[&bytes[..a], &bytes[b..c], &bytes[a..b], &bytes[d..], &bytes[c..d]]);
                assert_eq!((swapped.missing(), swapped.repeated), (0, 0), "{framing:?} {cut}");
                assert_eq!(swapped.reordered, (b - a + d - c) as u64, "{framing:?} {cut}");
                // In the order 1 4 2 5, so 3 is a hole.
                let holed = damage(&[&bytes[..a], &bytes[c..d], &bytes[a..b], &bytes[d..]]);
                let gaps: Vec<_> = holed.gaps.iter().map(|gap| gap.len).collect();
                assert_eq!((gaps, holed.repeated), (vec![(c - b) as u64], 0), "{framing:?} {cut}");
            }
        }
    }
}
