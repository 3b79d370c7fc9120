//! Does the controller take this plugin? Starts it as the controller does, and judges all it does.

mod endings;
mod file;
mod output;
mod report;
mod serving;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ephemeral_access_plugin::testing::{Request, RequestError};

pub use self::report::{Check, Measurements, Report, Verdict};

use crate::program::{Format, Program};
use crate::session::{Record, Starter, lock};
use crate::terminal::Spinner;

/// The request that a plugin is asked about unless there is another.
const SAMPLE: &str = include_str!("sample.yaml");

/// What to check, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plugin.
    pub plugin: PathBuf,
    /// How long each step may take.
    pub timeout: Duration,
    /// How many calls to time.
    pub calls: usize,
    /// The request to ask about.
    pub request: Request,
    /// This program: it plays the host that is killed.
    pub itself: PathBuf,
}

/// What the checks share.
struct Context<'a> {
    options: &'a Options,
    starter: Starter,
    record: Arc<Mutex<Record>>,
    spinner: Spinner,
}

/// The request that is built in.
///
/// # Errors
///
/// Never: a test reads it.
pub fn sample() -> Result<Request, RequestError> {
    Request::parse(SAMPLE)
}

/// Checks a plugin.
#[must_use]
pub fn check(options: &Options) -> Report {
    let mut report = Report::new(&options.plugin);
    if let Some(program) = file::check(&mut report, &options.plugin) {
        check_process(&mut report, options, &program);
    }
    report.conclude()
}

fn check_process(report: &mut Report, options: &Options, program: &Program) {
    // At debug, because then most is logged that can be wrong.
    let starter = Starter::new(&options.plugin, options.timeout);
    let starter = starter.default_variable("EPHEMERAL_LOG_LEVEL", "debug");
    let record = Arc::default();
    let context = Context { options, starter, record, spinner: Spinner::start() };
    if let Some(session) = serving::start(report, &context, program)
        && let Some(session) = serving::calls(report, &context, session)
    {
        endings::quit(report, &context, session);
        serving::nil_objects(report, &context);
        endings::host_death(report, &context);
    }
    output::check(report, &lock(&context.record));
}

/// Whether another system or processor would be needed to run it.
fn is_foreign(program: &Program) -> bool {
    matches!(&program.format, Format::Elf(elf) if elf.machine != std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_request() {
        let request = sample().unwrap();
        assert_eq!(request.access_request.spec.duration.to_string(), "4h0m0s");
        assert_eq!(request.application.spec.project, "default");
    }
}
