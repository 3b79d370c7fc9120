//! The methods that a plugin serves.

use std::collections::BTreeMap;
use std::time::Duration;

use gobwire::{Decode, Decoder, Encode};
use thiserror::Error;

/// What a method returns to its caller.
///
/// Implement it for the reply types of your protocol. The provided [`Reply::from_failure`] lets
/// every failure become net/rpc's own error text.
pub trait Reply: Encode + Send + Sized + 'static {
    /// The reply to a call whose handler failed, if the protocol has one for that.
    fn from_failure(failure: &CallFailure) -> Option<Self> {
        let _ = failure;
        None
    }
}

/// Why a call got no reply from its handler.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallFailure {
    /// The handler panicked.
    #[error("plugin panicked in {method}: {message}")]
    Panicked {
        /// The method called.
        method: String,
        /// The panic's message.
        message: String,
    },
    /// The handler has not returned in time. It may still be running.
    #[error("plugin did not answer {method} within {limit:?}")]
    DeadlineExceeded {
        /// The method called.
        method: String,
        /// [`Limits::call_deadline`](crate::Limits::call_deadline).
        limit: Duration,
    },
    /// Too many calls are waiting already.
    #[error("plugin is busy: {waiting} calls are waiting before {method}")]
    Busy {
        /// The method called.
        method: String,
        /// Calls waiting for a handler.
        waiting: usize,
    },
}

/// A set of methods by their full names, such as `Plugin.Init`.
#[derive(Default)]
pub struct Service {
    methods: BTreeMap<String, Method>,
}

/// The encoded half of an answer: a reply, or net/rpc's error text.
pub(crate) type Outcome = Result<Box<dyn Encode + Send>, String>;

/// Something to do once an answer is on its way.
pub(crate) type Then = Box<dyn FnOnce() + Send>;

/// A call that is ready to run.
pub(crate) struct Prepared {
    pub(crate) run: Box<dyn FnOnce() -> Outcome + Send>,
    pub(crate) failed: fn(&CallFailure) -> Outcome,
    /// Set for methods that are run while reading.
    pub(crate) inline: Option<Then>,
}

type Method = Box<dyn Fn(&mut Decoder) -> Result<Prepared, gobwire::Error> + Send + Sync>;

impl Service {
    /// A service without methods.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method. `name` is the full name; an error becomes net/rpc's error text.
    #[must_use]
    pub fn method<A, R, F>(self, name: &str, handler: F) -> Self
    where
        A: Decode + Default + Send + 'static,
        R: Reply,
        F: Fn(A) -> Result<R, String> + Clone + Send + Sync + 'static,
    {
        self.insert(name, move |decoder| {
            let argument: A = decoder.decode()?;
            let handler = handler.clone();
            Ok(Prepared {
                run: Box::new(move || boxed(handler(argument))),
                failed: failed::<R>,
                inline: None,
            })
        })
    }

    /// Adds a method that ignores its argument, which is skipped and never decoded.
    ///
    /// A value of unknown type is best not decoded at all: types nested in interface values can
    /// describe far more than the bytes that carry them.
    #[must_use]
    pub fn method_without_argument<R, F>(self, name: &str, handler: F) -> Self
    where
        R: Reply,
        F: Fn() -> Result<R, String> + Clone + Send + Sync + 'static,
    {
        self.insert(name, move |decoder| {
            decoder.discard()?;
            let handler = handler.clone();
            Ok(Prepared {
                run: Box::new(move || boxed(handler())),
                failed: failed::<R>,
                inline: None,
            })
        })
    }

    /// Adds a method of go-plugin's own, which is run while reading: it waits for nothing.
    pub(crate) fn inline<A, R, F>(self, name: &str, handler: F) -> Self
    where
        A: Decode + Default + Send + 'static,
        R: Encode + Send + 'static,
        F: Fn(A) -> (Result<R, String>, Then) + Send + Sync + 'static,
    {
        self.insert(name, move |decoder| {
            let (result, then) = handler(decoder.decode()?);
            Ok(Prepared {
                run: Box::new(move || boxed(result)),
                failed: |failure| Err(failure.to_string()),
                inline: Some(then),
            })
        })
    }

    pub(crate) fn prepare(
        &self,
        name: &str,
        decoder: &mut Decoder,
    ) -> Option<Result<Prepared, gobwire::Error>> {
        self.methods.get(name).map(|method| method(decoder))
    }

    /// Why there is no such method, in the words of `net/rpc/server.go`.
    pub(crate) fn missing(&self, name: &str) -> String {
        let Some((service, _)) = name.rsplit_once('.') else {
            return format!("rpc: service/method request ill-formed: {name}");
        };
        let of_service =
            |method: &String| method.rsplit_once('.').is_some_and(|(of, _)| of == service);
        let known = self.methods.keys().any(of_service);
        let what = if known { "method" } else { "service" };
        format!("rpc: can't find {what} {name}")
    }

    fn insert<F>(mut self, name: &str, method: F) -> Self
    where
        F: Fn(&mut Decoder) -> Result<Prepared, gobwire::Error> + Send + Sync + 'static,
    {
        self.methods.insert(name.to_owned(), Box::new(method));
        self
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}

fn boxed<R: Encode + Send + 'static>(result: Result<R, String>) -> Outcome {
    result.map(|reply| Box::new(reply) as Box<dyn Encode + Send>)
}

fn failed<R: Reply>(failure: &CallFailure) -> Outcome {
    boxed(R::from_failure(failure).ok_or_else(|| failure.to_string()))
}
