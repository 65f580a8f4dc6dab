//! The scenes: who is started, who does what, and which terminals are recorded.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::thread;

use lab::experiments;
use lab::ladder::ladder;

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

/// How many of the bytes that were to be written have not been taken.
const ADD_UP: &str = r#"awk -F'[)] += ' '/^write.5,/ { asked = $1; sub(/.*, /, "", asked); \
    lost += asked - ($2 > 0 ? $2 + 0 : 0) } END { print lost }' trace.txt"#;

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
            stage.run_as(
                &mut asleep,
                ps,
                &ps.replace("-C 02-naive-epoll", &format!("-p {}", proxy.pid())),
            )?;
            // A reader's proxy is in the foreground of its terminal; here there may be no terminal.
            asleep.text = asleep.text.replace("\nS    ", "\nS+   ");
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
        play: |stage| show(stage, "02-show-both-ways", "both-ways 02-naive-epoll"),
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
                if stage.run_and_ask(&mut curl, &CURL.replace("page", "slow"))? == 0 {
                    return Ok(vec![stage.record("03-same-speed", &curl)]);
                }
            }
            Err("bytes are lost, three times in a row".into())
        },
    },
    Scene {
        name: "direct, and longer than the kernel's queues",
        needs: &[Tool::Ss],
        papers: &[numbers("where-long-backend"), numbers("where-queues-direct")],
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
            // Most of the time it is more than the queues take.
            let waits = queues.text.matches("ESTAB").count() == 4;
            Ok(unusual_unless(waits, vec![stage.record("where-queues-hops", &queues)]))
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
        papers: &[numbers("where-hops-backend")],
        play: |stage| {
            let backend = stage.backend("cargo lab backend --size 6M")?;
            let _proxy = stage.proxy("cargo run --bin 01-blocking")?;
            let mut client = stage.start("cargo lab client --stall 3 --size 6M")?;
            client.ended()?;
            Ok(vec![stage.record("where-hops-backend", &backend.terminal())])
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
            until_bytes_are_lost(stage, "cargo lab backend --framing close", |stage, ends| {
                let mut curl = Terminal::default();
                let status = ends.curl(stage, &mut curl, CURL_25M)?;
                let size = page_size(stage, &mut curl)?;
                match status {
                    0 if size < promised(&ends.backend)? => {
                        Ok(Some(vec![stage.record("wreckage-close", &curl)]))
                    }
                    0 => Ok(None),
                    _ => Err(format!("curl ends with {status}:\n{}", curl.text)),
                }
            })
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
            let backend = "cargo lab backend --framing content-length";
            until_bytes_are_lost(stage, backend, |stage, ends| {
                let mut curl = Terminal::default();
                let status = ends.curl(stage, &mut curl, CURL_25M)?;
                stage.run(&mut curl, OUT_OF_PLACE)?;
                let last = curl.text.lines().last();
                let is_hole = last.is_some_and(|line| line.starts_with("line "));
                let recordings = vec![stage.record("wreckage-length", &curl)];
                match status {
                    18 => Ok(Some(unusual_unless(is_hole, recordings))),
                    0 => Ok(None),
                    _ => Err(format!("curl ends with {status}:\n{}", curl.text)),
                }
            })
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
        play: |stage| show(stage, "04-show-pile-up", "pile-up 04-output-buffer"),
    },
    Scene {
        name: "01, a crowd",
        needs: &[],
        papers: &[numbers("01-show-crowd")],
        play: |stage| show(stage, "01-show-crowd", "crowd 01-blocking"),
    },
    Scene {
        name: "02, a crowd",
        needs: &[],
        papers: &[numbers("02-show-crowd")],
        play: |stage| show(stage, "02-show-crowd", "crowd 02-naive-epoll"),
    },
    Scene {
        name: "01, an upload",
        needs: &[],
        papers: &[numbers("01-show-upload")],
        play: |stage| show(stage, "01-show-upload", "upload 01-blocking"),
    },
    Scene {
        name: "03, two acts",
        needs: &[],
        papers: &[hole("03-show-two-acts")],
        play: |stage| show(stage, "03-show-two-acts", "two-acts 03-dropped-write"),
    },
    Scene {
        name: "04, two acts",
        needs: &[],
        papers: &[numbers("04-show-two-acts")],
        play: |stage| show(stage, "04-show-two-acts", "two-acts 04-output-buffer"),
    },
    Scene {
        name: "03, where the bytes go",
        needs: &[],
        papers: &[hole("03-show-pile-up")],
        play: |stage| show(stage, "03-show-pile-up", "pile-up 03-dropped-write"),
    },
    Scene {
        name: "03, an upload",
        needs: &[],
        papers: &[hole("03-show-upload")],
        play: |stage| show(stage, "03-show-upload", "upload 03-dropped-write"),
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
        play: |stage| until_bytes_are_lost(stage, BACKEND, wreckage),
    },
    Scene {
        name: "through 03, raw",
        needs: &[Tool::Curl, Tool::Xxd],
        papers: &[damaged("wreckage-raw")],
        play: |stage| until_bytes_are_lost(stage, BACKEND, wreckage_raw),
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
        needs: &[Tool::Strace],
        papers: &[
            exact("strace-run"),
            Paper {
                name: "strace-client",
                may_differ: "numbers, what is lost",
                masks: &[paper::numbers, paper::lost],
            },
            Paper {
                name: "strace-write",
                may_differ: "numbers, data, which writes are refused",
                masks: &[paper::data, paper::numbers, paper::refused],
            },
            numbers("strace-sum"),
        ],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 16M")?;
            let strace = "strace -e trace=read,write -o trace.txt target/debug/03-dropped-write";
            let proxy = stage.proxy(strace)?;
            let [mut page, mut around, mut sum] = <[Terminal; 3]>::default();
            stage.run(&mut page, "cargo lab client --stall 2 --size 16M")?;
            stage.run(
                &mut around,
                "grep --max-count=1 --before-context=5 --after-context=4 EAGAIN trace.txt",
            )?;
            stage.run(&mut sum, ADD_UP)?;
            let (missing, refused) = (missing(&page.text), sum.text.lines().last());
            if missing.is_none() || missing.as_deref() != refused {
                return Err(format!("{missing:?} are missing, {refused:?} were refused"));
            }
            // The call before the first refusal took a part.
            let writes: Vec<_> =
                around.text.lines().filter(|line| line.starts_with("write(5")).collect();
            let refused = writes.iter().position(|line| line.contains("EAGAIN"));
            let is_short =
                refused.and_then(|at| writes.get(at.checked_sub(1)?)).is_some_and(|line| {
                    !line.rsplit_once(", ").is_some_and(|(_, end)| {
                        let numbers: Vec<_> =
                            end.split([')', '=', ' ']).filter(|n| !n.is_empty()).collect();
                        numbers.first() == numbers.last()
                    })
                });
            let recordings = vec![
                stage.record("strace-run", &proxy.terminal()),
                stage.record("strace-client", &page),
                stage.record("strace-write", &around),
                stage.record("strace-sum", &sum),
            ];
            Ok(unusual_unless(is_short || !stage.recording, recordings))
        },
    },
    Scene {
        name: "02, frozen, watched by strace",
        needs: &[Tool::Attach],
        papers: &[Paper {
            name: "strace-frozen",
            may_differ: "numbers, data, how many writes",
            masks: &[paper::data, paper::numbers, paper::writes],
        }],
        play: |stage| {
            let _backend = stage.backend(BACKEND)?;
            let proxy = stage.proxy("cargo run --bin 02-naive-epoll")?;
            let client = stage.start("cargo lab client --stall 10")?;
            client.wait_for("it stalls", |text| text.contains("Not reading"))?;
            stage.until_stuck(&proxy)?;
            let mut terminal = Terminal::default();
            // To look is to interrupt, and then the kernel may take a little more: look again.
            for _ in 0..3 {
                terminal = Terminal::default();
                let shown = "timeout 1 strace -e trace=write -p \"$(pidof 02-naive-epoll)\"";
                let pid = proxy.pid().to_string();
                let actual = shown.replace("\"$(pidof 02-naive-epoll)\"", &pid);
                stage.run_as(&mut terminal, shown, &actual)?;
                terminal.text = terminal.text.replace(&format!("Process {pid} "), "Process 4242 ");
                if terminal.text.matches("write(").count() == 1 {
                    break;
                }
            }
            let is_one = terminal.text.matches("write(").count() == 1;
            let waits = terminal.text.contains("<detached ...>");
            let in_time = client.text().lines().count() == 1;
            if in_time && !waits {
                return Err(format!("it does not wait in a write:\n{}", terminal.text));
            }
            let usual = in_time && (is_one || !stage.recording);
            Ok(unusual_unless(usual, vec![stage.record("strace-frozen", &terminal)]))
        },
    },
    Scene {
        name: "04, watched by strace",
        needs: &[Tool::Strace],
        papers: &[
            Paper {
                name: "04-strace-epoll",
                may_differ: "numbers, how often the interest changes",
                masks: &[paper::numbers, paper::interest],
            },
            numbers("04-client"),
        ],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size 16M")?;
            let strace = "strace -e trace=epoll_ctl -o trace.txt target/debug/04-output-buffer";
            let _proxy = stage.proxy(strace)?;
            let [mut client, mut trace] = <[Terminal; 2]>::default();
            stage.run(&mut client, "cargo lab client --stall 2 --size 16M")?;
            // The client has all; the proxy has still to see that it leaves.
            stage.until_file("trace.txt", |text| text.contains("EPOLL_CTL_DEL, 5"))?;
            stage.run(&mut trace, "cat trace.txt")?;
            let usual = trace.text.matches("epoll_ctl").count() == 7 || !stage.recording;
            let recordings =
                vec![stage.record("04-strace-epoll", &trace), stage.record("04-client", &client)];
            Ok(unusual_unless(usual, recordings))
        },
    },
    Scene {
        name: "04 in front of a slow backend",
        needs: &[Tool::Curl, Tool::Strace],
        papers: &[Paper {
            name: "04-strace-disarm",
            may_differ: "numbers, how many writes",
            masks: &[paper::data, paper::numbers, paper::writes],
        }],
        play: |stage| {
            let _backend = stage.backend("cargo lab backend --size endless --rate 20M")?;
            let strace =
                "strace -e trace=write,epoll_ctl -s 0 -o trace.txt target/debug/04-output-buffer";
            let _proxy = stage.proxy(strace)?;
            let url = "curl --silent --no-buffer http://127.0.0.1:8080/";
            let (curl, mut pipe) = stage.start_stalled(url)?;
            stage.until_file("trace.txt", |text| text.contains("EPOLLIN|EPOLLOUT"))?;
            // Now somebody reads what curl has, faster than the backend sends.
            let reader = thread::spawn(move || {
                let mut block = vec![0; 1 << 16];
                while pipe.read(&mut block).is_ok_and(|count| count > 0) {}
            });
            stage.until_file("trace.txt", |text| {
                let last = text.lines().filter(|line| line.contains("EPOLL_CTL_MOD")).nth(1);
                last.and_then(|last| text.split_once(last))
                    .is_some_and(|(_, after)| after.lines().count() > 3)
            })?;
            drop(curl);
            reader.join().map_err(|_| "the reader of the pipe failed")?;
            let mut terminal = Terminal::default();
            stage.run(&mut terminal, "grep --max-count=2 --context=3 EPOLL_CTL_MOD trace.txt")?;
            Ok(vec![stage.record("04-strace-disarm", &terminal)])
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

/// An experiment as a story.
///
/// That it ends as the matrix says is for the tests of the steps to judge. Here it has three tries:
/// what is compared is how it is told.
fn show(stage: &Stage, name: &'static str, experiment: &str) -> Result<Vec<Recording>> {
    let mut terminal = Terminal::default();
    for _ in 0..3 {
        terminal = Terminal::default();
        stage.run(&mut terminal, &format!("cargo lab show {experiment}"))?;
        if terminal.status == 0 {
            break;
        }
    }
    if terminal.status != 0 {
        return Err(format!("it is not as the matrix says:\n{}", terminal.text));
    }
    // Where the matrix allows several verdicts, they are told differently.
    let recorded = fs::read_to_string(paper::directory().join(format!("{name}.txt")));
    let is_usual = stage.recording
        || recorded
            .is_ok_and(|recorded| way_of_telling(&recorded) == way_of_telling(&terminal.text));
    Ok(unusual_unless(is_usual, vec![stage.record(name, &terminal)]))
}

/// The verdict's word, and whether there are bytes around a hole to show.
fn way_of_telling(story: &str) -> (Option<&str>, bool) {
    let mut lines = story.lines().skip_while(|line| !line.contains(" ms  "));
    let verdict = lines.find(|line| line.starts_with(|char: char| char.is_ascii_lowercase()));
    (verdict.and_then(|line| line.split(':').next()), story.contains("here it jumps"))
}

/// The bytes that a client by hand misses, in all.
fn missing(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains("hole: ") || line.contains("truncated: "))?;
    let before = match line.split_once(" bytes in all") {
        Some((before, _)) => before,
        None => line.split_once(" bytes").map(|(before, _)| before)?,
    };
    Some(before.rsplit(' ').next()?.replace(',', ""))
}

/// A backend, step 03 in front of it, and the curl that gets a damaged page.
struct Ends {
    backend: Program,
    proxy: Program,
    held: bool,
}

impl Ends {
    /// Runs curl, and asks for its exit status.
    fn curl(&self, stage: &Stage, terminal: &mut Terminal, command: &str) -> Result<i32> {
        match self.held {
            false => stage.run_and_ask(terminal, command),
            true => stage.run_held(terminal, command, &self.backend, &self.proxy),
        }
    }
}

/// Plays a scene through step 03 until bytes are lost.
///
/// A limited rate is all that it takes, unless the machine is too busy to be faster than that. Then
/// curl is stopped for a moment, and continued after bytes have been lost.
fn until_bytes_are_lost(
    stage: &mut Stage,
    backend: &str,
    play: impl Fn(&Stage, &Ends) -> Result<Option<Vec<Recording>>>,
) -> Result<Vec<Recording>> {
    for held in [false, true, true] {
        let backend = stage.backend(backend)?;
        let proxy = stage.proxy("cargo run --bin 03-dropped-write")?;
        if let Some(recordings) = play(stage, &Ends { backend, proxy, held })? {
            return Ok(recordings);
        }
    }
    Err("no bytes are lost, however slow curl is".into())
}

/// The page that came through 03, and the place where it jumps.
fn wreckage(stage: &Stage, ends: &Ends) -> Result<Option<Vec<Recording>>> {
    let [mut curl, mut page] = <[Terminal; 2]>::default();
    let status = ends.curl(stage, &mut curl, CURL_25M)?;
    ends.backend.wait_for("it is over", |text| is_over(text, 1))?;
    page_size(stage, &mut page)?;
    stage.run(&mut page, OUT_OF_PLACE)?;
    let line = page
        .text
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("line ")?.split(':').next()?.parse::<usize>().ok());
    if let Some(line) = line {
        let sed = format!("sed --quiet '{},{}p' page.txt", line - 3, line + 3);
        stage.run(&mut page, &sed)?;
    }
    // A connection that curl has left is what the book tells of, not one that was over before.
    let left = ends.backend.text().contains("connection 1: after");
    let recordings = vec![
        stage.record("03-curl", &curl),
        stage.record("03-backend", &ends.backend.terminal()),
        stage.record("03-page", &page),
    ];
    match status {
        56 => {
            let usual = line.is_some() && (left || !stage.recording);
            Ok(Some(unusual_unless(usual, recordings)))
        }
        18 if words_of_18(&curl.text) => Ok(Some(unusual_unless(false, recordings))),
        0 => Ok(None),
        _ => Err(format!("curl ends with {status}:\n{}", curl.text)),
    }
}

/// What came through 03 in its raw form: the chunk that the jump is in, and the place where the next
/// chunk should begin.
fn wreckage_raw(stage: &Stage, ends: &Ends) -> Result<Option<Vec<Recording>>> {
    /// What lies between two headers: a chunk with its header and line ends.
    const STRIDE: usize = 30_011 + 8;
    let mut terminal = Terminal::default();
    let curl = CURL_25M.replace("--output page", "--raw --output raw");
    let status = ends.curl(stage, &mut terminal, &curl)?;
    if status == 0 {
        return Ok(None);
    }
    // Two headers that are not as far apart as they were sent.
    let grep = "grep --text --byte-offset --only-matching '^753b' raw.txt \\\n    \
                | awk -F: 'NR > 1 && $1 - last != 30019 { print last, $1; exit } { last = $1 }'";
    stage.run(&mut terminal, grep)?;
    let found = !terminal.text.ends_with("'\n");
    let raw = fs::read(stage.directory.path().join("raw.txt"))
        .map_err(|error| format!("reading raw.txt: {error}"))?;
    // The last header that stands where it belongs, and the place of the next one.
    let is_header = |at: &usize| raw.get(*at..at + 6) == Some(b"753b\r\n");
    let good = (0..raw.len()).step_by(STRIDE).take_while(is_header).last();
    let Some(good) = good else { return Err("the first chunk has no header".into()) };
    let due = good + STRIDE;
    // The first byte in this chunk that is not the one that belongs there.
    let mut page = vec![0; 30_011];
    lab::sent::coding::fill((good / STRIDE * page.len()) as u64, &mut page);
    let came = &raw[good + 6..];
    let jump = page.iter().zip(came).position(|(sent, got)| sent != got).map(|at| good + 6 + at);
    // A row of context before each place. The header's and that where the next is due follow from the
    // number that awk has printed.
    terminal.show(&format!("header={good}"), "");
    let mut xxd = |shown: &str, begin: usize| {
        let actual = format!("xxd -s {begin} -l 64 raw.txt");
        stage.run_as(&mut terminal, &format!("xxd -s {shown} -l 64 raw.txt"), &actual)
    };
    xxd("$((header - 16))", good.saturating_sub(16))?;
    if let Some(jump) = jump {
        let begin = (jump / 16 * 16).saturating_sub(16);
        xxd(&begin.to_string(), begin)?;
    }
    xxd("$((header + 6 + 30011 - 16))", due - 2 - 16)?;
    let usual = status == 56 && found && jump.is_some() && raw.len() > due + 48;
    let recordings = vec![stage.record("wreckage-raw", &terminal)];
    match status {
        56 | 18 => Ok(Some(unusual_unless(usual, recordings))),
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
    let known = lab::ends::curl::version()
        .is_some_and(|version| lab::ends::curl::RECORDED.contains(&version));
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
        let heading = lines.next().unwrap_or_default();
        // In columns: state, queues, own address, the other's address.
        let mut rows: Vec<Vec<String>> = lines
            .map(|line| line.split_whitespace().map(|word| self.renamed(word)).collect())
            .collect();
        let is_server = |address: &str| address.ends_with(":8080") || address.ends_with(":9000");
        let place = |row: &Vec<String>| {
            let [own, other] = [3, 4].map(|at| row.get(at).cloned().unwrap_or_default());
            let far = |address: &str| address.ends_with(":8080");
            let is_left = row.first().is_some_and(|state| state != "ESTAB");
            (far(&own) || far(&other), !is_server(&own), is_left)
        };
        rows.sort_by_key(place);
        // Clients, by whatever ports they came from, in the order in which they are shown.
        let mut clients: Vec<String> = vec![];
        for word in rows.iter().flatten().filter(|word| word.starts_with("127.0.0.1:")) {
            if !is_server(word) && !clients.contains(word) {
                clients.push(word.clone());
            }
        }
        let shown = ["127.0.0.1:50001", "127.0.0.1:50002", "127.0.0.1:50003"];
        for word in rows.iter_mut().flatten() {
            let client = clients.iter().zip(shown).find(|(client, _)| *client == word);
            if let Some((_, shown)) = client {
                *word = shown.to_string();
            }
        }
        let titles = ["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"];
        let titles = titles.map(str::to_string).to_vec();
        if !heading.starts_with("State") || rows.iter().any(|row| row.len() != titles.len()) {
            return Err(format!("ss shows\n{text}"));
        }
        rows.insert(0, titles);
        // The widths of the columns were those of the ports that nobody sees.
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        let mut output = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < 3 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            });
            output += &format!("{}\n", cells.collect::<Vec<_>>().join("  "));
        }
        terminal.show(command, &output);
        Ok(())
    }

    /// Directs all programs of the repository to a copy of them in which a step has been changed as
    /// an answer of the book says.
    fn programs_with_answer(&mut self, answer: &str, step: &'static str) -> Result<()> {
        let wrong = |error: std::io::Error| format!("preparing {answer}: {error}");
        let main = Path::new("steps").join(step).join("main.rs");
        let patched = self.directory.path().join(&main);
        fs::create_dir_all(patched.parent().expect("it has one")).map_err(wrong)?;
        fs::copy(Path::new(ROOT).join(&main), &patched).map_err(wrong)?;
        let mut git = Command::new("git");
        git.arg("apply").arg(Path::new(ROOT).join(format!("book/answers/{answer}.patch")));
        // Not as a part of the repository around it.
        git.current_dir(self.directory.path());
        git.env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"));
        stage::finish(git, &format!("applying {answer}.patch"))?;

        // Cargo builds again what has been written again: write what has changed.
        let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join(answer);
        fs::create_dir_all(package.join(&main).parent().expect("it has one")).map_err(wrong)?;
        let read = |path: &Path| fs::read_to_string(path).map_err(wrong);
        let manifest = package_of_its_own(&read(&Path::new(ROOT).join("Cargo.toml"))?, step);
        let texts = [
            (package.join(&main), read(&patched)?),
            (package.join("Cargo.toml"), manifest),
            (package.join("Cargo.lock"), read(&Path::new(ROOT).join("Cargo.lock"))?),
        ];
        for (path, text) in texts {
            if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                fs::write(&path, text).map_err(wrong)?;
            }
        }
        let mut cargo = stage::cargo();
        cargo.current_dir(&package).args(["build", "--quiet", "--offline"]);
        cargo.env("CARGO_TARGET_DIR", package.join("target"));
        stage::finish(cargo, &format!("building {answer}"))?;

        let programs = self.directory.path().join("programs");
        fs::create_dir(&programs).map_err(wrong)?;
        fs::hard_link(stage::lab()?, programs.join("lab")).map_err(wrong)?;
        for name in ladder().steps.iter().map(|step| step.name.as_str()) {
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
        for (step, column) in
            ladder().steps.iter().map(|step| step.name.as_str()).zip(row.chunks(18).skip(1))
        {
            let word = column.iter().collect::<String>().trim().to_string();
            let cell = ladder().expected(experiment.name, step).ok_or("the matrix has a hole")?;
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
