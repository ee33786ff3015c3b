//! Real nodes over real servers: what a deployment does.

mod two_ways;
