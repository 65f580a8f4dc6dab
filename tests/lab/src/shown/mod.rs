//! What people are shown on the command line.

pub mod bench;
pub mod doctor;
pub mod explain;
pub mod grades;
pub mod grid;
pub mod hand;
pub mod json;
pub mod learn;
pub mod lines;
pub mod names;
pub mod progress;
pub mod report;
pub mod scores;
pub mod tour;
