//! Connections that break anywhere: nothing is lost and nothing comes twice.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;
use weft_core::transaction::Part;

use super::*;
use crate::link::puller::spawn;
use crate::testing::peers::PipePeers;
use crate::testing::transactions::inserts_part;

const TRANSACTIONS: u64 = 120;

/// Small and large transactions; of some large ones the first, a middle or the last part is not
/// wanted, or none is. Returns the SCNs of the parts that are wanted, with whether they end.
fn fill(fixture: &Fixture, random: &mut StdRng) -> Vec<(Scn, u32)> {
    let mut wanted = Vec::new();
    for n in 1..=TRANSACTIONS {
        let parts: u32 = if random.random_bool(0.3) { random.random_range(2..6) } else { 1 };
        for index in 0..parts {
            let chosen = random.random_bool(0.7);
            let (id, table) = if chosen { (1, "a") } else { (3, "audit_x") };
            let rows = vec![(id, TableName::new("shop", table), LOCAL); 3];
            let at = scn(n).with_row(index * 3);
            let part = (parts > 1).then_some(Part { index, last: index + 1 == parts });
            let bytes = random.random_range(1..300);
            fixture.buffer.append(&inserts_part(at, &rows, bytes, part)).expect("rising");
            if chosen {
                wanted.extend((1..=3).map(|row| (scn(n), index * 3 + row)));
            }
        }
    }
    wanted
}

/// Consumes as a channel would: rows of a large transaction count once its last part is in.
async fn consume(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let fixture = Fixture::new();
    let wanted = fill(&fixture, &mut random);
    if seed.is_multiple_of(3) {
        let forgotten = fixture.buffer.forget_up_to(scn(random.random_range(1..TRANSACTIONS)));
        fixture.history.forgotten.lock().expect("no panic").extend(forgotten);
    }
    let cuts: Vec<u64> = (0..40).map(|_| random.random_range(0..6000)).collect();
    let peers = PipePeers::new(fixture.server.clone(), random.random_range(64..8192), cuts);
    let mut handle = spawn(peers.clone(), config(Some(Scn::ZERO), random.random_range(1..20_000)));
    let (mut rows, mut partial) = (Vec::new(), Vec::new());
    let (mut parts, mut position) = (0, Scn::ZERO);
    loop {
        let pulled = timeout(Duration::from_secs(600), handle.pulled.recv()).await;
        match pulled.unwrap_or_else(|_| panic!("seed {seed}: stalled at {position}")).expect("for ever") {
            Pulled::Delivery(delivery, bytes) => {
                let transaction = &delivery.transaction;
                let body = transaction.rows().expect("rows");
                let at = transaction.header.scn.transaction();
                assert!(at > position, "seed {seed}: {at} came again");
                assert_eq!(body.part.map_or(0, |part| part.index), parts, "seed {seed}");
                partial.extend(body.rows.iter().map(|row| (at, row.row)));
                parts += 1;
                if transaction.completes().is_some() {
                    rows.append(&mut partial);
                    (parts, position) = (0, at);
                }
                handle.control.credit(bytes);
            }
            Pulled::Restarted { after } => {
                assert!(after >= position, "seed {seed}");
                partial.clear();
                parts = 0;
            }
            Pulled::Progress { scn, .. } => {
                assert!(scn >= position, "seed {seed}");
                assert!(parts == 0 || scn < partial.last().map_or(Scn::ZERO, |(at, _)| *at), "seed {seed}");
                position = position.max(scn);
            }
            Pulled::Begins { .. } | Pulled::Disconnected { .. } | Pulled::Refused { .. } => {}
        }
        if position == scn(TRANSACTIONS) {
            break;
        }
    }
    assert_eq!(rows, wanted, "seed {seed}");
    assert!(peers.cuts_left() < 40, "seed {seed}: connections were cut");
}

#[tokio::test(start_paused = true)]
async fn connections_cut_anywhere_leave_no_gap_and_no_repeat() {
    for seed in 0..60 {
        consume(seed).await;
    }
}
