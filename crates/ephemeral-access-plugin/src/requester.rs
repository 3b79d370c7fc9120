//! What a plugin implements, and what it answers.

use std::fmt;

use thiserror::Error;

use crate::types::{AccessRequest, Application};

/// A plugin: decides about access requests.
///
/// The controller calls one method at a time, but a method that is over its deadline keeps
/// running while the next call comes. A panic in a method, or a call over the deadline (30 s,
/// [`Server::call_deadline`](crate::Server::call_deadline)), reaches the controller as an error.
///
/// What the controller does with each answer is in its `internal/controller/service.go`.
pub trait AccessRequester: Send + Sync + 'static {
    /// Called once, before everything else.
    ///
    /// # Errors
    ///
    /// An error stops the controller: it exits, and Kubernetes starts it again. Return one for a
    /// configuration that cannot work. The default does nothing.
    fn init(&self) -> Result<(), PluginError> {
        Ok(())
    }

    /// Decides whether the user gets the role.
    ///
    /// - [`GrantResponse::granted`]: the user gets the role until the request expires.
    /// - [`GrantResponse::pending`]: the user is told to wait, and the controller asks again after
    ///   `EPHEMERAL_CONTROLLER_REQUEUE_INTERVAL` (3 minutes by default), until
    ///   `EPHEMERAL_CONTROLLER_REQUEST_TIMEOUT` (4 hours by default; from v1.1.0).
    /// - [`GrantResponse::denied`]: final; the plugin is not asked about this request again.
    ///
    /// From v1.0.0 the controller also asks about requests that are granted already, at every
    /// reconciliation: `request.status.request_state` says so. Anything but granted then means
    /// that the role is not repaired; **it does not take the access away**.
    ///
    /// # Errors
    ///
    /// The request stays as it is, and the controller tries again, later and later.
    fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<GrantResponse, PluginError>;

    /// Called when the access has expired, before the controller takes the role away.
    ///
    /// **Any response takes the access away, [`RevokeResponse::pending`] too**; the response only
    /// says what the user reads.
    ///
    /// # Errors
    ///
    /// **The user keeps the access** until a later try does not fail. Return an error only if that
    /// is what you want; else log the trouble, and return a response.
    fn revoke_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<RevokeResponse, PluginError>;
}

/// The answer to a request for access.
///
/// There is no response without a status: the controller takes any status that it does not know
/// for granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantResponse {
    /// The decision.
    pub status: GrantStatus,
    /// Why, for the user; may be Markdown.
    pub message: String,
}

/// The decision about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantStatus {
    /// The user gets the role.
    Granted,
    /// Not yet; the controller will ask again.
    Pending,
    /// No, for ever.
    Denied,
}

/// The answer to the end of an access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeResponse {
    /// What the plugin has done.
    pub status: RevokeStatus,
    /// What the user reads; may be Markdown.
    pub message: String,
}

/// What a plugin has done about the end of an access. The controller treats both alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeStatus {
    /// It is done.
    Revoked,
    /// It is under way.
    Pending,
}

/// A failure that the controller logs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct PluginError {
    message: String,
}

/// What a plugin's method returns.
pub type Result<T, E = PluginError> = std::result::Result<T, E>;

impl GrantResponse {
    /// The user gets the role.
    pub fn granted(message: impl Into<String>) -> Self {
        Self { status: GrantStatus::Granted, message: message.into() }
    }

    /// Not yet; the controller will ask again.
    pub fn pending(message: impl Into<String>) -> Self {
        Self { status: GrantStatus::Pending, message: message.into() }
    }

    /// No, for ever.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { status: GrantStatus::Denied, message: message.into() }
    }
}

impl RevokeResponse {
    /// It is done.
    pub fn revoked(message: impl Into<String>) -> Self {
        Self { status: RevokeStatus::Revoked, message: message.into() }
    }

    /// It is under way. **The controller takes the access away all the same.**
    pub fn pending(message: impl Into<String>) -> Self {
        Self { status: RevokeStatus::Pending, message: message.into() }
    }
}

impl GrantStatus {
    /// The name on the wire (`pkg/plugin/rpc.go`, `GrantStatus`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Pending => "grant-pending",
            Self::Denied => "denied",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let statuses = [Self::Granted, Self::Pending, Self::Denied];
        statuses.into_iter().find(|status| status.as_str() == name)
    }
}

impl RevokeStatus {
    /// The name on the wire (`pkg/plugin/rpc.go`, `RevokeStatus`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Pending => "revoke-pending",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Revoked, Self::Pending].into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for GrantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for RevokeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PluginError {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The failure of another error, with all that caused it.
    pub fn from_error(error: &(dyn std::error::Error + '_)) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message.push_str(": ");
            message.push_str(&error.to_string());
            source = error.source();
        }
        Self::new(message)
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<String> for PluginError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for PluginError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}
