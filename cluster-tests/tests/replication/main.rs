//! Real nodes over real servers: what a deployment does.

mod commands;
mod crashes;
mod links;
mod load;
mod loops;
mod owners;
mod support;
mod two_ways;
