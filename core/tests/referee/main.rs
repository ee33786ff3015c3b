//! The referee: single cases told as they happen, and models of two and three sites.

mod cases;
mod model;

use model::{Rules, run};

/// Whatever the order of writes, deliveries, hearings, lost answers and crashes: in the end all sites
/// have the same row, it is the one that the deciding site has, no conflict is open, and there were no
/// more verdicts than conflicts.
#[test]
fn any_interleaving_ends_equal_and_the_verdict_stands() {
    let seeds = match std::env::var("WEFT_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("WEFT_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..2_000,
    };
    let mut overturned = 0;
    for seed in seeds.clone() {
        for sites in [2, 3] {
            for rules in [Rules::Column, Rules::SitePriority, Rules::Webhook] {
                overturned += run(seed, sites, rules);
            }
        }
    }
    assert!(seeds.end - seeds.start == 1 || overturned > 1_000, "only {overturned} verdicts show nothing");
}
