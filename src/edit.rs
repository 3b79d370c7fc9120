//! Brings one Deployment to what the config asks for: plan, splice, verify.

use json_patch::PatchOperation;

use crate::config::Config;
use crate::finding::Finding;
use crate::plan::{self, Conflict, Deployment, Plan, Step};
use crate::results::Severity;
use crate::target::Found;
use crate::verify;
use crate::yaml::Tree;

/// A Deployment's new text, if it changes, and what was done.
#[derive(Debug)]
pub(crate) struct Edited {
    pub(crate) document: Option<String>,
    pub(crate) findings: Vec<Finding>,
}

/// Plans, edits and verifies.
///
/// # Errors
///
/// Returns what stands in the way; nothing is changed then.
pub(crate) fn edit(config: &Config, found: &Found) -> Result<Edited, Vec<Finding>> {
    let plan = plan(config, found)?;
    if plan.steps.is_empty() {
        return Ok(Edited { document: None, findings: Vec::new() });
    }
    let document = apply(found, &plan.steps).map_err(|finding| vec![about(found, *finding)])?;
    let findings = plan.steps.iter().map(|step| {
        Finding::new(Severity::Info, step.message.clone())
            .field(&step.field(), step.current.clone(), step.proposed().cloned())
            .about(&found.resource_ref, found.file.as_ref())
    });
    Ok(Edited { document: Some(document), findings: findings.collect() })
}

/// Plans only.
///
/// # Errors
///
/// Returns what stands in the way.
pub(crate) fn plan(config: &Config, found: &Found) -> Result<Plan, Vec<Finding>> {
    let about = |finding| vec![about(found, finding)];
    verify::is_deployment(&found.value).map_err(|error| {
        let message = format!(
            "the Deployment is not one that Kubernetes knows: `{}`: {}",
            error.path(),
            error.inner()
        );
        about(Finding::error(message).field(&error.path().to_string(), None, None))
    })?;
    let tree = Tree::parse(&found.document)
        .map_err(|error| about(Finding::error(error.below(found.line - 1).to_string())))?;
    let deployment = Deployment {
        value: &found.value,
        spelling: &|pointer| tree.spelling(pointer).map(ToOwned::to_owned),
    };
    plan::plan(config, &deployment).map_err(|conflicts| {
        conflicts.into_iter().flat_map(|conflict| about(conflict_finding(conflict))).collect()
    })
}

/// The finding with the Deployment that it is about.
fn about(found: &Found, finding: Finding) -> Finding {
    let field = match &finding.field {
        Some(field) => format!("`{}` of ", field.path),
        None => String::new(),
    };
    let place = format!("{field}{} (line {} of the input)", found.title(), found.line);
    finding.at(place).about(&found.resource_ref, found.file.as_ref())
}

fn apply(found: &Found, steps: &[Step]) -> Result<String, Box<Finding>> {
    let mut text = found.document.clone();
    for step in steps {
        text = step.splice.apply(&text).map_err(|refusal| {
            let (field, hint) = (step.field(), refusal.hint());
            let message = format!(
                "`{field}` cannot be changed without touching more: {}",
                refusal.below(found.line - 1)
            );
            Finding::error(message).field(&field, None, None).hint(Some(hint.to_owned()))
        })?;
    }
    let operations: Vec<PatchOperation> =
        steps.iter().map(|step| step.splice.operation.clone()).collect();
    verify::is_patched(&found.document, &operations, &text).map_err(defect)?;
    check_kind(&text).map_err(defect)?;
    Ok(text)
}

/// The edited text must be a Deployment still.
fn check_kind(text: &str) -> Result<(), String> {
    let tree = Tree::parse(text).map_err(|error| error.to_string())?;
    let root = tree.root().ok_or("nothing is left")?;
    let value = tree.value(root).map_err(|error| error.to_string())?;
    verify::is_deployment(&value).map_err(|error| format!("`{}`: {}", error.path(), error.inner()))
}

fn defect(cause: impl std::fmt::Display) -> Box<Finding> {
    let message = format!("nothing was written, because a check of the result failed: {cause}");
    let hint = "this is a defect: please report it with this Deployment";
    Box::new(Finding::error(message).hint(Some(hint.to_owned())))
}

fn conflict_finding(conflict: Conflict) -> Finding {
    let take_over = "remove it, or set `spec.onConflict: replace` to take it over";
    let hint = conflict.hint.unwrap_or(take_over);
    Finding::error(conflict.message.clone())
        .field(&conflict.field, conflict.current, conflict.proposed)
        .hint(Some(hint.to_owned()))
}
