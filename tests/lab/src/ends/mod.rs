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
