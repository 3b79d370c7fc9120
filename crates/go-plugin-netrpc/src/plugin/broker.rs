//! The broker: streams that are opened by number (`mux_broker.go`).
//!
//! A host that dispenses a service is told a number. It opens a stream, sends the number, gets it
//! back, and then speaks net/rpc with the service on that stream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rpc::{Resources, ServerConnection, Service};
use crate::yamux::{Receiver, Refused, Stream};

/// How long a number can be used (`mux_broker.go`, `timeoutWait`).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Numbers given out and not used yet; one more forgets the oldest.
const MAX_PENDING: usize = 64;

/// The numbers given out in one connection.
#[derive(Debug, Default)]
pub(super) struct Broker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u32,
    pending: VecDeque<(u32, Instant, Arc<Service>)>,
}

impl Broker {
    /// Gives out a number for `service`.
    pub(super) fn offer(&self, service: Arc<Service>) -> u32 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_id = state.last_id.wrapping_add(1);
        let id = state.last_id;
        if state.pending.len() >= MAX_PENDING {
            state.pending.pop_front();
        }
        state.pending.push_back((id, Instant::now(), service));
        id
    }

    fn take(&self, id: u32) -> Option<Arc<Service>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.retain(|(_, since, _)| since.elapsed() < TIMEOUT);
        let index = state.pending.iter().position(|(pending, ..)| *pending == id)?;
        state.pending.remove(index).map(|(_, _, service)| service)
    }
}

/// A stream that a host opened for a number.
pub(super) struct BrokerStream {
    stream: Stream,
    broker: Arc<Broker>,
    resources: Resources,
    stage: Stage,
}

enum Stage {
    /// The bytes of the number so far.
    Id(Vec<u8>),
    Serving(Box<ServerConnection>),
}

impl BrokerStream {
    pub(super) fn new(stream: Stream, broker: Arc<Broker>, resources: Resources) -> Self {
        Self { stream, broker, resources, stage: Stage::Id(Vec::with_capacity(4)) }
    }

    /// Reads the number off the front of `bytes`; the service once it is there.
    fn connect(&mut self, bytes: &mut &[u8]) -> Result<(), Refused> {
        let Stage::Id(id) = &mut self.stage else {
            return Ok(());
        };
        let (head, rest) = bytes.split_at((4 - id.len()).min(bytes.len()));
        id.extend_from_slice(head);
        *bytes = rest;
        let Ok(id) = <[u8; 4]>::try_from(id.as_slice()) else {
            return Ok(());
        };
        let id = u32::from_le_bytes(id);
        let service = self.broker.take(id).ok_or_else(|| {
            tracing::debug!("stream {} asks for number {id}, which is not open", self.stream.id());
            Refused
        })?;
        self.stream.write_now(&id.to_le_bytes()).map_err(|_| Refused)?;
        let stream = self.stream.clone();
        let connection = ServerConnection::new(stream, service, self.resources.clone());
        self.stage = Stage::Serving(Box::new(connection));
        Ok(())
    }
}

impl Receiver for BrokerStream {
    fn data(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        self.connect(&mut bytes)?;
        match &mut self.stage {
            Stage::Serving(connection) if !bytes.is_empty() => connection.data(bytes),
            _ => Ok(()),
        }
    }

    fn end(&mut self) {
        match &mut self.stage {
            Stage::Id(_) => self.stream.close(),
            Stage::Serving(connection) => connection.end(),
        }
    }
}
