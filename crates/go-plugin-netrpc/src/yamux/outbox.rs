//! The writing half of a connection, shared by every thread that has a frame to send.
//!
//! A thread that finds nobody writing writes for itself and then for all who came meanwhile.
//! The reading thread must never wait for the peer to read (two such threads facing each other
//! would wait for ever), so it only posts: what the socket does not take at once goes to a thread
//! that is started for it.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;

/// Unsent bytes from which threads that may wait do so.
const MAX_UNSENT: usize = 1 << 20;

/// Unsent bytes that may pile up when nobody can wait. A peer that does not read but keeps asking
/// ends the connection.
const MAX_POSTED: usize = 2 << 20;

#[derive(Debug)]
pub(crate) struct Outbox {
    socket: UnixStream,
    state: Mutex<State>,
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    unsent: Vec<u8>,
    writing: bool,
    failed: bool,
}

impl Outbox {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, state: Mutex::default(), drained: Condvar::new() }
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Sends a frame, waiting while the peer does not read.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        while state.writing && !state.failed && state.unsent.len() > MAX_UNSENT {
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.writing {
            state.unsent.extend_from_slice(frame);
            return Ok(());
        }
        state.writing = true;
        drop(state);
        let result = (&self.socket).write_all(frame);
        self.finish(result)
    }

    /// Sends a frame without waiting.
    pub(crate) fn post(self: &Arc<Self>, frame: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.writing {
            if state.unsent.len() > MAX_POSTED {
                drop(state);
                self.fail();
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.unsent.extend_from_slice(frame);
            return Ok(());
        }
        let rest = match self.try_write(frame) {
            Ok([]) => return Ok(()),
            Ok(rest) => rest,
            Err(error) => {
                drop(state);
                self.fail();
                return Err(error);
            }
        };
        state.writing = true;
        state.unsent.extend_from_slice(rest);
        drop(state);
        let outbox = Arc::clone(self);
        let writer = thread::Builder::new().name("yamux-write".to_owned());
        match writer.spawn(move || outbox.finish(Ok(()))) {
            Ok(_detached) => Ok(()),
            Err(error) => {
                self.fail();
                Err(error)
            }
        }
    }

    /// Makes every later send fail, and the reading thread see the end of the connection.
    pub(crate) fn fail(&self) {
        let mut state = self.lock();
        state.failed = true;
        state.unsent = Vec::new();
        // Fails only if the peer is already gone.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.drained.notify_all();
    }

    /// Waits until nothing is left to send, or `limit` has passed.
    pub(crate) fn flush(&self, limit: Duration) {
        let state = self.lock();
        let busy = |state: &mut State| state.writing && !state.failed;
        // Either way there is nothing more to do about it.
        drop(self.drained.wait_timeout_while(state, limit, busy));
    }

    /// Makes every later send fail, while the peer can still be read.
    pub(crate) fn finish_sending(&self) {
        let mut state = self.lock();
        state.failed = true;
        // Fails only if the peer is already gone.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// As the thread that writes: sends what others left meanwhile, until nothing is left.
    fn finish(&self, mut result: io::Result<()>) -> io::Result<()> {
        loop {
            if let Err(error) = result {
                self.fail();
                self.lock().writing = false;
                return Err(error);
            }
            let mut state = self.lock();
            if state.failed || state.unsent.is_empty() {
                state.writing = false;
                self.drained.notify_all();
                return Ok(());
            }
            let unsent = std::mem::take(&mut state.unsent);
            self.drained.notify_all();
            drop(state);
            result = (&self.socket).write_all(&unsent);
        }
    }

    fn try_write<'a>(&self, mut frame: &'a [u8]) -> io::Result<&'a [u8]> {
        while !frame.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, frame, flags) {
                Ok(sent) => frame = frame.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN) => return Ok(frame),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(frame)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
