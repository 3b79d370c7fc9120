//! The command line: reads, calls the library, writes, chooses an exit code.

mod cli;

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use inject_ephemeral_access_plugin::{Finding, Manifests, Outcome, inject, run, schema, uninject};

/// The run did what it was asked to do.
const SUCCESS: u8 = 0;

/// Something stood in the way; nothing was changed.
const FAILURE: u8 = 1;

/// No input may be larger. The largest that are known have a tenth of it.
const INPUT_LIMIT: u64 = 256 << 20;

fn main() -> ExitCode {
    let code = match Cli::parse().command {
        None => function(),
        Some(Command::Inject(arguments)) => {
            let config = arguments.config.as_deref().map(Path::new);
            manifests(&arguments.file, config, |manifests, config| {
                inject(manifests, config, arguments.image.as_deref())
            })
        }
        Some(Command::Uninject(arguments)) => {
            let config = arguments.config.as_deref().map(Path::new);
            manifests(&arguments.file, config, uninject)
        }
        Some(Command::Schema) => print_schema(),
    };
    ExitCode::from(code.unwrap_or_else(|message| {
        say(&format!("error: {message}"));
        FAILURE
    }))
}

/// The KRM function: a ResourceList on standard input, one on standard output.
fn function() -> Result<u8, String> {
    if io::stdin().is_terminal() {
        return Err("standard input must be a ResourceList, got a terminal\n\
             hint: kustomize and kpt run this program; for plain manifests, see `inject --help`"
            .to_owned());
    }
    let input = read(io::stdin(), "standard input")?;
    let output = run(&input);
    // kpt and kustomize show results or the output; details of what was done are in the results.
    output.findings.iter().filter(|finding| !finding.is_info()).for_each(tell);
    write(output.stdout.iter().map(|piece| piece.as_bytes()))?;
    Ok(if output.failed() { FAILURE } else { SUCCESS })
}

/// A change of plain manifests.
fn manifests(
    file: &str,
    config: Option<&Path>,
    change: impl for<'i> Fn(&Manifests<'i>, Option<&str>) -> Outcome<'i>,
) -> Result<u8, String> {
    let config = match config {
        Some(path) => Some(text(path)?),
        None => None,
    };
    let (input, source) = match file {
        "-" => (read(io::stdin(), "standard input")?, "standard input"),
        path => {
            let opened = std::fs::File::open(path);
            (read(opened.map_err(|error| format!("cannot open {path}: {error}"))?, path)?, path)
        }
    };
    let manifests = match Manifests::parse(&input) {
        Ok(manifests) => manifests,
        Err(finding) => return Err(format!("{source}: {}", finding.message())),
    };
    let outcome = change(&manifests, config.as_deref());
    outcome.report.iter().for_each(|line| say(line));
    outcome.findings.iter().for_each(tell);
    let Some(stdout) = outcome.stdout else {
        return Ok(FAILURE);
    };
    write(stdout.iter().map(|piece| piece.as_bytes()))?;
    Ok(SUCCESS)
}

fn print_schema() -> Result<u8, String> {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    write([text.as_bytes(), b"\n"].into_iter())?;
    Ok(SUCCESS)
}

fn text(path: &Path) -> Result<String, String> {
    let name = path.display();
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))
}

fn read(from: impl Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = from.take(INPUT_LIMIT + 1).read_to_end(&mut bytes);
    result.map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() as u64 > INPUT_LIMIT {
        return Err(format!("{name} is larger than {} MiB", INPUT_LIMIT >> 20));
    }
    Ok(bytes)
}

fn write<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| stdout.write_all(piece));
    }
    result
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}

fn tell(finding: &Finding) {
    say(&finding.to_string());
}

/// Standard error may be gone; that is no reason to fail.
fn say(text: &str) {
    let _ignored = writeln!(io::stderr(), "{text}");
}
