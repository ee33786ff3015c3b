//! Scheduling and applying, each engine against its promises.

mod converge;
mod paths;
mod schedule;
mod server;
mod support;
