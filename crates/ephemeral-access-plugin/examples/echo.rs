//! A plugin for tests: what it does is written into the request, in the annotation `test/do`.
//!
//! | value | what happens |
//! |---|---|
//! | absent | granted or revoked; the message is what was received, as JSON |
//! | `pending`, `denied`, `revoke-pending` | that status |
//! | `error:TEXT` | an error with that text |
//! | `panic` | a panic |
//! | `hang` | no answer, ever |
//! | `sleep:MILLISECONDS` | the answer as if absent, later |
//! | `print:BYTES` | so many bytes are printed to standard output |
//! | `log` | a message at every level, some with hostile fields |
//!
//! With `TEST_INIT_ERROR` in its environment, `init` fails with its value. `TEST_DEADLINE_MS`
//! sets the deadline of a call.

#![expect(clippy::panic, clippy::print_stdout, reason = "this plugin misbehaves on request")]

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ephemeral_access_plugin::{
    AccessRequest, AccessRequester, Application, GrantResponse, PluginError, RevokeResponse,
    Server, tracing,
};

struct Echo;

impl AccessRequester for Echo {
    fn init(&self) -> Result<(), PluginError> {
        match env::var("TEST_INIT_ERROR") {
            Ok(message) => Err(PluginError::new(message)),
            Err(_) => Ok(()),
        }
    }

    fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<GrantResponse, PluginError> {
        let asked = request.annotation("test/do").unwrap_or_default();
        match asked {
            "pending" => return Ok(GrantResponse::pending(asked)),
            "denied" => return Ok(GrantResponse::denied(asked)),
            _ => misbehave(asked)?,
        }
        Ok(GrantResponse::granted(dump(request, application)?))
    }

    fn revoke_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<RevokeResponse, PluginError> {
        let asked = request.annotation("test/do").unwrap_or_default();
        match asked {
            "revoke-pending" => return Ok(RevokeResponse::pending(asked)),
            _ => misbehave(asked)?,
        }
        Ok(RevokeResponse::revoked(dump(request, application)?))
    }
}

fn misbehave(asked: &str) -> Result<(), PluginError> {
    let (what, detail) = asked.split_once(':').unwrap_or((asked, ""));
    let number = detail.parse().unwrap_or(0);
    match what {
        "error" => return Err(PluginError::new(detail)),
        "panic" => panic!("asked to panic"),
        "hang" => loop {
            thread::park();
        },
        "sleep" => thread::sleep(Duration::from_millis(number)),
        "print" => {
            let bytes = usize::try_from(number).unwrap_or(0);
            println!("{}", "x".repeat(bytes));
        }
        "log" => log(),
        _ => {}
    }
    Ok(())
}

fn log() {
    tracing::trace!("trace");
    tracing::debug!(number = 1, "debug");
    tracing::info!(text = "line\nbreak \u{0} \"quotes\"", "info");
    tracing::warn!(infinite = f64::INFINITY, big = u64::MAX, "warn");
    tracing::error!("@level" = 1, "@timestamp" = true, timestamp = "never", "error");
    tracing::error!("{}", "long ".repeat(100_000));
}

fn dump(request: &AccessRequest, application: &Application) -> Result<String, PluginError> {
    let received = serde_json::json!({"accessRequest": request, "application": application});
    serde_json::to_string(&received).map_err(|error| PluginError::from_error(&error))
}

fn main() -> ExitCode {
    let deadline = env::var("TEST_DEADLINE_MS").ok().and_then(|text| text.parse().ok());
    let mut server = Server::new(Echo);
    if let Some(deadline) = deadline {
        server = server.call_deadline(Duration::from_millis(deadline));
    }
    server.serve()
}
