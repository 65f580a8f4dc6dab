//! What people are shown on the command line.

pub mod doctor;
pub mod hand;
pub mod json;
pub mod report;
pub mod scores;
pub mod tour;
