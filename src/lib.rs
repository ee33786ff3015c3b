//! The real world of a node: MySQL, mmap, TCP, configuration and the command line. One line a room.

pub mod admin;
pub mod check;
pub mod cli;
pub mod config;
pub mod error;
pub mod log;
pub mod mysql;
pub mod uninstall;
