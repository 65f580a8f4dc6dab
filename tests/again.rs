//! The page "It happened again" rests on two packages that stand outside the workspace. What the two
//! releases of hyper do is found out by `tests/lab/evidence/hyper/run`; here is what can be known
//! without building them.

use std::path::Path;

const PACKAGES: &str = "tests/lab/evidence/hyper";

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The packages in a lockfile that come from crates.io, each as name, version and checksum.
fn locked(package: &str) -> Vec<[String; 3]> {
    let lockfile = read(&format!("{PACKAGES}/{package}/Cargo.lock"));
    let value = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        Some(line?.trim_matches('"').to_string())
    };
    let package = |entry: &str| {
        Some([value(entry, "name")?, value(entry, "version")?, value(entry, "checksum")?])
    };
    lockfile.split("[[package]]").filter_map(package).collect()
}

#[test]
fn nothing_but_hyper_differs_between_before_and_after() {
    let manifest = |package: &str, release: &str| {
        let text = read(&format!("{PACKAGES}/{package}/Cargo.toml"));
        text.replace(&format!("\"{package}\""), "NAME").replace(release, "RELEASE")
    };
    assert_eq!(manifest("before", "=1.8.1"), manifest("after", "=1.12.0"));

    let [before, after] = ["before", "after"].map(locked);
    let only_in = |some: &[[String; 3]], others: &[[String; 3]]| -> Vec<String> {
        let only = some.iter().filter(|one| !others.contains(one));
        only.map(|[name, version, _]| format!("{name} {version}")).collect()
    };
    assert_eq!(only_in(&after, &before), ["hyper 1.12.0"]);
    // Two crates that only the old release needs.
    let gone = ["futures-channel 0.3.34", "hyper 1.8.1", "pin-utils 0.1.1"];
    assert_eq!(only_in(&before, &after), gone);
}

#[test]
fn the_page_takes_its_numbers_from_its_terminals() {
    let page = read("book/src/it-happened-again.md");
    let mut known: Vec<String> = [
        "14,896,450", // The response in the report, with its head.
        "100,000",    // What a command on the page uploads.
        "36,544",     // What a Unix socket takes at a time, and
        "212,992",    // net.core.wmem_default.
    ]
    .map(String::from)
    .to_vec();
    assert_eq!(6 * 36_544, 219_264);
    for name in
        page.split("{{#transcript name=\"").skip(1).filter_map(|rest| rest.split('"').next())
    {
        let terminal = read(&format!("book/transcripts/{name}.txt"));
        known.extend(numbers(&terminal));
        // What strace shows has no commas.
        let plain = terminal.split(|char: char| !char.is_ascii_digit());
        known.extend(plain.filter_map(|digits| digits.parse().ok()).map(lab::numbers::thousands));
    }
    let told = numbers(&page);
    assert!(told.contains(&"219,264".to_string()), "{told:?}");
    for number in told {
        assert!(known.contains(&number), "no terminal of the page shows {number}");
    }
}

/// The numbers with a comma in a text.
fn numbers(text: &str) -> Vec<String> {
    let words = text.split(|char: char| !char.is_ascii_digit() && char != ',');
    let words = words.map(|word| word.trim_matches(','));
    words.filter(|word| word.contains(',')).map(String::from).collect()
}
