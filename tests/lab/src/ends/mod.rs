//! The two ends of the proxy: the backend behind it, and the clients before it.

pub mod backend;
pub mod client;
pub mod curl;

/// What an attempt to go on came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// There is nothing left to do.
    Done,
    /// Something moved.
    Moved,
    /// Nothing could move.
    Idle,
}
