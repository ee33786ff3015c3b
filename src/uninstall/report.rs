//! What `weft uninstall` prints: where native replication can go on from.

use std::fmt;

use weft_core::mark::runs::AppliedSet;
use weft_core::mark::{Mark, Run};
use weft_core::scn::Scn;

use crate::mysql::dialect::Dialect;

/// An instance that Weft leaves. Its `Display` is for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub address: String,
    /// What the instance understands: native replication there is set up in its words.
    pub dialect: Dialect,
    /// The schema `weft` is there.
    pub installed: bool,
    /// File, position and GTIDs of the instance's own binlog; None while it is off.
    pub position: Option<(String, u64, String)>,
    pub inbound: Vec<Inbound>,
}

/// What one channel into the instance has applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    pub channel: String,
    /// Full name of the instance that the channel reads from.
    pub source: String,
    pub applied: AppliedSet,
    /// Of all shards, as they stand in the marks.
    pub runs: Vec<Run>,
}

impl Inbound {
    /// Joins the mark of another shard.
    pub(super) fn add(&mut self, mark: Mark) {
        self.runs.extend(mark.runs);
        let watermark = self.applied.watermark().max(mark.watermark);
        self.applied = AppliedSet::new(watermark, self.runs.iter().copied());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.position {
            Some((file, position, gtid)) => {
                let gtids = self.dialect.gtids_name();
                writeln!(f, "{}: {gtids} '{gtid}', binlog {file}:{position}", self.address)?;
            }
            None => writeln!(f, "{}: its binlog is off", self.address)?,
        }
        if !self.installed {
            return writeln!(f, "  it has no schema weft: nothing to remove");
        }
        for inbound in &self.inbound {
            inbound.write(f, self.dialect)?;
        }
        if !self.inbound.is_empty() {
            writeln!(
                f,
                "  These are safe to start a native replica from only if the source took no changes from Weft since: \
                 stop the applications, wait until weft status shows no lag, and start each replica from the other \
                 instance's own position as printed by its uninstall."
            )?;
        }
        writeln!(
            f,
            "  Its own native replicas keep a schema weft that nobody writes to; there run: SET SESSION \
             sql_log_bin = 0; DROP DATABASE IF EXISTS weft;"
        )
    }
}

impl Inbound {
    fn write(&self, f: &mut fmt::Formatter<'_>, dialect: Dialect) -> fmt::Result {
        let watermark = self.applied.watermark();
        writeln!(
            f,
            "  channel {} from {}: applied up to SCN {watermark}, {}",
            self.channel,
            self.source,
            place(dialect, watermark)
        )?;
        if !self.applied.is_empty() {
            let newest = self.applied.newest();
            writeln!(
                f,
                "    above it, some changes up to {} are applied already: a native replica needs SET GLOBAL {} \
                 = IDEMPOTENT until it is past that",
                place(dialect, newest),
                dialect.exec_mode()
            )?;
        }
        Ok(())
    }
}

/// The place in the source's binlog, in the words of the statement that makes the instance its replica.
/// SCNs hold the file's number; its base name is the source's setting `log_bin`.
fn place(dialect: Dialect, scn: Scn) -> String {
    let [file, position] = dialect.source_place();
    format!("{file} = '<log_bin>.{:06}', {position} = {}", scn.log_index, scn.log_pos)
}
