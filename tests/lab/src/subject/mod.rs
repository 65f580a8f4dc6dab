//! The program under test: how it is started, watched and ended, and a relay that is faulty on purpose.

pub mod program;
pub mod proxy;
pub mod relay;
