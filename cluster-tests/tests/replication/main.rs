//! Real nodes over real servers: what a deployment does.

mod another_server;
mod bad_input;
mod commands;
mod consistency;
mod crashes;
mod flavours;
mod hostile;
mod large;
mod links;
mod load;
mod loops;
mod lost_commits;
mod mesh;
mod operations;
mod owners;
mod pair;
mod paths;
mod refill;
mod schema;
mod server_ids;
mod support;
mod transforms;
mod two_ways;
mod types;
mod unique;
mod xa;
