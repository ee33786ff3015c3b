//! A real MariaDB server as a target instance.

mod owner;
mod shapes;
mod steps;
mod support;
