//! Position-coded bodies: every 16 bytes name their own offset.
//!
//! A body is a series of *cells*. Each is a line of 16 bytes: ten hexadecimal digits, which are the
//! cell's own offset in the body, a space, four letters computed from that offset, and a line feed:
//!
//! ```text
//! 0000000020 omjz
//! ```
//!
//! You can read a saved body by eye, and a program that sees any whole cell knows where in the body it
//! belongs. The letters make neighbors differ in more than their last digits, and they tell a real
//! cell from bytes that look like one by chance.

/// Bytes in one cell.
pub const CELL: usize = 16;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The cell that starts at `offset`, which must be a multiple of [`CELL`] below 2⁴⁰ (the ten digits).
fn cell(offset: u64) -> [u8; CELL] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [b' '; CELL];
    for (place, pair) in bytes[..10].chunks_exact_mut(2).rev().enumerate() {
        let byte = (offset >> (8 * place)) as usize & 255;
        pair.copy_from_slice(&[DIGITS[byte >> 4], DIGITS[byte & 15]]);
    }
    // A multiplicative hash (Knuth, The Art of Computer Programming 3, section 6.4): its upper bits
    // depend on every bit of the offset.
    let mut hash = (offset / CELL as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for letter in &mut bytes[11..15] {
        hash = hash.rotate_left(16);
        *letter = LETTERS[(hash & 0xffff) as usize % LETTERS.len()];
    }
    bytes[15] = b'\n';
    bytes
}

/// Writes the bytes of the body from `offset` on into `buffer`.
pub fn fill(offset: u64, buffer: &mut [u8]) {
    let within = (offset % CELL as u64) as usize;
    let mut next = offset - within as u64;
    let first = (CELL - within).min(buffer.len());
    let (head, rest) = buffer.split_at_mut(first);
    head.copy_from_slice(&cell(next)[within..within + first]);
    for part in rest.chunks_mut(CELL) {
        next += CELL as u64;
        part.copy_from_slice(&cell(next)[..part.len()]);
    }
}

/// The offset that these 16 bytes name. `None`: they are not a whole cell.
pub fn offset_named_by(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; CELL] = bytes.get(..CELL)?.try_into().ok()?;
    if bytes[10] != b' ' || bytes[15] != b'\n' {
        return None;
    }
    let offset = u64::from_str_radix(std::str::from_utf8(&bytes[..10]).ok()?, 16).ok()?;
    (offset % CELL as u64 == 0 && *bytes == cell(offset)).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_names_its_own_offset_wherever_the_filling_began() {
        let mut whole = vec![0; 4096];
        fill(0, &mut whole);
        for offset in (0..4096 - CELL).step_by(CELL) {
            assert_eq!(offset_named_by(&whole[offset..]), Some(offset as u64));
            assert_eq!(offset_named_by(&whole[offset + 1..]), None);
        }
        for start in 0..40 {
            let mut part = vec![0; 100];
            fill(start as u64, &mut part);
            assert_eq!(part, whole[start..start + 100]);
        }
    }

    #[test]
    fn a_changed_byte_is_no_cell() {
        let mut bytes = [0; CELL];
        fill(0x12340, &mut bytes);
        assert_eq!(offset_named_by(&bytes), Some(0x12340));
        for at in 0..CELL {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(offset_named_by(&changed), None, "byte {at}");
        }
    }
}
