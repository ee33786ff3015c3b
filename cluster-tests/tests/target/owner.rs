//! Who owns the channel: recoveries, fences, kills.

use std::time::Duration;

use cluster_tests::wait::wait_until;
use mysql_async::prelude::Queryable;
use weft::mysql::target::ServerTarget;
use weft_actors::ports::{Session, Target, TargetError};
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
use weft_core::sink::step::{Isolation, LockBy, Outcome, Step};

use crate::support::{Pair, TARGET, Way, begin, installed, mark, ok, options, requests, writes};

#[tokio::test]
async fn first_recovery_needs_a_start_and_creates_the_marks_with_it() {
    let server = installed(2, TARGET).await;
    let target = ServerTarget::new(options(&server));
    let nothing = target.recover(2, None).await.expect("the target answers");
    assert_eq!(nothing.marks, None);
    let start = Scn::of_transaction(1, 2, 3);
    let first = target.recover(2, Some(start)).await.expect("the target answers");
    assert!(first.epoch > first.before);
    let marks = first.marks.expect("they were created");
    assert_eq!(
        marks.iter().map(|(shard, mark)| (*shard, mark.watermark)).collect::<Vec<_>>(),
        [(0, start), (1, start)]
    );
    assert!(first.position > nothing.position, "the new marks are in the binlog: they are the probe");
    let again = target.recover(1, Some(Scn::ZERO)).await.expect("the target answers");
    assert!(again.epoch > first.epoch);
    assert_eq!(again.before, first.epoch);
    let marks = again.marks.expect("they are there");
    assert_eq!(marks.len(), 2, "the row of a shard that is not configured any more is read all the same");
    assert_eq!(marks[0].1.watermark, start, "what is stored rules, not the start");
    let more = target.recover(3, None).await.expect("the target answers");
    assert_eq!(more.marks.expect("they are there")[2].1.watermark, start);
}

#[tokio::test]
async fn old_owner_is_killed_with_its_row_locks_and_its_mark_matches_no_more() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let delivery = pair.capture("INSERT INTO t VALUES (1)").await;
    let mut old = pair.session(Way::Replay).await;
    begin(&mut old).await;
    ok(&mut old, Step::WriteMark(Box::new(mark(5)))).await;
    ok(&mut old, Step::Write(writes(&delivery))).await;
    let other = ServerTarget::new(options(&pair.target));
    assert!(other.owned_by_other().await.expect("the target answers"));
    let recovered = other.recover(1, None).await.expect("the old owner goes");
    assert!(recovered.epoch > recovered.before && recovered.before > Epoch(0));
    let marks = recovered.marks.expect("they are there");
    assert_eq!(marks[0].1.watermark, Scn::ZERO, "what the old owner had not committed is gone");
    assert!(matches!(old.run(Step::Commit).await, Outcome::ConnectionLost));
    assert!(matches!(old.run(Step::RollBack).await, Outcome::ConnectionLost));
    let own = other.session(0, recovered.epoch).await.expect("the epoch is ours");
    assert!(!other.owned_by_other().await.expect("the target answers"));
    let third = ServerTarget::new(options(&pair.target));
    let after = third.recover(1, None).await.expect("the second owner goes");
    let taken = third.session(0, after.epoch).await.expect("the epoch is its own");
    assert!(other.owned_by_other().await.expect("the target answers"), "it must not take it back");
    drop(own);
    drop(taken);
    let mut new = retake(&other).await;
    begin(&mut new).await;
    ok(&mut new, Step::Write(writes(&delivery))).await;
    ok(&mut new, Step::Commit).await;
}

/// The owner before is gone: the direction is taken back.
async fn retake(target: &ServerTarget) -> Box<dyn Session> {
    wait_until(Duration::from_secs(10), "nobody owns the channel", async || {
        match target.owned_by_other().await {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let recovered = target.recover(1, None).await.expect("the target answers");
    target.session(0, recovered.epoch).await.expect("the epoch is ours")
}

/// The network dropped the owner's connection without the server's noticing.
#[tokio::test]
async fn a_forgotten_session_of_our_own_is_not_another_owner() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let target = ServerTarget::new(options(&pair.target));
    let recovered = target.recover(1, Some(Scn::ZERO)).await.expect("the target answers");
    let mut lingering = pair.target.conn().await;
    let lock =
        weft::mysql::schema::owner_lock(&options(&pair.target).channel, &options(&pair.target).source, 0);
    let taken: Option<u8> =
        lingering.exec_first("SELECT GET_LOCK(?, 5)", (lock,)).await.expect("the target answers");
    assert_eq!(taken, Some(1));
    assert!(!target.owned_by_other().await.expect("the target answers"));
    let again = target.recover(1, None).await.expect("it shuts the lingering session out");
    assert!(again.epoch > recovered.epoch);
}

#[tokio::test]
async fn session_of_an_older_epoch_is_fenced() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut session = pair.session(Way::Replay).await;
    // The other owner could not find the session (its lock is not seen by another server, say).
    pair.target.execute("UPDATE weft.mark SET epoch = epoch + 1").await;
    begin(&mut session).await;
    assert!(matches!(session.run(Step::WriteMark(Box::new(mark(5)))).await, Outcome::Fenced));
    drop(session);
    let target = ServerTarget::new(options(&pair.target));
    let raised = target.recover(1, None).await.expect("the dropped session goes").epoch;
    let refused =
        wait_until(Duration::from_secs(10), "the lock of the dropped session", async || {
            match target.session(0, Epoch(1)).await {
                Err(TargetError::Fenced(reason)) if reason.contains(&format!("epoch {}", raised.0)) => {
                    Ok(reason)
                }
                other => Err(format!("{:?}", other.err())),
            }
        })
        .await;
    assert!(refused.contains(TARGET), "{refused}");
}

#[tokio::test]
async fn read_only_target_is_never_written() {
    let server = installed(2, TARGET).await;
    let target = ServerTarget::new(options(&server));
    server.execute("SET GLOBAL read_only = ON").await;
    let before = server.binlog_position().await;
    let refused = target.recover(1, Some(Scn::ZERO)).await.expect_err("root could write there, and must not");
    assert!(matches!(&refused, TargetError::Refused(reason) if reason.contains("read_only")), "{refused:?}");
    assert_eq!(server.binlog_position().await, before);
    server.execute("SET GLOBAL read_only = OFF").await;
    let epoch = target.recover(1, Some(Scn::ZERO)).await.expect("it takes writes").epoch;
    let mut session = target.session(0, epoch).await.expect("the epoch is ours");
    begin(&mut session).await;
    ok(&mut session, Step::RollBack).await;
    server.execute("SET GLOBAL read_only = ON").await;
    let outcome = session.run(Step::Begin(Isolation::ReadCommitted)).await;
    assert!(matches!(&outcome, Outcome::Refused(stop) if stop.reason.contains("read_only")), "{outcome:?}");
    ok(&mut session, Step::RollBack).await;
}

#[tokio::test]
async fn lock_wait_rolls_the_whole_transaction_back() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let delivery = pair.capture("DELETE FROM t").await;
    let mut session = pair.session(Way::Replay).await;
    let mut local = pair.target.conn().await;
    crate::support::execute(&mut local, "BEGIN").await;
    crate::support::execute(&mut local, "SELECT * FROM s.t FOR UPDATE").await;
    begin(&mut session).await;
    ok(&mut session, Step::WriteMark(Box::new(mark(5)))).await;
    let outcome = session.run(Step::Lock(requests(&delivery, LockBy::PrimaryKey))).await;
    assert!(matches!(outcome, Outcome::Deadlock), "{outcome:?}");
    ok(&mut session, Step::RollBack).await;
    let body: Vec<Vec<u8>> = pair.target.query("SELECT body FROM weft.mark").await;
    assert_eq!(
        body,
        [weft_core::mark::Mark {
            watermark: Scn::ZERO,
            watermark_time: weft_core::time::Micros::ZERO,
            ..mark(5)
        }
        .encode()]
    );
}

#[tokio::test]
async fn dead_and_frozen_servers_lose_the_session_in_time() {
    let mut pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut options = options(&pair.target);
    options.statement_timeout = Duration::from_secs(1);
    let target = ServerTarget::new(options);
    let epoch = target.recover(1, Some(Scn::ZERO)).await.expect("the target is free").epoch;
    let mut session = target.session(0, epoch).await.expect("the epoch is ours");
    begin(&mut session).await;
    pair.target.sigstop();
    assert!(matches!(session.run(Step::ReadPosition).await, Outcome::ConnectionLost));
    pair.target.sigcont();
    assert!(matches!(session.run(Step::RollBack).await, Outcome::ConnectionLost), "it is not used again");
    drop(session);
    let epoch = target.recover(1, None).await.expect("its own old session goes").epoch;
    let mut session = target.session(0, epoch).await.expect("the epoch is ours");
    pair.target.kill9();
    assert!(matches!(session.run(Step::ReadPosition).await, Outcome::ConnectionLost));
    assert!(matches!(target.recover(1, None).await, Err(TargetError::Unreachable(_))));
}

#[tokio::test]
async fn skipped_change_is_on_record_until_the_watermark_passes_it() {
    let pair = Pair::start("CREATE TABLE t (id INT PRIMARY KEY)").await;
    let target = ServerTarget::new(options(&pair.target));
    let scn = Scn::of_transaction(1, 1, 6);
    target.record_skip(scn, "TRUNCATE TABLE t").await.expect("the target answers");
    let recovered = target.recover(1, Some(Scn::ZERO)).await.expect("the target is free");
    assert_eq!(recovered.skipped, [scn]);
    let mut session = target.session(0, recovered.epoch).await.expect("the epoch is ours");
    begin(&mut session).await;
    ok(&mut session, Step::WriteMark(Box::new(mark(6)))).await;
    ok(&mut session, Step::Commit).await;
    assert_eq!(target.recover(1, None).await.expect("the target is free").skipped, []);
}
