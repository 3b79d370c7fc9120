//! Plugin processes: start, connect, end (`client.go`).

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use thiserror::Error;

use super::connection::{Connection, ConnectionError};
use crate::handshake::{Handshake, HandshakeError, HandshakeLine};
use crate::hclog::LogLine;
use crate::limits::Limits;

/// Longest line of a plugin's output that is read in one piece (`client.go`,
/// `defaultPluginLogBufferSize`).
const MAX_LINE: u64 = 64 * 1024;

/// How often to look whether a process has ended.
const POLL: Duration = Duration::from_millis(5);

type OnLog = Arc<dyn Fn(LogLine) + Send + Sync>;

/// Starts plugins.
#[derive(Clone)]
pub struct Host {
    handshake: Handshake,
    limits: Limits,
    start_limit: Duration,
    quit_limit: Duration,
    on_log: OnLog,
}

/// Where a plugin that runs already can be found (`client.go`, `ReattachConfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reattach {
    /// Its socket.
    pub socket: PathBuf,
    /// Its process, to be killed if it does not quit; none leaves it alone.
    pub pid: Option<u32>,
}

/// A running plugin. Dropping it kills the process that was started for it.
#[derive(Debug)]
pub struct PluginProcess {
    connection: Connection,
    process: Process,
    socket: PathBuf,
    quit_limit: Duration,
}

/// Why there is no plugin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The program cannot be started.
    #[error("cannot start {program:?}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program ended, or closed its standard output, without a handshake line. Why is in its
    /// log.
    #[error("the plugin ended before its handshake line ({status})")]
    Exited {
        /// How it ended, as far as known.
        status: String,
    },
    /// There was no handshake line in time.
    #[error("the plugin has not printed its handshake line within {limit:?}")]
    Timeout {
        /// The time allowed.
        limit: Duration,
    },
    /// The handshake line is not one that we can work with.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The socket does not accept connections.
    #[error("cannot connect to the plugin at {socket:?}")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// What can be done to end a plugin.
#[derive(Debug)]
enum Process {
    Child(Child),
    Other(Option<Pid>),
}

impl Host {
    /// A host with the default limits that drops the plugins' logs.
    #[must_use]
    pub fn new(handshake: Handshake) -> Self {
        Self {
            handshake,
            limits: Limits::default(),
            start_limit: Duration::from_secs(60),
            quit_limit: Duration::from_secs(2),
            on_log: Arc::new(|_| {}),
        }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a plugin may take to print its handshake line; default 60 s.
    #[must_use]
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// Calls `on_log`, in a thread of its own, with each line of a plugin's standard error.
    #[must_use]
    pub fn on_log(mut self, on_log: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        self.on_log = Arc::new(on_log);
        self
    }

    /// Starts `command` as a plugin. It gets this process's environment, as with Go's hosts.
    ///
    /// # Errors
    ///
    /// [`HostError`]; then the process has been killed.
    pub fn start(&self, mut command: Command) -> Result<PluginProcess, HostError> {
        command
            .env(&self.handshake.cookie_key, &self.handshake.cookie_value)
            .env("PLUGIN_MIN_PORT", "0")
            .env("PLUGIN_MAX_PORT", "0")
            .env("PLUGIN_PROTOCOL_VERSIONS", self.handshake.protocol_version.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = PathBuf::from(command.get_program());
        let failed = |source| HostError::Start { program: program.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let mut process = Process::Child(child);
        if let Some(stderr) = stderr {
            let on_log = Arc::clone(&self.on_log);
            let log = move || read_lines(stderr, |line| on_log(LogLine::parse(&line)));
            let log = thread::Builder::new().name("plugin-stderr".to_owned()).spawn(log);
            log.map_err(failed)?;
        }
        let line = self.handshake_line(stdout, &mut process)?;
        self.connect(line.socket, process)
    }

    /// Connects to a plugin that runs already.
    ///
    /// # Errors
    ///
    /// [`HostError`] when there is none.
    pub fn reattach(&self, reattach: &Reattach) -> Result<PluginProcess, HostError> {
        let pid = reattach.pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        self.connect(reattach.socket.clone(), Process::Other(pid))
    }

    fn connect(&self, socket: PathBuf, process: Process) -> Result<PluginProcess, HostError> {
        let connected = UnixStream::connect(&socket);
        let failed = |source| HostError::Connect { socket: socket.clone(), source };
        let connection = Connection::new(connected.map_err(failed)?, self.limits.clone())?;
        Ok(PluginProcess { connection, process, socket, quit_limit: self.quit_limit })
    }

    fn handshake_line(
        &self,
        stdout: Option<ChildStdout>,
        process: &mut Process,
    ) -> Result<HandshakeLine, HostError> {
        let exited = |process: &mut Process| HostError::Exited {
            status: process.wait(Duration::from_secs(1)),
        };
        let Some(stdout) = stdout else {
            return Err(exited(process));
        };
        match first_line(stdout)?.recv_timeout(self.start_limit) {
            Ok(line) => {
                let line = HandshakeLine::parse(&line)?;
                let expected = self.handshake.protocol_version;
                let actual = line.protocol_version;
                if actual != expected {
                    return Err(HandshakeError::ProtocolVersion { expected, actual }.into());
                }
                Ok(line)
            }
            Err(RecvTimeoutError::Timeout) => Err(HostError::Timeout { limit: self.start_limit }),
            Err(RecvTimeoutError::Disconnected) => Err(exited(process)),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("handshake", &self.handshake).finish_non_exhaustive()
    }
}

impl PluginProcess {
    /// The connection to the plugin.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How another host can find this plugin while this one keeps it.
    #[must_use]
    pub fn reattach(&self) -> Reattach {
        let pid = match &self.process {
            Process::Child(child) => Some(child.id()),
            Process::Other(pid) => pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()),
        };
        Reattach { socket: self.socket.clone(), pid }
    }

    /// Tells the plugin to quit, and kills it if it has not ended 2 s later.
    ///
    /// Returns whether it ended by itself.
    pub fn quit(mut self) -> bool {
        let told = self.connection.quit();
        if let Err(error) = &told {
            tracing::debug!("the plugin did not confirm that it quits: {error}");
        }
        told.is_ok() && self.process.has_ended_within(self.quit_limit)
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended_within(Duration::ZERO)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        match self {
            Self::Child(child) => {
                // Fails only for a process that has ended, and been waited for.
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Other(_) => {}
        }
    }
}

impl Process {
    fn has_ended_within(&mut self, limit: Duration) -> bool {
        let since = Instant::now();
        loop {
            let ended = match self {
                Self::Child(child) => child.try_wait().is_ok_and(|status| status.is_some()),
                Self::Other(pid) => pid.is_none_or(|pid| test_kill_process(pid).is_err()),
            };
            if ended {
                return true;
            }
            if since.elapsed() >= limit {
                if limit > Duration::ZERO {
                    self.kill();
                }
                return false;
            }
            thread::sleep(POLL);
        }
    }

    fn kill(&mut self) {
        match self {
            // Either fails only for a process that has ended.
            Self::Child(child) => drop(child.kill()),
            Self::Other(Some(pid)) => drop(kill_process(*pid, Signal::KILL)),
            Self::Other(None) => {}
        }
    }

    fn wait(&mut self, limit: Duration) -> String {
        if !self.has_ended_within(limit) {
            return "standard output closed".to_owned();
        }
        match self {
            Self::Child(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            Self::Other(_) => None,
        }
        .unwrap_or_else(|| "unknown status".to_owned())
    }
}

/// Reads the first line in a thread of its own, which then drops what follows: a plugin that
/// prints more must not wait for a reader.
fn first_line(stdout: ChildStdout) -> Result<Receiver<String>, HostError> {
    let (sender, receiver) = channel();
    let read = move || {
        let mut sender = Some(sender);
        read_lines(stdout, |line| {
            if let Some(sender) = sender.take() {
                // Nobody waits for it after the timeout.
                let _ = sender.send(line);
            }
        });
    };
    let thread = thread::Builder::new().name("plugin-stdout".to_owned()).spawn(read);
    match thread {
        Ok(_detached) => Ok(receiver),
        Err(source) => Err(ConnectionError::Socket(source).into()),
    }
}

fn read_lines(source: impl Read, mut on_line: impl FnMut(String)) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match source.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                on_line(text.trim_end_matches(['\n', '\r']).to_owned());
            }
        }
    }
}
