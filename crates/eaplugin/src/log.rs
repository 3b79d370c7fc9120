//! A plugin's log as the controller reads it (go-plugin's `log_entry.go` and `client.go`).

use std::collections::BTreeMap;

use go_plugin_netrpc::hclog::{Entry, Level, LogLine};
use serde_json::{Map, Value};

/// Keys that go-plugin takes for text without looking.
const TEXT_KEYS: [&str; 3] = ["@message", "@level", "@timestamp"];

/// Longest line that go-plugin reads as an entry.
const MAX_LINE: usize = 64 * 1024;

/// The form of go-hclog's times: `9` stands for a digit.
const TIME: &str = "9999-99-99T99:99:99.999999";

/// How many lines are kept for messages.
const KEPT: usize = 5;

/// What the controller makes of a line of a plugin's standard error.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A message at its level.
    Entry(Entry),
    /// Text, shown at debug.
    Text(String),
    /// Meant as an entry, but the controller cannot read its time: shown at debug.
    Untimed(String),
    /// The end of the controller: the key has a value that is no text.
    Panic {
        /// The key.
        key: &'static str,
        /// The line.
        line: String,
    },
}

impl Line {
    /// Reads a line.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        if line.len() >= MAX_LINE {
            return Self::Text(line.to_owned());
        }
        let Ok(fields) = serde_json::from_str::<Map<String, Value>>(line) else {
            return Self::Text(line.to_owned());
        };
        let is_wrong = |key: &&str| fields.get(*key).is_some_and(|value| !value.is_string());
        if let Some(key) = TEXT_KEYS.into_iter().find(|key| is_wrong(key)) {
            return Self::Panic { key, line: line.to_owned() };
        }
        let time = fields.get("@timestamp").and_then(Value::as_str);
        if !time.is_none_or(is_time) {
            return Self::Untimed(line.to_owned());
        }
        match LogLine::parse(line) {
            LogLine::Entry(entry) => Self::Entry(entry),
            LogLine::Text(text) => Self::Text(text),
        }
    }
}

fn is_time(text: &str) -> bool {
    let Some((time, zone)) = text.split_at_checked(TIME.len()) else {
        return false;
    };
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
                b'9' => byte.is_ascii_digit(),
                form => byte == form,
            })
    };
    fits(time, TIME) && (zone == "Z" || fits(zone, "+99:99") || fits(zone, "-99:99"))
}

/// What a plugin has logged, counted.
#[derive(Debug, Clone, Default)]
pub struct Log {
    levels: BTreeMap<Level, u64>,
    texts: u64,
    untimed: Vec<String>,
    panics: Vec<(&'static str, String)>,
    last: Vec<String>,
}

impl Log {
    /// Counts a line.
    pub fn add(&mut self, line: &Line) {
        let shown = match line {
            Line::Entry(entry) => {
                *self.levels.entry(entry.level).or_default() += 1;
                entry.message.clone()
            }
            Line::Text(text) => {
                self.texts += 1;
                text.clone()
            }
            Line::Untimed(line) => {
                keep(&mut self.untimed, line.clone());
                line.clone()
            }
            Line::Panic { key, line } => {
                keep(&mut self.panics, (*key, line.clone()));
                line.clone()
            }
        };
        if self.last.len() == KEPT {
            self.last.remove(0);
        }
        self.last.push(shown);
    }

    /// Adds the lines of another log.
    pub fn merge(&mut self, other: &Self) {
        for (level, count) in &other.levels {
            *self.levels.entry(*level).or_default() += count;
        }
        self.texts += other.texts;
        self.untimed.extend(other.untimed.iter().cloned());
        self.panics.extend(other.panics.iter().cloned());
    }

    /// How many messages there are at each level, such as `2 info, 1 error, 3 of plain text`.
    #[must_use]
    pub fn counts(&self) -> String {
        let levels = self.levels.iter().map(|(level, count)| format!("{count} {level}"));
        let texts = (self.texts > 0).then(|| format!("{} of plain text", self.texts));
        let counts: Vec<String> = levels.chain(texts).collect();
        if counts.is_empty() { "no lines".to_owned() } else { counts.join(", ") }
    }

    /// Whether there are messages at this level.
    #[must_use]
    pub fn has(&self, level: Level) -> bool {
        self.levels.contains_key(&level)
    }

    /// The first lines that end the controller, with the key that does it.
    #[must_use]
    pub fn panics(&self) -> &[(&'static str, String)] {
        &self.panics
    }

    /// The first lines with times that the controller cannot read.
    #[must_use]
    pub fn untimed(&self) -> &[String] {
        &self.untimed
    }

    /// The last message, for the reason why a plugin ended.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.iter().rev().map(String::as_str).find(|line| !line.trim().is_empty())
    }
}

fn keep<T>(kept: &mut Vec<T>, value: T) {
    if kept.len() < KEPT {
        kept.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_text_end_the_controller() {
        for (line, key) in [
            (r#"{"@message":1}"#, "@message"),
            (r#"{"@message":"m","@level":null}"#, "@level"),
            (r#"{"@message":"m","@timestamp":12.5}"#, "@timestamp"),
        ] {
            assert_eq!(Line::parse(line), Line::Panic { key, line: line.to_owned() });
        }
    }

    #[test]
    fn times_that_go_cannot_read_are_told_apart() {
        let line = |time: &str| {
            Line::parse(&format!(r#"{{"@level":"info","@message":"m","@timestamp":"{time}"}}"#))
        };
        for time in ["2026-03-14T15:09:26.535897Z", "2026-03-14T15:09:26.535897+01:00"] {
            assert!(matches!(line(time), Line::Entry(_)), "{time}");
        }
        for time in
            ["2026-03-14T15:09:26Z", "2026-03-14T15:09:26.535Z", "", "now", "ä".repeat(26).as_str()]
        {
            assert!(matches!(line(time), Line::Untimed(_)), "{time}");
        }
    }

    #[test]
    fn what_is_no_object_is_text() {
        for line in ["", "panic: runtime error", "[1]", "null", "{\"a\":1"] {
            assert_eq!(Line::parse(line), Line::Text(line.to_owned()));
        }
        let long = format!(r#"{{"@level":"info","@message":"{}"}}"#, "x".repeat(MAX_LINE));
        assert!(matches!(Line::parse(&long), Line::Text(_)));
    }

    #[test]
    fn lines_are_counted_by_level() {
        let mut log = Log::default();
        assert_eq!(log.counts(), "no lines");
        for line in [r#"{"@level":"warn","@message":"w"}"#, r#"{"@level":"info"}"#, "text", ""] {
            log.add(&Line::parse(line));
        }
        let mut both = log.clone();
        both.merge(&log);
        assert_eq!(both.counts(), "2 info, 2 warn, 4 of plain text");
        assert_eq!(log.last(), Some("text"));
    }
}
