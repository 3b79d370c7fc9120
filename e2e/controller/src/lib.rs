//! A real Kubernetes API server: what the tests in `tests/` share.
//!
//! `e2e/controller/run` prepares the machine and runs them.

mod api_server;
mod process;

pub use api_server::ApiServer;
pub use process::Process;
