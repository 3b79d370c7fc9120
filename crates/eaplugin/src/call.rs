//! `eaplugin grant` and `eaplugin revoke`: calls a plugin as the controller does.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use ephemeral_access_plugin::GoDuration;
use ephemeral_access_plugin::testing::Request;
use go_plugin_netrpc::hclog::{Entry, Level};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{Call, Next, Outcome};
use crate::emit;
use crate::error::explained;
use crate::log::Line;
use crate::session::{Session, StartError, Starter, chain};
use crate::terminal::{BAD, CAUTION, GOOD, QUIET, say};

/// What to call, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plugin.
    pub plugin: PathBuf,
    /// The method.
    pub call: Call,
    /// What it is about.
    pub request: Request,
    /// How long each step may take.
    pub timeout: Duration,
    /// Whether and how to go on.
    pub watch: Option<Watch>,
    /// The form of the answers.
    pub output: Output,
}

/// How to repeat a call as the controller does.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The time between two calls.
    pub interval: Duration,
    /// Most calls to make.
    pub times: Option<u64>,
}

/// The form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// YAML documents.
    Yaml,
    /// JSON objects.
    Json,
}

/// An answer, as it is written.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    call: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    controller: String,
}

/// Starts the plugin, calls it, and writes its answers; whether the last one was a response that
/// the controller knows.
///
/// # Errors
///
/// When the plugin does not start, or the answer cannot be written.
pub fn call(options: &Options) -> Result<bool> {
    let starter = Starter::new(&options.plugin, options.timeout);
    let starter = starter.on_line(|line| say(&shown(line)));
    let mut session =
        starter.start(&Arc::default()).map_err(|error| not_started(options, &error))?;
    let init = session.init();
    if init != Outcome::Nothing {
        return Err(explained(
            format!("`Init` must succeed, got {init}"),
            "the controller would exit; set in the environment what the plugin needs",
        ));
    }
    let answered = answers(options, &mut session);
    // What it says last is worth reading; it is killed if it does not end.
    session.quit();
    answered
}

fn not_started(options: &Options, error: &StartError) -> anyhow::Error {
    let plugin = options.plugin.display();
    explained(
        format!("\"{plugin}\" does not serve: {}", chain(error)),
        format!("`eaplugin check {plugin}` says more"),
    )
}

fn answers(options: &Options, session: &mut Session) -> Result<bool> {
    let mut request = options.request.clone();
    let mut calls = 0;
    loop {
        let (access_request, application) = (&request.access_request, &request.application);
        let outcome = session.call(options.call, Some(access_request), Some(application));
        let state = access_request.status.request_state.as_ref();
        let consequence = options.call.consequence(&outcome, state);
        let known = outcome.is_known(options.call);
        let is_read = write(options, &outcome, consequence.text)?;
        calls += 1;
        let Some(watch) = options.watch.as_ref().filter(|_| is_read) else {
            return Ok(known);
        };
        match consequence.next {
            Next::Final | Next::Broken => return Ok(known),
            Next::Again(None) => {}
            Next::Again(state) => request.access_request.status.request_state = state,
        }
        if watch.times.is_some_and(|times| calls >= times) {
            return Ok(known);
        }
        say(&format!("{QUIET}next call in {}{QUIET:#}", GoDuration::from(watch.interval)));
        thread::sleep(watch.interval);
    }
}

/// Whether somebody reads it.
fn write(options: &Options, outcome: &Outcome, controller: String) -> Result<bool> {
    let (status, message, error) = match outcome {
        Outcome::Response { status, message } => {
            (Some(status.as_str()), Some(message.as_str()), None)
        }
        Outcome::Error(error) => (None, None, Some(error.clone())),
        outcome => (None, None, Some(outcome.to_string())),
    };
    let answer = Answer { call: options.call.as_str(), status, message, error, controller };
    let text = match (options.output, options.watch.is_some()) {
        (Output::Yaml, false) => answer.yaml()?,
        (Output::Yaml, true) => format!("---\n{}", answer.yaml()?),
        (Output::Json, false) => serde_json::to_string_pretty(&answer)? + "\n",
        (Output::Json, true) => serde_json::to_string(&answer)? + "\n",
    };
    emit(&text).context("cannot write the answer")
}

impl Answer<'_> {
    /// A YAML document. A message may be "no" or "1_000", so strings are quoted as in JSON: readers
    /// of YAML 1.1 and 1.2 agree on that.
    fn yaml(&self) -> Result<String> {
        let mut text = format!("call: {}\n", self.call);
        let error = self.error.as_deref();
        let fields = [("status", self.status), ("message", self.message), ("error", error)];
        for (key, value) in fields.into_iter().chain([("controller", Some(&*self.controller))]) {
            if let Some(value) = value {
                // Writing to memory does not fail.
                let _ = writeln!(text, "{key}: {}", quoted(value)?);
            }
        }
        Ok(text)
    }
}

/// JSON leaves some characters as they are that YAML 1.1 takes for line breaks or refuses.
fn quoted(text: &str) -> Result<String> {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in serde_json::to_string(text)?.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    Ok(quoted)
}

/// A line of the plugin's log for people.
fn shown(line: &Line) -> String {
    match line {
        Line::Entry(entry) => shown_entry(entry),
        Line::Text(text) => format!("{QUIET}{}{QUIET:#}", escaped(text)),
        Line::Untimed(line) => {
            let line = escaped(line);
            format!("{CAUTION}the controller cannot read the time in{CAUTION:#} {line}")
        }
        Line::Panic { key, line } => {
            let line = escaped(line);
            format!("{BAD}the controller would panic: `{key}` is no text in{BAD:#} {line}")
        }
    }
}

fn shown_entry(entry: &Entry) -> String {
    let style = match entry.level {
        Level::Error => BAD,
        Level::Warn => CAUTION,
        Level::Info => GOOD,
        Level::Debug | Level::Trace => QUIET,
    };
    let level = entry.level.as_str().to_uppercase();
    let module = entry.module.as_ref().map(|module| format!(" {}:", escaped(module)));
    let mut text = format!(
        "{style}{level:<5}{style:#}{} {}",
        module.unwrap_or_default(),
        escaped(&entry.message)
    );
    for (key, value) in &entry.fields {
        let value = match value {
            Value::String(text) if !text.contains(' ') => escaped(text),
            value => escaped(&value.to_string()),
        };
        let _ = write!(text, " {QUIET}{}={QUIET:#}{value}", escaped(key));
    }
    text
}

/// A plugin cannot move the cursor.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &str) -> String {
        anstream::adapter::strip_str(&shown(&Line::parse(line))).to_string()
    }

    #[test]
    fn every_reader_of_yaml_gets_the_message() {
        let message = "no\n\"1_000\": \u{7f}\u{85}\u{2028}\u{feff}ä🚀";
        let answer = Answer {
            call: "GrantAccess",
            status: Some("granted"),
            message: Some(message),
            error: None,
            controller: String::new(),
        };
        let yaml = answer.yaml().unwrap();
        assert!(yaml.is_ascii() || !yaml.contains(['\u{7f}', '\u{85}', '\u{2028}', '\u{feff}']));
        let read: Value = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(read["message"], message);
        assert_eq!(read, serde_json::to_value(&answer).unwrap());
    }

    #[test]
    fn a_log_line_is_readable() {
        let line = r#"{"@level":"warn","@message":"m\u001b[2J","@module":"p","a":"b","c":"d e"}"#;
        assert_eq!(plain(line), r#"WARN  p: m\u{1b}[2J a=b c="d e""#);
        assert_eq!(plain("panic:\ttext"), r"panic:\ttext");
        assert_eq!(
            plain(r#"{"@message":1}"#),
            r#"the controller would panic: `@message` is no text in {"@message":1}"#
        );
    }
}
