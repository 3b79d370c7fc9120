//! The host side of one net/rpc stream.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gobwire::{Decode, Decoder, Encode, Encoder};
use thiserror::Error;

use super::header::{Request, Response};
use crate::gob::{GobError, Sender, Values};
use crate::yamux::{Receiver, Refused, Stream, StreamError};

/// Calls the methods that a plugin serves on one stream. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct RpcClient {
    stream: Stream,
    outgoing: Arc<Mutex<Outgoing>>,
    pending: Arc<Mutex<Pending>>,
}

/// Why a call has no reply.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The plugin answered with an error of net/rpc's.
    #[error("{method}: {message}")]
    Remote {
        /// The method called.
        method: String,
        /// The plugin's words.
        message: String,
    },
    /// The plugin has not answered in time.
    #[error("{method}: no answer within {limit:?}")]
    Timeout {
        /// The method called.
        method: String,
        /// The time allowed.
        limit: Duration,
    },
    /// The plugin has gone, or has closed the stream.
    #[error("{method}: the connection to the plugin has ended")]
    Ended {
        /// The method called.
        method: String,
    },
    /// The reply is not what the method must return.
    #[error("{method}: cannot read the reply")]
    Reply {
        /// The method called.
        method: String,
        /// What is wrong with it.
        source: GobError,
    },
    /// The argument cannot be encoded.
    #[error("{method}: cannot encode the argument")]
    Argument {
        /// The method called.
        method: String,
        /// What is wrong with it.
        source: gobwire::Error,
    },
    /// The call cannot be sent.
    #[error("{method}: cannot send the call")]
    Send {
        /// The method called.
        method: String,
        /// Why not.
        source: StreamError,
    },
}

#[derive(Debug, Default)]
struct Outgoing {
    encoder: Encoder,
    last_seq: u64,
}

type Finish = Box<dyn FnOnce(Result<&mut Decoder, CallError>) + Send>;

#[derive(Default)]
struct Pending {
    calls: HashMap<u64, (String, Finish)>,
    ended: bool,
}

/// Reads the responses of one stream.
pub(crate) struct Responses {
    values: Values,
    header: Option<Response>,
    pending: Arc<Mutex<Pending>>,
}

impl RpcClient {
    /// A client on `stream`, and the receiver to open the stream with.
    pub(crate) fn new(stream: &Stream, limit: usize) -> (Self, Responses) {
        let pending = Arc::<Mutex<Pending>>::default();
        let responses = Responses {
            values: Values::new(limit, Sender::Plugin),
            header: None,
            pending: Arc::clone(&pending),
        };
        (Self { stream: stream.clone(), outgoing: Arc::default(), pending }, responses)
    }

    /// Calls a method by its full name, such as `Plugin.Init`, and waits for the reply.
    ///
    /// # Errors
    ///
    /// [`CallError`]. After a timeout the plugin may still be at work; its answer is dropped.
    pub fn call<A, R>(&self, method: &str, argument: &A, limit: Duration) -> Result<R, CallError>
    where
        A: Encode + ?Sized,
        R: Decode + Default + Send + 'static,
    {
        let (sender, receiver) = channel();
        let finish: Finish = Box::new(move |reply: Result<&mut Decoder, CallError>| {
            // The caller is gone after a timeout.
            let _ = sender.send(reply.map(|decoder| decoder.decode::<R>()));
        });
        let seq = self.send(method, argument, finish)?;
        let method = || method.to_owned();
        match receiver.recv_timeout(limit) {
            Ok(Ok(Ok(reply))) => Ok(reply),
            Ok(Ok(Err(error))) => Err(CallError::Reply { method: method(), source: error.into() }),
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => {
                lock(&self.pending).calls.remove(&seq);
                Err(CallError::Timeout { method: method(), limit })
            }
            Err(RecvTimeoutError::Disconnected) => Err(CallError::Ended { method: method() }),
        }
    }

    /// Closes the stream. Calls under way still get their replies.
    pub fn close(&self) {
        self.stream.close();
    }

    fn send<A>(&self, method: &str, argument: &A, finish: Finish) -> Result<u64, CallError>
    where
        A: Encode + ?Sized,
    {
        // Held while writing: calls must go out in the order in which they were encoded.
        let mut outgoing = lock(&self.outgoing);
        let seq = outgoing.last_seq + 1;
        let request = Request { service_method: method.to_owned(), seq };
        let argument = outgoing.encoder.encode(argument);
        let unencodable = |source| CallError::Argument { method: method.to_owned(), source };
        let argument = argument.map_err(unencodable)?;
        let mut message = outgoing.encoder.encode(&request).map_err(unencodable)?;
        message.extend_from_slice(&argument);
        outgoing.last_seq = seq;
        let mut pending = lock(&self.pending);
        if pending.ended {
            return Err(CallError::Ended { method: method.to_owned() });
        }
        pending.calls.insert(seq, (method.to_owned(), finish));
        drop(pending);
        self.stream.write_all(&message).map_err(|source| {
            lock(&self.pending).calls.remove(&seq);
            CallError::Send { method: method.to_owned(), source }
        })?;
        Ok(seq)
    }
}

impl Receiver for Responses {
    fn data(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let Self { values, header, pending } = self;
        values.feed(bytes, |value| match header.take() {
            None => {
                let response = value.ok().and_then(|decoder| decoder.decode::<Response>().ok());
                *header = Some(response.ok_or(Refused)?);
                Ok(())
            }
            Some(response) => finish(pending, response, value),
        })
    }

    fn end(&mut self) {
        let mut pending = lock(&self.pending);
        pending.ended = true;
        let calls = std::mem::take(&mut pending.calls);
        drop(pending);
        for (method, finish) in calls.into_values() {
            finish(Err(CallError::Ended { method }));
        }
    }
}

fn finish(
    pending: &Mutex<Pending>,
    response: Response,
    value: Result<&mut Decoder, GobError>,
) -> Result<(), Refused> {
    let call = lock(pending).calls.remove(&response.seq);
    let no_length = matches!(value, Err(GobError::NoLength));
    match (call, value) {
        (None, Ok(decoder)) => {
            // Nobody waits for it any more; a failure to skip it does not touch the next one.
            let _ = decoder.discard();
        }
        (None, Err(_)) => {}
        (Some((method, finish)), Ok(decoder)) if response.error.is_empty() => {
            tracing::trace!("> reply {} of {method}", response.seq);
            finish(Ok(decoder));
        }
        (Some((method, finish)), value) => {
            if let Ok(decoder) = value {
                let _ = decoder.discard();
                finish(Err(CallError::Remote { method, message: response.error }));
            } else if let Err(source) = value {
                finish(Err(CallError::Reply { method, source }));
            }
        }
    }
    if no_length { Err(Refused) } else { Ok(()) }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.calls.keys()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
