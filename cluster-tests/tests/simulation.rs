//! Seeds of the simulation, and the proof that its oracles can fail.
//!
//! A failure prints its seed; `cargo run -p cluster-tests --bin sim -- --seed N --verbose` repeats it.

use cluster_tests::sim::setup::Mutation;
use cluster_tests::sim::world::{Options, run};

fn all(seeds: std::ops::Range<u64>, options: Options) {
    for seed in seeds {
        if let Err(what) = run(seed, options) {
            panic!("{what}");
        }
    }
}

/// The first seed at which the oracles see that something is missing.
fn seen(mutation: Mutation, seeds: std::ops::Range<u64>) -> Option<u64> {
    // What is missing may break the engines' own assertions too: that is seen as well.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let options = Options { mutation, ..Options::default() };
    let fails =
        |seed: &u64| std::panic::catch_unwind(|| run(*seed, options)).map_or(true, |result| result.is_err());
    let found = { seeds }.find(fails);
    std::panic::set_hook(hook);
    found
}

#[test]
fn two_sites_end_equal_whatever_fails() {
    all(0..40, Options { sites: Some(2), ..Options::default() });
}

#[test]
fn three_sites_end_equal_whatever_fails() {
    all(1_000..1_025, Options { sites: Some(3), ..Options::default() });
}

#[test]
fn the_same_seed_runs_the_same_way() {
    let once = run(7, Options::default()).map(|summary| format!("{summary:?}"));
    let again = run(7, Options::default()).map(|summary| format!("{summary:?}"));
    assert_eq!(once, again);
}

#[test]
fn without_the_fence_the_oracles_see_what_an_old_owner_does() {
    assert!(seen(Mutation::NoFence, 0..150).is_some());
}

#[test]
fn without_the_wait_for_the_ledger_the_oracles_see_stale_decisions() {
    assert!(seen(Mutation::NoLedgerWait, 0..60).is_some());
}

#[test]
fn without_forwarded_evictions_the_oracles_see_sites_that_differ() {
    assert!(seen(Mutation::NoEvictionForwarding, 0..60).is_some());
}

#[test]
fn without_names_in_the_marks_the_oracles_see_foreign_rows_taken_for_local_ones() {
    assert!(seen(Mutation::NoNames, 0..10).is_some());
}
