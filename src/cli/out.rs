//! Standard output.

use std::io::{ErrorKind, Write};

use crate::error::Failure;

/// Writes the text to standard output. A reader that went away (`| head`) has seen enough.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}; redirect it elsewhere")))
        }
        _ => Ok(()),
    }
}
