//! Limits that take too long, or too much, with their defaults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use go_plugin_netrpc::yamux::{Flags, Kind, SessionError};
use go_plugin_netrpc::{CallFailure, Connection, Handshake, Limits, Plugin, Reply, Service};
use gobwire::{Encoder, Gob, Value};
use support::{Frame, Peer};

#[derive(Debug, Default, Gob)]
struct Answer {
    #[gob(name = "Text")]
    text: String,
}

impl Reply for Answer {
    fn from_failure(failure: &CallFailure) -> Option<Self> {
        Some(Self { text: failure.to_string() })
    }
}

#[derive(Debug, Default, Gob)]
struct Request {
    #[gob(name = "ServiceMethod")]
    service_method: String,
    #[gob(name = "Seq")]
    seq: u64,
}

type Served = JoinHandle<Result<(), SessionError>>;

fn plugin(limits: Limits) -> (UnixStream, Served) {
    let (here, there) = UnixStream::pair().unwrap();
    let handshake = Handshake {
        cookie_key: "COOKIE".to_owned(),
        cookie_value: "cookie".to_owned(),
        protocol_version: 1,
    };
    let service = Service::new().method("Plugin.Echo", |answer: Answer| Ok(answer)).method(
        "Plugin.Sleep",
        |answer: Answer| {
            thread::sleep(Duration::from_millis(answer.text.parse().unwrap_or(0)));
            Ok(answer)
        },
    );
    let plugin = Plugin::new(handshake).service("service", service).limits(limits);
    (here, thread::spawn(move || plugin.serve_connection(there)))
}

fn limits(set: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

fn echo(text: &str) -> Answer {
    Answer { text: text.to_owned() }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_session_must_start_in_time() {
    let start = Duration::from_millis(50);
    let (socket, served) = plugin(limits(|limits| limits.session_start = start));
    // One byte now and then does not help.
    let mut peer = Peer::new(socket);
    peer.send(Kind::WindowUpdate, Flags::SYN, 1, 0);
    peer.write(&[0]);
    let result = served.join().unwrap();
    assert!(matches!(result, Err(SessionError::NotStarted { .. })), "{result:?}");
}

#[test]
fn unfinished_messages_are_bounded_in_all() {
    let (socket, _served) = plugin(limits(|limits| limits.buffered = 100_000));
    let mut peer = Peer::new(socket);
    let control = peer.start();
    // A message of 1 MiB that never ends.
    peer.data(control, &[0xfd, 0x10, 0, 0]);
    for _ in 0..4 {
        peer.data(control, &[0; 50_000]);
    }
    let reset =
        |frame: Frame| frame.header.stream_id == control && frame.header.flags.contains(Flags::RST);
    while !reset(peer.frame().unwrap()) {}
}

#[test]
fn a_call_over_its_deadline_gets_the_reply_for_that() {
    let deadline = Duration::from_millis(50);
    let (socket, _served) = plugin(limits(|limits| limits.call_deadline = deadline));
    let connection = Connection::new(socket, Limits::default()).unwrap();
    let service = connection.dispense("service").unwrap();
    let late: Answer = service.call("Plugin.Sleep", &echo("500"), PATIENCE).unwrap();
    assert_eq!(late.text, "plugin did not answer Plugin.Sleep within 50ms");
    let next: Answer = service.call("Plugin.Echo", &echo("next"), PATIENCE).unwrap();
    assert_eq!(next.text, "next");
}

#[test]
fn calls_over_the_queue_are_refused_and_the_others_served() {
    let (socket, _served) = plugin(limits(|limits| {
        limits.handlers = 1;
        limits.waiting_calls = 2;
    }));
    let connection = Connection::new(socket, Limits::default()).unwrap();
    let service = connection.dispense("service").unwrap();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let service = service.clone();
            let call = move || service.call::<_, Answer>("Plugin.Sleep", &echo("100"), PATIENCE);
            thread::spawn(call)
        })
        .collect();
    let answers = callers.into_iter().map(|caller| caller.join().unwrap().unwrap().text);
    let (busy, served): (Vec<_>, Vec<_>) = answers.partition(|text| text.contains("busy"));
    assert!(!busy.is_empty() && !served.is_empty(), "{} busy", busy.len());
    let next: Answer = service.call("Plugin.Echo", &echo("next"), PATIENCE).unwrap();
    assert_eq!(next.text, "next");
}

#[test]
fn sixteen_callers_get_their_own_large_answers() {
    let (socket, _served) = plugin(Limits::default());
    let connection = Connection::new(socket, Limits::default()).unwrap();
    let service = connection.dispense("service").unwrap();
    let callers: Vec<_> = (0..16)
        .map(|n| {
            let service = service.clone();
            // Over the window, both ways at the same time.
            let text = format!("{n} ").repeat(400_000);
            thread::spawn(move || {
                let answer: Answer = service.call("Plugin.Echo", &echo(&text), PATIENCE).unwrap();
                assert!(answer.text == text, "{n}");
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
}

#[test]
fn no_answer_goes_out_beyond_the_window() {
    let (socket, _served) = plugin(Limits::default());
    let mut peer = Peer::new(socket);
    let control = peer.start();
    let mut encoder = Encoder::new();
    let mut call = |method: &str, seq: u64, argument: &str| {
        let request = Request { service_method: method.to_owned(), seq };
        let mut bytes = encoder.encode(&request).unwrap();
        bytes.extend(encoder.encode(argument).unwrap());
        bytes
    };
    peer.data(control, &call("Dispenser.Dispense", 1, "service"));
    let Some(Value::Uint(id)) = peer.values(control, 2).pop() else { panic!("no number") };
    let stream = peer.open();
    peer.data(stream, &u32::try_from(id).unwrap().to_le_bytes());
    let mut encoder = Encoder::new();
    let request = Request { service_method: "Plugin.Echo".to_owned(), seq: 1 };
    let mut bytes = encoder.encode(&request).unwrap();
    bytes.extend(encoder.encode(&echo(&"x".repeat(300_000))).unwrap());
    let mut window = 256 * 1024_u32;
    for part in bytes.chunks(100_000) {
        peer.data(stream, part);
    }
    // The broker's four bytes and the answer come out of the same window, and no more.
    let mut received = 0;
    while received < 256 * 1024 {
        let frame = peer.frame().unwrap();
        if frame.header.stream_id == stream && frame.header.kind == Kind::Data {
            window = window.checked_sub(frame.header.length).unwrap();
            received += frame.header.length;
        }
    }
    peer.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(peer.frame().is_none(), "the window is used up");
    peer.socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    peer.send(Kind::WindowUpdate, Flags::NONE, stream, 256 * 1024);
    while received < 300_000 {
        let frame = peer.frame().unwrap();
        received += frame.payload.len().try_into().unwrap_or(0);
    }
}
