//! The installer: `plugin install`, the entry point of a plugin image.
//!
//! The image's init container shares an empty volume with the controller and puts the plugin
//! there. Upstream's shell script does the same with `cp`, but fails when it runs again.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The variable that names the plugin inside the image, as upstream's script has it.
const ENV_PLUGIN_PATH: &str = "PLUGIN_PATH";

/// The variable that overrides [`DEFAULT_DIRECTORY`].
const ENV_PLUGIN_DIR: &str = "PLUGIN_DIR";

/// Where the volume is mounted in the init container (`scripts/plugin-installer.sh`).
const DEFAULT_DIRECTORY: &str = "/tmp/plugin";

/// Everybody may read and run it, nobody may write it.
const MODE: u32 = 0o555;

#[derive(Debug, Error)]
pub(crate) enum InstallError {
    #[error("cannot find this program's own file; set {ENV_PLUGIN_PATH} to its path")]
    Itself { source: io::Error },
    #[error("{ENV_PLUGIN_PATH} must name a file, got {path:?}")]
    NoName { path: PathBuf },
    #[error("cannot read {path:?}, which is to be installed")]
    Source { path: PathBuf, source: io::Error },
    #[error(
        "cannot write to {path:?}; mount a volume there, or set {ENV_PLUGIN_DIR} to where one is"
    )]
    Target { path: PathBuf, source: io::Error },
}

/// Installs the file of `PLUGIN_PATH`, or this program, and returns where.
pub(crate) fn install() -> Result<PathBuf, InstallError> {
    let given = |key: &str| env::var_os(key).filter(|value| !value.is_empty());
    let source = match given(ENV_PLUGIN_PATH) {
        Some(path) => PathBuf::from(path),
        None => env::current_exe().map_err(|source| InstallError::Itself { source })?,
    };
    let directory = given(ENV_PLUGIN_DIR).unwrap_or_else(|| OsString::from(DEFAULT_DIRECTORY));
    copy(&source, Path::new(&directory))
}

/// Copies by way of a temporary file, so that the name leads to the old file or to the whole new
/// one, never to a part; and so that it works when the old one is running or read-only.
fn copy(source: &Path, directory: &Path) -> Result<PathBuf, InstallError> {
    let name = source.file_name();
    let name = name.ok_or_else(|| InstallError::NoName { path: source.to_owned() })?;
    let unreadable = |error| InstallError::Source { path: source.to_owned(), source: error };
    let mut from = File::open(source).map_err(unreadable)?;
    if !from.metadata().map_err(unreadable)?.is_file() {
        return Err(InstallError::NoName { path: source.to_owned() });
    }
    let target = directory.join(name);
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    let temporary = directory.join(hidden);
    let written = write(&mut from, directory, &temporary, &target);
    written.map_err(|source| {
        // It may not be there.
        let _ = fs::remove_file(&temporary);
        InstallError::Target { path: target.clone(), source }
    })?;
    Ok(target)
}

fn write(from: &mut File, directory: &Path, temporary: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // Left by an attempt that was cut off.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    io::copy(from, &mut to)?;
    to.set_permissions(Permissions::from_mode(MODE))?;
    to.sync_all()?;
    drop(to);
    fs::rename(temporary, target)?;
    // The rename is safe on disk once the directory is. Not every volume can do that.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}
