//! Every limit of the crate in one place.

use std::time::Duration;

/// What a peer may use up, and for how long a call may run.
///
/// [`Limits::default`] is right for a plugin that serves one host; each field names its default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long a call may run before its caller gets an error instead; default 30 s.
    ///
    /// go-plugin's hosts have no deadline of their own. The handler's thread cannot be stopped:
    /// it goes on, and its answer is dropped.
    pub call_deadline: Duration,
    /// Largest gob message in bytes; default 64 MiB. A larger argument is skipped and answered
    /// with an error.
    pub message: usize,
    /// Most bytes of messages that have begun and not ended, of all streams together; default
    /// 256 MiB. The stream that goes over it is reset.
    pub buffered: usize,
    /// How long a new connection may take to open its control, stdout and stderr streams;
    /// default 10 s.
    pub session_start: Duration,
    /// How long a peer may leave our data unread before the connection is closed; default 10 s, as
    /// hashicorp/yamux's `ConnectionWriteTimeout`.
    pub write_stall: Duration,
    /// Most streams open at once in a connection; default 256, as hashicorp/yamux's
    /// `AcceptBacklog`. More are reset.
    pub streams: usize,
    /// Most connections at once; default 64. One more closes the oldest that has not opened its
    /// streams yet, or itself if all have.
    pub connections: usize,
    /// Most handlers running at once; default 16. Further calls wait.
    pub handlers: usize,
    /// Most handlers past their deadline that others may run beside; default 256. With more, calls
    /// meet their deadline while they wait.
    pub stuck_handlers: usize,
    /// Most calls waiting for a handler; default 256. Further calls get an error.
    pub waiting_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_deadline: Duration::from_secs(30),
            message: 64 << 20,
            buffered: 256 << 20,
            session_start: Duration::from_secs(10),
            write_stall: Duration::from_secs(10),
            streams: 256,
            connections: 64,
            handlers: 16,
            stuck_handlers: 256,
            waiting_calls: 256,
        }
    }
}
