//! Checks of a plugin at work: handshake, calls, errors, times and memory.

use std::io;
use std::time::{Duration, Instant};

use go_plugin_netrpc::HandshakeError;

use super::file::{EXITS, foreign};
use super::report::{Check, Report};
use super::{Context, is_foreign};
use crate::answer::{Call, Next, Outcome};
use crate::program::{Format, Program};
use crate::session::{Session, StartError, chain};
use crate::terminal::{size, time};

/// A slower plugin makes users wait: the controller asks about one request at a time.
const SLOW: Duration = Duration::from_secs(1);

/// How long go-plugin's hosts wait for the handshake line (`client.go`, `StartTimeout`).
const HOST_START: Duration = Duration::from_secs(60);

/// Starts the plugin and calls `Init`.
pub(super) fn start(
    report: &mut Report,
    context: &Context<'_>,
    program: &Program,
) -> Option<Session> {
    context.spinner.label("starting the plugin");
    let begin = Instant::now();
    let mut session = match context.starter.start(&context.record) {
        Ok(session) => session,
        Err(error) => {
            report.add(not_started(&error, program));
            return None;
        }
    };
    let connected = begin.elapsed();
    report.add(Check::ok(
        "handshake",
        format!("version 1, net/rpc on a unix socket, after {}", time(connected)),
    ));
    context.spinner.label("calling Init");
    let outcome = session.init();
    let begun = begin.elapsed();
    if outcome == Outcome::Nothing {
        report.add(Check::ok("init", format!("ready {} after its start", time(begun))));
        report.measurements.start(begun);
        return Some(session);
    }
    let failure = Check::failure("init", outcome.to_string());
    report.add(match outcome {
        Outcome::Hung { .. } => failure
            .controller("waits for ever, and does nothing meanwhile")
            .hint("do what takes long in a thread of its own; set deadlines for connections"),
        _ => failure
            .controller(EXITS)
            .hint("its configuration comes from the environment: set here what it needs"),
    });
    None
}

fn not_started(error: &StartError, program: &Program) -> Check {
    let failure = Check::failure("handshake", chain(error)).controller(EXITS);
    match error {
        StartError::Spawn(source) => not_spawned(source, failure, program),
        StartError::Exited { .. } => {
            failure.hint("if it works elsewhere, it needs files or variables that are not here")
        }
        StartError::Timeout { .. } => failure
            .controller(format!("waits {}, then {EXITS}", time(HOST_START)))
            .hint("serve first, and do what takes long in `Init` or later"),
        StartError::Handshake(error) => failure.hint(match error {
            HandshakeError::Line { .. } => {
                "print nothing to standard output before serving: log to standard error"
            }
            HandshakeError::Protocol { .. } => {
                "serve over net/rpc: in Go with upstream's `plugin.NewServerConfig`, without \
                 `GRPCServer`"
            }
            HandshakeError::Tls => "serve without TLS: leave out `TLSProvider`",
            _ => {
                "use the handshake of upstream's `plugin.NewServerConfig` in Go, or `serve` of \
                 ephemeral-access-plugin in Rust"
            }
        }),
        _ => failure.hint(
            "it must accept connections when it prints its handshake line, and serve \
             \"ephemeralaccess\"",
        ),
    }
}

fn not_spawned(source: &io::Error, failure: Check, program: &Program) -> Check {
    match &program.format {
        Format::Elf(elf) if is_foreign(program) => foreign(elf),
        Format::Elf(elf)
            if elf.interpreter.is_some() && source.kind() == io::ErrorKind::NotFound =>
        {
            failure.hint("its dynamic linker is not on this machine either: build a static program")
        }
        _ => failure.hint("see what the system says; a file system may be mounted noexec"),
    }
}

/// Calls with the request, for their answers, then many for their times. The session comes back if
/// the plugin is still good for more.
pub(super) fn calls(
    report: &mut Report,
    context: &Context<'_>,
    mut session: Session,
) -> Option<Session> {
    let mut alive = true;
    for call in [Call::Grant, Call::Revoke] {
        if alive {
            context.spinner.label(&format!("calling {}", call.as_str()));
            alive = answer(report, context, &mut session, call);
        }
    }
    if !alive {
        return None;
    }
    latency(report, context, &mut session).then(|| {
        memory(report, &session);
        session
    })
}

fn ask(context: &Context<'_>, session: &mut Session, call: Call) -> Outcome {
    let request = &context.options.request;
    session.call(call, Some(&request.access_request), Some(&request.application))
}

/// Whether the plugin can be asked again.
fn answer(report: &mut Report, context: &Context<'_>, session: &mut Session, call: Call) -> bool {
    let name = if call == Call::Grant { "grant" } else { "revoke" };
    let outcome = ask(context, session, call);
    let state = context.options.request.access_request.status.request_state.as_ref();
    let consequence = call.consequence(&outcome, state);
    let check = match (&outcome, consequence.usable) {
        (Outcome::Error(_), _) => Check::warning(name, outcome.to_string())
            .hint("if it refuses the built-in request: give your own with `--request FILE`"),
        _ if outcome.is_known(call) => Check::ok(name, outcome.to_string()),
        (_, true) => {
            Check::warning(name, outcome.to_string()).hint(format!("answer {}", call.statuses()))
        }
        (Outcome::Hung { .. }, false) => Check::failure(name, outcome.to_string())
            .hint("set deadlines for whatever the plugin waits for, and answer an error then"),
        (Outcome::Gone { .. }, false) => Check::failure(name, outcome.to_string())
            .hint("answer an error instead; in Go, recover from panics"),
        (_, false) => Check::failure(name, outcome.to_string())
            .hint(format!("answer {}, or an error", call.statuses())),
    };
    let plain = check.result == super::Verdict::Ok;
    let broken = consequence.next == Next::Broken;
    report.add(if plain { check } else { check.controller(consequence.text) });
    !broken
}

/// Whether every call was answered.
fn latency(report: &mut Report, context: &Context<'_>, session: &mut Session) -> bool {
    let wanted = context.options.calls;
    context.spinner.label(&format!("timing {wanted} calls"));
    let begin = Instant::now();
    let mut times = Vec::with_capacity(wanted.min(1 << 20));
    while times.len() < wanted && begin.elapsed() < context.options.timeout {
        let called = Instant::now();
        let outcome = ask(context, session, Call::Grant);
        times.push(called.elapsed());
        if Call::Grant.consequence(&outcome, None).next == Next::Broken {
            let detail = format!("call {} of {wanted}: {outcome}", times.len());
            let consequence = Call::Grant.consequence(&outcome, None);
            report.add(Check::failure("latency", detail).controller(consequence.text));
            return false;
        }
    }
    report.measurements.calls = times.len();
    times.sort_unstable();
    let (Some(p50), Some(p99)) = (percentile(&times, 50), percentile(&times, 99)) else {
        return true;
    };
    report.measurements.grant_p50_micros = Some(p50.as_micros());
    report.measurements.grant_p99_micros = Some(p99.as_micros());
    let detail =
        format!("GrantAccess p50 {}, p99 {} of {} calls", time(p50), time(p99), times.len());
    report.add(if p50 < SLOW {
        Check::ok("latency", detail)
    } else {
        Check::warning("latency", detail)
            .controller("asks about one request at a time: all others wait")
            .hint("answer \"grant-pending\" at once, and decide by the next call")
    });
    true
}

fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

fn memory(report: &mut Report, session: &Session) {
    let memory = session.memory();
    report.measurements.resident_bytes = memory;
    report.add(match memory {
        Some(bytes) => Check::ok("memory", format!("{} resident", size(bytes))),
        None => Check::warning("memory", "the system does not tell"),
    });
}

/// Nil objects are the one thing that makes any plugin fail: then it must answer an error and go
/// on. The controller does not send them.
pub(super) fn nil_objects(report: &mut Report, context: &Context<'_>) {
    context.spinner.label("calling with nil objects");
    let mut session = match context.starter.start(&context.record) {
        Ok(session) => session,
        Err(error) => {
            let detail = format!("it does not start a second time: {}", chain(&error));
            report.add(Check::failure("errors", detail).controller(EXITS));
            return;
        }
    };
    let first = session.init();
    if first != Outcome::Nothing {
        let detail = format!("`Init` fails the second time: {first}");
        report.add(Check::failure("errors", detail).controller(EXITS));
        return;
    }
    let outcome = session.call(Call::Grant, None, None);
    let check = match &outcome {
        Outcome::Error(_) => {
            let next = ask(context, &mut session, Call::Grant);
            if Call::Grant.consequence(&next, None).next == Next::Broken {
                let detail = format!("after an error, the next call gets {next}");
                Check::failure("errors", detail)
                    .controller("fails every later call, until its pod restarts")
                    .hint("return errors as upstream's `*plugin.PluginError`")
            } else {
                Check::ok("errors", format!("nil objects get an {outcome}"))
            }
        }
        Outcome::Gone { .. } => Check::warning("errors", format!("with nil objects {outcome}"))
            .controller(
                "never sends nil objects; but after any panic it fails every call until its pod \
                 restarts",
            )
            .hint("recover from panics; the Rust runtime does"),
        _ => Check::warning("errors", format!("nil objects get {outcome}"))
            .controller("never sends nil objects")
            .hint("answer them with an error"),
    };
    report.add(check);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&times, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&times[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }
}
