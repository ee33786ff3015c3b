//! The table versions behind the table maps of a stream: known ones by their fingerprint, new ones
//! described by the server and added to the catalog.

use std::collections::HashMap;
use std::sync::Arc;

use weft_core::binlog::event::{EventHeader, EventType};
use weft_core::binlog::format::Format;
use weft_core::binlog::table_map::{ColumnShape, TableMap, TableShape};
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem, TableVersion};
use weft_core::scn::Scn;
use weft_core::stamp::Resolved;
use weft_core::tables::{TableFilter, TableName};

use super::error::CaptureError;
use crate::ports::{EventBuffer, Source, TableFacts};

/// Shapes seen in this stream.
pub struct Shapes {
    source: Arc<dyn Source>,
    buffer: Arc<dyn EventBuffer>,
    /// What the channels of this instance replicate; rows of other tables are left out.
    wanted: Vec<TableFilter>,
    known: HashMap<u64, Option<(CatalogId, Arc<TableVersion>)>>,
}

impl Shapes {
    pub fn new(source: Arc<dyn Source>, buffer: Arc<dyn EventBuffer>, wanted: Vec<TableFilter>) -> Shapes {
        Shapes { source, buffer, wanted, known: HashMap::new() }
    }

    /// The version behind a table map.
    pub fn resolve(&self, map: &TableMap<'_>) -> Resolved {
        match self.known.get(&map.fingerprint()) {
            Some(Some((id, version))) => Resolved::Wanted(*id, version.clone()),
            Some(None) => Resolved::LeftOut,
            None => Resolved::Unknown,
        }
    }

    /// After a DDL nothing is known any more: a unique key may have come or gone without the table
    /// map showing it.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Learns every table map among these canonical events; `began` is where a new version starts.
    ///
    /// # Errors
    /// The server cannot be asked, or the shape cannot be understood.
    pub async fn learn(&mut self, events: &[u8], format: &Format, began: Scn) -> Result<(), CaptureError> {
        let mut rest = events;
        while !rest.is_empty() {
            let header = EventHeader::parse(rest)?;
            let size = (header.event_size as usize).clamp(1, rest.len());
            let (event, after) = rest.split_at(size);
            rest = after;
            if header.kind != EventType::TableMap {
                continue;
            }
            let map = TableMap::parse(event, format)?;
            let fingerprint = map.fingerprint();
            if !self.known.contains_key(&fingerprint) {
                let found = self.look_up(&map, began).await?;
                self.known.insert(fingerprint, found);
            }
        }
        Ok(())
    }

    async fn look_up(
        &self,
        map: &TableMap<'_>,
        began: Scn,
    ) -> Result<Option<(CatalogId, Arc<TableVersion>)>, CaptureError> {
        let name = map.name();
        if !self.is_wanted(&name) {
            return Ok(None);
        }
        let facts = self.source.describe(&name).await?;
        let version = map.to_table_version(facts.map(shape_of).as_ref())?;
        if let Some((id, newest)) = self.buffer.newest_table(&name)
            && *newest == version
        {
            return Ok(Some((id, newest)));
        }
        let id = self.next_id();
        tracing::info!(table = %name, columns = version.columns.len(), scn = %began, "a new version of a table");
        let version = Arc::new(version);
        self.buffer.add_catalog(CatalogEntry { id, began, what: CatalogItem::Table((*version).clone()) })?;
        Ok(Some((id, version)))
    }

    fn is_wanted(&self, name: &TableName) -> bool {
        self.wanted.iter().any(|filter| filter.chooses(name))
    }

    /// The next free id of the catalog. Only the capture adds to it.
    pub fn next_id(&self) -> CatalogId {
        CatalogId(self.buffer.catalog().len() as u32)
    }
}

fn shape_of(facts: TableFacts) -> TableShape {
    let columns = facts.columns.into_iter().map(|column| ColumnShape {
        name: column.name,
        column_type: column.column_type,
        collation: column.collation,
        nullable: column.nullable,
        default: column.default,
        generated: column.generated,
    });
    TableShape { columns: columns.collect(), primary_key: facts.primary_key, unique_keys: facts.unique_keys }
}
