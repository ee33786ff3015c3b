//! The instance's heartbeat row: makes lag true when nothing else is written.

use futures::FutureExt;
use mysql_async::prelude::Queryable;
use weft_actors::ports::SourceError;
use weft_core::time::Micros;

use super::lane::Lane;

const WRITE: &str = "INSERT INTO `weft`.`heartbeat` (`instance`, `written`, `node`) VALUES (?, ?, ?) \
     ON DUPLICATE KEY UPDATE `written` = VALUES(`written`), `node` = VALUES(`node`)";

/// Writes the row of `instance`.
pub(super) async fn write(lane: &Lane, instance: &str, node: &str, now: Micros) -> Result<(), SourceError> {
    let row = (instance.to_owned(), now.0, node.to_owned());
    lane.run("writing the heartbeat", |conn| conn.exec_drop(WRITE, row.clone()).boxed()).await
}
