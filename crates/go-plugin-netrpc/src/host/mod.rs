//! The host side: starts plugins, connects to them, calls them.

mod connection;
mod process;

pub use self::connection::{Connection, ConnectionError};
pub use self::process::{Host, HostError, PluginProcess, Reattach};
