//! The steps of the workbook, and what each of them is expected to do.

pub mod matrix;
