//! The plugin's settings, from environment variables.

use ephemeral_access_plugin::PluginError;

use crate::window::Window;

/// | Variable | Example | Default |
/// |---|---|---|
/// | `CHANGE_WINDOW_DAYS` | `Mon-Fri`, `Mon,Wed,Fri-Sun` | none |
/// | `CHANGE_WINDOW_HOURS` | `09:00-17:00`, over midnight `22:00-04:00` | none |
/// | `CHANGE_WINDOW_TIME_ZONE` | `Europe/Berlin` | `UTC` |
/// | `CHANGE_TICKET_ANNOTATION` | `example.com/ticket` | `change-ticket` |
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) window: Window,
    pub(crate) ticket_annotation: String,
}

impl Settings {
    /// Reads the settings. A variable that is empty counts as not set.
    pub(crate) fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, PluginError> {
        let optional = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let required = |name: &str, example: &str| {
            let missing = || format!("`{name}` must be set, for example to \"{example}\"");
            optional(name).ok_or_else(|| PluginError::new(missing()))
        };
        let days = required("CHANGE_WINDOW_DAYS", "Mon-Fri")?;
        let hours = required("CHANGE_WINDOW_HOURS", "09:00-17:00")?;
        let time_zone = optional("CHANGE_WINDOW_TIME_ZONE").unwrap_or_else(|| "UTC".to_owned());
        let annotation = optional("CHANGE_TICKET_ANNOTATION");
        Ok(Self {
            window: Window::parse(&days, &hours, &time_zone)?,
            ticket_annotation: annotation.unwrap_or_else(|| "change-ticket".to_owned()),
        })
    }
}
