//! Stops the build with one sentence where the workbook cannot run.
//!
//! epoll, `/proc` and the socket options used here are Linux's own. Without this check a reader on
//! another system would meet a page of unresolved imports instead of a reason.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target != "linux" {
        println!(
            "cargo::error=The Dropped Write needs Linux (or WSL2 on Windows): it is about epoll and Linux's socket buffers, and this build is for {target}."
        );
        std::process::exit(1);
    }
}
