//! Values that need more care than gobwire's own types give them.

use gobwire::{
    Decode, Encode, Error, Gob, GobType, Result, TypeTable, ValueDecoder, ValueEncoder, WireType,
};
use gobwire::{Describer, GoTime, Interface, UNIX_TO_INTERNAL, Value, Zone, ids};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Most elements of a list. Objects in Kubernetes are at most 1.5 MiB and so have far fewer; an
/// element that is empty takes one byte here and hundreds in memory.
const MAX_ELEMENTS: u64 = 65_536;

/// The name that upstream's error type has in gob: `gob.Register(&PluginError{})` in `rpc.go`.
/// With any other name the host cannot decode the reply, nor any that comes after it.
const PLUGIN_ERROR: &str = "*plugin.PluginError";

/// A Go string. Go allows any bytes in it; each byte that is not UTF-8 becomes U+FFFD, as where Go
/// writes JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(pub(super) String);

/// A Go slice of bounded length.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct List<T>(pub(super) Vec<T>);

/// An error as upstream sends it: an interface value that is nil or a `*PluginError`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorValue(pub(super) Option<String>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Gob)]
#[gob(name = "PluginError")]
struct PluginErrorValue {
    #[gob(name = "Err")]
    err: String,
}

impl GobType for Text {
    fn describe(describer: &mut Describer<'_>) -> Result<i64> {
        String::describe(describer)
    }

    fn compatible(types: &TypeTable, wire: i64) -> bool {
        String::compatible(types, wire)
    }
}

impl Encode for Text {
    fn describe_value(&self, describer: &mut Describer<'_>) -> Result<i64> {
        Self::describe(describer)
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self, encoder: &mut ValueEncoder<'_>) -> Result<()> {
        self.0.encode(encoder)
    }
}

impl Decode for Text {
    fn decode_into(&mut self, decoder: &mut ValueDecoder<'_>, wire: i64) -> Result<()> {
        if wire != ids::STRING {
            return Err(decoder.mismatch::<Self>(wire));
        }
        self.0 = text(decoder.read_bytes()?);
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

impl<T: GobType> GobType for List<T> {
    fn describe(describer: &mut Describer<'_>) -> Result<i64> {
        Vec::<T>::describe(describer)
    }

    fn compatible(types: &TypeTable, wire: i64) -> bool {
        Vec::<T>::compatible(types, wire)
    }
}

impl<T: GobType + Encode> Encode for List<T> {
    fn describe_value(&self, describer: &mut Describer<'_>) -> Result<i64> {
        Self::describe(describer)
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self, encoder: &mut ValueEncoder<'_>) -> Result<()> {
        self.0.encode(encoder)
    }
}

impl<T: Decode + Default> Decode for List<T> {
    fn decode_into(&mut self, decoder: &mut ValueDecoder<'_>, wire: i64) -> Result<()> {
        let element = match decoder.types().get(wire).map(|wire_type| &**wire_type) {
            Some(WireType::Slice { elem, .. }) => *elem,
            _ => return Err(decoder.mismatch::<Self>(wire)),
        };
        let length = decoder.read_uint()?;
        if length > MAX_ELEMENTS {
            let message = format!("list must not be over {MAX_ELEMENTS} elements, got {length}");
            return Err(Error::Corrupt(message));
        }
        self.0.clear();
        for _ in 0..length {
            decoder.expect_element(length)?;
            let mut value = T::default();
            value.decode_into(decoder, element)?;
            self.0.push(value);
        }
        Ok(())
    }
}

impl GobType for ErrorValue {
    fn describe(describer: &mut Describer<'_>) -> Result<i64> {
        Option::<Interface>::describe(describer)
    }

    fn compatible(types: &TypeTable, wire: i64) -> bool {
        Option::<Interface>::compatible(types, wire)
    }
}

impl Encode for ErrorValue {
    fn describe_value(&self, describer: &mut Describer<'_>) -> Result<i64> {
        Self::describe(describer)
    }

    fn is_zero(&self) -> bool {
        self.0.is_none()
    }

    fn encode(&self, encoder: &mut ValueEncoder<'_>) -> Result<()> {
        let Some(message) = &self.0 else {
            return encoder.interface(None);
        };
        let error = PluginErrorValue { err: message.clone() };
        encoder.interface(Some((PLUGIN_ERROR, &error)))
    }
}

impl Decode for ErrorValue {
    fn decode_into(&mut self, decoder: &mut ValueDecoder<'_>, wire: i64) -> Result<()> {
        if wire != ids::INTERFACE {
            return Err(decoder.mismatch::<Self>(wire));
        }
        self.0 = decoder.read_interface()?.map(|interface| match interface.value {
            Value::Struct(fields) => match fields.into_iter().next() {
                Some(Some(Value::String(message))) => message,
                _ => String::new(),
            },
            _ => format!("an error of type {}", interface.name),
        });
        Ok(())
    }
}

/// 0000-01-01T00:00:00Z in seconds since 1970. RFC 3339 has no earlier year, and what `Time` writes
/// for one cannot be read again.
const FIRST_SECOND: i64 = -62_167_219_200;

/// Go's zero time is no time. A time beyond the years that `Time` has becomes the nearest that it
/// has: 9999-12-31T23:59:59Z, which people write for "never", is one of them.
pub(super) fn from_go_time(time: GoTime) -> Option<Time> {
    if time == GoTime::default() {
        return None;
    }
    let seconds = time.sec.saturating_sub(UNIX_TO_INTERNAL);
    let first = Timestamp::from_second(FIRST_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
    let nearest = if seconds < FIRST_SECOND { first } else { Timestamp::MAX };
    Some(Time(Timestamp::new(seconds, time.nsec).unwrap_or(nearest).max(first)))
}

pub(super) fn to_go_time(time: Option<&Time>) -> GoTime {
    time.map_or_else(GoTime::default, |Time(timestamp)| {
        GoTime::from_unix(timestamp.as_second(), timestamp.subsec_nanosecond(), Zone::Utc)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_is_replaced_byte_by_byte() {
        assert_eq!(text(b"a\xff\xf0\x9f\x98b"), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(text("\u{1f600}".as_bytes()), "\u{1f600}");
    }

    #[test]
    fn extreme_times_are_the_nearest_that_there_are() {
        let time = |sec| from_go_time(GoTime { sec, nsec: i32::MIN, zone: Zone::Utc });
        assert_eq!(time(i64::MIN), "0000-01-01T00:00:00Z".parse().ok().map(Time));
        assert_eq!(time(i64::MAX), Some(Time(Timestamp::MAX)));
        assert_eq!(from_go_time(GoTime::default()), None);
    }

    #[test]
    fn every_time_can_be_written_and_read_again() -> serde_json::Result<()> {
        for sec in [i64::MIN, i64::MAX, UNIX_TO_INTERNAL + FIRST_SECOND, 1] {
            let time = from_go_time(GoTime { sec, nsec: -1, zone: Zone::Utc });
            let read: Option<Time> = serde_json::from_str(&serde_json::to_string(&time)?)?;
            assert_eq!(read.is_some(), time.is_some(), "{sec}");
        }
        Ok(())
    }

    #[test]
    fn times_survive_the_round_trip() {
        let time = Timestamp::new(-5, -999_999_999).ok().map(Time);
        assert!(time.is_some());
        assert_eq!(from_go_time(to_go_time(time.as_ref())), time);
    }
}
