//! Brings one list to what is wanted, touching only elements that are the plugin's.

use std::collections::VecDeque;

use json_patch::PatchOperation;
use json_patch::jsonptr::PointerBuf;
use serde_json::{Map, Value};

use super::list::{Kind, List};
use super::{Conflict, Step};
use crate::record::Record;
use crate::yaml::{Splice, field_path};

/// Fields of an init container that the function sets. Others are left as they are.
const INIT_CONTAINER_FIELDS: [&str; 8] = [
    "name",
    "image",
    "imagePullPolicy",
    "command",
    "env",
    "resources",
    "securityContext",
    "volumeMounts",
];

/// What happens to a list.
#[derive(Debug, Default)]
pub(super) struct Reconciled {
    /// Changes within elements that stay.
    pub(super) changes: Vec<Step>,
    /// Indices of elements that go, ascending.
    pub(super) removed: Vec<usize>,
    /// Elements that come, after all others.
    pub(super) additions: Vec<Value>,
    pub(super) conflicts: Vec<Conflict>,
    /// Elements of the list that are the function's afterwards, and those it took over.
    pub(super) added: Vec<String>,
    pub(super) adopted: Vec<String>,
}

/// Whose an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The function made it: it becomes just what is wanted.
    Added,
    /// The function took it over: what else is set in it stays.
    Adopted,
    Other,
}

/// Compares what is there with what is wanted.
pub(super) fn reconcile(
    list: &List,
    existing: &[Value],
    desired: &[Value],
    previous: &Record,
    replace: bool,
) -> Reconciled {
    let owner = |element: &Value| {
        let name = list.name(element);
        if previous.added.contains(&name) {
            Owner::Added
        } else if previous.adopted.contains(&name) {
            Owner::Adopted
        } else {
            Owner::Other
        }
    };
    let is_wanted = |element: &Value| {
        desired.iter().any(|wanted| list.kind.key(wanted) == list.kind.key(element))
    };
    let mut stale: VecDeque<usize> = (0..existing.len())
        .filter(|index| {
            let element = existing.get(*index);
            element.is_some_and(|e| owner(e) != Owner::Other && !is_wanted(e))
        })
        .collect();
    let mut reconciled = Reconciled::default();
    for wanted in desired {
        let key = list.kind.key(wanted);
        let index = existing.iter().rposition(|element| list.kind.key(element) == key);
        let (index, owner) = match index.and_then(|i| Some((i, existing.get(i)?))) {
            Some((index, element)) => (index, owner(element)),
            // A renamed element changes in its place.
            None => match stale.pop_front().and_then(|i| Some((i, existing.get(i)?))) {
                Some((index, element)) => (index, owner(element)),
                None => {
                    reconciled.added.push(list.name(wanted));
                    reconciled.additions.push(wanted.clone());
                    continue;
                }
            },
        };
        let current = existing.get(index).unwrap_or(&Value::Null);
        reconciled.keep(list, index, current, wanted, owner, replace);
    }
    reconciled.removed = stale.into();
    reconciled
}

impl Reconciled {
    /// Makes an element that stays what it should be.
    fn keep(
        &mut self,
        list: &List,
        index: usize,
        current: &Value,
        wanted: &Value,
        owner: Owner,
        replace: bool,
    ) {
        let wanted = match owner {
            Owner::Adopted => merged(list.kind, current, wanted),
            _ => exact(list.kind, current, wanted),
        };
        let equal = same(list.kind, current, &wanted);
        match owner {
            Owner::Added => self.added.push(list.name(&wanted)),
            Owner::Adopted => self.adopted.push(list.name(&wanted)),
            Owner::Other if equal => {}
            Owner::Other if replace => self.added.push(list.name(&wanted)),
            Owner::Other => {
                self.conflicts.push(conflict(list, index, current, &wanted));
                return;
            }
        }
        if !equal {
            self.changes.extend(changes(list, index, current, &wanted));
        }
    }
}

/// Equal, a final slash of a mount's path aside.
fn same(kind: Kind, current: &Value, wanted: &Value) -> bool {
    if kind != Kind::VolumeMounts {
        return current == wanted;
    }
    let mut current = current.clone();
    if kind.key(&current) == kind.key(wanted)
        && let (Some(path), Some(wanted)) = (current.get_mut("mountPath"), wanted.get("mountPath"))
    {
        *path = wanted.clone();
    }
    current == *wanted
}

/// Just what is wanted, but an init container keeps the fields that the function never sets.
fn exact(kind: Kind, current: &Value, wanted: &Value) -> Value {
    let (Kind::InitContainers, Value::Object(current), Value::Object(wanted)) =
        (kind, current, wanted)
    else {
        return wanted.clone();
    };
    let mut exact = wanted.clone();
    for (key, value) in current {
        if !INIT_CONTAINER_FIELDS.contains(&key.as_str()) {
            exact.insert(key.clone(), value.clone());
        }
    }
    Value::Object(exact)
}

/// What is wanted laid over what is there.
fn merged(kind: Kind, current: &Value, wanted: &Value) -> Value {
    match (kind, current, wanted) {
        (Kind::Volumes, Value::Object(current), Value::Object(wanted)) => {
            // A volume has one source.
            let same_source = wanted.keys().all(|key| current.contains_key(key));
            let base = if same_source { current.clone() } else { Map::new() };
            Value::Object(laid_over(base, wanted))
        }
        (Kind::Env | Kind::EnvFrom | Kind::ImagePullSecrets, ..) => wanted.clone(),
        (_, Value::Object(current), Value::Object(wanted)) => {
            Value::Object(laid_over(current.clone(), wanted))
        }
        _ => wanted.clone(),
    }
}

fn laid_over(mut base: Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    for (key, value) in over {
        let kind = match key.as_str() {
            "env" => Some(Kind::Env),
            "volumeMounts" => Some(Kind::VolumeMounts),
            _ => None,
        };
        let current = base.remove(key);
        let value = match (kind, current, value) {
            (Some(kind), Some(Value::Array(current)), Value::Array(over)) => {
                Value::Array(elements_laid_over(kind, current, over))
            }
            (None, Some(Value::Object(current)), Value::Object(over)) => {
                Value::Object(laid_over(current, over))
            }
            _ => value.clone(),
        };
        base.insert(key.clone(), value);
    }
    base
}

fn elements_laid_over(kind: Kind, mut base: Vec<Value>, over: &[Value]) -> Vec<Value> {
    for wanted in over {
        let key = kind.key(wanted);
        match base.iter_mut().find(|element| kind.key(element) == key) {
            Some(element) if same(kind, element, wanted) => {}
            Some(element) => *element = merged(kind, element, wanted),
            None => base.push(wanted.clone()),
        }
    }
    base
}

/// The smallest changes from one value to the other, each with its reason.
fn changes(list: &List, index: usize, current: &Value, wanted: &Value) -> Vec<Step> {
    let element = list.pointer.with_trailing_token(index);
    let patch = json_patch::diff(current, wanted);
    let message = list.message("changed", std::slice::from_ref(current));
    let step = |operation: PatchOperation| {
        let inner = operation.path().to_buf();
        let before = current.pointer(inner.as_str()).cloned();
        let message = format!("{message}: `{}`", field_path(&inner));
        let operation = below(&element, operation);
        Step { splice: Splice::new(operation), message, current: before }
    };
    patch.0.into_iter().map(step).collect()
}

/// The operation with its path below another.
fn below(element: &PointerBuf, mut operation: PatchOperation) -> PatchOperation {
    match &mut operation {
        PatchOperation::Add(add) => add.path = element.concat(&add.path),
        PatchOperation::Replace(replace) => replace.path = element.concat(&replace.path),
        PatchOperation::Remove(remove) => remove.path = element.concat(&remove.path),
        _ => {}
    }
    operation
}

fn conflict(list: &List, index: usize, current: &Value, wanted: &Value) -> Conflict {
    let noun = list.kind.noun();
    let key = list.kind.key(wanted);
    let message = format!(
        "{noun} \"{key}\" is there already and is not this plugin's: it is {current}, it would be {wanted}"
    );
    Conflict {
        message,
        field: field_path(&list.pointer.with_trailing_token(index)),
        current: Some(current.clone()),
        proposed: Some(wanted.clone()),
        hint: None,
    }
}
