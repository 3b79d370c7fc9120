//! Log lines on standard error, as hashicorp/go-hclog writes and go-plugin reads them.
//!
//! One JSON object a line: `@level`, `@message`, `@timestamp`, `@module`, and any other key for
//! the values that belong to the message. go-plugin's host takes the text of the first three
//! without checking (`log_entry.go`, `parseJSON`): any other kind of value there panics it. So
//! [`Entry`] has text for them and nothing else, and other keys cannot take their names.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// Longest line that [`Entry::encode`] makes, in bytes. go-plugin's host cuts lines from 64 KiB.
pub const MAX_LINE: usize = 60 * 1024;

/// Longest message or value in a line, in bytes; JSON may write six for one.
const MAX_TEXT: usize = 8 * 1024;

/// Longest module, time or key in a line, in bytes.
const MAX_NAME: usize = 256;

/// How important a message is (`go-hclog/logger.go`, `Level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// go-plugin's hosts have no use for it: upstream's controller logs it as info.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// What happens normally.
    Info,
    /// What may become a fault.
    Warn,
    /// A fault.
    Error,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// How important it is.
    pub level: Level,
    /// The message.
    pub message: String,
    /// The part of the program that it comes from.
    pub module: Option<String>,
    /// When, as RFC 3339; see [`timestamp`].
    pub timestamp: Option<String>,
    /// What belongs to it.
    pub fields: Map<String, Value>,
}

/// A line of a plugin's standard error, as a host sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum LogLine {
    /// A log message.
    Entry(Entry),
    /// Anything else; go-plugin's hosts log it at debug.
    Text(String),
}

impl Level {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// The level of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let levels = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];
        levels.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(name.trim()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Entry {
    /// The line with its line feed, at most [`MAX_LINE`] bytes: texts are cut and fields left out
    /// where it would get longer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        line.push(b'{');
        push(&mut line, "@level", &Value::from(self.level.as_str()));
        push(&mut line, "@message", &Value::from(cut(&self.message, MAX_TEXT)));
        if let Some(module) = &self.module {
            push(&mut line, "@module", &Value::from(cut(module, MAX_NAME)));
        }
        if let Some(timestamp) = &self.timestamp {
            push(&mut line, "@timestamp", &Value::from(cut(timestamp, MAX_NAME)));
        }
        let mut left_out = 0_u64;
        for (key, value) in &self.fields {
            let kept = line.len();
            push(&mut line, &field_key(key), &bounded(value));
            if line.len() > MAX_LINE - 64 {
                line.truncate(kept);
                left_out += 1;
            }
        }
        if left_out > 0 {
            push(&mut line, "fields_left_out", &Value::from(left_out));
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

impl LogLine {
    /// Reads a line as a host does, except that nothing in it can hurt.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        entry(line).map_or_else(|| Self::Text(line.to_owned()), Self::Entry)
    }
}

/// A time as go-hclog writes it: RFC 3339 in UTC with microseconds. Times before 1970 count as
/// 1970.
#[must_use]
pub fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date of a day counted from 1970-01-01, by eras of 400 years that begin on March 1st.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

fn entry(line: &str) -> Option<Entry> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let mut text = |key: &str| match fields.remove(key) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    };
    let level = Level::from_name(&text("@level")??)?;
    let message = text("@message")?.unwrap_or_default();
    let module = text("@module")?;
    let timestamp = text("@timestamp")?;
    Some(Entry { level, message, module, timestamp, fields })
}

fn push(line: &mut Vec<u8>, key: &str, value: &Value) {
    if line.len() > 1 {
        line.push(b',');
    }
    // Writing to memory does not fail, and neither does text as JSON.
    let _ = write!(line, "{}:{value}", Value::from(key));
}

/// The reserved keys are ours, and so is `timestamp`, which the host adds.
fn field_key(key: &str) -> String {
    if key.starts_with('@') || key == "timestamp" {
        format!("field.{}", cut(key.trim_start_matches('@'), MAX_NAME))
    } else {
        cut(key, MAX_NAME)
    }
}

fn bounded(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(cut(text, MAX_TEXT)),
        Value::Array(_) | Value::Object(_) => Value::from(cut(&value.to_string(), MAX_TEXT)),
        value => value.clone(),
    }
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let boundary = (0..=limit).rev().find(|index| text.is_char_boundary(*index));
    let kept = text.get(..boundary.unwrap_or(0)).unwrap_or_default();
    format!("{kept}… ({} bytes cut)", text.len() - kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &str, fields: &[(&str, Value)]) -> Entry {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Entry {
            level: Level::Warn,
            message: message.to_owned(),
            module: Some("plugin".to_owned()),
            timestamp: Some(timestamp(UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001))),
            fields,
        }
    }

    fn line(entry: &Entry) -> String {
        String::from_utf8_lossy(&entry.encode()).into_owned()
    }

    #[test]
    fn a_line_is_what_hclog_writes() {
        let line = line(&entry("hello", &[("count", Value::from(3))]));
        assert_eq!(
            line,
            "{\"@level\":\"warn\",\"@message\":\"hello\",\"@module\":\"plugin\",\
             \"@timestamp\":\"2023-11-14T22:13:20.000001Z\",\"count\":3}\n"
        );
    }

    #[test]
    fn a_line_survives_the_round_trip() {
        let entry = entry("a\nb\u{0}\u{1f600}\"", &[("key", Value::from("v\n"))]);
        assert_eq!(LogLine::parse(&line(&entry)), LogLine::Entry(entry));
    }

    #[test]
    fn fields_cannot_take_reserved_names() {
        let fields = [("@level", Value::from(1)), ("timestamp", Value::from("x"))];
        let line = line(&entry("m", &fields));
        assert!(line.contains("\"field.level\":1"), "{line}");
        assert!(line.contains("\"field.timestamp\":\"x\""), "{line}");
    }

    #[test]
    fn a_line_is_bounded() {
        let long = "\u{0}".repeat(MAX_TEXT + 1);
        let fields: Vec<(String, Value)> =
            (0..100).map(|n| (format!("field{n}"), Value::from(long.as_str()))).collect();
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let line = entry(&long, &fields).encode();
        assert!(line.len() <= MAX_LINE, "{} bytes", line.len());
        assert!(serde_json::from_slice::<Value>(&line).is_ok());
    }

    #[test]
    fn what_is_no_entry_is_text() {
        for line in
            ["", "hello", "{}", "[]", r#"{"@level":1}"#, r#"{"@level":"info","@message":1}"#]
        {
            assert_eq!(LogLine::parse(line), LogLine::Text(line.to_owned()));
        }
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        let date = |days: u64| timestamp(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert!(date(0).starts_with("1970-01-01"));
        assert!(date(11_016).starts_with("2000-02-29"));
        assert!(date(11_017).starts_with("2000-03-01"));
        assert!(date(47_540).starts_with("2100-02-28"));
        assert!(date(47_541).starts_with("2100-03-01"));
    }
}
