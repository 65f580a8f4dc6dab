//! Position-coded bodies: every 16 bytes name their own offset, and whose they are.
//!
//! A body is a series of *cells*. Each is a line of 16 bytes: ten hexadecimal digits, which are the
//! cell's own offset in the body, a space, two characters that name the cell's [`Owner`], two more that
//! are a check on both, and a line feed:
//!
//! ```text
//! 0000000020 04u5
//! ```
//!
//! You can read a saved body by eye. A program that sees any whole cell knows where in the body it
//! belongs, and which request it answers. The check tells a real cell from bytes that look like one.

use std::fmt;

use serde::Serialize;

/// Bytes in one cell.
pub const CELL: usize = 16;

/// Whose bytes: the request that they belong to, by its number in base 36. Displayed, it is the two
/// characters that are in the cells, from `01` to `zz`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Owner(u16);

impl Owner {
    /// For requests without a number, such as those of a curl that somebody types: `00`.
    pub const NOBODY: Owner = Owner(0);

    /// How many there are.
    const COUNT: u64 = 36 * 36;

    /// The owner of request `number`, counted from 1. After 1,295 requests it begins again at `01`.
    pub fn of_request(number: u64) -> Owner {
        Owner((number.saturating_sub(1) % (Owner::COUNT - 1) + 1) as u16)
    }

    /// The owner whose two characters these are. `None`: they are no owner's.
    pub fn named(name: &[u8]) -> Option<Owner> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'z' => char::from(byte).to_digit(36),
            _ => None,
        };
        let &[first, second] = name else { return None };
        Some(Owner((digit(first)? * 36 + digit(second)?) as u16))
    }

    /// Takes a request's target apart, at the question mark: `/big?04` is `/big`, asked for by `04`.
    pub fn in_target(target: &str) -> (&str, Owner) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        (path, Owner::named(query.as_bytes()).unwrap_or_default())
    }

    fn name(self) -> [u8; 2] {
        let digit = |value: u16| b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(value % 36)];
        [digit(self.0 / 36), digit(self.0)]
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.name().iter().try_for_each(|&byte| write!(f, "{}", char::from(byte)))
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> String {
        owner.to_string()
    }
}

/// The largest prime number that two of [`LETTERS`] can write. Because it is prime, a cell with one
/// wrong digit or character never has the right check, as in an ISBN. Of cells that are wrong in several
/// places, one in 3,833 has; the aligner does not rely on one cell alone.
const PRIME: u64 = 3833;

/// How much the check grows from cell to cell. It is [`PRIME`] divided by the golden ratio: that spreads
/// neighbors widely (Knuth, The Art of Computer Programming 3, section 6.4), so that you see at a glance
/// that they differ.
const FACTOR: u64 = 2369;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The cells of one owner.
#[derive(Clone, Copy)]
struct Cells {
    owner: [u8; 2],
    /// The part of the check that comes from the owner.
    check: u64,
}

impl Cells {
    fn of(owner: Owner) -> Cells {
        Cells { owner: owner.name(), check: u64::from(owner.0) * 1009 }
    }

    /// The one that starts at `offset`, which must be a multiple of [`CELL`] below 2⁴⁰ (ten digits).
    fn at(self, offset: u64) -> [u8; CELL] {
        let mut bytes = [b' '; CELL];
        for (place, pair) in bytes[..10].chunks_exact_mut(2).rev().enumerate() {
            let byte = (offset >> (8 * place)) as usize & 255;
            pair.copy_from_slice(&[DIGITS[byte >> 4], DIGITS[byte & 15]]);
        }
        bytes[11..13].copy_from_slice(&self.owner);
        let check = ((offset / CELL as u64 + 1) * FACTOR + self.check) % PRIME;
        bytes[13..15]
            .copy_from_slice(&[LETTERS[check as usize / 62], LETTERS[check as usize % 62]]);
        bytes[15] = b'\n';
        bytes
    }

    /// Writes those from `offset` on, up to the end of the buffer, where the last may be cut off.
    fn write(self, mut offset: u64, buffer: &mut [u8]) {
        // Of sixteen neighbors only one digit and the check differ. We write hundreds of MiB, so that counts.
        let mut bytes = self.at(offset);
        let mut check = ((offset / CELL as u64 + 1) * FACTOR + self.check) % PRIME;
        for part in buffer.chunks_mut(CELL) {
            part.copy_from_slice(&bytes[..part.len()]);
            offset += CELL as u64;
            check = (check + FACTOR) % PRIME;
            if offset.is_multiple_of(16 * CELL as u64) {
                bytes = self.at(offset);
            }
            bytes[8] = DIGITS[(offset / CELL as u64) as usize & 15];
            bytes[13] = LETTERS[check as usize / 62];
            bytes[14] = LETTERS[check as usize % 62];
        }
    }
}

/// Writes the bytes of this owner's body from `offset` on into `buffer`.
pub fn fill(owner: Owner, offset: u64, buffer: &mut [u8]) {
    let cells = Cells::of(owner);
    let within = (offset % CELL as u64) as usize;
    let first = (CELL - within).min(buffer.len());
    let (head, rest) = buffer.split_at_mut(first);
    let begun = offset - within as u64;
    head.copy_from_slice(&cells.at(begun)[within..within + first]);
    cells.write(begun + CELL as u64, rest);
}

/// What a cell says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its offset in the body.
    pub offset: u64,
    /// Whose body that is.
    pub owner: Owner,
}

/// What these 16 bytes name. `None`: they are not a whole cell.
pub fn named_by(bytes: &[u8]) -> Option<Named> {
    let bytes: &[u8; CELL] = bytes.get(..CELL)?.try_into().ok()?;
    if bytes[10] != b' ' || bytes[15] != b'\n' {
        return None;
    }
    let offset = u64::from_str_radix(std::str::from_utf8(&bytes[..10]).ok()?, 16).ok()?;
    let owner = Owner::named(&bytes[11..13])?;
    let is_cell = offset % CELL as u64 == 0 && *bytes == Cells::of(owner).at(offset);
    is_cell.then_some(Named { offset, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_names_its_offset_and_its_owner_wherever_the_filling_began() {
        for owner in [Owner::NOBODY, Owner::of_request(4), Owner::of_request(1295)] {
            let mut whole = vec![0; 4096];
            fill(owner, 0, &mut whole);
            for offset in (0..4096 - CELL).step_by(CELL) {
                let named = Named { offset: offset as u64, owner };
                assert_eq!(named_by(&whole[offset..]), Some(named));
                assert_eq!(named_by(&whole[offset + 1..]), None);
            }
            for start in 0..40 {
                let mut part = vec![0; 100];
                fill(owner, start as u64, &mut part);
                assert_eq!(part, whole[start..start + 100]);
            }
        }
    }

    #[test]
    fn a_cell_with_any_one_byte_changed_is_no_cell() {
        for offset in [0x0, 0x12340, 0xff_ffff_fff0] {
            let mut bytes = [0; CELL];
            fill(Owner::of_request(40), offset, &mut bytes);
            assert_eq!(named_by(&bytes).map(|named| named.offset), Some(offset));
            for (at, value) in (0..CELL).flat_map(|at| (0..=255).map(move |value| (at, value))) {
                let mut changed = bytes;
                changed[at] = value;
                let is_cell = changed == bytes;
                assert_eq!(named_by(&changed).is_some(), is_cell, "byte {at}: {value}");
            }
        }
    }

    #[test]
    fn an_owner_is_counted_written_and_read_in_the_same_way() {
        let names = [1, 9, 10, 36, 1295, 1296].map(|number| Owner::of_request(number).to_string());
        assert_eq!(names, ["01", "09", "0a", "10", "zz", "01"]);
        for number in 1..1296 {
            let owner = Owner::of_request(number);
            assert_eq!(Owner::in_target(&format!("/big?{owner}")), ("/big", owner));
        }
        for target in ["/big", "/big?", "/big?4", "/big?0A", "/big?page=04"] {
            assert_eq!(Owner::in_target(target), ("/big", Owner::NOBODY), "{target}");
        }
    }
}
