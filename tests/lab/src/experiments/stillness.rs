//! Does anything move anymore?
//!
//! Silence alone proves nothing: on a busy machine a proxy at work may be silent for a while. So we say
//! *still* only after looking at everything that could still move a byte, several times in a row:
//!
//! - every thread of the proxy is asleep, and so are the threads of our own backend;
//! - the kernel's queues are the same as before, and nothing is on its way between two of them;
//! - nothing new was sent or received at our own ends.
//!
//! Then only we ourselves can change anything. A look costs little, except for reading the queues. That
//! is done early in a quiet period, but not for the many that are over at once, and at its end:
//!
//! ```text
//! look             1    2    3    4    5    6    7    8
//! threads          run  run  zzz  zzz  zzz  zzz  zzz  zzz
//! quiet_looks      0    0    1    2    3    4    5    6
//! read the queues                      yes            yes: it is due
//! ```
//!
//! At look 8 it is *due*: enough quiet looks in a row, and nothing has changed for as long as the
//! caller's patience. If the queues are the same as at look 5, everything is still. If they are not,
//! the count begins anew. It also does if bytes are on their way, or if an acknowledgment may be on its
//! way, because until it comes the same bytes are in the queues of both ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kernel::procfs::{self, Vitals};
use crate::kernel::sockets::{self, Socket};

/// How many looks in a row must find every thread asleep. One is not enough: a thread that has just
/// been woken by a packet may still count as asleep. By the next looks it has run, and if it found
/// anything to do, a queue or one of our counters has changed.
const LOOKS: u32 = 6;

/// At this one of them the queues are read for the first time.
const FIRST_READING: u32 = 3;

/// An acknowledgment that was only delayed has come after this time. It is twice the longest delay that
/// Linux allows (`TCP_DELACK_MAX` in `include/net/tcp.h`).
const ACKNOWLEDGED: Duration = Duration::from_millis(400);

/// So much processor time of one thread while nothing moves is called spinning, in nanoseconds.
const SPIN_NS: u64 = 300_000_000;

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Something moves, or might.
    Moving,
    /// Everything has been still for as long as was asked.
    Still,
    /// Nothing moves, and yet the proxy has used so many nanoseconds of processor time.
    Spinning(u64),
}

/// How long things have been as they are.
pub struct Watch {
    sockets: Vec<Socket>,
    counters: Vec<u64>,
    /// Since when sockets and counters are the same.
    same_since: Instant,
    /// What each thread of the proxy had had of processors at that moment, in nanoseconds.
    used_ns_then: BTreeMap<i32, u64>,
    /// How many looks in a row, since then, have found every thread asleep.
    quiet_looks: u32,
    /// All looks so far.
    looks: u32,
}

impl Default for Watch {
    /// Nothing has been seen yet.
    fn default() -> Watch {
        Watch {
            sockets: vec![],
            counters: vec![],
            same_since: Instant::now(),
            used_ns_then: BTreeMap::new(),
            quiet_looks: 0,
            looks: 0,
        }
    }
}

impl Watch {
    /// Begins anew, because something has moved or a new wait begins.
    pub fn restart(&mut self) {
        self.same_since = Instant::now();
        self.quiet_looks = 0;
    }

    /// For how long nothing has changed.
    pub fn unchanged_for(&self) -> Duration {
        self.same_since.elapsed()
    }

    fn changed(&mut self, now: Instant, vitals: &Vitals) {
        self.same_since = now;
        self.used_ns_then = vitals.used_ns.clone();
        self.quiet_looks = 0;
    }

    /// Looks once. `counters` change whenever anything happens at our backend, `is_busy` says that the
    /// backend could go on by itself, and `read_sockets` reads the queues if they are needed.
    pub fn look(
        &mut self,
        patience: Duration,
        vitals: &Vitals,
        counters: Vec<u64>,
        is_busy: bool,
        read_sockets: impl FnOnce() -> Vec<Socket>,
    ) -> Look {
        // Time counts only up to the beginning of a look: on a busy machine the look itself may take
        // longer than the patience.
        let now = Instant::now();
        if counters != self.counters {
            self.counters = counters;
            self.changed(now, vitals);
        }
        if vitals.running || is_busy {
            self.quiet_looks = 0;
        } else if !procfs::deliveries_wait() {
            // While the kernel has packets to deliver, a sleeping thread proves nothing, so the look
            // does not count. The packets may be for other programs, so the count does not begin anew.
            self.quiet_looks += 1;
        }
        let unchanged_for = now.duration_since(self.same_since);
        let due = self.quiet_looks >= LOOKS && unchanged_for >= patience;
        // Every 64th look reads the queues in any case, to notice a proxy that never sleeps although
        // nothing moves.
        self.looks += 1;
        if self.quiet_looks != FIRST_READING && !due && !self.looks.is_multiple_of(64) {
            return Look::Moving;
        }
        let sockets = read_sockets();
        let same = sockets::same_queues(&sockets, &self.sockets);
        self.sockets = sockets;
        let ack_may_come =
            unchanged_for < ACKNOWLEDGED && self.sockets.iter().any(|socket| socket.awaits_ack);
        if !same {
            self.changed(now, vitals);
        } else if sockets::in_flight(&self.sockets) || ack_may_come {
            self.quiet_looks = 0;
        }
        // The busiest thread. A proxy that starts a process for each connection may use a lot of time in
        // all, and no loop runs in vain.
        let since = |(thread, now): (&i32, &u64)| {
            now.saturating_sub(self.used_ns_then.get(thread).copied().unwrap_or(0))
        };
        let spent = vitals.used_ns.iter().map(since).max().unwrap_or(0);
        match due && self.quiet_looks > 0 {
            _ if spent > SPIN_NS => Look::Spinning(spent),
            true => Look::Still,
            false => Look::Moving,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 64 looks find while threads have used so many milliseconds and nothing moves.
    fn after(used_ms: &[u64]) -> Look {
        let mut watch = Watch::default();
        let mut look = |used_ns: BTreeMap<i32, u64>| {
            let vitals = Vitals { running: true, used_ns, ..Vitals::default() };
            watch.look(Duration::from_secs(60), &vitals, vec![], false, Vec::new)
        };
        look([(1, 0)].into());
        let threads = || (1..).zip(used_ms).map(|(thread, ms)| (thread, ms * 1_000_000)).collect();
        (0..64).map(|_| look(threads())).find(|look| *look != Look::Moving).unwrap_or(Look::Moving)
    }

    #[test]
    fn one_thread_that_uses_a_lot_spins_and_many_that_use_a_little_do_not() {
        assert_eq!(after(&[400]), Look::Spinning(400_000_000));
        assert_eq!(after(&[10, 400]), Look::Spinning(400_000_000));
        assert_eq!(after(&[80; 20]), Look::Moving);
    }
}
