//! The kernel: sockets as we need them, and what /proc says about sockets and processes.

pub mod net;
pub mod procfs;
pub mod wait;
