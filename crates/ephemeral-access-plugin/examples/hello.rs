//! A whole plugin.

use ephemeral_access_plugin::{
    AccessRequest, AccessRequester, Application, GrantResponse, Result, RevokeResponse, serve,
};

struct Hello;

impl AccessRequester for Hello {
    fn grant_access(&self, request: &AccessRequest, _: &Application) -> Result<GrantResponse> {
        match request.spec.subject.username.as_str() {
            "mallory" => Ok(GrantResponse::denied("not you")),
            user => Ok(GrantResponse::granted(format!("hello, {user}"))),
        }
    }

    fn revoke_access(&self, _: &AccessRequest, _: &Application) -> Result<RevokeResponse> {
        Ok(RevokeResponse::revoked("good bye"))
    }
}

fn main() -> std::process::ExitCode {
    serve(Hello)
}
