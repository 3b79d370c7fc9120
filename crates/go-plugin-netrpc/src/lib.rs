//! hashicorp/go-plugin over net/rpc, for plugins and for hosts, synchronous and small.
//!
//! A Go program that loads plugins with [go-plugin] starts a program, reads one line from its
//! standard output, connects to the unix socket that the line names, and calls methods. This crate
//! is the plugin's half of that, and the host's:
//!
//! ```text
//!        host                                                     plugin
//!   Host, PluginProcess    starts it, with the magic cookie   Plugin::serve
//!         <────────── 1|1|unix|/tmp/plugin123|netrpc| ──────────     handshake line on stdout
//!   Connection             connects to the socket
//!  ┌──────────────────────────────────────────────────────────────────────────────────────────┐
//!  │ service   Plugin.Greet, …       RpcClient                Service                         │
//!  ├──────────────────────────────────────────────────────────────────────────────────────────┤
//!  │ net/rpc   a header and a value each way; gob             one stream for each service,    │
//!  │                                                          found by a number of the broker │
//!  │           Control.Ping, Control.Quit, Dispenser.Dispense on the first stream             │
//!  ├──────────────────────────────────────────────────────────────────────────────────────────┤
//!  │ yamux     streams 1 control, 3 stdout, 5 stderr, 7 … services; windows of 256 KiB        │
//!  ├──────────────────────────────────────────────────────────────────────────────────────────┤
//!  │ unix socket, mode 0600                                                                   │
//!  └──────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Threads
//!
//! There is no async runtime. One thread accepts connections. Each connection has a thread that
//! reads it, and that thread also runs the calls that it reads: a call that is quick, as most are,
//! costs no switch between threads. A watchdog looks after that thread. When a call keeps it for
//! more than 2 ms, another thread reads on, so that pings and other calls are delayed by 4 ms at
//! most, and while calls are that slow, each gets a thread at once:
//!
//! ```text
//!   thread 1   read │ call 1 │ read │ call 2, which takes long …            │ ready for calls
//!   watchdog                              └─ 2 ms ─┐
//!   thread 2                                       │ read │ ping │ read │ …
//!   thread 3                                                        └─ │ call 3 │ ready for calls
//! ```
//!
//! Threads that have had nothing to do for 10 s end.
//!
//! # A plugin's end
//!
//! [`Plugin::serve`] returns, and the socket is removed, when a host calls `Control.Quit` (the
//! answer goes out first), at SIGTERM, and when the process that started the plugin is gone. A
//! connection that ends, of whomever, ends nothing else, so a host may reattach while the process
//! that started the plugin lives. SIGINT is ignored: a terminal sends it to host and plugin.
//!
//! # Bad peers
//!
//! Whoever runs as the same user may connect. What they can do is bounded by [`Limits`]:
//!
//! | They | then |
//! |---|---|
//! | send what is not yamux, or more than the window | their connection ends, after a GoAway |
//! | connect, and open no session | it ends after 10 s, or when room is needed |
//! | connect thousands of times | 64 connections are kept; strangers go before hosts |
//! | open streams without end | those over 256 are reset |
//! | send and never read | the connection ends when 2 MiB wait, or nothing moves for 10 s |
//! | claim a frame or a message of 4 GiB | nothing is reserved for what has not come |
//! | begin messages and never end them | their stream is reset when 256 MiB wait in all |
//! | send a message over 64 MiB | it is skipped, its call gets an error, the next is served |
//! | define types without end | it is an error from 256 KiB; Kubernetes objects take 3 |
//! | hide types in a value nobody asked for | it is skipped and never decoded |
//! | call what is not there | an error in Go's words |
//! | call what never returns | an error at the deadline, 30 s |
//! | make a handler panic | an error, and the next call is served |
//!
//! The host's side has no defence against its plugin beyond the message limit and the time limit
//! of each call: it runs the plugin's code.
//!
//! # Limitations
//!
//! - No gRPC and no mTLS: a host that asks for mTLS gets an error on standard error.
//! - Unix sockets only, and no `PLUGIN_UNIX_SOCKET_GROUP`.
//! - Nothing is sent on the stdout and stderr streams. Standard output leads to standard error
//!   after the handshake, and every host logs that.
//! - No streams from plugin to host besides those, so no callbacks.
//! - A plugin does not outlive the process that started it.
//!
//! [go-plugin]: https://github.com/hashicorp/go-plugin

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
