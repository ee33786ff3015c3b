//! Real nodes over real servers: what a deployment does.

mod another_server;
mod pair;
mod refill;
mod schema;
mod two_ways;
mod unique;
