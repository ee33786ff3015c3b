//! A transform tied to one version of the source's table.

use std::sync::Arc;

use super::TableTransform;
use super::condition::{Condition, ConditionError, find_column};
use super::mask::{Mask, MaskError, masked_column};
use crate::catalog::TableVersion;
use crate::tables::TableName;

/// Why a transform does not fit the source's table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    #[error("where = \"{text}\": {cause}")]
    Condition { text: String, cause: ConditionError },
    #[error("rename_columns: there is no column {0} in it")]
    NoColumnToRename(String),
    #[error("rename_columns: two columns would be called {0}")]
    TwiceTheName(String),
    #[error("mask: there is no column {0} in it, as the target calls its columns")]
    NoColumnToMask(String),
    #[error("mask: column {0} is in the primary key, by which rows are told apart")]
    MaskedKey(String),
    #[error("mask: column {0} is in a unique key, and redact makes all its values equal")]
    RedactedUnique(String),
    #[error("mask: column {column}: {cause}")]
    Mask { column: String, cause: MaskError },
}

/// A transform tied to one version of the source's table.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The version as the target would have it. Masked columns are texts of no told type, so that
    /// their images are never replayed.
    pub target: Arc<TableVersion>,
    pub(super) condition: Option<Condition>,
    /// Parallel to the columns.
    pub(super) masks: Vec<Option<Mask>>,
}

impl Fitted {
    /// # Errors
    /// What in the transform does not fit the table.
    pub fn new(transform: &TableTransform, source: &TableVersion) -> Result<Fitted, TransformError> {
        let condition = transform.condition.as_ref().map(|condition| {
            Condition::new(&condition.expr, source)
                .map_err(|cause| TransformError::Condition { text: condition.text.clone(), cause })
        });
        if let Some(name) = transform.rename_columns.keys().find(|name| find_column(source, name).is_none()) {
            return Err(TransformError::NoColumnToRename(name.clone()));
        }
        let mut target = source.clone();
        target.name = TableName::clone(transform.target());
        for column in &mut target.columns {
            column.name = transform.target_column(&column.name).to_owned();
        }
        for (at, column) in target.columns.iter().enumerate() {
            if find_column(&target, &column.name) != Some(at) {
                return Err(TransformError::TwiceTheName(column.name.clone()));
            }
        }
        let masks = masks(transform, &mut target)?;
        Ok(Fitted { target: Arc::new(target), condition: condition.transpose()?, masks })
    }
}

/// The mask of each column; the masked columns become what masked values are.
fn masks(transform: &TableTransform, target: &mut TableVersion) -> Result<Vec<Option<Mask>>, TransformError> {
    let mut masks = vec![None; target.columns.len()];
    for (name, mask) in &transform.masks {
        let at = find_column(target, name).ok_or_else(|| TransformError::NoColumnToMask(name.clone()))?;
        let name = target.columns[at].name.clone();
        let among = |key: &[u16]| key.iter().any(|column| usize::from(*column) == at);
        if among(&target.primary_key) {
            return Err(TransformError::MaskedKey(name));
        }
        if *mask == Mask::Redact && target.unique_keys.iter().any(|key| among(&key.columns)) {
            return Err(TransformError::RedactedUnique(name));
        }
        if let Err(cause) = mask.takes(&target.columns[at]) {
            return Err(TransformError::Mask { column: name, cause });
        }
        target.columns[at] = masked_column(&name);
        masks[at] = Some(*mask);
    }
    Ok(masks)
}
