//! The installation manifests that every orchestrator's test runs on.

use std::env;
use std::path::PathBuf;

use crate::{Failure, Result, read, repository};

/// The variable that names a folder of the project's own release manifests, `install-<version>.yaml`.
const FOLDER: &str = "EPHEMERAL_ACCESS_MANIFESTS";

/// One installation of Argo CD EphemeralAccess.
#[derive(Debug)]
pub struct Install {
    /// Where it comes from, for messages.
    pub name: String,
    /// The manifest.
    pub text: String,
}

/// The repository's own manifest, and every release manifest in the folder that `EPHEMERAL_ACCESS_MANIFESTS` names.
/// Without the variable the folder is `../shared/upstream`, if that exists.
pub fn installs() -> Result<Vec<Install>> {
    let mut files = vec![repository().join("testdata/install.yaml")];
    files.extend(release_manifests()?);
    files
        .into_iter()
        .map(|file| {
            Ok(Install {
                name: file.display().to_string(),
                text: read(&file)?,
            })
        })
        .collect()
}

fn release_manifests() -> Result<Vec<PathBuf>> {
    let named = env::var_os(FOLDER).map(PathBuf::from);
    let beside = repository().join("../shared/upstream");
    let folder = match named {
        Some(folder) => folder,
        None if beside.is_dir() => beside,
        None => return Ok(Vec::new()),
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("install-") && name.ends_with(".yaml") {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Failure::new(format!(
            "{FOLDER}: no install-<version>.yaml in {}",
            folder.display()
        )));
    }
    found.sort();
    Ok(found)
}
