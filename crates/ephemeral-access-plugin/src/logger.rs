//! `tracing` events as log lines that the controller understands.

use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::time::SystemTime;

use go_plugin_netrpc::hclog::{self, Entry};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// The variable that sets the controller's log level, and with it the plugin's
/// (`pkg/log/log.go`, `EphemeralLogLevel`).
const ENV_LOG_LEVEL: &str = "EPHEMERAL_LOG_LEVEL";

/// Writes `tracing` events to standard error in go-hclog's JSON form, which the controller puts
/// into its own log.
///
/// [`serve`](crate::serve) installs it, unless the program has installed a subscriber before. The
/// least level is debug: go-plugin's hosts have nothing below it, and upstream's controller shows
/// `trace` as info. The fields of the spans that an event is in are added to it.
#[derive(Debug, Clone)]
pub struct HclogLayer {
    max_level: LevelFilter,
}

impl HclogLayer {
    /// A layer for the events up to this level.
    #[must_use]
    pub fn new(max_level: LevelFilter) -> Self {
        Self { max_level }
    }

    /// A layer with the level of `EPHEMERAL_LOG_LEVEL`: `error`, `warn`, `info` (the default) or
    /// `debug`. With `trace` the runtime also logs every frame, at debug.
    #[must_use]
    pub fn from_env() -> Self {
        let level = std::env::var(ENV_LOG_LEVEL).ok();
        Self::new(match level.and_then(|level| hclog::Level::from_name(&level)) {
            Some(hclog::Level::Trace) => LevelFilter::TRACE,
            Some(hclog::Level::Debug) => LevelFilter::DEBUG,
            Some(hclog::Level::Info) | None => LevelFilter::INFO,
            Some(hclog::Level::Warn) => LevelFilter::WARN,
            Some(hclog::Level::Error) => LevelFilter::ERROR,
        })
    }
}

/// Logs with [`HclogLayer::from_env`] and reports panics at error, unless the program has its own
/// subscriber.
pub(crate) fn install() {
    let subscriber = Registry::default().with(HclogLayer::from_env());
    // Fails when there is a subscriber: it is the author's choice.
    let _ = tracing::subscriber::set_global_default(subscriber);
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = message.unwrap_or("a value that is not text");
        tracing::error!(target: "panic", location, "plugin panicked: {message}");
    }));
}

impl<S> Layer<S> for HclogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.max_level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max_level)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (key, value) in &of_span.values {
                    fields.values.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let entry = Entry {
            level: level(*metadata.level()),
            message: fields.message,
            module: Some(metadata.target().to_owned()),
            timestamp: Some(hclog::timestamp(SystemTime::now())),
            fields: fields.values,
        };
        // In one piece, so that lines do not mix. There is nowhere to report a failure to.
        let _ = io::stderr().lock().write_all(&entry.encode());
    }
}

fn level(level: Level) -> hclog::Level {
    match level {
        Level::ERROR => hclog::Level::Error,
        Level::WARN => hclog::Level::Warn,
        Level::INFO => hclog::Level::Info,
        _ => hclog::Level::Debug,
    }
}

/// The message and the fields of an event or a span.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    values: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
        } else {
            self.values.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities, and hosts see them as numbers nowhere.
        let number = serde_json::Number::from_f64(value);
        self.insert(field, number.map_or_else(|| Value::from(value.to_string()), Value::Number));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert(field, Value::from(crate::PluginError::from_error(value).message()));
    }
}
