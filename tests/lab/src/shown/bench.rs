//! The bench: programs side by side, by their speed and by what a stalled client costs.

use std::path::Path;

use anstream::{eprintln, println};
use anyhow::{Context, Result, bail, ensure};

use crate::arrived::verdict::Kind;
use crate::experiments;
use crate::ladder::ladder;
use crate::numbers::{size, thousands};
use crate::scoreboard::record::machine;
use crate::scoreboard::speed::{self, Speed};
use crate::scoreboard::{Candidate, Presence, SCRIPTS};
use crate::subject::proxy::{CROWD, Spec};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// How much is sent through one connection, in MB (10⁶ bytes)
    #[arg(long, default_value_t = 2000)]
    megabytes: u64,
    /// How often each program has its turn; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many clients may stall at a time
    #[arg(long, default_value_t = CROWD)]
    clients: u64,
    /// Steps, and programs of tests/lab/proxies. Options of a step follow its name:
    /// "05-backpressure --kernel=0"
    #[arg(required = true)]
    pub programs: Vec<String>,
}

/// A program on the bench.
struct Runner {
    /// As it was named.
    name: String,
    /// What it is and its version, if it is none of ours.
    version: Option<String>,
    spec: Spec,
    speeds: Vec<Speed>,
}

/// The steps that these programs name.
pub fn steps_among(programs: &[String]) -> Vec<&str> {
    let first = programs.iter().filter_map(|program| program.split_whitespace().next());
    first.filter(|name| ladder().step(name).is_some()).collect()
}

impl Runner {
    /// `release`: the directory with the steps' release builds.
    fn named(program: &str, root: &Path, release: &Path) -> Result<Runner> {
        let mut words = program.split_whitespace();
        let name = words.next().context("a program without a name")?;
        let (spec, version) = match ladder().step(name) {
            Some(_) => {
                let mut spec = Spec::step(release.join(name));
                let options = words.map(String::from);
                spec.command.splice(1..1, options);
                (spec, None)
            }
            None => {
                ensure!(words.next().is_none(), "{name} is no step, and takes no options");
                let all = Candidate::all(&root.join(SCRIPTS))?;
                let Some(candidate) = all.iter().find(|one| one.name == name) else {
                    bail!("{name} is neither a step nor a program of {SCRIPTS}");
                };
                match candidate.presence()? {
                    Presence::Installed { program, version } => {
                        (candidate.spec(), Some(format!("{program} {version}")))
                    }
                    Presence::Missing(why) => bail!("{why}"),
                }
            }
        };
        Ok(Runner { name: program.into(), version, spec, speeds: vec![] })
    }

    /// What a client costs that read 4 MiB and then stalled: the kernel's and the proxy's memory in bytes,
    /// and how many there were.
    fn stalled(&self, clients: u64) -> Result<[u64; 3]> {
        let experiment = experiments::named("stalled-crowd").expect("it is one of them");
        let outcome = experiment.run(&Spec { crowd: clients, ..self.spec.clone() });
        let verdict = outcome.verdict;
        ensure!(
            verdict.kind == Kind::Exact,
            "{}: {}: {}",
            self.name,
            verdict.kind,
            verdict.sentence
        );
        let figure = |name: &str| {
            let named =
                verdict.figures.iter().find(|figure| figure.name == format!("stalled: {name}"));
            named.map_or(0, |figure| figure.value)
        };
        Ok([figure("kernel"), figure("user"), figure("clients")])
    }

    fn median(&self, of: impl Fn(&Speed) -> f64) -> f64 {
        let mut all: Vec<f64> = self.speeds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }
}

/// Measures and prints. The programs take turns, so that whatever else the machine does meets all of them.
///
/// # Errors
/// When a program cannot be started, or does not pass on every byte.
pub fn run(options: &Options, root: &Path, release: &Path) -> Result<()> {
    let all = options.programs.iter();
    let mut runners: Vec<Runner> =
        all.map(|program| Runner::named(program, root, release)).collect::<Result<_>>()?;
    ensure!(options.rounds > 0 && options.megabytes > 0, "there is nothing to measure");
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for runner in &mut runners {
            let speed = speed::transfer(&runner.spec, options.megabytes * 1_000_000)?;
            runner.speeds.push(speed);
        }
    }
    eprintln!("clients that stall");
    let stalled: Vec<[u64; 3]> =
        runners.iter().map(|runner| runner.stalled(options.clients)).collect::<Result<_>>()?;
    println!("{}", machine());
    for version in runners.iter().filter_map(|runner| runner.version.as_ref()) {
        println!("{version}");
    }
    println!(
        "\n{} MB through one connection, {} rounds, every byte checked; the ratios are to the first line.",
        thousands(options.megabytes),
        options.rounds
    );
    println!("A stalled client has read 4 MiB of 24.\n");
    println!(
        "{:27} {:^13}  {:^13}  {:^24}",
        "", "throughput", "processor", "a stalled client costs"
    );
    println!(
        "{:27} {:>6} {:>6}  {:>6} {:>6}  {:>8} {:>9} {:>6}",
        "", "GB/s", "ratio", "s/GB", "ratio", "kernel", "proxy", "of"
    );
    let base =
        [runners[0].median(Speed::gb_per_second), runners[0].median(Speed::processor_per_gb)];
    for (runner, [kernel, user, clients]) in runners.iter().zip(stalled) {
        let fast = runner.median(Speed::gb_per_second);
        let busy = runner.median(Speed::processor_per_gb);
        println!(
            "{:27} {fast:>6.2} {:>6.2}  {busy:>6.2} {:>6.2}  {:>8} {:>9} {clients:>6}",
            runner.name,
            fast / base[0],
            busy / base[1],
            size(kernel),
            size(user),
        );
    }
    Ok(())
}
