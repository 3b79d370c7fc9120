//! The life of a plugin process: handshake, connections, and the reasons to end.

use std::env;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use signal_hook::consts::{SIGINT, SIGTERM};
use thiserror::Error;

use super::connection::Connections;
use super::listener::Listener;
use crate::handshake::{
    ENV_CLIENT_CERT, Handshake, HandshakeError, HandshakeLine, MAX_SOCKET_PATH,
};

/// How often to look for the host when the kernel does not tell us about its end.
const HOST_CHECK: Duration = Duration::from_millis(250);

/// How long to leave connections alone when there are no file descriptors for them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why [`Plugin::serve`](crate::Plugin::serve) returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The host has said `Control.Quit`.
    Quit,
    /// SIGTERM came.
    Terminated,
    /// The process that started us is gone.
    HostGone,
}

/// Why a plugin cannot serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The magic cookie is missing: not a host but a person has started the plugin.
    #[error(
        "not started by a plugin host: environment variable {key} is not set as a host sets it"
    )]
    NoHost {
        /// The variable that carries the cookie.
        key: String,
    },
    /// The host wants an encrypted connection.
    #[error("the host asks for mTLS ({ENV_CLIENT_CERT} is set), which is not supported")]
    Tls,
    /// The socket's directory is too deep.
    #[error(
        "socket path must be at most {MAX_SOCKET_PATH} bytes, got {length} with {path:?}; \
         set PLUGIN_UNIX_SOCKET_DIR to a shorter directory"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The socket cannot be created.
    #[error(
        "cannot listen on {path:?}: {source}; \
         set PLUGIN_UNIX_SOCKET_DIR to a directory that can be written"
    )]
    Listen {
        /// The path.
        path: PathBuf,
        /// What the system says. Part of the message, which must be complete in one line.
        source: io::Error,
    },
    /// The handshake line cannot be made.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The handshake line cannot be written: the host is gone already.
    #[error("cannot write the handshake line to standard output: {source}")]
    Stdout {
        /// What the system says. Part of the message, as everywhere here.
        source: io::Error,
    },
    /// The handlers of signals cannot be set.
    #[error("cannot handle signals: {source}")]
    Signals {
        /// What the system says.
        source: io::Error,
    },
    /// The process cannot be woken by its own threads.
    #[error("cannot create or poll the plugin's file descriptors: {source}")]
    Wake {
        /// What the system says.
        source: io::Error,
    },
}

pub(super) fn serve(
    handshake: &Handshake,
    connections: io::Result<Connections>,
) -> Result<Ended, ServeError> {
    check_cookie(handshake)?;
    let host = Host::watch();
    let connections = connections.map_err(ServeError::from).inspect_err(tell_host)?;
    let (listener, terminate) = listen(handshake).inspect_err(tell_host)?;
    tracing::debug!("listening on {:?}", listener.path());
    let ended = Loop { listener: &listener, connections: &connections, terminate, host }.run();
    drop(listener);
    ended.map_err(ServeError::from).inspect_err(|error| tracing::error!("{error}"))
}

/// Logs why there is no handshake line, and writes it in the place of one: a host's error quotes
/// what it finds there, while it may lose what a plugin logs at its end. The log comes first, since
/// a host may kill us for the other.
fn tell_host(error: &ServeError) {
    tracing::error!("{error}");
    let _host_is_gone = print(&format!("{error}\n"));
}

/// The socket, of which the host knows now, and what becomes readable on SIGTERM.
fn listen(handshake: &Handshake) -> Result<(Listener, UnixStream), ServeError> {
    if env::var_os(ENV_CLIENT_CERT).is_some_and(|certificate| !certificate.is_empty()) {
        return Err(ServeError::Tls);
    }
    let terminate = handle_signals().map_err(|source| ServeError::Signals { source })?;
    let listener = Listener::bind()?;
    let line = HandshakeLine {
        protocol_version: handshake.protocol_version,
        socket: listener.path().to_owned(),
    };
    print_handshake(&line.encode()?).map_err(|source| ServeError::Stdout { source })?;
    Ok((listener, terminate))
}

fn check_cookie(handshake: &Handshake) -> Result<(), ServeError> {
    let cookie = env::var_os(&handshake.cookie_key);
    if cookie.is_none_or(|cookie| cookie != *handshake.cookie_value) {
        return Err(ServeError::NoHost { key: handshake.cookie_key.clone() });
    }
    Ok(())
}

/// Ignores SIGINT, which a terminal sends to host and plugin alike, and makes the returned socket
/// readable on SIGTERM. Handlers, not an ignored signal, so that programs that the plugin runs
/// get the default again.
fn handle_signals() -> io::Result<UnixStream> {
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    let (terminate, sender) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, sender)?;
    Ok(terminate)
}

/// Writes the line, and points standard output to standard error.
///
/// The host reads one line. Whoever prints more would wait for ever once the pipe is full.
fn print_handshake(line: &str) -> io::Result<()> {
    print(line)?;
    Ok(rustix::stdio::dup2_stdout(io::stderr())?)
}

/// Writes past Rust's buffer, so that half a line which the program has printed stays behind it.
fn print(line: &str) -> io::Result<()> {
    let mut rest = line.as_bytes();
    let stdout = io::stdout();
    while !rest.is_empty() {
        match rustix::io::write(&stdout, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The process that started us.
struct Host {
    /// None when it is outside of our PID namespace: then nobody can be watched.
    pid: Option<Pid>,
    /// Becomes readable at its end. Not every kernel or sandbox has this.
    exit: Option<OwnedFd>,
}

impl Host {
    fn watch() -> Self {
        let pid = getppid();
        let exit = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Self { pid, exit }
    }

    fn is_gone(&self) -> bool {
        self.pid.is_some() && getppid() != self.pid
    }

    fn poll_interval(&self) -> Option<Duration> {
        (self.pid.is_some() && self.exit.is_none()).then_some(HOST_CHECK)
    }
}

struct Loop<'a> {
    listener: &'a Listener,
    connections: &'a Connections,
    terminate: UnixStream,
    host: Host,
}

impl Loop<'_> {
    fn run(&self) -> io::Result<Ended> {
        loop {
            if self.host.is_gone() {
                return Ok(Ended::HostGone);
            }
            let ready = self.wait()?;
            if ready.host_exit {
                return Ok(Ended::HostGone);
            }
            if ready.quit {
                return Ok(Ended::Quit);
            }
            if ready.terminate && (&self.terminate).read(&mut [0; 16]).is_ok() {
                return Ok(Ended::Terminated);
            }
            if ready.connection {
                self.accept();
            }
        }
    }

    fn accept(&self) {
        loop {
            let accepted = match self.listener.accept() {
                Ok(Some(socket)) => self.connections.spawn(socket),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if let Err(error) = accepted {
                tracing::warn!("connection refused: {error}");
                thread::sleep(ACCEPT_PAUSE);
                return;
            }
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.listener.socket().as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.connections.wake().as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.terminate.as_fd(), PollFlags::IN),
        ];
        if let Some(exit) = &self.host.exit {
            fds.push(PollFd::from_borrowed_fd(exit.as_fd(), PollFlags::IN));
        }
        let timeout = self
            .host
            .poll_interval()
            .map(|interval| Timespec { tv_sec: 0, tv_nsec: i64::from(interval.subsec_nanos()) });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            connection: ready.next().unwrap_or(false),
            quit: ready.next().unwrap_or(false),
            terminate: ready.next().unwrap_or(false),
            host_exit: ready.next().unwrap_or(false),
        })
    }
}

struct Ready {
    connection: bool,
    quit: bool,
    terminate: bool,
    host_exit: bool,
}
