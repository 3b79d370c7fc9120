//! Text for values that are inserted.
//!
//! A string is written plain only if every YAML reader, 1.1 or 1.2, takes it for a string. All
//! others are quoted, and in flow style everything is JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The file's habits, which inserted block text follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Columns from a key to the keys below it.
    pub(crate) step: usize,
    /// Columns from a key to the dashes below it: 0 in what kustomize and kpt write.
    pub(crate) dash_offset: usize,
}

impl Layout {
    /// What kustomize and kpt write.
    pub(crate) const COMPACT: Self = Self { step: 2, dash_offset: 0 };

    /// The lines of `key: value`, the key at `column`.
    pub(crate) fn entry(self, key: &str, value: &Value, column: usize) -> Vec<String> {
        let mut lines = Vec::new();
        self.push_entry(&mut lines, key, value, column);
        lines
    }

    /// The lines of a document that is a mapping.
    pub(crate) fn document(self, map: &Map<String, Value>) -> Vec<String> {
        let mut lines = Vec::new();
        self.push_entries(&mut lines, map, 0);
        lines
    }

    /// The lines of a collection's content, for a key at `column`. A scalar has none.
    pub(crate) fn children(self, value: &Value, column: usize) -> Vec<String> {
        let mut lines = Vec::new();
        self.push_children(&mut lines, value, column);
        lines
    }

    /// The lines of `- value`, the dash at `column`.
    pub(crate) fn item(self, value: &Value, column: usize) -> Vec<String> {
        let mut lines = Vec::new();
        self.push_item(&mut lines, value, column);
        lines
    }

    fn push_entry(self, lines: &mut Vec<String>, key: &str, value: &Value, column: usize) {
        let mut line = " ".repeat(column);
        line.push_str(&string(key));
        line.push(':');
        if is_inline(value) {
            line.push(' ');
            line.push_str(&scalar(value));
        }
        lines.push(line);
        self.push_children(lines, value, column);
    }

    fn push_entries(self, lines: &mut Vec<String>, map: &Map<String, Value>, column: usize) {
        for (key, value) in ordered(map) {
            self.push_entry(lines, key, value, column);
        }
    }

    fn push_children(self, lines: &mut Vec<String>, value: &Value, column: usize) {
        match value {
            Value::Object(map) => self.push_entries(lines, map, column + self.step),
            Value::Array(items) => self.push_items(lines, items, column + self.dash_offset),
            _ => {}
        }
    }

    fn push_items(self, lines: &mut Vec<String>, items: &[Value], column: usize) {
        for item in items {
            self.push_item(lines, item, column);
        }
    }

    fn push_item(self, lines: &mut Vec<String>, value: &Value, column: usize) {
        let first = lines.len();
        match value {
            Value::Object(map) if !map.is_empty() => self.push_entries(lines, map, column + 2),
            Value::Array(items) if !items.is_empty() => self.push_items(lines, items, column + 2),
            _ => lines.push(" ".repeat(column + 2) + &scalar(value)),
        }
        if let Some(first) = lines.get_mut(first) {
            first.replace_range(column..column + 1, "-");
        }
    }
}

/// A value on one line inside brackets: JSON that is YAML too.
pub(crate) fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<_> = ordered(map).map(|(key, value)| flow_entry(key, value)).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => double_quoted(text),
        other => other.to_string(),
    }
}

/// `"key": value` inside braces.
pub(crate) fn flow_entry(key: &str, value: &Value) -> String {
    format!("{}: {}", double_quoted(key), flow(value))
}

/// A value that takes no line of its own: a scalar or an empty collection.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => flow(other),
    }
}

/// Whether [`scalar`] can write the value.
pub(crate) fn is_inline(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// `name` first, as people write lists of named things; the rest in order of the alphabet.
fn ordered(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let name = map.get_key_value("name");
    name.into_iter().chain(map.iter().filter(|(key, _)| *key != "name"))
}

fn string(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    // JSON in a string is readable only without escapes.
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\'');
    if printable && text.contains(['"', '\\']) {
        return format!("'{text}'");
    }
    double_quoted(text)
}

/// Begins with a letter or a slash, holds no character with a meaning, and is no word for a
/// boolean or null in any YAML version.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 11] =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./@:".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(safe)
        && !text.ends_with(':')
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// A JSON string, with everything escaped that a YAML reader may take for a line break, drop or
/// refuse.
fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\0'..'\x20'
            | '\x7f'..'\u{a0}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _infallible = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lays_out_block_text() {
        let value = json!([{"name": "a", "env": [{"name": "X", "value": "1"}], "emptyDir": {}},
                           ["x", ["y", 2]], true, {}]);
        insta::assert_snapshot!(Layout::COMPACT.entry("volumes", &value, 2).join("\n"), @r#"
        volumes:
        - name: a
          emptyDir: {}
          env:
          - name: X
            value: "1"
        - - x
          - - "y"
            - 2
        - true
        - {}
        "#);
        let wide = Layout { step: 4, dash_offset: 2 };
        insta::assert_snapshot!(wide.entry("a", &json!({"b": {"c": ["d"]}}), 0).join("\n"), @r"
        a:
            b:
                c:
                  - d
        ");
    }

    #[test]
    fn quotes_whatever_some_reader_takes_for_something_else() {
        let texts = [
            "yes",
            "Y",
            "~",
            "",
            "null",
            "1",
            "0x1",
            "1e3",
            ".5",
            "-",
            "a: b",
            "a #b",
            "#",
            "a:",
            "2001-01-01",
            "1:20",
            "<<",
            "=",
            "!x",
            "&x",
            "*x",
            "%x",
            "@x",
            "`",
            "a,b",
            "a b",
            "{\"k\":1}",
            "it's \"x\"",
            "tab\t",
            "\u{85}\u{2028}\u{feff}\u{7f}é\u{1F600}",
            "NaN",
        ];
        let rendered = texts.map(string).join("\n");
        insta::assert_snapshot!(rendered);
    }

    #[test]
    fn leaves_ordinary_words_plain() {
        for text in [
            "plugin-installer",
            "/tmp/plugin/",
            "r.example.com/a/b:1.4.2@sha256:0a",
            "RuntimeDefault",
        ] {
            assert_eq!(string(text), text);
        }
    }
}
