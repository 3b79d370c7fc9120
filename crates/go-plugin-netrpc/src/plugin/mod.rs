//! The plugin side: listens, serves connections, ends when it should.

mod broker;
mod connection;
mod listener;
mod serve;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

pub use self::serve::{Ended, ServeError};

use self::connection::Connections;
use crate::handshake::Handshake;
use crate::limits::Limits;
use crate::rpc::Service;
use crate::yamux::SessionError;

/// A plugin process: what it serves, and how.
#[derive(Debug)]
pub struct Plugin {
    handshake: Handshake,
    services: BTreeMap<String, Arc<Service>>,
    limits: Limits,
}

impl Plugin {
    /// A plugin that serves nothing yet, with the default limits.
    #[must_use]
    pub fn new(handshake: Handshake) -> Self {
        Self { handshake, services: BTreeMap::new(), limits: Limits::default() }
    }

    /// Serves `service` to hosts that dispense `name`. Its methods are called `Plugin.…` on the
    /// wire, whatever the name is (`rpc_server.go`, `dispenseServer`).
    #[must_use]
    pub fn service(mut self, name: &str, service: Service) -> Self {
        self.services.insert(name.to_owned(), Arc::new(service));
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Serves the host that started this process, until it says to quit, is gone, or SIGTERM
    /// comes. SIGINT is ignored, as every go-plugin plugin does.
    ///
    /// Standard output carries the handshake line; from then on it leads to standard error. What
    /// is printed to it before spoils the handshake.
    ///
    /// # Errors
    ///
    /// [`ServeError`] before the handshake line, or when the operating system fails us. Each but
    /// [`ServeError::NoHost`] has been logged, and before the handshake line told to the host in
    /// its place.
    pub fn serve(self) -> Result<Ended, ServeError> {
        serve::serve(&self.handshake, Connections::new(self.services, self.limits))
    }

    /// Serves one connection without a process around it, for tests: no handshake, no signals.
    ///
    /// Returns when the host quits or the connection ends, and no handler runs in this thread any
    /// more.
    ///
    /// # Errors
    ///
    /// When the session ends otherwise.
    pub fn serve_connection(self, socket: UnixStream) -> Result<(), SessionError> {
        let connections = Connections::new(self.services, self.limits)?;
        connections.serve_one(socket)
    }
}

impl From<io::Error> for ServeError {
    fn from(source: io::Error) -> Self {
        Self::Wake { source }
    }
}
