//! A host's connection to a plugin (`rpc_client.go`).

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::limits::Limits;
use crate::rpc::{CallError, Responses, RpcClient};
use crate::yamux::{Acceptor, Receiver, Refused, Session, Side, Stream, StreamError};

/// How long `Control` and the broker may take to answer.
const CONTROL_LIMIT: Duration = Duration::from_secs(10);

/// A connection with its control stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    control: RpcClient,
    limits: Limits,
}

/// Why a plugin cannot be reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The socket cannot be used.
    #[error("cannot use the plugin's socket")]
    Socket(#[from] io::Error),
    /// A stream cannot be opened.
    #[error("cannot open a stream to the plugin")]
    Stream(#[from] StreamError),
    /// A call of `Control` or `Dispenser` failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The plugin has not confirmed the stream for a service.
    #[error("the plugin has not confirmed the stream for {name:?}")]
    NotConfirmed {
        /// The service dispensed.
        name: String,
    },
}

impl Connection {
    /// Opens the control, stdout and stderr streams over a connected socket.
    ///
    /// What the plugin writes to the latter two is dropped, as most hosts do; output that plugins
    /// want to be seen is on their standard error.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] when the plugin is gone.
    pub fn new(socket: UnixStream, limits: Limits) -> Result<Self, ConnectionError> {
        let session = Session::new(socket, Side::Host, limits.clone())?;
        let mut control = None;
        session.open(|stream| {
            let (client, responses) = RpcClient::new(stream, limits.message);
            control = Some(client);
            responses
        })?;
        session.open(|_| Output)?;
        session.open(|_| Output)?;
        let reader = session.clone();
        thread::Builder::new().name("host-read".to_owned()).spawn(move || {
            if let Err(error) = reader.run(RefuseAll) {
                tracing::debug!("connection to the plugin ended: {error}");
            }
        })?;
        let ended = ConnectionError::Stream(StreamError::SessionEnded);
        Ok(Self { session, control: control.ok_or(ended)?, limits })
    }

    /// Connects to a service that the plugin serves under `name`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`], among others when the plugin has no such service.
    pub fn dispense(&self, name: &str) -> Result<RpcClient, ConnectionError> {
        let id: u32 = self.control.call("Dispenser.Dispense", name, CONTROL_LIMIT)?;
        let (sender, confirmed) = channel();
        let mut client = None;
        let stream = self.session.open(|stream| {
            let (rpc, responses) = RpcClient::new(stream, self.limits.message);
            client = Some(rpc);
            Dial { id, received: Vec::with_capacity(4), confirmed: Some(sender), responses }
        })?;
        stream.write_all(&id.to_le_bytes())?;
        let not_confirmed = || ConnectionError::NotConfirmed { name: name.to_owned() };
        confirmed.recv_timeout(CONTROL_LIMIT).map_err(|_| not_confirmed())?;
        client.ok_or_else(not_confirmed)
    }

    /// Asks whether the plugin is there.
    ///
    /// # Errors
    ///
    /// [`CallError`] when it is not.
    pub fn ping(&self) -> Result<(), CallError> {
        self.control.call::<_, Nothing>("Control.Ping", &true, CONTROL_LIMIT).map(|_| ())
    }

    /// Tells the plugin to end.
    ///
    /// # Errors
    ///
    /// [`CallError`] when it has not confirmed that.
    pub fn quit(&self) -> Result<(), CallError> {
        self.control.call::<_, Nothing>("Control.Quit", &true, CONTROL_LIMIT).map(|_| ())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.close();
    }
}

/// Go's `struct{}`.
#[derive(Debug, Clone, Default, gobwire::Gob)]
struct Nothing {}

/// Plugins have no stream to open: nothing is served to them.
struct RefuseAll;

impl Acceptor for RefuseAll {
    fn accept(&mut self, _stream: &Stream) -> Option<Box<dyn Receiver>> {
        None
    }

    fn started(&self) -> bool {
        true
    }
}

struct Output;

impl Receiver for Output {
    fn data(&mut self, _bytes: &[u8]) -> Result<(), Refused> {
        Ok(())
    }

    fn end(&mut self) {}
}

/// A stream for a service: first the broker's confirmation, then responses.
struct Dial {
    id: u32,
    received: Vec<u8>,
    confirmed: Option<Sender<()>>,
    responses: Responses,
}

impl Receiver for Dial {
    fn data(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let missing = 4_usize.saturating_sub(self.received.len());
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.received.extend_from_slice(head);
        if self.received.len() == 4
            && let Some(confirmed) = self.confirmed.take()
        {
            if self.received != self.id.to_le_bytes() {
                return Err(Refused);
            }
            // The caller has given up.
            let _ = confirmed.send(());
        }
        if rest.is_empty() { Ok(()) } else { self.responses.data(rest) }
    }

    fn end(&mut self) {
        self.confirmed = None;
        self.responses.end();
    }
}
