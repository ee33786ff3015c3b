//! Finds the place in a server's binlog at which a channel is told to begin, by reading the binlog.

use futures::FutureExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use weft_actors::ports::{SourceError, StreamFrom};
use weft_core::binlog::begin::{BinlogPlace, FIRST_EVENT, StartAt};
use weft_core::binlog::locate::{Finder, LocateError, is_not_before, judge};
use weft_core::binlog::resume::split_log_name;
use weft_core::flavour::Flavour;
use weft_core::gtid::GtidPosition;

use super::connect::Endpoint;
use super::dialect::Dialect;
use super::identify::{gtids, parse_gtid};
use super::lane::Lane;
use super::stream::{self, ReplicaIds};

/// What the server says of its binlog.
#[derive(Clone)]
struct Binlog {
    server_id: u32,
    /// Oldest first.
    files: Vec<LogFile>,
    executed: String,
    /// What is in none of the files.
    purged: String,
}

#[derive(Clone)]
struct LogFile {
    name: String,
    /// In bytes.
    size: u64,
}

/// See [`weft_actors::ports::Source::locate`].
pub(super) async fn locate(
    lane: &Lane,
    ids: &ReplicaIds,
    wanted: &StartAt,
) -> Result<BinlogPlace, SourceError> {
    let binlog = lane.run("asking for the binlog's files", |conn| read_binlog(conn).boxed()).await?;
    let endpoint = lane.endpoint();
    let search = Search { endpoint: &endpoint, ids, binlog: &binlog };
    match wanted {
        StartAt::File { file, position } => {
            search.known(file, *position)?;
            search.scan(wanted, file).await
        }
        StartAt::Gtids(gtids) => {
            let executed = parse_gtid(&endpoint.address(), &binlog.executed)?;
            let file = search.file_of(gtids, &executed).await?;
            let found = search.scan(wanted, &file).await?;
            judge(gtids, &found, &executed).map_err(refused)?;
            Ok(found)
        }
    }
}

async fn read_binlog(conn: &mut Conn) -> Result<Binlog, mysql_async::Error> {
    let server_id = conn.query_first("SELECT @@GLOBAL.server_id").await?.unwrap_or_default();
    let rows: Vec<Row> = conn.query("SHOW BINARY LOGS").await?;
    let file = |row: Row| Some(LogFile { name: row.get_opt(0)?.ok()?, size: row.get_opt(1)?.ok()? });
    let files = rows.into_iter().filter_map(file).collect();
    let purged = match Dialect::of(conn).flavour() {
        Flavour::MariaDb => None,
        Flavour::MySql => conn.query_first("SELECT REPLACE(@@GLOBAL.gtid_purged, '\\n', '')").await?,
    };
    Ok(Binlog { server_id, files, executed: gtids(conn).await?, purged: purged.unwrap_or_default() })
}

struct Search<'a> {
    endpoint: &'a Endpoint,
    ids: &'a ReplicaIds,
    binlog: &'a Binlog,
}

impl Search<'_> {
    /// Whether the file is there and as long as that.
    fn known(&self, file: &str, position: u64) -> Result<(), SourceError> {
        let (Some(first), Some(last)) = (self.binlog.files.first(), self.binlog.files.last()) else {
            return Err(SourceError::Refused(super::identify::no_binlog(&self.endpoint.address())));
        };
        match self.binlog.files.iter().find(|one| one.name == file) {
            Some(one) if position > one.size => {
                Err(refused(LocateError::Beyond { place: format!("{file}:{position}"), end: one.size }))
            }
            Some(_) => Ok(()),
            None if is_older(file, &first.name) => {
                Err(purged(LocateError::Purged { first: first.name.clone(), missing: file.to_owned() }))
            }
            None => {
                let (first, last) = (first.name.clone(), last.name.clone());
                Err(refused(LocateError::NoSuchFile { file: file.to_owned(), first, last }))
            }
        }
    }

    /// The newest file before which is nothing but what is among the GTIDs.
    async fn file_of(&self, wanted: &GtidPosition, executed: &GtidPosition) -> Result<String, SourceError> {
        let shared = wanted.shared_with(executed);
        if shared.is_empty() {
            return Err(refused(LocateError::Foreign));
        }
        let files = &self.binlog.files;
        // Of the first `good` files it is known to hold, of those from `bad` on that it does not.
        let (mut good, mut bad) = (0, files.len());
        while good < bad {
            let middle = good + (bad - good) / 2;
            let before = self.before(&files[middle].name).await?;
            if is_not_before(&shared, &before) {
                good = middle + 1;
            } else if middle == 0 {
                let (first, missing) = (files[0].name.clone(), before.beyond(&shared).to_string());
                return Err(purged(LocateError::Purged { first, missing }));
            } else {
                bad = middle;
            }
        }
        match good.checked_sub(1) {
            Some(newest) => Ok(files[newest].name.clone()),
            None => Err(SourceError::Refused(super::identify::no_binlog(&self.endpoint.address()))),
        }
    }

    /// The GTIDs before a file, as its head has them.
    async fn before(&self, file: &str) -> Result<GtidPosition, SourceError> {
        let head = StartAt::File { file: file.to_owned(), position: FIRST_EVENT };
        let place = self.read(Finder::new(&head, file, GtidPosition::default()), file).await?;
        Ok(place.gtids)
    }

    async fn scan(&self, wanted: &StartAt, file: &str) -> Result<BinlogPlace, SourceError> {
        let purged = parse_gtid(&self.endpoint.address(), &self.binlog.purged)?;
        self.read(Finder::new(wanted, file, purged), file).await
    }

    async fn read(&self, mut finder: Finder, file: &str) -> Result<BinlogPlace, SourceError> {
        let from = StreamFrom::Position { file: file.to_owned(), position: FIRST_EVENT };
        let mut stream = stream::open(self.endpoint, self.ids.take(), from, self.binlog.server_id).await?;
        loop {
            for event in stream.next().await? {
                if let Some(place) = finder.event(&event).map_err(refused)? {
                    return Ok(place);
                }
            }
        }
    }
}

/// Of two names of one binlog.
fn is_older(file: &str, first: &str) -> bool {
    match (split_log_name(file), split_log_name(first)) {
        (Some((base, index)), Some((first_base, first_index))) => base == first_base && index < first_index,
        _ => false,
    }
}

fn refused(error: LocateError) -> SourceError {
    SourceError::Refused(error.to_string())
}

fn purged(error: LocateError) -> SourceError {
    SourceError::Purged(error.to_string())
}
