//! Whose are the bytes that were not expected? Sometimes their own cells say it: another connection's.

use serde::Serialize;

use crate::sent::coding::{self, CELL, Named, Owner};

/// Bytes of another connection, in one piece.
#[derive(Clone, Debug, Serialize)]
pub struct Crossing {
    /// Whose they are.
    pub whose: Owner,
    /// How many bytes had arrived before them.
    pub received_at: u64,
    /// Bytes. Where they begin or end with bytes that fit here as well, those are not counted.
    pub len: u64,
    /// Offset, in the body that they belong to, of the first whole cell among them.
    pub body_at: u64,
    /// Up to [`SHOWN`] bytes that had arrived before them.
    #[serde(skip)]
    pub before: Vec<u8>,
    /// The first of them, up to [`SHOWN`].
    #[serde(skip)]
    pub begins: Vec<u8>,
}

/// How many bytes are shown as evidence, on each side of a place where something is wrong.
pub const SHOWN: usize = 48;

/// So many cells of one other owner, one after the other, are proof. A single one could be the
/// work of a proxy that changes bytes: one changed cell in 3,833 has the right check.
const PROOF: u64 = 3;

/// A run of bytes that are not the expected ones. It is told piece by piece, and keeps no more than the
/// last few bytes.
#[derive(Default)]
pub struct Stretch {
    /// Bytes that have been looked at.
    seen: u64,
    /// The rest, too few for a whole cell.
    rest: Vec<u8>,
    /// The first bytes, up to [`SHOWN`].
    begins: Vec<u8>,
    /// The cells of one owner that came last, one after the other.
    run: Option<Run>,
    /// What has been found. `received_at` counts from the beginning of the stretch, and `len` is open.
    found: Vec<Crossing>,
}

struct Run {
    /// Where it begins in the stretch.
    at: u64,
    first: Named,
    cells: u64,
}

impl Run {
    /// Whether this cell, at this place in the stretch, is the next one.
    fn goes_on(&self, cell: Named, at: u64) -> bool {
        let length = self.cells * CELL as u64;
        self.first.owner == cell.owner
            && self.first.offset + length == cell.offset
            && self.at + length == at
    }
}

impl Stretch {
    /// Bytes in it.
    pub fn bytes(&self) -> u64 {
        self.seen + self.rest.len() as u64
    }

    /// Takes the next bytes. Cells of this owner are no strangers, and nobody's are no other's: there a
    /// request has lost its number.
    pub fn push(&mut self, bytes: &[u8], own: Owner) {
        let shown = (SHOWN - self.begins.len()).min(bytes.len());
        self.begins.extend(&bytes[..shown]);
        self.rest.extend(bytes);
        let mut index = 0;
        while index + CELL <= self.rest.len() {
            match coding::named_by(&self.rest[index..]) {
                Some(cell) if ![own, Owner::NOBODY].contains(&cell.owner) => {
                    self.see(cell, self.seen + index as u64);
                    index += CELL;
                }
                _ => index += 1,
            }
        }
        self.rest.drain(..index);
        self.seen += index as u64;
    }

    /// A cell of another owner is at this place of the stretch.
    fn see(&mut self, cell: Named, at: u64) {
        match &mut self.run {
            Some(run) if run.goes_on(cell, at) => run.cells += 1,
            run => *run = Some(Run { at, first: cell, cells: 1 }),
        }
        let Some(Run { at, first, cells: PROOF }) = self.run else { return };
        let (whose, body_at) = (first.owner, first.offset);
        let (received_at, begins) = match self.found.last() {
            // What comes before the first whole cell is not ours, and nobody else's either.
            None => (0, self.begins.clone()),
            Some(last) if last.whose == whose => return,
            Some(_) => {
                let mut begins = vec![0; SHOWN];
                coding::fill(whose, body_at, &mut begins);
                (at, begins)
            }
        };
        let (len, before) = (0, vec![]);
        self.found.push(Crossing { whose, received_at, len, body_at, before, begins });
    }

    /// The stretch has ended. What it holds of other connections, if it holds anything of them: then all
    /// of it is. `received_at` is how many bytes had arrived before it, `before` the last of those.
    pub fn finish(self, received_at: u64, before: Vec<u8>) -> Vec<Crossing> {
        let mut end = self.bytes();
        let mut found = self.found;
        for crossing in found.iter_mut().rev() {
            crossing.len = end - crossing.received_at;
            end = crossing.received_at;
            crossing.received_at += received_at;
        }
        if let Some(first) = found.first_mut() {
            first.before = before;
        }
        found
    }
}
