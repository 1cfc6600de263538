//! One line for each thing worth saying, as Cloud Logging reads it.
//!
//! Fields: <https://cloud.google.com/logging/docs/structured-logging>, and for errors
//! <https://cloud.google.com/error-reporting/docs/formatting-error-messages>.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, LogFormat};
use crate::runtime::Clock;

/// The name of the field that marks a line as the last one before the process ends.
pub const FATAL: &str = "fatal";

/// Fields by which logs are often searched; Cloud Logging indexes them as labels.
const LABELS: [&str; 4] = ["host", "verdict", "reason", "destination"];

/// Logs to standard error from now on.
pub fn install(config: &Config, clock: Clock) {
    let layer = Lines { format: config.log_format, project: config.project.clone(), clock };
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log).unwrap_or_default();
    // A second installation, as in tests, leaves the first in place.
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}

/// Makes a panic one line of the log like any other, severe enough for Error Reporting.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let stack = std::backtrace::Backtrace::force_capture().to_string();
        tracing::error!(
            fatal = true,
            place,
            stack_trace = format!("panicked at {place}: {why}\n{stack}"),
            "panic: {why}"
        );
    }));
}

struct Lines {
    format: LogFormat,
    project: Option<String>,
    clock: Clock,
}

/// What a span or event carries.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::String(value.to_owned()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
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
            if let Some(carried) = span.extensions().get::<Fields>() {
                for (name, value) in &carried.0 {
                    fields.0.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        event.record(&mut fields);
        let line = match self.format {
            LogFormat::Json => self.json(event, fields.0),
            LogFormat::Text => self.text(event, fields.0),
        };
        // Nobody is left to tell if standard error is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

impl Lines {
    fn json(&self, event: &Event<'_>, mut fields: Map<String, Value>) -> String {
        let metadata = event.metadata();
        let fatal = fields.remove(FATAL) == Some(Value::Bool(true));
        let mut line = Map::new();
        line.insert("severity".into(), severity(*metadata.level(), fatal).into());
        line.insert("message".into(), fields.remove("message").unwrap_or_default());
        line.insert(
            "time".into(),
            self.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into(),
        );
        line.insert("target".into(), metadata.target().into());
        let place = json!({
            "file": metadata.file().unwrap_or_default(),
            "line": metadata.line().unwrap_or_default().to_string(),
            "function": metadata.module_path().unwrap_or_default(),
        });
        if *metadata.level() == Level::ERROR {
            report(&mut line, &place, fields.remove("stack_trace"));
        }
        line.insert("logging.googleapis.com/sourceLocation".into(), place);
        if let Some(trace) = fields.remove("trace") {
            let trace = match (&self.project, trace.as_str()) {
                (Some(project), Some(id)) => format!("projects/{project}/traces/{id}").into(),
                _ => trace,
            };
            line.insert("logging.googleapis.com/trace".into(), trace);
        }
        if let Some(span) = fields.remove("span_id") {
            line.insert("logging.googleapis.com/spanId".into(), span);
        }
        let mut request = Map::new();
        for (from, to) in HTTP_REQUEST {
            if let Some(value) = fields.remove(from) {
                request.insert(to.into(), value);
            }
        }
        if !request.is_empty() {
            line.insert("httpRequest".into(), request.into());
        }
        let labels: Map<String, Value> =
            LABELS.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone()))).collect();
        if !labels.is_empty() {
            line.insert("logging.googleapis.com/labels".into(), labels.into());
        }
        line.extend(fields);
        // JSON lets these stand; a terminal does not.
        let mut text = Value::Object(line).to_string().replace(|c: char| c.is_control(), "\u{fffd}");
        text.push('\n');
        text
    }

    /// One line for a person; whatever came from outside is escaped, so that it stays one line.
    fn text(&self, event: &Event<'_>, mut fields: Map<String, Value>) -> String {
        let fatal = fields.remove(FATAL) == Some(Value::Bool(true));
        let message = fields.remove("message").unwrap_or_default();
        let mut line = format!(
            "{} {:<8} {}",
            self.clock.now().format("%H:%M:%S%.3f"),
            severity(*event.metadata().level(), fatal),
            escaped(message.as_str().unwrap_or_default()),
        );
        for (name, value) in &fields {
            // Writing to a string does not fail.
            let _ = match value {
                Value::String(text) => write!(line, " {name}={}", escaped(text)),
                other => write!(line, " {name}={other}"),
            };
        }
        line.push('\n');
        line
    }
}

/// The fields of an answered request, and their names in Cloud Logging's `HttpRequest`.
const HTTP_REQUEST: [(&str, &str); 6] = [
    ("http_method", "requestMethod"),
    ("http_url", "requestUrl"),
    ("http_status", "status"),
    ("http_latency", "latency"),
    ("http_user_agent", "userAgent"),
    ("http_remote_ip", "remoteIp"),
];

fn severity(level: Level, fatal: bool) -> &'static str {
    match level {
        _ if fatal => "CRITICAL",
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Makes the line one that Error Reporting groups by its place.
fn report(line: &mut Map<String, Value>, place: &Value, stack_trace: Option<Value>) {
    let kind = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent";
    line.insert("@type".into(), kind.into());
    line.insert("serviceContext".into(), json!({"service": "plaudit", "version": env!("CARGO_PKG_VERSION")}));
    let location = json!({
        "filePath": place.get("file"),
        "lineNumber": place.get("line").and_then(Value::as_str).and_then(|line| line.parse::<u32>().ok()),
        "functionName": place.get("function"),
    });
    line.insert("context".into(), json!({"reportLocation": location}));
    if let Some(stack_trace) = stack_trace {
        line.insert("stack_trace".into(), stack_trace);
    }
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
