//! Scheduling and applying, each engine against its promises.

mod schedule;
mod support;
