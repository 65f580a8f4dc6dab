//! The two ends: the backend behind the proxy, and the client in front of it.

pub mod backend;
pub mod client;
pub mod curl;

/// What came of an attempt to do more, such as to read more. An experiment repeats it until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// There is nothing left to do.
    Done,
    /// Something moved.
    Moved,
    /// Nothing could move.
    Idle,
}

impl Attempt {
    /// What came of both: something has moved if either has, and all is done if both are.
    pub fn and(self, other: Attempt) -> Attempt {
        match (self, other) {
            (Attempt::Moved, _) | (_, Attempt::Moved) => Attempt::Moved,
            (Attempt::Done, Attempt::Done) => Attempt::Done,
            _ => Attempt::Idle,
        }
    }
}
