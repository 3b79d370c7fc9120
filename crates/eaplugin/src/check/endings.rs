//! Checks of how a plugin ends: when it is told to, and when its host dies.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use super::Context;
use super::report::{Check, Report};
use crate::cleanup::Guard;
use crate::hold::{HOLD, Held};
use crate::session::{Session, directory, sockets};
use crate::terminal::time;

/// How long a plugin may take to notice that its host is gone.
const NOTICE: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(5);

/// Tells the plugin to quit.
pub(super) fn quit(report: &mut Report, context: &Context<'_>, session: Session) {
    context.spinner.label("telling the plugin to quit");
    let begin = Instant::now();
    let quit = session.quit();
    let took = time(begin.elapsed());
    let never = "never says quit itself: it ends with its container; other hosts and tests do";
    report.add(match quit.status {
        None => Check::warning("quit", format!("it still runs {took} after `Control.Quit`"))
            .controller(never)
            .hint("return from main when serving ends"),
        Some(status) if !quit.confirmed => {
            Check::warning("quit", format!("it ended ({status}) without an answer"))
                .controller(never)
        }
        Some(status) if !status.success() => {
            Check::warning("quit", format!("it answered, and ended with {status}"))
                .controller(never)
        }
        Some(_) => Check::ok("quit", format!("it answered, and ended after {took}")),
    });
    if quit.status.is_some() {
        report.add(match quit.sockets_left {
            0 => Check::ok("sockets", "none left behind"),
            left => Check::warning("sockets", format!("{left} left behind after it ended"))
                .controller("leaves them in its temporary folder until its pod goes")
                .hint("let the library remove its socket: do not end by `exit` or `abort`"),
        });
    }
}

/// Kills the plugin's host.
pub(super) fn host_death(report: &mut Report, context: &Context<'_>) {
    context.spinner.label("killing the plugin's host");
    report.add(match killed(context) {
        Ok(Some((took, left))) => {
            let left = if left == 0 { "" } else { ", and left its socket behind" };
            Check::ok("host death", format!("it ended {} after its host{left}", time(took)))
        }
        Ok(None) => {
            let detail = format!("it still ran {} after its host was killed", time(NOTICE));
            Check::warning("host death", detail)
                .controller("takes it along when its container ends; elsewhere it would run on")
                .hint("end when the process that started it is gone; the Rust runtime does")
        }
        Err(error) => Check::failure("host death", format!("{error:#}"))
            .hint("the other checks started it without trouble: it may not start twice"),
    });
}

/// How long the plugin lived on, and how many sockets it left; none if it lives.
fn killed(context: &Context<'_>) -> Result<Option<(Duration, usize)>> {
    let directory = directory().context("cannot make a temporary folder")?;
    let mut host = Command::new(&context.options.itself)
        .args([HOLD, "--"])
        .arg(&context.options.plugin)
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the host that is to be killed")?;
    let _host_guard = Guard::new(host.id(), directory.path());
    let held = host.stdout.take().map(|stdout| held(stdout, context.options.timeout));
    let held = held.unwrap_or_else(|| Err(anyhow!("the host has no standard output")));
    let _plugin_guard = held.as_ref().map(|held| Guard::new(held.pid, directory.path()));
    let identity = held.as_ref().ok().and_then(|held| identity(held.pid));
    kill(&mut host);
    let held = held?;
    let identity = identity.context("the plugin has ended before its host")?;
    let begin = Instant::now();
    while self::identity(held.pid).as_ref() == Some(&identity) {
        if begin.elapsed() > NOTICE {
            if let Some(pid) = Pid::from_raw(held.pid.cast_signed()) {
                // It is the one that was started here: its start time says so.
                let _ = kill_process(pid, Signal::KILL);
            }
            return Ok(None);
        }
        thread::sleep(POLL);
    }
    let inner = std::fs::read_dir(directory.path()).into_iter().flatten().flatten();
    let left = inner.map(|entry| sockets(&entry.path())).sum();
    Ok(Some((begin.elapsed(), left)))
}

/// Reads what the host says once its plugin runs.
fn held(stdout: ChildStdout, timeout: Duration) -> Result<Held> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        // An error is an empty line.
        drop(BufReader::new(stdout).read_line(&mut line));
        drop(sender.send(line));
    });
    let line = receiver.recv_timeout(timeout.saturating_mul(2)).unwrap_or_default();
    serde_json::from_str(&line).context("it does not start under another host")
}

fn kill(host: &mut Child) {
    // Either fails only for a process that has ended.
    drop(host.kill());
    drop(host.wait());
}

/// When the process was started, as long as it runs: another process with its number has another
/// start time (`proc(5)`, `/proc/pid/stat`).
fn identity(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let runs = !matches!(fields.first(), Some(&("Z" | "X")));
    runs.then(|| fields.get(19).copied().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_until_it_ends() {
        let mut child =
            Command::new("/bin/sh").args(["-c", "read _"]).stdin(Stdio::piped()).spawn().unwrap();
        let first = identity(child.id()).unwrap();
        assert!(first.parse::<u64>().is_ok());
        assert_eq!(identity(child.id()), Some(first));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(identity(child.id()), None);
    }
}
