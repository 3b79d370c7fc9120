//! A KRM function that injects an EphemeralAccess plugin into the controller Deployment.
//!
//! It reads a ResourceList, finds the Deployment of the Argo CD EphemeralAccess controller and adds
//! everything that a plugin needs: an init container or an image volume, the volume, its mount, an
//! environment variable. It takes the place of the `controller-patch.yaml` that upstream asks
//! operators to edit by hand.
//!
//! ```text
//! stdin → ResourceList → Config, target → plan → splices → verification → stdout
//! ```
//!
//! # What stays as it is
//!
//! Every byte that no step of the plan names: comments, order, quoting, the spelling of numbers,
//! line ends. A run that has nothing to do writes its input.
//!
//! # Limitations
//!
//! - One Deployment a run, and one plugin a Deployment: the controller loads only one.
//! - An anchor, an alias, a merge key or a doubled key on the way to an edited place is refused.
//! - No network, no cluster, no other kind than `apps/v1` Deployments.

mod resource_list;

mod config;

mod target;

mod injection;

mod record;

mod plan;

mod edit;

mod yaml;

mod verify;

mod results;

mod finding;

mod manifests;

mod patch;

mod component;

use std::borrow::Cow;

pub use component::{ComponentFile, component, differences};
pub use config::schema;
pub use finding::Finding;
pub use manifests::{Manifests, Outcome, inject, uninject};
pub use patch::{Patch, PatchFormat, json_patch, strategic_patch};
pub use results::{Field, File, ResourceRef, Result, Severity};

use config::{Config, ConfigError};
use edit::Edited;
use finding::IN_CONFIG;
use resource_list::{Part, ResourceList};
use target::Candidates;

/// What a run writes and says.
#[derive(Debug)]
pub struct Output<'i> {
    /// Standard output, in pieces. Empty if the input is no ResourceList.
    pub stdout: Vec<Cow<'i, str>>,
    /// Everything found and done, for standard error.
    pub findings: Vec<Finding>,
}

impl Output<'_> {
    /// Whether the run failed. Its process must not exit with 0 then.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Runs the function on the bytes of standard input.
///
/// On failure the output is the ResourceList as it came, with results that say why; if there is no
/// ResourceList, it is empty.
#[must_use]
pub fn run(input: &[u8]) -> Output<'_> {
    let list = match ResourceList::parse(input) {
        Ok(list) => list,
        Err(error) => {
            let findings = vec![list_finding(&error)];
            return Output { stdout: Vec::new(), findings };
        }
    };
    match change(&list) {
        Ok((change, findings)) => output(&list, change, findings),
        Err(findings) => output(&list, None, findings),
    }
}

/// For the fuzz target that holds the two readers of a ResourceList to each other.
#[doc(hidden)]
pub fn compare_readers(input: &str) -> std::result::Result<(), String> {
    resource_list::compare_readers(input)
}

/// The changed document with the index of its item, and what was done.
type Change = Option<(usize, String)>;

fn change(list: &ResourceList<'_>) -> std::result::Result<(Change, Vec<Finding>), Vec<Finding>> {
    list.check().map_err(|error| vec![list_finding(&error)])?;
    let config = config(list)?;
    let (index, edited) = change_target(&config, list.input(), list.items())?;
    Ok((edited.document.map(|document| (index, document)), edited.findings))
}

/// Finds the target among `items` and brings it to what `config` asks for; which one that is.
fn change_target(
    config: &Config,
    input: &str,
    items: &[Part],
) -> std::result::Result<(usize, Edited), Vec<Finding>> {
    let candidates = Candidates::among(input, items, &config.spec.target);
    let changed = candidates
        .find(&config.spec.target)
        .map_err(|error| vec![Finding::error(error.to_string()).hint(error.hint())])
        .and_then(|found| edit::edit(config, &found).map(|edited| (found.index, edited)));
    match changed {
        Ok((index, mut edited)) => {
            edited.findings.splice(0..0, reworded(config.is_config_map, warnings(config)));
            Ok((index, edited))
        }
        Err(findings) => Err(reworded(config.is_config_map, findings)),
    }
}

/// Findings in the words of the functionConfig that the user wrote.
fn reworded(is_config_map: bool, findings: Vec<Finding>) -> Vec<Finding> {
    if !is_config_map {
        return findings;
    }
    findings.into_iter().map(|finding| finding.reworded(config::in_config_map_keys)).collect()
}

fn output<'i>(list: &ResourceList<'i>, change: Change, mut findings: Vec<Finding>) -> Output<'i> {
    let results: Vec<Result> = findings.iter().map(Finding::to_result).collect();
    let change = change.and_then(|(index, document)| Some((list.items().get(index)?, document)));
    let stdout = list.output(change, &results).unwrap_or_else(|refusal| {
        let message = format!("results cannot be added to the ResourceList: {refusal}");
        findings.push(Finding::error(message));
        vec![Cow::Borrowed(list.input())]
    });
    Output { stdout, findings }
}

fn config(list: &ResourceList<'_>) -> std::result::Result<Config, Vec<Finding>> {
    let Some(part) = list.function_config() else {
        return Err(findings_of_config(&[ConfigError::Missing], ""));
    };
    let document = part.document(list.input());
    Config::from_document(&document).map_err(|errors| findings_of_config(&errors, &document))
}

fn list_finding(error: &resource_list::ResourceListError) -> Finding {
    Finding::error(error.to_string()).hint(Some(error.hint().to_owned()))
}

/// Findings about a functionConfig, located by its kind and name as far as it has any.
fn findings_of_config(errors: &[ConfigError], document: &str) -> Vec<Finding> {
    let value: serde_json::Value = serde_yaml::from_str(document).unwrap_or_default();
    let word = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str);
    let location = match (word("/kind"), word("/metadata/name")) {
        (Some(kind), Some(name)) => format!("{IN_CONFIG} {kind} \"{name}\""),
        (Some(kind), None) => format!("{IN_CONFIG} {kind}"),
        _ => IN_CONFIG.to_owned(),
    };
    let finding = |error: &ConfigError| {
        let proposed = match error {
            ConfigError::UnknownField { nearest, .. } => nearest.clone().map(Into::into),
            _ => None,
        };
        let current = match error {
            ConfigError::Value { actual, .. } if !actual.is_null() => Some(actual.clone()),
            _ => None,
        };
        Finding::error(error.to_string()).at(location.clone()).hint(error.hint()).field(
            error.field().unwrap_or_default(),
            current,
            proposed,
        )
    };
    reworded(word("/kind") == Some("ConfigMap"), errors.iter().map(finding).collect())
}

fn warnings(config: &Config) -> Vec<Finding> {
    let warning =
        |(message, field): (String, &str)| Finding::warning(message).field(field, None, None);
    config.warnings().into_iter().map(warning).collect()
}
