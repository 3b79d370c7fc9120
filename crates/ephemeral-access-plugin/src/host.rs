//! The controller's side, for tests and tools: calls plugins as the controller does.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use go_plugin_netrpc::hclog::LogLine;
use go_plugin_netrpc::{
    CallError, Connection, ConnectionError, HostError as ProcessError, Limits, PluginProcess,
    Reattach, RpcClient,
};
use gobwire::{Decode, Encode, Interface};
use thiserror::Error;

pub use crate::server::handshake;

use crate::requester::{AccessRequester, GrantResponse, PluginError, RevokeResponse};
use crate::server::{KEY, Server};
use crate::types::{AccessRequest, Application};
use crate::wire::{Arguments, GrantReply, InitReply, RevokeReply};

/// How long a plugin may take over an answer, by default: more than its own deadline.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// A plugin, seen from the controller.
///
/// Dropping it ends the plugin.
#[derive(Debug)]
pub struct Host {
    plugin: Plugin,
    client: RpcClient,
    call_limit: Duration,
}

/// Why a plugin gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The plugin answered with an error.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The plugin cannot be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// The plugin cannot be reached.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A call failed on its way.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// An answer as it is on the wire, for tools that judge plugins: any status, or none at all.
///
/// With an error the controller does not look at the response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawAnswer {
    /// The response; the controller accepts that there is none only from `RevokeAccess`.
    pub response: Option<RawResponse>,
    /// The error.
    pub error: Option<String>,
}

/// A response as it is on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawResponse {
    /// The status, known or not.
    pub status: String,
    /// The message.
    pub message: String,
}

#[derive(Debug)]
enum Plugin {
    Process(PluginProcess),
    Here(Connection),
}

impl Host {
    /// Starts the program at `path` and connects to it; its log goes to `on_log`.
    ///
    /// # Errors
    ///
    /// [`HostError`] when it is no plugin of ours, or fails to start.
    pub fn start(
        path: &Path,
        on_log: impl Fn(LogLine) + Send + Sync + 'static,
    ) -> Result<Self, HostError> {
        Self::start_command(Command::new(path), on_log)
    }

    /// As [`Host::start`], with arguments and environment of the caller's choice.
    ///
    /// # Errors
    ///
    /// [`HostError`] when it is no plugin of ours, or fails to start.
    pub fn start_command(
        command: Command,
        on_log: impl Fn(LogLine) + Send + Sync + 'static,
    ) -> Result<Self, HostError> {
        let host = go_plugin_netrpc::Host::new(handshake()).on_log(on_log);
        Self::process(host.start(command)?)
    }

    /// Connects to a plugin that runs already.
    ///
    /// # Errors
    ///
    /// [`HostError`] when there is none.
    pub fn reattach(reattach: &Reattach) -> Result<Self, HostError> {
        Self::process(go_plugin_netrpc::Host::new(handshake()).reattach(reattach)?)
    }

    /// Serves `requester` in this process and connects to it: the same code as with a process,
    /// over a pair of sockets.
    ///
    /// # Errors
    ///
    /// [`HostError`] when sockets or threads cannot be had.
    pub fn in_process(requester: impl AccessRequester) -> Result<Self, HostError> {
        Self::in_process_server(Server::new(requester))
    }

    /// As [`Host::in_process`], with a server that has its own limits.
    ///
    /// # Errors
    ///
    /// [`HostError`] when sockets or threads cannot be had.
    pub fn in_process_server(server: Server) -> Result<Self, HostError> {
        let (here, there) = UnixStream::pair().map_err(ConnectionError::from)?;
        let serving = thread::Builder::new().name("plugin".to_owned());
        serving.spawn(move || server.serve_connection(there)).map_err(ConnectionError::from)?;
        let connection = Connection::new(here, Limits::default())?;
        let client = connection.dispense(KEY)?;
        Ok(Self { plugin: Plugin::Here(connection), client, call_limit: CALL_LIMIT })
    }

    /// How long the plugin may take over an answer; default 60 s.
    #[must_use]
    pub fn call_limit(mut self, limit: Duration) -> Self {
        self.call_limit = limit;
        self
    }

    /// Calls [`AccessRequester::init`]. The controller does it once, at its start.
    ///
    /// # Errors
    ///
    /// [`HostError`]; the controller would end.
    pub fn init(&self) -> Result<(), HostError> {
        let argument: Option<Interface> = None;
        Ok(self.call::<_, InitReply>("Plugin.Init", &argument)?.into_result()?)
    }

    /// Calls [`AccessRequester::grant_access`].
    ///
    /// # Errors
    ///
    /// [`HostError`]; the controller would try again later.
    pub fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<GrantResponse, HostError> {
        let arguments = Arguments::new(request, application);
        Ok(self.call::<_, GrantReply>("Plugin.GrantAccess", &arguments)?.into_result()?)
    }

    /// Calls [`AccessRequester::revoke_access`].
    ///
    /// # Errors
    ///
    /// [`HostError`]; the controller would leave the access and try again later.
    pub fn revoke_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<RevokeResponse, HostError> {
        let arguments = Arguments::new(request, application);
        Ok(self.call::<_, RevokeReply>("Plugin.RevokeAccess", &arguments)?.into_result()?)
    }

    /// As [`Host::grant_access`], without a judgement of the answer, and also with nil objects,
    /// which the controller never sends.
    ///
    /// # Errors
    ///
    /// [`HostError`] when there is no answer.
    pub fn grant_access_raw(
        &self,
        request: Option<&AccessRequest>,
        application: Option<&Application>,
    ) -> Result<RawAnswer, HostError> {
        let arguments = Arguments::from_options(request, application);
        Ok(self.call::<_, GrantReply>("Plugin.GrantAccess", &arguments)?.into_raw())
    }

    /// As [`Host::revoke_access`], without a judgement of the answer, and also with nil objects,
    /// which the controller never sends.
    ///
    /// # Errors
    ///
    /// [`HostError`] when there is no answer.
    pub fn revoke_access_raw(
        &self,
        request: Option<&AccessRequest>,
        application: Option<&Application>,
    ) -> Result<RawAnswer, HostError> {
        let arguments = Arguments::from_options(request, application);
        Ok(self.call::<_, RevokeReply>("Plugin.RevokeAccess", &arguments)?.into_raw())
    }

    /// Asks whether the plugin is there.
    ///
    /// # Errors
    ///
    /// [`HostError`] when it is not.
    pub fn ping(&self) -> Result<(), HostError> {
        Ok(self.connection().ping()?)
    }

    /// The process, if the plugin has one of its own.
    #[must_use]
    pub fn plugin_process(&self) -> Option<&PluginProcess> {
        match &self.plugin {
            Plugin::Process(process) => Some(process),
            Plugin::Here(_) => None,
        }
    }

    /// Tells the plugin to quit, and kills its process if it has not ended 2 s later. Returns
    /// whether it ended by itself.
    #[must_use]
    pub fn quit(self) -> bool {
        match self.plugin {
            Plugin::Process(process) => process.quit(),
            Plugin::Here(connection) => connection.quit().is_ok(),
        }
    }

    fn process(process: PluginProcess) -> Result<Self, HostError> {
        let client = process.connection().dispense(KEY)?;
        Ok(Self { plugin: Plugin::Process(process), client, call_limit: CALL_LIMIT })
    }

    fn connection(&self) -> &Connection {
        match &self.plugin {
            Plugin::Process(process) => process.connection(),
            Plugin::Here(connection) => connection,
        }
    }

    fn call<A, R>(&self, method: &str, argument: &A) -> Result<R, HostError>
    where
        A: Encode,
        R: Decode + Default + Send + 'static,
    {
        Ok(self.client.call(method, argument, self.call_limit)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requester::{GrantResponse, RevokeResponse};

    struct Denies;

    impl AccessRequester for Denies {
        fn grant_access(
            &self,
            _: &AccessRequest,
            _: &Application,
        ) -> Result<GrantResponse, PluginError> {
            Ok(GrantResponse::denied("no"))
        }

        fn revoke_access(
            &self,
            _: &AccessRequest,
            _: &Application,
        ) -> Result<RevokeResponse, PluginError> {
            Err(PluginError::new("never"))
        }
    }

    #[test]
    fn raw_answers_are_what_the_plugin_says() {
        let host = Host::in_process(Denies).unwrap();
        let (request, application) = (AccessRequest::default(), Application::default());
        let granted = host.grant_access_raw(Some(&request), Some(&application)).unwrap();
        let response = RawResponse { status: "denied".to_owned(), message: "no".to_owned() };
        assert_eq!(granted, RawAnswer { response: Some(response), error: None });
        let revoked = host.revoke_access_raw(Some(&request), Some(&application)).unwrap();
        assert_eq!(revoked, RawAnswer { response: None, error: Some("never".to_owned()) });
        let nothing = host.grant_access_raw(None, None).unwrap();
        assert_eq!(nothing.response, None);
        assert!(nothing.error.is_some());
    }
}
