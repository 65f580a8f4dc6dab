//! The scripts in `tests/lab/proxies`: each keeps to the contract by which `cargo lab scoreboard` starts it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proxies");

/// The status by which a script says that its program is not installed: EX_UNAVAILABLE in sysexits.h.
const NOT_INSTALLED: i32 = 69;

/// The scripts, with their text. What has an extension is not one.
fn scripts() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().path());
    let scripts = entries.filter(|path| path.is_file() && path.extension().is_none());
    scripts.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What came on stdout and on stderr, and the exit status.
fn answer(Output { stdout, stderr, status }: Output) -> (String, String, Option<i32>) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

#[test]
fn each_script_says_what_it_is_and_ends_in_its_program() {
    let scripts = scripts();
    assert!(scripts.len() >= 24, "there are only {}", scripts.len());
    for (path, text) in scripts {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(is_plain), "{name}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o111, 0o111, "{name}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "#!/bin/sh", "{name}");
        assert!(lines[1].starts_with("# ") && lines[1].len() > 20, "{name}: {}", lines[1]);
        assert_eq!(lines[2], r#". "$(dirname "$0")/lib.sh""#, "{name}");
        assert!(lines.last().unwrap().starts_with("exec "), "{name}");
    }
}

/// What must be compiled or installed first is left out, because that takes a network and minutes.
#[test]
fn each_script_tells_a_version_or_what_is_missing() {
    let cache = TempDir::new().unwrap();
    let quick = scripts().into_iter().filter(|(_, text)| !text.contains("\nbuilt "));
    thread::scope(|scope| {
        for (path, _) in quick {
            let cache = cache.path();
            scope.spawn(move || {
                let mut command = Command::new(&path);
                let told = command.arg("--version").env("LAB_CACHE", cache).output();
                let (stdout, stderr, status) = answer(told.unwrap());
                let (answer, lines) = match status {
                    Some(0) => (&stdout, stdout.lines().count()),
                    Some(NOT_INSTALLED) => (&stderr, stderr.lines().count()),
                    _ => panic!("{}: {status:?}, {stdout}{stderr}", path.display()),
                };
                assert_eq!(lines, 1, "{}: {answer}", path.display());
                if status == Some(0) {
                    let words: Vec<_> = stdout.split_whitespace().collect();
                    let digit = words[1].starts_with(|c: char| c.is_ascii_digit());
                    let is_commit =
                        words[1].len() == 7 && words[1].bytes().all(|b| b.is_ascii_hexdigit());
                    let is_version = words.len() == 2 && (digit || is_commit);
                    assert!(is_version, "{}: {stdout}", path.display());
                }
            });
        }
    });
}

/// A directory like that of the scripts, with one script in it.
fn with_script(body: &str) -> (TempDir, PathBuf) {
    let root = TempDir::new().unwrap();
    let directory = root.path().join("tests/lab/proxies");
    fs::create_dir_all(&directory).unwrap();
    fs::copy(Path::new(DIRECTORY).join("lib.sh"), directory.join("lib.sh")).unwrap();
    let script = directory.join("script");
    fs::write(&script, format!(". \"$(dirname \"$0\")/lib.sh\"\n{body}\n")).unwrap();
    (root, script)
}

fn run(script: &Path, arguments: &[&str], scratch: &Path) -> (String, String, Option<i32>) {
    let mut command = Command::new("sh");
    command.arg(script).args(arguments).env("LAB_SCRATCH", scratch).env_remove("LAB_CACHE");
    answer(command.output().unwrap())
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let (root, script) = with_script("needs no-such-program some-package");
    let (stdout, stderr, status) = run(&script, &["--version"], root.path());
    assert_eq!(status, Some(NOT_INSTALLED));
    assert_eq!(stdout, "");
    assert_eq!(stderr, "script: no-such-program is missing; the package some-package brings it\n");
}

#[test]
fn the_version_is_the_first_number_that_the_program_prints() {
    let (root, script) = with_script("version Program echo 'from 2026, v1.2.3-4 (library 5.6)'");
    let told = run(&script, &["--version"], root.path());
    assert_eq!(told, ("Program 1.2.3\n".into(), String::new(), Some(0)));
}

#[test]
fn a_program_starts_in_its_own_directory_with_both_addresses() {
    let body = "version Program false\nexec echo $listen_host $listen_port $backend_host $backend_port $PWD";
    let (root, script) = with_script(body);
    let scratch = root.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let (stdout, ..) = run(&script, &["127.0.0.1:80", "127.0.0.2:90"], &scratch);
    assert_eq!(stdout, format!("127.0.0.1 80 127.0.0.2 90 {}\n", scratch.display()));
    let (_, stderr, status) = run(&script, &["127.0.0.1:80"], &scratch);
    assert_eq!((stderr.as_str(), status), ("usage: script --version | LISTEN BACKEND\n", Some(2)));
}

/// Of ten that come at a time, one builds. A source newer than what was built makes each of them build again.
#[test]
fn what_is_compiled_is_compiled_once() {
    let body = r#"built things/thing "$here/source" sh -c 'echo built >>"$1" && cp "$1" "$2"' - "$here/log" "$cache/things/thing"
version Thing echo 1.0"#;
    let (root, script) = with_script(body);
    let directory = script.parent().unwrap();
    fs::create_dir(directory.join("source")).unwrap();
    let builds = || {
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| assert_eq!(run(&script, &["--version"], root.path()).2, Some(0)));
            }
        });
        fs::read_to_string(directory.join("log")).unwrap().lines().count()
    };
    assert_eq!(builds(), 1);
    assert!(root.path().join("target/proxies/things/thing").is_file());
    let source = fs::File::create(directory.join("source/file")).unwrap();
    source.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    assert_eq!(builds(), 11);
}
