//! Plugins for the [Argo CD EphemeralAccess] controller.
//!
//! The controller gives people elevated access for a limited time, and asks one plugin about each
//! request. With this crate a plugin is a type with two methods; the controller, which is written
//! in Go, loads the program as it is. This is a whole plugin:
//!
//! ```no_run
#![doc = include_str!("../examples/hello.rs")]
//! ```
//!
//! Built for `x86_64-unknown-linux-musl` or `aarch64-unknown-linux-musl` it is one static file, as
//! it must be: the controller's image has no libraries. The same file is the entry point of its
//! own image, and installs itself into the controller's volume; see [`serve`].
//! `examples/plugin` in the repository is a complete plugin with Dockerfile, manifests and tests,
//! made to be copied, and `docs/plugin-authors.md` leads from an empty folder to a plugin in the
//! controller.
//!
//! # Answers
//!
//! What the controller does with each answer is written at [`AccessRequester`]'s methods. Two
//! things surprise:
//!
//! - An error from [`AccessRequester::revoke_access`] **keeps the access**, and any response takes
//!   it away, [`RevokeResponse::pending`] too.
//! - An error from [`AccessRequester::grant_access`] neither grants nor denies: the controller
//!   tries again.
//!
//! # Errors
//!
//! - **A panic** in a method is an error of that call, and is logged. The plugin goes on; a plugin
//!   that ends is never started again, and every request fails until the controller's pod is
//!   replaced. So never build with `panic = "abort"`.
//! - **A call over its deadline**, 30 s unless [`Server::call_deadline`] says otherwise, is an
//!   error too. The controller has no deadline: it would wait for ever, and ask nothing else.
//! - **A call without an object** is an error before it reaches the plugin. No version of the
//!   controller makes one.
//!
//! # Logging
//!
//! Log with [`tracing`]: [`serve`] installs [`HclogLayer`], so that messages with their fields
//! come out in the controller's log, at the level of its `EPHEMERAL_LOG_LEVEL`. Lines are cut at
//! 60 KiB. What is printed to standard output or standard error comes out at debug.
//!
//! # Tests
//!
//! [`host::Host`] is the controller's side: in the same process for unit tests, or with a process
//! of its own. The feature `testing` adds requests from manifests.
//!
//! # Features
//!
//! - `kube`: `kube_core::Resource` for [`AccessRequest`] and [`Application`].
//! - `testing`: the module `testing`.
//! - `tokio`: `AsyncAccessRequester` and `serve_async`.
//!
//! None is on by default.
//!
//! # Limitations
//!
//! - Linux only in practice: the host's end is noticed by ways of Unix, and the controller's
//!   images are for Linux.
//! - One version of `k8s-openapi` with its feature `latest`; it is reexported.
//! - What Go's gob does not send cannot be seen: a pointer to a zero value is none, an empty list
//!   is none, and a time has lost its zone's name.
//! - Times after 9999-12-30T22:00:00Z become that time: `k8s_openapi`'s `Time` has none later, and
//!   cannot read one from a manifest either.
//! - `managedFields` that are not JSON, or over 4 MiB, come without their `fieldsV1`. Text that is
//!   not UTF-8 comes with U+FFFD in place of each wrong byte.
//! - Requests over 64 MiB, or with lists of over 65,536 elements, are errors.
//! - A plugin ends with the process that started it. go-plugin can leave plugins behind for
//!   another host; the controller never does.
//!
//! [Argo CD EphemeralAccess]: https://github.com/argoproj-labs/argocd-ephemeral-access

// The programs in the documents compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugin-authors.md")]
struct PluginAuthors;

#[cfg(feature = "tokio")]
mod asynchronous;
pub mod host;
mod install;
mod logger;
mod requester;
mod server;
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
    AccessRequester, GrantResponse, GrantStatus, PluginError, Result, RevokeResponse, RevokeStatus,
};
#[cfg(feature = "tokio")]
pub use self::server::serve_async;
pub use self::server::{Server, serve};
pub use self::types::{
    AccessRequest, AccessRequestHistory, AccessRequestSpec, AccessRequestStatus, Application,
    ApplicationSpec, DurationError, GoDuration, RequestState, Subject, TargetApplication,
    TargetRole, TargetRoleTemplate,
};
pub use go_plugin_netrpc::Limits;
