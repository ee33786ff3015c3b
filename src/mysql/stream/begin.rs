//! What is said to the server before the dump, and where the dump begins.

use std::time::Duration;

use mysql_common::packets::Sid;
use mysql_common::packets::binlog_request::BinlogRequest;
use weft_actors::ports::{SourceError, StreamFrom};
use weft_core::flavour::Flavour;
use weft_core::gtid::GtidPosition;

use super::failure::broken;
use super::{ReplicaId, SEEK_MAX, SILENCE_MAX, within};
use crate::mysql::connect::Endpoint;
use crate::mysql::wire::Session;

/// How often the server says that it is still there while nothing is written.
const HEARTBEAT_PERIOD: Duration = Duration::from_millis(500);
/// Position of a file's first event.
const FIRST: u64 = 4;

/// Where a dump begins, in the words of the command.
pub(super) struct Place {
    /// Empty: the server finds the file by GTIDs.
    pub file: String,
    pub position: u64,
    /// MySQL: the GTIDs that are not sent again; None: the command without GTIDs.
    sids: Option<Vec<Sid<'static>>>,
}

impl Place {
    /// The dump command.
    pub(super) fn request(&self, id: &ReplicaId) -> BinlogRequest<'_> {
        let request =
            BinlogRequest::new(id.number()).with_filename(self.file.as_bytes()).with_pos(self.position);
        match &self.sids {
            Some(sids) => request.with_use_gtid(true).with_sids(sids.iter().cloned()),
            None => request,
        }
    }
}

/// Tells the server what we understand, and finds where the dump begins.
pub(super) async fn begin(
    endpoint: &Endpoint,
    session: &mut Session,
    id: &ReplicaId,
    from: &StreamFrom,
) -> Result<Place, SourceError> {
    let flavour = session.dialect().flavour();
    tell(endpoint, session, &introduction(flavour, id)).await?;
    match (from, flavour) {
        (StreamFrom::Position { file, position }, _) if u32::try_from(*position).is_ok() => {
            Ok(Place { file: file.clone(), position: *position, sids: None })
        }
        (StreamFrom::Position { file, position }, Flavour::MariaDb) => {
            let gtid = gtid_at(endpoint, session, file, *position).await?;
            by_state(endpoint, session, &gtid).await
        }
        // The command with GTIDs takes positions of 64 bits; a set without any leaves nothing out.
        (StreamFrom::Position { file, position }, Flavour::MySql) => {
            Ok(Place { file: file.clone(), position: *position, sids: Some(Vec::new()) })
        }
        (StreamFrom::Gtid(gtid), Flavour::MariaDb) => by_state(endpoint, session, &gtid.to_string()).await,
        (StreamFrom::Gtid(gtid), Flavour::MySql) => {
            Ok(Place { file: String::new(), position: FIRST, sids: Some(sids(endpoint, gtid)?) })
        }
    }
}

fn introduction(flavour: Flavour, id: &ReplicaId) -> String {
    let period = HEARTBEAT_PERIOD.as_nanos();
    match flavour {
        // Capability 4: the server sends its GTID events instead of replacing them. Not strict: a GTID in
        // a domain that the server has not written to yet is no error.
        Flavour::MariaDb => format!(
            "SET @mariadb_slave_capability = 4, @master_heartbeat_period = {period}, @slave_gtid_strict_mode = 0, \
             @slave_gtid_ignore_duplicates = 0, @master_binlog_checksum = @@GLOBAL.binlog_checksum"
        ),
        // Old and new names, as servers before 8.0.26 know the old ones only. By the uuid the server ends
        // the half-dead dump that this one replaces.
        Flavour::MySql => {
            let uuid = id.uuid();
            format!(
                "SET @master_heartbeat_period = {period}, @source_heartbeat_period = {period}, \
                 @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = \
                 @@GLOBAL.binlog_checksum, @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"
            )
        }
    }
}

async fn tell(endpoint: &Endpoint, session: &mut Session, statement: &str) -> Result<(), SourceError> {
    within(endpoint, SILENCE_MAX, session.run(statement)).await?.map_err(|error| broken(endpoint, &error))
}

/// MariaDB takes GTIDs as a variable of the session.
async fn by_state(endpoint: &Endpoint, session: &mut Session, gtid: &str) -> Result<Place, SourceError> {
    tell(endpoint, session, &format!("SET @slave_connect_state = '{gtid}'")).await?;
    Ok(Place { file: String::new(), position: FIRST, sids: None })
}

/// The GTID position at a file position that is too large for the dump command, which has 32 bits.
async fn gtid_at(
    endpoint: &Endpoint,
    session: &mut Session,
    file: &str,
    position: u64,
) -> Result<String, SourceError> {
    let name: String = file.bytes().map(|byte| format!("{byte:02x}")).collect();
    let select = format!("SELECT BINLOG_GTID_POS(X'{name}', {position})");
    let gtid = within(endpoint, SEEK_MAX, session.value(&select))
        .await?
        .map_err(|error| broken(endpoint, &error))?;
    // An empty one would dump everything from the beginning.
    gtid.filter(|gtid| !gtid.is_empty()).ok_or_else(|| {
        SourceError::Purged(format!(
            "{} knows no transaction that ends at {file}:{position}",
            endpoint.address()
        ))
    })
}

/// The set as the dump command takes it.
fn sids(endpoint: &Endpoint, gtid: &GtidPosition) -> Result<Vec<Sid<'static>>, SourceError> {
    let text = gtid.to_string();
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(str::parse).collect::<Result<_, std::io::Error>>().map_err(|error| {
        SourceError::Refused(format!("GTIDs '{text}' cannot be asked of {}: {error}", endpoint.address()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::tls::Tls;

    #[test]
    fn sets_with_and_without_tags_go_into_the_command() {
        let endpoint = Endpoint {
            host: "db".into(),
            port: 3306,
            user: "weft".into(),
            password: String::new(),
            tls: Tls::default(),
        };
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let gtid: GtidPosition = format!("{uuid}:1-5:7,{uuid}:batch:1-3").parse().expect("a set");
        let sids = sids(&endpoint, &gtid).expect("parsed");
        let parts: Vec<_> = sids
            .iter()
            .map(|sid| (sid.tag().map(|tag| tag.as_str().to_owned()), sid.intervals().len()))
            .collect();
        assert_eq!(parts, [(None, 2), (Some("batch".to_owned()), 1)]);
    }
}
