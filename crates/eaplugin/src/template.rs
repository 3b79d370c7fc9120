//! The files of `examples/plugin`, with another name and another source of the runtime.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Path and text of each file, listed by `build.rs`.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/template.rs"));

/// The example's name.
const NAME: &str = "change-window";

/// How the example depends on the runtime.
const DEPENDENCY: &str = "path = \"../../crates/ephemeral-access-plugin\"";

/// Names that Cargo refuses or that mean another crate.
pub(crate) const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "ephemeral-access-plugin",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "go-plugin-netrpc",
    "if",
    "impl",
    "in",
    "jiff",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Where a plugin's runtime comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// A checkout, or the crate in it.
    Path(PathBuf),
    /// A git repository that holds the crate.
    Git(String),
    /// The published crate.
    Version(String),
}

impl Runtime {
    /// The published crate that fits this program.
    #[must_use]
    pub fn published() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self::Version(version.rsplit_once('.').map_or(version, |(minor, _)| minor).to_owned())
    }

    fn dependency(&self) -> Result<String> {
        Ok(match self {
            Self::Path(path) => {
                let path = path.to_str().context("the runtime's path must be UTF-8")?;
                format!("path = {}", serde_json::to_string(path)?)
            }
            Self::Git(url) => format!("git = {}", serde_json::to_string(url)?),
            Self::Version(version) => format!("version = {}", serde_json::to_string(version)?),
        })
    }
}

/// Path and text of each file of a plugin called `name`.
///
/// # Errors
///
/// When the path of `runtime` is no text.
pub fn files(name: &str, runtime: &Runtime) -> Result<Vec<(&'static str, String)>> {
    let dependency = runtime.dependency()?;
    // Cargo writes it anew, where the runtime does not come from a path.
    let has_lock = matches!(runtime, Runtime::Path(_));
    let files = FILES.iter().filter(|(path, _)| has_lock || *path != "Cargo.lock");
    Ok(files
        .map(|(path, text)| {
            // The name first: the runtime's path may hold the same words.
            let text = match *path {
                "Cargo.toml" => manifest(text).replace(NAME, name).replace(DEPENDENCY, &dependency),
                "README.md" => readme(text).replace(NAME, name),
                _ => text.replace(NAME, name),
            };
            (*path, text)
        })
        .collect())
}

/// Without what is said to those who copy the example by hand.
fn manifest(text: &str) -> &str {
    text.find("[package]").and_then(|start| text.get(start..)).unwrap_or(text)
}

/// With the plugin's name as title, and without the steps that are done.
fn readme(text: &str) -> String {
    let mut step = 0;
    let mut done = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let numbered = line.split_once(". ").filter(|(number, _)| number.parse::<u8>().is_ok());
        if let Some((number, rest)) = numbered {
            done = matches!(number, "1" | "2");
            if !done {
                step += 1;
                lines.push(format!("{step}. {rest}"));
            }
        } else if done && line.starts_with("   ") {
            // The rest of a step that is done.
        } else {
            done = false;
            lines.push(line.replace("# A plugin to copy", &format!("# {NAME}")));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn file(path: &str, runtime: &Runtime) -> String {
        let files = files("my-plugin", runtime).unwrap();
        files.into_iter().find(|(name, _)| *name == path).unwrap().1
    }

    #[test]
    fn the_example_is_embedded_whole() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugin");
        for (path, text) in FILES {
            assert_eq!(fs::read_to_string(example.join(path)).unwrap(), *text, "{path}");
        }
        let embedded: BTreeSet<&str> = FILES.iter().map(|(path, _)| *path).collect();
        for path in
            ["Cargo.toml", "Cargo.lock", "Dockerfile", "README.md", "src/main.rs", ".gitignore"]
        {
            assert!(embedded.contains(path), "{path}");
        }
        let folders = ["src", "testdata", "manifests/plugin"];
        for entry in folders.iter().flat_map(|folder| fs::read_dir(example.join(folder)).unwrap()) {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&example).unwrap().to_str().unwrap();
            assert!(path.is_dir() || embedded.contains(name), "{name}");
        }
    }

    #[test]
    fn the_examples_name_and_place_are_gone() {
        for (path, text) in files("my-plugin", &Runtime::published()).unwrap() {
            for gone in [NAME, "../../crates", "A plugin to copy", "Copy this folder"] {
                assert!(!text.contains(gone), "{path}: {gone}");
            }
        }
    }

    #[test]
    fn the_name_is_where_it_counts() {
        let runtime = Runtime::published();
        assert!(file("Cargo.toml", &runtime).contains("name = \"my-plugin\""));
        assert!(file("Dockerfile", &runtime).contains("/release/my-plugin"));
        let manifest = file("manifests/plugin/plugin.yaml", &runtime);
        assert!(manifest.contains("image: registry.example.com/my-plugin:0.1.0"));
        assert!(file("README.md", &runtime).starts_with("# my-plugin\n"));
    }

    #[test]
    fn the_readme_begins_with_what_is_left_to_do() {
        let readme = file("README.md", &Runtime::published());
        let steps: Vec<&str> =
            readme.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
        assert!(steps[0].starts_with("1. Write your logic"), "{steps:?}");
        let numbers: Vec<String> = (1..=steps.len()).map(|number| format!("{number}. ")).collect();
        assert!(
            steps.iter().zip(&numbers).all(|(step, number)| step.starts_with(number)),
            "{steps:?}"
        );
    }

    #[test]
    fn the_runtime_comes_from_where_it_is_said_to() {
        for (runtime, dependency) in [
            (Runtime::Path("/a \"b\"".into()), r#"path = "/a \"b\"""#),
            (Runtime::Path("/change-window".into()), r#"path = "/change-window""#),
            (Runtime::Git("https://example.com/r".to_owned()), r#"git = "https://example.com/r""#),
            (Runtime::published(), r#"version = "0.1""#),
        ] {
            let manifest = file("Cargo.toml", &runtime);
            assert_eq!(manifest.matches(dependency).count(), 2, "{manifest}");
            let has_lock =
                files("p", &runtime).unwrap().iter().any(|(path, _)| *path == "Cargo.lock");
            assert_eq!(has_lock, matches!(runtime, Runtime::Path(_)));
        }
    }
}
