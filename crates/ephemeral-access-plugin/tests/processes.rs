//! The test plugin as a process, with hosts and peers that behave badly. After each, it serves the
//! next call, or has ended and said why.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

#[path = "../../go-plugin-netrpc/tests/support/mod.rs"]
mod peer;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ephemeral_access_plugin::host::{Host, HostError};
use ephemeral_access_plugin::{Application, GrantStatus, RevokeStatus};
use go_plugin_netrpc::HandshakeError;
use go_plugin_netrpc::HostError as ProcessError;
use go_plugin_netrpc::hclog::{Level, LogLine, MAX_LINE};
use go_plugin_netrpc::yamux::{Flags, Kind};
use gobwire::{Encoder, Gob, Interface, StructType, Type, Value};
use peer::Peer;
use rustix::process::{Pid, Signal, kill_process};
use support::{Plugin, Scratch, echo, request, run};

/// How long it may take to end: a second is promised, and this machine may be busy.
const PROMPTLY: Duration = Duration::from_secs(5);

fn connect(plugin: &Plugin) -> Peer {
    Peer::new(UnixStream::connect(&plugin.socket).unwrap())
}

/// Whether the plugin closes the connection, whatever it sends before.
fn is_closed(peer: &mut Peer) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match peer.socket.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[derive(Debug, Clone, Default, Gob)]
struct Header {
    #[gob(name = "ServiceMethod")]
    service_method: String,
    #[gob(name = "Seq")]
    seq: u64,
}

fn header(encoder: &mut Encoder, method: &str, seq: u64) -> Vec<u8> {
    encoder.encode(&Header { service_method: method.to_owned(), seq }).unwrap()
}

/// Opens a session and a stream to the plugin's service.
fn dispensed(plugin: &Plugin) -> (Peer, u32) {
    let mut peer = connect(plugin);
    let control = peer.start();
    let mut encoder = Encoder::new();
    let mut call = header(&mut encoder, "Dispenser.Dispense", 1);
    call.extend(encoder.encode("ephemeralaccess").unwrap());
    peer.data(control, &call);
    let Some(Value::Uint(id)) = peer.values(control, 2).pop() else { panic!("no id") };
    let stream = peer.open();
    peer.data(stream, &u32::try_from(id).unwrap().to_le_bytes());
    loop {
        let frame = peer.frame().unwrap();
        if frame.header.stream_id == stream && frame.header.kind == Kind::Data {
            return (peer, stream);
        }
    }
}

#[test]
fn started_by_hand_it_explains_itself() {
    let (status, text) = run(Command::new(echo()).env_remove("EPHEMERAL_ACCESS_PLUGIN"));
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("plugin of the Argo CD EphemeralAccess controller"), "{text}");
    assert!(text.contains("hint: "), "{text}");
}

#[test]
fn a_wrong_cookie_is_no_host() {
    let (status, _) = run(Command::new(echo()).env("EPHEMERAL_ACCESS_PLUGIN", "other"));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_host_that_wants_tls_is_refused() {
    let mut command = Command::new(echo());
    command.env("EPHEMERAL_ACCESS_PLUGIN", "ephemeralaccess").env("PLUGIN_CLIENT_CERT", "x");
    let (status, text) = run(&mut command);
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("mTLS"), "{text}");
}

#[test]
fn a_socket_directory_that_cannot_be_used_is_named() {
    let deep = "d".repeat(120);
    for (directory, reason) in [("/nonexistent", "/nonexistent"), (&deep, "at most 107 bytes")] {
        let mut command = Command::new(echo());
        command.env("EPHEMERAL_ACCESS_PLUGIN", "ephemeralaccess");
        let (status, text) = run(command.env("PLUGIN_UNIX_SOCKET_DIR", directory));
        assert_eq!(status.code(), Some(1));
        assert!(text.contains(reason) && text.contains("PLUGIN_UNIX_SOCKET_DIR"), "{text}");
        let error = Host::start_command(command, |_| {}).unwrap_err().to_string();
        assert!(error.contains(reason), "the host must say why: {error}");
    }
}

#[test]
fn an_empty_socket_directory_is_unset() {
    let scratch = Scratch::new("empty");
    let mut command = Command::new(echo());
    command.env("PLUGIN_UNIX_SOCKET_DIR", "").env("TMPDIR", &scratch.0);
    let host = Host::start_command(command, |_| {}).unwrap();
    assert_eq!(scratch.files().len(), 1);
    assert!(host.quit());
    assert!(scratch.files().is_empty());
}

#[test]
fn only_its_user_may_connect() {
    let plugin = Plugin::start("mode", &[]);
    let mode = fs::metadata(&plugin.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn quit_is_answered_and_then_it_ends() {
    let mut plugin = Plugin::start("quit", &[]);
    assert!(plugin.host().quit());
    assert!(plugin.ends_within(PROMPTLY).success());
    assert!(plugin.scratch.files().is_empty());
}

#[test]
fn sigterm_ends_it_in_good_order() {
    let mut plugin = Plugin::start("sigterm", &[]);
    let _host = plugin.host();
    signal(plugin.child.id(), Signal::TERM);
    assert!(plugin.ends_within(PROMPTLY).success());
    assert!(plugin.scratch.files().is_empty());
}

#[test]
fn sigint_is_ignored() {
    let plugin = Plugin::start("sigint", &[]);
    signal(plugin.child.id(), Signal::INT);
    thread::sleep(Duration::from_millis(50));
    plugin.serves_the_next_call();
}

#[test]
fn it_ends_with_its_host() {
    // The shell is the host: it stays, because there is something to do after the plugin.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\"; true"]).arg(echo());
    let mut plugin = Plugin::start_command("orphan", shell);
    // A peer that keeps its session open is no host.
    let _session = plugin.host();
    plugin.serves_the_next_call();
    plugin.child.kill().unwrap();
    plugin.child.wait().unwrap();
    let start = Instant::now();
    while !plugin.scratch.files().is_empty() {
        assert!(start.elapsed() < PROMPTLY, "the plugin has outlived its host");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_stray_connection_does_not_end_it() {
    let plugin = Plugin::start("stray", &[]);
    drop(UnixStream::connect(&plugin.socket).unwrap());
    let mut session = connect(&plugin);
    session.start();
    drop(session);
    plugin.serves_the_next_call();
}

#[test]
fn thousands_of_stray_connections_do_not_keep_hosts_out() {
    let plugin = Plugin::start("strays", &[]);
    let host = plugin.host();
    let mut strays = Vec::new();
    for n in 0..3000 {
        strays.push(UnixStream::connect(&plugin.socket).unwrap());
        if n % 500 == 499 {
            strays.drain(..400);
        }
    }
    plugin.serves_the_next_call();
    // The host that came first has kept its connection.
    host.ping().unwrap();
    drop(strays);
    assert!(plugin.memory() < 20_000, "{} KiB", plugin.memory());
    plugin.serves_the_next_call();
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let plugin = Plugin::start("garbage", &[]);
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
    {
        let mut peer = connect(&plugin);
        // It may be closed before all is written.
        let _ = peer.socket.write_all(garbage);
        assert!(is_closed(&mut peer));
        plugin.serves_the_next_call();
    }
}

#[test]
fn half_frames_do_not_disturb_others() {
    let plugin = Plugin::start("half", &[]);
    let mut half_header = connect(&plugin);
    half_header.write(&[0, 0, 0]);
    let mut half_payload = connect(&plugin);
    let control = half_payload.start();
    half_payload.send(Kind::Data, Flags::NONE, control, 100);
    half_payload.write(b"half");
    plugin.serves_the_next_call();
    drop((half_header, half_payload));
    plugin.serves_the_next_call();
}

#[test]
fn a_frame_over_the_window_ends_the_session() {
    let plugin = Plugin::start("window", &[]);
    let mut peer = connect(&plugin);
    let control = peer.start();
    peer.send(Kind::Data, Flags::NONE, control, u32::MAX);
    assert!(is_closed(&mut peer));
    plugin.serves_the_next_call();
}

#[test]
fn gob_lengths_without_bounds_cost_nothing() {
    let plugin = Plugin::start("lengths", &[]);
    // Four gibibytes; eight bytes of ones; a length of nine bytes, which gob does not have.
    let lengths: [&[u8]; 3] =
        [&[0xfb, 1, 0, 0, 0, 0], &[0xf8, 255, 255, 255, 255, 255, 255, 255, 255], &[0xf7, 1]];
    for length in lengths {
        let (mut peer, stream) = dispensed(&plugin);
        peer.data(stream, length);
        peer.data(stream, &[0; 1000]);
        plugin.serves_the_next_call();
        let mut encoder = Encoder::new();
        let call = header(&mut encoder, "Plugin.GrantAccess", 1);
        let (mut peer, stream) = dispensed(&plugin);
        peer.data(stream, &call);
        peer.data(stream, length);
        plugin.serves_the_next_call();
    }
    assert!(plugin.memory() < 20_000, "{} KiB", plugin.memory());
}

#[test]
fn an_argument_over_the_limit_is_skipped_and_the_next_call_served() {
    let plugin = Plugin::start("oversized", &[]);
    let host = plugin.host();
    let mut oversized = request("");
    let annotations = oversized.metadata.annotations.get_or_insert_default();
    annotations.insert("large".to_owned(), "x".repeat(65 << 20));
    let error = host.grant_access(&oversized, &Application::default()).unwrap_err();
    assert!(error.to_string().contains("must not be over 67108864 bytes"), "{error}");
    let response = host.grant_access(&request(""), &Application::default()).unwrap();
    assert_eq!(response.status, GrantStatus::Granted);
}

/// Types that each hold the one before twice: as many values as two to the power of the depth.
fn bomb(depth: usize) -> Interface {
    let mut ty = Type::Int;
    for level in 0..depth {
        let fields = vec![("A".to_owned(), ty.clone()), ("B".to_owned(), ty)];
        let structure = StructType { name: format!("S{level}"), fields };
        ty = Type::Struct(structure.into());
    }
    Interface { name: "bomb".to_owned(), ty, value: Value::Struct(vec![None, None]) }
}

#[test]
fn an_interface_bomb_in_init_is_skipped() {
    let plugin = Plugin::start("bomb", &[]);
    let (mut peer, stream) = dispensed(&plugin);
    let mut encoder = Encoder::new();
    // Describing it costs the sender as much as decoding it would cost the receiver.
    let mut call = header(&mut encoder, "Plugin.Init", 1);
    call.extend(encoder.encode(&Some(bomb(12))).unwrap());
    peer.data(stream, &call);
    assert_eq!(peer.values(stream, 2).len(), 2);
    assert!(plugin.memory() < 20_000, "{} KiB", plugin.memory());
    plugin.serves_the_next_call();
}

#[test]
fn type_definitions_without_end_are_refused() {
    let plugin = Plugin::start("types", &[]);
    let (mut peer, stream) = dispensed(&plugin);
    let mut encoder = Encoder::new();
    peer.data(stream, &header(&mut encoder, "Plugin.GrantAccess", 1));
    for n in 0..50_i64 {
        let fields = (0..1000).map(|field| (format!("F{n}x{field}"), Type::Int)).collect();
        let ty = Type::Struct(StructType { name: format!("T{n}"), fields }.into());
        let value =
            Interface { name: "many".to_owned(), ty, value: Value::Struct(vec![None; 1000]) };
        let bytes = encoder.encode(&Some(value)).unwrap();
        for part in bytes.chunks(60_000) {
            peer.data(stream, part);
        }
    }
    plugin.serves_the_next_call();
    assert!(plugin.memory() < 40_000, "{} KiB", plugin.memory());
}

#[test]
fn streams_over_the_limit_are_reset() {
    let plugin = Plugin::start("streams", &[]);
    let mut peer = connect(&plugin);
    peer.start();
    let mut writer = peer.socket.try_clone().map(Peer::new).unwrap();
    let sender = thread::spawn(move || {
        for n in 0..2000 {
            writer.send(Kind::WindowUpdate, Flags::SYN, 101 + 2 * n, 0);
        }
    });
    let (mut accepted, mut reset) = (0, 0);
    while accepted + reset < 2003 {
        let flags = peer.frame().unwrap().header.flags;
        accepted += u32::from(flags.contains(Flags::ACK));
        reset += u32::from(flags.contains(Flags::RST));
    }
    sender.join().unwrap();
    assert_eq!(accepted, 256);
    plugin.serves_the_next_call();
}

#[test]
fn a_stream_with_an_even_number_ends_the_session() {
    let plugin = Plugin::start("even", &[]);
    let mut peer = connect(&plugin);
    peer.send(Kind::WindowUpdate, Flags::SYN, 2, 0);
    assert!(is_closed(&mut peer));
    plugin.serves_the_next_call();
}

#[test]
fn a_peer_that_never_reads_loses_its_connection() {
    let plugin = Plugin::start("deaf", &[]);
    let mut peer = connect(&plugin);
    peer.start();
    let ping = go_plugin_netrpc::yamux::Header {
        kind: Kind::Ping,
        flags: Flags::SYN,
        stream_id: 0,
        length: 7,
    };
    let pings = ping.encode().repeat(10_000);
    let mut sent = 0;
    while sent < 100 && peer.socket.write_all(&pings).is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "the plugin keeps answers for a peer that does not read");
    plugin.serves_the_next_call();
}

#[test]
fn a_panic_is_an_error_of_its_call() {
    let plugin = Plugin::start("panic", &[]);
    let host = plugin.host();
    for _ in 0..3 {
        let error = host.grant_access(&request("panic"), &Application::default()).unwrap_err();
        let expected = "plugin panicked in Plugin.GrantAccess: asked to panic";
        assert_eq!(error.to_string(), expected);
        let error = host.revoke_access(&request("panic"), &Application::default()).unwrap_err();
        assert!(matches!(error, HostError::Plugin(_)), "{error}");
    }
    let response = host.revoke_access(&request(""), &Application::default()).unwrap();
    assert_eq!(response.status, RevokeStatus::Revoked);
    let log = plugin.log.lock().unwrap();
    assert!(
        log.contains(r#""@level":"error","@message":"plugin panicked: asked to panic""#),
        "{log}"
    );
}

#[test]
fn a_call_that_never_returns_meets_its_deadline() {
    let plugin = Plugin::start("hang", &[("TEST_DEADLINE_MS", "100")]);
    let host = plugin.host();
    // More of them than handlers may run at once.
    for _ in 0..70 {
        let start = Instant::now();
        let error = host.grant_access(&request("hang"), &Application::default()).unwrap_err();
        assert!(error.to_string().contains("did not answer"), "{error}");
        assert!(start.elapsed() < PROMPTLY);
    }
    let response = host.grant_access(&request(""), &Application::default()).unwrap();
    assert_eq!(response.status, GrantStatus::Granted);
    host.ping().unwrap();
    assert!(host.quit());
}

#[test]
fn a_slow_call_does_not_hold_up_others() {
    let plugin = Plugin::start("slow", &[]);
    let host = plugin.host();
    let slow = plugin.host();
    let call = move || slow.grant_access(&request("sleep:5000"), &Application::default());
    let slow = thread::spawn(call);
    for _ in 0..20 {
        host.grant_access(&request(""), &Application::default()).unwrap();
    }
    assert!(!slow.is_finished());
}

#[test]
fn what_it_prints_is_no_protocol() {
    let plugin = Plugin::start("print", &[]);
    let host = plugin.host();
    host.grant_access(&request("print:1000000"), &Application::default()).unwrap();
    host.grant_access(&request(""), &Application::default()).unwrap();
    let start = Instant::now();
    while plugin.log.lock().unwrap().matches('x').count() < 1_000_000 {
        assert!(start.elapsed() < PROMPTLY, "what is printed goes to standard error");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn five_megabytes_go_both_ways() {
    let plugin = Plugin::start("large", &[]);
    let host = plugin.host();
    let mut large = request("");
    let annotations = large.metadata.annotations.get_or_insert_default();
    annotations.insert("large".to_owned(), "x".repeat(5 << 20));
    let response = host.grant_access(&large, &Application::default()).unwrap();
    assert!(response.message.len() > 5 << 20);
}

#[test]
fn log_lines_cannot_hurt_a_host() {
    let plugin = Plugin::start("log", &[("EPHEMERAL_LOG_LEVEL", "trace")]);
    plugin.host().grant_access(&request("log"), &Application::default()).unwrap();
    use Level::{Debug, Error, Info, Warn};
    assert_eq!(logged(&plugin), [Debug, Debug, Info, Warn, Error, Error]);
    for line in plugin.log.lock().unwrap().lines() {
        assert!(line.len() < MAX_LINE);
        assert!(matches!(LogLine::parse(line), LogLine::Entry(_)), "not a log line: {line}");
    }
}

#[test]
fn the_log_level_is_the_controllers() {
    let levels = |level: &str| {
        let plugin = Plugin::start("level", &[("EPHEMERAL_LOG_LEVEL", level)]);
        plugin.host().grant_access(&request("log"), &Application::default()).unwrap();
        logged(&plugin).into_iter().map(Level::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(levels("debug"), "debug info warn error error");
    assert_eq!(levels("info"), "info warn error error");
    assert_eq!(levels(""), "info warn error error");
    assert_eq!(levels("error"), "error error");
}

/// The levels of the lines that the test plugin itself has logged, up to the last one.
fn logged(plugin: &Plugin) -> Vec<Level> {
    let start = Instant::now();
    loop {
        let log = plugin.log.lock().unwrap().clone();
        let entries = log.lines().filter_map(|line| match LogLine::parse(line) {
            LogLine::Entry(entry) if entry.module.as_deref() == Some("echo") => Some(entry),
            _ => None,
        });
        let entries: Vec<_> = entries.collect();
        if entries.last().is_some_and(|entry| entry.message.starts_with("long")) {
            return entries.iter().map(|entry| entry.level).collect();
        }
        assert!(start.elapsed() < 2 * PROMPTLY, "the log is not complete: {log}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn init_can_fail() {
    let plugin = Plugin::start("init", &[("TEST_INIT_ERROR", "no configuration")]);
    let error = plugin.host().init().unwrap_err();
    assert_eq!(error.to_string(), "no configuration");
}

#[test]
fn programs_that_are_no_plugins_are_refused() {
    let start = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument);
        Host::start_command(command, |_| {}).unwrap_err()
    };
    let error = start("true", "");
    assert!(matches!(error, HostError::Start(ProcessError::Exited { .. })), "{error:?}");
    let error = start("echo", "hello");
    let HostError::Start(ProcessError::Handshake(HandshakeError::Line { line })) = error else {
        panic!("{error:?}")
    };
    assert_eq!(line, "hello");
    let error = start("/nonexistent", "");
    assert!(matches!(error, HostError::Start(ProcessError::Start { .. })), "{error:?}");
}

#[test]
fn the_installer_can_run_again() {
    let scratch = Scratch::new("install");
    let target = scratch.0.join("volume");
    for round in 0..3 {
        let mut command = Command::new(echo());
        command.arg("install").env("PLUGIN_DIR", &target).env_remove("EPHEMERAL_ACCESS_PLUGIN");
        let (status, text) = run(&mut command);
        assert!(status.success(), "round {round}: {text}");
        let installed = target.join("echo");
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::read(&installed).unwrap(), fs::read(echo()).unwrap());
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    }
    // What is installed is a plugin, also while it is replaced.
    let host = Host::start(&target.join("echo"), |_| {}).unwrap();
    let (status, _) = install(&target, echo());
    assert!(status.success());
    host.init().unwrap();
    assert!(host.quit());
}

fn install(target: &Path, source: &Path) -> (std::process::ExitStatus, String) {
    let mut command = Command::new(echo());
    command.arg("install").env("PLUGIN_DIR", target).env("PLUGIN_PATH", source);
    run(command.env_remove("EPHEMERAL_ACCESS_PLUGIN"))
}

#[test]
fn the_installer_keeps_the_name_of_plugin_path() {
    let scratch = Scratch::new("named");
    let source = scratch.0.join("plugin");
    fs::write(&source, "not really a program").unwrap();
    let target = scratch.0.join("volume");
    assert!(install(&target, &source).0.success());
    assert_eq!(fs::read(target.join("plugin")).unwrap(), fs::read(&source).unwrap());
}

#[test]
fn the_installer_says_what_is_wrong() {
    let scratch = Scratch::new("uninstallable");
    let (status, text) = install(&scratch.0, Path::new("/nonexistent/plugin"));
    assert!(!status.success() && text.contains("\"/nonexistent/plugin\""), "{text}");
    let (status, text) = install(&scratch.0, Path::new("/tmp"));
    assert!(!status.success() && text.contains("PLUGIN_PATH must name a file"), "{text}");
    let (status, text) = install(Path::new("/proc/volume"), echo());
    assert!(!status.success() && text.contains("PLUGIN_DIR"), "{text}");
    assert!(scratch.files().is_empty());
}

#[test]
fn dropping_a_host_ends_its_plugin() {
    let scratch = Scratch::new("dropped");
    let mut command = Command::new(echo());
    command.env("PLUGIN_UNIX_SOCKET_DIR", &scratch.0);
    let host = Host::start_command(command, |_| {}).unwrap();
    let pid = host.plugin_process().unwrap().reattach().pid.expect("its own process");
    drop(host);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}
