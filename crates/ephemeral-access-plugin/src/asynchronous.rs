//! Plugins whose methods are futures.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::requester::{AccessRequester, GrantResponse, PluginError, RevokeResponse};
use crate::types::{AccessRequest, Application};

/// [`AccessRequester`] for plugins that wait for other services.
///
/// The methods mean the same, and so do their answers. They run on a Tokio runtime that this crate
/// starts; a method that is over the deadline of its call is dropped at its next `await`.
///
/// Write the methods as `async fn`.
pub trait AsyncAccessRequester: Send + Sync + 'static {
    /// As [`AccessRequester::init`].
    fn init(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// As [`AccessRequester::grant_access`].
    fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> impl Future<Output = Result<GrantResponse, PluginError>> + Send;

    /// As [`AccessRequester::revoke_access`]: **an error keeps the user's access**.
    fn revoke_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> impl Future<Output = Result<RevokeResponse, PluginError>> + Send;
}

/// The deadline of calls in milliseconds, which the server may change until it serves.
pub(crate) type Deadline = Arc<AtomicU64>;

/// An async plugin with the runtime that it runs on.
pub(crate) struct Blocking<R> {
    requester: R,
    runtime: Option<Runtime>,
    deadline: Deadline,
}

impl<R: AsyncAccessRequester> Blocking<R> {
    pub(crate) fn new(requester: R, deadline: Deadline) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("plugin-tokio")
            .enable_all()
            .build()?;
        Ok(Self { requester, runtime: Some(runtime), deadline })
    }

    fn run<T>(
        &self,
        method: &str,
        call: impl Future<Output = Result<T, PluginError>>,
    ) -> Result<T, PluginError> {
        let limit = Duration::from_millis(self.deadline.load(Ordering::Relaxed));
        let late = || PluginError::new(format!("plugin did not answer {method} within {limit:?}"));
        let runtime = self.runtime.as_ref().ok_or("the plugin has ended")?;
        let call = async { tokio::time::timeout(limit, call).await };
        runtime.block_on(call).map_err(|_| late())?
    }
}

impl<R: AsyncAccessRequester> AccessRequester for Blocking<R> {
    fn init(&self) -> Result<(), PluginError> {
        self.run("Plugin.Init", self.requester.init())
    }

    fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<GrantResponse, PluginError> {
        self.run("Plugin.GrantAccess", self.requester.grant_access(request, application))
    }

    fn revoke_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<RevokeResponse, PluginError> {
        self.run("Plugin.RevokeAccess", self.requester.revoke_access(request, application))
    }
}

impl<R> Drop for Blocking<R> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Tasks that the plugin has left behind must not hold up the end.
            runtime.shutdown_background();
        }
    }
}
