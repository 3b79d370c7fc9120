//! Limits that take too long, or too much, with their defaults.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use go_plugin_netrpc::yamux::{Flags, Kind, SessionError};
use go_plugin_netrpc::{
    CallFailure, Connection, Handshake, Limits, Plugin, Reply, RpcClient, Service,
};
use gobwire::{Encode, Encoder, Gob, Value};
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
    let sleep = |answer: Answer| {
        thread::sleep(Duration::from_millis(answer.text.parse().unwrap_or(0)));
        Ok(answer)
    };
    let hang = |_: Answer| -> Result<Answer, String> {
        loop {
            thread::park();
        }
    };
    let service = Service::new()
        .method("Plugin.Echo", |answer: Answer| Ok(answer))
        .method("Plugin.Sleep", sleep)
        .method("Plugin.Hang", hang);
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

fn call<A: Encode + ?Sized>(
    encoder: &mut Encoder,
    method: &str,
    seq: u64,
    argument: &A,
) -> Vec<u8> {
    let request = Request { service_method: method.to_owned(), seq };
    let mut bytes = encoder.encode(&request).unwrap();
    bytes.extend(encoder.encode(argument).unwrap());
    bytes
}

/// Dispenses the service with the first call on the control stream; its stream.
fn dispense(peer: &mut Peer, control: u32) -> u32 {
    peer.data(control, &call(&mut Encoder::new(), "Dispenser.Dispense", 1, "service"));
    let Some(Value::Uint(id)) = peer.values(control, 2).pop() else { panic!("no number") };
    let stream = peer.open();
    peer.data(stream, &u32::try_from(id).unwrap().to_le_bytes());
    stream
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
fn a_handler_that_hangs_holds_up_neither_pings_nor_calls() {
    let (socket, _served) = plugin(Limits::default());
    let connection = Connection::new(socket, Limits::default()).unwrap();
    let service = connection.dispense("service").unwrap();
    let begin = Instant::now();
    for _ in 0..10 {
        let hanging = service.clone();
        thread::spawn(move || hanging.call::<_, Answer>("Plugin.Hang", &echo(""), PATIENCE));
        connection.ping().unwrap();
        let answer: Answer = service.call("Plugin.Echo", &echo("quick"), PATIENCE).unwrap();
        assert_eq!(answer.text, "quick");
    }
    // All ten of them hang until the deadline, 30 s.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn slow_calls_run_side_by_side() {
    let (socket, _served) = plugin(Limits::default());
    let connection = Connection::new(socket, Limits::default()).unwrap();
    let service = connection.dispense("service").unwrap();
    let begin = Instant::now();
    let sleep = |service: &RpcClient| {
        let service = service.clone();
        move || service.call::<_, Answer>("Plugin.Sleep", &echo("500"), PATIENCE).unwrap()
    };
    let callers: Vec<_> = (0..16).map(|_| thread::spawn(sleep(&service))).collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap().text, "500");
    }
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn callers_are_served_beside_sixteen_of_whom_some_hang() {
    let (socket, _served) = plugin(limits(|limits| {
        limits.handlers = 4;
        limits.call_deadline = Duration::from_millis(100);
    }));
    let connection = Connection::new(socket, Limits::default()).unwrap();
    let service = connection.dispense("service").unwrap();
    let callers: Vec<_> = (0..16)
        .map(|n| {
            let service = service.clone();
            let method = if n % 4 == 0 { "Plugin.Hang" } else { "Plugin.Echo" };
            let text = n.to_string();
            thread::spawn(move || {
                let answers = (0..20).map(|_| {
                    let answer = service.call::<_, Answer>(method, &echo(&text), PATIENCE).unwrap();
                    let late = answer.text == "plugin did not answer Plugin.Hang within 100ms";
                    // A call may also wait behind those that hang, for as long as they may.
                    let waited = answer.text == "plugin did not answer Plugin.Echo within 100ms";
                    assert!(late || waited || answer.text == text, "{}", answer.text);
                    usize::from(answer.text == text)
                });
                (method, answers.sum::<usize>())
            })
        })
        .collect();
    for caller in callers {
        let (method, answered) = caller.join().unwrap();
        match method {
            "Plugin.Hang" => assert_eq!(answered, 0),
            _ => assert!(answered >= 10, "{answered} of 20"),
        }
    }
    connection.ping().unwrap();
}

#[test]
fn a_flood_behind_a_handler_that_hangs_is_answered() {
    const CALLS: u64 = 200;
    let (socket, _served) = plugin(Limits::default());
    let mut peer = Peer::new(socket);
    let control = peer.start();
    let stream = dispense(&mut peer, control);
    let mut encoder = Encoder::new();
    let mut bytes = call(&mut encoder, "Plugin.Hang", 1, &echo(""));
    for seq in 2..=CALLS + 1 {
        bytes.extend(call(&mut encoder, "Plugin.Echo", seq, &echo("x")));
    }
    // In pieces that do not end where calls do.
    for piece in bytes.chunks(1000) {
        peer.data(stream, piece);
    }
    peer.send(Kind::Ping, Flags::SYN, 0, 7);
    let mut data = Vec::new();
    let mut ping = false;
    let answered = |data: &Vec<u8>| {
        // The broker's number goes first.
        let values = data.get(4..).map_or(0, |data| support::decode(data).len());
        values == usize::try_from(2 * CALLS).unwrap()
    };
    while !ping || !answered(&data) {
        let frame = peer.frame().unwrap();
        ping |= frame.header.kind == Kind::Ping && frame.header.flags.contains(Flags::ACK);
        if frame.header.stream_id == stream && frame.header.kind == Kind::Data {
            data.extend(frame.payload);
        }
    }
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
    let stream = dispense(&mut peer, control);
    let bytes = call(&mut Encoder::new(), "Plugin.Echo", 1, &echo(&"x".repeat(300_000)));
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
