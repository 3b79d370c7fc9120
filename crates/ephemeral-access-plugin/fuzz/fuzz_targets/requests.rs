//! Whatever a host sends as calls to the plugin, nothing panics, and what arrives is JSON.

#![no_main]

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ephemeral_access_plugin::{
    AccessRequest, AccessRequester, Application, GrantResponse, Limits, Result, RevokeResponse,
    Server,
};
use go_plugin_netrpc::yamux::{self, Flags, Kind};
use gobwire::{Encoder, Gob};
use libfuzzer_sys::fuzz_target;

/// What fits into the socket and the stream's window at once, so that one thread is enough.
const MAX_INPUT: usize = 64 * 1024;

/// The header of a call (`net/rpc/server.go`, `Request`).
#[derive(Debug, Default, Gob)]
struct Header {
    #[gob(name = "ServiceMethod")]
    service_method: String,
    #[gob(name = "Seq")]
    seq: u64,
}

struct Render;

impl AccessRequester for Render {
    fn grant_access(
        &self,
        request: &AccessRequest,
        application: &Application,
    ) -> Result<GrantResponse> {
        let request = serde_json::to_string(request).expect("a request is JSON");
        let application = serde_json::to_string(application).expect("an application is JSON");
        let _: AccessRequest = serde_json::from_str(&request).expect("JSON of a request is one");
        let _: Application = serde_json::from_str(&application).expect("and of an application");
        Ok(GrantResponse::granted(""))
    }

    fn revoke_access(&self, _: &AccessRequest, _: &Application) -> Result<RevokeResponse> {
        Ok(RevokeResponse::revoked(""))
    }
}

fuzz_target!(|calls: &[u8]| {
    let Some(calls) = calls.get(..calls.len().min(MAX_INPUT)) else { return };
    let mut wire = Vec::new();
    for stream in [1, 3, 5] {
        frame(&mut wire, Flags::SYN, stream, &[]);
    }
    frame(&mut wire, Flags::NONE, 1, &dispense());
    // The first number that a broker gives out is 1.
    frame(&mut wire, Flags::SYN, 7, &1_u32.to_le_bytes());
    frame(&mut wire, Flags::NONE, 7, calls);
    let (mut host, plugin) = UnixStream::pair().expect("sockets");
    host.write_all(&wire).expect("the input fits");
    host.shutdown(Shutdown::Write).expect("it is connected");
    let mut limits = Limits::default();
    limits.write_stall = Duration::from_millis(20);
    limits.message = 1 << 20;
    Server::new(Render).limits(limits).serve_connection(plugin);
});

fn dispense() -> Vec<u8> {
    let mut encoder = Encoder::new();
    let header = Header { service_method: "Dispenser.Dispense".to_owned(), seq: 1 };
    let mut call = encoder.encode(&header).expect("a header is gob");
    call.extend(encoder.encode("ephemeralaccess").expect("a name is gob"));
    call
}

fn frame(wire: &mut Vec<u8>, flags: Flags, stream_id: u32, data: &[u8]) {
    let length = data.len() as u32;
    let kind = Kind::Data;
    wire.extend_from_slice(&yamux::Header { kind, flags, stream_id, length }.encode());
    wire.extend_from_slice(data);
}
