//! What a functionConfig must hold beyond the types of its fields.

use std::collections::HashSet;

use json_patch::jsonptr::PointerBuf;
use serde::Serialize;
use serde_json::Value;

use super::image::{ImageError, ImageReference};
use super::schema::known_fields;
use super::{ConfigError, Delivery, Mode, Spec, State};
use crate::injection::{
    EPHEMERAL_PLUGIN_PATH, PLUGIN_PATH, PLUGIN_UNIX_SOCKET_DIR, same_path, socket_volume_name,
};
use crate::yaml::field_path;

/// What upstream's patch holds for the reader to replace.
const PLACEHOLDER: &str = "CHANGE_THIS_TO_POINT_TO_YOUR_PLUGIN_IMAGE";

/// Fields that the typed object did not take, each with the nearest that it would have.
pub(super) fn unknown_fields(value: &Value, object: &impl Serialize) -> Vec<ConfigError> {
    let known = serde_json::to_value(object).unwrap_or_default();
    let mut paths = Vec::new();
    find_unknown(value, &known, &mut Vec::new(), &mut paths);
    let error = |mut path: Vec<String>| {
        let field = field_path(&PointerBuf::from_tokens(&path));
        let name = path.pop().unwrap_or_default();
        let known = known_fields(&path);
        let unknown = !known.contains(&name);
        let nearest = nearest(&name, &known);
        unknown.then_some(ConfigError::UnknownField { field, nearest, known })
    };
    paths.into_iter().filter_map(error).collect()
}

/// A key that did not survive reading and writing may be unknown; or it is null, which does not
/// survive in Kubernetes objects.
fn find_unknown(
    value: &Value,
    known: &Value,
    path: &mut Vec<String>,
    unknown: &mut Vec<Vec<String>>,
) {
    let mut visit = |key: String, child: &Value, known: Option<&Value>| {
        path.push(key);
        match known {
            Some(known) => find_unknown(child, known, path, unknown),
            None => unknown.push(path.clone()),
        }
        path.pop();
    };
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, child)| visit(key.clone(), child, known.get(key)));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, child)| visit(i.to_string(), child, known.get(i)));
        }
        _ => {}
    }
}

/// The known name that a typing error most likely meant.
pub(super) fn nearest(name: &str, known: &[String]) -> Option<String> {
    let distance =
        |known: &String| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    let close = distance(nearest) <= 1 + name.len() / 4;
    close.then(|| nearest.clone())
}

/// Checks the image of a plugin that is to be present.
pub(super) fn image(spec: &Spec) -> Result<Option<ImageReference<'_>>, ConfigError> {
    let field = "spec.image";
    let error = |must: String, hint: &str| {
        let actual = spec.image.clone().map_or(Value::Null, Value::from);
        let hint = Some(hint.to_owned());
        ConfigError::Value { field: field.to_owned(), must, actual, hint }
    };
    let example = format!("set `{field}`, for example \"ghcr.io/acme/change-window:1.4.2\"");
    let Some(image) = spec.image.as_deref().filter(|image| !image.is_empty()) else {
        return match spec.state {
            State::Absent => Ok(None),
            State::Present => Err(error("name the plugin's image".to_owned(), &example)),
        };
    };
    if image == PLACEHOLDER {
        return Err(error("name your plugin's image".to_owned(), &example));
    }
    ImageReference::parse(image).map(Some).map_err(|cause| {
        let hint = match cause {
            ImageError::Host if image.contains("://") => "leave out the scheme",
            _ => &example,
        };
        error(cause.to_string(), hint)
    })
}

/// Checks everything else.
pub(super) fn spec(spec: &Spec) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut check = |good: bool, field: &str, must: &str, actual: &str| {
        if !good {
            let (field, must) = (field.to_owned(), must.to_owned());
            errors.push(ConfigError::Value { field, must, actual: actual.into(), hint: None });
        }
    };
    for (field, name) in [
        ("spec.volume.name", &spec.volume.name),
        ("spec.initContainer.name", &spec.init_container.name),
    ] {
        check(is_dns_label(name), field, "be a lowercase DNS label of at most 63 characters", name);
    }
    let file = "be the absolute path of a file, without \"..\"";
    let path = &spec.install.plugin_path;
    check(is_file_path(path), "spec.install.pluginPath", file, path);
    let directory = "be an absolute path other than \"/\", without \"..\" and \":\"";
    let path = &spec.volume.mount_path;
    check(is_directory_path(path), "spec.volume.mountPath", directory, path);
    if let Some(path) = &spec.controller.socket_dir {
        let other = !same_path(path, &spec.volume.mount_path);
        let must = format!("{directory}, and not be `spec.volume.mountPath`");
        check(is_directory_path(path) && other, "spec.controller.socketDir", &must, path);
    }
    check(!spec.target.container.is_empty(), "spec.target.container", "name a container", "");
    errors.extend(duplicates(spec));
    errors
}

/// Names that the config gives twice, or that the function needs itself.
fn duplicates(spec: &Spec) -> Vec<ConfigError> {
    let controller = &spec.controller;
    let socket = controller.socket_dir.as_deref();
    let socket_volume = socket_volume_name(&spec.volume.name);
    let mut errors = Vec::new();
    let mut unique = |list: &str, key: &str, reserved: Vec<&str>, names: Vec<&str>| {
        let mut seen: HashSet<String> = reserved.into_iter().map(ToOwned::to_owned).collect();
        for (index, name) in names.into_iter().enumerate() {
            let field = format!("{list}[{index}].{key}");
            let must = match name {
                "" => "not be empty",
                _ if !seen.insert(name.to_owned()) => {
                    "not stand twice or be what the function sets itself"
                }
                _ => continue,
            };
            let actual = name.into();
            errors.push(ConfigError::Value { field, must: must.to_owned(), actual, hint: None });
        }
    };
    let socket_env = socket.map(|_| PLUGIN_UNIX_SOCKET_DIR);
    unique(
        "spec.controller.env",
        "name",
        [Some(EPHEMERAL_PLUGIN_PATH), socket_env].into_iter().flatten().collect(),
        controller.env.iter().map(|env| env.name.as_str()).collect(),
    );
    unique(
        "spec.initContainer.env",
        "name",
        vec![PLUGIN_PATH],
        spec.init_container.env.iter().map(|env| env.name.as_str()).collect(),
    );
    unique(
        "spec.controller.volumes",
        "name",
        [Some(spec.volume.name.as_str()), socket.map(|_| socket_volume.as_str())]
            .into_iter()
            .flatten()
            .collect(),
        controller.volumes.iter().map(|volume| volume.name.as_str()).collect(),
    );
    unique(
        "spec.controller.volumeMounts",
        "mountPath",
        [Some(without_slash(&spec.volume.mount_path)), socket.map(without_slash)]
            .into_iter()
            .flatten()
            .collect(),
        controller.volume_mounts.iter().map(|mount| without_slash(&mount.mount_path)).collect(),
    );
    unique(
        "spec.imagePullSecrets",
        "name",
        Vec::new(),
        spec.image_pull_secrets.iter().map(|secret| secret.name.as_str()).collect(),
    );
    errors
}

/// Fields that are set but do nothing, each with why.
pub(super) fn ignored_fields(spec: &Spec) -> Vec<(String, &'static str)> {
    if spec.delivery == Delivery::InitContainer || spec.state == State::Absent {
        return Vec::new();
    }
    let default = Spec::default();
    let set = [
        (spec.install.mode != Mode::Entrypoint, "spec.install.mode"),
        (spec.init_container != default.init_container, "spec.initContainer"),
        (spec.volume.size_limit.is_some(), "spec.volume.sizeLimit"),
        (spec.volume.medium.is_some(), "spec.volume.medium"),
        (!spec.volume.read_only, "spec.volume.readOnly"),
    ];
    set.into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, field)| (format!("`{field}` does nothing with `delivery: imageVolume`"), field))
        .collect()
}

fn without_slash(path: &str) -> &str {
    path.trim_end_matches('/')
}

fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn is_directory_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains(':')
        && !path.contains(char::is_control)
        && !path.trim_matches('/').is_empty()
        && !path.split('/').any(|part| part == ".." || part == ".")
}

fn is_file_path(path: &str) -> bool {
    is_directory_path(path) && !path.ends_with('/')
}
