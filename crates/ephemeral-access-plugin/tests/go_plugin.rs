//! Our host side against a Go plugin on upstream's own API, for each upstream version.
//!
//! `e2e/go-host/run rust-host` builds the plugins and runs this with `GO_PLUGIN` set to each; the
//! plugin's contract is in `e2e/go-host/README.md`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{env, thread};

use ephemeral_access_plugin::host::{Host, HostError};
use ephemeral_access_plugin::{AccessRequest, Application, GrantStatus, PluginError, RevokeStatus};
use go_plugin_netrpc::hclog::{Level, LogLine};
use serde_json::{Map, Value};

type TestResult = Result<(), Box<dyn Error>>;

const CALLERS: usize = 16;

/// The exchanges that Go has written down, as JSON: a request with every field set is among them.
const KNOWN_ANSWERS: &str = include_str!("known-answers/v1.2.0/index.json");

#[test]
fn every_field_arrives() -> TestResult {
    let host = start()?;
    host.init()?;
    for name in ["grant-full", "grant-minimal", "grant-times"] {
        let mut sent = known_request(name)?;
        let history = sent.pointer_mut("/accessRequest/status/history");
        if let Some(history) = history.and_then(Value::as_array_mut) {
            // `k8s_openapi::jiff` has no times after 9999-12-30T22:00:00Z.
            history.retain(|entry| entry["details"] != "the last second of 9999");
        }
        let request: AccessRequest = serde_json::from_value(sent["accessRequest"].clone())?;
        let application: Application = serde_json::from_value(sent["application"].clone())?;
        let granted = host.grant_access(&request, &application)?;
        let revoked = host.revoke_access(&request, &application)?;
        assert_eq!(granted.status, GrantStatus::Granted);
        assert_eq!(revoked.status, RevokeStatus::Revoked);
        if upstream_before_1_0() {
            // These plugins know no user ids and leave out an ordinal of 0.
            drop_field(&mut sent, "userId", |_| true);
            drop_field(&mut sent, "ordinal", |ordinal| *ordinal == 0);
        }
        for message in [granted.message, revoked.message] {
            let received: Value = serde_json::from_str(&message)?;
            assert_eq!(without_nulls(received), without_nulls(sent.clone()), "{name}");
        }
    }
    Ok(())
}

#[test]
fn every_status_arrives() -> TestResult {
    let host = start()?;
    let application = Application::default();
    for (asked, status) in [("pending", GrantStatus::Pending), ("denied", GrantStatus::Denied)] {
        assert_eq!(host.grant_access(&request(asked), &application)?.status, status);
    }
    let revoked = host.revoke_access(&request("revoke-pending"), &application)?;
    assert_eq!(revoked.status, RevokeStatus::Pending);
    Ok(())
}

#[test]
fn errors_arrive_with_their_text_and_calls_go_on() -> TestResult {
    let host = start()?;
    let application = Application::default();
    for text in ["no", "größer 日本 🚀", "two\nlines", &"long ".repeat(100_000), ""] {
        let asked = request(&format!("error:{text}"));
        let granted = host.grant_access(&asked, &application);
        assert_eq!(message_of(granted.err())?, PluginError::new(text).message());
        let revoked = host.revoke_access(&asked, &application);
        assert_eq!(message_of(revoked.err())?, PluginError::new(text).message());
        host.grant_access(&request(""), &application)?;
    }
    Ok(())
}

#[test]
fn no_response_and_an_empty_one_are_errors() -> TestResult {
    let host = start()?;
    let application = Application::default();
    for asked in ["nil", "empty"] {
        message_of(host.grant_access(&request(asked), &application).err())?;
        message_of(host.revoke_access(&request(asked), &application).err())?;
    }
    host.grant_access(&request(""), &application)?;
    Ok(())
}

#[test]
fn an_error_of_init_arrives() -> TestResult {
    let mut command = Command::new(plugin()?);
    command.env("TEST_INIT_ERROR", "no credentials");
    let host = Host::start_command(command, |_| {})?;
    assert_eq!(message_of(host.init().err())?, "no credentials");
    assert_eq!(message_of(host.init().err())?, "no credentials");
    Ok(())
}

#[test]
fn callers_at_once_get_their_own_answers() -> TestResult {
    let host = start()?;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let host = &host;
                scope.spawn(move || -> Result<(), String> {
                    for call in 0..200 {
                        let text = format!("caller {caller} call {call}");
                        let asked = request(&format!("error:{text}"));
                        let answer = host.grant_access(&asked, &Application::default());
                        assert_eq!(message_of(answer.err())?, text);
                    }
                    Ok(())
                })
            })
            .collect();
        for caller in callers {
            caller.join().map_err(|_| "a caller got another's answer")??;
        }
        Ok(())
    })
}

#[test]
fn five_megabytes_go_each_way() -> TestResult {
    let host = start()?;
    let mut large = request("");
    let annotations = large.metadata.annotations.get_or_insert_default();
    annotations.insert("large".to_owned(), "x".repeat(5 << 20));
    for _ in 0..3 {
        let granted = host.grant_access(&large, &Application::default())?;
        assert!(granted.message.len() > 5 << 20);
    }
    Ok(())
}

#[test]
fn a_slow_call_times_out_and_the_next_is_answered() -> TestResult {
    let host = start()?.call_limit(Duration::from_millis(300));
    let application = Application::default();
    let slow = host.grant_access(&request("sleep:2000"), &application);
    assert!(matches!(slow, Err(HostError::Call(_))), "{slow:?}");
    host.grant_access(&request(""), &application)?;
    thread::sleep(Duration::from_millis(2500));
    // The late answer belongs to nobody.
    host.grant_access(&request(""), &application)?;
    Ok(())
}

#[test]
fn what_the_plugin_prints_holds_nothing_up() -> TestResult {
    let host = start()?.call_limit(Duration::from_secs(20));
    for _ in 0..5 {
        host.grant_access(&request("print:1048576"), &Application::default())?;
    }
    Ok(())
}

#[test]
fn log_messages_arrive_at_their_levels() -> TestResult {
    let (sender, lines) = channel();
    let host = Host::start(Path::new(&plugin()?), move |line| drop(sender.send(line)))?;
    host.grant_access(&request("log"), &Application::default())?;
    let mut expected: BTreeMap<_, _> =
        [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error]
            .map(|level| (format!("at {}", level.as_str()), level))
            .into();
    while !expected.is_empty() {
        let line = lines.recv_timeout(Duration::from_secs(5));
        let line = line.map_err(|_| format!("no log message {:?}", expected.keys()))?;
        if let LogLine::Entry(entry) = line
            && let Some(level) = expected.remove(&entry.message)
        {
            assert_eq!(entry.level, level);
        }
    }
    Ok(())
}

#[test]
fn a_panic_ends_a_go_plugin_and_the_call_with_it() -> TestResult {
    let host = start()?;
    let application = Application::default();
    let begin = Instant::now();
    for asked in ["panic", ""] {
        let answer = host.grant_access(&request(asked), &application);
        let expected = matches!(answer, Err(HostError::Call(_)));
        assert!(expected, "{asked:?}: {answer:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
    Ok(())
}

#[test]
fn a_second_host_can_reattach() -> TestResult {
    let host = start()?;
    let process = host.plugin_process().ok_or("the plugin has a process")?;
    let again = Host::reattach(&process.reattach())?;
    again.init()?;
    again.grant_access(&request(""), &Application::default())?;
    host.ping()?;
    drop(again);
    host.grant_access(&request(""), &Application::default())?;
    Ok(())
}

#[test]
fn the_plugin_ends_when_it_is_told_to() -> TestResult {
    for _ in 0..20 {
        let host = start()?;
        let process = host.plugin_process().ok_or("the plugin has a process")?;
        let socket = process.reattach().socket;
        assert!(socket.exists());
        // Whether a Go plugin answers before it ends is chance.
        let _ = host.quit();
        let deadline = Instant::now() + Duration::from_secs(3);
        while socket.exists() {
            assert!(Instant::now() < deadline, "the plugin left its socket: it was killed");
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

#[test]
fn a_program_that_is_no_plugin_is_refused() {
    for program in ["/bin/true", "/bin/false", "/nonexistent"] {
        let started = Host::start(Path::new(program), |_| {});
        assert!(matches!(started, Err(HostError::Start(_))), "{program}: {started:?}");
    }
}

fn plugin() -> Result<String, String> {
    env::var("GO_PLUGIN").map_err(|_| {
        "`GO_PLUGIN` must name the Go plugin: run e2e/go-host/run rust-host".to_owned()
    })
}

fn upstream_before_1_0() -> bool {
    env::var("GO_PLUGIN").is_ok_and(|path| path.contains("/v0."))
}

fn start() -> Result<Host, Box<dyn Error>> {
    Ok(Host::start(Path::new(&plugin()?), |_| {})?)
}

/// A request that asks the plugin to do something.
fn request(asked: &str) -> AccessRequest {
    let mut request = AccessRequest::default();
    if !asked.is_empty() {
        let annotations = request.metadata.annotations.get_or_insert_default();
        annotations.insert("test/do".to_owned(), asked.to_owned());
    }
    request
}

fn message_of(error: Option<HostError>) -> Result<String, String> {
    match error {
        Some(HostError::Plugin(error)) => Ok(error.message().to_owned()),
        other => Err(format!("must be an error of the plugin's, got {other:?}")),
    }
}

fn known_request(name: &str) -> Result<Value, Box<dyn Error>> {
    let exchanges: Vec<Value> = serde_json::from_str(KNOWN_ANSWERS)?;
    let exchange = exchanges.into_iter().find(|exchange| exchange["name"] == name);
    let exchange = exchange.ok_or_else(|| format!("there is no exchange {name:?}"))?;
    Ok(exchange.pointer("/calls/0/argument").cloned().unwrap_or_default())
}

/// A field that is null and one that is absent are the same in Kubernetes.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                kept.map(|(key, value)| (key, without_nulls(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn drop_field(value: &mut Value, name: &str, drops: fn(&Value) -> bool) {
    match value {
        Value::Object(fields) => {
            if fields.get(name).is_some_and(drops) {
                fields.remove(name);
            }
            fields.values_mut().for_each(|value| drop_field(value, name, drops));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| drop_field(item, name, drops)),
        _ => {}
    }
}
