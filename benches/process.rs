//! Whole processes: the function as an orchestrator starts it, against other programs.
//!
//! Every run is started by a small process of its own, which feeds standard input through a pipe,
//! drains standard output, and reports the time and the most memory that its one child held.

#![expect(clippy::print_stdout, reason = "the table is the output")]

#[expect(dead_code, reason = "each benchmark needs a part of it")]
mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use support::generate::{Shape, from_manifest, resource_list};
use support::{Figures, HEAD, OURS, Outcome, interleave, machine, round_trip, rows};

/// The argument that makes this program one that runs another and measures it.
const MEASURE: &str = "--measure";

/// The argument that makes this program a round trip from standard input to standard output.
const ROUND_TRIP: &str = "--round-trip";

const MUSL: &str = "x86_64-unknown-linux-musl";

/// A manifest in the shape of upstream's release, and upstream's own if it has been put there.
const MANIFESTS: [(&str, &str); 2] = [
    ("upstream's install.yaml", "target/upstream-install.yaml"),
    ("testdata/install.yaml", "testdata/install.yaml"),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, MEASURE, input, program, ref arguments @ ..] => measure(input, program, arguments),
        [_, ROUND_TRIP] => pipe_round_trip(),
        _ => compare_all(),
    }
}

fn compare_all() -> Outcome<()> {
    let contenders = contenders()?;
    print!("{}\n\n{HEAD}", machine());
    let mut table = String::new();
    let mut add = |rows: String| {
        print!("{rows}");
        table.push_str(&rows);
    };
    for (name, path) in MANIFESTS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if path.exists() && support::is_wanted(name) {
            let input = from_manifest(&fs::read_to_string(path)?);
            add(compare(name, &input, &contenders)?);
        }
    }
    for count in [10_000, 50_000] {
        let name = format!("{count} items");
        if support::is_wanted(&name) {
            let input = resource_list(count, Shape::Canonical)?;
            add(compare(&name, &input, &contenders)?);
        }
    }
    support::write_if_asked("process", &table)
}

/// A program with its arguments.
struct Contender {
    name: &'static str,
    command: Vec<PathBuf>,
}

fn contenders() -> Outcome<Vec<Contender>> {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_inject-ephemeral-access-plugin"));
    let round_trip = vec![std::env::current_exe()?, PathBuf::from(ROUND_TRIP)];
    let programs = [
        (OURS, vec![ours]),
        ("this function, static (musl)", vec![build_musl()?]),
        ("serde_yaml round trip", round_trip),
        ("Go function on kyaml", vec![build_go()?]),
    ];
    let contender = |(name, command)| Contender { name, command };
    Ok(programs.map(contender).into())
}

fn build_musl() -> Outcome<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = support::work_directory()?.join("musl");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--quiet", "--target", MUSL, "--target-dir"]);
    succeed(cargo.arg(&target).current_dir(root))?;
    Ok(target.join(MUSL).join("release/inject-ephemeral-access-plugin"))
}

fn build_go() -> Outcome<PathBuf> {
    let program = support::work_directory()?.join("kyaml-function");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kyaml-function");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&program);
    succeed(go.arg(".").env("CGO_ENABLED", "0").current_dir(source))?;
    Ok(program)
}

fn succeed(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}

fn compare(name: &str, input: &str, contenders: &[Contender]) -> Outcome<String> {
    // Of its own, should another run be under way.
    let file = format!("process-input-{}.yaml", std::process::id());
    let file = support::work_directory()?.join(file);
    fs::write(&file, input)?;
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let figures = interleave(&names, |index, figures| {
        let contender = contenders.get(index).ok_or("no such contender")?;
        run_measured(&file, &contender.command, figures)
    })?;
    fs::remove_file(file)?;
    Ok(rows(name, input.len(), &figures))
}

fn run_measured(input: &Path, command: &[PathBuf], figures: &mut Figures) -> Outcome<()> {
    let mut measuring = Command::new(std::env::current_exe()?);
    measuring.arg(MEASURE).arg(input).args(command);
    let output = measuring.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let (nanoseconds, peak) =
        text.trim().split_once(' ').ok_or_else(|| format!("{} failed", figures.contender()))?;
    figures.add(Duration::from_nanos(nanoseconds.parse()?), peak.parse()?);
    Ok(())
}

/// Runs a program once. What it holds counts from its start, so this process must stay small.
fn measure(input: &str, program: &str, arguments: &[&str]) -> Outcome<()> {
    let mut input = File::open(input)?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (mut stdin, mut stdout) = stdin.zip(stdout).ok_or("a child without pipes")?;
    let feeder = std::thread::spawn(move || pump(&mut input, &mut stdin));
    let drained = pump(&mut stdout, &mut io::sink())?;
    let status = child.wait()?;
    let time = start.elapsed();
    let fed = feeder.join().map_err(|_| "the feeding thread panicked")??;
    if !status.success() || drained < fed / 2 {
        return Err(format!("{program}: {status}, {fed} bytes in, {drained} bytes out").into());
    }
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    println!("{} {peak}", time.as_nanos());
    Ok(())
}

/// Through one large buffer: small ones, and pages that the pipe takes from a file, cost the program
/// time that is not its own.
fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<u64> {
    let (mut buffer, mut total) = (vec![0; 256 << 10], 0);
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        total += count as u64;
    }
}

fn pipe_round_trip() -> Outcome<()> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    io::stdout().write_all(round_trip(&input)?.as_bytes())?;
    Ok(())
}
