//! The command line: parses arguments, and returns the exit code.

use std::process::ExitCode;

use clap::Parser;
use eaplugin::cli::Cli;

fn main() -> ExitCode {
    ExitCode::from(eaplugin::run(Cli::parse()))
}
