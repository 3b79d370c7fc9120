//! Async plugins, in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ephemeral_access_plugin::host::Host;
use ephemeral_access_plugin::{
    AccessRequest, Application, AsyncAccessRequester, GrantResponse, GrantStatus, Result,
    RevokeResponse, Server,
};

struct Waits {
    dropped: Arc<AtomicBool>,
}

/// Set when the future that owns it is dropped.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl AsyncAccessRequester for Waits {
    async fn grant_access(
        &self,
        request: &AccessRequest,
        _: &Application,
    ) -> Result<GrantResponse> {
        let _on_drop = OnDrop(Arc::clone(&self.dropped));
        let duration = request.spec.duration.to_std().unwrap_or_default();
        tokio::time::sleep(duration).await;
        Ok(GrantResponse::granted("waited"))
    }

    async fn revoke_access(&self, _: &AccessRequest, _: &Application) -> Result<RevokeResponse> {
        Ok(RevokeResponse::revoked(""))
    }
}

fn request(wait: Duration) -> AccessRequest {
    let mut request = AccessRequest::default();
    request.spec.duration = wait.into();
    request
}

#[test]
fn a_future_is_an_answer() {
    let server = Server::new_async(Waits { dropped: Arc::default() }).unwrap();
    let host = Host::in_process_server(server).unwrap();
    host.init().unwrap();
    let wait = request(Duration::from_millis(10));
    let response = host.grant_access(&wait, &Application::default()).unwrap();
    assert_eq!(response.status, GrantStatus::Granted);
    assert!(host.revoke_access(&wait, &Application::default()).is_ok());
}

#[test]
fn a_future_over_its_deadline_is_dropped() {
    let dropped = Arc::new(AtomicBool::new(false));
    let server = Server::new_async(Waits { dropped: Arc::clone(&dropped) }).unwrap();
    let server = server.call_deadline(Duration::from_millis(50));
    let host = Host::in_process_server(server).unwrap();
    let wait = request(Duration::from_secs(3600));
    let error = host.grant_access(&wait, &Application::default()).unwrap_err();
    assert!(error.to_string().contains("did not answer"), "{error}");
    for _ in 0..500 {
        if dropped.load(Ordering::SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the future is still there");
}
