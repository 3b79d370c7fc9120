//! The tool for authors of EphemeralAccess plugins: makes a plugin repository, checks a plugin as
//! the controller would load it, and calls it with requests from files.
//!
//! All but the arguments is here, for tests; `main.rs` only connects. Reading order: [`cli`], then
//! [`mod@new`], [`mod@check`] and [`mod@call`]; the last two start plugins with [`session`] and judge what
//! comes back with [`answer`] and [`log`].
//!
//! # Limitations
//!
//! Linux only, as the runtime. What it says about the controller is upstream v0.1.5 to v1.2.0.

pub mod answer;
pub mod call;
pub mod check;
pub mod cleanup;
pub mod cli;
pub mod error;
mod hold;
pub mod log;
pub mod new;
pub mod program;
pub mod session;
pub mod template;
pub mod terminal;

use std::env;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use ephemeral_access_plugin::testing::{Request, RequestError};

use crate::answer::Call;
use crate::cli::{Cli, Command};
use crate::error::{explained, rendered};
use crate::template::Runtime;
use crate::terminal::say;

/// It is done; of a check: the controller can use the plugin.
pub const SUCCESS: u8 = 0;

/// It is not.
pub const FAILURE: u8 = 1;

/// The arguments are wrong, or a file that they name.
pub const USAGE: u8 = 2;

/// Does what the arguments say, and returns the exit code.
#[must_use]
pub fn run(cli: Cli) -> u8 {
    let done = match cli.command {
        Command::New(arguments) => return or_usage(new_options(arguments), new),
        Command::Check(arguments) => return or_usage(check_options(arguments), check),
        Command::Grant(arguments) => return or_usage(call_options(Call::Grant, arguments), call),
        Command::Revoke(arguments) => return or_usage(call_options(Call::Revoke, arguments), call),
        Command::Completions { shell } => completions(shell),
        Command::Man { command } => {
            return or_usage(man(command.as_deref()), |page| emit(&page).map(|_| true));
        }
        Command::Hold { plugin } => hold::hold(&plugin, HOLD_TIMEOUT).map(|()| true),
    };
    code(done)
}

/// Longer than any check waits for the plugin.
const HOLD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3600);

fn code(done: Result<bool>) -> u8 {
    match done {
        Ok(true) => SUCCESS,
        Ok(false) => FAILURE,
        Err(error) => {
            say(&rendered(&error));
            FAILURE
        }
    }
}

fn or_usage<T>(prepared: Result<T>, act: impl FnOnce(T) -> Result<bool>) -> u8 {
    match prepared {
        Ok(prepared) => code(act(prepared)),
        Err(error) => {
            say(&rendered(&error));
            USAGE
        }
    }
}

fn new_options(arguments: cli::New) -> Result<new::Options> {
    new::check_name(&arguments.name)?;
    let runtime = match (arguments.runtime_path, arguments.runtime_git, arguments.runtime_version) {
        (Some(path), _, _) => Some(Runtime::Path(path)),
        (_, Some(url), _) => Some(Runtime::Git(url)),
        (_, _, Some(version)) => Some(Runtime::Version(version)),
        (None, None, None) => None,
    };
    Ok(new::Options { name: arguments.name, directory: arguments.directory, runtime })
}

fn new(options: new::Options) -> Result<bool> {
    let created = new::create(&options)?;
    say(&format!("made {}", created.directory.display()));
    if let Some(reason) = created.without_git {
        say(&format!("it is no git repository of its own: {reason}"));
    }
    say(&match created.runtime {
        Runtime::Path(path) => format!(
            "the runtime comes from {}: good on this machine; for its Dockerfile and for others, name \
             a version or a git repository in Cargo.toml",
            path.display()
        ),
        Runtime::Git(url) => format!("the runtime comes from {url}"),
        Runtime::Version(version) => format!(
            "the runtime is ephemeral-access-plugin {version} from crates.io; if it is not published \
             there yet, make it again with `--runtime-path CHECKOUT` or `--runtime-git URL`"
        ),
    });
    say("next: its README.md says what to change; `cargo test` runs its tests");
    Ok(true)
}

fn check_options(arguments: cli::Check) -> Result<(check::Options, cli::Report)> {
    let request = match &arguments.request {
        Some(request) => load(request, arguments.application.as_deref())?,
        None => session::as_sent(check::sample()?),
    };
    let options = check::Options {
        plugin: arguments.plugin,
        timeout: arguments.timeout,
        calls: arguments.calls,
        request,
        itself: env::current_exe().context("cannot find this program's own file")?,
    };
    Ok((options, arguments.output))
}

fn check((options, output): (check::Options, cli::Report)) -> Result<bool> {
    cleanup::on_signal().context("cannot handle signals")?;
    let report = check::check(&options);
    match output {
        cli::Report::Table => finish(write!(anstream::stdout().lock(), "{}", report.table()))?,
        cli::Report::Json => emit(&report.json()?)?,
    };
    Ok(report.usable)
}

fn call_options(call: Call, arguments: cli::Call) -> Result<call::Options> {
    let request = load(&arguments.request, arguments.application.as_deref())?;
    let watch = call::Watch { interval: arguments.interval, times: arguments.times };
    Ok(call::Options {
        plugin: arguments.plugin,
        call,
        request,
        timeout: arguments.timeout,
        watch: arguments.watch.then_some(watch),
        output: match arguments.output {
            cli::Answer::Yaml => call::Output::Yaml,
            cli::Answer::Json => call::Output::Json,
        },
    })
}

fn call(options: call::Options) -> Result<bool> {
    cleanup::on_signal().context("cannot handle signals")?;
    call::call(&options)
}

fn load(request: &Path, application: Option<&Path>) -> Result<Request> {
    let paths: Vec<&Path> = [request].into_iter().chain(application).collect();
    let loaded = Request::load_all(&paths).map(session::as_sent);
    loaded.map_err(|error| {
        let hint = match &error {
            RequestError::Count { kind: "Application", count: 0 } => {
                "add the Application to the file, after a line `---`, or name its file with \
                 `--application FILE`"
            }
            RequestError::File { .. } | RequestError::Count { .. } => {
                "it must be what `kubectl get accessrequest NAME -o yaml` and `kubectl get \
                 application NAME -o yaml` print"
            }
            _ => "see `--help` for what the file must hold",
        };
        let files: Vec<String> =
            paths.iter().map(|path| format!("\"{}\"", path.display())).collect();
        let what = session::chain(&error);
        match error {
            RequestError::Count { .. } => {
                explained(format!("{}: {what}", files.join(" and ")), hint)
            }
            _ => explained(what, hint),
        }
    })
}

fn completions(shell: clap_complete::Shell) -> Result<bool> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "eaplugin", &mut script);
    emit(&String::from_utf8_lossy(&script)).map(|_| true)
}

fn man(command: Option<&str>) -> Result<String> {
    let mut program = Cli::command();
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let visible = |command: &&clap::Command| !command.is_hide_set();
            let names: Vec<&str> =
                program.get_subcommands().filter(visible).map(clap::Command::get_name).collect();
            let hint = format!("the commands are {}", names.join(", "));
            let unknown = || explained(format!("there is no command \"{name}\""), hint);
            program.find_subcommand(name).cloned().ok_or_else(unknown)?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes data to standard output; whether there is still somebody who reads it.
pub(crate) fn emit(text: &str) -> Result<bool> {
    let mut stdout = io::stdout().lock();
    finish(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// A reader that has had enough, such as `head`, is no failure.
fn finish(written: io::Result<()>) -> Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("cannot write to standard output"),
    }
}
