//! The command line: reads, calls the library, writes, chooses an exit code.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
