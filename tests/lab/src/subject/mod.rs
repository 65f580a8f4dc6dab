//! The program under test, and a relay that is faulty on purpose.

pub mod program;
pub mod proxy;
pub mod relay;
