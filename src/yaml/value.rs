//! What a node means: YAML scalars resolved as Kubernetes tools resolve them.
//!
//! The rules are those of go-yaml as kubectl and kustomize use it: YAML 1.2's core schema plus the
//! 1.1 forms that Kubernetes manifests still hold (`yes`, `0644`, `1_000`), aliases and merge keys
//! resolved. Values are only ever compared and checked; the text of a user is never made from them.

use serde_json::{Map, Number, Value};

use super::tree::{Kind, NodeId, Style, Tree};

/// How many values one document may come to once its aliases are resolved.
const VALUE_LIMIT: usize = 1_000_000;

/// How deep values may nest once aliases are resolved.
const DEPTH_LIMIT: usize = 256;

/// Why a node has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("line {line}: the alias has no anchor")]
    UnknownAlias { line: usize },
    #[error(
        "line {line}: aliases make this larger than {VALUE_LIMIT} values or deeper than {DEPTH_LIMIT} levels"
    )]
    TooLarge { line: usize },
    #[error("line {line}: a key must be a scalar")]
    ComplexKey { line: usize },
}

impl ValueError {
    /// The error in the lines of a text that `lines` more stand before.
    pub(crate) fn below(mut self, lines: usize) -> Self {
        let (Self::UnknownAlias { line } | Self::TooLarge { line } | Self::ComplexKey { line }) =
            &mut self;
        *line += lines;
        self
    }
}

impl Tree<'_> {
    /// The meaning of a node.
    pub(crate) fn value(&self, id: NodeId) -> Result<Value, ValueError> {
        Resolver { tree: self, left: VALUE_LIMIT }.value(id, 0)
    }
}

/// A plain scalar's meaning.
pub(crate) fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    // Anything else that is not a string begins like a number.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::from(text);
    }
    let digits = text.replace('_', "");
    if let Some(integer) = resolve_integer(&digits) {
        return Value::Number(integer);
    }
    resolve_float(&digits).map_or_else(|| Value::from(text), Value::Number)
}

fn resolve_integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (digits.get(2..)?, 16),
        Some("0o" | "0O") => (digits.get(2..)?, 8),
        Some("0b" | "0B") => (digits.get(2..)?, 2),
        Some(zero) if zero.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (digits.get(1..)?, 8)
        }
        _ => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Number::from);
    }
    Some(Number::from(magnitude))
}

fn resolve_float(text: &str) -> Option<Number> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if !is_number {
        return None;
    }
    let float: f64 = text.parse().ok()?;
    // JSON has no fraction to tell 1.0 from 1, and an integer field takes both.
    if float.fract() == 0.0 && float.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "integral and far below 2^63")]
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

struct Resolver<'a, 't> {
    tree: &'a Tree<'t>,
    left: usize,
}

impl Resolver<'_, '_> {
    fn value(&mut self, id: NodeId, depth: usize) -> Result<Value, ValueError> {
        let line = || self.tree.line(id);
        if self.left == 0 || depth > DEPTH_LIMIT {
            return Err(ValueError::TooLarge { line: line() });
        }
        let node = self.tree.node(id);
        match &node.kind {
            Kind::Scalar { value, style } => {
                self.left -= 1;
                Ok(resolve_scalar(value, *style, node.tag.as_deref()))
            }
            Kind::Alias { target: Some(target) } => self.value(*target, depth + 1),
            Kind::Alias { target: None } => Err(ValueError::UnknownAlias { line: line() }),
            Kind::Sequence { items, .. } => {
                self.left -= 1;
                items.iter().map(|item| self.value(*item, depth + 1)).collect()
            }
            Kind::Mapping { entries, .. } => {
                self.left -= 1;
                self.mapping(entries, depth).map(Value::Object)
            }
        }
    }

    fn mapping(
        &mut self,
        entries: &[(NodeId, NodeId)],
        depth: usize,
    ) -> Result<Map<String, Value>, ValueError> {
        let mut map = Map::new();
        let mut merged = Map::new();
        for (key, value) in entries {
            if self.tree.is_merge_key(*key) {
                match self.value(*value, depth + 1)? {
                    Value::Object(object) => merge(&mut merged, object),
                    Value::Array(objects) => {
                        for object in objects {
                            if let Value::Object(object) = object {
                                merge(&mut merged, object);
                            }
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let Some(name) = self.tree.str(*key) else {
                return Err(ValueError::ComplexKey { line: self.tree.line(*key) });
            };
            map.insert(name.to_owned(), self.value(*value, depth + 1)?);
        }
        merge(&mut map, merged);
        Ok(map)
    }
}

impl Tree<'_> {
    /// Whether a key is YAML 1.1's `<<`.
    pub(crate) fn is_merge_key(&self, key: NodeId) -> bool {
        matches!(&self.node(key).kind, Kind::Scalar { value, style: Style::Plain } if value == "<<")
    }
}

/// Adds what `map` does not have: keys that stand in a mapping win over merged ones.
fn merge(map: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        map.entry(key).or_insert(value);
    }
}

fn resolve_scalar(value: &str, style: Style, tag: Option<&str>) -> Value {
    match (style, tag) {
        (_, Some("!" | "!!str" | "!!binary")) | (Style::Quoted | Style::Block, None) => {
            Value::from(value)
        }
        (Style::Empty, _) => Value::Null,
        _ => resolve_plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let tree = Tree::parse(text).unwrap();
        tree.value(tree.root().unwrap()).map_or_else(|error| error.to_string(), |v| v.to_string())
    }

    #[test]
    fn resolves_scalars_as_kubernetes_tools_do() {
        insta::assert_snapshot!(
            json("[yes, 'yes', y, Off, ~, '', 0644, 0o644, 0x1F, 1_000, 1e3, 1.50, .5, -7, +3]"),
            @r#"[true,"yes","y",false,null,"",420,420,31,1000,1000,1.5,0.5,-7,3]"#
        );
        insta::assert_snapshot!(
            json("[2001-01-01, 1.2.3, 0.1.5, '1', !!str 5, 1:20, 08, 12e, .inf, 0x, a, 65532]"),
            @r#"["2001-01-01","1.2.3","0.1.5","1","5","1:20",8,"12e",".inf","0x","a",65532]"#
        );
    }

    #[test]
    fn resolves_aliases_and_merge_keys() {
        insta::assert_snapshot!(
            json("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\nd: {<<: [*x, {r: 4}]}\n"),
            @r#"{"a":{"p":1,"q":2},"b":{"p":1,"q":2},"c":{"p":1,"q":3},"d":{"p":1,"q":2,"r":4}}"#
        );
    }

    #[test]
    fn refuses_what_cannot_be_a_value() {
        insta::assert_snapshot!(json("a: *nowhere"), @"line 1: the alias has no anchor");
        insta::assert_snapshot!(json("? [a]\n: b"), @"line 1: a key must be a scalar");
        insta::assert_snapshot!(
            json("a: &a [*a]"),
            @"line 1: aliases make this larger than 1000000 values or deeper than 256 levels"
        );
        let laughs: String =
            ('b'..='i').fold("a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, c| {
                let before = (c as u8 - 1) as char;
                let aliases = vec![format!("*{before}"); 9].join(",");
                text + &format!("{c}: &{c} [{aliases}]\n")
            });
        assert!(json(&laughs).contains("larger than"));
    }
}
