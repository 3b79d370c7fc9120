//! The installation manifests that every orchestrator's test runs on.

use std::env;
use std::path::{Path, PathBuf};

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

/// The repository's own, `testdata/install*.yaml`, and every release manifest in the folder that
/// `EPHEMERAL_ACCESS_MANIFESTS` names. Without the variable the folder is `../shared/upstream`, if that exists.
pub fn installs() -> Result<Vec<Install>> {
    let mut files = in_folder(&repository().join("testdata"))?;
    let beside = repository().join("../shared/upstream");
    if let Some(folder) = env::var_os(FOLDER) {
        files.extend(in_folder(Path::new(&folder))?);
    } else if beside.is_dir() {
        files.extend(in_folder(&beside)?);
    }
    let install =
        |file: PathBuf| Ok(Install { name: file.display().to_string(), text: read(&file)? });
    files.into_iter().map(install).collect()
}

/// The files `install*.yaml` in `folder`; none is an error.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("install") && name.ends_with(".yaml") {
            found.push(path);
        }
    }
    if found.is_empty() {
        let folder = folder.display();
        return Err(Failure::new(format!(
            "{folder} must hold installation manifests, install*.yaml"
        )));
    }
    found.sort();
    Ok(found)
}
