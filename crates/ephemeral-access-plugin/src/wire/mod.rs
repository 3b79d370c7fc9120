//! The gob types of upstream's `pkg/plugin/rpc.go` and their way to and from the public types.
//!
//! gob matches fields by name and leaves out what one side does not have, so the types here have
//! the fields of all upstream versions, and one plugin serves them all.

mod calls;
mod meta;
mod request;
mod values;

#[cfg(test)]
mod known_answers;

pub(crate) use self::calls::{Arguments, GrantReply, InitReply, RevokeReply};
