//! What is sent: bytes that are known at every offset.

pub mod coding;
pub mod wire;
