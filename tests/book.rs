//! The book is held to its word.

mod transcripts;
