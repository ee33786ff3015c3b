//! What is fuzzed: every reader of bytes that come from a server, a peer, a file or a person.
//!
//! A target is a function of bytes that panics when something is wrong: beside the code's own panics
//! that is a value that does not come back from its encoding, two ways that differ, and memory beyond
//! the target's bound. The same functions are run by the fuzzer (`fuzz_targets/`) and, over the corpus,
//! by an ordinary test.

mod heap;
mod make;
pub mod pack;
mod targets;

/// One thing that is fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Of the fuzzer's program and the directory in `corpus/`.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Most bytes of heap that the input may make it hold.
    heap_bytes_max: fn(&[u8]) -> usize,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "stream", run: targets::stream::run, heap_bytes_max: targets::stream::heap_bytes_max },
    Target { name: "event", run: targets::event::run, heap_bytes_max: targets::stream::heap_bytes_max },
    Target { name: "rows", run: targets::rows::run, heap_bytes_max: targets::stream::heap_bytes_max },
    // An element of a document takes at least three bytes.
    Target { name: "json", run: targets::json::run, heap_bytes_max: |data| MIB + 1000 * data.len() },
    Target {
        name: "statement",
        run: targets::statement::run,
        heap_bytes_max: |data| 64 * KIB + 100 * data.len(),
    },
    Target { name: "gtid", run: targets::gtid::run, heap_bytes_max: |data| 64 * KIB + 200 * data.len() },
    Target { name: "frame", run: targets::frame::run, heap_bytes_max: |data| MIB + 500 * data.len() },
    Target { name: "peer", run: targets::peer::run, heap_bytes_max: |data| MIB + 500 * data.len() },
    Target { name: "mark", run: targets::mark::run, heap_bytes_max: |data| 64 * KIB + 100 * data.len() },
    Target {
        name: "checkpoint",
        run: targets::checkpoint::run,
        heap_bytes_max: |data| 4 * MIB + 100 * data.len(),
    },
    #[cfg(feature = "config")]
    Target { name: "config", run: targets::config::run, heap_bytes_max: |data| 4 * MIB + 1000 * data.len() },
];

/// Runs one input through the target of this name.
///
/// # Panics
/// Something is wrong with what the target tries, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    held_within((target.heap_bytes_max)(data), || (target.run)(data));
}

/// Runs `work`, which must not hold more of the heap than this at a time.
///
/// # Panics
/// It does.
pub fn held_within(bytes_max: usize, work: impl FnOnce()) {
    let peak = heap::peak_bytes(work);
    assert!(peak <= bytes_max, "{peak} bytes of heap are held, {bytes_max} are allowed");
}

/// The formats of the servers that the corpus was recorded from: MariaDB's, MySQL's.
pub fn formats() -> &'static [weft_core::binlog::format::Format; 2] {
    targets::stream::formats()
}
