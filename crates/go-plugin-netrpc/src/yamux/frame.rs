//! Frames: the 12-byte header and the splitting of a byte stream into headers and payload.
//!
//! Nothing here does I/O. The format is in hashicorp/yamux's `spec.md` and `const.go`.

use thiserror::Error;

/// Bytes of a frame's header: version, type, flags, stream id, length (`const.go`, `headerSize`).
pub const HEADER_LEN: usize = 12;

/// The only version of the protocol (`const.go`, `protoVersion`).
const VERSION: u8 = 0;

/// What a frame is for (`const.go`, `typeData` to `typeGoAway`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `length` bytes of a stream's data follow the header.
    Data,
    /// `length` is added to the stream's send window; also carries flags without data.
    WindowUpdate,
    /// `length` is an opaque id, sent back with [`Flags::ACK`].
    Ping,
    /// `length` is a [`GoAway`] code; no new stream may be opened afterwards.
    GoAway,
}

/// The flags of a frame (`const.go`, `flagSYN` to `flagRST`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Opens a stream; on a ping, asks for an answer.
    pub const SYN: Self = Self(1);
    /// Acknowledges a stream or answers a ping.
    pub const ACK: Self = Self(2);
    /// The sender writes no more to this stream.
    pub const FIN: Self = Self(4);
    /// The stream is gone at once, in both directions.
    pub const RST: Self = Self(8);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Why a session ends (`const.go`, `goAwayNormal` to `goAwayInternalErr`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoAway {
    /// A normal end.
    Normal,
    /// The peer broke the protocol.
    ProtocolError,
    /// The sender failed.
    InternalError,
    /// A code that no version of yamux defines.
    Unknown(u32),
}

impl GoAway {
    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Normal => 0,
            Self::ProtocolError => 1,
            Self::InternalError => 2,
            Self::Unknown(code) => code,
        }
    }

    /// The reason behind a code on the wire.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Normal,
            1 => Self::ProtocolError,
            2 => Self::InternalError,
            code => Self::Unknown(code),
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Its flags.
    pub flags: Flags,
    /// The stream it belongs to; 0 for [`Kind::Ping`] and [`Kind::GoAway`].
    pub stream_id: u32,
    /// Payload bytes for [`Kind::Data`]; otherwise a number, see [`Kind`].
    pub length: u32,
}

impl Header {
    /// The header's bytes, all numbers big-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream_id.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [VERSION, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3]
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`FrameError`] for another version or an unknown type. Unknown flags are kept and ignored,
    /// as hashicorp/yamux does.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != VERSION {
            return Err(FrameError::Version { actual: version });
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            actual => return Err(FrameError::Kind { actual }),
        };
        Ok(Self {
            kind,
            flags: Flags(u16::from_be_bytes([f0, f1])),
            stream_id: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }
}

/// A header that this version of yamux does not have. The session cannot go on after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first byte is not the protocol's version.
    #[error("yamux version must be {VERSION}, got {actual}")]
    Version {
        /// The byte received.
        actual: u8,
    },
    /// The second byte is not a known frame type.
    #[error("yamux frame type must be 0 to 3, got {actual}")]
    Kind {
        /// The byte received.
        actual: u8,
    },
}

/// A piece of the input of a [`Splitter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A complete header. For [`Kind::Data`] its payload follows as [`Piece::Payload`].
    Header(Header),
    /// Some bytes of the payload of the last data frame, at least one.
    Payload(&'a [u8]),
}

/// Cuts a byte stream into headers and payload, whatever the boundaries of the reads are.
///
/// It buffers at most one header: payload is handed on as it comes, so that a frame that claims
/// 4 GiB costs nothing.
#[derive(Debug, Default)]
pub struct Splitter {
    partial: [u8; HEADER_LEN],
    filled: usize,
    payload_left: u32,
}

impl Splitter {
    /// Takes the next piece off the front of `input`, or `None` when it needs more bytes.
    ///
    /// # Errors
    ///
    /// [`FrameError`] as [`Header::parse`].
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        if self.payload_left > 0 {
            return Ok(self.payload(input).map(Piece::Payload));
        }
        let missing = HEADER_LEN - self.filled;
        let (head, rest) = input.split_at(missing.min(input.len()));
        if let Some(free) = self.partial.get_mut(self.filled..self.filled + head.len()) {
            free.copy_from_slice(head);
        }
        self.filled += head.len();
        *input = rest;
        if self.filled < HEADER_LEN {
            return Ok(None);
        }
        self.filled = 0;
        let header = Header::parse(&self.partial)?;
        if header.kind == Kind::Data {
            self.payload_left = header.length;
        }
        Ok(Some(Piece::Header(header)))
    }

    fn payload<'a>(&mut self, input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let (payload, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        let taken = u32::try_from(payload.len()).unwrap_or(self.payload_left);
        self.payload_left -= taken;
        (!payload.is_empty()).then_some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, flags: Flags, stream_id: u32, length: u32) -> Header {
        Header { kind, flags, stream_id, length }
    }

    fn pieces(splitter: &mut Splitter, mut input: &[u8]) -> Vec<String> {
        let mut pieces = Vec::new();
        while let Some(piece) = splitter.next(&mut input).unwrap() {
            pieces.push(format!("{piece:?}"));
        }
        pieces
    }

    #[test]
    fn a_header_survives_the_round_trip() {
        for kind in [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway] {
            let header = header(kind, Flags(0x8005), 0xdead_beef, u32::MAX);
            assert_eq!(Header::parse(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn another_version_or_type_is_refused() {
        let mut bytes = header(Kind::Ping, Flags::SYN, 0, 7).encode();
        bytes[1] = 4;
        assert_eq!(Header::parse(&bytes), Err(FrameError::Kind { actual: 4 }));
        bytes[0] = 22;
        assert_eq!(Header::parse(&bytes), Err(FrameError::Version { actual: 22 }));
    }

    #[test]
    fn every_split_of_the_input_gives_the_same_bytes() {
        let mut wire = header(Kind::Data, Flags::SYN, 1, 5).encode().to_vec();
        wire.extend_from_slice(b"hello");
        wire.extend_from_slice(&header(Kind::Data, Flags::FIN, 1, 0).encode());
        for cut in 0..=wire.len() {
            let mut splitter = Splitter::default();
            let mut payload = Vec::new();
            let mut headers = 0;
            for mut part in [&wire[..cut], &wire[cut..]] {
                while let Some(piece) = splitter.next(&mut part).unwrap() {
                    match piece {
                        Piece::Header(_) => headers += 1,
                        Piece::Payload(bytes) => payload.extend_from_slice(bytes),
                    }
                }
            }
            assert_eq!((headers, payload.as_slice()), (2, &b"hello"[..]), "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_that_claims_four_gibibytes_is_not_buffered() {
        let mut splitter = Splitter::default();
        let head = header(Kind::Data, Flags::NONE, 1, u32::MAX).encode();
        assert_eq!(pieces(&mut splitter, &head).len(), 1);
        assert_eq!(pieces(&mut splitter, b"abc"), ["Payload([97, 98, 99])"]);
        assert_eq!(splitter.payload_left, u32::MAX - 3);
    }
}
