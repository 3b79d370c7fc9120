//! YAML text: where things are, and how to change them without touching anything else.
//!
//! [`tree`] reads text into nodes that know their byte range, [`value`] gives a node its meaning,
//! [`splice`] turns one JSON Patch operation into text edits at a [`place`], [`render`] writes inserted text.
//! Nothing here knows Kubernetes, and nothing outside writes YAML.

pub(crate) mod text;

pub(crate) mod tree;

pub(crate) mod value;

pub(crate) mod render;

pub(crate) mod splice;

mod place;

mod refusal;

use json_patch::jsonptr::Pointer;

pub(crate) use refusal::Refusal;
pub(crate) use splice::{Splice, TextEdit};
pub(crate) use tree::{NodeId, SyntaxError, Tree};

/// `spec.template.spec.containers[0]`: a path as Kubernetes and the KRM functions spec write it.
pub(crate) fn field_path(pointer: &Pointer) -> String {
    let mut field = String::new();
    for token in pointer.tokens() {
        let token = token.decoded();
        if token == "-" {
            continue;
        }
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            field.push_str(&format!("[{token}]"));
        } else if token.contains(['.', '/']) {
            field.push_str(&format!("[\"{token}\"]"));
        } else {
            field.push_str(if field.is_empty() { "" } else { "." });
            field.push_str(&token);
        }
    }
    field
}
