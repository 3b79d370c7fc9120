//! The functionConfig: what the user asks for, checked and with defaults.

mod fields;

mod image;

mod schema;

mod validate;

use std::fmt;

use serde_json::Value;

pub(crate) use fields::{Delivery, EphemeralAccessPlugin, Mode, OnConflict, Spec, State, Target};
pub use schema::schema;

use image::ImageReference;
use validate::unknown_fields;

/// `apiVersion` of the function's own kind.
pub(crate) const API_VERSION: &str = "fn.ephemeral-access.dev/v1alpha1";

/// The function's own kind.
pub(crate) const KIND: &str = "EphemeralAccessPlugin";

/// What kpt names the ConfigMap that it makes of command-line arguments.
const KPT_CONFIG_NAME: &str = "function-input";

/// What the user asks for.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The plugin's name in records and messages. None if the config names neither it nor an image.
    pub(crate) plugin: Option<String>,
    pub(crate) spec: Spec,
}

/// What is wrong with a functionConfig.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("`functionConfig` is missing")]
    Missing,
    #[error(
        "functionConfig must be of kind {KIND} ({API_VERSION}) or a v1 ConfigMap, got kind \"{kind}\" ({api_version})"
    )]
    Kind { api_version: String, kind: String },
    #[error("the functionConfig cannot be read: {message}")]
    Invalid { message: String },
    #[error("`{field}` is not a field of the functionConfig")]
    UnknownField {
        field: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("`{field}` must {must}, got {}", Shown(actual))]
    Value {
        field: String,
        must: String,
        actual: Value,
        hint: Option<String>,
    },
}

/// A value in a message: strings in quotes, nothing for nothing.
struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => formatter.write_str("nothing"),
            value => write!(formatter, "{value}"),
        }
    }
}

impl ConfigError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Missing | Self::Kind { .. } => Some(format!(
                "give a {KIND} with `spec.image`, or with kpt: `-- image=<your plugin's image>`"
            )),
            Self::Invalid { .. } => None,
            Self::UnknownField {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownField { known, .. } => Some(format!("known here: {}", known.join(", "))),
            Self::Value { hint, .. } => hint.clone(),
        }
    }

    /// The field that is wrong.
    pub(crate) fn field(&self) -> Option<&str> {
        match self {
            Self::UnknownField { field, .. } | Self::Value { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl Config {
    /// Reads the functionConfig of a ResourceList, one document.
    pub(crate) fn from_document(document: &str) -> Result<Self, Vec<ConfigError>> {
        let invalid = |error: serde_yaml::Error| {
            vec![ConfigError::Invalid {
                message: error.to_string(),
            }]
        };
        let value: Value = serde_yaml::from_str(document).map_err(invalid)?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        match (word("apiVersion"), word("kind")) {
            (API_VERSION, KIND) => {
                let object: EphemeralAccessPlugin =
                    serde_yaml::from_str(document).map_err(invalid)?;
                let errors = unknown_fields(&value, &object);
                if !errors.is_empty() {
                    return Err(errors);
                }
                Self::from_object(object)
            }
            ("v1", "ConfigMap") => Self::from_config_map(&value),
            (api_version, kind) => Err(vec![ConfigError::Kind {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
            }]),
        }
    }

    /// The same config, for a removal.
    pub(crate) fn absent(mut self) -> Self {
        self.spec.state = State::Absent;
        self
    }

    /// Removal of whatever plugin a record names.
    pub(crate) fn removal() -> Self {
        let spec = Spec {
            state: State::Absent,
            ..Spec::default()
        };
        Self { plugin: None, spec }
    }

    /// Injection of an image with all defaults.
    pub(crate) fn from_image(image: &str) -> Result<Self, Vec<ConfigError>> {
        Self::checked(
            None,
            Spec {
                image: Some(image.to_owned()),
                ..Spec::default()
            },
            "image",
        )
    }

    fn from_object(object: EphemeralAccessPlugin) -> Result<Self, Vec<ConfigError>> {
        let Some(name) = object.metadata.name.filter(|name| !name.is_empty()) else {
            return Err(vec![ConfigError::Value {
                field: "metadata.name".to_owned(),
                must: "name the plugin".to_owned(),
                actual: Value::Null,
                hint: Some("for example `name: change-window`".to_owned()),
            }]);
        };
        Self::checked(Some(name), object.spec, "spec.image")
    }

    fn from_config_map(value: &Value) -> Result<Self, Vec<ConfigError>> {
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty() && *name != KPT_CONFIG_NAME);
        let spec = fields::spec_from_config_map(value.get("data"))?;
        Self::checked(name.map(ToOwned::to_owned), spec, "data.image")
    }

    fn checked(
        plugin: Option<String>,
        spec: Spec,
        image_field: &str,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let reference = match validate::image(&spec, image_field) {
            Ok(reference) => reference,
            Err(error) => {
                errors.push(error);
                None
            }
        };
        errors.extend(validate::spec(&spec));
        if !errors.is_empty() {
            return Err(errors);
        }
        let plugin = plugin.or_else(|| reference.map(|reference| reference.name().to_owned()));
        Ok(Self { plugin, spec })
    }

    /// What is allowed but likely not meant, each with the field.
    pub(crate) fn warnings(&self) -> Vec<(String, &'static str)> {
        let mut warnings = validate::ignored_fields(&self.spec);
        let image = self.spec.image.as_deref().unwrap_or_default();
        let floating = ImageReference::parse(image).is_ok_and(|reference| reference.is_floating());
        if self.spec.state == State::Present && floating {
            let message = format!(
                "the image \"{image}\" has no fixed version, so pods may run different plugins"
            );
            warnings.push((message, "spec.image"));
        }
        warnings
    }
}
