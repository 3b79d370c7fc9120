//! Findings: everything that the function has to say, for people and for orchestrators.

use std::fmt;

use serde_json::Value;

use crate::results::{Field, File, ResourceRef, Result as KrmResult, Severity};

/// What the places of findings about the config begin with.
pub(crate) const IN_CONFIG: &str = "functionConfig";

/// One thing that was found or done.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub(crate) severity: Severity,
    pub(crate) message: String,
    /// Where, for people.
    pub(crate) location: Option<String>,
    /// How to mend it.
    pub(crate) hint: Option<String>,
    pub(crate) resource_ref: Option<ResourceRef>,
    pub(crate) file: Option<File>,
    pub(crate) field: Option<Field>,
}

impl Finding {
    pub(crate) fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            location: None,
            hint: None,
            resource_ref: None,
            file: None,
            field: None,
        }
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    pub(crate) fn at(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(crate) fn field(
        mut self,
        path: &str,
        current_value: Option<Value>,
        proposed_value: Option<Value>,
    ) -> Self {
        if !path.is_empty() {
            self.field = Some(Field { path: path.to_owned(), current_value, proposed_value });
        }
        self
    }

    pub(crate) fn about(mut self, resource_ref: &ResourceRef, file: Option<&File>) -> Self {
        self.resource_ref = Some(resource_ref.clone());
        self.file = file.cloned();
        self
    }

    /// The finding with every text about a field changed.
    pub(crate) fn reworded(self, reword: impl Fn(&str) -> String) -> Self {
        let field = self.field.map(|field| Field { path: reword(&field.path), ..field });
        let hint = self.hint.map(|hint| reword(&hint));
        Self { message: reword(&self.message), hint, field, ..self }
    }

    /// The finding with the file that the config was read from, if it is about the config.
    #[must_use]
    pub fn in_config_file(mut self, name: &str) -> Self {
        let place = self.location.as_deref().and_then(|location| location.strip_prefix(IN_CONFIG));
        self.location = match place {
            Some("") => Some(name.to_owned()),
            Some(object) => Some(format!("{name}:{object}")),
            None => self.location,
        };
        self
    }

    /// What it says, without where and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether it only tells what was done.
    #[must_use]
    pub fn is_info(&self) -> bool {
        self.severity == Severity::Info
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The finding as the orchestrator gets it.
    #[must_use]
    pub fn to_result(&self) -> KrmResult {
        let message = match &self.hint {
            Some(hint) => format!("{}; hint: {hint}", self.message),
            None => self.message.clone(),
        };
        KrmResult {
            message,
            severity: self.severity,
            resource_ref: self.resource_ref.clone(),
            field: self.field.clone(),
            file: self.file.clone(),
        }
    }
}

/// As people read it on standard error.
impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        write!(formatter, "{severity}: {}", self.message)?;
        if let Some(location) = &self.location {
            write!(formatter, "\n  --> {location}")?;
        }
        if let Some(hint) = &self.hint {
            write!(formatter, "\nhint: {hint}")?;
        }
        Ok(())
    }
}
