//! Any interleaving and any repetition of any changes at two and three sites ends equal.
//!
//! The sites are models with the real ledger, stamps and decisions; see [`model`]. A failure prints
//! its seed; `WEFT_SEED=n cargo test -p weft-core --test convergence` repeats it alone.

mod model;
mod site;

use model::{Faults, World};

/// Seeds tried by each test, unless one is given.
const SEEDS: u64 = 2000;

fn seeds() -> Vec<u64> {
    match std::env::var("WEFT_SEED") {
        Ok(seed) => vec![seed.parse().expect("WEFT_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

/// Runs a world to its end; the error says how the sites differ.
fn run(seed: u64, sites: usize, faults: Faults) -> Result<(), String> {
    let mut world = World::new(seed, sites, faults);
    for _ in 0..3 {
        world.disturb(40);
        world.settle()?;
        world.check()?;
        world.expire();
    }
    Ok(())
}

fn all_end_equal(sites: usize, faults: Faults) {
    for seed in seeds() {
        if let Err(difference) = run(seed, sites, faults) {
            panic!("WEFT_SEED={seed}, {sites} sites, {faults:?}: {difference}");
        }
    }
}

#[test]
fn two_sites_end_equal_with_every_source_in_order() {
    all_end_equal(2, Faults::default());
}

#[test]
fn three_sites_end_equal_with_every_source_in_order() {
    all_end_equal(3, Faults::default());
}

#[test]
fn sites_end_equal_though_rows_are_applied_apart_and_acknowledgements_are_lost() {
    let faults = Faults { row_by_row: true, lost_acks: true, ..Faults::default() };
    all_end_equal(2, faults);
    all_end_equal(3, faults);
}

#[test]
fn sites_end_equal_though_transactions_arrive_in_any_order_and_again() {
    let faults = Faults { any_order: true, ..Faults::default() };
    all_end_equal(2, faults);
    all_end_equal(3, faults);
}

/// The test can fail: what it rests on is taken away, and it sees the sites differ.
#[test]
fn without_evictions_some_sites_end_different() {
    let faults = Faults { no_evictions: true, ..Faults::default() };
    assert!((0..SEEDS).any(|seed| run(seed, 3, faults).is_err()), "no seed needs evictions");
}

#[test]
fn without_versions_of_deletes_some_sites_end_different() {
    let faults = Faults { no_tombstones: true, ..Faults::default() };
    assert!((0..SEEDS).any(|seed| run(seed, 2, faults).is_err()), "no seed needs tombstones");
}
