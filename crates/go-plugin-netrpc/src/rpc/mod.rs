//! net/rpc over gob, on one stream: requests and responses with a header each.
//!
//! The protocol is in Go's `net/rpc/server.go` and `net/rpc/client.go`.

mod client;
mod header;
mod pool;
mod reply;
mod server;
mod service;

pub(crate) use self::client::Responses;
pub use self::client::{CallError, RpcClient};
pub use self::service::{CallFailure, Reply, Service};

pub(crate) use self::pool::{Pool, Source};
pub(crate) use self::server::{Resources, ServerConnection};
pub(crate) use self::service::Then;
