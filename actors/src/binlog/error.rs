//! Why a capture ends.

use weft_core::binlog::Malformed;
use weft_core::binlog::assembler::AssembleError;
use weft_core::binlog::format::EventError;
use weft_core::binlog::table_map::TableMapError;
use weft_core::stamp::ScanError;

use crate::ports::{BufferError, SourceError, StoreError};

/// Why a capture ended. All are tried again; what a person must see to is in the text.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CaptureError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Buffer(#[from] BufferError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Table(#[from] TableMapError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("server {0} is not the instance's primary any more: capture goes on where that is now")]
    Moved(u32),
    #[error("{0}")]
    Stopped(String),
    #[error("a task of the capture failed: {0}")]
    Task(String),
}

impl CaptureError {
    pub(super) fn rows_before_format() -> CaptureError {
        CaptureError::Stopped("rows came before the format description event".into())
    }

    /// Whether it does not come right by itself: the channels that read from here stop with it.
    pub fn needs_a_person(&self) -> bool {
        match self {
            CaptureError::Source(SourceError::Unreachable(_))
            | CaptureError::Moved(_)
            | CaptureError::Task(_) => false,
            CaptureError::Source(SourceError::Purged(_) | SourceError::Refused(_)) => true,
            CaptureError::Buffer(_)
            | CaptureError::Store(_)
            | CaptureError::Assemble(_)
            | CaptureError::Scan(_)
            | CaptureError::Table(_)
            | CaptureError::Event(_)
            | CaptureError::Stopped(_) => true,
        }
    }
}

impl From<Malformed> for CaptureError {
    fn from(malformed: Malformed) -> CaptureError {
        CaptureError::Event(malformed.into())
    }
}

impl From<tokio::task::JoinError> for CaptureError {
    fn from(error: tokio::task::JoinError) -> CaptureError {
        CaptureError::Task(error.to_string())
    }
}
