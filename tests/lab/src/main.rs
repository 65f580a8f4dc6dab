//! The laboratory on the command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anstream::{eprintln, print, println};
use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use lab::arrived::verdict::Kind;
use lab::experiments::{self, Experiment};
use lab::kernel::wait;
use lab::ladder::change::Change;
use lab::ladder::milestones::{self, Milestone};
use lab::ladder::{self, Expectation, Step, ladder, matrix};
use lab::shown::grades::{self, Grades};
use lab::shown::grid::{self, Cells};
use lab::shown::json::Findings;
use lab::shown::learn::{self, Lesson, Saved};
use lab::shown::lines::Columns;
use lab::shown::progress::{self, Progress};
use lab::shown::{bench, doctor, explain, hand, names, report, scores, tour};
use lab::subject::proxy::{CROWD, PATIENCE, Spec};
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
    /// What an experiment does, what it finds, and what that means to a user
    Explain {
        /// Also say why the steps come to what they come to
        #[arg(long)]
        why: bool,
        /// Its name; without one, the experiments, a line each
        experiment: Option<String>,
    },
    /// One experiment told as a story: who sent what, where the hole is, the bytes around it
    ///
    /// Exit status of a step: 0 the verdict is the one that the book says; 1 it is another. Of a step that
    /// you have changed and that does something else now, and of any other program: as of `check`.
    Show {
        /// The command is this step, changed: for the recording of the book's terminals
        #[arg(long, hide = true)]
        in_place_of: Option<String>,
        /// Also say why a step comes to what it comes to
        #[arg(long)]
        why: bool,
        /// Seconds that the command may take until it listens
        #[arg(long, default_value_t = PATIENCE.as_secs())]
        patience: u64,
        /// How many clients of stalled-crowd may stall at a time
        #[arg(long, default_value_t = CROWD)]
        clients: u64,
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
        /// Only these experiments, with commas between them; may be given several times
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// How many experiments to run at a time
        #[arg(long, default_value_t = matrix::JOBS)]
        jobs: usize,
        /// Whole sentences, with notes, and with the reasons where something was not judged
        #[arg(long)]
        details: bool,
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
    /// Try your own proxy, chapter by chapter, each time you save it
    ///
    /// It builds steps/mine and asks what the chapters ask, up to the first question that goes wrong.
    /// Of that it shows what happened, and a hint.
    ///
    /// Exit status with --once: 0 everything was reached; 1 something was not, or it does not build;
    /// 2 bad arguments; 3 something could not be judged.
    Learn {
        /// Only what this chapter asks
        #[arg(long, value_name = "CHAPTER")]
        at: Option<u32>,
        /// Tell the second hint as well
        #[arg(long)]
        hint: bool,
        /// Look once, and do not wait for a save
        #[arg(long)]
        once: bool,
        /// After `--`: another program in its place, in any language, as for `check`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// What the experiments say of real programs: nginx, HAProxy, socat and many more
    ///
    /// It grades every program of tests/lab/proxies that is installed.
    ///
    /// Exit status: 0 everything ran, whatever it came to; 1 the record to compare with says something
    /// else; 2 bad arguments; 3 something could not be judged.
    Scoreboard(scores::Options),
    /// Programs side by side: how fast, with how much work, and what a stalled client costs
    ///
    /// The steps are built with --release for it. Every byte is checked.
    Bench(bench::Options),
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
            eprintln!("{}", Columns::of_stderr().fill(&format!("lab: {error:#}")));
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
        Task::Explain { why, experiment } => {
            let columns = Columns::of_stdout();
            match experiment {
                // Nothing but prose: in a pipe, too, lines that can be read.
                Some(name) => {
                    print!("{}", explain::one(experiment_named(&name)?, why, columns.or(100)));
                }
                None => print!("{}", explain::all(columns)),
            }
            Ok(0)
        }
        Task::Show { in_place_of, why, patience, clients, experiment, proxy } => {
            let experiment = experiment_named(&experiment)?;
            let spec = proxy_from(proxy, Duration::from_secs(patience))?;
            let spec = Spec { crowd: clients, ..spec };
            show(
                experiment,
                match &in_place_of {
                    Some(step) => Spec { name: step.clone(), is_step: true, ..spec },
                    None => spec,
                },
                |step| if in_place_of.is_some() { Change::Yes } else { step.change() },
                why,
            )
        }
        Task::Check { only, jobs, details, patience, json, proxy } => {
            let chosen = experiments_named(&only)?;
            let told = (!json).then(|| Grades { details, columns: Columns::of_stdout() });
            check(&chosen, &proxy_from(proxy, Duration::from_secs(patience))?, jobs, told)
        }
        Task::Learn { at, hint, once, command } => learn(at, hint, once, command),
        Task::Scoreboard(options) => {
            let plan = options.plan().map_err(Usage)?;
            scores::run(&options, &plan, &experiments_named(&options.only)?)
        }
        Task::Bench(options) => {
            let release = own_directory()?.with_file_name("release");
            let steps = bench::steps_among(&options.programs);
            build_release(&steps)?;
            bench::run(&options, &ladder::root(), &release).map(|()| 0)
        }
        Task::Client(habits) => Ok(u8::from(!hand::client(habits)?)),
        Task::Doctor { json } => {
            let findings = doctor::examine()?;
            match json {
                true => print_json(&findings)?,
                false => println!("{}", findings.text(Columns::of_stdout())),
            }
            Ok(u8::from(!findings.is_well()))
        }
        Task::Backend(server) => hand::backend(server).map(|()| 0),
        Task::Relay { fault, listen, backend } => {
            lab::subject::relay::run(fault, listen, backend).map(|()| 0)
        }
    }
}

/// Tells one experiment as a story. A step whose verdict is not the book's is wrong, unless it was changed.
fn show(
    experiment: &Experiment,
    spec: Spec,
    change: impl Fn(&Step) -> Change,
    why: bool,
) -> Result<u8> {
    let progress = Progress::line(1);
    progress.begins(experiment, &spec);
    let outcome = experiment.run(&spec);
    drop(progress);
    let change = ladder().step(&spec.name).filter(|_| !ladder().is_expected(&outcome)).map(change);
    print!("{}", report::story(&outcome, change, why, Columns::of_stdout()));
    Ok(match (spec.is_step, change) {
        (true, None) => 0,
        (true, Some(Change::No | Change::Unknown)) => 1,
        _ => report::exit_status(&[outcome]),
    })
}

fn show_matrix(jobs: usize, json: bool) -> Result<bool> {
    let outcomes = grid::run(&steps()?, jobs, !json);
    let deviations = report::deviations(&outcomes);
    if json {
        print_json(&Findings::of(&outcomes))?;
        return Ok(deviations.is_empty());
    }
    let columns = Columns::of_stdout();
    println!("{}", grid::grid(&Cells::of(&outcomes), columns));
    for line in &deviations {
        println!("{}", columns.hang("!", 2, line));
    }
    for line in report::excuses(&outcomes) {
        println!("{}", columns.fill(&line));
    }
    if deviations.is_empty() {
        println!("All {} verdicts are as expected.", outcomes.len());
    }
    Ok(deviations.is_empty())
}

/// Grades a proxy: each experiment as soon as it and those before it are done.
fn check(
    chosen: &[&'static Experiment],
    spec: &Spec,
    jobs: usize,
    told: Option<Grades>,
) -> Result<u8> {
    let outcomes = grades::run(chosen, spec, jobs, told, |_| false);
    match (told, outcomes.first()) {
        (None, _) => print_json(&Findings::of(&outcomes))?,
        (Some(grades), Some(first)) if first.verdict.kind == Kind::Absent => {
            print!("{}", grades.absent(first));
        }
        (Some(grades), _) => print!("\n{}", grades.closing(&outcomes, spec)),
    }
    Ok(report::exit_status(&outcomes))
}

/// Tries the reader's own proxy, and again at every save.
fn learn(at: Option<u32>, all_hints: bool, once: bool, command: Vec<String>) -> Result<u8> {
    let root = ladder::root();
    let all = milestones::read(&root, ladder()).map_err(anyhow::Error::msg)?;
    let chosen = match at {
        None => &all[..],
        Some(chapter) => {
            let is_it = |it: &Milestone| it.step(ladder()).number() == chapter;
            let place = all.iter().position(is_it).ok_or_else(|| {
                Usage(format!("there is no chapter {chapter}; the last one is {}", all.len()))
            })?;
            &all[place..=place]
        }
    };
    let own = || vec![root.join("steps/mine")];
    let (spec, watched, subject) = match command.is_empty() {
        true => (None, own(), "mine".to_string()),
        false => {
            let spec = proxy_from(command, PATIENCE)?;
            let subject = format!("-- {}", grades::shell(&spec.command));
            let watched = learn::files_of(&spec.command)?;
            (Some(spec), watched, subject)
        }
    };
    let lesson = Lesson { milestones: chosen, all_hints, subject, watched };
    let mut saved = Saved::of(&lesson.watched);
    let mut open = 0;
    loop {
        let spec = spec.clone().map_or_else(mine, Ok);
        let status = match spec {
            Ok(spec) => lesson.look(&spec, &mut open).exit_status(),
            Err(error) => {
                eprintln!("{error:#}");
                1
            }
        };
        if once {
            return Ok(status);
        }
        ensure!(
            !lesson.watched.is_empty(),
            Usage(
                "no word of the command is a file that could be watched: --once looks once".into()
            )
        );
        learn::say_what_is_awaited(&lesson.watched, &root);
        lesson.wait_for_a_save(&mut saved);
        println!();
    }
}

/// The reader's own proxy, built.
fn mine() -> Result<Spec> {
    let path = own_directory()?.join("mine");
    build(&["--bin", "mine"]).context("your proxy does not compile yet")?;
    ensure!(path.exists(), "{} is not there: run `cargo build` first", path.display());
    let command = [&path.to_string_lossy(), "{listen}", "{backend}"].map(String::from);
    Ok(Spec::foreign(command.into()))
}

fn list(json: bool) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        question: &'static str,
        expected: BTreeMap<&'static str, Expectation>,
    }
    if !json {
        print!("{}", explain::all(Columns::of_stdout()));
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
        let what = match ladder().step(name) {
            Some(_) => format!(
                "{name} is a step; the experiment comes before it, as in `show crowd {name}`"
            ),
            None => names::unknown("experiment", name, &known),
        };
        Usage(what).into()
    })
}

/// The experiments of these names, each once, or all of them where none is named.
fn experiments_named(names: &[String]) -> Result<Vec<&'static Experiment>> {
    let mut chosen: Vec<&Experiment> = vec![];
    for name in names {
        let experiment = experiment_named(name)?;
        if chosen.iter().all(|one| one.name != experiment.name) {
            chosen.push(experiment);
        }
    }
    Ok(if names.is_empty() { experiments::ALL.iter().collect() } else { chosen })
}

/// The proxy that the arguments name: a step, or a command.
fn proxy_from(mut words: Vec<String>, patience: Duration) -> Result<Spec> {
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    let line = words.join(" ");
    if line == "mine" {
        return Ok(Spec { patience, ..mine()? });
    }
    if ladder().step(&line).is_some() {
        let known = steps()?.into_iter().find(|spec| spec.name == line);
        return known.with_context(|| format!("{line} has not been built"));
    }
    let has = |placeholder: &str| line.contains(placeholder);
    if words.len() == 1 && !has("{") {
        let known: Vec<_> = ladder().steps.iter().map(|step| step.name.as_str()).collect();
        let mut what = names::unknown("step", &line, &known);
        if names::nearest(&line, &known).is_empty() {
            what += "; any other proxy is a command with {listen} and {backend} in it";
        }
        bail!(Usage(what));
    }
    if !has("{") && ladder().step(&words[0]).is_some() {
        let step = &words[0];
        bail!(Usage(format!(
            "{step} is a step, and nothing may follow it: options come before it"
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
    let directory = own_directory()?;
    let bins = ladder().steps.iter().flat_map(|step| ["--bin", &step.name]);
    build(&bins.collect::<Vec<_>>()).context("the steps could not be built")?;
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

/// Where this program and those of the steps are.
fn own_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding the own program")?;
    Ok(own.parent().context("the own program has no directory")?.into())
}

/// Builds these steps as [`build`] does, optimized.
fn build_release(steps: &[&str]) -> Result<()> {
    let bins = steps.iter().flat_map(|step| ["--bin", step]).chain(["--release"]);
    if steps.is_empty() {
        return Ok(());
    }
    build(&bins.collect::<Vec<_>>()).context("the steps could not be built")
}

/// If cargo has started us, builds these programs of the workbook, so that they are as new as their
/// sources. The compiler's messages go to the terminal.
fn build(bins: &[&str]) -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.current_dir(ladder::root());
    command.args(["build", "--quiet", "--package", "dropped-write"]).args(bins);
    if own_directory()?.ends_with("release") && !bins.contains(&"--release") {
        command.arg("--release");
    }
    let status = command.status().context("running cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
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
        progress::interrupt();
        // A terminal that is stopped (Ctrl-S) must not keep us from ending what we have started.
        let terminal = std::thread::spawn(progress::leave_terminal);
        lab::subject::program::kill_all();
        wait::true_within(Duration::from_secs(1), || terminal.is_finished());
        std::process::exit(128 + signal);
    });
    Ok(())
}
