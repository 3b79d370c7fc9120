//! A real Kubernetes API server, and the real controller in a pod: what the tests in `tests/` share.
//!
//! `e2e/controller/run` prepares the machine and runs them.

mod api_server;
mod kubelet;
mod podman;
mod process;

pub use api_server::ApiServer;
pub use kubelet::{as_kubelet, pod_of};
pub use podman::Podman;
pub use process::Process;
