//! The real world of a node: MySQL, mmap, TCP, configuration and the command line. One line a room.

pub mod mysql;
pub mod verify;
