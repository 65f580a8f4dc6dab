//! Stops the build with one sentence where the workbook cannot run.
//!
//! epoll, `/proc` and the socket options used here are Linux's own. Without this check a reader on
//! another system would meet a page of unresolved imports instead of a reason.

fn main() {
    // Nothing but the target decides, and each target has a run of its own. (A file named here would
    // be looked for in each package that uses this script, and where it is missing, cargo builds
    // that package anew every time.)
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target != "linux" {
        println!(
            "cargo::error=The Dropped Write needs Linux, because it is about epoll and Linux's socket buffers, and this build is for {target}: book/src/not-on-linux.md names ways to run it in WSL2 or in a container."
        );
        std::process::exit(1);
    }
}
