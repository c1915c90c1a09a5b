//! Log lines as Kubernetes' own components write them, so that what reads theirs reads ours. Owns the form of a line and what
//! is written at which verbosity; knows no event by name.
//!
//! How to log: `tracing` macros, the message a plain sentence without values, the values as fields. `pod`, `podGroup`,
//! `claimant`, `victim` and `claim` are written `namespace/name` and become objects in JSON; `node` stays a string; an error
//! is the field `err`. Levels are verbosities: `info!` 0, `debug!` 4, `trace!` 6; a field `v` overrides the number.
//!
//! ```
//! # let (pod, node, error) = ("lab/train-0", "node-7", std::io::Error::other("no"));
//! tracing::info!(%pod, node, v = 2, "Bound pod");
//! tracing::error!(err = &error as &dyn std::error::Error, %pod, "Binding failed");
//! ```
//!
//! Fields of spans are not written.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use berth_config::scheduler::LogFormat;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::{Interest, SetGlobalDefaultError};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Fields that name an object in a namespace.
const OBJECTS: [&str; 5] = ["pod", "podGroup", "claimant", "victim", "claim"];

/// Keys of a line's head in JSON; a field of that name gets an underscore, since a key must not come twice.
const HEAD: [&str; 3] = ["ts", "caller", "msg"];

/// How much is written; shared, so that it can change while the process runs.
#[derive(Debug, Clone)]
pub struct Verbosity(Arc<AtomicU8>);

impl Verbosity {
    /// Writes so much from now on: 0 to 3 what happens, 4 and 5 why, from 6 on every step; libraries only warn below 6.
    pub fn set(&self, verbosity: u8) {
        self.0.store(verbosity, Ordering::Relaxed);
        // What each line of code was told about being wanted is out of date.
        tracing::callsite::rebuild_interest_cache();
    }

    fn level(&self, target: &str) -> LevelFilter {
        let verbosity = self.0.load(Ordering::Relaxed);
        let ours = target.starts_with("berth");
        match verbosity {
            0..=3 if ours => LevelFilter::INFO,
            4 | 5 if ours => LevelFilter::DEBUG,
            6.. if ours => LevelFilter::TRACE,
            0..=5 => LevelFilter::WARN,
            6 | 7 => LevelFilter::INFO,
            8 | 9 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

/// From now on, what the whole process logs goes to `out`, a line at a time.
///
/// # Errors
/// Where something took the process's logs before.
pub fn start(
    format: LogFormat,
    verbosity: u8,
    out: impl Write + Send + 'static,
) -> Result<Verbosity, SetGlobalDefaultError> {
    let (subscriber, verbosity) = subscriber(format, verbosity, out);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(verbosity)
}

/// What [`start`] installs, to be used for a part of the process only.
pub fn subscriber(
    format: LogFormat,
    verbosity: u8,
    out: impl Write + Send + 'static,
) -> (impl Subscriber + Send + Sync, Verbosity) {
    let verbosity = Verbosity(Arc::new(AtomicU8::new(verbosity)));
    let lines = Lines { format, verbosity: verbosity.clone(), out: Mutex::new(Box::new(out)) };
    (tracing_subscriber::registry().with(lines), verbosity)
}

struct Lines {
    format: LogFormat,
    verbosity: Verbosity,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.verbosity.level(metadata.target())
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The most that any target may say.
        Some(self.verbosity.level("berth").max(self.verbosity.level("")))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut said = Said::default();
        event.record(&mut said);
        let line = match self.format {
            LogFormat::Text => text(event.metadata(), &said, since_1970),
            LogFormat::Json => json(event.metadata(), &said, since_1970),
        };
        // There is nobody to tell that a log cannot be written; and whoever panicked with the lock left whole lines.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(line.as_bytes());
    }
}

/// What an event has to say.
#[derive(Default)]
struct Said {
    message: String,
    v: Option<u64>,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn field(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "error" { "err" } else { field.name() };
        self.fields.push((name, value));
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.field(field, Value::from(format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.field(field, Value::from(value)),
        }
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        // By custom an error's own text leaves out its cause.
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.field(field, Value::from(text));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "v" => self.v = Some(value),
            _ => self.field(field, Value::from(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match (field.name(), u64::try_from(value)) {
            ("v", Ok(value)) => self.v = Some(value),
            _ => self.field(field, Value::from(value)),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, Value::from(value));
    }
}

/// `I1121 19:40:01.123456   12345 driver/bind.rs:12] "Bound pod" pod="lab/train-0" node="node-7"`
fn text(metadata: &Metadata<'_>, said: &Said, since_1970: Duration) -> String {
    let letter = match *metadata.level() {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        _ => 'I',
    };
    let time = Timestamp::UNIX_EPOCH.checked_add(since_1970).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.strftime("%m%d %H:%M:%S%.6f");
    let (pid, caller) = (std::process::id(), caller(metadata));
    let mut line = format!("{letter}{time} {pid:7} {caller}] {}", Value::from(said.message.as_str()));
    for (name, value) in &said.fields {
        let _ = write!(line, " {name}={value}");
    }
    line + "\n"
}

/// `{"ts":1795290001123.456,"caller":"driver/bind.rs:12","msg":"Bound pod","v":2,"pod":{"name":…,"namespace":…},…}`
fn json(metadata: &Metadata<'_>, said: &Said, since_1970: Duration) -> String {
    let (ms, us) = (since_1970.as_millis(), since_1970.subsec_micros() % 1000);
    let (caller, message) = (Value::from(caller(metadata)), Value::from(said.message.as_str()));
    let mut line = format!("{{\"ts\":{ms}.{us:03},\"caller\":{caller},\"msg\":{message}");
    if let Some(v) = said.v.or(verbosity(*metadata.level())) {
        let _ = write!(line, ",\"v\":{v}");
    }
    for (name, value) in &said.fields {
        let underscore = if HEAD.contains(name) { "_" } else { "" };
        let _ = match object(name, value) {
            Some(object) => write!(line, ",\"{name}\":{object}"),
            None => write!(line, ",\"{name}{underscore}\":{value}"),
        };
    }
    line + "}\n"
}

/// An object as Kubernetes logs it, if the field names one.
fn object(name: &str, value: &Value) -> Option<Value> {
    let (namespace, name) = value.as_str().filter(|_| OBJECTS.contains(&name))?.split_once('/')?;
    Some(json!({ "name": name, "namespace": namespace }))
}

/// Errors have none.
fn verbosity(level: Level) -> Option<u64> {
    match level {
        Level::ERROR => None,
        Level::WARN | Level::INFO => Some(0),
        Level::DEBUG => Some(4),
        Level::TRACE => Some(6),
    }
}

/// File and line, with the folder, since many files are called `mod.rs`.
fn caller(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().unwrap_or("unknown").replace('\\', "/");
    let from = file.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
    format!("{}:{}", &file[from..], metadata.line().unwrap_or(0))
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
