//! The program `weft`.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft::cli::main(std::env::args_os())
}
