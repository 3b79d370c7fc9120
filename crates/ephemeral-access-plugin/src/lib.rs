//! Write plugins for the Argo CD EphemeralAccess controller.

#[cfg(feature = "tokio")]
mod asynchronous;
pub mod host;
mod install;
mod logger;
mod requester;
mod serve;
#[cfg(feature = "testing")]
pub mod testing;
mod types;
mod wire;

pub use k8s_openapi;
pub use tracing;

#[cfg(feature = "tokio")]
pub use self::asynchronous::AsyncAccessRequester;
pub use self::logger::HclogLayer;
pub use self::requester::{
    AccessRequester, GrantResponse, GrantStatus, PluginError, RevokeResponse, RevokeStatus,
};
#[cfg(feature = "tokio")]
pub use self::serve::serve_async;
pub use self::serve::{Server, serve};
pub use self::types::{
    AccessRequest, AccessRequestHistory, AccessRequestSpec, AccessRequestStatus, Application,
    ApplicationSpec, DurationError, GoDuration, RequestState, Subject, TargetApplication,
    TargetRole, TargetRoleTemplate,
};
pub use go_plugin_netrpc::Limits;
