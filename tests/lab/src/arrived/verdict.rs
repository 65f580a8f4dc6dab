//! Verdicts: what a user would notice, in words and numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arrived::align::Gap;
use crate::arrived::http::Reached;
use crate::arrived::reading::{Evidence, Offsets, Reading};

/// What came out of an experiment, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Every byte, once, in order, and then the end.
    Exact,
    /// It stopped taking what it could not pass on.
    HeldBack,
    /// It took what it could not pass on, and put it somewhere else than into memory.
    Spilled,
    /// Bytes are missing, with more after them.
    Hole,
    /// The end is missing.
    Truncated,
    /// Every byte came, but not in the order sent.
    Reordered,
    /// Bytes came more than once.
    Repeated,
    /// Bytes came that were not sent.
    Altered,
    /// It took and took, and the bytes were gone.
    Swallowed,
    /// It kept what it could not pass on in memory, without a bound.
    Grew,
    /// Bytes wait in the kernel, and nobody moves them.
    Frozen,
    /// It used a processor while nothing could move.
    Spun,
    /// Descriptors or memory did not come back.
    Leaked,
    /// It ended.
    Died,
    /// It still moved when the time was over.
    Slow,
    /// It never listened.
    Absent,
    /// The experiment cannot judge it.
    NotJudged,
}

impl Kind {
    /// The word for it in tables.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Exact => "exact",
            Kind::HeldBack => "held back",
            Kind::Spilled => "spilled",
            Kind::Hole => "hole",
            Kind::Truncated => "truncated",
            Kind::Reordered => "reordered",
            Kind::Repeated => "repeated",
            Kind::Altered => "altered",
            Kind::Swallowed => "swallowed",
            Kind::Grew => "grew",
            Kind::Frozen => "frozen",
            Kind::Spun => "spun",
            Kind::Leaked => "leaked",
            Kind::Died => "died",
            Kind::Slow => "slow",
            Kind::Absent => "absent",
            Kind::NotJudged => "not judged",
        }
    }

    /// Whether a proxy that people trust may get this verdict.
    pub fn is_good(self) -> bool {
        matches!(self, Kind::Exact | Kind::HeldBack | Kind::Spilled)
    }

    /// Whether bytes did not arrive.
    pub fn lost_bytes(self) -> bool {
        matches!(self, Kind::Hole | Kind::Truncated | Kind::Swallowed)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The way that the bytes of a [`Reading`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the backend to the client.
    Download,
    /// From the client to the backend.
    Upload,
}

/// What was read at one end, with the evidence for it.
#[derive(Clone, Debug, Serialize)]
pub struct Transfer {
    /// Which way the bytes went.
    pub direction: Direction,
    /// The judgement.
    pub reading: Reading,
    /// The bytes around the first jumps.
    #[serde(skip)]
    pub evidence: Vec<Evidence>,
}

/// The outcome of an experiment.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// In a word.
    pub kind: Kind,
    /// In a sentence, with its numbers.
    pub sentence: String,
    /// What the transfers came to, where there were any.
    pub transfers: Vec<Transfer>,
}

impl Verdict {
    /// A verdict without transfers.
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Verdict {
        Verdict { kind, sentence: sentence.into(), transfers: vec![] }
    }

    /// With these transfers as its proof.
    pub fn with(mut self, transfers: Vec<Transfer>) -> Verdict {
        self.transfers = transfers;
        self
    }

    /// The judgement over transfers alone: that of the worst of them.
    pub fn of(transfers: Vec<Transfer>) -> Verdict {
        let worst = transfers
            .iter()
            .map(|transfer| (kind_of(&transfer.reading), transfer))
            .max_by_key(|(kind, _)| severity(*kind));
        let Some((kind, transfer)) = worst else {
            return Verdict::new(Kind::NotJudged, "nothing was transferred");
        };
        Verdict { kind, sentence: describe(kind, transfer), transfers }
    }

    /// Bytes missing in all transfers.
    pub fn missing(&self) -> u64 {
        self.transfers.iter().map(|transfer| transfer.reading.damage.missing()).sum()
    }

    /// All gaps of one direction.
    pub fn gaps(&self, direction: Direction) -> Vec<Gap> {
        let transfers = self.transfers.iter().filter(|transfer| transfer.direction == direction);
        transfers.flat_map(|transfer| transfer.reading.damage.gaps.clone()).collect()
    }
}

fn kind_of(reading: &Reading) -> Kind {
    let damage = &reading.damage;
    if damage.gaps.iter().any(|gap| !gap.tail) {
        Kind::Hole
    } else if damage.repeated > 0
        && reading.reached == Reached::Complete
        && damage.missing() <= damage.repeated
    {
        // A receiver that counts to the length promised stops there: what came twice has pushed the
        // last bytes out, and nobody dropped them.
        Kind::Repeated
    } else if !damage.gaps.is_empty() {
        Kind::Truncated
    } else if damage.reordered > 0 {
        Kind::Reordered
    } else if damage.repeated > 0 {
        Kind::Repeated
    } else if damage.altered + damage.foreign > 0 {
        Kind::Altered
    } else if reading.reached != Reached::Complete {
        Kind::Truncated
    } else {
        Kind::Exact
    }
}

fn severity(kind: Kind) -> u8 {
    match kind {
        Kind::Exact => 0,
        Kind::Altered => 1,
        Kind::Repeated => 2,
        Kind::Reordered => 3,
        Kind::Truncated => 4,
        _ => 5,
    }
}

fn describe(kind: Kind, transfer: &Transfer) -> String {
    let Transfer { direction, reading, .. } = transfer;
    let damage = &reading.damage;
    let way = match direction {
        Direction::Download => "",
        Direction::Upload => ", on the way to the backend",
    };
    let what = match kind {
        Kind::Exact => format!("{}, all of them, in order", bytes(damage.received)),
        Kind::Hole | Kind::Truncated if !damage.gaps.is_empty() => missing(reading),
        Kind::Truncated => "the end of the message never came".into(),
        Kind::Reordered => {
            let count = bytes(damage.reordered);
            format!("nothing is missing, but later ones overtook {count}")
        }
        Kind::Repeated => format!("{} came more than once", bytes(damage.repeated)),
        _ => format!("{} came that nobody sent", bytes(damage.altered + damage.foreign)),
    };
    let also = match (kind, damage) {
        (Kind::Hole | Kind::Truncated, damage) if damage.reordered > 0 => {
            ", and blocks changed places"
        }
        (Kind::Hole | Kind::Truncated, damage) if damage.repeated > 0 => ", and others came twice",
        _ => "",
    };
    let curl = match direction {
        Direction::Download if kind != Kind::Exact => match (&reading.curl, reading.reached) {
            (curl, Reached::Complete) if curl.exit == 0 => "; curl notices nothing (exit 0)".into(),
            (curl, _) if curl.exit == 0 => String::new(),
            (curl, _) => format!("; curl: ({}) {}", curl.exit, curl.words),
        },
        _ => String::new(),
    };
    format!("{what}{way}{also}{curl}")
}

fn missing(reading: &Reading) -> String {
    let damage = &reading.damage;
    let offsets = match reading.offsets {
        Offsets::Stream => "offset",
        Offsets::Body => "body offset",
    };
    let first = damage.gaps[0];
    let chunk = first.chunk.map_or(String::new(), |chunk| {
        let (index, header) = (thousands(chunk.index), thousands(chunk.header_at));
        format!(" (in chunk {index}, whose header is at {header})")
    });
    let (len, at) = (bytes(first.len), thousands(first.at));
    match &damage.gaps[..] {
        [_] if first.len == 1 && first.tail => {
            format!("the last byte is missing, at {offsets} {at}{chunk}")
        }
        [_] if first.tail => format!("the last {len} are missing, from {offsets} {at} on{chunk}"),
        [_] => format!("a hole of {len} at {offsets} {at}{chunk}"),
        gaps => {
            let (count, total) = (gaps.len(), bytes(damage.missing()));
            format!("{count} gaps, {total} in all, the first of {len} at {offsets} {at}{chunk}")
        }
    }
}

/// A number with its thousands set apart: 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A small number in words, as the book writes it: four, thirteen. From 21 on, in digits.
pub fn in_words(number: usize) -> String {
    const WORDS: [&str; 21] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    WORDS.get(number).map_or_else(|| number.to_string(), |word| word.to_string())
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

    /// An upload of 100,000 bytes whose receiver stops where the length promised is reached.
    fn upload(pieces: &[std::ops::Range<usize>]) -> Verdict {
        use crate::arrived::http::{End, Message};
        let wire = crate::sent::wire::Wire::post("/upload", 100_000);
        let mut sent = vec![0; wire.len() as usize];
        wire.fill(0, &mut sent);
        let mut judge = crate::arrived::reading::Judge::new(&wire, Message::Request);
        let arrived: Vec<u8> =
            pieces.iter().flat_map(|piece| &sent[piece.clone()]).copied().collect();
        judge.push(&arrived[..arrived.len().min(sent.len())]);
        let reading = judge.finish(wire.len(), End::Open);
        Verdict::of(vec![Transfer { direction: Direction::Upload, reading, evidence: vec![] }])
    }

    #[test]
    fn bytes_pushed_out_by_repeated_ones_are_not_missing() {
        let verdict = upload(&[0..50_000, 40_000..100_000]);
        assert_eq!(verdict.kind, Kind::Repeated, "{}", verdict.sentence);
        assert_eq!(upload(&[0..50_000, 40_000..80_000]).kind, Kind::Truncated);
    }
}
