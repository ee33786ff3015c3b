//! Repeats seeds of the simulation.
//!
//! `cargo run -p cluster-tests --bin sim -- --seed 7 --verbose` prints the whole trace of one run;
//! `--seeds 0..1000` runs many and prints what they came to.

use std::process::ExitCode;

use clap::Parser;
use cluster_tests::sim::oracle::Failure;
use cluster_tests::sim::setup::Mutation;
use cluster_tests::sim::world;

#[derive(Parser)]
struct Args {
    /// One seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Many, end exclusive: 0..100.
    #[arg(long, value_parser = range)]
    seeds: Option<std::ops::Range<u64>>,
    /// Sites; as the seed has it if not given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=3))]
    sites: Option<u64>,
    /// Three sites of which the outer ones meet only by way of the middle one.
    #[arg(long)]
    chain: bool,
    /// Leaves something essential out, to see that it is missed.
    #[arg(long, value_enum, default_value_t)]
    mutation: Mutation,
    /// Prints every step.
    #[arg(long)]
    verbose: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let bounds = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    bounds.ok_or_else(|| "write two numbers, for example 0..100".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = world::Options {
        sites: args.sites.map(|sites| sites as usize),
        chain: args.chain,
        mutation: args.mutation,
        verbose: args.verbose,
    };
    let seeds = args.seeds.clone().unwrap_or_else(|| {
        let seed = args.seed.unwrap_or(0);
        seed..seed + 1
    });
    let (mut runs, mut stopped, mut failed) = (0_u64, 0_u64, Vec::new());
    let mut total = world::Summary::default();
    for seed in seeds {
        runs += 1;
        match world::run(seed, options) {
            Ok(summary) => {
                total.ticks = total.ticks.saturating_add(summary.ticks);
                total.captured += summary.captured;
                total.foreign += summary.foreign;
                total.evictions += summary.evictions;
                total.recoveries += summary.recoveries;
                stopped += u64::from(summary.stopped);
                total.coverage.add(&summary.coverage);
            }
            Err(Failure { what, .. }) => {
                let shown =
                    if args.seed.is_some() { what.as_str() } else { what.lines().next().unwrap_or("") };
                println!("{shown}");
                failed.push(seed);
            }
        }
    }
    let world::Summary { ticks, captured, foreign, evictions, recoveries, .. } = total;
    println!("{}", total.coverage);
    println!(
        "{runs} runs, {stopped} ended stopped as they had to, {} failed: {failed:?}; the others: {ticks} ticks, \
         {captured} transactions captured, {foreign} of them foreign, {evictions} evictions, {recoveries} recoveries",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
