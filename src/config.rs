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
    #[error("`functionConfig` is missing or is no object")]
    Missing,
    #[error(
        "functionConfig must be of kind {KIND} ({API_VERSION}) or a v1 ConfigMap, got kind \"{kind}\" ({api_version})"
    )]
    Kind { api_version: String, kind: String },
    #[error("the config file is empty")]
    EmptyFile,
    #[error("the config must be one document, a second begins at line {line}")]
    SecondDocument { line: usize },
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
                "give an {KIND} with `spec.image`, or with kpt: `-- image=<your plugin's image>`"
            )),
            Self::EmptyFile => Some(format!("write an {KIND} with `spec.image` into it")),
            Self::SecondDocument { .. } => Some("give each config a file of its own".to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(document: &str) -> Result<Config, String> {
        let lines = |errors: Vec<ConfigError>| {
            let line = |error: &ConfigError| match error.hint() {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            };
            errors.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        Config::from_document(document).map_err(lines)
    }

    fn own(spec: &str) -> Result<Config, String> {
        config(&format!(
            "{{apiVersion: {API_VERSION}, kind: {KIND}, metadata: {{name: p}}, spec: {{{spec}}}}}"
        ))
    }

    fn config_map(name: &str, data: &str) -> Result<Config, String> {
        let metadata = format!("{{name: {name}}}");
        config(&format!("{{apiVersion: v1, kind: ConfigMap, metadata: {metadata}, data: {data}}}"))
    }

    #[test]
    fn a_config_map_means_the_same_as_the_own_kind() {
        let flat = "{image: a/b:1, imagePullPolicy: Never, state: absent, delivery: imageVolume, \
            onConflict: replace, namespace: n, name: m, container: c, pluginPath: /p/q, \
            mountPath: /r, volumeName: v, initContainerName: i, mode: shell}";
        let nested = "image: a/b:1, imagePullPolicy: Never, state: absent, delivery: imageVolume, \
            onConflict: replace, target: {namespace: n, name: m, container: c}, \
            install: {pluginPath: /p/q, mode: shell}, volume: {name: v, mountPath: /r}, \
            initContainer: {name: i}";
        assert_eq!(config_map("x", flat).unwrap().spec, own(nested).unwrap().spec);
    }

    #[test]
    fn names_the_plugin_after_what_it_has() {
        let name = |config: Result<Config, String>| config.unwrap().plugin;
        assert_eq!(name(own("image: a/b:1")).as_deref(), Some("p"));
        assert_eq!(name(config_map("q", "{image: a/b:1}")).as_deref(), Some("q"));
        assert_eq!(name(config_map(KPT_CONFIG_NAME, "{image: a/b:1}")).as_deref(), Some("b"));
        assert_eq!(name(config_map(KPT_CONFIG_NAME, "{state: absent}")), None);
        assert_eq!(Config::from_image("r.io:5000/a/b@sha256:0").map(|c| c.plugin).ok(), None);
        assert_eq!(Config::from_image("r.io:5000/a/b:1").unwrap().plugin.as_deref(), Some("b"));
    }

    #[test]
    fn says_what_where_and_how_to_mend_it() {
        let errors = [
            config("a: ["),
            config("a"),
            config("{apiVersion: v1, kind: Secret}"),
            config(&format!("{{apiVersion: {API_VERSION}, kind: {KIND}, spec: {{image: a/b:1}}}}")),
            own(""),
            own("image: ''"),
            own("image: CHANGE_THIS_TO_POINT_TO_YOUR_PLUGIN_IMAGE"),
            own("image: 'a b'"),
            own("image: a/b:1, imagePullPolciy: Always"),
            own("image: a/b:1, imagePullPolicy: Sometimes"),
            own("image: a/b:1, volume: {medium: Disk}"),
            own("image: a/b:1, volume: {mountPath: /}"),
            own("image: a/b:1, controller: {env: [{name: A, valeu: b}]}"),
            own("image: a/b:1, controller: {env: [{value: b}]}"),
            own("image: a/b:1, controller: {env: A}"),
            own("image: a/b:1, controller: {volumes: [{name: plugins}, {name: a}, {name: a}]}"),
            own("image: a/b:1, imagePullSecrets: [{name: a}, {name: a}, {}]"),
            config_map("x", "{image: a/b:1, imagepullpolicy: Always}"),
            config_map("x", "{image: a/b:1, mode: copy}"),
            config_map("x", "{image: 1}"),
            config_map("x", "[image]"),
        ];
        let errors: Vec<_> = errors.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        the functionConfig cannot be read: did not find expected node content at line 2 column 1, while parsing a flow node
        functionConfig must be of kind EphemeralAccessPlugin (fn.ephemeral-access.dev/v1alpha1) or a v1 ConfigMap, got kind "" (); give an EphemeralAccessPlugin with `spec.image`, or with kpt: `-- image=<your plugin's image>`
        functionConfig must be of kind EphemeralAccessPlugin (fn.ephemeral-access.dev/v1alpha1) or a v1 ConfigMap, got kind "Secret" (v1); give an EphemeralAccessPlugin with `spec.image`, or with kpt: `-- image=<your plugin's image>`
        `metadata.name` must name the plugin, got nothing; for example `name: change-window`
        `spec.image` must name the plugin's image, got nothing; set `spec.image`, for example "ghcr.io/acme/change-window:1.4.2"
        `spec.image` must name the plugin's image, got ""; set `spec.image`, for example "ghcr.io/acme/change-window:1.4.2"
        `spec.image` must name your plugin's image, got "CHANGE_THIS_TO_POINT_TO_YOUR_PLUGIN_IMAGE"; set `spec.image`, for example "ghcr.io/acme/change-window:1.4.2"
        `spec.image` must not contain spaces, got "a b"; set `spec.image`, for example "ghcr.io/acme/change-window:1.4.2"
        `spec.imagePullPolciy` is not a field of the functionConfig; did you mean `imagePullPolicy`?
        `spec.imagePullPolicy`: unknown variant `Sometimes`, expected one of `Always`, `IfNotPresent`, `Never`
        `spec.volume.medium`: unknown variant `Disk`, expected `` or `Memory`
        `spec.volume.mountPath` must be an absolute path other than "/", without ".." and ":", got "/"
        `spec.controller.env[0].valeu` is not a field of the functionConfig; did you mean `value`?
        `spec.controller.env[0].name` must not be empty, got ""
        `spec.controller.env`: invalid type: string "A", expected a sequence
        `spec.controller.volumes[0].name` must not stand twice or be what the function sets itself, got "plugins"
        `spec.controller.volumes[2].name` must not stand twice or be what the function sets itself, got "a"
        `spec.imagePullSecrets[1].name` must not stand twice or be what the function sets itself, got "a"
        `spec.imagePullSecrets[2].name` must not be empty, got ""
        `data.imagepullpolicy` is not a field of the functionConfig; did you mean `imagePullPolicy`?
        `data.mode` must be `entrypoint` or `shell`, got "copy"
        `data.image` must be a string, got 1
        `spec.image` must name the plugin's image, got nothing; set `spec.image`, for example "ghcr.io/acme/change-window:1.4.2"
        "#);
    }

    #[test]
    fn null_is_no_excuse_for_an_unknown_field() {
        let error = own("image: a/b:1, imagePullPolciy: null").unwrap_err();
        assert!(error.contains("`spec.imagePullPolciy` is not a field"), "{error}");
        assert!(own("image: a/b:1, controller: {env: [{name: A, valueFrom: null}]}").is_ok());
    }

    #[test]
    fn warns_of_what_is_likely_not_meant() {
        let warnings = |spec: &str| {
            let warnings = own(spec).unwrap().warnings();
            warnings.into_iter().map(|(message, _)| message).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(warnings("image: a/b:1"), "");
        assert_eq!(warnings("state: absent, image: a/b"), "");
        assert_eq!(warnings("state: absent, delivery: imageVolume, volume: {medium: Memory}"), "");
        insta::assert_snapshot!(
            warnings("image: a/b, delivery: imageVolume, volume: {medium: Memory, readOnly: false}"),
            @r#"
        `spec.volume.medium` does nothing with `delivery: imageVolume`
        `spec.volume.readOnly` does nothing with `delivery: imageVolume`
        the image "a/b" has no fixed version, so pods may run different plugins
        "#
        );
    }
}
