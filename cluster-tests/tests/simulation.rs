//! Seeds of the simulation, and the proof that its oracles can fail.
//!
//! A failure prints its seed; `cargo run -p cluster-tests --bin sim -- --seed N --verbose` repeats it.

use cluster_tests::sim::coverage::{Coverage, Situation};
use cluster_tests::sim::oracle::Broken;
use cluster_tests::sim::setup::Mutation;
use cluster_tests::sim::world::{Options, run};

/// Runs all seeds; what they reached.
fn all(seeds: impl IntoIterator<Item = u64>, options: Options) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        match run(seed, options) {
            Ok(summary) => coverage.add(&summary.coverage),
            Err(failure) => panic!("{}", failure.what),
        }
    }
    coverage
}

/// Something essential is left out: the first seed that fails, from `first` on, fails in front of an
/// oracle that is there for it, and passes with it.
fn is_missed(mutation: Mutation, first: u64, oracles: &[Broken]) {
    const SEEDS_MAX: u64 = 200;
    let control = Options { sites: Some(2), ..Options::default() };
    let failed = (first..first + SEEDS_MAX).find_map(|seed| {
        let failure = run(seed, Options { mutation, ..control }).err()?;
        Some((seed, failure))
    });
    let (seed, failure) = failed.unwrap_or_else(|| panic!("no oracle misses what {mutation:?} leaves out"));
    let first = failure.what.lines().next().unwrap_or_default();
    assert!(oracles.contains(&failure.broken), "not what {mutation:?} breaks: {first}");
    if let Err(failure) = run(seed, control) {
        panic!("with nothing left out: {}", failure.what);
    }
}

#[test]
fn two_sites_end_equal_whatever_fails() {
    // The last ones reach what is rare.
    let seeds = (0..60).chain([67, 71, 94, 96, 102, 105, 107, 109]);
    let coverage = all(seeds, Options { sites: Some(2), ..Options::default() });
    println!("{coverage}");
    assert_eq!(coverage.missing(), [], "the seeds do not reach everything any more");
}

#[test]
fn three_sites_end_equal_whatever_fails() {
    let coverage = all(1_000..1_025, Options { sites: Some(3), ..Options::default() });
    println!("{coverage}");
    let reached = |situation| assert!(coverage.count(situation) > 0, "no seed reaches {situation:?}");
    [Situation::CommitUnheard, Situation::EpochRaised, Situation::CaptureStopped, Situation::TwoOwners]
        .into_iter()
        .for_each(reached);
}

#[test]
fn the_same_seed_runs_the_same_way() {
    let once = run(7, Options::default()).map(|summary| format!("{summary:?}"));
    let again = run(7, Options::default()).map(|summary| format!("{summary:?}"));
    assert_eq!(once, again);
}

#[test]
fn without_the_fence_the_oracles_see_what_an_old_owner_does() {
    is_missed(
        Mutation::NoFence,
        60,
        &[Broken::Repeated, Broken::VersionFell, Broken::Lost, Broken::SitesDiffer],
    );
}

#[test]
fn without_the_wait_for_the_ledger_the_oracles_see_stale_decisions() {
    is_missed(Mutation::NoLedgerWait, 0, &[Broken::VersionFell, Broken::StaleLedger]);
}

#[test]
fn without_forwarded_evictions_the_oracles_see_sites_that_differ() {
    is_missed(Mutation::NoEvictionForwarding, 11, &[Broken::SitesDiffer]);
}

#[test]
fn without_names_in_the_marks_the_oracles_see_foreign_rows_taken_for_local_ones() {
    is_missed(Mutation::NoNames, 0, &[Broken::ForeignTakenForLocal]);
}

#[test]
fn without_the_runs_in_the_marks_the_oracles_see_changes_applied_again() {
    is_missed(Mutation::NoRuns, 0, &[Broken::Repeated, Broken::VersionFell]);
}

#[test]
fn without_doubt_in_what_a_node_remembers_the_oracles_see_that_a_target_lost_changes() {
    is_missed(Mutation::TrustMemory, 175, &[Broken::Lost, Broken::SitesDiffer]);
}

#[test]
fn without_the_look_at_gtids_the_oracles_see_that_a_source_lost_changes() {
    is_missed(Mutation::NoGtidCheck, 0, &[Broken::LossNotSeen]);
}

#[test]
fn without_telling_servers_apart_the_oracles_see_rows_decided_by_the_ledger_of_another_server() {
    is_missed(Mutation::NoServerInFence, 0, &[Broken::StaleLedger]);
}

#[test]
fn without_raised_stamps_the_oracles_see_history_that_was_read_again_with_other_versions() {
    is_missed(Mutation::NoRaisedStamps, 40, &[Broken::ForeignTakenForLocal, Broken::VersionFell]);
}
