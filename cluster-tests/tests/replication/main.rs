//! Real nodes over real servers.

mod pair;
mod schema;
mod two_ways;
mod unique;
