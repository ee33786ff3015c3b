//! The peer link: what nodes say to each other over TCP, as length-prefixed rkyv messages.

pub mod codec;
pub mod credit;
pub mod handshake;
pub mod incoming;
pub mod message;
pub mod outgoing;
#[cfg(test)]
mod tests;
