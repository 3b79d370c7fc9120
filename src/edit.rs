//! Brings one Deployment to what the config asks for: plan, splice, verify.

use json_patch::PatchOperation;

use crate::config::Config;
use crate::finding::Finding;
use crate::plan::{self, Conflict, Deployment, Plan, Step};
use crate::results::Severity;
use crate::target::Found;
use crate::verify;
use crate::yaml::{Refusal, Splice, Tree};

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
pub(crate) fn edit(config: &Config, found: &Found<'_>) -> Result<Edited, Vec<Finding>> {
    let plan = plan(config, found)?;
    make(found, &plan)
}

/// Plans only.
///
/// # Errors
///
/// Returns what stands in the way.
pub(crate) fn plan(config: &Config, found: &Found<'_>) -> Result<Plan, Vec<Finding>> {
    verify::is_deployment(&found.value).map_err(|error| {
        let message = format!(
            "the Deployment is not one that Kubernetes knows: `{}`: {}",
            error.path(),
            error.inner()
        );
        vec![about(found, Finding::error(message).field(&error.path().to_string(), None, None))]
    })?;
    let deployment = Deployment {
        value: &found.value,
        spelling: &|pointer| found.tree.spelling(pointer).map(ToOwned::to_owned),
    };
    plan::plan(config, &deployment).map_err(|conflicts| {
        let findings = conflicts.into_iter().map(conflict_finding);
        findings.map(|finding| about(found, finding)).collect()
    })
}

fn make(found: &Found<'_>, plan: &Plan) -> Result<Edited, Vec<Finding>> {
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

/// The finding with the Deployment that it is about.
fn about(found: &Found<'_>, finding: Finding) -> Finding {
    let field = match &finding.field {
        Some(field) => format!("`{}` of ", field.path),
        None => String::new(),
    };
    let place = format!("{field}{} (line {} of the input)", found.title(), found.line);
    finding.at(place).about(&found.resource_ref, found.file.as_ref())
}

fn apply(found: &Found<'_>, steps: &[Step]) -> Result<String, Box<Finding>> {
    match apply_at_once(&found.tree, steps) {
        Some(text) => Ok(text),
        None => apply_in_turn(found, steps),
    }
}

/// Makes additions without parsing between them, which is most of the time of a small input. They
/// move no place that another names; should they after all, the verification says so, and they are
/// made in turn.
fn apply_at_once(old: &Tree<'_>, steps: &[Step]) -> Option<String> {
    let is_addition = |step: &Step| matches!(step.splice.operation, PatchOperation::Add(_));
    if !steps.iter().all(is_addition) {
        return None;
    }
    let text = Splice::apply_all(steps.iter().map(|step| &step.splice), old).ok()?;
    verify(old, steps, &text).ok()?;
    Some(text)
}

/// Makes one edit after the other. The text is parsed again between them, so that no range outlives
/// an edit.
fn apply_in_turn(found: &Found<'_>, steps: &[Step]) -> Result<String, Box<Finding>> {
    let mut edited: Option<String> = None;
    for step in steps {
        let text = match edited.take() {
            None => step.splice.apply(&found.tree),
            Some(text) => {
                Tree::parse(&text).map_err(Refusal::from).and_then(|tree| step.splice.apply(&tree))
            }
        };
        edited = Some(text.map_err(|refusal| refused(found, step, refusal))?);
    }
    let text = edited.unwrap_or_default();
    verify(&found.tree, steps, &text).map_err(defect)?;
    Ok(text)
}

fn verify(old: &Tree<'_>, steps: &[Step], text: &str) -> Result<(), String> {
    let new = Tree::parse(text).map_err(|error| error.to_string())?;
    let operations: Vec<PatchOperation> =
        steps.iter().map(|step| step.splice.operation.clone()).collect();
    verify::is_patched(old, &operations, &new).map_err(|error| error.to_string())?;
    check_kind(&new)
}

fn refused(found: &Found<'_>, step: &Step, refusal: Refusal) -> Finding {
    let (field, hint) = (step.field(), refusal.hint());
    let message = format!(
        "`{field}` cannot be changed without touching more: {}",
        refusal.below(found.line - 1)
    );
    Finding::error(message).field(&field, None, None).hint(Some(hint.to_owned()))
}

/// The edited text must be a Deployment still.
fn check_kind(tree: &Tree<'_>) -> Result<(), String> {
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
