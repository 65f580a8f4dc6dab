use std::time::Instant;

use super::common::*;

pub const EXPERIMENT: Experiment = Experiment {
    name: "reset",
    question: "20 clients reset their connection mid-transfer: does the proxy get everything back?",
    method: "One client after another asks for a large page, reads nothing, and resets its connection \
        while the page is on its way. The proxy's descriptors and memory are counted before, after 5 \
        and after 20 of them. Then one more client asks for a small page.",
    finds: "Sockets or memory that are not released, a proxy that ends at a reset, and one that serves \
        nobody afterwards.",
    meaning: "Every visitor who closes the page too early costs a little. After some thousands of them \
        the proxy has no descriptor or no memory left, and stops serving.",
    judges: &[Matter::Survival, Matter::Descriptors, Matter::Memory],
    run,
};

const ROUNDS: usize = 20;

/// On a busy machine this many rounds are enough, if half the time is over.
const ENOUGH_ROUNDS: usize = 10;

/// Memory is compared with what it was after this many rounds. Before that, an allocator still grows.
const WARM_UP: usize = 5;

/// Growth in each round after the warm-up that no allocator's habits explain.
const LEAK_KIB: u64 = 1024;

fn run(spec: &Spec, story: &Story) -> Result<Verdict, Halt> {
    let big = Route::simple("/big", Wire::response(Framing::Chunked, flood(Window::Narrow)?));
    let mut rig = Rig::start(spec, vec![big.clone(), small_page()], story)?;
    // One ordinary request first: some programs open things when they are first needed.
    if ask_for_small(&mut rig)?.is_none() {
        return Err(rig.frozen("not even the first client is answered").into());
    }
    rig.settle()?;
    let before = rig.proxy.full_vitals();
    let mut warm = before.clone();
    let mut rounds = 0;
    while rounds < ROUNDS && !(rounds >= ENOUGH_ROUNDS && rig.elapsed() > DEADLINE / 2) {
        rounds += 1;
        reset_one(&mut rig, &big, rounds)?;
        if rounds == WARM_UP {
            warm = rig.proxy.full_vitals();
        }
    }
    let after = when_all_is_closed(&mut rig, before.descriptors)?;
    rig.tell(format!(
        "{rounds} clients have reset their connections. Descriptors: {} before, {} now. Memory: {} KiB before, {} after {WARM_UP} rounds, {} now.",
        before.descriptors, after.descriptors, before.memory_kib, warm.memory_kib, after.memory_kib
    ));
    if after.descriptors > before.descriptors {
        let kept = after.descriptors - before.descriptors;
        let what = format!("{kept} descriptors did not come back after {rounds} resets");
        return rig.conclude(Verdict::new(Kind::Leaked, what));
    }
    let grown = after.memory_kib.saturating_sub(warm.memory_kib);
    if grown > LEAK_KIB * (rounds - WARM_UP) as u64 {
        let grown = size(grown * 1024);
        let what = format!("memory rose by {grown} from the {WARM_UP}th reset to the {rounds}th");
        return rig.conclude(Verdict::new(Kind::Leaked, what));
    }
    let Some(transfer) = ask_for_small(&mut rig)? else {
        let what = format!("after {rounds} resets the next client is not answered");
        return Err(rig.frozen(&what).into());
    };
    let mut verdict = Verdict::of(vec![transfer]);
    if verdict.kind == Kind::Exact {
        verdict.sentence = format!(
            "{rounds} resets cost nothing: all descriptors are back, and the next client is served"
        );
    }
    rig.conclude(verdict)
}

/// One client asks for the page and resets its connection while the page is on its way. `round` counts
/// from 1.
fn reset_one(rig: &mut Rig, big: &Route, round: usize) -> Result<(), Halt> {
    let client = rig.client(Window::Small, big)?;
    let begun = rig.pump(FOREVER, |backend| {
        let asked = backend.asked_for(big.target);
        done_if(asked.len() == round && asked[round - 1].sent > 0)
    })?;
    if begun == Ended::Still {
        let before = round - 1;
        let what =
            format!("after {before} clients reset their connections, the next is not served");
        return Err(rig.frozen(&what).into());
    }
    rig.settle()?;
    client.reset()?;
    rig.settle()
}

/// The proxy's vitals once it has no more than `before` descriptors. Closing may take some programs a
/// moment, but not for ever: then its vitals as they are.
fn when_all_is_closed(rig: &mut Rig, before: usize) -> Result<procfs::Vitals, Halt> {
    let mut after = rig.proxy.full_vitals();
    if after.descriptors > before {
        let waited = Instant::now();
        let proxy = rig.proxy.family();
        rig.pump(FOREVER, |_| {
            after = procfs::vitals(&proxy, true);
            done_if(after.descriptors <= before || waited.elapsed() > DEADLINE / 3)
        })?;
    }
    Ok(after)
}
