//! The instance's heartbeat row: makes lag true when nothing else is written.

use futures::FutureExt;
use mysql_async::prelude::Queryable;
use weft_actors::ports::SourceError;
use weft_core::time::Micros;

use super::lane::Lane;

/// A read-only server is not written, whatever the account may: it was demoted, and what is written there
/// is lost when its replica takes over.
const WRITE: &str = "INSERT INTO `weft`.`heartbeat` (`instance`, `written`, `node`) \
     SELECT ?, ?, ? FROM DUAL WHERE @@GLOBAL.read_only = 0 \
     ON DUPLICATE KEY UPDATE `written` = VALUES(`written`), `node` = VALUES(`node`)";

/// Not the session's own, which it got when it was opened.
const SERVER_ID: &str = "SELECT @@GLOBAL.server_id";

/// Writes the row of `instance`; gives the id of its server.
pub(super) async fn write(lane: &Lane, instance: &str, node: &str, now: Micros) -> Result<u32, SourceError> {
    let row = (instance.to_owned(), now.0, node.to_owned());
    lane.run("writing the heartbeat", |conn| {
        let row = row.clone();
        async move {
            conn.exec_drop(WRITE, row).await?;
            Ok(conn.query_first(SERVER_ID).await?.unwrap_or_default())
        }
        .boxed()
    })
    .await
}
