//! The scenes: who is started, who does what, and which terminals are recorded.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::thread;

use lab::experiments;
use lab::matrix::{self, STEPS};

use crate::transcripts::paper::{self, Paper, Recording};
use crate::transcripts::stage::{self, Program, ROOT, Result, Role, Stage, Terminal, Tool};

/// Some terminals that are recorded together.
pub struct Scene {
    pub name: &'static str,
    /// What must be installed.
    pub needs: &'static [Tool],
    /// The transcripts, in the order in which the recordings come.
    pub papers: &'static [Paper],
    pub play: fn(&mut Stage) -> Result<Vec<Recording>>,
}

const BACKEND: &str = "cargo lab backend";
const CURL: &str = "curl --silent --show-error --output page.txt http://127.0.0.1:8080/";
const CURL_2_SECONDS: &str =
    "curl --silent --show-error --max-time 2 --output page.txt http://127.0.0.1:8080/";
/// README's command, without a progress meter.
const CURL_25M: &str =
    "curl --silent --show-error --limit-rate 25M --output page.txt http://127.0.0.1:8080/";
/// The first line of a page that does not stand where it says.
const OUT_OF_PLACE: &str =
    r#"awk '$1 != sprintf("%010x", 16 * (NR - 1)) { print "line " NR ": " $0; exit }' page.txt"#;

/// A transcript of which nothing may differ.
const fn exact(name: &'static str) -> Paper {
    Paper { name, may_differ: "", masks: &[] }
}

/// A transcript whose numbers are the kernel's, or the machine's.
const fn numbers(name: &'static str) -> Paper {
    Paper { name, may_differ: "numbers", masks: &[paper::numbers] }
}

/// A transcript in which a curl gives up waiting.
const fn impatient(name: &'static str) -> Paper {
    Paper { name, may_differ: "milliseconds", masks: &[paper::milliseconds] }
}

/// A backend's terminal: how far it came, and how it was left, depend on who is faster.
const fn left(name: &'static str) -> Paper {
    Paper {
        name,
        may_differ: "numbers, how the connection was lost",
        masks: &[paper::departure, paper::numbers],
    }
}

/// A story about a hole.
const fn hole(name: &'static str) -> Paper {
    Paper { name, may_differ: "numbers, how many gaps", masks: &[paper::numbers, paper::gaps] }
}

/// A terminal that shows lines of a damaged page.
const fn damaged(name: &'static str) -> Paper {
    Paper { name, may_differ: "the lines of the page", masks: &[paper::page] }
}

/// All scenes, those that take longest first.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "a stalled client freezes 02",
        needs: &[Tool::Curl, Tool::Ps, Tool::Ss],
        papers: &[
            impatient("02-curl-two"),
            numbers("02-client"),
            Paper {
                name: "02-asleep",
                may_differ: "where the kernel waits",
                masks: &[paper::wait_channel],
            },
            numbers("02-queues"),
        ],
        play: |stage| {
            let _backend = stage.backend(BACKEND)?;
            let proxy = stage.proxy("cargo run --bin 02-naive-epoll")?;
            let mut client = stage.start("cargo lab client --stall 10")?;
            client.wait_for("it stalls", |text| text.contains("Not reading"))?;
            stage.until_stuck(&proxy)?;
            let curl = "curl --silent --show-error --max-time 2 --output small.txt http://127.0.0.1:8080/small";
            let [mut small, mut asleep, mut queues] = Default::default();
            let status = stage.run_and_ask(&mut small, curl)?;
            let ps = "ps -C 02-naive-epoll -o stat,wchan:16,comm";
            stage.run_as(&mut asleep, ps, &ps.replace("-C 02-naive-epoll", &proxy.pid_option()))?;
            stage.sockets(&mut queues, "ss --tcp --numeric sport = :8080")?;
            // On a very busy machine the ten seconds may have been too short.
            let in_time = client.text().lines().count() == 1;
            client.ended()?;
            if status != 28 && in_time {
                return Err(format!("curl was served, or refused: exit status {status}"));
            }
            let recordings = vec![
                stage.record("02-curl-two", &small),
                stage.record("02-client", &client.terminal()),
                stage.record("02-asleep", &asleep),
                stage.record("02-queues", &queues),
            ];
            Ok(unusual_unless(in_time, recordings))
        },
    },
    Scene {
        name: "a stalled client keeps 01 busy",
        needs: &[Tool::Curl],
        papers: &[impatient("01-second"), left("01-second-backend")],
        play: |stage| {
            let backend = stage.backend(BACKEND)?;
            let _proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let mut client = stage.start("cargo lab client --stall 10")?;
            backend.wait_for("it is asked", |text| text.contains("connection 1: / is asked"))?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL_2_SECONDS)?;
            client.ended()?;
            backend.wait_for("the second is over", |text| is_over(text, 2))?;
            Ok(vec![
                stage.record("01-second", &curl),
                stage.record("01-second-backend", &backend.terminal()),
            ])
        },
    },
    Scene {
        name: "a short page keeps nobody busy",
        needs: &[Tool::Curl],
        papers: &[exact("where-small-second")],
        play: |stage| {
            let backend = stage.backend("cargo lab backend --size 2M")?;
            let _proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let client = stage.start("cargo lab client --stall 10 --size 2M")?;
            backend.wait_for("it has sent all", |text| is_over(text, 1))?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL_2_SECONDS)?;
            // What the stalled client does afterwards is no part of this.
            drop(client);
            Ok(vec![stage.record("where-small-second", &curl)])
        },
    },
    Scene {
        name: "write_all is no way out",
        needs: &[Tool::Curl],
        papers: &[hole("03-write-all"), numbers("03-write-all-run"), numbers("03-write-all-curl")],
        play: |stage| {
            stage.programs_with_answer("03-write-all", "03-dropped-write")?;
            let mut story = Terminal::default();
            stage.run(&mut story, "cargo lab show two-acts 03-dropped-write")?;
            let _backend = stage.backend(BACKEND)?;
            let proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL_25M)?;
            proxy.wait_for("it complains", |text| text.contains("connection 1"))?;
            Ok(vec![
                stage.record("03-write-all", &story),
                stage.record("03-write-all-run", &proxy.terminal()),
                stage.record("03-write-all-curl", &curl),
            ])
        },
    },
    Scene {
        name: "02, both ways",
        needs: &[],
        papers: &[numbers("02-show-both-ways")],
        play: |stage| show(stage, "02-show-both-ways", "both-ways 02-naive-epoll", ""),
    },
    Scene {
        name: "through 04",
        needs: &[Tool::Curl],
        papers: &[numbers("04-curl")],
        play: |stage| {
            let backend = stage.backend(BACKEND)?;
            let _proxy = stage.proxy("cargo run --bin 04-output-buffer")?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL_25M)?;
            let size = page_size(stage, &mut curl)?;
            if size != promised(&backend)? {
                return Err(format!("the page has {size} bytes"));
            }
            stage.run(&mut curl, OUT_OF_PLACE)?;
            Ok(vec![stage.record("04-curl", &curl)])
        },
    },
    Scene {
        name: "an upload through 01",
        needs: &[],
        papers: &[numbers("01-upload")],
        play: |stage| {
            let _backend = stage.backend(BACKEND)?;
            let _proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let mut terminal = Terminal::default();
            stage.run(&mut terminal, "cargo lab client --upload 60K")?;
            stage.run_and_ask(&mut terminal, "timeout 5 cargo lab client --upload 70K")?;
            Ok(vec![stage.record("01-upload", &terminal)])
        },
    },
    Scene {
        name: "03 at the speed of its client",
        needs: &[Tool::Curl],
        papers: &[exact("03-same-speed")],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 20M --rate 5M")?;
            let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            // A machine that lets curl wait for most of a second makes a slow client of it.
            for _ in 0..3 {
                let mut curl = Terminal::default();
                if stage.run_and_ask(&mut curl, CURL)? == 0 {
                    return Ok(vec![stage.record("03-same-speed", &curl)]);
                }
            }
            Err("bytes are lost, three times in a row".into())
        },
    },
    Scene {
        name: "direct, and longer than the kernel's queues",
        needs: &[Tool::Ss],
        papers: &[
            numbers("where-long-backend"),
            numbers("where-long-client"),
            numbers("where-queues-direct"),
        ],
        play: |stage| {
            let backend = stage.backend("cargo lab backend --size 16M")?;
            let mut client = stage.start("cargo lab client 127.0.0.1:9000 --stall 3 --size 16M")?;
            stage.until_stuck(&backend)?;
            let mut queues = Terminal::default();
            stage.sockets(&mut queues, "ss -tn 'sport = :9000 or dport = :9000'")?;
            client.ended()?;
            backend.wait_for("it has sent all", |text| is_over(text, 1))?;
            Ok(vec![
                stage.record("where-long-backend", &backend.terminal()),
                stage.record("where-long-client", &client.terminal()),
                stage.record("where-queues-direct", &queues),
            ])
        },
    },
    Scene {
        name: "the queues on both sides of 01",
        needs: &[Tool::Ss],
        papers: &[numbers("where-queues-hops")],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 16M")?;
            let proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let _client = stage.start("cargo lab client --stall 3 --size 16M")?;
            stage.until_stuck(&proxy)?;
            let mut queues = Terminal::default();
            let ss = "ss -tn 'sport = :8080 or dport = :8080 or sport = :9000 or dport = :9000'";
            stage.sockets(&mut queues, ss)?;
            Ok(vec![stage.record("where-queues-hops", &queues)])
        },
    },
    Scene {
        name: "direct, and short",
        needs: &[],
        papers: &[numbers("where-short-backend"), numbers("where-short-client")],
        play: |stage| {
            let backend = stage.backend("cargo lab backend --size 2M")?;
            let mut client = stage.start("cargo lab client 127.0.0.1:9000 --stall 3 --size 2M")?;
            client.ended()?;
            Ok(vec![
                stage.record("where-short-backend", &backend.terminal()),
                stage.record("where-short-client", &client.terminal()),
            ])
        },
    },
    Scene {
        name: "through 01, more than one hop takes",
        needs: &[],
        papers: &[numbers("where-hops-backend"), numbers("where-hops-client")],
        play: |stage| {
            let backend = stage.backend("cargo lab backend --size 6M")?;
            let _proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let mut client = stage.start("cargo lab client --stall 3 --size 6M")?;
            client.ended()?;
            Ok(vec![
                stage.record("where-hops-backend", &backend.terminal()),
                stage.record("where-hops-client", &client.terminal()),
            ])
        },
    },
    Scene {
        name: "through 03, hidden by the kernel",
        needs: &[],
        papers: &[numbers("where-hidden-client")],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 2M")?;
            let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            let mut client = stage.start("cargo lab client --stall 3 --size 2M")?;
            client.ended()?;
            Ok(vec![stage.record("where-hidden-client", &client.terminal())])
        },
    },
    Scene {
        name: "a page whose end is told by closing",
        needs: &[Tool::Curl],
        papers: &[numbers("wreckage-close")],
        play: |stage| {
            let backend = stage.backend("cargo lab backend --framing close")?;
            let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL_25M)?;
            let size = page_size(stage, &mut curl)?;
            if size >= promised(&backend)? {
                return Err(format!("nothing is lost: the page has {size} bytes"));
            }
            Ok(vec![stage.record("wreckage-close", &curl)])
        },
    },
    Scene {
        name: "a page whose length is told",
        needs: &[Tool::Curl],
        papers: &[Paper {
            name: "wreckage-length",
            may_differ: "numbers, the line of the page",
            masks: &[paper::numbers, paper::out_of_place],
        }],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --framing content-length")?;
            let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            let mut curl = Terminal::default();
            let status = stage.run_and_ask(&mut curl, CURL_25M)?;
            stage.run(&mut curl, OUT_OF_PLACE)?;
            let is_hole = curl.text.lines().last().is_some_and(|line| line.starts_with("line "));
            let recordings = vec![stage.record("wreckage-length", &curl)];
            match status {
                18 => Ok(unusual_unless(is_hole, recordings)),
                _ => Err(format!("curl ends with {status}, not with 18")),
            }
        },
    },
    Scene {
        name: "a backend that keeps the connection",
        needs: &[Tool::Curl, Tool::Python],
        papers: &[impatient("01-keep-alive")],
        play: |stage| {
            let _backend = stage
                .backend("python3 -m http.server --protocol HTTP/1.1 --bind 127.0.0.1 9000")?;
            let _proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let mut curl = Terminal::default();
            for name in ["one", "two"] {
                let command = "curl --silent --show-error --max-time 2 --output ONE.txt http://127.0.0.1:8080/README.md";
                stage.run_and_ask(&mut curl, &command.replace("ONE", name))?;
            }
            Ok(vec![stage.record("01-keep-alive", &curl)])
        },
    },
    Scene {
        name: "04, no bound",
        needs: &[],
        papers: &[numbers("04-show-pile-up")],
        play: |stage| show(stage, "04-show-pile-up", "pile-up 04-output-buffer", ""),
    },
    Scene {
        name: "01, a crowd",
        needs: &[],
        papers: &[numbers("01-show-crowd")],
        play: |stage| show(stage, "01-show-crowd", "crowd 01-blocking", ""),
    },
    Scene {
        name: "02, a crowd",
        needs: &[],
        papers: &[numbers("02-show-crowd")],
        play: |stage| show(stage, "02-show-crowd", "crowd 02-naive-epoll", ""),
    },
    Scene {
        name: "01, an upload",
        needs: &[],
        papers: &[numbers("01-show-upload")],
        play: |stage| show(stage, "01-show-upload", "upload 01-blocking", ""),
    },
    Scene {
        name: "03, two acts",
        needs: &[],
        papers: &[hole("03-show-two-acts")],
        play: |stage| show(stage, "03-show-two-acts", "two-acts 03-dropped-write", "hole: "),
    },
    Scene {
        name: "03, where the bytes go",
        needs: &[],
        papers: &[numbers("03-show-pile-up")],
        play: |stage| show(stage, "03-show-pile-up", "pile-up 03-dropped-write", ""),
    },
    Scene {
        name: "03, an upload",
        needs: &[],
        papers: &[hole("03-show-upload")],
        play: |stage| show(stage, "03-show-upload", "upload 03-dropped-write", "truncated: "),
    },
    Scene {
        name: "through 03",
        needs: &[Tool::Curl],
        papers: &[
            exact("03-curl"),
            Paper {
                name: "03-backend",
                may_differ: "numbers, how the connection was lost, if it was",
                masks: &[paper::departure, paper::numbers, paper::over],
            },
            damaged("03-page"),
        ],
        play: |stage| {
            let backend = stage.backend(BACKEND)?;
            let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            let mut curl = Terminal::default();
            let status = stage.run_and_ask(&mut curl, CURL_25M)?;
            backend.wait_for("it is over", |text| is_over(text, 1))?;
            let mut page = Terminal::default();
            page_size(stage, &mut page)?;
            stage.run(&mut page, OUT_OF_PLACE)?;
            let line = page.text.lines().last().and_then(|line| {
                line.strip_prefix("line ")?.split(':').next()?.parse::<usize>().ok()
            });
            if let Some(line) = line {
                let sed = format!("sed --quiet '{},{}p' page.txt", line - 3, line + 3);
                stage.run_computed(&mut page, &sed)?;
            }
            let left = backend.text().contains("connection 1: after");
            let recordings = vec![
                stage.record("03-curl", &curl),
                stage.record("03-backend", &backend.terminal()),
                stage.record("03-page", &page),
            ];
            match status {
                56 => Ok(unusual_unless(line.is_some() && (left || !stage.recording), recordings)),
                18 if words_of_18(&curl.text) => Ok(unusual_unless(false, recordings)),
                _ => Err(format!("curl ends with {status}:\n{}", curl.text)),
            }
        },
    },
    Scene {
        name: "through 03, raw",
        needs: &[Tool::Curl, Tool::Xxd],
        papers: &[damaged("wreckage-raw")],
        play: wreckage_raw,
    },
    Scene {
        name: "a chunk is swallowed",
        needs: &[Tool::Curl],
        papers: &[exact("wreckage-swallow"), exact("wreckage-swallow-relay")],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 200K")?;
            let relay = stage.proxy("cargo lab relay swallow-chunk")?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL)?;
            page_size(stage, &mut curl)?;
            stage.run(&mut curl, OUT_OF_PLACE)?;
            Ok(vec![
                stage.record("wreckage-swallow", &curl),
                stage.record("wreckage-swallow-relay", &relay.terminal()),
            ])
        },
    },
    Scene {
        name: "chunks as they are",
        needs: &[Tool::Curl],
        papers: &[exact("wreckage-by-hand")],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 48")?;
            let mut curl = Terminal::default();
            let command = "curl --silent --raw --include http://127.0.0.1:9000/ | cat -A";
            stage.run(&mut curl, command)?;
            Ok(vec![stage.record("wreckage-by-hand", &curl)])
        },
    },
    Scene {
        name: "03, watched by strace",
        needs: &[Tool::Curl, Tool::Strace],
        papers: &[Paper {
            name: "strace-write",
            may_differ: "numbers",
            masks: &[paper::numbers, paper::one_space],
        }],
        play: |stage| {
            let _backend = stage.backend(BACKEND)?;
            let strace = "strace -e trace=read,write -s 0 target/debug/03-dropped-write";
            let proxy = stage.proxy(strace)?;
            let url = "curl --silent http://127.0.0.1:8080/";
            let (_curl, _pipe) = stage.start_stalled(url)?;
            proxy.wait_for("writes are refused", |text| text.matches("EAGAIN").count() > 3)?;
            let text = proxy.text();
            let lines: Vec<&str> = text.lines().collect();
            let refused = lines.iter().position(|line| line.contains("EAGAIN")).expect("waited");
            let mut terminal = Terminal::default();
            // Two pairs before the first that is refused, and two after it.
            let (from, to) = (refused.saturating_sub(5), (refused + 5).min(lines.len()));
            terminal.show(strace, &format!("…\n{}\n…", lines[from..to].join("\n")));
            Ok(vec![stage.record("strace-write", &terminal)])
        },
    },
    Scene {
        name: "04, watched by strace",
        needs: &[Tool::Curl, Tool::Strace],
        papers: &[Paper {
            name: "04-strace-epoll",
            may_differ: "numbers, how many writes",
            masks: &[paper::numbers, paper::one_space, paper::writes],
        }],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size endless --rate 20M")?;
            let strace = "strace -e trace=write,epoll_ctl -s 0 target/debug/04-output-buffer";
            let proxy = stage.proxy(strace)?;
            let url = "curl --silent --no-buffer http://127.0.0.1:8080/";
            let (curl, mut pipe) = stage.start_stalled(url)?;
            proxy.wait_for("it waits for room", |text| text.contains("EPOLLIN|EPOLLOUT"))?;
            // Now somebody reads what curl has, faster than the backend sends.
            let reader = thread::spawn(move || {
                let mut block = vec![0; 1 << 16];
                while pipe.read(&mut block).is_ok_and(|count| count > 0) {}
            });
            let mut window = vec![];
            proxy.wait_for("it waits no longer", |text| {
                let lines: Vec<&str> = text.lines().collect();
                let changes = |line: &&str| line.contains("EPOLL_CTL_MOD");
                let Some(armed) = lines.iter().position(changes) else { return false };
                let rest = &lines[armed + 1..];
                let Some(disarmed) = rest.iter().position(changes) else { return false };
                if rest.len() < disarmed + 4 {
                    return false;
                }
                let own = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect();
                window = vec![
                    own(&lines[armed.saturating_sub(3)..=armed]),
                    own(&rest[..disarmed]),
                    own(&rest[disarmed..disarmed + 3]),
                ];
                true
            })?;
            drop(curl);
            reader.join().map_err(|_| "the reader of the pipe failed")?;
            let [before, mut between, after] = <[Vec<String>; 3]>::try_from(window).expect("three");
            // Some writes from the FIFO are like all of them.
            if between.len() > 6 {
                between.splice(3..between.len() - 3, ["…".to_string()]);
            }
            let lines = [vec!["…".into()], before, between, after, vec!["…".into()]].concat();
            let mut terminal = Terminal::default();
            terminal.show(strace, &lines.join("\n"));
            Ok(vec![stage.record("04-strace-epoll", &terminal)])
        },
    },
    Scene {
        name: "through 01",
        needs: &[Tool::Curl],
        papers: &[exact("01-run"), exact("01-curl")],
        play: |stage| {
            let _backend = stage.backend(BACKEND)?;
            let proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL)?;
            stage.run(&mut curl, "head -n 4 page.txt")?;
            Ok(vec![stage.record("01-run", &proxy.terminal()), stage.record("01-curl", &curl)])
        },
    },
    Scene {
        name: "through 03, short",
        needs: &[Tool::Curl],
        papers: &[exact("03-short")],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 200K")?;
            let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
            let mut curl = Terminal::default();
            stage.run_and_ask(&mut curl, CURL_25M)?;
            Ok(vec![stage.record("03-short", &curl)])
        },
    },
    Scene {
        name: "the doctor",
        needs: &[Tool::Curl, Tool::Strace],
        papers: &[numbers("where-doctor"), numbers("where-taken")],
        play: |stage| {
            let [mut doctor, mut taken] = <[Terminal; 2]>::default();
            stage.run(&mut doctor, "cargo lab doctor")?;
            stage.run(&mut taken, "cargo lab doctor | grep -A 3 'kernel takes'")?;
            // A kernel's release may end in a name that its builder gave it.
            let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            let plain = release.trim().split('-').next().unwrap_or_default();
            doctor.text = doctor.text.replace(release.trim(), plain);
            Ok(vec![stage.record("where-doctor", &doctor), stage.record("where-taken", &taken)])
        },
    },
    Scene {
        name: "the matrix",
        needs: &[],
        papers: &[exact("matrix")],
        play: |stage| match stage.recording {
            true => record_matrix(stage),
            false => check_matrix(),
        },
    },
];

/// An experiment as a story. The usual one contains `usual`.
fn show(
    stage: &Stage,
    name: &'static str,
    experiment: &str,
    usual: &str,
) -> Result<Vec<Recording>> {
    let mut terminal = Terminal::default();
    stage.run(&mut terminal, &format!("cargo lab show {experiment}"))?;
    if terminal.status != 0 {
        return Err(format!("it is not as the matrix says:\n{}", terminal.text));
    }
    let is_usual = terminal.text.contains(usual);
    Ok(unusual_unless(is_usual, vec![stage.record(name, &terminal)]))
}

/// What came through 03 in its raw form: the chunk that the jump is in, and the place where the next
/// chunk should begin.
fn wreckage_raw(stage: &mut Stage) -> Result<Vec<Recording>> {
    /// A chunk with its header, line ends and all: what lies between two headers.
    const STRIDE: usize = 30_011 + 8;
    let _backend = stage.backend(BACKEND)?;
    let _proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
    let mut terminal = Terminal::default();
    let curl =
        "curl --silent --show-error --raw --limit-rate 25M --output raw.txt http://127.0.0.1:8080/";
    let status = stage.run_and_ask(&mut terminal, curl)?;
    let grep = "grep --text --byte-offset --only-matching '^753b' raw.txt | tail --lines 3";
    stage.run(&mut terminal, grep)?;
    let raw = fs::read(stage.directory.path().join("raw.txt"))
        .map_err(|error| format!("reading raw.txt: {error}"))?;
    // The last header that stands where it belongs, and the place of the next one.
    let is_header = |at: usize| raw.get(at..at + 6) == Some(b"753b\r\n");
    let good = (0..raw.len()).step_by(STRIDE).take_while(|at| is_header(*at)).last();
    let Some(good) = good else { return Err("the first chunk has no header".into()) };
    let due = good + STRIDE;
    // The first byte in this chunk that is not the one that belongs there.
    let mut page = vec![0; 30_011];
    lab::coding::fill((good / STRIDE * 30_011) as u64, &mut page);
    let came = &raw[good + 6..];
    let jump = page.iter().zip(came).position(|(sent, got)| sent != got).map(|at| good + 6 + at);
    let there = jump.is_some() && raw.len() > due + 48;
    for at in [Some(good), jump, Some(due)].into_iter().flatten() {
        // A row of context before each place.
        let begin = at / 16 * 16 - 16 * usize::from(at >= 16);
        stage.run_computed(&mut terminal, &format!("xxd -s {begin} -l 64 raw.txt"))?;
    }
    let recordings = vec![stage.record("wreckage-raw", &terminal)];
    match status {
        56 | 18 => Ok(unusual_unless(status == 56 && there, recordings)),
        _ => Err(format!("curl ends with {status}:\n{}", terminal.text)),
    }
}

/// The size of page.txt, as `wc` shows it.
fn page_size(stage: &Stage, terminal: &mut Terminal) -> Result<u64> {
    stage.run(terminal, "wc -c page.txt")?;
    let shown = terminal.text.lines().last().unwrap_or_default();
    let bytes = shown.split(' ').next().unwrap_or_default();
    bytes.parse().map_err(|_| format!("wc says {shown:?}"))
}

/// The size of the page that a backend has announced.
fn promised(backend: &Program) -> Result<u64> {
    let text = backend.text();
    let bytes = text.split_once("a page of ").and_then(|(_, rest)| rest.split_once(' '));
    let bytes = bytes.map(|(bytes, _)| bytes.replace(',', "")).unwrap_or_default();
    bytes.parse().map_err(|_| format!("the backend says {text:?}"))
}

/// Whether a backend has told how its nth connection ended.
fn is_over(text: &str, number: usize) -> bool {
    ["sent all", "after"].iter().any(|word| text.contains(&format!("connection {number}: {word}")))
}

/// curl's words for a tail that is lost, where the version is one whose words are known.
fn words_of_18(text: &str) -> bool {
    let known = lab::curl::version().is_some_and(|version| lab::curl::RECORDED.contains(&version));
    !known || text.contains("transfer closed with outstanding read data remaining")
}

fn unusual_unless(usual: bool, mut recordings: Vec<Recording>) -> Vec<Recording> {
    for recording in &mut recordings {
        recording.unusual = !usual;
    }
    recordings
}

impl Stage {
    fn record(&self, name: &'static str, terminal: &Terminal) -> Recording {
        Recording { name, text: self.renamed(&terminal.text), unusual: false }
    }

    /// What `ss` shows: backend first and client last, and clients' ports that are always the same.
    fn sockets(&self, terminal: &mut Terminal, command: &str) -> Result<()> {
        let mut line = command.to_string();
        for (port, role) in [(":8080", Role::Proxy), (":9000", Role::Backend)] {
            if line.contains(port) {
                let address = self.address(role)?;
                let (_, number) = address.split_once(':').expect("an address has a port");
                line = line.replace(port, &format!(":{number}"));
            }
        }
        let mut program = self.start(&line)?;
        program.ended()?;
        let text = program.text();
        let mut lines = text.lines();
        let heading = lines.next().unwrap_or_default().to_string();
        // In columns: state, queues, own address, the other's address.
        let mut rows: Vec<Vec<String>> = lines
            .map(|line| line.split_whitespace().map(|word| self.renamed(word)).collect())
            .collect();
        let is_server = |address: &str| address.ends_with(":8080") || address.ends_with(":9000");
        let place = |row: &Vec<String>| {
            let [own, other] = [3, 4].map(|at| row.get(at).cloned().unwrap_or_default());
            let far = |address: &str| address.ends_with(":8080");
            (far(&own) || far(&other), !is_server(&own))
        };
        rows.sort_by_key(place);
        // Clients of 9000 and of 8080, by whatever port they came from.
        let clients: BTreeSet<(bool, String)> = rows
            .iter()
            .flat_map(|row| row[3.min(row.len())..].iter().map(|word| (place(row).0, word.clone())))
            .filter(|(_, word)| !is_server(word))
            .collect();
        let shown: Vec<_> = ["127.0.0.1:50001", "127.0.0.1:50002", "127.0.0.1:50003"].into();
        let mut output = heading.clone();
        for row in &mut rows {
            for (client, shown) in clients.iter().zip(&shown) {
                for word in row.iter_mut().filter(|word| **word == client.1) {
                    *word = shown.to_string();
                }
            }
            let [state, receive, send, own, other] = &row[..] else {
                return Err(format!("ss shows {row:?}"));
            };
            output += &format!("\n{state:5} {receive:<6} {send:<7} {own:>18} {other:>16}");
        }
        terminal.show(command, &output);
        Ok(())
    }

    /// Directs all programs of the repository to a copy of them in which a step has been changed as
    /// an answer of the book says.
    fn programs_with_answer(&mut self, answer: &str, step: &'static str) -> Result<()> {
        let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(answer);
        let source = package.join("steps").join(step);
        let wrong = |error: std::io::Error| format!("preparing {answer}: {error}");
        fs::create_dir_all(&source).map_err(wrong)?;
        let original = Path::new(ROOT).join("steps").join(step).join("main.rs");
        fs::copy(original, source.join("main.rs")).map_err(wrong)?;
        let mut git = Command::new("git");
        git.arg("apply").arg(Path::new(ROOT).join(format!("book/answers/{answer}.patch")));
        // Not as a part of the repository around it.
        git.current_dir(&package).env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"));
        stage::finish(git, &format!("applying {answer}.patch"))?;

        let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).map_err(wrong)?;
        fs::write(package.join("Cargo.toml"), package_of_its_own(&manifest, step))
            .map_err(wrong)?;
        fs::copy(Path::new(ROOT).join("Cargo.lock"), package.join("Cargo.lock")).map_err(wrong)?;
        let mut cargo = stage::cargo();
        cargo.current_dir(&package).args(["build", "--quiet", "--offline"]);
        cargo.env("CARGO_TARGET_DIR", package.join("target"));
        stage::finish(cargo, &format!("building {answer}"))?;

        let programs = self.directory.path().join("programs");
        fs::create_dir(&programs).map_err(wrong)?;
        fs::hard_link(stage::lab()?, programs.join("lab")).map_err(wrong)?;
        for name in STEPS {
            let built = match name == step {
                true => package.join("target/debug"),
                false => stage::steps().into(),
            };
            fs::hard_link(built.join(name), programs.join(name)).map_err(wrong)?;
        }
        self.programs = Some(programs);
        Ok(())
    }
}

/// A manifest for one step alone, with the dependencies and profiles of the workspace's.
fn package_of_its_own(manifest: &str, step: &str) -> String {
    let mut text = format!(
        "[workspace]\n\n[package]\nname = \"answer\"\nedition = \"2024\"\n\n[[bin]]\nname = \"{step}\"\n\
         path = \"steps/{step}/main.rs\"\n\n"
    );
    let mut keep = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            let dependencies = line.contains("dependencies") && !line.contains("dev-");
            keep = dependencies || line.starts_with("[profile");
        }
        if keep {
            text += line;
            text.push('\n');
        }
    }
    text
}

const MATRIX: &str = "cargo lab matrix";

/// Runs all experiments and keeps the table at the end.
fn record_matrix(stage: &Stage) -> Result<Vec<Recording>> {
    let mut terminal = Terminal::default();
    stage.run(&mut terminal, MATRIX)?;
    if terminal.status != 0 {
        return Err(format!("it is not as expected:\n{}", terminal.text));
    }
    let table = terminal.text.split_once("\n\n").map_or("", |(_, table)| table);
    let mut shown = Terminal::default();
    shown.show(MATRIX, &format!("…\n\n{table}"));
    Ok(vec![stage.record("matrix", &shown)])
}

/// Compares the table with that of the laboratory. The tests of the steps run the experiments
/// themselves; to do it here too would only take time.
fn check_matrix() -> Result<Vec<Recording>> {
    let file = paper::directory().join("matrix.txt");
    let text = fs::read_to_string(&file).map_err(|error| format!("matrix.txt: {error}"))?;
    let (_, shown) = text.split_once("---\n").ok_or("matrix.txt has no line `---`")?;
    let mut cells = 0;
    for experiment in experiments::ALL {
        let row = shown.lines().find(|line| line.split(' ').next() == Some(experiment.name));
        let row = row.ok_or(format!("matrix.txt has no row {}", experiment.name))?;
        let row: Vec<char> = row.chars().collect();
        for (step, column) in STEPS.iter().zip(row.chunks(18).skip(1)) {
            let word = column.iter().collect::<String>().trim().to_string();
            let cell = matrix::expected(experiment.name, step).ok_or("the matrix has a hole")?;
            if !cell.kinds.iter().any(|kind| kind.word() == word) {
                let (name, wanted) = (experiment.name, cell.words());
                return Err(format!("matrix.txt: {step} in {name}: {word}, expected {wanted}"));
            }
            cells += 1;
        }
    }
    match shown.contains(&format!("All {cells} verdicts are as expected.")) {
        true => Ok(vec![Recording { name: "matrix", text: shown.into(), unusual: false }]),
        false => Err(format!("matrix.txt does not say that all {cells} are as expected")),
    }
}
