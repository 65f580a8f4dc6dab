//! The table of all outcomes, experiments down and steps across. On a terminal it fills while they come.

use std::collections::BTreeMap;
use std::io::stderr;

use parking_lot::Mutex;

use crate::experiments::{self, Experiment, Outcome};
use crate::ladder::matrix;
use crate::ladder::{Step, ladder};
use crate::shown::lines::{self, Columns, heading, padded};
use crate::shown::progress::Progress;
use crate::shown::report::{bold, faint, paint, style, word};
use crate::subject::proxy::Spec;

/// The columns of a verdict, with the mark behind it that says that it is not what was expected.
const VERDICT: usize = 12;

/// Between two columns.
const GAP: usize = 2;

/// What is written into the table: by step and experiment, with its color.
#[derive(Default)]
pub struct Cells(BTreeMap<(String, &'static str), String>);

impl Cells {
    /// The outcomes of steps. Other programs have no place in the table.
    pub fn of(outcomes: &[Outcome]) -> Cells {
        let mut cells = Cells::default();
        outcomes.iter().for_each(|outcome| cells.ended(outcome));
        cells
    }

    fn begins(&mut self, step: &str, experiment: &Experiment) {
        self.0.insert((step.into(), experiment.name), faint("…"));
    }

    fn ended(&mut self, outcome: &Outcome) {
        let Outcome { experiment, proxy, is_step, verdict, .. } = outcome;
        let mark = if ladder().is_expected(outcome) { "" } else { " !" };
        if *is_step {
            let cell = paint(format!("{}{mark}", verdict.kind), style(verdict.kind));
            self.0.insert((proxy.clone(), experiment), cell);
        }
    }
}

/// The table. Where the names of the steps leave too little room, they are broken behind their hyphens.
/// Where there are still too many steps, the table comes in parts, one below the other.
pub fn grid(cells: &Cells, Columns(room): Columns) -> String {
    let steps = &ladder().steps;
    let names = experiments::ALL.iter().map(|one| one.name.len()).max().unwrap_or(0) + GAP;
    let widest = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let whole = widest.max(VERDICT) + GAP;
    // Behind the last column there is no gap.
    let fit =
        |width: usize| room.map_or(steps.len(), |room| (room + GAP - names.min(room)) / width);
    let width = if fit(whole) >= steps.len() { whole } else { VERDICT + GAP };
    let part = |steps: &[Step]| {
        let row = |experiment: &Experiment| {
            let cell = |step: &Step| {
                let cell = cells.0.get(&(step.name.clone(), experiment.name));
                padded(cell.map_or("·", String::as_str), width)
            };
            padded(experiment.name, names) + &steps.iter().map(cell).collect::<String>()
        };
        let lines = heads(steps, names, width).into_iter().chain(experiments::ALL.iter().map(row));
        lines.map(|line| format!("{}\n", line.trim_end())).collect::<String>()
    };
    steps.chunks(fit(width).max(1)).map(part).collect::<Vec<_>>().join("\n")
}

/// The names of the steps over their columns. All end in the last line.
fn heads(steps: &[Step], names: usize, width: usize) -> Vec<String> {
    let heads: Vec<_> = steps.iter().map(|step| heading(&step.name, width - GAP)).collect();
    let lines = heads.iter().map(Vec::len).max().unwrap_or(0);
    let line = |line: usize| {
        let cell = |head: &Vec<String>| match (line + head.len()).checked_sub(lines) {
            Some(at) => padded(&bold(&head[at]), width),
            None => padded("", width),
        };
        padded("", names) + &heads.iter().map(cell).collect::<String>()
    };
    (0..lines).map(line).collect()
}

/// Runs every experiment on these steps and, if it is to be told, shows how far it is. The table itself
/// is for the caller to print.
pub fn run(specs: &[Spec], jobs: usize, is_told: bool) -> Vec<Outcome> {
    let work = matrix::grid(specs);
    // The table and, below it, an empty line, what is done, and the cursor.
    let needed = || grid(&Cells::default(), Columns::of_terminal(stderr())).lines().count() + 3;
    if is_told && lines::height().is_some_and(|height| height >= needed()) {
        return fill(work, jobs);
    }
    let progress = Progress::line(work.len());
    let begins = |experiment: &'static Experiment, spec: &Spec| progress.begins(experiment, spec);
    let outcomes = matrix::run_watched(work, jobs, begins, |outcome| {
        let Outcome { experiment, proxy, verdict, took_ms, .. } = outcome;
        progress.ends(proxy, experiment);
        if is_told {
            let word = word(verdict.kind, VERDICT);
            progress.print(&format!("{experiment:18}{proxy:18}{word}{took_ms:>6} ms\n"));
        }
    });
    if is_told {
        progress.print("\n");
    }
    outcomes
}

/// Draws the table on the terminal, and fills it.
fn fill(work: Vec<(&'static Experiment, Spec)>, jobs: usize) -> Vec<Outcome> {
    let progress = Progress::block(work.len());
    let state = Mutex::new((Cells::default(), 0));
    let draw = |(cells, done): &(Cells, usize)| {
        progress.draw(&grid(cells, Columns::of_terminal(stderr())), *done);
    };
    let begins = |experiment: &'static Experiment, spec: &Spec| {
        let mut state = state.lock();
        state.0.begins(&spec.name, experiment);
        draw(&state);
    };
    matrix::run_watched(work, jobs, begins, |outcome| {
        let mut state = state.lock();
        state.0.ended(outcome);
        state.1 += 1;
        draw(&state);
    })
}

#[cfg(test)]
mod tests {
    use textwrap::core::display_width;

    use super::*;

    #[test]
    fn the_table_fits_the_terminal_and_shows_every_step() {
        for columns in [40, 60, 80, 120] {
            let table = grid(&Cells::default(), Columns(Some(columns)));
            let widest = table.lines().map(display_width).max().unwrap_or(0);
            assert!(widest <= columns, "{columns}: {widest}\n{table}");
            // A step's cells, and the names of the experiments once for each part.
            let cells = table.matches('·').count();
            assert_eq!(cells, experiments::ALL.len() * ladder().steps.len(), "{columns}\n{table}");
        }
        let whole = grid(&Cells::default(), Columns(None));
        for step in &ladder().steps {
            assert!(whole.contains(&step.name), "{whole}");
        }
    }
}
