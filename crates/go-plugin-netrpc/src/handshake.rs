//! The handshake: the magic cookie and the line that tells the host where to connect.
//!
//! Nothing here does I/O. The rules are in hashicorp/go-plugin's `server.go` and `client.go`.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The version of go-plugin's own protocol (`server.go`, `CoreProtocolVersion`).
pub const CORE_PROTOCOL_VERSION: u32 = 1;

/// The environment variable for the directory of the socket (`constants.go`, `EnvUnixSocketDir`).
pub const ENV_UNIX_SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";

/// The environment variable with which a host asks for mTLS (`client.go`, `AutoMTLS`).
pub const ENV_CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";

/// Longest path of a unix socket in bytes: `sun_path` of `unix(7)` without its final NUL.
pub const MAX_SOCKET_PATH: usize = 107;

/// What host and plugin have agreed on beforehand (`server.go`, `HandshakeConfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Name of the environment variable by which a plugin knows that a host started it.
    pub cookie_key: String,
    /// The value that the variable must have.
    pub cookie_value: String,
    /// Version of the application's protocol.
    pub protocol_version: u32,
}

/// The line that a plugin prints on stdout once it listens.
///
/// `1|1|unix|/tmp/plugin123|netrpc|`: core protocol version, application protocol version,
/// network, address, protocol, TLS certificate (empty: no TLS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeLine {
    /// Version of the application's protocol.
    pub protocol_version: u32,
    /// Path of the unix socket.
    pub socket: PathBuf,
}

impl HandshakeLine {
    /// The line with its line feed.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::SocketPath`] for a path that the line cannot carry: not UTF-8, or with
    /// one of `|`, a line break, or white space at its end.
    pub fn encode(&self) -> Result<String, HandshakeError> {
        let socket = self.socket.to_str().filter(|socket| {
            !socket.contains(['|', '\n', '\r']) && socket.trim() == *socket && !socket.is_empty()
        });
        let Some(socket) = socket else {
            return Err(HandshakeError::SocketPath { path: self.socket.clone() });
        };
        let version = self.protocol_version;
        Ok(format!("{CORE_PROTOCOL_VERSION}|{version}|unix|{socket}|netrpc|\n"))
    }

    /// Reads a plugin's line as a host does; white space around it does not count.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] for anything but net/rpc over a unix socket without TLS.
    pub fn parse(line: &str) -> Result<Self, HandshakeError> {
        let line = line.trim();
        let mut parts = line.split('|');
        let mut part = || parts.next();
        let (Some(core), Some(version), Some(network), Some(address)) =
            (part(), part(), part(), part())
        else {
            return Err(HandshakeError::Line { line: shortened(line) });
        };
        let core: u32 = number(core, line)?;
        if core != CORE_PROTOCOL_VERSION {
            return Err(HandshakeError::CoreProtocol { actual: core });
        }
        let protocol_version = number(version, line)?;
        if network != "unix" {
            return Err(HandshakeError::Network { actual: shortened(network) });
        }
        // Absent in the plugins of old: net/rpc (`client.go`, `Start`).
        let protocol = part().unwrap_or("netrpc");
        if protocol != "netrpc" {
            return Err(HandshakeError::Protocol { actual: shortened(protocol) });
        }
        // Old plugins put other short things here, so Go takes it for a certificate from 51 bytes.
        if part().is_some_and(|certificate| certificate.len() > 50) {
            return Err(HandshakeError::Tls);
        }
        Ok(Self { protocol_version, socket: Path::new(address).to_owned() })
    }
}

/// Why a handshake cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first line on stdout is something else, such as a stray `println!`.
    #[error("the plugin's first line must be \"1|VERSION|unix|SOCKET|netrpc|\", got {line:?}")]
    Line {
        /// The line, shortened.
        line: String,
    },
    /// Another version of go-plugin's own protocol.
    #[error("core protocol version must be {CORE_PROTOCOL_VERSION}, got {actual}")]
    CoreProtocol {
        /// The version of the plugin.
        actual: u32,
    },
    /// The application's protocol versions differ.
    #[error("application protocol version must be {expected}, got {actual}")]
    ProtocolVersion {
        /// The version of the host.
        expected: u32,
        /// The version of the plugin.
        actual: u32,
    },
    /// A plugin that does not listen on a unix socket.
    #[error("network must be \"unix\", got {actual:?}")]
    Network {
        /// The network of the plugin.
        actual: String,
    },
    /// A plugin that speaks another protocol, such as gRPC.
    #[error("plugin protocol must be \"netrpc\", got {actual:?}")]
    Protocol {
        /// The protocol of the plugin.
        actual: String,
    },
    /// A plugin that wants TLS.
    #[error("the plugin asks for TLS, which is not supported")]
    Tls,
    /// A socket path that does not fit into the line.
    #[error("socket path must be UTF-8 without \"|\" and line breaks, got {path:?}")]
    SocketPath {
        /// The path.
        path: PathBuf,
    },
}

fn number(text: &str, line: &str) -> Result<u32, HandshakeError> {
    text.parse().map_err(|_| HandshakeError::Line { line: shortened(line) })
}

/// At most 200 characters of something that a peer sent, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(socket: &str) -> HandshakeLine {
        HandshakeLine { protocol_version: 1, socket: socket.into() }
    }

    #[test]
    fn the_line_survives_the_round_trip() {
        let text = line("/tmp/plugin123").encode().unwrap();
        assert_eq!(text, "1|1|unix|/tmp/plugin123|netrpc|\n");
        assert_eq!(HandshakeLine::parse(&text), Ok(line("/tmp/plugin123")));
    }

    #[test]
    fn a_line_without_protocol_is_netrpc() {
        assert_eq!(HandshakeLine::parse("1|1|unix|/tmp/p\r\n"), Ok(line("/tmp/p")));
    }

    #[test]
    fn a_path_that_would_break_the_line_is_refused() {
        for socket in ["/tmp/a|b", "/tmp/a\nb", "/tmp/a ", ""] {
            assert!(line(socket).encode().is_err(), "{socket:?}");
        }
    }

    #[test]
    fn every_other_plugin_is_refused_with_its_reason() {
        let reason = |line: &str| HandshakeLine::parse(line).unwrap_err().to_string();
        assert_eq!(
            reason("hello"),
            r#"the plugin's first line must be "1|VERSION|unix|SOCKET|netrpc|", got "hello""#
        );
        assert_eq!(reason("2|1|unix|/s|netrpc|"), "core protocol version must be 1, got 2");
        assert_eq!(reason("1|1|tcp|127.0.0.1:1|netrpc|"), r#"network must be "unix", got "tcp""#);
        assert_eq!(reason("1|1|unix|/s|grpc|"), r#"plugin protocol must be "netrpc", got "grpc""#);
        let tls = format!("1|1|unix|/s|netrpc|{}", "A".repeat(600));
        assert_eq!(reason(&tls), "the plugin asks for TLS, which is not supported");
    }
}
