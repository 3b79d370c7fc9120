//! Comparing what orchestrators wrote.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_yaml::Value;

use crate::{Failure, Result};

/// The text of every file in a folder, by its path from there.
pub type Files = BTreeMap<String, String>;

/// The lines that `after` has and `before` has not. Fails if `after` without them is not `before`, byte by byte.
pub fn added_lines<'a>(before: &str, after: &'a str) -> Result<Vec<&'a str>> {
    let mut old = before.split_inclusive('\n').peekable();
    let mut added = Vec::new();
    for line in after.split_inclusive('\n') {
        if old.peek() == Some(&line) {
            old.next();
        } else {
            added.push(line);
        }
    }
    match old.next() {
        None => Ok(added),
        Some(line) => Err(Failure::new(format!(
            "lost or changed {line:?}\nbefore:\n{before}\nafter:\n{after}"
        ))),
    }
}

/// Fails with the first line that differs, unless `after` is `before`, byte by byte.
pub fn same_text(what: &str, before: &str, after: &str) -> Result {
    if before == after {
        return Ok(());
    }
    let mut old = before.split_inclusive('\n');
    let mut new = after.split_inclusive('\n');
    let mut number = 0;
    loop {
        number += 1;
        let (old, new) = (old.next(), new.next());
        if old != new {
            let lines = format!("before: {old:?}\nafter:  {new:?}");
            return Err(Failure::new(format!(
                "{what}: line {number} must stay as it was\n{lines}"
            )));
        }
    }
}

/// [`same_text`] for every file of two folders.
pub fn same_files(what: &str, before: &Files, after: &Files) -> Result {
    assert!(
        before.keys().eq(after.keys()),
        "{what}: {:?} became {:?}",
        before.keys(),
        after.keys()
    );
    for ((name, before), after) in before.iter().zip(after.values()) {
        same_text(&format!("{what}: {name}"), before, after)?;
    }
    Ok(())
}

/// Reads every file under `directory`.
pub fn files(directory: &Path) -> Result<Files> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(directory)?.display().to_string();
                found.insert(name, crate::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// The documents of a YAML stream.
pub fn resources(text: &str) -> Result<Vec<Value>> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Ok(Value::deserialize(document)?))
        .collect()
}

/// Orders every list of named things, since a strategic patch and the function put new ones at different ends.
pub fn in_order_of_names(value: &mut Value) {
    match value {
        Value::Sequence(list) => {
            list.iter_mut().for_each(in_order_of_names);
            if list.iter().all(|item| item.get("name").is_some()) {
                list.sort_by_key(|item| {
                    item.get("name").and_then(Value::as_str).map(str::to_owned)
                });
            }
        }
        Value::Mapping(map) => map.values_mut().for_each(in_order_of_names),
        _ => {}
    }
}
