//! The functionConfig: what the user asks for, checked and with defaults.

mod fields;

mod image;

mod schema;

mod validate;

use std::fmt;

use serde_json::Value;

pub(crate) use fields::{
    Delivery, EphemeralAccessPlugin, Mode, OnConflict, Spec, State, Target, in_config_map_keys,
};
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
    /// Whether it was written with the flat keys of a ConfigMap.
    pub(crate) is_config_map: bool,
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
    #[error("`{field}`: {message}")]
    Type { field: String, message: String },
    #[error("`{field}` is not a field of the functionConfig")]
    UnknownField { field: String, nearest: Option<String>, known: Vec<String> },
    #[error("`{field}` must {must}, got {}", Shown(actual))]
    Value { field: String, must: String, actual: Value, hint: Option<String> },
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
            Self::Invalid { .. } | Self::Type { .. } => None,
            Self::UnknownField { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Self::UnknownField { known, .. } => Some(format!("known here: {}", known.join(", "))),
            Self::Value { hint, .. } => hint.clone(),
        }
    }

    /// The field that is wrong.
    pub(crate) fn field(&self) -> Option<&str> {
        match self {
            Self::Type { field, .. }
            | Self::UnknownField { field, .. }
            | Self::Value { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl Config {
    /// Reads the functionConfig of a ResourceList, one document.
    pub(crate) fn from_document(document: &str) -> Result<Self, Vec<ConfigError>> {
        let value = read(document)?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        match (word("apiVersion"), word("kind")) {
            (API_VERSION, KIND) => {
                let object: EphemeralAccessPlugin = serde_path_to_error::deserialize(&value)
                    .map_err(|error| {
                        let (field, message) =
                            (error.path().to_string(), error.inner().to_string());
                        vec![ConfigError::Type { field, message }]
                    })?;
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
        let spec = Spec { state: State::Absent, ..Spec::default() };
        Self { plugin: None, spec, is_config_map: false }
    }

    /// Injection of an image with all defaults.
    pub(crate) fn from_image(image: &str) -> Result<Self, Vec<ConfigError>> {
        Self::checked(None, Spec { image: Some(image.to_owned()), ..Spec::default() })
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
        Self::checked(Some(name), object.spec)
    }

    fn from_config_map(value: &Value) -> Result<Self, Vec<ConfigError>> {
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty() && *name != KPT_CONFIG_NAME);
        let spec = fields::spec_from_config_map(value.get("data"))?;
        let config = Self::checked(name.map(ToOwned::to_owned), spec)?;
        Ok(Self { is_config_map: true, ..config })
    }

    fn checked(plugin: Option<String>, spec: Spec) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let reference = match validate::image(&spec) {
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
        Ok(Self { plugin, spec, is_config_map: false })
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

/// The document's value. A key that stands twice is an error here.
fn read(document: &str) -> Result<Value, Vec<ConfigError>> {
    let value = serde_yaml::from_str::<serde_yaml::Value>(document).map_err(|e| e.to_string());
    value
        .and_then(|value| serde_json::to_value(value).map_err(|error| error.to_string()))
        .map_err(|message| vec![ConfigError::Invalid { message }])
}
