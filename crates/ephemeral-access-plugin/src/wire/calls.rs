//! Arguments and replies of the three methods (`pkg/plugin/rpc.go`, the types ending in `RPC`).

use go_plugin_netrpc::{CallFailure, Reply};
use gobwire::Gob;

use super::request;
use super::values::{ErrorValue, Text};
use crate::host::{RawAnswer, RawResponse};
use crate::requester::{GrantResponse, GrantStatus, PluginError, RevokeResponse, RevokeStatus};
use crate::types::{AccessRequest, Application};

/// The argument of `GrantAccess` and of `RevokeAccess`.
#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "GrantAccessArgsRPC")]
pub(crate) struct Arguments {
    #[gob(name = "AccReq")]
    access_request: Option<request::AccessRequest>,
    #[gob(name = "App")]
    application: Option<request::Application>,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "InitResponseRPC")]
pub(crate) struct InitReply {
    #[gob(name = "Err")]
    err: ErrorValue,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "GrantAccessResponseRPC")]
pub(crate) struct GrantReply {
    #[gob(name = "Response")]
    response: Option<Response>,
    #[gob(name = "Err")]
    err: ErrorValue,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "RevokeAccessResponseRPC")]
pub(crate) struct RevokeReply {
    #[gob(name = "Response")]
    response: Option<Response>,
    #[gob(name = "Err")]
    err: ErrorValue,
}

/// `GrantResponse` and `RevokeResponse`, which differ in nothing but their names.
#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "GrantResponse")]
struct Response {
    #[gob(name = "Status")]
    status: Text,
    #[gob(name = "Message")]
    message: Text,
}

impl Arguments {
    pub(crate) fn new(request: &AccessRequest, application: &Application) -> Self {
        Self::from_options(Some(request), Some(application))
    }

    pub(crate) fn from_options(
        request: Option<&AccessRequest>,
        application: Option<&Application>,
    ) -> Self {
        Self { access_request: request.map(Into::into), application: application.map(Into::into) }
    }

    /// The request and its application. Upstream's controller never leaves one out, and nobody
    /// can decide about nothing.
    pub(crate) fn into_parts(self) -> Result<(AccessRequest, Application), PluginError> {
        let request = self.access_request.ok_or("the host sent no AccessRequest")?;
        let application = self.application.ok_or("the host sent no Application")?;
        Ok((request.into(), application.into()))
    }
}

impl InitReply {
    pub(crate) fn from_result(result: Result<(), PluginError>) -> Self {
        Self { err: error_value(result.err()) }
    }

    pub(crate) fn into_result(self) -> Result<(), PluginError> {
        self.err.0.map_or(Ok(()), |message| Err(PluginError::new(message)))
    }
}

impl GrantReply {
    pub(crate) fn from_result(result: Result<GrantResponse, PluginError>) -> Self {
        match result {
            Ok(response) => Self {
                response: Some(Response::new(response.status.as_str(), response.message)),
                err: ErrorValue(None),
            },
            Err(error) => Self { response: None, err: error_value(Some(error)) },
        }
    }

    pub(crate) fn into_result(self) -> Result<GrantResponse, PluginError> {
        let response = received(self.err, self.response)?;
        let status = GrantStatus::from_name(&response.status.0);
        let status = status.ok_or_else(|| unknown_status(&response.status))?;
        Ok(GrantResponse { status, message: response.message.0 })
    }
}

impl RevokeReply {
    pub(crate) fn from_result(result: Result<RevokeResponse, PluginError>) -> Self {
        match result {
            Ok(response) => Self {
                response: Some(Response::new(response.status.as_str(), response.message)),
                err: ErrorValue(None),
            },
            Err(error) => Self { response: None, err: error_value(Some(error)) },
        }
    }

    pub(crate) fn into_result(self) -> Result<RevokeResponse, PluginError> {
        let response = received(self.err, self.response)?;
        let status = RevokeStatus::from_name(&response.status.0);
        let status = status.ok_or_else(|| unknown_status(&response.status))?;
        Ok(RevokeResponse { status, message: response.message.0 })
    }
}

impl Response {
    fn new(status: &str, message: String) -> Self {
        Self { status: Text(status.to_owned()), message: Text(message) }
    }

    fn into_raw(self) -> RawResponse {
        RawResponse { status: self.status.0, message: self.message.0 }
    }
}

impl GrantReply {
    pub(crate) fn into_raw(self) -> RawAnswer {
        RawAnswer { response: self.response.map(Response::into_raw), error: self.err.0 }
    }
}

impl RevokeReply {
    pub(crate) fn into_raw(self) -> RawAnswer {
        RawAnswer { response: self.response.map(Response::into_raw), error: self.err.0 }
    }
}

impl Reply for InitReply {
    fn from_failure(failure: &CallFailure) -> Option<Self> {
        Some(Self::from_result(Err(PluginError::new(failure.to_string()))))
    }
}

impl Reply for GrantReply {
    fn from_failure(failure: &CallFailure) -> Option<Self> {
        Some(Self::from_result(Err(PluginError::new(failure.to_string()))))
    }
}

impl Reply for RevokeReply {
    fn from_failure(failure: &CallFailure) -> Option<Self> {
        Some(Self::from_result(Err(PluginError::new(failure.to_string()))))
    }
}

fn error_value(error: Option<PluginError>) -> ErrorValue {
    ErrorValue(error.map(|error| error.message().to_owned()))
}

fn received(err: ErrorValue, response: Option<Response>) -> Result<Response, PluginError> {
    if let Some(message) = err.0 {
        return Err(PluginError::new(message));
    }
    response.ok_or_else(|| PluginError::new("the plugin sent neither a response nor an error"))
}

fn unknown_status(status: &Text) -> PluginError {
    PluginError::new(format!("the plugin sent the unknown status {:?}", status.0))
}
