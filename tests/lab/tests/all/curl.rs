//! The laboratory predicts what curl would say. Here the prediction is compared with a real curl.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use lab::arrived::http::{Decoder, End, Message};
use lab::ends::Attempt;
use lab::ends::curl::{self, Curl};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn curl_says_what_the_laboratory_says_that_it_would_say() {
    let Some(version) = curl::version() else {
        assert!(std::env::var_os("CI").is_none(), "curl must be installed here");
        eprintln!("\n*** curl is not installed: THIS TEST HAS TESTED NOTHING ***\n");
        return;
    };
    let chunked = |body: &str| format!("{CHUNKED}{body}");
    let streams = [
        chunked("3\r\nabc\r\n0\r\n\r\n"),
        // curl skips what follows the digits, accepts a CR too many, and accepts a line feed alone.
        chunked("3 ;x\nabc\n0\n\n"),
        chunked("3\r\nabc\r\r\n0\r\n\r\n"),
        // curl takes a line of the laboratory's page for a chunk size.
        chunked("3\r\nabc\n0000e13390 HbaL\n0000e133a0 WCAg\n"),
        chunked("3\r\nabcd\r\n"),
        chunked("3\r\nabc\n\n"),
        chunked("xyz\r\n"),
        chunked("8000000000000000\r\n"),
        chunked(&format!("{}\r\n", "1".repeat(17))),
        chunked("3\r\nab"),
        chunked("3\r\nabc\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234".into(),
        "HTTP/1.0 200 OK\r\n\r\n1234".into(),
        String::new(),
    ];
    for stream in streams {
        let mut decoder = Decoder::new(Message::Response);
        decoder.push(stream.as_bytes(), |_| ());
        let expected = decoder.curl(End::Fin);
        let (exit, stderr) = ask(&stream);
        assert_eq!(exit, Some(expected.exit.into()), "{stream:?}: {stderr}");
        if curl::RECORDED.contains(&version) {
            assert!(stderr.contains(&expected.words), "{stream:?}: {stderr}, not {expected:?}");
        }
    }
}

/// The exit status and stderr of a curl that gets `stream` as its response.
fn ask(stream: &str) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let stream = stream.to_string();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("curl comes");
        // If the request were not read, closing the socket would send a reset.
        let mut request = vec![];
        while !request.ends_with(b"\r\n\r\n") {
            let mut block = [0; 4096];
            let count = client.read(&mut block).expect("curl asks");
            assert!(count > 0, "curl asks for something");
            request.extend(&block[..count]);
        }
        client.write_all(stream.as_bytes()).expect("curl is there");
    });
    let mut curl = Curl::get(&url, &[]).expect("curl runs");
    while curl.read_now() != Attempt::Done {
        thread::yield_now();
    }
    let output = curl.finish().expect("curl ends");
    server.join().expect("the server is content");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
