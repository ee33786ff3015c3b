//! The peer link over TCP: [`listener`] serves other nodes, [`connect`] calls them.

pub mod connect;
pub mod listener;
#[cfg(test)]
mod tests;
