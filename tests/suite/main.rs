//! The node package from outside: configuration files, admin HTTP, and the `weft` program itself.

mod admin;
mod cli;
mod config;
mod program;
mod rules;
mod transforms;
