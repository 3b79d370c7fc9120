//! Checks of the file: can the controller's container run it?

use std::env::consts::ARCH;
use std::io;
use std::path::Path;

use super::report::{Check, Report};
use crate::program::{Elf, Format, Program};
use crate::terminal::size;

/// What the controller does with a plugin that it cannot start.
pub(super) const EXITS: &str =
    "exits with \"plugin initialization error\", and Kubernetes restarts it again and again";

/// How to get a static program.
const STATIC: &str = "build a static program: `cargo build --release --target \
                      x86_64-unknown-linux-musl` (or aarch64-…), or `CGO_ENABLED=0 go build`";

/// Adds what the file itself tells; whether it makes sense to start it.
pub(super) fn check(report: &mut Report, path: &Path) -> Option<Program> {
    let program = match Program::inspect(path) {
        Ok(program) => program,
        Err(error) => {
            report.add(unreadable(path, &error));
            return None;
        }
    };
    if !program.executable {
        let path = path.display();
        report.add(
            Check::failure("file", format!("\"{path}\" is not executable"))
                .controller(format!("{EXITS}: permission denied"))
                .hint(format!("`chmod +x \"{path}\"`, or `COPY --chmod=0555` in its Dockerfile")),
        );
        return None;
    }
    let Format::Elf(elf) = &program.format else {
        report.add(no_program(&program.format));
        return None;
    };
    if !elf.startable {
        let what = "it is an ELF file, but no program: an object file or a core dump";
        report.add(Check::failure("file", what).controller(EXITS).hint("name the linked program"));
        return None;
    }
    report.add(Check::ok("file", format!("an executable of {}", size(program.size))));
    report.add(linking(elf));
    report.add(architecture(elf));
    Some(program)
}

fn unreadable(path: &Path, error: &io::Error) -> Check {
    Check::failure("file", format!("cannot read \"{}\": {error}", path.display()))
        .controller(EXITS)
        .hint("give the path of the plugin's program, such as target/release/NAME")
}

fn no_program(format: &Format) -> Check {
    let what = match format {
        Format::Script(interpreter) => format!("it is a script for {interpreter:?}"),
        Format::MachO => "it is a program for macOS".to_owned(),
        Format::Windows => "it is a program for Windows".to_owned(),
        Format::Elf(_) | Format::Unknown => {
            "it is no program: it does not begin like one".to_owned()
        }
    };
    let why = match format {
        Format::Script(_) => "its image has no shell and no interpreter",
        _ => "its container runs programs for Linux",
    };
    Check::failure("file", what).controller(format!("{EXITS}: {why}")).hint(STATIC)
}

fn linking(elf: &Elf) -> Check {
    match &elf.interpreter {
        None => Check::ok("linking", "static"),
        Some(linker) => Check::failure("linking", format!("dynamic: it needs \"{linker}\""))
            .controller(format!("{EXITS}: its image (distroless static) has no dynamic linker"))
            .hint(STATIC),
    }
}

fn architecture(elf: &Elf) -> Check {
    if elf.machine == ARCH {
        return Check::ok("architecture", format!("{ARCH}, as this machine"));
    }
    let detail = format!("{}, but this machine is {ARCH}", elf.machine);
    Check::warning("architecture", detail)
        .controller("runs it on nodes of that architecture only")
        .hint("times and memory are those of an emulator, if one runs it at all")
}

/// What to say when the machine cannot run a program of another architecture.
pub(super) fn foreign(elf: &Elf) -> Check {
    let detail = format!("this machine cannot run programs for {}", elf.machine);
    Check::skipped("handshake", detail)
        .hint("install qemu-user-static with binfmt support, or check it on such a machine")
}
