//! The function as a library call, against a serde_yaml round trip of the same text.
//!
//! Times are taken in this process. Peak memory is that of a child process that reads the input and
//! makes the one call.

#![expect(clippy::print_stdout, reason = "the table is the output")]

#[expect(dead_code, reason = "each benchmark needs a part of it")]
mod support;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use inject_ephemeral_access_plugin::run;
use support::generate::{Shape, resource_list};
use support::{Figures, HEAD, OURS, Outcome, interleave, machine, round_trip, rows};

const CONTENDERS: [&str; 2] = [OURS, "serde_yaml round trip"];

/// The argument that makes this program the child that measures memory.
const CHILD: &str = "--peak-memory-of";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, contender, file] = arguments.as_slice()
        && flag == CHILD
    {
        return child(contender, Path::new(file));
    }
    print!("{}\n\n{HEAD}", machine());
    let mut table = String::new();
    for shape in [Shape::Canonical, Shape::Indented, Shape::Json] {
        for count in [10, 1_000, 10_000, 50_000] {
            let name = format!("{count} items, {}", shape.name());
            if support::is_wanted(&name) {
                let input = resource_list(count, shape)?;
                let rows = rows(&name, input.len(), &compare(&input)?);
                print!("{rows}");
                table.push_str(&rows);
            }
        }
    }
    support::write_if_asked("function", &table)
}

fn compare(input: &str) -> Outcome<Vec<Figures>> {
    let file = support::work_directory()?.join("function-input.yaml");
    fs::write(&file, input)?;
    let mut peaks = Vec::new();
    for contender in CONTENDERS {
        peaks.push(peak_memory(contender, &file)?);
    }
    let figures = interleave(&CONTENDERS, |index, figures| {
        let start = Instant::now();
        call(figures.contender(), black_box(input))?;
        figures.add(start.elapsed(), peaks.get(index).copied().unwrap_or_default());
        Ok(())
    })?;
    fs::remove_file(file)?;
    Ok(figures)
}

fn call(contender: &str, input: &str) -> Outcome<()> {
    if contender == OURS {
        let output = run(input.as_bytes());
        if output.failed() {
            return Err(format!("the function failed: {:?}", output.findings).into());
        }
        black_box(output);
    } else {
        black_box(round_trip(input)?);
    }
    Ok(())
}

fn peak_memory(contender: &str, file: &Path) -> Outcome<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(CHILD).arg(contender).arg(file).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn child(contender: &str, file: &Path) -> Outcome<()> {
    call(contender, &fs::read_to_string(file)?)?;
    println!("{}", support::own_peak_kib()?);
    Ok(())
}
