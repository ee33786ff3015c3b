//! The node: the real ports behind the actors, and the program around them.

pub mod buffer;
pub mod data;
