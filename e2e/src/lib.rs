//! End-to-end tests against the real orchestrators: `tests/` holds the tests, this crate what they share.
//!
//! A program that is missing makes a test fail, never skip; `e2e/setup` installs what the tests need, `e2e/run` does
//! that and runs them.

mod engine;
mod install;
mod run;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

pub use engine::{
    FUNCTION_IMAGE, Image, arm64, builder_image, docker, image, images, own_architecture, toolchain,
};
pub use install::{Install, installs};
pub use run::{Finished, cache, eaplugin, function, kpt, kubectl, kustomize, program, run, run_on};
pub use text::{Files, added_lines, files, in_order_of_names, resources, same_files, same_text};

/// What a test returns.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a test cannot go on. Its `Debug` is its text, since that is what the test runner prints.
pub struct Failure(String);

impl Failure {
    /// A failure that says `what` went wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Writes `text` to `name` in `directory`, making the folders on the way.
pub fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, text).map_err(|error| failed_at(&path, &error))?;
    Ok(path)
}

/// Reads the text file at `path`.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| failed_at(path, &error))
}

fn failed_at(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}
