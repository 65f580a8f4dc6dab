//! The tour: two experiments through every step, told as a story.

use anstream::println;

use crate::arrived::verdict::Kind;
use crate::experiments::{self, Experiment, Outcome};
use crate::ladder::matrix;
use crate::ladder::{Step, ladder};
use crate::numbers::{in_words, thousands};
use crate::shown::lines::Columns;
use crate::shown::progress::{InOrder, Progress};
use crate::shown::report::{self, bold, faint, paint, strip, style, word};
use crate::subject::proxy::Spec;

/// How many characters wide a picture of what arrived is.
const WIDTH: u64 = 64;

/// The experiments of the tour, and what is said of each.
const EXPERIMENTS: [(&str, &str); 2] = [
    (
        "two-acts",
        "The backend sends a burst while the client does not read. When nothing moves anymore, the \
         client reads what there is; then the rest is sent.",
    ),
    ("crowd", "20 clients ask for a page and do not read it. One more asks for 100 bytes."),
];

/// Runs the tour, and tells of each step as soon as it is done; says whether everything was as the book
/// says.
pub fn run(specs: &[Spec]) -> bool {
    let columns = Columns::of_stdout();
    println!("{}\n\n{}", bold(title(specs.len())), introduction(columns));
    let chosen = EXPERIMENTS.map(|(name, _)| experiments::named(name).expect("it is among ALL"));
    let work: Vec<_> =
        specs.iter().flat_map(|spec| chosen.map(|experiment| (experiment, spec.clone()))).collect();
    let progress = Progress::line(work.len());
    let (mut outcomes, mut steps) = (Vec::<Outcome>::new(), InOrder::default());
    let begins = |experiment: &'static Experiment, spec: &Spec| progress.begins(experiment, spec);
    matrix::run_watched(work, matrix::JOBS, begins, |outcome| {
        progress.ends(&outcome.proxy, outcome.experiment);
        outcomes.push(outcome.clone());
        let of_step = |name| {
            let is_it = |it: &&Outcome| it.proxy == outcome.proxy && it.experiment == name;
            outcomes.iter().find(is_it)
        };
        let place = ladder().steps.iter().position(|step| step.name == outcome.proxy);
        if let (Some(place), Some(acts), Some(crowd)) =
            (place, of_step("two-acts"), of_step("crowd"))
        {
            let told = tell(&ladder().steps[place], acts, crowd, columns);
            steps.put(place, told).iter().for_each(|step| progress.print(step));
        }
    });
    drop(progress);

    let key = "█ arrived   ▒ partly   · never   (each place is a 64th of the page)";
    println!("{}\n", faint(columns.hang("", 2, key)));
    let wrong = report::deviations(&outcomes);
    let head = paint("Not as the book says:", style(Kind::Hole));
    for line in &wrong {
        println!("{}", columns.fill(&format!("{head} {line}")));
    }
    for line in report::excuses(&outcomes) {
        println!("{}", columns.fill(&line));
    }
    if wrong.is_empty() {
        println!("{}\n{}", bold("What next"), what_next(columns).trim_end());
    }
    wrong.is_empty()
}

fn title(steps: usize) -> String {
    format!("The Dropped Write: {} proxies, one bug", in_words(steps))
}

fn introduction(columns: Columns) -> String {
    let columns = columns.or(80);
    let text = "A backend sends a long page, a client reads it slowly, and between them stands a proxy. \
        Its one promise: every byte, in order, and then the end. Each proxy below is a step of the \
        workbook. Two experiments are put to each of them:";
    let rows = EXPERIMENTS.map(|(name, what)| (format!("  {}", bold(name)), what.to_string()));
    format!("{}\n\n{}", columns.fill(text), columns.rows(3, &rows))
}

/// What came of one step.
fn tell(step: &Step, acts: &Outcome, crowd: &Outcome, columns: Columns) -> String {
    let row = |head: String, text: &str| columns.hang(&format!("  {head}"), 13, text) + "\n";
    let mut text = format!("{}  {}", bold(&step.name), faint(&step.idea));
    text = columns.hang("", 0, &text) + "\n";
    let kind = word(acts.verdict.kind, 9);
    if let Some(transfer) = acts.verdict.transfers.first() {
        let damage = &transfer.reading.damage;
        let missing = damage.missing();
        let [arrived, sent, gone] = [damage.sent - missing, damage.sent, missing].map(thousands);
        let rest = if missing == 0 { String::new() } else { format!("; {gone} are gone") };
        text += &format!("  {}\n", strip(transfer, columns.strip().min(WIDTH)));
        text += &row(kind, &format!("{arrived} of {sent} bytes{rest}"));
        let curl = &transfer.reading.curl;
        if curl.exit != 0 {
            text += &row(String::new(), &format!("curl: ({}) {}", curl.exit, curl.words));
        }
    } else {
        text += &row(kind, &acts.verdict.sentence);
    }
    let (kind, what) = match crowd.verdict.kind {
        Kind::Exact => ("answered", crowd.verdict.sentence.as_str()),
        Kind::Frozen => ("frozen", "the next client is not answered at all"),
        kind => (kind.word(), crowd.verdict.sentence.as_str()),
    };
    text + &row(paint(kind, style(crowd.verdict.kind)), what) + "\n"
}

fn what_next(columns: Columns) -> String {
    let rows = [
        (
            "cargo lab show two-acts 03-dropped-write",
            "the hole from nearby, with the bytes around it",
        ),
        ("cargo lab explain two-acts", "what that experiment does, and what it finds"),
        ("cargo lab learn", "your own proxy, chapter by chapter"),
        ("cargo lab matrix", "every step through every experiment"),
        ("cargo test", "the same claims, as tests"),
    ];
    let rows = rows.map(|(command, what)| (format!("  {command}"), what.to_string()));
    columns.rows(3, &rows)
}
