//! The corpus on the stable toolchain, without a fuzzer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn entries(directory: &Path) -> Vec<PathBuf> {
    let listed =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_input_of_the_corpus_passes() {
    for target in weft_fuzz::TARGETS {
        let inputs = entries(&here("corpus").join(target.name));
        assert!(inputs.len() > 2, "{} has next to no corpus", target.name);
        for input in inputs {
            let data = std::fs::read(&input).expect("a readable input");
            println!("{}", input.display());
            weft_fuzz::run(target.name, &data);
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let names: BTreeSet<String> = weft_fuzz::TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let stems = |directory: &str| -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
        entries(&here(directory)).into_iter().map(stem).collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
}

#[test]
fn memory_that_the_input_does_not_explain_is_noticed() {
    let announced = [0, 0, 0, 0, 4, 0, 0, 0];
    let kept = std::panic::catch_unwind(|| weft_fuzz::run("peer", &announced));
    assert!(kept.is_ok(), "a length that is only announced reserves nothing");
    let greedy =
        std::panic::catch_unwind(|| weft_fuzz::held_within(100, || drop(Vec::<u8>::with_capacity(101))));
    assert!(greedy.is_err());
}
