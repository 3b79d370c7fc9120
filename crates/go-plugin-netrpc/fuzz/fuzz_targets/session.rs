//! Whatever a host sends, a plugin's connection ends by itself, without a panic.

#![no_main]

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use go_plugin_netrpc::{Handshake, Limits, Plugin, Reply, Service};
use gobwire::Gob;
use libfuzzer_sys::fuzz_target;

/// What fits into the socket at once, so that one thread is enough.
const MAX_INPUT: usize = 64 * 1024;

#[derive(Debug, Default, Gob)]
struct Pair {
    #[gob(name = "A")]
    a: String,
    #[gob(name = "B")]
    b: Vec<i64>,
}

impl Reply for Pair {}

fuzz_target!(|wire: &[u8]| {
    let Some(wire) = wire.get(..wire.len().min(MAX_INPUT)) else { return };
    let (mut host, plugin) = UnixStream::pair().expect("sockets");
    host.write_all(wire).expect("the input fits");
    host.shutdown(Shutdown::Write).expect("it is connected");
    let handshake =
        Handshake { cookie_key: String::new(), cookie_value: String::new(), protocol_version: 1 };
    let service = Service::new()
        .method("Plugin.Greet", |pair: Pair| Ok(pair))
        .method_without_argument("Plugin.Init", || Ok(Pair::default()));
    let mut limits = Limits::default();
    limits.write_stall = Duration::from_millis(20);
    limits.message = 1 << 20;
    // Most inputs end it with an error.
    let _ =
        Plugin::new(handshake).service("greeter", service).limits(limits).serve_connection(plugin);
});
