//! However the bytes of a connection are cut into reads, the frames are the same, and headers
//! survive the round trip.

#![no_main]

use go_plugin_netrpc::yamux::{Header, Kind, Piece, Splitter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, wire) = input;
    let whole = frames(wire, wire.len().max(1));
    assert_eq!(whole, frames(wire, usize::from(cut).max(1)));
});

/// The frames as far as they are valid, from reads of this size.
fn frames(wire: &[u8], size: usize) -> (Vec<(Header, Vec<u8>)>, bool) {
    let mut splitter = Splitter::default();
    let mut frames: Vec<(Header, Vec<u8>)> = Vec::new();
    for mut read in wire.chunks(size) {
        loop {
            match splitter.next(&mut read) {
                Ok(None) => break,
                Ok(Some(Piece::Header(header))) => {
                    assert_eq!(Header::parse(&header.encode()), Ok(header));
                    frames.push((header, Vec::new()));
                }
                Ok(Some(Piece::Payload(bytes))) => {
                    let (header, payload) = frames.last_mut().expect("payload follows a header");
                    assert_eq!(header.kind, Kind::Data);
                    payload.extend_from_slice(bytes);
                    assert!(payload.len() <= header.length as usize);
                }
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}
