//! What people see: standard error, spinner, and numbers with their units.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::session::lock;

/// Nothing turns before this.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

const FRAMES: [char; 4] = ['-', '\\', '|', '/'];

/// What is good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();

/// What deserves a look.
pub(crate) const CAUTION: Style = AnsiColor::Yellow.on_default();

/// What does not work.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// What is not important.
pub(crate) const QUIET: Style = Style::new().dimmed();

/// Writes lines for people; there may be nobody.
pub fn say(text: &str) {
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

/// Says on a terminal what takes so long, once it takes over a second.
#[derive(Debug)]
pub struct Spinner {
    label: Arc<Mutex<String>>,
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Spinner {
    /// Turns until it is dropped; not at all if standard error is no terminal.
    #[must_use]
    pub fn start() -> Self {
        let label = Arc::new(Mutex::new(String::new()));
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !io::stderr().is_terminal() {
            return Self { label, running: None };
        }
        let (sender, stop) = channel();
        let shown = Arc::clone(&label);
        let turn = move || {
            let mut wait = PATIENCE;
            for frame in FRAMES.iter().cycle() {
                if stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                drop(write!(io::stderr().lock(), "\r\x1b[K{frame} {}", lock(&shown)));
                wait = TURN;
            }
            if wait == TURN {
                drop(write!(io::stderr().lock(), "\r\x1b[K"));
            }
        };
        let thread = thread::Builder::new().name("spinner".to_owned()).spawn(turn);
        Self { label, running: thread.ok().map(|thread| (sender, thread)) }
    }

    /// Says what is done now.
    pub fn label(&self, text: &str) {
        text.clone_into(&mut lock(&self.label));
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // It draws nothing after this.
            drop(thread.join());
        }
    }
}

/// A duration such as `146 µs`, `1.2 ms` or `2.0 s`.
pub(crate) fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros < 1000 {
        format!("{micros} µs")
    } else if micros < 1_000_000 {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// A size such as `640 KiB` or `1.1 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        format!("{bytes} bytes")
    } else if bytes < 1 << 20 {
        format!("{} KiB", bytes >> 10)
    } else {
        let tenths = bytes.saturating_mul(10) >> 20;
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_fitting_units() {
        assert_eq!(time(Duration::from_nanos(146_900)), "146 µs");
        assert_eq!(time(Duration::from_micros(1234)), "1.2 ms");
        assert_eq!(time(Duration::from_millis(2000)), "2.0 s");
        assert_eq!(size(5), "5 bytes");
        assert_eq!(size(655_360), "640 KiB");
        assert_eq!(size(1_153_434), "1.1 MiB");
    }
}
