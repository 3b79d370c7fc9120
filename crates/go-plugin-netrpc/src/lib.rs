//! hashicorp/go-plugin over net/rpc, for plugins and for hosts, synchronous and small.

mod gob;
mod handshake;
pub mod hclog;
mod host;
mod limits;
mod plugin;
mod rpc;
pub mod yamux;

pub use self::gob::GobError;
pub use self::handshake::{
    CORE_PROTOCOL_VERSION, ENV_CLIENT_CERT, ENV_UNIX_SOCKET_DIR, Handshake, HandshakeError,
    HandshakeLine, MAX_SOCKET_PATH,
};
pub use self::host::{Connection, ConnectionError, Host, HostError, PluginProcess, Reattach};
pub use self::limits::Limits;
pub use self::plugin::{Ended, Plugin, ServeError};
pub use self::rpc::{CallError, CallFailure, Reply, RpcClient, Service};
