//! Every step does in every experiment what its manifest says.

use std::path::Path;

use lab::experiments;
use lab::ladder::{ladder, matrix};
use lab::shown::report;
use lab::subject::proxy::Spec;

/// How many experiments run at a time.
const JOBS: usize = 12;

/// The experiments that take longest.
const LONGEST: [&str; 5] = ["stalled-crowd", "reset", "turnover", "early-close", "pile-up"];

#[test]
fn every_step_does_in_every_experiment_what_its_manifest_says() {
    let one = Path::new(env!("CARGO_BIN_EXE_01-blocking"));
    // A small crowd is judged as a large one is.
    let program = |name: &str| Spec { crowd: 16, ..Spec::step(one.with_file_name(name)) };
    let steps: Vec<Spec> = ladder().steps.iter().map(|step| program(&step.name)).collect();
    let mut work = matrix::grid(&steps);
    // Begun last, the longest ones would run alone at the end.
    work.sort_by_key(|(experiment, _)| !LONGEST.contains(&experiment.name));
    let outcomes = matrix::run_all(work, JOBS, |_| {});
    assert_eq!(outcomes.len(), ladder().steps.len() * experiments::ALL.len());
    let deviations = report::deviations(&outcomes);
    assert!(deviations.is_empty(), "{}", deviations.join("\n"));
}
