fn main() {
    wait();
}

fn same() {}
