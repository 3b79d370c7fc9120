//! The lists of a pod that the function changes.

use json_patch::jsonptr::{Pointer, PointerBuf};
use serde_json::Value;

/// Where a Deployment keeps its pod's specification.
pub(super) const POD_SPEC: &str = "/spec/template/spec";

/// A list of the pod, or of one of its containers.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) kind: Kind,
    container: Option<String>,
    pub(super) pointer: PointerBuf,
}

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    InitContainers,
    Volumes,
    ImagePullSecrets,
    Env,
    EnvFrom,
    VolumeMounts,
}

impl Kind {
    /// The field's name.
    fn field(self) -> &'static str {
        match self {
            Self::InitContainers => "initContainers",
            Self::Volumes => "volumes",
            Self::ImagePullSecrets => "imagePullSecrets",
            Self::Env => "env",
            Self::EnvFrom => "envFrom",
            Self::VolumeMounts => "volumeMounts",
        }
    }

    /// What one element is called.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::InitContainers => "init container",
            Self::Volumes => "volume",
            Self::ImagePullSecrets => "image pull secret",
            Self::Env => "environment variable",
            Self::EnvFrom => "environment source",
            Self::VolumeMounts => "volume mount",
        }
    }

    /// What tells one element from another.
    pub(super) fn key(self, element: &Value) -> String {
        match self {
            Self::VolumeMounts => {
                let path = text(element.get("mountPath"));
                let trimmed = path.trim_end_matches('/');
                if trimmed.is_empty() { path.to_owned() } else { trimmed.to_owned() }
            }
            Self::EnvFrom => {
                let prefix = text(element.get("prefix"));
                let (kind, source) = match element.get("secretRef") {
                    Some(source) => ("secret", source),
                    None => ("configMap", element.get("configMapRef").unwrap_or(&Value::Null)),
                };
                format!("{prefix}{kind}/{}", text(source.get("name")))
            }
            _ => text(element.get("name")).to_owned(),
        }
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

impl List {
    pub(super) fn pod(kind: Kind) -> Self {
        let pod = Pointer::from_static(POD_SPEC);
        Self { kind, container: None, pointer: pod.with_trailing_token(kind.field()) }
    }

    /// A list of the container with that name, if the pod has it.
    pub(super) fn container(kind: Kind, name: &str, deployment: &Value) -> Option<Self> {
        let containers = Pointer::from_static(POD_SPEC).with_trailing_token("containers");
        let elements = deployment.pointer(containers.as_str())?.as_array()?;
        let index =
            elements.iter().position(|element| element.get("name") == Some(&name.into()))?;
        let pointer = containers.with_trailing_token(index).with_trailing_token(kind.field());
        Some(Self { kind, container: Some(name.to_owned()), pointer })
    }

    /// The list as records name it.
    pub(super) fn label(&self) -> String {
        match &self.container {
            None => self.kind.field().to_owned(),
            Some(container) => format!("containers[{container}].{}", self.kind.field()),
        }
    }

    /// An element as records name it.
    pub(super) fn name(&self, element: &Value) -> String {
        format!("{}[{}]", self.label(), self.kind.key(element))
    }

    pub(super) fn elements(&self, deployment: &Value) -> Vec<Value> {
        let list = deployment.pointer(self.pointer.as_str());
        list.and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// "added volume "plugins"" and the like.
    pub(super) fn message(&self, verb: &str, elements: &[Value]) -> String {
        let keys: Vec<_> =
            elements.iter().map(|element| format!("\"{}\"", self.kind.key(element))).collect();
        let plural = if keys.len() == 1 { "" } else { "s" };
        let place = match &self.container {
            None => String::new(),
            Some(container) => format!(" (container \"{container}\")"),
        };
        format!("{verb} {}{plural} {}{place}", self.kind.noun(), keys.join(", "))
    }
}
