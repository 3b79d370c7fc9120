//! A session: reads frames, keeps the windows, hands data to receivers.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::INITIAL_WINDOW;
use super::frame::{Flags, FrameError, GoAway, Header, Kind, Piece, Splitter};
use super::outbox::Outbox;
use super::stream::{Stream, StreamError};
use crate::limits::Limits;

/// Size of one read. A larger frame comes in several.
const READ_BUFFER: usize = 16 * 1024;

/// Which end of the connection we are. Hosts open odd streams, plugins even ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The end that started the plugin (`yamux.Client`).
    Host,
    /// The end that was started (`yamux.Server`).
    Plugin,
}

/// What a receiver returns to have its stream reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Takes what comes in on one stream. Called by the thread that reads the session, so it must not
/// wait for anything.
pub trait Receiver: Send {
    /// The next bytes, at least one.
    ///
    /// # Errors
    ///
    /// [`Refused`] resets the stream; nothing is delivered after it but [`Receiver::end`].
    fn data(&mut self, bytes: &[u8]) -> Result<(), Refused>;

    /// Nothing more comes: the peer has closed the stream, or the session has ended.
    fn end(&mut self);
}

/// Decides about the streams that the peer opens.
pub trait Acceptor {
    /// The receiver of a new stream, or `None` to reset it.
    fn accept(&mut self, stream: &Stream) -> Option<Box<dyn Receiver>>;

    /// Whether the peer has opened all it must. Until then the connection has
    /// [`Limits::session_start`] to live.
    fn started(&self) -> bool;
}

/// The reading half of a session: one thread at a time, not always the same one.
pub struct Reader<A> {
    session: Session,
    acceptor: A,
    /// Until when the peer must have started; none once it has.
    start: Option<Instant>,
    buffer: Vec<u8>,
    /// What of the buffer has come and is not handed on yet.
    rest: Range<usize>,
    frames: Frames,
}

/// One connection with its streams. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

/// Why a session ended before its peer closed the connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The connection failed.
    #[error("cannot read from the connection")]
    Io(#[from] io::Error),
    /// The connection ended in the middle of a frame.
    #[error("the connection ended within a frame")]
    HalfFrame,
    /// Bytes that are not yamux.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer opened a stream under a number that is ours to give, or in use.
    #[error("stream {id} must not be opened by the peer now")]
    BadStreamId {
        /// The number.
        id: u32,
    },
    /// The peer sent more than it was allowed to.
    #[error("stream {id} got {length} bytes with a window of {window}")]
    WindowExceeded {
        /// The stream.
        id: u32,
        /// Bytes the frame claims to carry.
        length: u32,
        /// Bytes that were allowed.
        window: u32,
    },
    /// The peer closed a stream twice.
    #[error("stream {id} was closed twice")]
    ClosedTwice {
        /// The stream.
        id: u32,
    },
    /// The peer gave up with an error.
    #[error("the peer ended the session: {reason:?}")]
    GoneAway {
        /// Its reason.
        reason: GoAway,
    },
    /// The peer did not open its streams in time.
    #[error("the peer did not start a session within {limit:?}")]
    NotStarted {
        /// [`Limits::session_start`].
        limit: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Inner {
    side: Side,
    limits: Limits,
    outbox: Arc<Outbox>,
    streams: Mutex<Streams>,
    /// The number of the next stream of ours. Wider than a number, so that it does not begin again
    /// after the last.
    next_id: AtomicU64,
    gone_away: AtomicBool,
}

#[derive(Debug, Default)]
struct Streams {
    open: HashMap<u32, Entry>,
    ended: bool,
}

#[derive(Clone)]
struct Entry {
    stream: Stream,
    incoming: Arc<Mutex<Incoming>>,
}

struct Incoming {
    receiver: Box<dyn Receiver>,
    /// Bytes the peer may still send.
    window: u32,
    /// Bytes taken since the last window update.
    credit: u32,
    /// No call may follow [`Receiver::end`].
    ended: bool,
}

impl Session {
    /// A session over a connected socket.
    ///
    /// # Errors
    ///
    /// When the socket's timeouts cannot be set.
    pub fn new(socket: UnixStream, side: Side, limits: Limits) -> io::Result<Self> {
        socket.set_write_timeout(Some(limits.write_stall))?;
        let first = match side {
            Side::Host => 1,
            Side::Plugin => 2,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                side,
                limits,
                outbox: Arc::new(Outbox::new(socket)),
                streams: Mutex::default(),
                next_id: AtomicU64::new(first),
                gone_away: AtomicBool::new(false),
            }),
        })
    }

    /// Opens a stream. `receiver` is called with it to make what takes the peer's data.
    ///
    /// # Errors
    ///
    /// [`StreamError::SessionEnded`] when there is no peer for it any more.
    pub fn open<R>(&self, receiver: impl FnOnce(&Stream) -> R) -> Result<Stream, StreamError>
    where
        R: Receiver + 'static,
    {
        let id = self.inner.next_id.fetch_add(2, Ordering::Relaxed);
        let id = u32::try_from(id).map_err(|_| StreamError::SessionEnded)?;
        let stream = Stream::new(id, Arc::clone(&self.inner));
        let incoming = Incoming::new(Box::new(receiver(&stream)));
        let mut streams = self.inner.lock();
        if streams.ended || self.inner.gone_away.load(Ordering::Relaxed) {
            return Err(StreamError::SessionEnded);
        }
        streams.open.insert(id, Entry { stream: stream.clone(), incoming });
        drop(streams);
        stream.control(Kind::WindowUpdate, Flags::SYN, 0);
        Ok(stream)
    }

    /// What the connection is read with. Call it once.
    #[must_use]
    pub fn reader<A: Acceptor>(&self, acceptor: A) -> Reader<A> {
        Reader {
            session: self.clone(),
            acceptor,
            start: Instant::now().checked_add(self.inner.limits.session_start),
            buffer: vec![0; READ_BUFFER],
            rest: 0..0,
            frames: Frames::new(),
        }
    }

    /// Reads until the connection ends. Call it once, in its own thread.
    ///
    /// # Errors
    ///
    /// As [`Reader::read`].
    pub fn run(&self, acceptor: impl Acceptor) -> Result<(), SessionError> {
        let mut reader = self.reader(acceptor);
        loop {
            if let ControlFlow::Break(result) = reader.read() {
                return result;
            }
        }
    }

    /// Tells the peer that we take no new stream.
    pub fn go_away(&self, reason: GoAway) {
        let length = reason.code();
        let kind = Kind::GoAway;
        self.inner.post(&Header { kind, flags: Flags::NONE, stream_id: 0, length });
    }

    /// Closes the connection. Whoever reads it is told soon after.
    pub fn close(&self) {
        self.inner.outbox.fail();
    }

    /// Waits until everything sent has been handed to the system, at most for a second.
    pub fn flush(&self) {
        self.inner.outbox.flush(Duration::from_secs(1));
    }

    /// Sends no more, and reads on until the peer closes the connection.
    pub fn finish(&self) {
        self.inner.outbox.finish_sending();
    }

    /// Ends every stream.
    fn end(&self) {
        self.close();
        let open = {
            let mut streams = self.inner.lock();
            streams.ended = true;
            std::mem::take(&mut streams.open)
        };
        for entry in open.into_values() {
            entry.stream.mark_reset();
            entry.lock().end();
        }
    }

    fn incoming_stream(&self, id: u32, acceptor: &mut dyn Acceptor) -> Result<(), SessionError> {
        let peer_is_odd = self.inner.side == Side::Plugin;
        let open = self.inner.lock().open.len();
        if (id % 2 == 1) != peer_is_odd || self.inner.lock().open.contains_key(&id) {
            return Err(SessionError::BadStreamId { id });
        }
        let stream = Stream::new(id, Arc::clone(&self.inner));
        let receiver = (open < self.inner.limits.streams).then(|| acceptor.accept(&stream));
        let Some(receiver) = receiver.flatten() else {
            tracing::debug!("stream {id} refused, {open} are open");
            stream.control(Kind::WindowUpdate, Flags::RST, 0);
            return Ok(());
        };
        let entry = Entry { stream: stream.clone(), incoming: Incoming::new(receiver) };
        self.inner.lock().open.insert(id, entry);
        stream.control(Kind::WindowUpdate, Flags::ACK, 0);
        Ok(())
    }
}

impl<A: Acceptor> Reader<A> {
    /// Waits for what comes next, and hands data to a receiver once at most: what else has come
    /// stays for the next time, so that whoever acts on data can do so before more of it piles up.
    ///
    /// When the connection ends, so does every stream, and `Break` says why; nothing can be read
    /// after that.
    ///
    /// # Errors
    ///
    /// [`SessionError`], in `Break`; the peer has been told by a GoAway if it broke the protocol.
    pub fn read(&mut self) -> ControlFlow<Result<(), SessionError>> {
        let result = match self.read_some() {
            Ok(true) => return ControlFlow::Continue(()),
            Ok(false) => self.frames.end(),
            Err(error) => Err(error),
        };
        if let Err(error) = &result
            && error.is_protocol_error()
        {
            self.session.go_away(GoAway::ProtocolError);
        }
        self.session.end();
        ControlFlow::Break(result)
    }

    /// Whether the connection goes on.
    fn read_some(&mut self) -> Result<bool, SessionError> {
        if self.rest.is_empty() {
            self.limit_start()?;
            let mut socket = self.session.inner.outbox.socket();
            self.rest = match socket.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => 0..length,
                Err(error) if is_retry(&error) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error.into()),
            };
        }
        let mut input = self.buffer.get(self.rest.clone()).unwrap_or_default();
        self.frames.take(&mut input, &self.session, &mut self.acceptor)?;
        self.rest.start = self.rest.end - input.len();
        Ok(true)
    }

    /// Sees to it that reading ends when the peer takes too long to start.
    fn limit_start(&mut self) -> Result<(), SessionError> {
        let Some(start) = self.start else {
            return Ok(());
        };
        let mut timeout = None;
        if self.acceptor.started() {
            self.start = None;
        } else {
            let left = start.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                let limit = self.session.inner.limits.session_start;
                return Err(SessionError::NotStarted { limit });
            }
            timeout = Some(left);
        }
        Ok(self.session.inner.outbox.socket().set_read_timeout(timeout)?)
    }
}

/// Where the reading thread is within the frames.
struct Frames {
    splitter: Splitter,
    /// The stream that the payload now coming belongs to; none: it is dropped.
    target: Option<Entry>,
    /// Payload bytes still to come, and whether the stream is closed after them.
    left: u32,
    fin: bool,
    /// Whether the last read ended between two frames.
    whole: bool,
}

impl Frames {
    fn new() -> Self {
        Self { splitter: Splitter::default(), target: None, left: 0, fin: false, whole: true }
    }

    /// Takes frames off `input`, up to the first data.
    fn take(
        &mut self,
        input: &mut &[u8],
        session: &Session,
        acceptor: &mut dyn Acceptor,
    ) -> Result<(), SessionError> {
        self.whole = false;
        while let Some(piece) = self.splitter.next(input)? {
            let data = matches!(piece, Piece::Payload(_));
            match piece {
                Piece::Header(header) => self.header(header, session, acceptor)?,
                Piece::Payload(bytes) => self.payload(bytes, session)?,
            }
            self.whole = input.is_empty() && self.left == 0;
            if data {
                break;
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<(), SessionError> {
        if self.whole { Ok(()) } else { Err(SessionError::HalfFrame) }
    }

    fn header(
        &mut self,
        header: Header,
        session: &Session,
        acceptor: &mut dyn Acceptor,
    ) -> Result<(), SessionError> {
        tracing::trace!("< {header:?}");
        match header.kind {
            Kind::Ping if header.flags.contains(Flags::SYN) => {
                session.inner.post(&Header { flags: Flags::ACK, ..header });
                Ok(())
            }
            Kind::Ping => Ok(()),
            Kind::GoAway if header.length == GoAway::Normal.code() => {
                session.inner.gone_away.store(true, Ordering::Relaxed);
                Ok(())
            }
            Kind::GoAway => {
                Err(SessionError::GoneAway { reason: GoAway::from_code(header.length) })
            }
            Kind::Data | Kind::WindowUpdate => self.stream_frame(header, session, acceptor),
        }
    }

    fn stream_frame(
        &mut self,
        header: Header,
        session: &Session,
        acceptor: &mut dyn Acceptor,
    ) -> Result<(), SessionError> {
        let id = header.stream_id;
        if header.flags.contains(Flags::SYN) {
            session.incoming_stream(id, acceptor)?;
        }
        let data = header.kind == Kind::Data;
        self.left = if data { header.length } else { 0 };
        self.fin = false;
        // A stream that we have reset: the peer may not know yet, so its frames are dropped.
        self.target = session.inner.lock().open.get(&id).cloned();
        let Some(entry) = self.target.clone() else {
            return Ok(());
        };
        if header.flags.contains(Flags::RST) {
            session.inner.forget(id);
            entry.stream.mark_reset();
            entry.lock().end();
            self.target = None;
            return Ok(());
        }
        if data {
            entry.lock().reserve(id, header.length)?;
        } else {
            entry.stream.add_window(header.length);
        }
        self.fin = header.flags.contains(Flags::FIN);
        if self.left == 0 { self.finish_frame(session) } else { Ok(()) }
    }

    fn payload(&mut self, bytes: &[u8], session: &Session) -> Result<(), SessionError> {
        self.left = self.left.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if let Some(entry) = &self.target {
            let delivered = entry.lock().deliver(bytes);
            match delivered {
                Ok(0) => {}
                Ok(credit) => entry.stream.control(Kind::WindowUpdate, Flags::NONE, credit),
                Err(Refused) => {
                    entry.stream.reset();
                    entry.lock().end();
                    self.target = None;
                }
            }
        }
        if self.left == 0 { self.finish_frame(session) } else { Ok(()) }
    }

    /// Acts on a FIN, which counts after the payload of its frame.
    fn finish_frame(&mut self, session: &Session) -> Result<(), SessionError> {
        let Some(entry) = self.target.take() else {
            return Ok(());
        };
        if !std::mem::take(&mut self.fin) {
            return Ok(());
        }
        let id = entry.stream.id();
        match entry.stream.mark_remote_closed() {
            None => return Err(SessionError::ClosedTwice { id }),
            Some(true) => session.inner.forget(id),
            Some(false) => {}
        }
        entry.lock().end();
        Ok(())
    }
}

impl SessionError {
    fn is_protocol_error(&self) -> bool {
        matches!(
            self,
            Self::Frame(_)
                | Self::BadStreamId { .. }
                | Self::WindowExceeded { .. }
                | Self::ClosedTwice { .. }
        )
    }
}

impl Inner {
    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    pub(super) fn write_stall(&self) -> Duration {
        self.limits.write_stall
    }

    /// Sends a frame without data. If that fails, the connection has ended, which
    /// [`Reader::read`] reports.
    pub(super) fn post(&self, header: &Header) {
        tracing::trace!("> {header:?}");
        if let Err(error) = self.outbox.post(&header.encode()) {
            tracing::trace!("frame not sent: {error}");
        }
    }

    pub(super) fn forget(&self, id: u32) {
        // Dropped after the lock: a receiver may own other streams.
        let entry = self.lock().open.remove(&id);
        drop(entry);
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("stream", &self.stream.id()).finish_non_exhaustive()
    }
}

impl Incoming {
    fn new(receiver: Box<dyn Receiver>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { receiver, window: INITIAL_WINDOW, credit: 0, ended: false }))
    }

    fn reserve(&mut self, id: u32, length: u32) -> Result<(), SessionError> {
        let window = self.window;
        let exceeded = SessionError::WindowExceeded { id, length, window };
        self.window = window.checked_sub(length).ok_or(exceeded)?;
        Ok(())
    }

    /// Hands data to the receiver and returns the window to give back now, if any.
    fn deliver(&mut self, bytes: &[u8]) -> Result<u32, Refused> {
        if !self.ended {
            self.receiver.data(bytes)?;
        }
        self.credit = self.credit.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if self.credit < INITIAL_WINDOW / 2 {
            return Ok(0);
        }
        self.window = self.window.saturating_add(self.credit);
        Ok(std::mem::take(&mut self.credit))
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.receiver.end();
        }
    }
}

fn is_retry(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
