//! The configuration: one TOML file that describes the whole deployment.
//!
//! It is read in three steps. [`raw`] has the file's own shape (unknown keys and wrong types are
//! refused there, with the key's path). [`Deployment`] is what was checked: names refer to things
//! that exist, every value is in its range, no key is set whose feature is not built. `${NAME}` and
//! `*_file` values are resolved last, and only for what a node uses itself.

mod address;
mod channel;
mod deployment;
mod error;
mod instance;
mod node;
mod overlap;
pub mod raw;
mod rule;
mod template;
mod transform;
mod unbuilt;
mod units;
mod url;

pub use address::Address;
pub use channel::{Channel, Direction};
pub use deployment::Deployment;
pub use error::{ConfigError, Problem};
pub use instance::{Instance, Server};
pub use node::Node;
pub use rule::{PlainRule, RuleKind, RuleOptions, Webhook};
pub use template::{Secret, Template, process_environment};
pub use units::{ByteSize, Count, Span};
