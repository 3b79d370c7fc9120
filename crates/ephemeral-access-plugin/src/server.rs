//! The program around a plugin.

use std::env;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use go_plugin_netrpc::{Handshake, Limits, Plugin, ServeError, Service};

use crate::install;
use crate::logger;
use crate::requester::{AccessRequester, PluginError};
use crate::wire::{Arguments, GrantReply, InitReply, RevokeReply};

/// The name under which the controller dispenses the plugin (`pkg/plugin/rpc.go`, `Key`).
pub(crate) const KEY: &str = "ephemeralaccess";

/// The argument that makes the program install itself.
const INSTALL: &str = "install";

/// Runs `requester` as a plugin: the whole of `main`.
///
/// What the program does depends on how it is started:
///
/// - by the controller: it serves, until the controller says to quit or is gone;
/// - with the argument `install`: it copies itself, or the file that `PLUGIN_PATH` names, to
///   `/tmp/plugin` or the directory that `PLUGIN_DIR` names. This is the entry point of a plugin
///   image;
/// - by hand: it says what it is, and exits with status 1.
///
/// Print nothing to standard output before: the controller would take it for the handshake.
/// Afterwards what is printed goes to the controller's log, at debug.
#[must_use = "return it from main, so that the process ends with this status"]
pub fn serve(requester: impl AccessRequester) -> ExitCode {
    Server::new(requester).serve()
}

/// Runs an async plugin, as [`serve`] runs another.
#[cfg(feature = "tokio")]
#[must_use = "return it from main, so that the process ends with this status"]
pub fn serve_async(requester: impl crate::AsyncAccessRequester) -> ExitCode {
    match Server::new_async(requester) {
        Ok(server) => server.serve(),
        Err(error) => {
            say(&format!("error: cannot start the Tokio runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// [`serve`] with other limits than the default ones.
#[derive(Debug)]
pub struct Server {
    service: Service,
    limits: Limits,
    #[cfg(feature = "tokio")]
    async_deadline: Option<crate::asynchronous::Deadline>,
}

impl Server {
    /// A server for this plugin.
    #[must_use]
    pub fn new(requester: impl AccessRequester) -> Self {
        Self {
            service: service(Arc::new(requester)),
            limits: Limits::default(),
            #[cfg(feature = "tokio")]
            async_deadline: None,
        }
    }

    /// A server for this async plugin.
    ///
    /// # Errors
    ///
    /// When the Tokio runtime cannot be started.
    #[cfg(feature = "tokio")]
    pub fn new_async(requester: impl crate::AsyncAccessRequester) -> io::Result<Self> {
        let deadline = crate::asynchronous::Deadline::default();
        let requester = crate::asynchronous::Blocking::new(requester, Arc::clone(&deadline))?;
        Ok(Self { async_deadline: Some(deadline), ..Self::new(requester) })
    }

    /// How long a call may take before the controller gets an error instead of its answer; default
    /// 30 s.
    ///
    /// The controller waits for ever and asks nothing else meanwhile. The method is not stopped;
    /// what it returns afterwards is dropped.
    #[must_use]
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.limits.call_deadline = deadline;
        self
    }

    /// Replaces all limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// As the function [`serve`].
    #[must_use = "return it from main, so that the process ends with this status"]
    pub fn serve(self) -> ExitCode {
        let started_by_host = env::var_os(handshake().cookie_key).is_some();
        if !started_by_host && env::args_os().nth(1).is_some_and(|argument| argument == INSTALL) {
            return report_installation();
        }
        logger::install();
        match self.plugin().serve() {
            Ok(ended) => {
                tracing::debug!("plugin ends: {ended:?}");
                ExitCode::SUCCESS
            }
            Err(error) => report_failure(&error),
        }
    }

    /// Serves one connected socket in this thread, until the host quits or closes it: no handshake,
    /// no signals, no process. [`Host`](crate::host::Host) does so in tests.
    pub fn serve_connection(self, socket: UnixStream) {
        if let Err(error) = self.plugin().serve_connection(socket) {
            tracing::debug!("connection ended: {error}");
        }
    }

    fn plugin(self) -> Plugin {
        #[cfg(feature = "tokio")]
        if let Some(deadline) = &self.async_deadline {
            let millis = u64::try_from(self.limits.call_deadline.as_millis()).unwrap_or(u64::MAX);
            deadline.store(millis, std::sync::atomic::Ordering::Relaxed);
        }
        Plugin::new(handshake()).service(KEY, self.service).limits(self.limits)
    }
}

/// What the controller and its plugins agree on (`pkg/plugin/rpc.go`, `handshake`).
#[must_use]
pub fn handshake() -> Handshake {
    Handshake {
        cookie_key: "EPHEMERAL_ACCESS_PLUGIN".to_owned(),
        cookie_value: "ephemeralaccess".to_owned(),
        protocol_version: 1,
    }
}

/// The methods on the wire (`pkg/plugin/rpc.go`, `AccessRequesterRPCServer`).
fn service<R: AccessRequester>(requester: Arc<R>) -> Service {
    let (init, grant, revoke) = (Arc::clone(&requester), Arc::clone(&requester), requester);
    Service::new()
        .method_without_argument("Plugin.Init", move || Ok(InitReply::from_result(init.init())))
        .method("Plugin.GrantAccess", move |arguments: Arguments| {
            let response = arguments
                .into_parts()
                .and_then(|(request, application)| grant.grant_access(&request, &application));
            Ok(GrantReply::from_result(response))
        })
        .method("Plugin.RevokeAccess", move |arguments: Arguments| {
            let response = arguments
                .into_parts()
                .and_then(|(request, application)| revoke.revoke_access(&request, &application));
            Ok(RevokeReply::from_result(response))
        })
}

fn report_installation() -> ExitCode {
    match install::install() {
        Ok(path) => {
            say(&format!("plugin installed to {}", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {}", PluginError::from_error(&error)));
            ExitCode::FAILURE
        }
    }
}

/// All other failures have been logged.
fn report_failure(error: &ServeError) -> ExitCode {
    if matches!(error, ServeError::NoHost { .. }) {
        say("This program is a plugin of the Argo CD EphemeralAccess controller, which starts it \
             from the path in\nEPHEMERAL_PLUGIN_PATH. It does nothing by itself.\n\
             hint: to try it without a cluster, run `eaplugin grant ./PLUGIN --request FILE.yaml`\n\
             hint: to copy it into a volume, as the entry point of its image does, run it with the \
             argument `install`");
    }
    ExitCode::FAILURE
}

/// For people: this is before, or instead of, serving.
fn say(text: &str) {
    // There is nowhere to report a failure to.
    let _ = writeln!(io::stderr(), "{text}");
}
