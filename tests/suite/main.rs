//! The node package from outside: configuration files and the `weft` program itself.

mod config;
