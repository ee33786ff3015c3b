//! Real nodes over real servers: what a deployment does.

mod crashes;
mod support;
mod two_ways;
