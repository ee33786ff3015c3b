//! The node program: everything that touches the world. The rooms are the real ports behind
//! `weft_actors::ports`, and what a person meets: commands, configuration, admin HTTP.

pub mod mysql;
pub mod peer;
pub mod uninstall;
