//! The laboratory's own tests. They are one program, because most of them wait: the more of them may run
//! at a time, the sooner all are done.
#![cfg(target_os = "linux")]

mod by_hand;
mod check;
mod curl;
mod json;
mod learn;
mod people;
mod proxies;
mod scoreboard;
mod scripts;
mod verdicts;
