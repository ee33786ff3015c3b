//! A clock that tests set.

use std::sync::atomic::{AtomicU64, Ordering};

use weft_core::time::Micros;

use crate::ports::Clock;

/// Stands still until it is moved.
#[derive(Debug, Default)]
pub struct ModelClock(AtomicU64);

impl ModelClock {
    pub fn at(now: Micros) -> ModelClock {
        ModelClock(AtomicU64::new(now.0))
    }

    pub fn set(&self, now: Micros) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for ModelClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}
