fn main() {
    let a: Vec<String> = std::env::args().collect();
    let spec = lab::proxy::Spec::step(&a[2]);
    let all = a[1] == "all";
    for e in lab::experiments::ALL.iter().filter(|e| all || e.name == a[1]) {
        let o = e.run(&spec);
        println!(
            "{:18} {:18} {:10} {:5} ms  {}",
            o.experiment, o.proxy, o.verdict.kind, o.took_ms, o.verdict.sentence
        );
        if !all {
            for e in o.story {
                println!("   {:5} {}", e.at_ms, e.text);
            }
        }
    }
}
