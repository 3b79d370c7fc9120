//! Arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use inject_ephemeral_access_plugin::PatchFormat;

/// Injects an EphemeralAccess plugin into the Argo CD EphemeralAccess controller.
///
/// Without a command it is a KRM function: kustomize and kpt give it a ResourceList on standard
/// input and take one from standard output. The functionConfig is an EphemeralAccessPlugin
/// (fn.ephemeral-access.dev/v1alpha1) or a ConfigMap; `schema` prints the fields of the first.
///
///     apiVersion: fn.ephemeral-access.dev/v1alpha1
///     kind: EphemeralAccessPlugin
///     metadata:
///       name: change-window
///     spec:
///       image: registry.example.com/change-window:1.4.2
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done or nothing to do, 1 nothing was changed, 2 wrong arguments."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Injects a plugin into plain manifests and writes them to standard output
    Inject(Inject),
    /// Removes from plain manifests what was injected
    Uninject(Uninject),
    /// Prints the injection as a patch, for kustomizations that run no functions
    Patch(Patch),
    /// Writes a kustomize Component that holds the injection as a patch
    Component(Component),
    /// Prints the JSON Schema of the functionConfig
    Schema,
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, in roff
    Man,
}

/// What was done, left alone and why is told on standard error.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("plugin").required(true))]
#[command(
    after_help = "Exit codes: 0 done or nothing to do, 1 nothing was written, 2 wrong arguments."
)]
pub(crate) struct Inject {
    /// File with the functionConfig
    #[arg(long, value_name = "FILE", group = "plugin")]
    pub(crate) config: Option<String>,
    /// The plugin's image, with defaults for everything else
    #[arg(long, group = "plugin")]
    pub(crate) image: Option<String>,
    /// Manifests in YAML or JSON; `-` is standard input
    #[arg(default_value = "-")]
    pub(crate) file: String,
}

/// The record on the Deployment says what was injected.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done or nothing to do, 1 nothing was written, 2 wrong arguments."
)]
pub(crate) struct Uninject {
    /// File with the functionConfig, to remove what has no record
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,
    /// Manifests in YAML or JSON; `-` is standard input
    #[arg(default_value = "-")]
    pub(crate) file: String,
}

/// The form of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A strategic merge patch: works on every upstream version without seeing it
    Strategic,
    /// An RFC 6902 patch: exact for the Deployment among the manifests of `--against`
    Json6902,
}

impl From<Format> for PatchFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Strategic => Self::Strategic,
            Format::Json6902 => Self::Json6902,
        }
    }
}

/// What to make a patch of.
#[derive(Debug, Args)]
pub(crate) struct PatchSource {
    /// File with the functionConfig
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Form of the patch
    #[arg(long, value_enum, default_value_t = Format::Strategic)]
    pub(crate) format: Format,
    /// Manifests that hold the Deployment, for `json6902`; `-` is standard input
    #[arg(long, value_name = "FILE", required_if_eq("format", "json6902"))]
    pub(crate) against: Option<String>,
}

/// The entry for kustomize's `patches` is told on standard error.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 done, 1 nothing was written, 2 wrong arguments.")]
pub(crate) struct Patch {
    #[command(flatten)]
    pub(crate) source: PatchSource,
}

/// The component needs no alpha flag, no Docker and no exec.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, or with --check nothing to do; 1 nothing was written, or with --check the component is not what the config says; 2 wrong arguments."
)]
pub(crate) struct Component {
    #[command(flatten)]
    pub(crate) source: PatchSource,
    /// Directory of the component; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Write nothing, and show how the component differs from what the config says
    #[arg(long)]
    pub(crate) check: bool,
}

impl Component {
    /// The arguments that make the component, as somebody types them.
    pub(crate) fn command_line(&self) -> String {
        let word = |text: &str| match text.contains([' ', '\'', '"']) {
            true => format!("{text:?}"),
            false => text.to_owned(),
        };
        let mut line =
            format!("component --config {}", word(&self.source.config.to_string_lossy()));
        if let (Format::Json6902, Some(against)) = (self.source.format, &self.source.against) {
            line.push_str(&format!(" --format json6902 --against {}", word(against)));
        }
        line + " --output " + &word(&self.output.to_string_lossy())
    }
}
