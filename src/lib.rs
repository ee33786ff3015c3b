//! The node program: everything that touches the world. The rooms are the real ports behind
//! `weft_actors::ports`, and what a person meets: commands, configuration, admin HTTP.

pub mod admin;
pub mod buffer;
pub mod check;
pub mod cli;
pub mod config;
pub mod data;
pub mod demo;
pub mod error;
pub mod log;
pub mod mysql;
pub mod node;
pub mod peer;
pub mod process;
pub mod uninstall;
pub mod verify;
