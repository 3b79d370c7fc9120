//! The connections of hosts, and what each one's streams are for.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::broker::{Broker, BrokerStream};
use crate::gob::Budget;
use crate::limits::Limits;
use crate::rpc::{Pool, Resources, ServerConnection, Service, Source, Then};
use crate::yamux::{Acceptor, Reader, Receiver, Refused, Session, SessionError, Side, Stream};

/// Everything that serves hosts. Cloning gives another handle.
#[derive(Clone)]
pub(super) struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    services: BTreeMap<String, Arc<Service>>,
    limits: Limits,
    pool: Pool,
    budget: Arc<Budget>,
    open: Mutex<Vec<Open>>,
    quit: UnixStream,
    wake: UnixStream,
}

/// A connection in the order of arrival.
struct Open {
    session: Session,
    started: Arc<AtomicBool>,
}

/// A connection, for the threads of the pool to read in turns.
struct Connection {
    connections: Connections,
    session: Session,
    started: Arc<AtomicBool>,
    reader: Reader<Streams>,
    ended: Option<Ended>,
}

type Ended = Box<dyn FnOnce(Result<(), SessionError>) + Send>;

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Connections {
    pub(super) fn new(
        services: BTreeMap<String, Arc<Service>>,
        limits: Limits,
    ) -> io::Result<Self> {
        let (quit, wake) = UnixStream::pair()?;
        quit.set_nonblocking(true)?;
        let pool = Pool::new(&limits);
        let budget = Arc::new(Budget::new(limits.buffered));
        let open = Mutex::default();
        let shared = Shared { services, limits, pool, budget, open, quit, wake };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Becomes readable when a host says to quit.
    pub(super) fn wake(&self) -> &UnixStream {
        &self.shared.wake
    }

    /// Serves a connection on threads of the pool.
    pub(super) fn spawn(&self, socket: UnixStream) -> io::Result<()> {
        let connection = self.connect(socket, |result| {
            if let Err(error) = result {
                tracing::debug!("connection ended: {error}");
            }
        })?;
        self.shared.pool.serve(Box::new(connection))
    }

    /// Serves a connection, with this thread as the first to read it, until it ends.
    pub(super) fn serve_one(&self, socket: UnixStream) -> Result<(), SessionError> {
        let (sender, ended) = channel();
        let connection = self.connect(socket, move |result| {
            // Received below.
            let _ = sender.send(result);
        })?;
        self.shared.pool.lead(Box::new(connection));
        // Another thread may have taken over.
        ended.recv().unwrap_or_else(|gone| Err(io::Error::other(gone).into()))
    }

    fn connect(
        &self,
        socket: UnixStream,
        ended: impl FnOnce(Result<(), SessionError>) + Send + 'static,
    ) -> io::Result<Connection> {
        let (session, started) = self.register(socket)?;
        let reader = session.reader(Streams {
            shared: Arc::clone(&self.shared),
            broker: Arc::default(),
            session: session.clone(),
            opened: 0,
            started: Arc::clone(&started),
        });
        let ended = Some(Box::new(ended) as Ended);
        Ok(Connection { connections: self.clone(), session, started, reader, ended })
    }

    /// Makes room for a connection. One that has opened its streams is a host; the others are
    /// strangers until they do, and the oldest of them has to go.
    fn register(&self, socket: UnixStream) -> io::Result<(Session, Arc<AtomicBool>)> {
        let session = Session::new(socket, Side::Plugin, self.shared.limits.clone())?;
        let started = Arc::new(AtomicBool::new(false));
        let mut open = self.lock();
        if open.len() >= self.shared.limits.connections.max(1) {
            let stranger = open.iter().position(|open| !open.started.load(Ordering::Relaxed));
            let Some(stranger) = stranger else {
                return Err(io::Error::other("too many hosts are connected"));
            };
            open.remove(stranger).session.close();
        }
        open.push(Open { session: session.clone(), started: Arc::clone(&started) });
        Ok((session, started))
    }

    fn unregister(&self, started: &Arc<AtomicBool>) {
        self.lock().retain(|open| !Arc::ptr_eq(&open.started, started));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Connection {
    fn read(&mut self) -> bool {
        // A panic here would be a fault of ours; its host must not wait for an answer.
        let result = match catch_unwind(AssertUnwindSafe(|| self.reader.read())) {
            Ok(ControlFlow::Continue(())) => return true,
            Ok(ControlFlow::Break(result)) => result,
            Err(_panic) => Err(io::Error::other("the plugin's reader panicked").into()),
        };
        if let Some(ended) = self.ended.take() {
            ended(result);
        }
        false
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.close();
        self.connections.unregister(&self.started);
    }
}

/// What the streams of one connection are for, by the order in which the host opens them: control,
/// stdout, stderr (`rpc_client.go`, `NewRPCClient`), then one for each dispensed service.
struct Streams {
    shared: Arc<Shared>,
    broker: Arc<Broker>,
    session: Session,
    opened: u32,
    started: Arc<AtomicBool>,
}

impl Acceptor for Streams {
    fn accept(&mut self, stream: &Stream) -> Option<Box<dyn Receiver>> {
        self.opened = self.opened.saturating_add(1);
        let stream = stream.clone();
        match self.opened {
            1 => {
                let service = Arc::new(self.control());
                Some(Box::new(ServerConnection::new(stream, service, self.resources())))
            }
            2 => Some(Box::new(Stdio { stream })),
            3 => {
                self.started.store(true, Ordering::Relaxed);
                Some(Box::new(Stdio { stream }))
            }
            _ => {
                let broker = Arc::clone(&self.broker);
                Some(Box::new(BrokerStream::new(stream, broker, self.resources())))
            }
        }
    }

    fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }
}

impl Streams {
    fn resources(&self) -> Resources {
        Resources {
            pool: self.shared.pool.clone(),
            budget: Arc::clone(&self.shared.budget),
            message: self.shared.limits.message,
        }
    }

    /// The services of the control stream (`rpc_server.go`, `controlServer`, `dispenseServer`).
    fn control(&self) -> Service {
        let dispense = self.dispense();
        let quit = self.quit();
        Service::new()
            .inline("Control.Ping", |_null: bool| (Ok(Nothing {}), nothing()))
            .inline("Control.Quit", move |_null: bool| (Ok(Nothing {}), quit()))
            .inline("Dispenser.Dispense", move |name: String| (dispense(&name), nothing()))
    }

    fn dispense(&self) -> impl Fn(&str) -> Result<u32, String> + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        let broker = Arc::clone(&self.broker);
        move |name| {
            let service = shared.services.get(name);
            let service = service.ok_or_else(|| format!("unknown plugin type: {name}"))?;
            Ok(broker.offer(Arc::clone(service)))
        }
    }

    /// What happens once the answer to `Control.Quit` is on its way.
    fn quit(&self) -> impl Fn() -> Then + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        let session = self.session.clone();
        move || {
            let shared = Arc::clone(&shared);
            let session = session.clone();
            Box::new(move || {
                session.flush();
                // Fails only when a quit is already waiting to be seen.
                let _ = (&shared.quit).write(&[1]);
                session.finish();
            })
        }
    }
}

/// Go's `struct{}`, the reply of `Control`'s methods.
#[derive(Debug, Clone, Default, gobwire::Gob)]
struct Nothing {}

fn nothing() -> Then {
    Box::new(|| {})
}

/// The streams for output. We send nothing on them: output goes to standard error, which every
/// host logs, while these are dropped by most.
struct Stdio {
    stream: Stream,
}

impl Receiver for Stdio {
    fn data(&mut self, _bytes: &[u8]) -> Result<(), Refused> {
        Ok(())
    }

    fn end(&mut self) {
        self.stream.close();
    }
}
