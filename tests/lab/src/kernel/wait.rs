//! Waiting with a deadline, where the kernel offers no event to wait for.

use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks.
const PACE: Duration = Duration::from_millis(1);

/// Looks again and again until `look` finds something. `None`: it found nothing within `patience`.
///
/// It looks at least once, and once more after a long pause: a busy machine may keep this thread from
/// running for longer than the patience.
pub fn find_within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let is_over = begun.elapsed() > patience;
        let found = look();
        if found.is_some() || is_over {
            return found;
        }
        thread::sleep(PACE);
    }
}

/// The same for a condition: whether it came true within `patience`.
pub fn true_within(patience: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    find_within(patience, || is_true().then_some(())).is_some()
}
