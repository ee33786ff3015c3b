//! What a direction shows of itself. Written by its actor, read by the admin API.

use std::sync::{Arc, Mutex, PoisonError};

use weft_core::scn::Scn;
use weft_core::time::Micros;

/// As `/v1/status` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Running,
    Paused,
    Stopped,
}

/// One direction now.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectionStatus {
    pub phase: Phase,
    /// With `Stopped`: what to do.
    pub reason: Option<String>,
    pub watermark: Option<Scn>,
    /// Source time of the watermark.
    pub watermark_time: Micros,
    pub lag_us: u64,
    pub lag_bytes: u64,
    /// Of these, what was not received yet.
    pub behind_bytes: u64,
    /// When the watermark moved last, by the node's clock; at first, when the direction began.
    pub watermark_moved: Micros,
    pub transactions_applied: u64,
    pub rows_applied: u64,
    pub rows_skipped: u64,
    pub conflicts: u64,
}

impl Default for DirectionStatus {
    fn default() -> DirectionStatus {
        DirectionStatus {
            phase: Phase::Starting,
            reason: None,
            watermark: None,
            watermark_time: Micros::ZERO,
            lag_us: 0,
            lag_bytes: 0,
            behind_bytes: 0,
            watermark_moved: Micros::ZERO,
            transactions_applied: 0,
            rows_applied: 0,
            rows_skipped: 0,
            conflicts: 0,
        }
    }
}

/// A value that one actor writes and others read: small, copied whole.
#[derive(Debug, Default)]
pub struct Board<T>(Arc<Mutex<T>>);

impl<T> Clone for Board<T> {
    fn clone(&self) -> Board<T> {
        Board(self.0.clone())
    }
}

impl<T: Clone> Board<T> {
    pub fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
