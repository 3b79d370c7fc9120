//! The plugin side of one net/rpc stream: requests in, calls out to the pool.

use std::sync::Arc;

use gobwire::Decoder;

use super::header::Request;
use super::pool::Pool;
use super::reply::{Call, Replies, Waiting};
use super::service::{Prepared, Service};
use crate::gob::{Budget, GobError, Sender, Values};
use crate::yamux::{Receiver, Refused, Stream};

/// Serves the calls of one stream.
pub(crate) struct ServerConnection {
    values: Values,
    calls: Calls,
}

struct Calls {
    service: Arc<Service>,
    replies: Arc<Replies>,
    pool: Pool,
    /// The header that has been read, while its argument is awaited.
    request: Option<Request>,
}

/// What all streams of a plugin share.
#[derive(Clone)]
pub(crate) struct Resources {
    pub(crate) pool: Pool,
    pub(crate) budget: Arc<Budget>,
    /// [`Limits::message`](crate::Limits::message).
    pub(crate) message: usize,
}

impl ServerConnection {
    pub(crate) fn new(stream: Stream, service: Arc<Service>, resources: Resources) -> Self {
        let Resources { pool, budget, message } = resources;
        let replies = Arc::new(Replies::new(stream));
        let values = Values::new(message, Sender::Anybody(budget));
        Self { values, calls: Calls { service, replies, pool, request: None } }
    }
}

impl Receiver for ServerConnection {
    fn data(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let calls = &mut self.calls;
        self.values.feed(bytes, |value| calls.value(value))
    }

    fn end(&mut self) {
        self.calls.replies.end();
    }
}

impl Calls {
    fn value(&mut self, value: Result<&mut Decoder, GobError>) -> Result<(), Refused> {
        let Some(request) = self.request.take() else {
            self.request = Some(header(value)?);
            return Ok(());
        };
        let name = request.service_method.as_str();
        tracing::trace!("< call {} of {name}", request.seq);
        match value {
            Err(error @ (GobError::NoLength | GobError::OutOfBudget)) => {
                tracing::debug!("argument of {name}: {error}");
                return Err(Refused);
            }
            Err(error) => self.refuse(request, &error.to_string()),
            Ok(decoder) => match self.service.prepare(name, decoder) {
                Some(Ok(prepared)) => self.run(request, prepared),
                Some(Err(error)) => self.refuse(request, &error.to_string()),
                None => {
                    // A failure to skip the argument does not touch the next call.
                    let _ = decoder.discard();
                    let reason = self.service.missing(name);
                    self.refuse(request, &reason);
                }
            },
        }
        Ok(())
    }

    fn run(&self, request: Request, prepared: Prepared) {
        let call = Call::new(&self.replies, request, prepared.failed);
        match prepared.inline {
            None => self.pool.submit(call, prepared.run),
            Some(then) => {
                call.answer(&(prepared.run)(), Waiting::Forbidden);
                then();
            }
        }
    }

    fn refuse(&self, request: Request, reason: &str) {
        tracing::debug!("call of {} refused: {reason}", request.service_method);
        let call = Call::new(&self.replies, request, |failure| Err(failure.to_string()));
        call.answer(&Err(reason.to_owned()), Waiting::Forbidden);
    }
}

fn header(value: Result<&mut Decoder, GobError>) -> Result<Request, Refused> {
    let request = match value {
        Ok(decoder) => decoder.decode::<Request>().map_err(GobError::from),
        Err(error) => Err(error),
    };
    request.map_err(|error| {
        tracing::debug!("request header: {error}");
        Refused
    })
}
