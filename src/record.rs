//! The record: an annotation on the Deployment that says what was added.
//!
//! An upgrade, a rename or a removal touches what the record names and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The annotation on the Deployment (not on its pods, which would restart).
pub(crate) const ANNOTATION: &str = "fn.ephemeral-access.dev/injected";

/// What was added, by which plugin's configuration and which version of the function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) plugin: String,
    pub(crate) version: String,
    /// Elements that the function made, such as `volumes[plugins]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) added: Vec<String>,
    /// Elements that the function found and took over. What others set in them stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) adopted: Vec<String>,
    /// Lists that were not there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) created: BTreeSet<String>,
    /// Lists that were empty, each with what stood behind its colon.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) emptied: BTreeMap<String, String>,
}

impl Record {
    /// The record on a Deployment: none, one, or something that is no record.
    pub(crate) fn read(deployment: &Value) -> Result<Option<Self>, String> {
        let annotations = deployment.pointer("/metadata/annotations");
        let Some(annotation) = annotations.and_then(|map| map.get(ANNOTATION)) else {
            return Ok(None);
        };
        let text = annotation.as_str().unwrap_or_default();
        serde_json::from_str(text).map(Some).map_err(|error| error.to_string())
    }

    /// The annotation's value: one line of JSON.
    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The names of the containers whose lists the record names.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &str> {
        let names = self.added.iter().chain(&self.adopted);
        names.filter_map(|name| name.strip_prefix("containers[")?.split_once(']')).map(|(c, _)| c)
    }
}
