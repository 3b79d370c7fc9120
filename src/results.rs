//! Results: what the function tells the orchestrator and its user.
//!
//! The words are those of the KRM functions specification.

use serde::Serialize;
use serde_json::Value;

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Result {
    /// What was found or done, for people.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
    /// The resource that the finding is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_ref: Option<ResourceRef>,
    /// The field that the finding is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Field>,
    /// The file that holds the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
}

/// How bad a finding is. An error makes the run fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The function did not do what it was asked to do.
    Error,
    /// It did, but something is likely not meant so.
    Warning,
    /// What was done.
    Info,
}

/// Names a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRef {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Names a field and says what is and what would be right there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Such as `spec.template.spec.volumes[0]`.
    pub path: String,
    /// The value that stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_value: Option<Value>,
    /// The value that would stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed_value: Option<Value>,
}

/// Names the file that a resource came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Relative to the package, with slashes.
    pub path: String,
    /// The resource's place in the file, counted from 0.
    pub index: u64,
}

impl Result {
    /// A finding with nothing but a message.
    #[must_use]
    pub fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { message: message.into(), severity, resource_ref: None, field: None, file: None }
    }

    /// With the path of a field.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.field = Some(Field { path: path.into(), current_value: None, proposed_value: None });
        self
    }

    /// The result as it stands in a ResourceList.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spells_fields_as_the_specification_does() {
        let result = Result {
            resource_ref: Some(ResourceRef {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: "controller".to_owned(),
                namespace: None,
            }),
            file: Some(File { path: "a.yaml".to_owned(), index: 0 }),
            ..Result::new(Severity::Warning, "look").with_path("spec.image")
        };
        let expected = json!({
            "message": "look",
            "severity": "warning",
            "resourceRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "controller"},
            "field": {"path": "spec.image"},
            "file": {"path": "a.yaml", "index": 0},
        });
        assert_eq!(result.to_value(), expected);
        let plain = Result::new(Severity::Error, "no").to_value();
        assert_eq!(plain, json!({"message": "no", "severity": "error"}));
    }
}
