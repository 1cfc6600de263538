//! One line for each thing worth saying, as Cloud Logging reads it.
//!
//! Fields: <https://cloud.google.com/logging/docs/structured-logging>, and for errors
//! <https://cloud.google.com/error-reporting/docs/formatting-error-messages>.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::output::{OUTPUT, Urgency};
use crate::runtime::Clock;
use crate::settings::{Setting, Settings};

/// The target of a line that says why the process ends: no filter hides it.
pub const FATAL: &str = "plaudit::fatal";

/// The target of the line that says how many lines were dropped: no filter hides it.
const DROPPED: &str = "plaudit::log_lines_dropped";

/// Fields by which logs are often searched; Cloud Logging indexes them as labels.
const LABELS: [&str; 4] = ["host", "verdict", "reason", "destination"];

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[FILTER, FORMAT];

const FILTER: Setting = Setting {
    variable: "PLAUDIT_LOG",
    flag: "log",
    value: "FILTER",
    example: "info,plaudit=debug",
    help: "What to log, as tracing-subscriber's EnvFilter reads it [default: info]",
};
const FORMAT: Setting = Setting {
    variable: "PLAUDIT_LOG_FORMAT",
    flag: "log-format",
    value: "FORMAT",
    example: "json",
    help: "How to log: json (Cloud Logging's fields) or text [default: json, unless standard error is a terminal]",
};

/// How to log.
#[derive(Debug)]
pub struct Logging {
    filter: EnvFilter,
    pub format: LogFormat,
    /// The Google Cloud project, where one is known: for the trace field.
    pub project: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

impl Logging {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let default = if terminal { LogFormat::Text } else { LogFormat::Json };
        Self {
            filter: settings.value(&FILTER, EnvFilter::new("info"), filter),
            format: settings.value(&FORMAT, default, |text| match text {
                "json" => Ok(LogFormat::Json),
                "text" => Ok(LogFormat::Text),
                _ => Err("neither json nor text".into()),
            }),
            project: settings.foreign("GOOGLE_CLOUD_PROJECT"),
        }
    }
}

/// Reads a filter. To EnvFilter a word that is no level names a target, so that a misspelt level hides all lines.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let is_word = |part: &&str| part.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
    let is_level = |part: &str| part.is_empty() || part.parse::<LevelFilter>().is_ok();
    // Within the brackets of a span, commas separate fields.
    let mut words = text.split(',').map(str::trim).filter(is_word).take_while(|_| !text.contains('['));
    if let Some(word) = words.find(|word| !is_level(word)) {
        return Err(format!(
            "{word} is no level (off, error, warn, info, debug, trace), and a target needs one: {word}=debug"
        ));
    }
    EnvFilter::try_new(text).map_err(|_| "no filter that tracing-subscriber reads".into())
}

/// Logs to standard error from now on.
pub fn install(logging: Logging, clock: Clock) {
    let Logging { mut filter, format, project } = logging;
    for always in [FATAL, DROPPED] {
        if let Ok(always) = format!("{always}=warn").parse() {
            filter = filter.add_directive(always);
        }
    }
    let lines = Lines { format, project, clock };
    // A second installation, as in tests, leaves the first in place.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        OUTPUT.start(|lines| {
            tracing::warn!(
                target: DROPPED,
                dropped = lines,
                "{lines} lines of the log were dropped before this one: standard error was not read fast enough, or could not be written"
            );
        });
    }
}

/// Waits until the log is written, but not long for a reader that does not read: the last act of the process.
pub fn flush() {
    OUTPUT.flush();
}

/// Prints why a command failed, after the log's lines.
pub fn report_error(error: impl fmt::Display) {
    OUTPUT.push(&format!("plaudit: {error}\n"), Urgency::Fatal);
}

/// Makes a panic one line of the log like any other, severe enough for Error Reporting.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let why = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let stack = std::backtrace::Backtrace::force_capture().to_string();
        tracing::error!(
            target: FATAL,
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

/// What a span or event carries, in its order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(place).1)
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.take(field.name());
        self.0.push((field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
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
                let inner = fields.0.len();
                for (name, value) in &carried.0 {
                    if !fields.0.iter().take(inner).any(|(known, _)| known == name) {
                        fields.0.push((name, value.clone()));
                    }
                }
            }
        }
        event.record(&mut fields);
        let line = match self.format {
            LogFormat::Json => self.json(event, fields).unwrap_or_default(),
            LogFormat::Text => self.text(event, fields),
        };
        let urgency = match event.metadata().target() {
            FATAL => Urgency::Fatal,
            DROPPED => Urgency::Urgent,
            _ => Urgency::Ordinary,
        };
        OUTPUT.push(&line, urgency);
    }
}

impl Lines {
    fn json(&self, event: &Event<'_>, mut fields: Fields) -> serde_json::Result<String> {
        let metadata = event.metadata();
        let mut text = Vec::with_capacity(1_024);
        let mut serializer = serde_json::Serializer::new(&mut text);
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("severity", severity(metadata))?;
        line.serialize_entry("message", &fields.take("message"))?;
        line.serialize_entry("time", &self.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true))?;
        line.serialize_entry("target", metadata.target())?;
        if *metadata.level() == Level::ERROR {
            line.serialize_entry("@type", REPORTED_ERROR)?;
            line.serialize_entry("serviceContext", &SERVICE)?;
            line.serialize_entry(
                "context",
                &json!({"reportLocation": {
                    "filePath": metadata.file(),
                    "lineNumber": metadata.line(),
                    "functionName": metadata.module_path(),
                }}),
            )?;
        }
        let place = SourceLocation {
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default().to_string(),
            function: metadata.module_path().unwrap_or_default(),
        };
        line.serialize_entry("logging.googleapis.com/sourceLocation", &place)?;
        if let Some(trace) = fields.take("trace") {
            let trace = match (&self.project, trace.as_str()) {
                (Some(project), Some(id)) => format!("projects/{project}/traces/{id}").into(),
                _ => trace,
            };
            line.serialize_entry("logging.googleapis.com/trace", &trace)?;
        }
        if let Some(span) = fields.take("span_id") {
            line.serialize_entry("logging.googleapis.com/spanId", &span)?;
        }
        let request: Vec<_> =
            HTTP_REQUEST.iter().filter_map(|(from, to)| Some((*to, fields.take(from)?))).collect();
        if !request.is_empty() {
            line.serialize_entry("httpRequest", &Object(&request))?;
        }
        let labels: Vec<_> =
            LABELS.iter().filter_map(|name| Some((*name, fields.get(name)?.clone()))).collect();
        if !labels.is_empty() {
            line.serialize_entry("logging.googleapis.com/labels", &Object(&labels))?;
        }
        for (name, value) in &fields.0 {
            line.serialize_entry(name, value)?;
        }
        SerializeMap::end(line)?;
        let mut text = String::from_utf8(text).unwrap_or_default();
        if text.contains(is_hidden) {
            // JSON allows these within strings as they are, and outside of strings there are none.
            text = escaped(&text, |c| format!("\\u{:04x}", u32::from(c)));
        }
        text.push('\n');
        Ok(text)
    }

    /// One line for a person; whatever came from outside is escaped, so that it stays one line.
    fn text(&self, event: &Event<'_>, mut fields: Fields) -> String {
        let escaped = |text: &str| escaped(text, |c| c.escape_default().to_string());
        let message = fields.take("message").unwrap_or_default();
        let mut line = format!(
            "{} {:<8} {}",
            self.clock.now().format("%H:%M:%S%.3f"),
            severity(event.metadata()),
            escaped(message.as_str().unwrap_or_default()),
        );
        for (name, value) in &fields.0 {
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

fn severity(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        _ if metadata.target() == FATAL => "CRITICAL",
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Makes a line one that Error Reporting groups by its place.
const REPORTED_ERROR: &str =
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent";

#[derive(Serialize)]
struct ServiceContext {
    service: &'static str,
    version: &'static str,
}

const SERVICE: ServiceContext = ServiceContext { service: "plaudit", version: env!("CARGO_PKG_VERSION") };

#[derive(Serialize)]
struct SourceLocation {
    file: &'static str,
    line: String,
    function: &'static str,
}

struct Object<'a>(&'a [(&'static str, Value)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Whether a character moves a terminal's cursor, changes the direction of what follows, or is not seen.
///
/// Each is at most U+FFFF, so that JSON's `\uXXXX` holds it.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text with every hidden character replaced by its escape.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            all.push_str(&escape(c));
        } else {
            all.push(c);
        }
    }
    all
}
