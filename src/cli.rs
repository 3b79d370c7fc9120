//! Arguments.

use clap::{Args, Parser, Subcommand};

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
    /// Prints the JSON Schema of the functionConfig
    Schema,
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
