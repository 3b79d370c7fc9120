//! The headers of net/rpc (`net/rpc/server.go`, `Request` and `Response`).

use gobwire::Gob;

/// Goes before the argument of every call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Gob)]
pub(crate) struct Request {
    #[gob(name = "ServiceMethod")]
    pub(crate) service_method: String,
    #[gob(name = "Seq")]
    pub(crate) seq: u64,
}

/// Goes before the reply to every call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Gob)]
pub(crate) struct Response {
    #[gob(name = "ServiceMethod")]
    pub(crate) service_method: String,
    #[gob(name = "Seq")]
    pub(crate) seq: u64,
    /// Empty when the call succeeded. Otherwise an [`Empty`] follows instead of the reply.
    #[gob(name = "Error")]
    pub(crate) error: String,
}

/// Go's `struct{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Gob)]
pub(crate) struct Empty {}
