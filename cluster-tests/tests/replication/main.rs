//! Real nodes over real servers: what a deployment does.

mod commands;
mod crashes;
mod links;
mod load;
mod loops;
mod owners;
mod support;
mod another_server;
mod bad_input;
mod consistency;
mod large;
mod operations;
mod pair;
mod paths;
mod refill;
mod schema;
mod two_ways;
mod unique;
