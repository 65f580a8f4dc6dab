//! The laboratory: it puts a proxy between a backend and a client that it controls, and finds out what
//! became of every byte.
//!
//! ```text
//!   the backend            the proxy under test            the client
//!   sends known bytes  →   any program          →   reads when it is told to
//!        ends                  subject                        ends
//!          ╲                      │                            ╱
//!           ╲     kernel: queues, threads, memory, descriptors
//!            ╲                    │                          ╱
//!               arrived: what came, compared with what was sent, and a verdict
//! ```
//!
//! The story, room by room. Each room uses only the rooms before it:
//!
//! 1. [`sent`] has the bytes. Every 16 bytes of a body name their own offset and say whose they are, so
//!    bytes that are missing, repeated, in the wrong place or with the wrong client give themselves away.
//! 2. [`arrived`] compares what came with what was sent ([`arrived::align`]), reads the HTTP framing as
//!    curl would ([`arrived::http`]), and puts both into a [`Verdict`](arrived::verdict::Verdict): a
//!    word and a sentence with numbers.
//! 3. [`kernel`] has sockets with chosen buffer sizes, and reads from `/proc` which queues hold bytes
//!    and which threads are asleep.
//! 4. [`subject`] starts the program under test and ends it with all its children. It also has the
//!    [`relay`](subject::relay), a proxy with a fault of your choice. Our own tests use it to show that
//!    every verdict is given where it is deserved.
//! 5. [`ends`] has the backend, which follows a script, and the client, which moves when it is told to.
//! 6. [`experiments`] are questions, one file each. The [`rig`](experiments::rig) sets up both ends and
//!    the proxy and waits until nothing moves anymore.
//! 7. [`ladder`] knows the steps of the workbook, what each is expected to do in each experiment, and
//!    how to run many experiments at a time.
//! 8. [`scoreboard`] knows real programs, by the scripts that start them, and keeps the record of what
//!    became of them in the experiments.
//! 9. [`shown`] is what people see: the tour, the stories, the tables, the doctor, and both ends to play
//!    with by hand. `main.rs` is the command line.
//!
//! To follow one experiment through all of this, begin with `experiments/two_acts.rs`.
#![cfg(target_os = "linux")]

pub mod arrived;
pub mod ends;
pub mod experiments;
pub mod kernel;
pub mod ladder;
pub mod numbers;
pub mod scoreboard;
pub mod sent;
pub mod shown;
pub mod subject;
