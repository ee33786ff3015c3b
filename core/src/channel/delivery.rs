//! What a pull delivers, and the units that it is scheduled in.

use std::sync::Arc;

use crate::catalog::TableVersion;
use crate::scn::Scn;
use crate::transaction::{Part, RowStamp, Rows, Transaction};

/// A pulled frame with all that is needed to read its rows.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub transaction: Transaction,
    /// Parallel to [`Rows::tables`].
    pub tables: Vec<Arc<TableVersion>>,
    /// The format description event of `raw`, canonical.
    pub format: Arc<[u8]>,
    /// Why its rows must not be applied: a transform does not fit them.
    pub refused: Option<String>,
}

/// How far the transactions of a source may pass or be cut into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Commits in SCN order, always.
    Ordered,
    /// Never splits a source transaction; independent ones pass each other.
    #[default]
    Transaction,
    /// Splits by key; each key in order.
    Row,
}

/// The unit of scheduling and of the applied set: a whole transaction, one part of a large one, or
/// one row (`consistency = "row"`).
#[derive(Debug, Clone)]
pub struct Unit {
    pub delivery: Arc<Delivery>,
    /// Indexes into [`Rows::rows`], end exclusive.
    pub rows: std::ops::Range<u32>,
    /// Of the whole transaction (`row` 0), or of the one row.
    pub scn: Scn,
    /// Place in the order in which the channel pulled its units: dense, so that two units are
    /// neighbours exactly if their sequences are. The parts of a large transaction share one.
    pub sequence: u64,
}

impl Unit {
    /// Which part of a large transaction this is; None: a whole transaction or a row of one.
    pub fn part(&self) -> Option<Part> {
        self.delivery.transaction.rows().and_then(|rows| rows.part)
    }

    /// The stamps of the unit's rows, with their indexes in [`Rows::rows`].
    pub fn stamps(&self) -> impl Iterator<Item = (u32, &RowStamp)> {
        let rows: Option<&Rows> = self.delivery.transaction.rows();
        self.rows.clone().filter_map(move |index| rows.map(|rows| (index, &rows.rows[index as usize])))
    }
}
