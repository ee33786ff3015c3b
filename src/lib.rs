//! The node program: command line, configuration, wiring, admin HTTP and the real ports.

pub mod config;
