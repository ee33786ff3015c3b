//! The peer link: what nodes say to each other over TCP, as length-prefixed rkyv messages.

pub mod codec;
pub mod handshake;
pub mod message;
