//! What to change on the Deployment, and why: JSON Patch operations with reasons.
//!
//! The plan knows Kubernetes and no YAML text. Every list of the pod is brought to what the config
//! asks for by the same rules ([`reconcile`]); the record says which elements are the plugin's.

mod list;

mod reconcile;

use std::collections::BTreeSet;

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value, json};

use crate::config::{Config, OnConflict, State};
use crate::injection::{EPHEMERAL_PLUGIN_PATH, Injection};
use crate::record::{ANNOTATION, Record};
use crate::yaml::{Splice, field_path};

use list::{Kind, List};
use reconcile::Reconciled;

/// The changes in the order in which they are made. None means that all is as it should be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) splice: Splice,
    /// What it does, in the past tense: it is told when it is done.
    pub(crate) message: String,
    /// The value that stands in the place before.
    pub(crate) current: Option<Value>,
}

/// A setting that is not this plugin's and stands in the way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Conflict {
    pub(crate) message: String,
    pub(crate) field: String,
    pub(crate) current: Option<Value>,
    pub(crate) proposed: Option<Value>,
    /// What to do where taking over is no way out.
    pub(crate) hint: Option<&'static str>,
}

/// The Deployment as the plan sees it.
pub(crate) struct Deployment<'d> {
    pub(crate) value: &'d Value,
    /// The text between a key's colon and the end of its value.
    pub(crate) spelling: &'d dyn Fn(&Pointer) -> Option<String>,
}

/// Plans what `config` asks for.
///
/// # Errors
///
/// Returns everything that stands in the way, if anything does and the config does not say to
/// replace it.
pub(crate) fn plan(config: &Config, deployment: &Deployment<'_>) -> Result<Plan, Vec<Conflict>> {
    let record = match own_record(config, deployment.value)? {
        Ownership::Record(record) => record,
        Ownership::Nothing => None,
        Ownership::AnotherPlugin => return Ok(Plan::default()),
    };
    let injection = Injection::new(config);
    let previous = match (&record, config.spec.state) {
        (Some(record), _) => record.clone(),
        (None, State::Present) => adoptable(config, deployment.value),
        (None, State::Absent) => named_in_config(config, &injection, deployment.value),
    };
    let wanted = match config.spec.state {
        State::Present => injection,
        State::Absent => Injection::default(),
    };
    let mut planner = Planner::new(config, deployment, previous);
    for (list, desired) in lists(config, &planner.previous, deployment.value, wanted) {
        planner.list(&list, desired);
    }
    planner.finish()
}

/// Whose installation the Deployment carries.
enum Ownership {
    Record(Option<Record>),
    Nothing,
    /// Nothing to take away: what is there is not what the config names.
    AnotherPlugin,
}

fn own_record(config: &Config, deployment: &Value) -> Result<Ownership, Vec<Conflict>> {
    let replace = config.spec.on_conflict == OnConflict::Replace;
    let field = format!("metadata.annotations[\"{ANNOTATION}\"]");
    let conflict = |message: String, current: Value| {
        Err(vec![Conflict {
            message,
            field: field.clone(),
            current: Some(current),
            proposed: None,
            hint: None,
        }])
    };
    match Record::read(deployment) {
        Ok(None) => Ok(Ownership::Nothing),
        Ok(Some(record)) => {
            let other = config.plugin.as_ref().filter(|plugin| **plugin != record.plugin);
            match other {
                Some(_) if replace => Ok(Ownership::Record(Some(record))),
                Some(_) if config.spec.state == State::Absent => Ok(Ownership::AnotherPlugin),
                Some(plugin) => {
                    let message = format!(
                        "the plugin \"{}\" is installed, and the controller loads only one: \"{plugin}\" would take its place",
                        record.plugin
                    );
                    conflict(message, record.plugin.clone().into())
                }
                None => Ok(Ownership::Record(Some(record))),
            }
        }
        Err(_) if replace => Ok(Ownership::Nothing),
        Err(error) => {
            let annotations = deployment.pointer("/metadata/annotations");
            let current = annotations.and_then(|map| map.get(ANNOTATION)).cloned();
            let message = format!("the record of what was injected cannot be read: {error}");
            conflict(message, current.unwrap_or_default())
        }
    }
}

/// The installation that somebody made by hand or with upstream's patch, as a record.
///
/// An init container of our name that mounts a volume of our name is one; so is an image volume of
/// our name that the controller mounts.
fn adoptable(config: &Config, deployment: &Value) -> Record {
    let spec = &config.spec;
    let (volume, installer) = (&spec.volume.name, &spec.init_container.name);
    let pod = deployment.pointer(list::POD_SPEC).unwrap_or(&Value::Null);
    let named = |list: &str, name: &str| find(pod.get(list), "name", name);
    let mounts = |container: Option<&Value>| -> Vec<Value> {
        let mounts = container.and_then(|container| container.get("volumeMounts"));
        let mounts = mounts.and_then(Value::as_array).into_iter().flatten();
        mounts.filter(|mount| mount.get("name") == Some(&json!(volume))).cloned().collect()
    };
    let source = |kind: &str| named("volumes", volume).is_some_and(|v| v.get(kind).is_some());
    let container = named("containers", &spec.target.container);
    let controller_mounts = mounts(container);
    let by_init = source("emptyDir") && !mounts(named("initContainers", installer)).is_empty();
    let by_image = source("image") && !controller_mounts.is_empty();
    if !by_init && !by_image {
        return Record::default();
    }
    let mut adopted = vec![format!("volumes[{volume}]")];
    if by_init {
        adopted.push(format!("initContainers[{installer}]"));
    }
    let prefix = format!("containers[{}]", spec.target.container);
    for mount in &controller_mounts {
        adopted.push(format!("{prefix}.volumeMounts[{}]", Kind::VolumeMounts.key(mount)));
    }
    let env = container.and_then(|c| find(c.get("env"), "name", EPHEMERAL_PLUGIN_PATH));
    let path = env.and_then(|env| env.get("value")?.as_str());
    let is_under = |mount: &Value| {
        let mount = mount.get("mountPath").and_then(Value::as_str).unwrap_or_default();
        path.and_then(|path| path.strip_prefix(mount.trim_end_matches('/')))
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if controller_mounts.iter().any(is_under) {
        adopted.push(format!("{prefix}.env[{EPHEMERAL_PLUGIN_PATH}]"));
    }
    Record { adopted, ..Record::default() }
}

/// Without a record, a removal takes what the config names: an installation that could be adopted,
/// and whatever stands there just as it would be injected.
fn named_in_config(config: &Config, injection: &Injection, deployment: &Value) -> Record {
    let mut record = adoptable(config, deployment);
    // Where no installation is, whatever looks like a part of one is the user's own.
    if config.plugin.is_none() || record.adopted.is_empty() {
        return record;
    }
    for (list, desired) in lists(config, &record, deployment, injection.clone()) {
        let existing = list.elements(deployment);
        let equal = desired.iter().filter(|element| existing.contains(element));
        let names: Vec<String> = equal.map(|element| list.name(element)).collect();
        record.adopted.extend(
            names.into_iter().filter(|name| !record.adopted.contains(name)).collect::<Vec<_>>(),
        );
    }
    record
}

fn find<'v>(list: Option<&'v Value>, key: &str, name: &str) -> Option<&'v Value> {
    let elements = list.and_then(Value::as_array)?;
    elements.iter().find(|element| element.get(key).and_then(Value::as_str) == Some(name))
}

/// Every list that the function may touch, with what belongs into it.
fn lists(
    config: &Config,
    previous: &Record,
    deployment: &Value,
    wanted: Injection,
) -> Vec<(List, Vec<Value>)> {
    let target = &config.spec.target.container;
    let mut lists = vec![
        (List::pod(Kind::InitContainers), wanted.init_containers),
        (List::pod(Kind::Volumes), wanted.volumes),
        (List::pod(Kind::ImagePullSecrets), wanted.image_pull_secrets),
    ];
    // An earlier config may have named another container.
    let others: BTreeSet<&str> = previous.containers().filter(|name| name != target).collect();
    let mut in_container = |name: &str, wanted: [Vec<Value>; 3]| {
        let kinds = [Kind::Env, Kind::EnvFrom, Kind::VolumeMounts];
        let of = |kind| List::container(kind, name, deployment);
        lists.extend(kinds.into_iter().zip(wanted).filter_map(|(kind, w)| Some((of(kind)?, w))));
    };
    in_container(target, [wanted.env, wanted.env_from, wanted.volume_mounts]);
    for other in others {
        in_container(other, Default::default());
    }
    lists
}

struct Planner<'a, 'd> {
    config: &'a Config,
    deployment: &'a Deployment<'d>,
    previous: Record,
    next: Record,
    steps: Vec<Step>,
    conflicts: Vec<Conflict>,
}

impl<'a, 'd> Planner<'a, 'd> {
    fn new(config: &'a Config, deployment: &'a Deployment<'d>, previous: Record) -> Self {
        let next = Record {
            plugin: config.plugin.clone().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Record::default()
        };
        let (steps, conflicts) = (Vec::new(), Vec::new());
        Self { config, deployment, previous, next, steps, conflicts }
    }

    fn list(&mut self, list: &List, desired: Vec<Value>) {
        self.check_name_clash(list, &desired);
        let existing = list.elements(self.deployment.value);
        let replace = self.config.spec.on_conflict == OnConflict::Replace;
        let reconciled = reconcile::reconcile(list, &existing, &desired, &self.previous, replace);
        self.next.added.extend(reconciled.added.iter().cloned());
        self.next.adopted.extend(reconciled.adopted.iter().cloned());
        self.conflicts.extend(reconciled.conflicts.iter().cloned());
        self.edit_list(list, &existing, reconciled);
    }

    /// An init container must not have the name of a container.
    fn check_name_clash(&mut self, list: &List, desired: &[Value]) {
        if list.kind != Kind::InitContainers {
            return;
        }
        let containers = self.deployment.value.pointer(&format!("{}/containers", list::POD_SPEC));
        for element in desired {
            let name = element.get("name").and_then(Value::as_str).unwrap_or_default();
            if find(containers, "name", name).is_some() {
                self.conflicts.push(Conflict {
                    message: format!("a container of the pod has the name \"{name}\" already"),
                    field: "spec.template.spec.containers".to_owned(),
                    current: Some(name.into()),
                    proposed: None,
                    hint: Some("choose another name in `spec.initContainer.name`"),
                });
            }
        }
    }

    /// In-place changes first, while indices hold; then removals from the end; then additions.
    fn edit_list(&mut self, list: &List, existing: &[Value], reconciled: Reconciled) {
        self.steps.extend(reconciled.changes);
        let kept = existing.len() - reconciled.removed.len();
        let label = list.label();
        let created = self.previous.created.contains(&label);
        let emptied = self.previous.emptied.get(&label).cloned();
        let holds_ours = !reconciled.added.is_empty() || !reconciled.adopted.is_empty();
        if kept == 0 && reconciled.additions.is_empty() && !existing.is_empty() {
            self.empty_list(list, created, emptied, existing);
            return;
        }
        if holds_ours && created {
            self.next.created.insert(label.clone());
        }
        if holds_ours && let Some(spelling) = emptied {
            self.next.emptied.insert(label.clone(), spelling);
        }
        for index in reconciled.removed.iter().rev() {
            let path = list.pointer.with_trailing_token(*index);
            let current = existing.get(*index).cloned();
            let message = list.message("removed", current.as_slice());
            self.push(remove(path), message, current);
        }
        if existing.is_empty() && !reconciled.additions.is_empty() {
            self.fill_list(list, reconciled.additions);
            return;
        }
        for element in reconciled.additions {
            let message = list.message("added", std::slice::from_ref(&element));
            self.push(add(list.pointer.with_trailing_token("-"), element), message, None);
        }
    }

    /// The first elements of a list, and a note of what stood in its place.
    fn fill_list(&mut self, list: &List, elements: Vec<Value>) {
        let message = list.message("added", &elements);
        let elements = Value::Array(elements);
        let operation = self.put(&list.label(), &list.pointer, elements);
        self.push(operation, message, None);
    }

    /// Sets a collection that is missing or empty, and notes which.
    fn put(&mut self, label: &str, pointer: &Pointer, value: Value) -> PatchOperation {
        if self.deployment.value.pointer(pointer.as_str()).is_none() {
            self.next.created.insert(label.to_owned());
            return add(pointer.to_buf(), value);
        }
        let spelling = (self.deployment.spelling)(pointer).unwrap_or_default();
        self.next.emptied.insert(label.to_owned(), spelling);
        PatchOperation::Replace(ReplaceOperation { path: pointer.to_buf(), value })
    }

    /// A list that loses its last element becomes what it was before the first.
    ///
    /// The others go one by one before that, so that comments between them stay.
    fn empty_list(
        &mut self,
        list: &List,
        created: bool,
        emptied: Option<String>,
        existing: &[Value],
    ) {
        for (index, element) in existing.iter().enumerate().skip(1).rev() {
            let path = list.pointer.with_trailing_token(index);
            let message = list.message("removed", std::slice::from_ref(element));
            self.push(remove(path), message, Some(element.clone()));
        }
        let last = existing.get(..1).unwrap_or_default();
        let splice = put_back(&list.pointer, created, emptied, json!([]));
        let message = list.message("removed", last);
        self.steps.push(Step { splice, message, current: Some(last.into()) });
    }

    fn push(&mut self, operation: PatchOperation, message: String, current: Option<Value>) {
        self.steps.push(Step { splice: Splice::new(operation), message, current });
    }

    fn finish(mut self) -> Result<Plan, Vec<Conflict>> {
        if self.config.spec.state == State::Present {
            self.check_mounts();
        }
        if !self.conflicts.is_empty() {
            return Err(self.conflicts);
        }
        match self.config.spec.state {
            State::Present => self.write_record(),
            State::Absent => self.remove_record(),
        }
        Ok(Plan { steps: self.steps })
    }

    /// A mount of a volume that is nowhere would make a pod that the API server refuses.
    fn check_mounts(&mut self) {
        let spec = &self.config.spec;
        let existing = List::pod(Kind::Volumes).elements(self.deployment.value);
        let volumes = spec.controller.volumes.iter().map(|volume| volume.name.as_str());
        let known: Vec<&str> = existing
            .iter()
            .filter_map(|volume| volume.get("name")?.as_str())
            .chain(volumes)
            .chain([spec.volume.name.as_str()])
            .collect();
        for (index, mount) in spec.controller.volume_mounts.iter().enumerate() {
            if !known.contains(&mount.name.as_str()) {
                self.conflicts.push(Conflict {
                    message: format!("there is no volume \"{}\" to mount", mount.name),
                    field: format!("spec.controller.volumeMounts[{index}].name"),
                    current: None,
                    proposed: Some(mount.name.clone().into()),
                    hint: Some("add the volume to `spec.controller.volumes`"),
                });
            }
        }
    }

    fn write_record(&mut self) {
        const LABEL: &str = "annotations";
        if self.previous.created.contains(LABEL) {
            self.next.created.insert(LABEL.to_owned());
        }
        if let Some(spelling) = self.previous.emptied.get(LABEL).cloned() {
            self.next.emptied.insert(LABEL.to_owned(), spelling);
        }
        let annotations = annotations();
        let count = self.annotations().map_or(0, Map::len);
        let current = self.recorded().cloned();
        let operation = if count == 0 {
            // What stood here is noted in the record, so it has to be known before it is written.
            let operation = self.put(LABEL, &annotations, Value::Null);
            let value = json!({ ANNOTATION: self.next.write() });
            match operation {
                PatchOperation::Add(_) => add(annotations, value),
                _ => replace(annotations, value),
            }
        } else {
            let value = Value::from(self.next.write());
            let path = annotations.with_trailing_token(ANNOTATION);
            match &current {
                Some(current) if *current == value => return,
                Some(_) => replace(path, value),
                None => add(path, value),
            }
        };
        let message = format!("recorded what was injected in the annotation \"{ANNOTATION}\"");
        self.push(operation, message, current);
    }

    fn remove_record(&mut self) {
        let Some(current) = self.recorded().cloned() else {
            return;
        };
        let annotations = annotations();
        let splice = if self.annotations().is_some_and(|map| map.len() == 1) {
            let created = self.previous.created.contains("annotations");
            let emptied = self.previous.emptied.get("annotations").cloned();
            put_back(&annotations, created, emptied, json!({}))
        } else {
            Splice::new(remove(annotations.with_trailing_token(ANNOTATION)))
        };
        let message = format!("removed the annotation \"{ANNOTATION}\"");
        self.steps.push(Step { splice, message, current: Some(current) });
    }

    fn annotations(&self) -> Option<&Map<String, Value>> {
        self.deployment.value.pointer(annotations().as_str()).and_then(Value::as_object)
    }

    fn recorded(&self) -> Option<&Value> {
        self.annotations().and_then(|map| map.get(ANNOTATION))
    }
}

fn annotations() -> PointerBuf {
    PointerBuf::from_tokens(["metadata", "annotations"])
}

/// Takes a collection away, or puts back what stood in its place.
fn put_back(pointer: &Pointer, created: bool, emptied: Option<String>, empty: Value) -> Splice {
    match emptied {
        _ if created => Splice::new(remove(pointer.to_buf())),
        Some(spelling) => {
            let is_collection = spelling.trim_end().ends_with([']', '}']);
            let value = if is_collection { empty } else { Value::Null };
            Splice { operation: replace(pointer.to_buf(), value), spelling: Some(spelling) }
        }
        None => Splice::new(replace(pointer.to_buf(), empty)),
    }
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

fn replace(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path, value })
}

fn remove(path: PointerBuf) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path })
}

impl Step {
    /// The field that the step changes.
    pub(crate) fn field(&self) -> String {
        field_path(self.splice.operation.path())
    }

    /// The value that the step puts there.
    pub(crate) fn proposed(&self) -> Option<&Value> {
        match &self.splice.operation {
            PatchOperation::Add(add) => Some(&add.value),
            PatchOperation::Replace(replace) => Some(&replace.value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Tree;

    const CONTROLLER: &str = "metadata: {name: c}\nspec: {template: {spec: {containers: [{name: controller, \
        env: [{name: A, value: a}], volumeMounts: []}]}}}";

    fn value(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap()
    }

    fn config(spec: &str) -> Config {
        let head = "{apiVersion: fn.ephemeral-access.dev/v1alpha1, kind: EphemeralAccessPlugin";
        let document = format!("{head}, metadata: {{name: p}}, spec: {{image: a/b:1, {spec}}}}}");
        Config::from_document(&document).unwrap()
    }

    fn plan_of(spec: &str, deployment: &str) -> Result<Plan, Vec<Conflict>> {
        let tree = Tree::parse(deployment).unwrap();
        let spelling = |pointer: &Pointer| tree.spelling(pointer).map(ToOwned::to_owned);
        let value = value(deployment);
        plan(&config(spec), &Deployment { value: &value, spelling: &spelling })
    }

    /// The steps as operation, field and message, or the conflicts as field and message.
    fn planned(spec: &str, deployment: &str) -> String {
        let lines: Vec<_> = match plan_of(spec, deployment) {
            Ok(plan) => plan
                .steps
                .iter()
                .map(|step| {
                    let operation = json!(step.splice.operation);
                    format!("{} {}: {}", text(&operation["op"]), step.field(), step.message)
                })
                .collect(),
            Err(conflicts) => conflicts.iter().map(|c| format!("{}: {c}", c.field)).collect(),
        };
        lines.join("\n")
    }

    fn text(value: &Value) -> &str {
        value.as_str().unwrap_or_default()
    }

    fn patched(spec: &str, deployment: &str) -> String {
        let mut value = value(deployment);
        let steps = plan_of(spec, deployment).unwrap().steps;
        let patch: Vec<_> = steps.into_iter().map(|step| step.splice.operation).collect();
        json_patch::patch(&mut value, &patch).unwrap();
        value.to_string()
    }

    fn record(deployment: &str) -> Record {
        Record::read(&value(deployment)).unwrap().unwrap()
    }

    #[test]
    fn adds_at_the_end_of_lists_that_are_there_or_not() {
        insta::assert_snapshot!(planned("", CONTROLLER), @r#"
        add spec.template.spec.initContainers: added init container "plugin-installer"
        add spec.template.spec.volumes: added volume "plugins"
        add spec.template.spec.containers[0].env: added environment variable "EPHEMERAL_PLUGIN_PATH" (container "controller")
        replace spec.template.spec.containers[0].volumeMounts: added volume mount "/tmp/plugin" (container "controller")
        add metadata.annotations: recorded what was injected in the annotation "fn.ephemeral-access.dev/injected"
        "#);
    }

    #[test]
    fn leaves_its_own_work_as_it_is_and_takes_it_away_again() {
        for spec in [
            "",
            "delivery: imageVolume",
            "imagePullSecrets: [{name: s}], controller: {socketDir: /s, envFrom: [{prefix: P_}]}",
        ] {
            let installed = patched(spec, CONTROLLER);
            assert_eq!(planned(spec, &installed), "", "{spec}");
            let removed = patched(&format!("state: absent, {spec}"), &installed);
            assert_eq!(value(&removed), value(CONTROLLER), "{spec}");
        }
    }

    #[test]
    fn records_what_it_adds_and_what_stood_in_the_place_of_lists() {
        let record = record(&patched("", CONTROLLER));
        assert_eq!(
            (record.plugin.as_str(), record.version.as_str()),
            ("p", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(
            record.added,
            [
                "initContainers[plugin-installer]",
                "volumes[plugins]",
                "containers[controller].env[EPHEMERAL_PLUGIN_PATH]",
                "containers[controller].volumeMounts[/tmp/plugin]",
            ]
        );
        assert!(record.adopted.is_empty());
        assert!(record.created.iter().eq(["annotations", "initContainers", "volumes"]));
        let emptied: Vec<_> = record.emptied.iter().collect();
        assert_eq!(
            emptied,
            [(&"containers[controller].volumeMounts".to_owned(), &" []".to_owned())]
        );
    }

    #[test]
    fn an_upgrade_from_any_config_to_any_other_can_be_taken_away() {
        let specs = [
            "",
            "delivery: imageVolume, install: {pluginPath: /q}",
            "volume: {name: v, mountPath: /p}, initContainer: {name: i}",
            "controller: {env: [{name: B}, {name: C}], volumes: [{name: w, emptyDir: {}}]}",
        ];
        for from in specs {
            for to in specs {
                let upgraded = patched(to, &patched(from, CONTROLLER));
                assert_eq!(planned(to, &upgraded), "", "{from} -> {to}");
                let removed = patched("state: absent", &upgraded);
                assert_eq!(value(&removed), value(CONTROLLER), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn tells_every_conflict_with_its_field() {
        let taken = "metadata: {name: c}\nspec: {template: {spec: {volumes: [{name: plugins, hostPath: {path: /}}], \
            containers: [{name: controller, env: [{name: EPHEMERAL_PLUGIN_PATH, value: /x}], \
            volumeMounts: [{name: o, mountPath: /tmp/plugin}]}, {name: plugin-installer}]}}}";
        let spec = "controller: {volumeMounts: [{name: nowhere, mountPath: /n}]}";
        insta::assert_snapshot!(planned(spec, taken), @r#"
        spec.template.spec.containers: a container of the pod has the name "plugin-installer" already
        spec.template.spec.volumes[0]: volume "plugins" is there already and is not this plugin's: it is {"hostPath":{"path":"/"},"name":"plugins"}, it would be {"emptyDir":{},"name":"plugins"}
        spec.template.spec.containers[0].env[0]: environment variable "EPHEMERAL_PLUGIN_PATH" is there already and is not this plugin's: it is {"name":"EPHEMERAL_PLUGIN_PATH","value":"/x"}, it would be {"name":"EPHEMERAL_PLUGIN_PATH","value":"/tmp/plugin/plugin"}
        spec.template.spec.containers[0].volumeMounts[0]: volume mount "/tmp/plugin" is there already and is not this plugin's: it is {"mountPath":"/tmp/plugin","name":"o"}, it would be {"mountPath":"/tmp/plugin/","name":"plugins","readOnly":true}
        spec.controller.volumeMounts[0].name: there is no volume "nowhere" to mount
        "#);
    }

    #[test]
    fn adopts_what_was_made_by_hand() {
        let by_hand = "metadata: {name: c}\nspec: {template: {spec: {volumes: [{name: plugins, emptyDir: {sizeLimit: 1Gi}}], \
            initContainers: [{name: plugin-installer, image: old, tty: true, \
            volumeMounts: [{name: plugins, mountPath: /tmp/plugin/}]}], \
            containers: [{name: controller, env: [{name: EPHEMERAL_PLUGIN_PATH, value: /tmp/plugin/x}], \
            volumeMounts: [{name: plugins, mountPath: /tmp/plugin}]}]}}}";
        let adopted = patched("", by_hand);
        assert_eq!(planned("", &adopted), "");
        let pod = value(&adopted)["spec"]["template"]["spec"].clone();
        assert_eq!(pod["initContainers"][0]["tty"], true);
        assert_eq!(pod["initContainers"][0]["image"], "a/b:1");
        assert_eq!(pod["volumes"][0]["emptyDir"]["sizeLimit"], "1Gi");
        let record = record(&adopted);
        assert_eq!(record.added, Vec::<String>::new());
        assert_eq!(
            record.adopted,
            [
                "initContainers[plugin-installer]",
                "volumes[plugins]",
                "containers[controller].env[EPHEMERAL_PLUGIN_PATH]",
                "containers[controller].volumeMounts[/tmp/plugin]",
            ]
        );
    }

    #[test]
    fn leaves_a_plugin_of_another_name_to_its_own_config() {
        let installed =
            patched("", CONTROLLER).replace("\\\"plugin\\\":\\\"p\\\"", "\\\"plugin\\\":\\\"q\\\"");
        assert_eq!(planned("state: absent", &installed), "");
        insta::assert_snapshot!(planned("", &installed), @r#"metadata.annotations["fn.ephemeral-access.dev/injected"]: the plugin "q" is installed, and the controller loads only one: "p" would take its place"#);
        let replaced = patched("onConflict: replace", &installed);
        assert_eq!(record(&replaced).plugin, "p");
    }

    #[test]
    fn refuses_a_record_that_it_cannot_read() {
        let broken = CONTROLLER
            .replace("name: c}", &format!("name: c, annotations: {{{ANNOTATION}: '{{'}}}}"));
        insta::assert_snapshot!(planned("", &broken), @r#"metadata.annotations["fn.ephemeral-access.dev/injected"]: the record of what was injected cannot be read: EOF while parsing an object at line 1 column 1"#);
        assert_eq!(record(&patched("onConflict: replace", &broken)).plugin, "p");
    }
}
