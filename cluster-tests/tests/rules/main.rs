//! Rules that decide conflicts beyond the last write: real servers, real nodes, and a real little web
//! server for the webhook.

mod column;
mod mesh;
mod support;
mod webhook;
