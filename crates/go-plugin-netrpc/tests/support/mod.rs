//! A peer that writes whatever a test wants, frame by frame. Used by the tests of both crates.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use go_plugin_netrpc::yamux::{Flags, Header, Kind};
use gobwire::{Decoder, Dynamic, Progress, Value, read_message};

/// How long a plugin may take over anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A frame that the plugin sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

/// The host's end of a connection.
pub(crate) struct Peer {
    pub(crate) socket: UnixStream,
    next_stream: u32,
}

impl Peer {
    pub(crate) fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, next_stream: 1 }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, kind: Kind, flags: Flags, stream_id: u32, length: u32) {
        let header = Header { kind, flags, stream_id, length };
        self.write(&header.encode());
    }

    pub(crate) fn data(&mut self, stream_id: u32, bytes: &[u8]) {
        self.send(Kind::Data, Flags::NONE, stream_id, u32::try_from(bytes.len()).unwrap());
        self.write(bytes);
    }

    /// Opens the next stream and waits for nothing.
    pub(crate) fn open(&mut self) -> u32 {
        let id = self.next_stream;
        self.next_stream += 2;
        self.send(Kind::WindowUpdate, Flags::SYN, id, 0);
        id
    }

    /// Opens control, stdout and stderr; returns control.
    pub(crate) fn start(&mut self) -> u32 {
        let control = self.open();
        self.open();
        self.open();
        control
    }

    /// The next frame, or none at the end of the connection.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut bytes = [0; 12];
        self.socket.read_exact(&mut bytes).ok()?;
        let header = Header::parse(&bytes).unwrap();
        let length = if header.kind == Kind::Data { header.length as usize } else { 0 };
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).ok()?;
        Some(Frame { header, payload })
    }

    /// The data of one stream, until there are `values` gob values of it. Gives window back.
    pub(crate) fn values(&mut self, stream_id: u32, values: usize) -> Vec<Value> {
        let mut data = Vec::new();
        loop {
            let found = decode(&data);
            if found.len() >= values {
                return found;
            }
            let frame = self.frame().expect("the connection has ended");
            if frame.header.stream_id == stream_id && frame.header.kind == Kind::Data {
                data.extend_from_slice(&frame.payload);
                self.send(Kind::WindowUpdate, Flags::NONE, stream_id, frame.header.length);
            }
            assert!(
                frame.header.stream_id != stream_id || !frame.header.flags.contains(Flags::RST),
                "stream {stream_id} was reset"
            );
        }
    }
}

/// All complete gob values of one side of a stream.
pub(crate) fn decode(mut data: &[u8]) -> Vec<Value> {
    let mut decoder = Decoder::new();
    let mut values = Vec::new();
    while let Ok(Some(message)) = read_message(&mut data) {
        if decoder.push_message(&message).unwrap() == Progress::Ready {
            values.push(decoder.decode::<Dynamic>().unwrap().value);
        }
    }
    values
}
