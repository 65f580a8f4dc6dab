//! What is under way, at the bottom of a terminal. In a pipe nothing of it is seen.

use std::collections::BTreeMap;
use std::io::stderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice, adapter::strip_str, eprintln, print};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use crate::experiments::Experiment;
use crate::shown::lines::{self, Columns};
use crate::subject::proxy::Spec;

/// One or more lines at the bottom of the terminal, drawn again and again.
pub struct Progress {
    bar: ProgressBar,
    /// What runs, the oldest first: the proxy, the experiment.
    running: Mutex<Vec<(String, &'static str)>>,
}

/// Whether we have been told to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is drawn, for the moment in which we are interrupted.
static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on no outcome is told anymore. To be called before the proxies are killed: else an
/// experiment would still say of its proxy that it died.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// An outcome that is known now may come from a proxy that we have killed ourselves. Then this does not
/// return, and the thread that has the signal ends the process.
fn wait_for_the_end_if_interrupted() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Leaves what is drawn as it is, and the cursor on a line of its own. Wiping it out would go wrong: the
/// terminal has written `^C` behind it, and the cursor may be on the next line now.
pub fn leave_terminal() {
    if let Some(bar) = DRAWN.lock().take() {
        let is_drawn = !bar.is_hidden();
        bar.set_draw_target(ProgressDrawTarget::hidden());
        if is_drawn {
            eprintln!();
        }
    }
}

/// Wipes out what is drawn.
fn wipe() {
    if let Some(bar) = DRAWN.lock().take() {
        bar.finish_and_clear();
    }
}

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

impl Progress {
    /// A line that says how many of `count` are done, and what runs.
    pub fn line(count: usize) -> Progress {
        let template = if count == 1 { "{spinner} {msg}" } else { "{spinner} {pos}/{len}  {msg}" };
        Progress::drawn(count, template)
    }

    /// Any number of lines, an empty one, and below them how many of `count` are done.
    pub fn block(count: usize) -> Progress {
        Progress::drawn(count, "{msg}\n{spinner} {pos}/{len}")
    }

    fn drawn(count: usize, template: &str) -> Progress {
        let bar = match lines::can_redraw() {
            true => ProgressBar::new(count as u64),
            false => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template(template).expect("the template is right");
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        bar.enable_steady_tick(TURN);
        *DRAWN.lock() = Some(bar.clone());
        Progress { bar, running: Mutex::default() }
    }

    /// This experiment begins.
    pub fn begins(&self, experiment: &Experiment, spec: &Spec) {
        let mut running = self.running.lock();
        running.push((spec.name.clone(), experiment.name));
        self.name(&in_a_line(&running));
    }

    /// This experiment has ended.
    pub fn ends(&self, proxy: &str, experiment: &str) {
        let mut running = self.running.lock();
        running.retain(|one| *one != (proxy.to_string(), experiment));
        self.name(&in_a_line(&running));
        self.bar.inc(1);
    }

    /// So many are done.
    pub fn done(&self, count: usize) {
        self.bar.set_position(count as u64);
    }

    /// Says what runs, as far as the line goes.
    pub fn name(&self, what: &str) {
        /// What stands before it: `⠋ 100/200  `.
        const COUNT: usize = 11;
        let Columns(columns) = Columns::of_terminal(stderr());
        let room = columns.map_or(0, |columns| columns.saturating_sub(COUNT));
        self.bar.set_message(lines::cut(room, what));
    }

    /// Draws this instead of what was drawn before.
    pub fn draw(&self, text: &str, done: usize) {
        wait_for_the_end_if_interrupted();
        self.bar.set_position(done as u64);
        self.bar.set_message(as_stderr_wants(text));
    }

    /// Prints text to stdout, above what is drawn.
    pub fn print(&self, text: &str) {
        wait_for_the_end_if_interrupted();
        self.bar.suspend(|| print!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        wait_for_the_end_if_interrupted();
        wipe();
    }
}

/// What runs, by proxy: `01-blocking: two-acts, crowd; mine: idle`, or `running two-acts, crowd` if it is
/// all the same one.
fn in_a_line(running: &[(String, &'static str)]) -> String {
    let mut proxies: Vec<&String> = vec![];
    for (proxy, _) in running {
        if !proxies.contains(&proxy) {
            proxies.push(proxy);
        }
    }
    let experiments = |of: &String| -> String {
        let of: Vec<_> = running.iter().filter(|(proxy, _)| proxy == of).map(|it| it.1).collect();
        of.join(", ")
    };
    let named = |proxy: &&String| format!("{proxy}: {}", experiments(proxy));
    match &proxies[..] {
        [only] => format!("running {}", experiments(only)),
        _ => proxies.iter().map(named).collect::<Vec<_>>().join("; "),
    }
}

/// Takes the colors out of what is drawn if nobody wants them.
fn as_stderr_wants(text: &str) -> String {
    match AutoStream::choice(&stderr()) {
        ColorChoice::Never => strip_str(text).to_string(),
        _ => text.into(),
    }
}

/// Waits for so long. A terminal shows how long it still takes, in the words of `left`.
pub fn count_down(seconds: f64, left: impl Fn(u64) -> String) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let bar = match lines::can_redraw() {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    bar.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is right"));
    *DRAWN.lock() = Some(bar.clone());
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return wipe();
        }
        let whole = rest.as_secs_f64().ceil();
        bar.set_message(left(whole as u64));
        bar.tick();
        // Up to the moment in which the number changes.
        thread::sleep(rest - Duration::from_secs_f64(whole - 1.0));
    }
}

/// Brings what comes in any order into the order in which it is told.
pub struct InOrder<T> {
    next: usize,
    waiting: BTreeMap<usize, T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> InOrder<T> {
        InOrder { next: 0, waiting: BTreeMap::new() }
    }
}

impl<T> InOrder<T> {
    /// Takes what belongs to this place. Returns all whose turn it is now, in their order.
    pub fn put(&mut self, place: usize, what: T) -> Vec<T> {
        self.waiting.insert(place, what);
        let mut ready = vec![];
        while let Some(what) = self.waiting.remove(&self.next) {
            ready.push(what);
            self.next += 1;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_early_waits_for_its_turn() {
        let mut order = InOrder::default();
        assert_eq!(order.put(1, "b"), [""; 0]);
        assert_eq!(order.put(0, "a"), ["a", "b"]);
        assert_eq!(order.put(3, "d"), [""; 0]);
        assert_eq!(order.put(2, "c"), ["c", "d"]);
    }

    #[test]
    fn what_runs_is_told_by_proxy() {
        let of = |proxy: &str, experiment| (proxy.to_string(), experiment);
        let running = [of("one", "two-acts"), of("two", "two-acts"), of("one", "crowd")];
        assert_eq!(in_a_line(&running), "one: two-acts, crowd; two: two-acts");
        assert_eq!(in_a_line(&running[1..2]), "running two-acts");
    }
}
