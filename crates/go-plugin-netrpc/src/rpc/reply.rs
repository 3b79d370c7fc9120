//! Answers on their way back: encoding, order, and the one answer that each call gets.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gobwire::{Encode, Encoder};

use super::header::{Empty, Request, Response};
use super::service::{CallFailure, Outcome};
use crate::yamux::{Stream, StreamError};

/// Writes the answers of one stream.
///
/// As in the connection's outbox, the thread that writes also writes what others have to say, so
/// that no thread ever waits for another's peer.
#[derive(Debug)]
pub(crate) struct Replies {
    stream: Stream,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    encoder: Encoder,
    unsent: VecDeque<Vec<u8>>,
    writing: bool,
    in_flight: usize,
    /// The peer sends no more calls: close the stream after the last answer.
    ended: bool,
}

/// A call that has not been answered yet.
pub(crate) struct Call {
    replies: Arc<Replies>,
    request: Request,
    failed: fn(&CallFailure) -> Outcome,
    answered: AtomicBool,
}

/// Whether the thread that answers may wait for the peer to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A handler's thread.
    Allowed,
    /// A thread that others depend on.
    Forbidden,
}

impl Replies {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, state: Mutex::default() }
    }

    /// No more calls come.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.close_if_done(&state);
    }

    fn send(&self, request: &Request, outcome: &Outcome, waiting: Waiting) {
        let mut state = self.lock();
        let message = state.encode(request, outcome);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.unsent.push_back(message);
        if state.writing {
            return;
        }
        state.writing = true;
        while let Some(message) = state.unsent.pop_front() {
            drop(state);
            let result = match waiting {
                Waiting::Allowed => self.stream.write_all(&message),
                Waiting::Forbidden => self.stream.write_now(&message),
            };
            state = self.lock();
            if let Err(error) = result {
                state.unsent.clear();
                self.give_up(request, &error);
            }
        }
        state.writing = false;
        self.close_if_done(&state);
    }

    /// A stream that lost an answer, or half of one, is of no more use.
    fn give_up(&self, request: &Request, error: &StreamError) {
        tracing::debug!("answer to {} not sent: {error}", request.service_method);
        self.stream.reset();
    }

    fn close_if_done(&self, state: &State) {
        if state.ended && state.in_flight == 0 && !state.writing && state.unsent.is_empty() {
            self.stream.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Header and body. The body goes first through the encoder, so that a body that cannot be
    /// encoded still gets a header with the reason.
    fn encode(&mut self, request: &Request, outcome: &Outcome) -> Vec<u8> {
        let (body, error) = match outcome {
            Ok(reply) => match self.encoder.encode(reply.as_ref() as &dyn Encode) {
                Ok(body) => (body, String::new()),
                Err(error) => (Vec::new(), format!("cannot encode the reply: {error}")),
            },
            Err(error) if error.is_empty() => (Vec::new(), "unknown error".to_owned()),
            Err(error) => (Vec::new(), error.clone()),
        };
        let header =
            Response { service_method: request.service_method.clone(), seq: request.seq, error };
        let mut message = self.encoder.encode(&header).unwrap_or_default();
        if header.error.is_empty() {
            message.extend_from_slice(&body);
        } else {
            message.extend_from_slice(&self.encoder.encode(&Empty {}).unwrap_or_default());
        }
        message
    }
}

impl Call {
    pub(crate) fn new(
        replies: &Arc<Replies>,
        request: Request,
        failed: fn(&CallFailure) -> Outcome,
    ) -> Self {
        replies.lock().in_flight += 1;
        Self { replies: Arc::clone(replies), request, failed, answered: AtomicBool::new(false) }
    }

    pub(crate) fn method(&self) -> &str {
        &self.request.service_method
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }

    /// Answers the call, unless that has been done; returns whether it was done now.
    pub(crate) fn answer(&self, outcome: &Outcome, waiting: Waiting) -> bool {
        let first = !self.answered.swap(true, Ordering::AcqRel);
        if first {
            self.replies.send(&self.request, outcome, waiting);
        }
        first
    }

    pub(crate) fn fail(&self, failure: &CallFailure, waiting: Waiting) -> bool {
        if self.is_answered() {
            return false;
        }
        self.answer(&(self.failed)(failure), waiting)
    }
}
