//! What arrived, compared with what was sent, and the verdict on it.

pub mod align;
pub mod http;
pub mod others;
pub mod reading;
pub mod verdict;
