//! `metav1.TypeMeta` and `metav1.ObjectMeta` (k8s.io/apimachinery, `pkg/apis/meta/v1/types.go`).

use std::collections::BTreeMap;

use gobwire::{GoTime, Gob};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as k8s;
use serde_json::Value;

use super::values::{List, Text, from_go_time, to_go_time};

/// Largest `fieldsV1` that is parsed. Objects in Kubernetes are at most 1.5 MiB.
const MAX_FIELDS: usize = 4 << 20;

#[derive(Debug, Clone, Default, Gob)]
pub(super) struct TypeMeta {
    #[gob(name = "Kind")]
    pub(super) kind: Text,
    #[gob(name = "APIVersion")]
    pub(super) api_version: Text,
}

#[derive(Debug, Clone, Default, Gob)]
pub(super) struct ObjectMeta {
    #[gob(name = "Name")]
    name: Text,
    #[gob(name = "GenerateName")]
    generate_name: Text,
    #[gob(name = "Namespace")]
    namespace: Text,
    #[gob(name = "SelfLink")]
    self_link: Text,
    #[gob(name = "UID")]
    uid: Text,
    #[gob(name = "ResourceVersion")]
    resource_version: Text,
    #[gob(name = "Generation")]
    generation: i64,
    #[gob(name = "CreationTimestamp")]
    creation_timestamp: GoTime,
    #[gob(name = "DeletionTimestamp")]
    deletion_timestamp: GoTime,
    #[gob(name = "DeletionGracePeriodSeconds")]
    deletion_grace_period_seconds: i64,
    #[gob(name = "Labels")]
    labels: BTreeMap<Text, Text>,
    #[gob(name = "Annotations")]
    annotations: BTreeMap<Text, Text>,
    #[gob(name = "OwnerReferences")]
    owner_references: List<OwnerReference>,
    #[gob(name = "Finalizers")]
    finalizers: List<Text>,
    #[gob(name = "ManagedFields")]
    managed_fields: List<ManagedFieldsEntry>,
}

#[derive(Debug, Clone, Default, Gob)]
struct OwnerReference {
    #[gob(name = "APIVersion")]
    api_version: Text,
    #[gob(name = "Kind")]
    kind: Text,
    #[gob(name = "Name")]
    name: Text,
    #[gob(name = "UID")]
    uid: Text,
    #[gob(name = "Controller")]
    controller: bool,
    #[gob(name = "BlockOwnerDeletion")]
    block_owner_deletion: bool,
}

#[derive(Debug, Clone, Default, Gob)]
struct ManagedFieldsEntry {
    #[gob(name = "Manager")]
    manager: Text,
    #[gob(name = "Operation")]
    operation: Text,
    #[gob(name = "APIVersion")]
    api_version: Text,
    #[gob(name = "Time")]
    time: GoTime,
    #[gob(name = "FieldsType")]
    fields_type: Text,
    #[gob(name = "FieldsV1")]
    fields_v1: Option<FieldsV1>,
    #[gob(name = "Subresource")]
    subresource: Text,
}

#[derive(Debug, Clone, Default, Gob)]
struct FieldsV1 {
    #[gob(name = "Raw")]
    raw: Vec<u8>,
}

impl From<ObjectMeta> for k8s::ObjectMeta {
    /// gob does not send what is empty or zero, not even behind a pointer: all of that is none.
    fn from(meta: ObjectMeta) -> Self {
        Self {
            name: some_text(meta.name),
            generate_name: some_text(meta.generate_name),
            namespace: some_text(meta.namespace),
            self_link: some_text(meta.self_link),
            uid: some_text(meta.uid),
            resource_version: some_text(meta.resource_version),
            generation: (meta.generation != 0).then_some(meta.generation),
            creation_timestamp: from_go_time(meta.creation_timestamp),
            deletion_timestamp: from_go_time(meta.deletion_timestamp),
            deletion_grace_period_seconds: (meta.deletion_grace_period_seconds != 0)
                .then_some(meta.deletion_grace_period_seconds),
            labels: some_map(meta.labels),
            annotations: some_map(meta.annotations),
            owner_references: some_list(meta.owner_references),
            finalizers: some_list(meta.finalizers),
            managed_fields: some_list(meta.managed_fields),
        }
    }
}

impl From<&k8s::ObjectMeta> for ObjectMeta {
    fn from(meta: &k8s::ObjectMeta) -> Self {
        Self {
            name: text(meta.name.as_deref()),
            generate_name: text(meta.generate_name.as_deref()),
            namespace: text(meta.namespace.as_deref()),
            self_link: text(meta.self_link.as_deref()),
            uid: text(meta.uid.as_deref()),
            resource_version: text(meta.resource_version.as_deref()),
            generation: meta.generation.unwrap_or_default(),
            creation_timestamp: to_go_time(meta.creation_timestamp.as_ref()),
            deletion_timestamp: to_go_time(meta.deletion_timestamp.as_ref()),
            deletion_grace_period_seconds: meta.deletion_grace_period_seconds.unwrap_or_default(),
            labels: map(meta.labels.as_ref()),
            annotations: map(meta.annotations.as_ref()),
            owner_references: list(meta.owner_references.as_deref()),
            finalizers: list(meta.finalizers.as_deref()),
            managed_fields: list(meta.managed_fields.as_deref()),
        }
    }
}

impl From<OwnerReference> for k8s::OwnerReference {
    fn from(owner: OwnerReference) -> Self {
        Self {
            api_version: owner.api_version.0,
            kind: owner.kind.0,
            name: owner.name.0,
            uid: owner.uid.0,
            controller: owner.controller.then_some(true),
            block_owner_deletion: owner.block_owner_deletion.then_some(true),
        }
    }
}

impl From<&k8s::OwnerReference> for OwnerReference {
    fn from(owner: &k8s::OwnerReference) -> Self {
        Self {
            api_version: Text(owner.api_version.clone()),
            kind: Text(owner.kind.clone()),
            name: Text(owner.name.clone()),
            uid: Text(owner.uid.clone()),
            controller: owner.controller.unwrap_or_default(),
            block_owner_deletion: owner.block_owner_deletion.unwrap_or_default(),
        }
    }
}

impl From<ManagedFieldsEntry> for k8s::ManagedFieldsEntry {
    fn from(entry: ManagedFieldsEntry) -> Self {
        Self {
            manager: some_text(entry.manager),
            operation: some_text(entry.operation),
            api_version: some_text(entry.api_version),
            time: from_go_time(entry.time),
            fields_type: some_text(entry.fields_type),
            fields_v1: entry.fields_v1.and_then(|fields| fields_v1(&fields.raw)),
            subresource: some_text(entry.subresource),
        }
    }
}

impl From<&k8s::ManagedFieldsEntry> for ManagedFieldsEntry {
    fn from(entry: &k8s::ManagedFieldsEntry) -> Self {
        let raw = |fields: &k8s::FieldsV1| FieldsV1 { raw: fields.0.to_string().into_bytes() };
        Self {
            manager: text(entry.manager.as_deref()),
            operation: text(entry.operation.as_deref()),
            api_version: text(entry.api_version.as_deref()),
            time: to_go_time(entry.time.as_ref()),
            fields_type: text(entry.fields_type.as_deref()),
            fields_v1: entry.fields_v1.as_ref().map(raw),
            subresource: text(entry.subresource.as_deref()),
        }
    }
}

/// What a field manager owns. It plays no part in a decision, so what is not JSON is left out and
/// does not fail the call.
fn fields_v1(raw: &[u8]) -> Option<k8s::FieldsV1> {
    if raw.is_empty() {
        return Some(k8s::FieldsV1(Value::Null));
    }
    if raw.len() > MAX_FIELDS {
        return None;
    }
    serde_json::from_slice(raw).ok().map(k8s::FieldsV1)
}

pub(super) fn some_text(text: Text) -> Option<String> {
    (!text.0.is_empty()).then_some(text.0)
}

pub(super) fn text(text: Option<&str>) -> Text {
    Text(text.unwrap_or_default().to_owned())
}

fn some_map(map: BTreeMap<Text, Text>) -> Option<BTreeMap<String, String>> {
    let map: BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key.0, value.0)).collect();
    (!map.is_empty()).then_some(map)
}

fn map(map: Option<&BTreeMap<String, String>>) -> BTreeMap<Text, Text> {
    let entry = |(key, value): (&String, &String)| (Text(key.clone()), Text(value.clone()));
    map.into_iter().flatten().map(entry).collect()
}

fn some_list<T, U: From<T>>(list: List<T>) -> Option<Vec<U>> {
    (!list.0.is_empty()).then(|| list.0.into_iter().map(U::from).collect())
}

fn list<'a, T, U: From<&'a T>>(list: Option<&'a [T]>) -> List<U> {
    List(list.unwrap_or_default().iter().map(U::from).collect())
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}
