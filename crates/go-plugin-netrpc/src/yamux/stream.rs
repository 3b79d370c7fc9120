//! The sending side of one stream.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::INITIAL_WINDOW;
use super::frame::{Flags, HEADER_LEN, Header, Kind};
use super::session::Inner;

/// Largest payload we put into one frame, so that streams take turns on the connection.
const MAX_PAYLOAD: usize = 64 * 1024;

/// One stream of a session, to write to. What comes in goes to its [`Receiver`](super::Receiver).
///
/// Cloning gives another handle on the same stream.
#[derive(Debug, Clone)]
pub struct Stream {
    inner: Arc<StreamInner>,
}

/// Why nothing can be written to a stream.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// We have closed it.
    #[error("stream {id} is closed")]
    Closed {
        /// The stream.
        id: u32,
    },
    /// The peer, or the end of the session, has reset it.
    #[error("stream {id} was reset")]
    Reset {
        /// The stream.
        id: u32,
    },
    /// The peer has taken nothing off the stream for too long, or not enough to go on at once.
    #[error("stream {id} stalled: the peer does not read it")]
    Stalled {
        /// The stream.
        id: u32,
    },
    /// The session takes no new stream: it has ended, is about to, or is out of ids.
    #[error("the session takes no new stream")]
    SessionEnded,
    /// Writing to the connection failed.
    #[error("cannot write to the connection")]
    Io(#[from] io::Error),
}

#[derive(Debug)]
pub(super) struct StreamInner {
    id: u32,
    session: Arc<Inner>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    window: u32,
    local_closed: bool,
    remote_closed: bool,
    reset: bool,
}

impl Stream {
    pub(super) fn new(id: u32, session: Arc<Inner>) -> Self {
        let state = Mutex::new(State {
            window: INITIAL_WINDOW,
            local_closed: false,
            remote_closed: false,
            reset: false,
        });
        Self { inner: Arc::new(StreamInner { id, session, state, changed: Condvar::new() }) }
    }

    /// The stream's number: odd when the host opened it, even when the plugin did.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id
    }

    /// Writes all of `bytes`, waiting for the peer to take them.
    ///
    /// Bytes of two calls at the same time may mix; the caller keeps them apart.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; some of the bytes may have been sent.
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let allowed = self.take_window(bytes.len().min(MAX_PAYLOAD))?;
            let (now, later) = bytes.split_at(allowed.min(bytes.len()));
            self.inner.session.outbox().send(&self.data_frame(now))?;
            bytes = later;
        }
        Ok(())
    }

    /// Writes all of `bytes` without waiting: what the reading thread itself must use.
    ///
    /// # Errors
    ///
    /// [`StreamError::Stalled`] when the stream's window is too small, and nothing is sent.
    pub fn write_now(&self, bytes: &[u8]) -> Result<(), StreamError> {
        let id = self.id();
        let stalled = |_| StreamError::Stalled { id };
        let len = u32::try_from(bytes.len()).map_err(stalled)?;
        let mut state = self.lock();
        state.check(id)?;
        state.window = state.window.checked_sub(len).ok_or(StreamError::Stalled { id })?;
        drop(state);
        for chunk in bytes.chunks(MAX_PAYLOAD) {
            self.inner.session.outbox().post(&self.data_frame(chunk))?;
        }
        Ok(())
    }

    /// Tells the peer that no more data comes. What it still sends is received.
    pub fn close(&self) {
        let mut state = self.lock();
        if state.local_closed || state.reset {
            return;
        }
        state.local_closed = true;
        let done = state.remote_closed;
        drop(state);
        self.control(Kind::WindowUpdate, Flags::FIN, 0);
        if done {
            self.inner.session.forget(self.id());
        }
    }

    /// Ends the stream in both directions.
    pub fn reset(&self) {
        if !self.mark_reset() {
            self.control(Kind::WindowUpdate, Flags::RST, 0);
            self.inner.session.forget(self.id());
        }
    }

    /// Sends a frame without data. A failure shows when the session ends.
    pub(super) fn control(&self, kind: Kind, flags: Flags, length: u32) {
        let header = Header { kind, flags, stream_id: self.id(), length };
        self.inner.session.post(&header);
    }

    pub(super) fn add_window(&self, delta: u32) {
        let mut state = self.lock();
        state.window = state.window.saturating_add(delta);
        self.inner.changed.notify_all();
    }

    /// Notes the peer's FIN; `None` for a second one, else whether both sides are done.
    pub(super) fn mark_remote_closed(&self) -> Option<bool> {
        let mut state = self.lock();
        if state.remote_closed {
            return None;
        }
        state.remote_closed = true;
        Some(state.local_closed)
    }

    /// Makes every writer fail; returns whether the stream was reset already.
    pub(super) fn mark_reset(&self) -> bool {
        let mut state = self.lock();
        self.inner.changed.notify_all();
        std::mem::replace(&mut state.reset, true)
    }

    /// Waits until something can be sent, and takes up to `wanted` bytes off the window.
    fn take_window(&self, wanted: usize) -> Result<usize, StreamError> {
        let since = Instant::now();
        let stall = self.inner.session.write_stall();
        let mut state = self.lock();
        loop {
            state.check(self.id())?;
            if state.window > 0 {
                let taken = u32::try_from(wanted).unwrap_or(u32::MAX).min(state.window);
                state.window -= taken;
                return Ok(usize::try_from(taken).unwrap_or(wanted));
            }
            let left = stall.saturating_sub(since.elapsed());
            if left == Duration::ZERO {
                return Err(StreamError::Stalled { id: self.id() });
            }
            let waited = self.inner.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn data_frame(&self, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header = Header { kind: Kind::Data, flags: Flags::NONE, stream_id: self.id(), length };
        tracing::trace!("> {header:?}");
        let mut frame = Vec::with_capacity(HEADER_LEN + payload.len());
        frame.extend_from_slice(&header.encode());
        frame.extend_from_slice(payload);
        frame
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, id: u32) -> Result<(), StreamError> {
        if self.reset {
            return Err(StreamError::Reset { id });
        }
        if self.local_closed {
            return Err(StreamError::Closed { id });
        }
        Ok(())
    }
}
