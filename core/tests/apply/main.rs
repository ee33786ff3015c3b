//! Scheduling and applying, each engine against its promises.

mod converge;
mod paths;
mod schedule;
mod script;
mod server;
mod source;
mod support;
