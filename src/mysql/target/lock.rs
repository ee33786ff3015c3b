//! Owner locks: each session holds a user lock of the server while it lives, so that the next owner
//! can find it, kill it, and know when it is wholly gone.
//!
//! The server frees a session's user locks after it has rolled its transaction back: once the lock
//! is free, the row locks are, and nothing of the old session can still commit.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tracing::{info, warn};
use weft_actors::ports::TargetError;
use weft_core::mark::Epoch;

use super::{OurConnections, TargetOptions};
use crate::mysql::connect::{Role, connect};
use crate::mysql::schema::owner_lock;

/// How long a killed session may take to roll back and go.
const GONE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two kills of whoever holds the lock now.
const ATTEMPT_S: u32 = 2;

/// Kills whoever holds the shard's lock and takes it. Returns once the old session is gone.
pub(super) async fn shut_out(
    conn: &mut Conn,
    options: &TargetOptions,
    shard: u16,
) -> Result<(), TargetError> {
    let name = owner_lock(&options.channel, &options.source, shard);
    let failed = |error| TargetError::from(options.failure(&error, "taking the channel over"));
    let began = std::time::Instant::now();
    loop {
        let holder: Option<Option<u64>> =
            conn.exec_first("SELECT IS_USED_LOCK(?)", (&name,)).await.map_err(failed)?;
        if let Some(id) = holder.flatten()
            && id != u64::from(conn.id())
        {
            info!(
                channel = options.channel,
                target = options.target,
                shard,
                connection = id,
                "killing the session of the old owner"
            );
            match conn.query_drop(format!("KILL CONNECTION {id}")).await {
                Ok(()) => {}
                // It went by itself.
                Err(mysql_async::Error::Server(server)) if server.code == 1094 => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let taken: Option<Option<u8>> =
            conn.exec_first("SELECT GET_LOCK(?, ?)", (&name, ATTEMPT_S)).await.map_err(failed)?;
        if taken.flatten() == Some(1) {
            return Ok(());
        }
        if began.elapsed() > GONE_TIMEOUT {
            warn!(
                channel = options.channel,
                target = options.target,
                shard,
                "the old owner's session does not go"
            );
            return Err(TargetError::Unreachable(format!(
                "{}: the session of the old owner of shard {shard} was killed and is not gone after {} s; see \
                 SHOW PROCESSLIST there",
                options.place(),
                GONE_TIMEOUT.as_secs()
            )));
        }
    }
}

/// Takes the shard's lock for a session; the recovery before it has freed it.
pub(super) async fn take(conn: &mut Conn, options: &TargetOptions, shard: u16) -> Result<(), TargetError> {
    const WAIT_S: u32 = 5;
    let name = owner_lock(&options.channel, &options.source, shard);
    let failed = |error| TargetError::from(options.failure(&error, "taking the shard's lock"));
    let taken: Option<Option<u8>> =
        conn.exec_first("SELECT GET_LOCK(?, ?)", (&name, WAIT_S)).await.map_err(failed)?;
    if taken.flatten() == Some(1) {
        return Ok(());
    }
    Err(TargetError::Fenced(format!(
        "{}: another owner holds shard {shard} of channel {}",
        options.place(),
        options.channel
    )))
}

/// Whether a session that is not ours holds a lock of any shard of the channel, under an epoch
/// above `raised`. Under our own epoch it is a session of ours that the server has not missed yet.
///
/// Between its recovery and its first session an owner holds no lock, so one that is not seen at
/// once is looked for again.
pub(super) async fn owned_by_other(
    options: &TargetOptions,
    ours: &OurConnections,
    raised: Epoch,
) -> Result<bool, TargetError> {
    const LOOKS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(300);
    let failed = |error| TargetError::from(options.failure(&error, "looking for the channel's owner"));
    let mut conn = connect(&options.endpoint, Role::Control).await?;
    let mut other = false;
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let marks: Vec<(u16, u64)> = conn
            .exec(
                "SELECT shard, epoch FROM weft.mark WHERE channel = ? AND source = ?",
                (&options.channel, &options.source),
            )
            .await
            .map_err(failed)?;
        if marks.iter().all(|(_, epoch)| *epoch <= raised.0) {
            break;
        }
        for (shard, _) in marks {
            let name = owner_lock(&options.channel, &options.source, shard);
            let holder: Option<Option<u64>> =
                conn.exec_first("SELECT IS_USED_LOCK(?)", (&name,)).await.map_err(failed)?;
            other |= holder.flatten().is_some_and(|id| !lock_ids(ours).contains(&id));
        }
        if other {
            break;
        }
    }
    // The answer is there; how the connection ends does not change it.
    let _ = conn.disconnect().await;
    Ok(other)
}

/// The ids of our connections.
pub(super) fn lock_ids(ours: &OurConnections) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<u64>> {
    ours.lock().expect("nobody panics while holding the set of connection ids")
}
