//! What must not stay behind when this program is interrupted: plugins and their folders.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static LIVE: Mutex<BTreeMap<u32, PathBuf>> = Mutex::new(BTreeMap::new());

/// A process and its folder, as long as it is to be cleaned up.
#[derive(Debug)]
pub(crate) struct Guard(u32);

impl Guard {
    pub(crate) fn new(pid: u32, directory: &Path) -> Self {
        live().insert(pid, directory.to_owned());
        Self(pid)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        live().remove(&self.0);
    }
}

/// Cleans up on the signals that end a program, and ends it as they do.
///
/// # Errors
///
/// When signals cannot be handled.
pub fn on_signal() -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            clean_up();
            end(signal);
        }
    })?;
    Ok(())
}

fn clean_up() {
    for (pid, directory) in live().iter() {
        if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        drop(fs::remove_dir_all(directory));
    }
}

#[expect(clippy::exit, reason = "other threads wait for a plugin, which may take for ever")]
fn end(signal: i32) -> ! {
    std::process::exit(128 + signal)
}

fn live() -> MutexGuard<'static, BTreeMap<u32, PathBuf>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}
