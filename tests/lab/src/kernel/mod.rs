//! The kernel: sockets with chosen buffers, what `/proc` says, and waiting with a deadline.

pub mod net;
pub mod procfs;
pub mod wait;
