//! What a check has found.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::terminal::{BAD, CAUTION, GOOD, QUIET};

/// All findings about a plugin.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The plugin.
    pub plugin: PathBuf,
    /// Whether the controller can use it.
    pub usable: bool,
    /// The findings, in the order of the checks.
    pub checks: Vec<Check>,
    /// Numbers for comparison.
    pub measurements: Measurements,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// What came out.
    pub result: Verdict,
    /// What was seen.
    pub detail: String,
    /// What the controller does then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// How to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// The controller can live with it.
    Warning,
    /// The controller cannot use the plugin.
    Failure,
    /// It could not be checked.
    Skipped,
}

/// Numbers, as far as they could be measured.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurements {
    /// From starting the program to the answer of `Init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_micros: Option<u128>,
    /// How many calls were timed.
    pub calls: usize,
    /// What half of the calls took at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_p50_micros: Option<u128>,
    /// What 99 of 100 calls took at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_p99_micros: Option<u128>,
    /// Resident memory after the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
}

impl Check {
    pub(super) fn new(name: &'static str, result: Verdict, detail: impl Into<String>) -> Self {
        Self { name, result, detail: detail.into(), controller: None, hint: None }
    }

    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, detail)
    }

    pub(super) fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Warning, detail)
    }

    pub(super) fn failure(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Failure, detail)
    }

    pub(super) fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, detail)
    }

    pub(super) fn controller(mut self, text: impl Into<String>) -> Self {
        self.controller = Some(text.into());
        self
    }

    pub(super) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }
}

impl Report {
    pub(super) fn new(plugin: &Path) -> Self {
        let measurements = Measurements::default();
        Self { plugin: plugin.to_owned(), usable: false, checks: Vec::new(), measurements }
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Gives a verdict once all checks are done: nothing has failed, nothing was left out.
    pub(super) fn conclude(mut self) -> Self {
        let stops = |check: &Check| matches!(check.result, Verdict::Failure | Verdict::Skipped);
        self.usable = !self.checks.iter().any(stops);
        self
    }

    /// The report for people, with colours.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let (style, word) = check.result.shown();
            // Writing to memory does not fail.
            let _ = writeln!(text, "{:<13}{style}{word:<8}{style:#}{}", check.name, check.detail);
            for (title, line) in [("controller", &check.controller), ("hint", &check.hint)] {
                if let Some(line) = line {
                    let _ = writeln!(text, "{:<21}{QUIET}{title}:{QUIET:#} {line}", "");
                }
            }
        }
        let count = |verdict| self.checks.iter().filter(|check| check.result == verdict).count();
        let (failures, warnings) = (count(Verdict::Failure), count(Verdict::Warning));
        let _ = match (self.usable, failures) {
            (true, _) => writeln!(
                text,
                "\n{GOOD}The controller can use it{GOOD:#} ({}).",
                counted(warnings, "warning")
            ),
            (false, 0) => writeln!(text, "\n{BAD}Not everything could be checked.{BAD:#}"),
            (false, _) => writeln!(
                text,
                "\n{BAD}The controller cannot use it{BAD:#} ({}, {}).",
                counted(failures, "failure"),
                counted(warnings, "warning")
            ),
        };
        text
    }

    /// The report for programs.
    ///
    /// # Errors
    ///
    /// When the plugin's path is no text.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|json| json + "\n")
    }
}

impl Verdict {
    fn shown(self) -> (anstyle::Style, &'static str) {
        match self {
            Self::Ok => (GOOD, "ok"),
            Self::Warning => (CAUTION, "warning"),
            Self::Failure => (BAD, "FAIL"),
            Self::Skipped => (QUIET, "skipped"),
        }
    }
}

impl Measurements {
    pub(super) fn start(&mut self, duration: Duration) {
        self.start_micros = Some(duration.as_micros());
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(checks: &[Check]) -> bool {
        let report = Report { checks: checks.to_vec(), ..Report::new(Path::new("p")) };
        report.conclude().usable
    }

    #[test]
    fn a_plugin_is_usable_when_nothing_failed_and_nothing_was_left_out() {
        let (ok, warning) = (Check::ok("a", ""), Check::warning("b", ""));
        assert!(usable(&[ok.clone(), warning.clone()]));
        assert!(!usable(&[ok.clone(), Check::failure("c", ""), warning]));
        assert!(!usable(&[ok, Check::skipped("c", "")]));
    }
}
