//! An EphemeralAccess plugin: access only within a change window, and only to an application that
//! carries a change ticket.
//!
//! Everything is set in the controller's environment, which the plugin inherits; see
//! [`Settings`].

mod settings;
mod window;

use std::env;
use std::process::ExitCode;

use ephemeral_access_plugin::{
    AccessRequest, AccessRequester, Application, GrantResponse, PluginError, RequestState,
    RevokeResponse, serve, tracing,
};
use jiff::Timestamp;

use crate::settings::Settings;
use crate::window::Opening;

fn main() -> ExitCode {
    let settings = Settings::from_variables(|name| env::var(name).ok());
    serve(ChangeWindow { settings, clock: Timestamp::now })
}

struct ChangeWindow {
    settings: Result<Settings, PluginError>,
    clock: fn() -> Timestamp,
}

impl AccessRequester for ChangeWindow {
    /// Fails if a setting is wrong: the controller then ends with the reason in its log, instead
    /// of failing at the first request.
    fn init(&self) -> Result<(), PluginError> {
        let settings = self.settings.as_ref().map_err(Clone::clone)?;
        tracing::info!(window = %settings.window, "ready");
        Ok(())
    }

    fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<GrantResponse, PluginError> {
        let settings = self.settings.as_ref().map_err(Clone::clone)?;
        if request.status.request_state == Some(RequestState::Granted) {
            // The controller asks again now and then. The access ends when it expires.
            return Ok(GrantResponse::granted("already granted"));
        }
        let annotation = settings.ticket_annotation.as_str();
        let ticket = application.annotation(annotation).map(str::trim).unwrap_or_default();
        if ticket.is_empty() {
            let name = application.metadata.name.as_deref().unwrap_or("?");
            return Ok(GrantResponse::denied(format!(
                "Application {name:?} carries no change ticket: set its annotation `{annotation}`, \
                 then ask again"
            )));
        }
        let now = (self.clock)();
        let user = &request.spec.subject.username;
        tracing::info!(ticket, user, "asked for access");
        Ok(match settings.window.opening(now) {
            Opening::Now => GrantResponse::granted(format!("granted for {ticket}")),
            Opening::At(opening) => GrantResponse::pending(format!(
                "outside of the change window ({}); it opens {opening}",
                settings.window
            )),
            Opening::Never => GrantResponse::denied(format!(
                "the change window ({}) does not open within a year",
                settings.window
            )),
        })
    }

    fn revoke_access(
        &self,
        _request: &AccessRequest,
        _application: &Application,
    ) -> Result<RevokeResponse, PluginError> {
        // Nothing to undo. An error here would leave the user with the access.
        Ok(RevokeResponse::revoked("the access has expired"))
    }
}

#[cfg(test)]
mod tests {
    use ephemeral_access_plugin::testing::{Host, HostError, Request};
    use ephemeral_access_plugin::{GrantStatus, RevokeStatus};

    use super::*;

    /// Monday, 2026-03-16, 10:00 in Berlin.
    fn monday() -> Timestamp {
        "2026-03-16T09:00:00Z".parse().unwrap()
    }

    /// Saturday, 2026-03-28, the day before Berlin's clocks go forward.
    fn saturday() -> Timestamp {
        "2026-03-28T12:00:00Z".parse().unwrap()
    }

    fn variable(name: &str) -> Option<String> {
        let value = match name {
            "CHANGE_WINDOW_DAYS" => "Mon-Fri",
            "CHANGE_WINDOW_HOURS" => "09:00-17:00",
            "CHANGE_WINDOW_TIME_ZONE" => "Europe/Berlin",
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// Starts the plugin as the controller does, without a process.
    fn host(clock: fn() -> Timestamp) -> Host {
        let settings = Settings::from_variables(variable);
        Host::in_process(ChangeWindow { settings, clock }).unwrap()
    }

    fn request(name: &str) -> Request {
        Request::load(format!("testdata/{name}.yaml")).unwrap()
    }

    fn answer(clock: fn() -> Timestamp, name: &str) -> GrantResponse {
        let Request { access_request, application } = request(name);
        host(clock).grant_access(&access_request, &application).unwrap()
    }

    #[test]
    fn grants_within_the_window() {
        assert_eq!(answer(monday, "with-ticket"), GrantResponse::granted("granted for CHG-1234"));
    }

    #[test]
    fn says_when_the_window_opens() {
        let response = answer(saturday, "with-ticket");
        assert_eq!(response.status, GrantStatus::Pending);
        assert_eq!(
            response.message,
            "outside of the change window (Mon-Fri 09:00-17:00 Europe/Berlin); \
             it opens Mon 2026-03-30 09:00 CEST"
        );
    }

    #[test]
    fn denies_without_a_ticket() {
        let response = answer(monday, "without-ticket");
        assert_eq!(response.status, GrantStatus::Denied);
        assert!(response.message.contains("`change-ticket`"), "{}", response.message);
    }

    #[test]
    fn leaves_what_is_granted() {
        assert_eq!(answer(saturday, "granted").status, GrantStatus::Granted);
    }

    #[test]
    fn never_keeps_an_access() {
        let Request { access_request, application } = request("granted");
        let response = host(saturday).revoke_access(&access_request, &application).unwrap();
        assert_eq!(response.status, RevokeStatus::Revoked);
    }

    #[test]
    fn says_what_is_wrong_with_a_setting() {
        let settings = Settings::from_variables(|_| None);
        let host = Host::in_process(ChangeWindow { settings, clock: monday }).unwrap();
        let Err(HostError::Plugin(error)) = host.init() else { panic!("init must fail") };
        assert!(error.message().contains("CHANGE_WINDOW_DAYS"), "{error}");
    }
}
