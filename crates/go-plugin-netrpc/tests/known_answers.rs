//! What Go writes is what we read, and the other way round. The bytes are written by
//! `e2e/go-host/run known-answers`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use go_plugin_netrpc::hclog::LogLine;
use go_plugin_netrpc::yamux::{Flags, Header, Kind, Piece, Splitter};
use go_plugin_netrpc::{Handshake, HandshakeLine, Plugin, Reply, Service};
use gobwire::{Describer, Encode, ValueEncoder};
use serde_json::Value as Json;
use support::{Frame, Peer, decode};

fn file(name: &str) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/known-answers");
    fs::read(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json(name: &str) -> Json {
    serde_json::from_slice(&file(name)).unwrap()
}

fn handshake() -> Handshake {
    Handshake {
        cookie_key: "GREETER".to_owned(),
        cookie_value: "greeter".to_owned(),
        protocol_version: 1,
    }
}

/// The reply of the Go generator's greeter.
struct Greeting(String);

impl Encode for Greeting {
    fn describe_value(&self, describer: &mut Describer<'_>) -> gobwire::Result<i64> {
        self.0.describe_value(describer)
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    fn encode(&self, encoder: &mut ValueEncoder<'_>) -> gobwire::Result<()> {
        self.0.encode(encoder)
    }
}

impl Reply for Greeting {}

/// A plugin like the Go generator's, serving one end of a pair of sockets.
fn greeter() -> Peer {
    let (here, there) = UnixStream::pair().unwrap();
    let greet = |name: String| Ok(Greeting(format!("hello, {name}")));
    let service = Service::new().method("Plugin.Greet", greet);
    let plugin = Plugin::new(handshake()).service("greeter", service);
    thread::spawn(move || plugin.serve_connection(there));
    Peer::new(here)
}

fn header(frame: &Json) -> Header {
    let kind = match frame["type"].as_str().unwrap() {
        "data" => Kind::Data,
        "window-update" => Kind::WindowUpdate,
        "ping" => Kind::Ping,
        "go-away" => Kind::GoAway,
        other => panic!("unknown frame type {other}"),
    };
    let mut flags = 0;
    for flag in frame["flags"].as_array().unwrap() {
        flags |= match flag.as_str().unwrap() {
            "syn" => Flags::SYN.0,
            "ack" => Flags::ACK.0,
            "fin" => Flags::FIN.0,
            "rst" => Flags::RST.0,
            other => panic!("unknown flag {other}"),
        };
    }
    let number = |key: &str| u32::try_from(frame[key].as_u64().unwrap()).unwrap();
    Header { kind, flags: Flags(flags), stream_id: number("stream"), length: number("length") }
}

/// The frames of one side of a session.
fn frames(wire: &[u8]) -> Vec<Frame> {
    let mut splitter = Splitter::default();
    let mut input = wire;
    let mut frames: Vec<Frame> = Vec::new();
    while let Some(piece) = splitter.next(&mut input).unwrap() {
        match piece {
            Piece::Header(header) => frames.push(Frame { header, payload: Vec::new() }),
            Piece::Payload(bytes) => frames.last_mut().unwrap().payload.extend_from_slice(bytes),
        }
    }
    frames
}

/// The data of one stream among frames.
fn stream_data(frames: &[Frame], stream_id: u32) -> Vec<u8> {
    let of_stream =
        |frame: &&Frame| frame.header.kind == Kind::Data && frame.header.stream_id == stream_id;
    frames.iter().filter(of_stream).flat_map(|frame| frame.payload.clone()).collect()
}

#[test]
fn the_handshake_line_is_gos() {
    let text = String::from_utf8(file("handshake-line.txt")).unwrap();
    let line = HandshakeLine::parse(&text).unwrap();
    assert_eq!(line.encode().unwrap(), text);
    let multiplexed = String::from_utf8(file("handshake-line-multiplexed.txt")).unwrap();
    assert_eq!(HandshakeLine::parse(&multiplexed).unwrap(), line);
}

#[test]
fn frame_headers_are_gos() {
    let frames = json("yamux-frames.json");
    let frames = frames.as_array().unwrap();
    assert!(!frames.is_empty());
    for frame in frames {
        let expected = frame["header"].as_str().unwrap();
        let header = header(frame);
        let bytes = header.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{frame}");
        assert_eq!(Header::parse(&bytes), Ok(header));
    }
}

#[test]
fn log_lines_of_hclog_are_read() {
    let text = String::from_utf8(file("hclog-lines.txt")).unwrap();
    assert!(!text.is_empty());
    for line in text.lines() {
        let LogLine::Entry(entry) = LogLine::parse(line) else { panic!("not read: {line}") };
        let ours: Json = serde_json::from_slice(&entry.encode()).unwrap();
        let theirs: Json = serde_json::from_str(line).unwrap();
        assert_eq!(ours["@message"], theirs["@message"]);
        assert_eq!(ours["@level"], theirs["@level"]);
        assert_eq!(ours["@timestamp"], theirs["@timestamp"]);
        assert_eq!(ours["@module"], theirs["@module"]);
    }
}

#[test]
fn go_plugins_own_calls_are_answered_as_go_answers_them() {
    let exchanges = json("index.json");
    let exchanges = exchanges.as_array().unwrap();
    assert!(!exchanges.is_empty());
    for exchange in exchanges {
        let name = exchange["name"].as_str().unwrap();
        let request = file(&format!("{name}.request.bin"));
        let expected = decode(&file(&format!("{name}.response.bin")));
        let mut peer = greeter();
        let control = peer.start();
        peer.data(control, &request);
        assert_eq!(peer.values(control, expected.len()), expected, "{name}");
    }
}

#[test]
fn a_whole_session_of_go_is_served() {
    let host = frames(&file("yamux-session.host.bin"));
    let plugin = frames(&file("yamux-session.plugin.bin"));
    let mut peer = greeter();
    for frame in &host {
        peer.write(&frame.header.encode());
        peer.write(&frame.payload);
        if frame.header.kind == Kind::Data {
            // The host waited for each answer before it went on.
            thread::sleep(Duration::from_millis(20));
        }
    }
    peer.socket.shutdown(Shutdown::Write).unwrap();
    let mut answers = Vec::new();
    while let Some(frame) = peer.frame() {
        answers.push(frame);
    }
    let control = stream_data(&plugin, 1);
    assert_eq!(decode(&stream_data(&answers, 1)), decode(&control));
    let (theirs, ours) = (stream_data(&plugin, 7), stream_data(&answers, 7));
    assert_eq!(ours[..4], theirs[..4], "the broker's confirmation");
    assert_eq!(decode(&ours[4..]), decode(&theirs[4..]));
}
