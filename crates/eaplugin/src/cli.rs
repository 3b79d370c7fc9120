//! Arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ephemeral_access_plugin::GoDuration;

use crate::hold::HOLD;

/// Creates, checks and calls plugins of the Argo CD EphemeralAccess controller, without a cluster.
///
/// Plugins may be written in Rust or Go: any program that the controller can load.
#[derive(Debug, Parser)]
#[command(name = "eaplugin", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 not, 2 wrong arguments; each command says more.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a plugin repository: program, tests, Dockerfile, manifests.
    ///
    /// Everything is written, or nothing. Where there is git, it becomes a git repository.
    #[command(after_help = NEW_CODES)]
    New(New),
    /// Start a plugin as the controller does, and say whether it can use it.
    ///
    /// The plugin gets this environment, as it would get the controller's. It is started several
    /// times and asked many times: give it a configuration for tests.
    #[command(after_help = CHECK_CODES)]
    Check(Check),
    /// Ask a plugin to grant a request, and print its answer.
    ///
    /// The plugin's log goes to standard error, and the answer to standard output.
    #[command(after_help = CALL_CODES)]
    Grant(Call),
    /// Ask a plugin to revoke the access of a request, and print its answer.
    ///
    /// The plugin's log goes to standard error, and the answer to standard output.
    #[command(after_help = CALL_CODES)]
    Revoke(Call),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print a man page.
    Man {
        /// The command that it is about; none for eaplugin itself.
        command: Option<String>,
    },
    /// Be the host of a plugin until somebody kills it; for `check`.
    #[command(name = HOLD, hide = true)]
    Hold {
        /// The plugin.
        plugin: PathBuf,
    },
}

const NEW_CODES: &str = "Exit codes: 0 made, 1 nothing was made, 2 wrong arguments.\n\nExample:\n  eaplugin new change-freeze";

const CHECK_CODES: &str = "Exit codes: 0 the controller can use it, 1 it cannot or not everything \
could be checked, 2 wrong arguments.\n\nExample:\n  eaplugin check ./my-plugin --request testdata/request.yaml";

const CALL_CODES: &str = "Exit codes: 0 a response with a status that the controller knows, 1 any \
other answer or none, 2 wrong arguments, 130 interrupted.\n\nExample:\n  eaplugin grant ./my-plugin --request testdata/request.yaml";

/// `eaplugin new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name of the plugin: of its crate, its image and in its manifests.
    pub name: String,
    /// Where to make it [default: NAME].
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Take the runtime from a checkout of this project [default: the checkout around the current
    /// folder, or the one that this program was built from, if it is there].
    #[arg(long, value_name = "PATH", group = "runtime")]
    pub runtime_path: Option<PathBuf>,
    /// Take the runtime from a git repository.
    #[arg(long, value_name = "URL", group = "runtime")]
    pub runtime_git: Option<String>,
    /// Take this version of the runtime from crates.io [default: this program's version, outside of
    /// a checkout].
    #[arg(long, value_name = "VERSION", group = "runtime")]
    pub runtime_version: Option<String>,
}

/// `eaplugin check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The plugin's program.
    pub plugin: PathBuf,
    /// File with an `AccessRequest` to ask about instead of the built-in one; the `Application` may
    /// be in it too.
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// File with the `Application`.
    #[arg(long, value_name = "FILE", requires = "request")]
    pub application: Option<PathBuf>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Report::Table)]
    pub output: Report,
    /// How long each step may take, such as 10s or 1m30s.
    #[arg(long, value_parser = positive, default_value = "10s")]
    pub timeout: Duration,
    /// How many calls of `GrantAccess` to time; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub calls: usize,
}

/// `eaplugin grant` and `eaplugin revoke`.
#[derive(Debug, Args)]
pub struct Call {
    /// The plugin's program.
    pub plugin: PathBuf,
    /// File with the `AccessRequest`, as `kubectl get -o yaml` prints it; the `Application` may be
    /// in it too.
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    /// File with the `Application`.
    #[arg(long, value_name = "FILE")]
    pub application: Option<PathBuf>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Answer::Yaml)]
    pub output: Answer,
    /// How long the plugin may take, such as 10s or 1m30s.
    #[arg(long, value_parser = positive, default_value = "60s")]
    pub timeout: Duration,
    /// Ask again and again, as the controller does, until it would not.
    #[arg(long)]
    pub watch: bool,
    /// Time between two calls.
    #[arg(long, value_parser = duration, default_value = "3m", requires = "watch")]
    pub interval: Duration,
    /// Stop after so many calls.
    #[arg(long, value_name = "N", requires = "watch")]
    pub times: Option<u64>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Report {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Answer {
    /// A YAML document; with `--watch`, one for each answer.
    Yaml,
    /// A JSON object; with `--watch`, a line for each answer.
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
    duration.to_std().ok_or_else(|| "it must not be negative".to_owned())
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must not be 0".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "10", "-1s", "s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(positive("0s").is_err());
    }
}
