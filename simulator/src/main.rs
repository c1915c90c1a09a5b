//! The `berth` command.

use std::process::ExitCode;

use berth::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("berth: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
