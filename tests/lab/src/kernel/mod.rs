//! The kernel: sockets with chosen buffers, what it says of processes and sockets, and waiting with a
//! deadline.

pub mod net;
pub mod procfs;
pub mod sockets;
pub mod wait;
