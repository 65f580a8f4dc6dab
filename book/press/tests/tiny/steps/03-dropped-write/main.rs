#![allow(unused)]

fn main() {
    // A comment: a < b.

    go();
}

fn same() {}
