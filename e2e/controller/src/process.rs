//! Programs that run beside a test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use e2e::{Failure, Result};

/// A process that ends with this value, whatever else happens in the test.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, which writes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command
            .spawn()
            .map_err(|error| Failure::new(format!("failed to start {name}: {error}")))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Fails with the end of the log if the process has ended by itself.
    pub fn must_run(&mut self) -> Result {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// The last lines that it wrote.
    pub fn log_end(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(30);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    fn ended(&self, status: ExitStatus) -> Failure {
        Failure::new(format!("{} must go on, but: {status}\n{}", self.name, self.log_end()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing left to do about an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
