//! Write plugins for the Argo CD EphemeralAccess controller.

pub mod host;
mod install;
mod logger;
mod requester;
mod serve;
mod types;
mod wire;

pub use k8s_openapi;
pub use tracing;

pub use self::logger::HclogLayer;
pub use self::requester::{
    AccessRequester, GrantResponse, GrantStatus, PluginError, RevokeResponse, RevokeStatus,
};
pub use self::serve::{Server, serve};
pub use self::types::{
    AccessRequest, AccessRequestHistory, AccessRequestSpec, AccessRequestStatus, Application,
    ApplicationSpec, DurationError, GoDuration, RequestState, Subject, TargetApplication,
    TargetRole, TargetRoleTemplate,
};
pub use go_plugin_netrpc::Limits;
