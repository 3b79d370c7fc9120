//! Lists the files of `examples/plugin`, which `eaplugin new` writes: what is embedded cannot
//! drift from what is tested there.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders of the example that are not its source.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let example = variable("CARGO_MANIFEST_DIR").join("../../examples/plugin");
    let mut files = Vec::new();
    list(&example, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&example).map_err(io::Error::other)?;
        let _ = writeln!(list, "    ({:?}, include_str!({:?})),", name, file);
    }
    list.push_str("]\n");
    fs::write(variable("OUT_DIR").join("template.rs"), list)
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", directory.display());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files.push(entry.path());
        } else if !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            list(&entry.path(), files)?;
        }
    }
    Ok(())
}
