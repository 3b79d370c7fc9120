//! yamux: many streams over one connection, as `hashicorp/yamux` speaks it.
//!
//! Data is pushed: the thread that reads a session hands every byte of a stream to the stream's
//! [`Receiver`] as it comes, and gives the window back once the receiver has taken it. So a
//! session needs one thread, and nothing but the receiver buffers. The thread may change between
//! two reads, see [`Reader`].
//!
//! Left out: keep-alive pings of our own (a unix socket tells at once when the peer is gone) and
//! compression of window updates. Pings of the peer are answered.

mod frame;
mod outbox;
mod session;
mod stream;

pub use self::frame::{Flags, FrameError, GoAway, HEADER_LEN, Header, Kind, Piece, Splitter};
pub use self::session::{Acceptor, Reader, Receiver, Refused, Session, SessionError, Side};
pub use self::stream::{Stream, StreamError};

/// The window of a new stream in bytes, in both directions (`const.go`, `initialStreamWindow`).
pub const INITIAL_WINDOW: u32 = 256 * 1024;
