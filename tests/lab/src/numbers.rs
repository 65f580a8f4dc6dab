//! How numbers are written for people.

/// A number with its thousands set apart: 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A number of bytes: 1 byte, 1,234,567 bytes.
pub fn bytes(number: u64) -> String {
    format!("{} {}", thousands(number), if number == 1 { "byte" } else { "bytes" })
}

/// Bytes as MiB with one decimal, or as KiB where that would be too coarse.
pub fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    } else {
        format!("{} KiB", bytes.div_ceil(1024))
    }
}

/// A small number in words, as the book writes it: four, thirteen. From 21 on, in digits.
pub fn in_words(number: usize) -> String {
    let words = "zero one two three four five six seven eight nine ten eleven twelve thirteen \
        fourteen fifteen sixteen seventeen eighteen nineteen twenty";
    words.split(' ').nth(number).map_or_else(|| number.to_string(), str::to_string)
}

/// `1 note`, `2 notes`.
pub fn count_of(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// Several things in a sentence: `a`, `a and b`, `a, b and c`.
pub fn in_a_row(things: &[String]) -> String {
    match things {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => things.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!((bytes(1), bytes(1000)), ("1 byte".into(), "1,000 bytes".into()));
        assert_eq!(size(3 << 19), "1.5 MiB");
    }
}
