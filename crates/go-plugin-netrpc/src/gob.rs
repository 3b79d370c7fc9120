//! gob values out of a byte stream, within limits.
//!
//! `gobwire` decodes; this decides how much of a peer's bytes it gets to see. Its decoder turns
//! type definitions into memory of up to 32 times their size and scans a value again for each
//! message that continues it, so both are bounded here. gob is described in Go's `encoding/gob`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gobwire::{Decoder, Progress, WireType, ids, parse_length_prefix, parse_uint};
use thiserror::Error;

/// Bytes of type definitions that one stream may send. Kubernetes objects need about 3 KiB.
const MAX_DEFINITIONS: usize = 256 << 10;

/// Messages that one value may be spread over. Go starts a new one for each type that it meets
/// for the first time inside an interface value.
const MAX_CONTINUATIONS: usize = 64;

/// [`ids::INTERFACE`] before the encoding of signed numbers.
const INTERFACE_ID: u64 = ids::INTERFACE.unsigned_abs();

/// Bytes of a nil interface value: type id, zero delta, empty name. Go's hosts send one as the
/// argument of a method that has none, so it does not count as a definition.
const NIL_INTERFACE: usize = 3;

/// Why a value cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GobError {
    /// A message is over [`Limits::message`](crate::Limits::message); it is skipped.
    #[error("gob message must not be over {limit} bytes, got {length}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// The length that the message claims.
        length: usize,
    },
    /// Too many or too large type definitions.
    #[error("gob type definitions must not be over {MAX_DEFINITIONS} bytes in all")]
    TooManyTypes,
    /// A value that is spread over too many messages.
    #[error("gob value must not be spread over more than {MAX_CONTINUATIONS} messages")]
    TooManyMessages,
    /// Bytes that are not gob, or a value of another type.
    #[error(transparent)]
    Gob(#[from] gobwire::Error),
    /// Too much of unfinished messages, in all streams together; nothing more is read from this
    /// one.
    #[error("too many bytes of unfinished gob messages")]
    OutOfBudget,
    /// The bytes cannot be cut into messages; nothing after them can be read.
    #[error("gob message has no valid length")]
    NoLength,
}

/// Who writes the values.
#[derive(Debug)]
pub(crate) enum Sender {
    /// Whoever has connected to a plugin.
    Anybody(Arc<Budget>),
    /// A plugin, to the host that runs its code. It needs no limits but that of the message: its
    /// replies have interface values of any length in them.
    Plugin,
}

/// Memory for messages that have begun and not ended, of all streams together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

/// Cuts a byte stream into values.
#[derive(Debug)]
pub(crate) struct Values {
    limit: usize,
    sender: Sender,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are taken off the budget.
    counted: usize,
    /// Bytes of an oversized message that are still to be dropped.
    skip: usize,
    decoder: Decoder,
    definitions: usize,
    messages: usize,
    bytes: usize,
    /// Whether a type with an interface in it was defined: values may then define types inline.
    interfaces: bool,
}

impl Values {
    pub(crate) fn new(limit: usize, sender: Sender) -> Self {
        Self {
            limit,
            sender,
            buffer: Vec::new(),
            counted: 0,
            skip: 0,
            decoder: Decoder::new(),
            definitions: 0,
            messages: 0,
            bytes: 0,
            interfaces: false,
        }
    }

    /// Takes bytes and calls `value` for each value that is complete now, or failed.
    ///
    /// After [`GobError::NoLength`] or [`GobError::OutOfBudget`] nothing more may be fed.
    pub(crate) fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut value: impl FnMut(Result<&mut Decoder, GobError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut kept = std::mem::take(&mut self.buffer);
        let mut input = bytes;
        if !kept.is_empty() {
            kept.extend_from_slice(bytes);
            input = kept.as_slice();
        }
        while let Some(step) = self.step(&mut input) {
            match step {
                Ok(true) => value(Ok(&mut self.decoder))?,
                Ok(false) => {}
                Err(error) => value(Err(error))?,
            }
        }
        if kept.is_empty() {
            kept = input.to_vec();
        } else {
            let done = kept.len() - input.len();
            kept.drain(..done);
            if kept.is_empty() {
                kept = Vec::new();
            }
        }
        if self.keep(kept) { Ok(()) } else { value(Err(GobError::OutOfBudget)) }
    }

    /// Keeps the beginning of a message, if there is still room for it.
    fn keep(&mut self, kept: Vec<u8>) -> bool {
        let Sender::Anybody(budget) = &self.sender else {
            self.buffer = kept;
            return true;
        };
        budget.release(std::mem::take(&mut self.counted));
        if !budget.take(kept.len()) {
            return false;
        }
        self.counted = kept.len();
        self.buffer = kept;
        true
    }

    /// Takes one message off `input`: whether it completes a value, or `None` without a message.
    fn step(&mut self, input: &mut &[u8]) -> Option<Result<bool, GobError>> {
        let skipped = self.skip.min(input.len());
        *input = input.get(skipped..).unwrap_or_default();
        self.skip -= skipped;
        if input.is_empty() {
            return None;
        }
        let (width, length) = match parse_length_prefix(input) {
            Ok(Some(prefix)) => prefix,
            Ok(None) => return None,
            Err(_) => {
                *input = &[];
                return Some(Err(GobError::NoLength));
            }
        };
        if length > self.limit {
            *input = input.get(width..).unwrap_or_default();
            self.skip = length;
            return Some(Err(GobError::TooLong { limit: self.limit, length }));
        }
        let body = input.get(width..width.saturating_add(length))?;
        *input = input.get(width + length..).unwrap_or_default();
        Some(self.message(body))
    }

    fn message(&mut self, body: &[u8]) -> Result<bool, GobError> {
        let continued = self.messages > 0;
        if let Err(error) = self.account(body, continued) {
            (self.messages, self.bytes) = (0, 0);
            if continued {
                // The decoder holds a value that never gets its end, and cannot be told so.
                self.decoder = Decoder::new();
            }
            return Err(error);
        }
        match self.decoder.push_message(body) {
            Ok(Progress::TypeDefinition(id)) => {
                self.interfaces |= self.mentions_interface(id);
                (self.messages, self.bytes) = (0, 0);
                Ok(false)
            }
            Ok(Progress::NeedMore) => Ok(false),
            Ok(Progress::Ready) => {
                (self.messages, self.bytes) = (0, 0);
                Ok(true)
            }
            Err(error) => {
                (self.messages, self.bytes) = (0, 0);
                Err(error.into())
            }
        }
    }

    fn account(&mut self, body: &[u8], continued: bool) -> Result<(), GobError> {
        let first = parse_uint(body).ok().flatten().map_or(0, |(first, _)| first);
        // Bit 0 is the sign: a negative type id defines a type.
        let defines = !continued && first & 1 == 1;
        let is_interface = first == INTERFACE_ID << 1;
        let may_define = defines || self.interfaces || is_interface || continued;
        let trusted = matches!(self.sender, Sender::Plugin);
        if may_define && !trusted && body.len() > NIL_INTERFACE {
            self.definitions = self.definitions.saturating_add(body.len());
            if self.definitions > MAX_DEFINITIONS {
                return Err(GobError::TooManyTypes);
            }
        }
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(body.len());
        if self.messages > MAX_CONTINUATIONS {
            return Err(GobError::TooManyMessages);
        }
        if self.bytes > self.limit {
            return Err(GobError::TooLong { limit: self.limit, length: self.bytes });
        }
        Ok(())
    }

    fn mentions_interface(&self, id: i64) -> bool {
        let interface = ids::INTERFACE;
        self.decoder.types().get(id).is_some_and(|wire_type| match &**wire_type {
            WireType::Array { elem, .. } | WireType::Slice { elem, .. } => *elem == interface,
            WireType::Map { key, elem, .. } => *key == interface || *elem == interface,
            WireType::Struct { fields, .. } => fields.iter().any(|field| field.id == interface),
            WireType::Marshaler { .. } => false,
        })
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        if let Sender::Anybody(budget) = &self.sender {
            budget.release(self.counted);
        }
    }
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= self.limit;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
