//! The tour: two experiments through every step, told as a story.

use std::io::IsTerminal;
use std::time::Duration;

use anstream::println;
use indicatif::{ProgressBar, ProgressStyle};

use crate::arrived::verdict::Kind;
use crate::experiments::{self, Outcome};
use crate::ladder::matrix;
use crate::ladder::{Step, ladder};
use crate::numbers::{in_words, thousands};
use crate::shown::report::{self, bold, faint, paint, strip, style, word};
use crate::subject::proxy::Spec;

/// How many characters wide a picture of what arrived is.
const WIDTH: u64 = 64;

/// Runs the tour; says whether everything was as the book says.
pub fn run(specs: &[Spec]) -> bool {
    let count = in_words(specs.len());
    println!(
        "{}\n\n\
         A backend sends a long page, a client reads it slowly, and between them stands a\n\
         proxy. Its one promise: every byte, in order, and then the end. Each proxy below is\n\
         a step of the workbook. Two experiments are put to each of them:\n\n\
         \x20 {}   The backend sends a burst while the client does not read. When nothing\n\
         \x20            moves any more, the client reads what there is; then the rest is sent.\n\
         \x20 {}      20 clients ask for a page and do not read it. One more asks for 100 bytes.\n",
        bold(format!("The Dropped Write: {count} proxies, one bug")),
        bold("two-acts"),
        bold("crowd")
    );

    let names = ["two-acts", "crowd"];
    let chosen = names.map(|name| experiments::named(name).expect("it is among ALL"));
    let work: Vec<_> =
        specs.iter().flat_map(|spec| chosen.map(|experiment| (experiment, spec.clone()))).collect();
    let progress = spinner(work.len() as u64);
    let outcomes = matrix::run_all(work, matrix::JOBS, |outcome| {
        progress.set_message(format!("{} through {}", outcome.experiment, outcome.proxy));
        progress.inc(1);
    });
    progress.finish_and_clear();

    for step in &ladder().steps {
        tell(step, &outcomes);
    }
    let key = "  █ arrived   ▒ partly   · never   (each place is a 64th of the page)\n";
    println!("{}", faint(key));
    let wrong = report::deviations(&outcomes);
    for line in &wrong {
        println!("{} {line}", paint("Not as the book says:", style(Kind::Hole)));
    }
    if wrong.is_empty() {
        what_next();
    }
    wrong.is_empty()
}

/// A progress bar. Only a terminal shows it.
pub fn spinner(count: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count);
    let template = ProgressStyle::with_template("{spinner} {pos}/{len} {msg}");
    bar.set_style(template.expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn tell(step: &Step, outcomes: &[Outcome]) {
    let of = |name| {
        outcomes.iter().find(|outcome| outcome.proxy == step.name && outcome.experiment == name)
    };
    let (Some(acts), Some(crowd)) = (of("two-acts"), of("crowd")) else { return };
    println!("{}  {}", bold(&step.name), faint(&step.idea));
    let kind = word(acts.verdict.kind, 9);
    if let Some(transfer) = acts.verdict.transfers.first() {
        let damage = &transfer.reading.damage;
        let missing = damage.missing();
        let [arrived, sent, gone] = [damage.sent - missing, damage.sent, missing].map(thousands);
        let rest = if missing == 0 { String::new() } else { format!("; {gone} are gone") };
        println!("  {}", strip(transfer, WIDTH));
        println!("  {kind}  {arrived} of {sent} bytes{rest}");
        let curl = &transfer.reading.curl;
        if curl.exit != 0 {
            println!("  {:9}  curl: ({}) {}", "", curl.exit, curl.words);
        }
    } else {
        println!("  {kind}  {}", acts.verdict.sentence);
    }
    let (kind, what) = match crowd.verdict.kind {
        Kind::Exact => ("answered", crowd.verdict.sentence.clone()),
        Kind::Frozen => ("frozen", "the next client is not answered at all".into()),
        kind => (kind.word(), crowd.verdict.sentence.clone()),
    };
    println!("  {}  {what}\n", paint(format!("{kind:9}"), style(crowd.verdict.kind)));
}

fn what_next() {
    println!("{}", bold("What next"));
    println!(
        "  cargo lab show two-acts 03-dropped-write   the hole from nearby, with the bytes around it"
    );
    println!("  diff -u steps/02-naive-epoll/main.rs steps/03-dropped-write/main.rs");
    println!("                                             the bug, as a change of a few lines");
    println!("  cargo lab matrix                           every step through every experiment");
    println!("  cargo test                                 the same claims, as tests");
}
