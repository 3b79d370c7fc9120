//! `AccessRequest` and `Application` in gob.

use gobwire::{GoTime, Gob};

use super::meta::{ObjectMeta, TypeMeta, some_text, text};
use super::values::{List, Text, from_go_time, to_go_time};
use crate::types;
use crate::types::RequestState;

#[derive(Debug, Clone, Default, Gob)]
pub(super) struct AccessRequest {
    #[gob(name = "TypeMeta")]
    type_meta: TypeMeta,
    #[gob(name = "ObjectMeta")]
    object_meta: ObjectMeta,
    #[gob(name = "Spec")]
    spec: AccessRequestSpec,
    #[gob(name = "Status")]
    status: AccessRequestStatus,
}

#[derive(Debug, Clone, Default, Gob)]
struct AccessRequestSpec {
    #[gob(name = "Duration")]
    duration: Duration,
    #[gob(name = "Role")]
    role: TargetRole,
    #[gob(name = "Application")]
    application: TargetApplication,
    #[gob(name = "Subject")]
    subject: Subject,
}

/// `metav1.Duration`: a struct around `time.Duration`, which is an integer.
#[derive(Debug, Clone, Default, Gob)]
struct Duration {
    #[gob(name = "Duration")]
    duration: i64,
}

#[derive(Debug, Clone, Default, Gob)]
struct TargetApplication {
    #[gob(name = "Name")]
    name: Text,
    #[gob(name = "Namespace")]
    namespace: Text,
}

#[derive(Debug, Clone, Default, Gob)]
struct TargetRole {
    #[gob(name = "TemplateRef")]
    template_ref: TargetRoleTemplate,
    #[gob(name = "Ordinal")]
    ordinal: i64,
    #[gob(name = "FriendlyName")]
    friendly_name: Text,
}

#[derive(Debug, Clone, Default, Gob)]
struct TargetRoleTemplate {
    #[gob(name = "Name")]
    name: Text,
    #[gob(name = "Namespace")]
    namespace: Text,
}

#[derive(Debug, Clone, Default, Gob)]
struct Subject {
    #[gob(name = "Username")]
    username: Text,
    #[gob(name = "UserId")]
    user_id: Text,
}

#[derive(Debug, Clone, Default, Gob)]
struct AccessRequestStatus {
    #[gob(name = "RequestState")]
    request_state: Text,
    #[gob(name = "TargetProject")]
    target_project: Text,
    #[gob(name = "ExpiresAt")]
    expires_at: GoTime,
    #[gob(name = "RoleTemplateHash")]
    role_template_hash: Text,
    #[gob(name = "RoleName")]
    role_name: Text,
    #[gob(name = "History")]
    history: List<AccessRequestHistory>,
}

#[derive(Debug, Clone, Default, Gob)]
struct AccessRequestHistory {
    #[gob(name = "TransitionTime")]
    transition_time: GoTime,
    #[gob(name = "RequestState")]
    request_state: Text,
    #[gob(name = "Details")]
    details: Text,
}

#[derive(Debug, Clone, Default, Gob)]
pub(super) struct Application {
    #[gob(name = "TypeMeta")]
    type_meta: TypeMeta,
    #[gob(name = "ObjectMeta")]
    object_meta: ObjectMeta,
    #[gob(name = "Spec")]
    spec: ApplicationSpec,
}

#[derive(Debug, Clone, Default, Gob)]
struct ApplicationSpec {
    #[gob(name = "Project")]
    project: Text,
}

impl From<AccessRequest> for types::AccessRequest {
    fn from(request: AccessRequest) -> Self {
        Self {
            api_version: request.type_meta.api_version.0,
            kind: request.type_meta.kind.0,
            metadata: request.object_meta.into(),
            spec: request.spec.into(),
            status: request.status.into(),
        }
    }
}

impl From<&types::AccessRequest> for AccessRequest {
    fn from(request: &types::AccessRequest) -> Self {
        Self {
            type_meta: type_meta(&request.kind, &request.api_version),
            object_meta: (&request.metadata).into(),
            spec: (&request.spec).into(),
            status: (&request.status).into(),
        }
    }
}

impl From<AccessRequestSpec> for types::AccessRequestSpec {
    fn from(spec: AccessRequestSpec) -> Self {
        let template = spec.role.template_ref;
        Self {
            duration: types::GoDuration::from_nanos(spec.duration.duration),
            role: types::TargetRole {
                template_ref: types::TargetRoleTemplate {
                    name: template.name.0,
                    namespace: template.namespace.0,
                },
                ordinal: spec.role.ordinal,
                friendly_name: some_text(spec.role.friendly_name),
            },
            application: types::TargetApplication {
                name: spec.application.name.0,
                namespace: spec.application.namespace.0,
            },
            subject: types::Subject {
                username: spec.subject.username.0,
                user_id: some_text(spec.subject.user_id),
            },
        }
    }
}

impl From<&types::AccessRequestSpec> for AccessRequestSpec {
    fn from(spec: &types::AccessRequestSpec) -> Self {
        let template = &spec.role.template_ref;
        Self {
            duration: Duration { duration: spec.duration.as_nanos() },
            role: TargetRole {
                template_ref: TargetRoleTemplate {
                    name: (&template.name).into(),
                    namespace: (&template.namespace).into(),
                },
                ordinal: spec.role.ordinal,
                friendly_name: text(spec.role.friendly_name.as_deref()),
            },
            application: TargetApplication {
                name: (&spec.application.name).into(),
                namespace: (&spec.application.namespace).into(),
            },
            subject: Subject {
                username: (&spec.subject.username).into(),
                user_id: text(spec.subject.user_id.as_deref()),
            },
        }
    }
}

impl From<AccessRequestStatus> for types::AccessRequestStatus {
    fn from(status: AccessRequestStatus) -> Self {
        Self {
            request_state: RequestState::from_name(&status.request_state.0),
            target_project: status.target_project.0,
            expires_at: from_go_time(status.expires_at),
            role_template_hash: status.role_template_hash.0,
            role_name: status.role_name.0,
            history: status.history.0.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&types::AccessRequestStatus> for AccessRequestStatus {
    fn from(status: &types::AccessRequestStatus) -> Self {
        Self {
            request_state: state(status.request_state.as_ref()),
            target_project: (&status.target_project).into(),
            expires_at: to_go_time(status.expires_at.as_ref()),
            role_template_hash: (&status.role_template_hash).into(),
            role_name: (&status.role_name).into(),
            history: List(status.history.iter().map(Into::into).collect()),
        }
    }
}

impl From<AccessRequestHistory> for types::AccessRequestHistory {
    fn from(history: AccessRequestHistory) -> Self {
        Self {
            transition_time: from_go_time(history.transition_time),
            request_state: RequestState::from_name(&history.request_state.0),
            details: some_text(history.details),
        }
    }
}

impl From<&types::AccessRequestHistory> for AccessRequestHistory {
    fn from(history: &types::AccessRequestHistory) -> Self {
        Self {
            transition_time: to_go_time(history.transition_time.as_ref()),
            request_state: state(history.request_state.as_ref()),
            details: text(history.details.as_deref()),
        }
    }
}

impl From<Application> for types::Application {
    fn from(application: Application) -> Self {
        Self {
            api_version: application.type_meta.api_version.0,
            kind: application.type_meta.kind.0,
            metadata: application.object_meta.into(),
            spec: types::ApplicationSpec { project: application.spec.project.0 },
        }
    }
}

impl From<&types::Application> for Application {
    fn from(application: &types::Application) -> Self {
        Self {
            type_meta: type_meta(&application.kind, &application.api_version),
            object_meta: (&application.metadata).into(),
            spec: ApplicationSpec { project: (&application.spec.project).into() },
        }
    }
}

fn type_meta(kind: &String, api_version: &String) -> TypeMeta {
    TypeMeta { kind: kind.into(), api_version: api_version.into() }
}

fn state(state: Option<&RequestState>) -> Text {
    text(state.map(RequestState::as_str))
}
