//! Verdicts: what a user would notice, in words and numbers.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, IntoEnumIterator, IntoStaticStr};

use crate::arrived::align::Gap;
use crate::arrived::http::Reached;
use crate::arrived::reading::{Evidence, Offsets, Reading};
use crate::numbers::{bytes, thousands};
use crate::sent::coding::Owner;

/// What came out of an experiment, as one word. Displayed, it is that word.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr, EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// Every byte, once, in order, and then the end.
    Exact,
    /// It stopped taking what it could not pass on.
    #[strum(to_string = "held back")]
    HeldBack,
    /// It took what it could not pass on, and kept it in a file.
    Spilled,
    /// It did something else than a plain relay does, and it may: the sentence says what.
    #[strum(to_string = "note")]
    Noted,
    /// Bytes of another connection arrived.
    Crossed,
    /// Bytes are missing, and later ones arrived.
    Hole,
    /// The end is missing.
    Truncated,
    /// Every byte came, but not in the order they were sent.
    Reordered,
    /// Bytes came more than once.
    Repeated,
    /// Bytes came that were not sent.
    Altered,
    /// It took much more than it could pass on, and the bytes were gone.
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
    /// It never listened.
    Absent,
    /// The experiment cannot judge it.
    #[strum(to_string = "not judged")]
    NotJudged,
}

impl Kind {
    /// The word for it in tables.
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// The kind whose word this is.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::iter().find(|kind| kind.word() == word)
    }

    /// Whether a proxy that people trust may get this verdict.
    pub fn is_good(self) -> bool {
        self.answer() < Answer::NotJudged
    }

    /// Which of the four answers it is.
    pub fn answer(self) -> Answer {
        match self {
            Kind::Exact | Kind::HeldBack => Answer::Sound,
            Kind::Spilled | Kind::Noted => Answer::Note,
            Kind::NotJudged => Answer::NotJudged,
            _ => Answer::Fault,
        }
    }
}

/// Every verdict is one of four things, the better ones first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, EnumIter,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub enum Answer {
    /// It does what a trusted proxy does.
    Sound,
    /// It made a choice that a trusted proxy may make and that its users should know of.
    Note,
    /// The experiment could not find out, or not everything.
    #[strum(to_string = "not judged")]
    NotJudged,
    /// A user loses bytes, time, memory or the service.
    Fault,
}

/// What an experiment can judge. The sentence at the end of a check lists these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Display, EnumIter)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub enum Matter {
    /// Whether every byte of a response arrives, in order, and then its end.
    #[strum(to_string = "the bytes of responses")]
    Responses,
    /// Whether every byte of a request's body arrives.
    #[strum(to_string = "the bytes of uploads")]
    Uploads,
    /// Whether an end is told as what it is: that of one direction, that of both, or a reset.
    #[strum(to_string = "the ends of connections")]
    Ends,
    /// Whether a client gets bytes of another.
    #[strum(to_string = "whose bytes a client gets")]
    Owners,
    /// Whether other clients are served while one is stuck.
    #[strum(to_string = "service for others")]
    Others,
    /// Whether it lives through refusals, resets and signals.
    Survival,
    /// Whether memory is bounded and comes back.
    Memory,
    /// Whether descriptors come back.
    Descriptors,
    /// Whether it sleeps while nothing moves.
    #[strum(to_string = "processor time")]
    Processor,
}

/// A number that an experiment has measured. It makes nobody good or bad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What it is, in a word or two, always the same.
    pub name: String,
    /// How much.
    pub value: u64,
    /// Of what: `bytes`, `clients`, `microseconds`.
    pub unit: String,
}

/// Something that an experiment should have judged and could not.
#[derive(Clone, Debug, Serialize)]
pub struct Unjudged {
    /// What.
    pub matter: Matter,
    /// The reason.
    pub why: String,
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
    /// What came, compared with what was sent.
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
    /// What else its users should know, a sentence each.
    pub notes: Vec<String>,
    /// What could not be judged although the experiment asks for it.
    pub unjudged: Vec<Unjudged>,
    /// What was measured and is no verdict.
    pub figures: Vec<Figure>,
    /// The transfers that it is based on. Some verdicts need none.
    pub transfers: Vec<Transfer>,
}

impl Verdict {
    /// A verdict without transfers.
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Verdict {
        let (notes, unjudged, figures, transfers) = Default::default();
        Verdict { kind, sentence: sentence.into(), notes, unjudged, figures, transfers }
    }

    /// Which of the four answers it is. A fault stays a fault, whatever else could not be judged.
    pub fn answer(&self) -> Answer {
        let of_notes = if self.notes.is_empty() { Answer::Sound } else { Answer::Note };
        let of_gaps = if self.unjudged.is_empty() { Answer::Sound } else { Answer::NotJudged };
        self.kind.answer().max(of_notes).max(of_gaps)
    }

    /// The same verdict, with these transfers as its proof.
    pub fn with(mut self, transfers: Vec<Transfer>) -> Verdict {
        self.transfers = transfers;
        self
    }

    /// The verdict that follows from transfers alone: that on the worst of them.
    pub fn of(transfers: Vec<Transfer>) -> Verdict {
        match transfers.iter().map(assess).max_by_key(|(severity, ..)| *severity) {
            Some((_, kind, sentence)) => Verdict::new(kind, sentence).with(transfers),
            None => Verdict::new(Kind::NotJudged, "nothing was transferred"),
        }
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

/// How bad a transfer is (0 is good, more is worse), what its verdict is, and the sentence for it.
fn assess(transfer: &Transfer) -> (u8, Kind, String) {
    let reading = &transfer.reading;
    let damage = &reading.damage;
    let complete = reading.reached == Reached::Complete;
    // A receiver that was promised a length stops there. If some bytes came twice, as many others may
    // lie behind that length: then nobody has dropped them.
    let pushed_out = complete && damage.repeated > 0 && damage.missing() <= damage.repeated;
    let (severity, kind, what) = if reading.has_crossed() {
        (6, Kind::Crossed, crossed(transfer))
    } else if damage.gaps.iter().any(|gap| !gap.tail) {
        (5, Kind::Hole, missing(reading))
    } else if !damage.gaps.is_empty() && !pushed_out {
        (4, Kind::Truncated, missing(reading))
    } else if damage.reordered > 0 && !pushed_out {
        let count = bytes(damage.reordered);
        (3, Kind::Reordered, format!("nothing is missing, but later ones overtook {count}"))
    } else if damage.repeated > 0 {
        (2, Kind::Repeated, format!("{} came more than once", bytes(damage.repeated)))
    } else if damage.altered + damage.foreign > 0 {
        let count = bytes(damage.altered + damage.foreign);
        (1, Kind::Altered, format!("{count} came that nobody sent"))
    } else if !complete {
        (4, Kind::Truncated, "the end of the message never came".into())
    } else {
        (0, Kind::Exact, format!("{}, all of them, in order", bytes(damage.received)))
    };
    let way = match transfer.direction {
        Direction::Download => "",
        Direction::Upload => ", on the way to the backend",
    };
    let bytes_are_missing = matches!(kind, Kind::Hole | Kind::Truncated);
    let also = match damage {
        _ if !bytes_are_missing => "",
        damage if damage.reordered > 0 => ", and blocks changed places",
        damage if damage.repeated > 0 => ", and others came twice",
        _ => "",
    };
    let curl = match &reading.curl {
        _ if transfer.direction == Direction::Upload || kind == Kind::Exact => String::new(),
        curl if curl.exit != 0 => format!("; curl would say: ({}) {}", curl.exit, curl.words),
        _ if complete => "; curl would notice nothing (exit 0)".into(),
        _ => String::new(),
    };
    (severity, kind, format!("{what}{way}{also}{curl}"))
}

/// What came of another connection, in words.
fn crossed(transfer: &Transfer) -> String {
    /// So many are named.
    const MOST: usize = 4;
    let Reading { damage, head_of, offsets, .. } = &transfer.reading;
    let (message, request) = match transfer.direction {
        Direction::Download => ("response", "request "),
        Direction::Upload => ("request", ""),
    };
    let mut whose: Vec<String> = head_of.iter().map(Owner::to_string).collect();
    whose.extend(damage.crossings.iter().map(|crossing| crossing.whose.to_string()));
    whose.sort();
    whose.dedup();
    let whose = match &whose[..] {
        [one] => format!("of another connection's {message} ({request}{one})"),
        several => {
            let count = several.len();
            let list = several[..count.min(MOST)].join(", ");
            let more = if count > MOST { ", …" } else { "" };
            format!("of {count} other connections' {message}s ({list}{more})")
        }
    };
    let head = if head_of.is_some() { "the head " } else { "" };
    let Some(first) = damage.crossings.first() else { return format!("{head}{whose} came") };
    let and = if head_of.is_some() { "and " } else { "" };
    let body = match offsets {
        Offsets::Stream => "",
        Offsets::Body => " of body",
    };
    let count = bytes(damage.crossed);
    let after = match first.received_at {
        0 => "before any of its own".into(),
        at => format!("the first after {}", bytes(at)),
    };
    let lost = match damage.missing() {
        0 => String::new(),
        missing => format!(", and {} of its own are missing", bytes(missing)),
    };
    format!("{head}{and}{count}{body} {whose} came, {after}{lost}")
}

/// What is missing, in words. There is at least one gap.
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
        [_] if first.len == damage.sent => format!("nothing arrived: all {len} are missing"),
        [_] if first.tail => format!("the last {len} are missing, from {offsets} {at} on{chunk}"),
        [_] => format!("a hole of {len} at {offsets} {at}{chunk}"),
        gaps => {
            let (count, total) = (gaps.len(), bytes(damage.missing()));
            format!("{count} gaps, {total} in all, the first of {len} at {offsets} {at}{chunk}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrived::http::{End, Message};
    use crate::arrived::reading::Judge;
    use crate::sent::wire::Wire;

    /// An upload of 100,000 bytes whose receiver stops where the length promised is reached.
    fn upload(pieces: &[std::ops::Range<usize>]) -> Verdict {
        let wire = Wire::post("/upload", 100_000);
        let sent = wire.bytes();
        let mut judge = Judge::new(&wire, Message::Request);
        let arrived: Vec<u8> =
            pieces.iter().flat_map(|piece| &sent[piece.clone()]).copied().collect();
        judge.push(&arrived[..arrived.len().min(sent.len())]);
        let reading = judge.finish(wire.len(), End::Open);
        Verdict::of(vec![Transfer { direction: Direction::Upload, reading, evidence: vec![] }])
    }

    #[test]
    fn bytes_of_another_are_worse_than_a_hole_and_say_whose_they_are() {
        let [own, other, third] = [1, 4, 7].map(Owner::of_request);
        let wire = Wire::post("/upload", 100_000).of(own);
        let [sent, theirs, thirds] = [own, other, third].map(|owner| wire.of(owner).bytes());
        let verdict = |arrived: &[&[u8]]| {
            let mut judge = Judge::new(&wire, Message::Request);
            judge.push(&arrived.concat());
            let reading = judge.finish(wire.len(), End::Open);
            Verdict::of(vec![Transfer { direction: Direction::Upload, reading, evidence: vec![] }])
        };
        let one = verdict(&[&sent[..40_000], &theirs[40_000..50_000], &sent[60_000..]]);
        assert_eq!(one.kind, Kind::Crossed);
        for words in ["another connection's request (04) came, the first", "of its own are missing"]
        {
            assert!(one.sentence.contains(words), "{}", one.sentence);
        }
        let two =
            [&sent[..40_000], &theirs[40_000..50_000], &thirds[50_000..60_000], &sent[60_000..]];
        let two = verdict(&two);
        let words = "of 2 other connections' requests (04, 07) came, the first after 40,0";
        assert!(two.sentence.contains(words), "{}", two.sentence);
        assert_eq!(verdict(&[&sent[..40_000], &sent[50_000..]]).kind, Kind::Hole);
    }

    #[test]
    fn bytes_pushed_out_by_repeated_ones_are_not_missing() {
        let verdict = upload(&[0..50_000, 40_000..100_000]);
        assert_eq!(verdict.kind, Kind::Repeated, "{}", verdict.sentence);
        assert_eq!(upload(&[0..50_000, 40_000..80_000]).kind, Kind::Truncated);
    }
}
