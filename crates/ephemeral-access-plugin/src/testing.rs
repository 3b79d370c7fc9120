//! For tests of plugins: requests from manifests, and a host in the same process.
//!
//! A request is a file with an `AccessRequest` and the `Application` that it is for, as `kubectl
//! get -o yaml` prints them; fields that the controller does not send are ignored. The same files
//! work with `eaplugin grant --request FILE`.
//!
//! ```
//! use ephemeral_access_plugin::testing::{Host, Request};
//! # use ephemeral_access_plugin::*;
//! # struct MyPlugin;
//! # impl AccessRequester for MyPlugin {
//! #     fn grant_access(&self, _: &AccessRequest, _: &Application) -> Result<GrantResponse, PluginError> {
//! #         Ok(GrantResponse::granted("ok"))
//! #     }
//! #     fn revoke_access(&self, _: &AccessRequest, _: &Application) -> Result<RevokeResponse, PluginError> {
//! #         Ok(RevokeResponse::revoked("ok"))
//! #     }
//! # }
//!
//! let Request { access_request, application } = Request::parse(
//!     "
//! kind: AccessRequest
//! metadata: {name: alice, namespace: argocd}
//! spec: {duration: 4h, subject: {username: alice}}
//! ---
//! kind: Application
//! metadata: {name: shop, namespace: argocd}
//! ",
//! )?;
//! // The very code that serves the controller, with sockets and all, but no process.
//! let host = Host::in_process(MyPlugin)?;
//! host.init()?;
//! let response = host.grant_access(&access_request, &application)?;
//! assert_eq!(response, GrantResponse::granted("ok"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use thiserror::Error;

pub use crate::host::{Host, HostError};

use crate::types::{AccessRequest, Application};

/// A request for access and the application that it is for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The request.
    pub access_request: AccessRequest,
    /// Its application.
    pub application: Application,
}

/// Why a request cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The file cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("cannot use {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<RequestError>,
    },
    /// The text is no YAML.
    #[error("request must be YAML or JSON")]
    Yaml {
        /// What is wrong with it.
        source: serde_yaml::Error,
    },
    /// A manifest has a field of the wrong type.
    #[error("{kind} has a field that cannot be read")]
    Manifest {
        /// The kind of the manifest.
        kind: &'static str,
        /// Which one, and why.
        source: serde_yaml::Error,
    },
    /// A manifest that a request does not have.
    #[error("request must have an AccessRequest and an Application, got `kind` {actual:?}")]
    UnknownKind {
        /// The kind.
        actual: String,
    },
    /// There is not one of each.
    #[error("request must have one {kind}, got {count}")]
    Count {
        /// The kind.
        kind: &'static str,
        /// How many there are.
        count: usize,
    },
}

impl Request {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RequestError> {
        Self::load_all(&[path])
    }

    /// Reads a request from several files, such as one for each manifest.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub fn load_all(paths: &[impl AsRef<Path>]) -> Result<Self, RequestError> {
        let mut manifests = Manifests::default();
        for path in paths.iter().map(AsRef::as_ref) {
            let text = fs::read_to_string(path);
            let path = || path.to_owned();
            let text = text.map_err(|source| RequestError::Read { path: path(), source })?;
            let read = manifests.read(&text);
            read.map_err(|source| RequestError::File { path: path(), source: Box::new(source) })?;
        }
        manifests.into_request()
    }

    /// Reads two manifests: YAML documents, or JSON in place of them.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let mut manifests = Manifests::default();
        manifests.read(text)?;
        manifests.into_request()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Manifests {
    requests: Vec<AccessRequest>,
    applications: Vec<Application>,
}

impl Manifests {
    fn read(&mut self, text: &str) -> Result<(), RequestError> {
        for document in serde_yaml::Deserializer::from_str(text) {
            let document = Value::deserialize(document);
            let document = document.map_err(|source| RequestError::Yaml { source })?;
            if document.is_null() {
                continue;
            }
            match document.get("kind").and_then(Value::as_str).unwrap_or_default() {
                "AccessRequest" => self.requests.push(manifest("AccessRequest", document)?),
                "Application" => self.applications.push(manifest("Application", document)?),
                other => {
                    return Err(RequestError::UnknownKind { actual: other.to_owned() });
                }
            }
        }
        Ok(())
    }

    fn into_request(self) -> Result<Request, RequestError> {
        Ok(Request {
            access_request: only("AccessRequest", self.requests)?,
            application: only("Application", self.applications)?,
        })
    }
}

fn manifest<T: DeserializeOwned>(kind: &'static str, value: Value) -> Result<T, RequestError> {
    serde_yaml::from_value(value).map_err(|source| RequestError::Manifest { kind, source })
}

fn only<T>(kind: &'static str, mut found: Vec<T>) -> Result<T, RequestError> {
    let count = found.len();
    match (found.pop(), count) {
        (Some(manifest), 1) => Ok(manifest),
        _ => Err(RequestError::Count { kind, count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestState;

    const YAML: &str = "
apiVersion: ephemeral-access.argoproj-labs.io/v1alpha1
kind: AccessRequest
metadata:
  name: alice
  creationTimestamp: \"2026-03-14T15:09:26Z\"
spec:
  duration: 4h
  role: {templateRef: {name: admin, namespace: argocd}, ordinal: 1}
  application: {name: shop, namespace: argocd}
  subject: {username: alice, userId: null}
status:
  requestState: granted
  history: [{transitionTime: null, status: initiated}]
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop, annotations: {ticket: CHG-1}}
spec: {project: payments, source: {repoURL: ignored}}
operation: {ignored: too}
---
";

    #[test]
    fn manifests_are_a_request() {
        let request = Request::parse(YAML).unwrap();
        assert_eq!(request.access_request.spec.duration.to_string(), "4h0m0s");
        assert_eq!(request.access_request.status.request_state, Some(RequestState::Granted));
        assert_eq!(request.application.annotation("ticket"), Some("CHG-1"));
        assert_eq!(request.application.spec.project, "payments");
    }

    #[test]
    fn json_is_yaml() {
        let json = "{\"kind\": \"Application\"}\n---\n{\"kind\": \"AccessRequest\"}\n";
        assert!(Request::parse(json).is_ok());
    }

    #[test]
    fn a_request_may_have_two_files() {
        let directory = std::env::temp_dir().join(format!("eap-request-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (access_request, application) = YAML.split_once("---").unwrap();
        let paths = [directory.join("areq.yaml"), directory.join("app.yaml")];
        fs::write(&paths[0], access_request).unwrap();
        fs::write(&paths[1], application).unwrap();
        let (both, twice) = (Request::load_all(&paths), Request::load_all(&[&paths[0], &paths[0]]));
        fs::write(&paths[1], "kind: Pod").unwrap();
        let wrong = Request::load_all(&paths);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(both.unwrap(), Request::parse(YAML).unwrap());
        assert_eq!(twice.unwrap_err().to_string(), "request must have one AccessRequest, got 2");
        assert!(wrong.unwrap_err().to_string().contains("app.yaml"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let reason = |text: &str| Request::parse(text).unwrap_err().to_string();
        assert_eq!(reason("kind: Application"), "request must have one AccessRequest, got 0");
        let pod = "request must have an AccessRequest and an Application, got `kind` \"Pod\"";
        assert_eq!(reason("kind: Pod"), pod);
        let wrong = "kind: AccessRequest\nspec: {duration: 4 hours}";
        assert_eq!(reason(wrong), "AccessRequest has a field that cannot be read");
        assert_eq!(reason("a: [1"), "request must be YAML or JSON");
    }
}
