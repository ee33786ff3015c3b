//! Writes at one site, as an application that knows nothing of Weft.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::time::Instant;

use super::error::DemoError;
use super::plan::{self, Kind, Statement};
use super::servers;
use super::sites::SITES;

/// Sessions a site.
const SESSIONS: u64 = 4;
/// Transactions a second and site: what a laptop bears beside two servers.
const PER_SECOND: u64 = 300;

const DUPLICATE_KEY: u16 = 1062;
/// Lock wait timeout, deadlock: <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
const GAVE_WAY: [u16; 2] = [1205, 1213];

/// What a site wrote so far.
#[derive(Debug, Default)]
pub struct Counters {
    transactions: AtomicU64,
    inserted: AtomicU64,
    updated: AtomicU64,
    deleted: AtomicU64,
    refused: AtomicU64,
}

/// A reading of [`Counters`]. Rows are those of committed transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    pub transactions: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Rolled back: the site's own server had the unique value already, or another session was
    /// first at a lock.
    pub refused: u64,
}

impl Written {
    /// Changed rows.
    pub fn rows(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

impl Counters {
    pub fn read(&self) -> Written {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written {
            transactions: read(&self.transactions),
            inserted: read(&self.inserted),
            updated: read(&self.updated),
            deleted: read(&self.deleted),
            refused: read(&self.refused),
        }
    }

    fn add(&self, committed: &Written) {
        for (counter, count) in [
            (&self.transactions, committed.transactions),
            (&self.inserted, committed.inserted),
            (&self.updated, committed.updated),
            (&self.deleted, committed.deleted),
            (&self.refused, committed.refused),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// When and what to write.
#[derive(Debug, Clone, Copy)]
pub struct Timetable {
    pub seed: u64,
    /// The same for both sites, so that their duels meet.
    pub begin: Instant,
    pub end: Instant,
}

/// Writes at a site until the end of the timetable.
pub async fn write(
    site: usize,
    port: u16,
    timetable: Timetable,
    counters: &Counters,
) -> Result<(), DemoError> {
    let sessions = (0..SESSIONS).map(|session| write_session(site, port, session, timetable, counters));
    futures::future::try_join_all(sessions).await.map(|_| ())
}

/// Every [`SESSIONS`]th transaction of the site.
async fn write_session(
    site: usize,
    port: u16,
    session: u64,
    timetable: Timetable,
    counters: &Counters,
) -> Result<(), DemoError> {
    let mut conn = servers::connect(SITES[site], port, "writing").await?;
    for number in (session..).step_by(SESSIONS as usize) {
        let due = timetable.begin + Duration::from_micros(number * 1_000_000 / PER_SECOND);
        if due.max(Instant::now()) >= timetable.end {
            break;
        }
        tokio::time::sleep_until(due).await;
        let statements = plan::transaction(timetable.seed, site, number);
        match commit(&mut conn, &statements).await {
            Ok(written) => counters.add(&written),
            Err(Error::Server(error)) if error.code == DUPLICATE_KEY || GAVE_WAY.contains(&error.code) => {
                let rolled_back = conn.query_drop("ROLLBACK").await;
                rolled_back.map_err(|cause| failed(site, cause))?;
                counters.add(&Written { refused: 1, ..Written::default() });
            }
            Err(cause) => return Err(failed(site, cause)),
        }
    }
    conn.disconnect().await.map_err(|cause| failed(site, cause))
}

fn failed(site: usize, cause: Error) -> DemoError {
    DemoError::Query { site: SITES[site], doing: "writing", cause }
}

async fn commit(conn: &mut Conn, statements: &[Statement]) -> Result<Written, Error> {
    let mut written = Written { transactions: 1, ..Written::default() };
    conn.query_drop("START TRANSACTION").await?;
    for statement in statements {
        conn.query_drop(&statement.sql).await?;
        let rows = conn.affected_rows();
        match statement.kind {
            Kind::Insert => written.inserted += rows,
            Kind::Update => written.updated += rows,
            Kind::Delete => written.deleted += rows,
        }
    }
    conn.query_drop("COMMIT").await?;
    if written.rows() == 0 {
        // The rows were not there (any more): nothing for the binlog.
        written.transactions = 0;
    }
    Ok(written)
}
