//! Checks of what a plugin writes: nothing to standard output, sound lines to standard error.

use go_plugin_netrpc::hclog::Level;

use super::report::{Check, Report};
use crate::answer::shortened;
use crate::session::{MAX_STDOUT_LINE, Record};
use crate::terminal::size;

const RUST_OR_HCLOG: &str = "log with `tracing` in Rust, with hclog's JSON format in Go";

pub(super) fn check(report: &mut Report, record: &Record) {
    report.add(stdout(record));
    report.add(log(record));
}

fn stdout(record: &Record) -> Check {
    let bytes = size(record.stray_bytes);
    if record.longest_stray_line >= MAX_STDOUT_LINE {
        let longest = size(record.longest_stray_line);
        let detail = format!("{bytes} after the handshake line, one line of {longest}");
        return Check::failure("stdout", detail)
            .controller(
                "stops reading at a line of 64 KiB; the plugin then waits for ever as soon as the \
                 pipe is full, and the controller with it",
            )
            .hint("print to standard error; the Rust runtime redirects what is printed");
    }
    if record.stray_bytes > 0 {
        return Check::warning("stdout", format!("{bytes} after the handshake line"))
            .controller("drops them, and stops reading at a line of 64 KiB")
            .hint("print to standard error");
    }
    Check::ok("stdout", "nothing after the handshake line")
}

fn log(record: &Record) -> Check {
    let log = &record.log;
    if let Some((key, line)) = log.panics().first() {
        return Check::failure("log", format!("`{key}` is no text in {}", shortened(line)))
            .controller("panics: it takes the value for text without looking")
            .hint(RUST_OR_HCLOG);
    }
    if let Some(line) = log.untimed().first() {
        return Check::warning("log", format!("a time that it cannot read: {}", shortened(line)))
            .controller("shows the whole line at debug, whatever its level")
            .hint("write `@timestamp` with six digits: 2026-03-14T15:09:26.535897Z");
    }
    let counts = log.counts();
    if log.has(Level::Trace) {
        return Check::warning("log", counts)
            .controller("shows trace as info")
            .hint("log it at debug");
    }
    Check::ok("log", counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;
    use crate::log::Line;

    fn logged(lines: &[&str]) -> Verdict {
        let mut record = Record::default();
        lines.iter().for_each(|line| record.log.add(&Line::parse(line)));
        log(&record).result
    }

    #[test]
    fn lines_that_end_the_controller_are_a_failure() {
        assert_eq!(logged(&["text", r#"{"@message":1}"#]), Verdict::Failure);
        assert_eq!(logged(&[r#"{"@level":"info","@timestamp":"now"}"#]), Verdict::Warning);
        assert_eq!(logged(&[r#"{"@level":"trace","@message":"m"}"#]), Verdict::Warning);
        assert_eq!(logged(&[r#"{"@level":"info","@message":"m"}"#]), Verdict::Ok);
    }

    #[test]
    fn only_a_long_line_on_stdout_is_a_failure() {
        let printed = |stray_bytes, longest_stray_line| {
            stdout(&Record { stray_bytes, longest_stray_line, ..Record::default() }).result
        };
        assert_eq!(printed(0, 0), Verdict::Ok);
        assert_eq!(printed(1 << 20, 80), Verdict::Warning);
        assert_eq!(printed(1 << 20, 1 << 16), Verdict::Failure);
    }
}
