//! The command line: reads, calls the library, writes, chooses an exit code.

mod cli;

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command, Format, PatchSource};
use inject_ephemeral_access_plugin::{
    ComponentFile, Finding, Manifests, Outcome, Patch, component, differences, inject, json_patch,
    run, schema, strategic_patch, uninject,
};

/// The run did what it was asked to do.
const SUCCESS: u8 = 0;

/// Something stood in the way; nothing was changed.
const FAILURE: u8 = 1;

/// What a pipe holds if nobody asks for more.
const PIPE: usize = 64 << 10;

/// No input may be larger. The largest that are known have a tenth of it.
const INPUT_LIMIT: u64 = 256 << 20;

/// What a kustomization may be named beside `kustomization.yaml`.
const OTHER_KUSTOMIZATIONS: [&str; 2] = ["kustomization.yml", "Kustomization"];

fn main() -> ExitCode {
    // Orchestrators give no arguments, and setting up clap would be a tenth of a small run.
    let command = if std::env::args_os().len() > 1 { Cli::parse().command } else { None };
    let code = match command {
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
        Some(Command::Patch(arguments)) => print_patch(&arguments.source),
        Some(Command::Component(arguments)) => make_component(&arguments),
        Some(Command::Schema) => print_schema(),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, env!("CARGO_PKG_NAME"), &mut script);
            write([script.as_slice()].into_iter()).map(|()| SUCCESS)
        }
        Some(Command::Man) => print_man(),
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
    let input = read_stdin()?;
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
    let text = config.map(text).transpose()?;
    let (input, source) = input(file)?;
    let manifests = parsed(&input, &source)?;
    let outcome = change(&manifests, text.as_deref());
    outcome.report.iter().for_each(|line| say(line));
    tell_all(outcome.findings, config);
    let Some(stdout) = outcome.stdout else {
        return Ok(FAILURE);
    };
    write(stdout.iter().map(|piece| piece.as_bytes()))?;
    Ok(SUCCESS)
}

fn print_patch(source: &PatchSource) -> Result<u8, String> {
    let Some(patch) = patch(source)? else { return Ok(FAILURE) };
    say(&format!("kustomize's `patches` entry: {{\"path\": …, \"target\": {}}}", patch.target));
    write([patch.text.as_bytes()].into_iter())?;
    Ok(SUCCESS)
}

/// The patch that the arguments ask for; none if something stands in the way, which is told then.
fn patch(source: &PatchSource) -> Result<Option<Patch>, String> {
    let config = text(&source.config)?;
    let patch = match (source.format, source.against.as_deref()) {
        (Format::Strategic, _) => strategic_patch(&config),
        (Format::Json6902, against) => {
            let (input, name) = input(against.unwrap_or("-"))?;
            let manifests = parsed(&input, &name)?;
            json_patch(&config, &manifests)
        }
    };
    match patch {
        Ok(patch) => {
            patch.findings.iter().for_each(tell);
            Ok(Some(patch))
        }
        Err(findings) => {
            tell_all(findings, Some(&source.config));
            Ok(None)
        }
    }
}

fn make_component(arguments: &cli::Component) -> Result<u8, String> {
    let Some(patch) = patch(&arguments.source)? else { return Ok(FAILURE) };
    let files = component(&patch, arguments.source.format.into(), &arguments.command_line());
    // Kustomize takes only one of them in a directory, and fails if there are more.
    for name in OTHER_KUSTOMIZATIONS {
        let path = arguments.output.join(name);
        if path.is_file() {
            return Err(not_ours(&path));
        }
    }
    if arguments.check { check(&arguments.output, &files) } else { save(&arguments.output, &files) }
}

/// Shows how the files in `directory` differ from what they should be.
fn check(directory: &Path, files: &[ComponentFile]) -> Result<u8, String> {
    let mut diff = String::new();
    for file in files {
        let path = directory.join(file.name);
        let committed = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            result => result.map_err(|e| format!("cannot read {}: {e}", path.display()))?,
        };
        diff.extend(differences(file, &committed));
    }
    if diff.is_empty() {
        return Ok(SUCCESS);
    }
    write([diff.as_bytes()].into_iter())?;
    say(&format!("error: {} is not what the config says", directory.display()));
    say("hint: run the same command without --check, and commit the result");
    Ok(FAILURE)
}

/// Writes each file beside its place first, so that none is ever half there.
fn save(directory: &Path, files: &[ComponentFile]) -> Result<u8, String> {
    let name = directory.display();
    std::fs::create_dir_all(directory).map_err(|error| format!("cannot make {name}: {error}"))?;
    for file in files {
        let path = directory.join(file.name);
        match std::fs::read(&path) {
            Ok(existing) if file.replaces(&String::from_utf8_lossy(&existing)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(not_ours(&path)),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        }
    }
    for file in files {
        replace(directory, file)
            .map_err(|error| format!("cannot write {}/{}: {error}", name, file.name))?;
    }
    say(&format!("made {name}; name it under `components` in a kustomization"));
    Ok(SUCCESS)
}

fn not_ours(path: &Path) -> String {
    let name = path.display();
    format!("{name} is not a file that this command made\nhint: choose another directory")
}

fn replace(directory: &Path, file: &ComponentFile) -> io::Result<()> {
    let mut temporary = tempfile::Builder::new();
    // Others read it too; the umask still applies.
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = temporary.tempfile_in(directory)?;
    temporary.write_all(file.text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(directory.join(file.name))?;
    Ok(())
}

fn print_man() -> Result<u8, String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|error| format!("cannot make the manual page: {error}"))?;
    write([page.as_slice()].into_iter())?;
    Ok(SUCCESS)
}

fn print_schema() -> Result<u8, String> {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    write([text.as_bytes(), b"\n"].into_iter())?;
    Ok(SUCCESS)
}

/// The bytes of a file or of standard input, and what to call it.
fn input(file: &str) -> Result<(Vec<u8>, String), String> {
    if file == "-" {
        return Ok((read_stdin()?, "standard input".to_owned()));
    }
    let opened = std::fs::File::open(file).map_err(|e| format!("cannot open {file}: {e}"))?;
    Ok((read(opened, file, Vec::new())?, file.to_owned()))
}

fn parsed<'i>(input: &'i [u8], name: &str) -> Result<Manifests<'i>, String> {
    Manifests::parse(input).map_err(|finding| format!("{name}: {}", finding.message()))
}

fn text(path: &Path) -> Result<String, String> {
    let name = path.display();
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))
}

fn read_stdin() -> Result<Vec<u8>, String> {
    let first = Vec::with_capacity(PIPE);
    read(io::stdin().take(PIPE as u64), "standard input", first).and_then(|bytes| {
        if bytes.len() < PIPE {
            return Ok(bytes);
        }
        widen(io::stdin());
        read(io::stdin(), "standard input", bytes)
    })
}

/// Reads to the end, after what was read before.
fn read(from: impl Read, name: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let result = from.take(INPUT_LIMIT + 1 - bytes.len() as u64).read_to_end(&mut bytes);
    result.map_err(|error| format!("cannot read {name}: {error}"))?;
    if bytes.len() as u64 > INPUT_LIMIT {
        return Err(format!("{name} is larger than {} MiB", INPUT_LIMIT >> 20));
    }
    Ok(bytes)
}

fn write<'p>(pieces: impl Iterator<Item = &'p [u8]> + Clone) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    if pieces.clone().map(<[u8]>::len).sum::<usize>() > PIPE {
        widen(&stdout);
    }
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| stdout.write_all(piece));
    }
    result
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Tells findings of a command, which may be about its config file.
fn tell_all(findings: Vec<Finding>, config: Option<&Path>) {
    for finding in findings {
        match config {
            Some(path) => tell(&finding.in_config_file(&path.display().to_string())),
            None => tell(&finding),
        }
    }
}

/// Lets a pipe hold more, so that both ends wait for each other less often. What is no pipe stays.
#[cfg(target_os = "linux")]
fn widen(pipe: impl std::os::fd::AsFd) {
    let _is_no_pipe = rustix::pipe::fcntl_setpipe_size(pipe, 16 * PIPE);
}

#[cfg(not(target_os = "linux"))]
fn widen<T>(_: T) {}

fn tell(finding: &Finding) {
    say(&finding.to_string());
}

/// Standard error may be gone; that is no reason to fail.
fn say(text: &str) {
    let _ignored = writeln!(io::stderr(), "{text}");
}
