//! `eaplugin new`: a plugin repository.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::error::explained;
use crate::template::{self, Runtime};

/// The crate that a plugin depends on, in a checkout.
const CRATE: &str = "crates/ephemeral-access-plugin";

/// What to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plugin's name.
    pub name: String,
    /// Where; the name by default.
    pub directory: Option<PathBuf>,
    /// Where the runtime comes from; found out by default.
    pub runtime: Option<Runtime>,
}

/// What was made.
#[derive(Debug)]
pub struct Created {
    /// Where.
    pub directory: PathBuf,
    /// Where the runtime comes from.
    pub runtime: Runtime,
    /// Why it is no git repository of its own, if it is none.
    pub without_git: Option<String>,
}

/// Writes a repository: all of it, or nothing.
///
/// # Errors
///
/// When the name cannot be one, when something is there already, or when it cannot be written.
pub fn create(options: &Options) -> Result<Created> {
    check_name(&options.name)?;
    let directory = options.directory.clone().unwrap_or_else(|| PathBuf::from(&options.name));
    check_free(&directory)?;
    let runtime = options.runtime.clone().map_or_else(found, |runtime| runtime.located())?;
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made = || format!("cannot make a folder in \"{}\"", parent.display());
    fs::create_dir_all(parent).with_context(made)?;
    let temporary = tempfile::Builder::new().prefix(".eaplugin-new-").tempdir_in(parent);
    let temporary = temporary.with_context(made)?;
    let root = temporary.path().join(&options.name);
    for (path, text) in template::files(&options.name, &runtime)? {
        write(&root.join(path), &text)?;
    }
    let without_git = initialise(parent, &root).err().map(|error| format!("{error:#}"));
    // An empty folder that is there is replaced; a full one makes it fail.
    fs::rename(&root, &directory)
        .with_context(|| format!("cannot move the new folder to \"{}\"", directory.display()))?;
    Ok(Created { directory, runtime, without_git })
}

/// A name that is good for a crate, an image and a Kubernetes object.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let shape = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 63
        && name.chars().all(letters)
        && !name.ends_with('-')
        && !name.contains("--");
    if !shape || template::RESERVED.contains(&name) {
        return Err(explained(
            format!("NAME cannot be \"{}\"", name.escape_debug()),
            "take lowercase letters, digits and single `-`, beginning with a letter, at most 63, \
             and no word of Rust or name of a dependency; for example \"change-freeze\"",
        ));
    }
    Ok(())
}

fn check_free(directory: &Path) -> Result<()> {
    let shown = directory.display();
    let hint = "name another place with `--directory DIR`";
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(explained(format!("\"{shown}\" is there, and not empty"), hint)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(explained(format!("cannot use \"{shown}\": {error}"), hint)),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("cannot write \"{}\"", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(failed)?;
    }
    fs::write(path, text).with_context(failed)
}

/// Makes `root` a git repository, unless `parent` is in one.
fn initialise(parent: &Path, root: &Path) -> Result<()> {
    let run = |directory: &Path, arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(directory).args(arguments).stdin(Stdio::null());
        // Set where git runs this program, as in a hook: they would mean another repository.
        git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
        git.output().context("git is not there")
    };
    let inside = run(parent, &["rev-parse", "--is-inside-work-tree"])?;
    ensure!(!inside.status.success(), "it is inside of another repository");
    let output = run(root, &["init", "--quiet"])?;
    let reason = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`git init` failed: {}", reason.trim());
    Ok(())
}

/// The runtime of the checkout around the current folder or around this program, or of the one that
/// this program was built from, if it is on this machine; else the published one.
fn found() -> Result<Runtime> {
    let built_from = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let places = [env::current_dir().ok(), env::current_exe().ok(), built_from];
    let found = places.iter().flatten().find_map(|place| checkout(place));
    found.map_or_else(|| Ok(Runtime::published()), |path| Runtime::Path(path).located())
}

fn checkout(place: &Path) -> Option<PathBuf> {
    place.ancestors().map(|root| root.join(CRATE)).find(|path| path.join("Cargo.toml").is_file())
}

impl Runtime {
    /// With the crate's own folder, where a checkout was named; absolute, because the plugin may be
    /// elsewhere.
    fn located(self) -> Result<Self> {
        let Self::Path(path) = &self else {
            return Ok(self);
        };
        let candidates = [path.clone(), path.join(CRATE)];
        let is_crate = |path: &PathBuf| {
            fs::read_to_string(path.join("Cargo.toml"))
                .is_ok_and(|text| text.contains("name = \"ephemeral-access-plugin\""))
        };
        let Some(found) = candidates.iter().find(|path| is_crate(path)) else {
            return Err(explained(
                format!("there is no crate ephemeral-access-plugin in \"{}\"", path.display()),
                "name a checkout of this project, or its folder crates/ephemeral-access-plugin",
            ));
        };
        let shown = || format!("cannot find out where \"{}\" is", found.display());
        Ok(Self::Path(found.canonicalize().with_context(shown)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_good_for_crates_images_and_objects() {
        for name in ["p", "change-freeze", "a1-b2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(64);
        for name in
            ["", "Plugin", "1a", "a_b", "-a", "a-", "a--b", "a/b", "..", "ä", "self", "jiff", &long]
        {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.starts_with("NAME cannot be"), "{error}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        assert!(check_free(directory.path()).is_ok());
        assert!(check_free(&directory.path().join("new")).is_ok());
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check_free(directory.path()).is_err());
        assert!(check_free(&file).is_err());
    }
}
