//! Handshake lines and log lines: what is read can be written, and is read as the same again.

#![no_main]

use go_plugin_netrpc::HandshakeLine;
use go_plugin_netrpc::hclog::{LogLine, MAX_LINE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Ok(parsed) = HandshakeLine::parse(line)
        && let Ok(encoded) = parsed.encode()
    {
        assert_eq!(HandshakeLine::parse(&encoded), Ok(parsed));
    }
    if let LogLine::Entry(entry) = LogLine::parse(line) {
        let encoded = entry.encode();
        assert!(encoded.len() <= MAX_LINE && encoded.ends_with(b"\n"));
        let encoded = String::from_utf8(encoded).expect("a log line is UTF-8");
        assert_eq!(encoded.matches('\n').count(), 1);
        let LogLine::Entry(again) = LogLine::parse(&encoded) else { panic!("not read: {encoded}") };
        assert_eq!(again.level, entry.level);
    }
});
