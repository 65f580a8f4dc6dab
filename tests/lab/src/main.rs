//! The laboratory on the command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anstream::{eprintln, print, println};
use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use lab::experiments::{self, Experiment, Outcome};
use lab::ladder::{self, Expectation, Step, ladder, matrix};
use lab::shown::json::Findings;
use lab::shown::{doctor, hand, report, scores, tour};
use lab::subject::proxy::{PATIENCE, Spec};
use serde::Serialize;

/// The laboratory of The Dropped Write: it watches proxies lose bytes, or not.
///
/// Without a command: the tour, two experiments through every step, told as a story.
#[derive(Parser)]
#[command(name = "lab", bin_name = "cargo lab", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Two experiments through every step, told as a story (the default)
    Tour,
    /// Every step through every experiment, and the table of what came out
    Matrix {
        /// How many experiments to run at a time
        #[arg(long, default_value_t = matrix::JOBS)]
        jobs: usize,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// The experiments, a line each
    List {
        /// Print them, with what is expected of each step, as JSON
        #[arg(long)]
        json: bool,
    },
    /// One experiment told as a story: who sent what, where the hole is, the bytes around it
    Show {
        /// Its name, as in `list`
        experiment: String,
        /// A step, or a command with {listen} and {backend} in it
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        proxy: Vec<String>,
    },
    /// Grade any proxy, in any language
    ///
    /// The command must stay in the foreground and listen where it is told to: {listen} and {backend}
    /// in it become addresses such as 127.0.0.1:8080; {listen_port} and {backend_port} only the ports.
    ///
    /// Exit status: 0 no fault, and everything asked was judged; 1 a fault; 2 bad arguments; 3 no fault,
    /// but something could not be judged.
    Check {
        /// Only this experiment; may be given several times
        #[arg(long)]
        only: Vec<String>,
        /// How many experiments to run at a time
        #[arg(long, default_value_t = matrix::JOBS)]
        jobs: usize,
        /// Seconds that the command may take until it listens
        #[arg(long, default_value_t = PATIENCE.as_secs())]
        patience: u64,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
        /// The command, after `--`; or the name of a step
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        proxy: Vec<String>,
    },
    /// What the experiments say of real programs: nginx, HAProxy, socat and many more
    ///
    /// It grades every program of tests/lab/proxies that is installed.
    ///
    /// Exit status: 0 everything ran, whatever it came to; 1 the record to compare with says something
    /// else; 2 bad arguments; 3 something could not be judged.
    Scoreboard(scores::Options),
    /// A backend to play with: every request gets a page whose every 16 bytes name their own offset,
    /// and whose they are
    Backend(hand::Server),
    /// A client to play with: asks for the backend's page and judges what comes
    Client(hand::Habits),
    /// A relay with a fault of your choice, or with none
    Relay {
        /// The fault
        #[arg(value_enum)]
        fault: lab::subject::relay::Fault,
        /// Where to listen
        #[arg(default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Where to connect
        #[arg(default_value = "127.0.0.1:9000")]
        backend: SocketAddr,
    },
    /// Will this machine show the bug? Kernel, socket buffers, descriptors, curl
    Doctor {
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command.unwrap_or(Task::Tour)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("lab: {error:#}");
            let by_user = error.is::<Usage>() || error.is::<hand::Disagreement>();
            ExitCode::from(if by_user { 2 } else { 1 })
        }
    }
}

/// A mistake in the arguments, as opposed to a failure of the laboratory.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Does it, and returns the exit status.
fn run(task: Task) -> Result<u8> {
    // These two start no proxies and need no steps.
    if !matches!(task, Task::Backend(_) | Task::Relay { .. }) {
        ladder::try_ladder().map_err(anyhow::Error::msg)?;
        end_proxies_when_interrupted()?;
    }
    match task {
        Task::Tour => Ok(u8::from(!tour::run(&steps()?))),
        Task::Matrix { jobs, json } => Ok(u8::from(!show_matrix(jobs, json)?)),
        Task::List { json } => list(json).map(|()| 0),
        Task::Show { experiment, proxy } => {
            let experiment = experiment_named(&experiment)?;
            let outcome = experiment.run(&proxy_from(proxy, PATIENCE)?);
            print!("{}", report::story(&outcome));
            Ok(match ladder().expected_of(&outcome) {
                Some(expected) => u8::from(!expected.allows(outcome.verdict.kind)),
                None => report::exit_status(&[outcome]),
            })
        }
        Task::Check { only, jobs, patience, json, proxy } => check(
            &experiments_named(&only)?,
            &proxy_from(proxy, Duration::from_secs(patience))?,
            jobs,
            json,
        ),
        Task::Scoreboard(options) => {
            let plan = options.plan().map_err(Usage)?;
            scores::run(&options, &plan, &experiments_named(&options.only)?)
        }
        Task::Client(habits) => Ok(u8::from(!hand::client(habits)?)),
        Task::Doctor { json } => {
            let findings = doctor::examine()?;
            match json {
                true => print_json(&findings)?,
                false => println!("{}", findings.text()),
            }
            Ok(u8::from(!findings.is_well()))
        }
        Task::Backend(server) => hand::backend(server).map(|()| 0),
        Task::Relay { fault, listen, backend } => {
            lab::subject::relay::run(fault, listen, backend).map(|()| 0)
        }
    }
}

fn show_matrix(jobs: usize, json: bool) -> Result<bool> {
    let work = matrix::grid(&steps()?);
    let progress = tour::spinner(work.len() as u64);
    let outcomes = matrix::run_all(work, jobs, |outcome| {
        progress.inc(1);
        if !json {
            let Outcome { experiment, proxy, verdict, took_ms, .. } = outcome;
            let word = report::word(verdict.kind, 12);
            progress.suspend(|| println!("{experiment:18}{proxy:18}{word}{took_ms:>6} ms"));
        }
    });
    progress.finish_and_clear();
    let deviations = report::deviations(&outcomes);
    if json {
        print_json(&Findings::of(&outcomes))?;
    } else {
        print!("\n{}\n", report::grid(&outcomes));
        for line in &deviations {
            println!("! {line}");
        }
        if deviations.is_empty() {
            println!("All {} verdicts are as expected.", outcomes.len());
        }
    }
    Ok(deviations.is_empty())
}

fn check(chosen: &[&'static Experiment], spec: &Spec, jobs: usize, json: bool) -> Result<u8> {
    let work: Vec<_> = chosen.iter().map(|experiment| (*experiment, spec.clone())).collect();
    let progress = tour::spinner(work.len() as u64);
    let outcomes = matrix::run_all_if_present(work, jobs, |outcome| {
        progress.set_message(outcome.experiment);
        progress.inc(1);
    });
    progress.finish_and_clear();
    if json {
        print_json(&Findings::of(&outcomes))?;
    } else {
        print!("{}", report::grades(&outcomes));
    }
    Ok(report::exit_status(&outcomes))
}

fn list(json: bool) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        question: &'static str,
        expected: BTreeMap<&'static str, Expectation>,
    }
    if !json {
        for Experiment { name, question, .. } in experiments::ALL {
            println!("{}{question}", report::bold(format!("{name:18}")));
        }
        return Ok(());
    }
    let row = |&Experiment { name, question, .. }: &Experiment| {
        let expected = |step: &'static Step| (step.name.as_str(), step.expected(name));
        Row { name, question, expected: ladder().steps.iter().map(expected).collect() }
    };
    print_json(&experiments::ALL.iter().map(row).collect::<Vec<_>>())
}

fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn experiment_named(name: &str) -> Result<&'static Experiment> {
    experiments::named(name).ok_or_else(|| {
        let known: Vec<_> = experiments::ALL.iter().map(|experiment| experiment.name).collect();
        Usage(format!("there is no experiment {name:?}; there are {}", known.join(", "))).into()
    })
}

/// The experiments of these names, or all of them where none is named.
fn experiments_named(names: &[String]) -> Result<Vec<&'static Experiment>> {
    match names {
        [] => Ok(experiments::ALL.iter().collect()),
        names => names.iter().map(|name| experiment_named(name)).collect(),
    }
}

/// The proxy that the arguments name: a step, or a command.
fn proxy_from(mut words: Vec<String>, patience: Duration) -> Result<Spec> {
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    let line = words.join(" ");
    if ladder().step(&line).is_some() {
        let known = steps()?.into_iter().find(|spec| spec.name == line);
        return known.with_context(|| format!("{line} has not been built"));
    }
    let has = |placeholder: &str| line.contains(placeholder);
    if words.len() == 1 && !has("{") {
        bail!(Usage(format!(
            "there is no step {line:?}; there are {}; any other proxy is a command with {{listen}} \
             and {{backend}} in it",
            ladder().names()
        )));
    }
    for (address, port) in [("{listen}", "{listen_port}"), ("{backend}", "{backend_port}")] {
        if !has(address) && !has(port) {
            bail!(Usage(format!("the command has no {address} or {port} in it: {line}")));
        }
    }
    Ok(Spec { patience, ..Spec::foreign(words) })
}

/// The steps of the workbook, built.
fn steps() -> Result<Vec<Spec>> {
    let own = std::env::current_exe().context("finding the own program")?;
    let directory = own.parent().context("the own program has no directory")?;
    build(directory)?;
    let root = ladder::root();
    ensure!(
        !ladder().steps.is_empty(),
        "there are no steps: {} has no steps/NN-name",
        root.display()
    );
    let step = |step: &Step| {
        let path = directory.join(&step.name);
        ensure!(path.exists(), "{} is not there: run `cargo build` first", path.display());
        Ok(Spec::step(path))
    };
    ladder().steps.iter().map(step).collect()
}

/// If cargo has started us, builds the steps, so that they are as new as their sources.
fn build(directory: &Path) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.current_dir(ladder::root());
    command.args(["build", "--quiet", "--package", "dropped-write", "--bins"]);
    if directory.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().context("running cargo to build the steps")?;
    ensure!(status.success(), "the steps could not be built");
    Ok(())
}

/// Proxies run in process groups of their own, so Ctrl-C does not reach them. A thread waits for the
/// signal and kills them before we end.
fn end_proxies_when_interrupted() -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    // All threads inherit this mask, so only the waiting one receives the signals. The programs that we
    // start do not inherit it, because the standard library clears the mask between fork and exec.
    signals.thread_block().context("blocking signals")?;
    std::thread::spawn(move || {
        let signal = signals.wait().map_or(2, |signal| signal as i32);
        lab::subject::program::kill_all();
        std::process::exit(128 + signal);
    });
    Ok(())
}
