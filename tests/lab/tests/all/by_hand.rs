//! The two ends to play with by hand, put to each other without a proxy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process;
use std::time::Duration;

use assert_cmd::Command;
use lab::kernel::wait::find_within;
use lab::sent::coding::{self, Owner};
use lab::subject::program::Program;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_empty};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// A running `lab backend`, and its address.
fn backend(options: &[&str]) -> (Program, String) {
    let mut command = process::Command::new(LAB);
    command.args(["backend", "127.0.0.1:0"]).args(options);
    let backend = Program::start(command).expect("the backend starts");
    let address = find_within(Duration::from_secs(10), || {
        let text = backend.stdout.text();
        let (address, _) = text.strip_prefix("listening on ")?.split_once(": ")?;
        Some(address.to_string())
    });
    (backend, address.expect("it says where it listens"))
}

fn client(address: &str, options: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(LAB).args(["client", address]).args(options).assert()
}

#[test]
fn ends_with_different_sizes_say_so_and_accuse_nobody() {
    for framing in ["chunked", "content-length", "close"] {
        let (_backend, address) = backend(&["--size", "1M", "--framing", framing]);
        client(&address, &["--size", "1M", "--framing", framing]).code(0);
        client(&address, &["--size", "2M", "--framing", framing])
            .code(2)
            .stdout(is_empty())
            .stderr(
                contains("the backend says that its page is of 1,048,576 bytes")
                    .and(contains("this client expects one of 2,097,152 bytes"))
                    .and(contains("the same --size")),
            );
    }
    let (_backend, address) = backend(&["--size", "endless"]);
    client(&address, &["--size", "1M"]).code(2).stderr(contains("its page is without end"));
}

#[test]
fn a_plain_path_is_nobodys_and_a_number_behind_it_is_in_every_line() {
    let (_backend, address) = backend(&["--size", "160", "--framing", "content-length"]);
    for (target, owner) in
        [("/", Owner::NOBODY), ("/any/page?name=4", Owner::NOBODY), ("/?04", Owner::of_request(4))]
    {
        let mut stream = TcpStream::connect(&address).expect("the backend listens");
        write!(stream, "GET {target} HTTP/1.1\r\n\r\n").expect("it reads");
        let mut response = vec![];
        stream.read_to_end(&mut response).expect("it answers and closes");
        let cells = response[response.len() - 160..].chunks(16);
        assert!(cells.clone().all(|cell| coding::named_by(cell).unwrap().owner == owner));
        let head = String::from_utf8_lossy(&response[..response.len() - 160]).into_owned();
        assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nLab-Request: {owner}\r\n")), "{head}");
    }
}
