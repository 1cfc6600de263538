//! One line of the log: its fields are encoded as they are visited, into buffers that the next line uses again.
//!
//! Fields: <https://cloud.google.com/logging/docs/structured-logging>, and for errors
//! <https://cloud.google.com/error-reporting/docs/formatting-error-messages>.

use std::fmt::{self, Write as _};

use chrono::SecondsFormat;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

use super::logs::{FATAL, LogFormat};
use crate::domain::Moment;

/// How much memory each buffer keeps for the next line.
const KEPT: usize = 16 * 1024;

/// Makes a line one that Error Reporting groups by its place.
const REPORTED_ERROR: &str = concat!(
    r#","@type":"type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent""#,
    r#","serviceContext":{"service":"plaudit","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// Where a field of an event or a span goes in the JSON of a line.
#[derive(Clone, Copy)]
enum Place {
    Message,
    Trace,
    SpanId,
    /// In place of the event's own file: where a panic happened, and not its hook.
    File,
    /// The line in that file.
    Line,
    /// By its own name, and in place of the event's module: Error Reporting groups by it.
    Fatal,
    /// Into `httpRequest`, under this name (Cloud Logging's `HttpRequest`).
    Request(&'static str),
    /// By its own name, and into the labels, which Cloud Logging indexes: logs are often searched by it.
    Label,
    /// By its own name.
    Own,
}

impl Place {
    fn of(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            "trace" => Self::Trace,
            "span_id" => Self::SpanId,
            "report_file" => Self::File,
            "report_line" => Self::Line,
            "fatal" => Self::Fatal,
            "http_method" => Self::Request("requestMethod"),
            "http_url" => Self::Request("requestUrl"),
            "http_status" => Self::Request("status"),
            "http_latency" => Self::Request("latency"),
            "http_user_agent" => Self::Request("userAgent"),
            "http_remote_ip" => Self::Request("remoteIp"),
            "host" | "verdict" | "reason" | "destination" => Self::Label,
            _ => Self::Own,
        }
    }
}

/// A line under way: the fields of an event, then those of its spans.
pub(super) struct Line {
    format: LogFormat,
    /// The names of the event's fields and of inner spans: they hide those of outer spans.
    names: Vec<&'static str>,
    message: String,
    trace: String,
    span_id: String,
    file: String,
    row: String,
    function: String,
    request: String,
    labels: String,
    own: String,
    whole: String,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self {
            format: LogFormat::Json,
            names: Vec::new(),
            message: String::new(),
            trace: String::new(),
            span_id: String::new(),
            file: String::new(),
            row: String::new(),
            function: String::new(),
            request: String::new(),
            labels: String::new(),
            own: String::new(),
            whole: String::new(),
        }
    }

    /// Begins a line of this format.
    pub(super) fn begin(&mut self, format: LogFormat) {
        self.format = format;
        self.names.clear();
        let Self { message, trace, span_id, file, row: line, function, request, labels, own, whole, .. } =
            self;
        for buffer in [message, trace, span_id, file, line, function, request, labels, own, whole] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
    }

    /// Adds the fields of a span, unless a field of the same name is there.
    pub(super) fn add_span(&mut self, span: &SpanFields) {
        for SpanField { name, value } in &span.fields {
            if !self.names.contains(name) {
                self.add(name, |out| out.push_str(value));
            }
        }
    }

    fn add(&mut self, name: &'static str, encode: impl FnOnce(&mut String)) {
        self.names.push(name);
        match (Place::of(name), self.format) {
            (Place::Message, _) => encode(&mut self.message),
            // `place` says it already.
            (Place::File | Place::Line, LogFormat::Text) => {}
            (_, LogFormat::Text) => {
                self.own.extend([" ", name, "="]);
                encode(&mut self.own);
            }
            (place, LogFormat::Json) => self.add_json(name, place, encode),
        }
    }

    fn add_json(&mut self, name: &'static str, place: Place, encode: impl FnOnce(&mut String)) {
        match place {
            Place::Message => encode(&mut self.message),
            Place::File => encode(&mut self.file),
            Place::Line => encode(&mut self.row),
            Place::Trace => encode(&mut self.trace),
            Place::SpanId => encode(&mut self.span_id),
            Place::Request(member) => {
                key(&mut self.request, member);
                encode(&mut self.request);
            }
            Place::Own => {
                key(&mut self.own, name);
                encode(&mut self.own);
            }
            Place::Label => {
                let start = self.labels.len();
                key(&mut self.labels, name);
                encode(&mut self.labels);
                self.own.push_str(self.labels.get(start..).unwrap_or_default());
            }
            Place::Fatal => {
                encode(&mut self.function);
                key(&mut self.own, name);
                self.own.push_str(&self.function);
            }
        }
    }

    /// The whole line, with a line break at its end.
    pub(super) fn end(&mut self, metadata: &Metadata<'_>, now: Moment, project: Option<&str>) -> &str {
        match self.format {
            LogFormat::Json => self.end_json(metadata, now, project),
            LogFormat::Text => self.end_text(metadata, now),
        }
        self.whole.push('\n');
        &self.whole
    }

    fn end_json(&mut self, metadata: &Metadata<'_>, now: Moment, project: Option<&str>) {
        self.locate(metadata);
        let Self { message, trace, span_id, file, row: line, function, request, labels, own, whole, .. } =
            self;
        whole.extend([r#"{"severity":""#, severity(metadata), r#"","message":"#]);
        whole.push_str(if message.is_empty() { "null" } else { message });
        // chrono writes this form without reading a pattern.
        let time = now.to_rfc3339_opts(SecondsFormat::Micros, true);
        whole.extend([r#","time":""#, &time, "\""]);
        key(whole, "target");
        string(whole, metadata.target());
        if is_reported(metadata) {
            whole.push_str(REPORTED_ERROR);
            whole.extend([r#","context":{"reportLocation":{"filePath":"#, file, r#","lineNumber":"#, line]);
            whole.extend([r#","functionName":"#, function, "}}"]);
        }
        whole.extend([r#","logging.googleapis.com/sourceLocation":{"file":"#, file, r#","line":""#, line]);
        whole.extend([r#"","function":"#, function, "}"]);
        if !trace.is_empty() {
            key(whole, "logging.googleapis.com/trace");
            match (project, trace.strip_prefix('"')) {
                (Some(project), Some(id)) => {
                    whole.push_str("\"projects/");
                    escape_json(whole, project);
                    whole.extend(["/traces/", id]);
                }
                _ => whole.push_str(trace),
            }
        }
        if !span_id.is_empty() {
            key(whole, "logging.googleapis.com/spanId");
            whole.push_str(span_id);
        }
        for (name, members) in [("httpRequest", request), ("logging.googleapis.com/labels", labels)] {
            // Without its first comma.
            if let Some(members) = members.get(1..) {
                key(whole, name);
                whole.extend(["{", members, "}"]);
            }
        }
        whole.extend([own, "}"]);
    }

    /// The place of the line in the sources, unless fields say another.
    fn locate(&mut self, metadata: &Metadata<'_>) {
        let Self { file, row: line, function, .. } = self;
        if file.is_empty() {
            string(file, metadata.file().unwrap_or_default());
        }
        if line.is_empty() || !line.bytes().all(|b| b.is_ascii_digit()) {
            line.clear();
            // Writing to a string does not fail.
            let _ = write!(line, "{}", metadata.line().unwrap_or_default());
        }
        if function.is_empty() {
            string(function, metadata.module_path().unwrap_or_default());
        }
    }

    /// One line for a person; whatever came from outside is escaped, so that it stays one line.
    fn end_text(&mut self, metadata: &Metadata<'_>, now: Moment) {
        let Self { message, own, whole, .. } = self;
        let _ = write!(whole, "{} {:<8} {message}{own}", now.format("%H:%M:%S%.3f"), severity(metadata));
    }
}

impl Encode for Line {
    fn format(&self) -> LogFormat {
        self.format
    }
    fn put(&mut self, name: &'static str, encode: impl FnOnce(&mut String)) {
        self.add(name, encode);
    }
}

/// The fields of a span, encoded once for all its lines.
pub(super) struct SpanFields {
    format: LogFormat,
    fields: Vec<SpanField>,
}

struct SpanField {
    name: &'static str,
    value: String,
}

impl SpanFields {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, fields: Vec::new() }
    }
}

impl Encode for SpanFields {
    fn format(&self) -> LogFormat {
        self.format
    }
    fn put(&mut self, name: &'static str, encode: impl FnOnce(&mut String)) {
        self.fields.retain(|field| field.name != name);
        let mut value = String::new();
        encode(&mut value);
        self.fields.push(SpanField { name, value });
    }
}

/// Takes values in the encoding of a format.
pub(super) trait Encode {
    fn format(&self) -> LogFormat;
    fn put(&mut self, name: &'static str, encode: impl FnOnce(&mut String));
}

/// Visits fields, and encodes them into this.
pub(super) struct Encoder<'a, E>(pub(super) &'a mut E);

impl<E: Encode> Encoder<'_, E> {
    /// A value whose text is JSON as it is.
    fn literal(&mut self, field: &Field, value: impl fmt::Display) {
        self.0.put(field.name(), |out| {
            let _ = write!(out, "{value}");
        });
    }
}

impl<E: Encode> Visit for Encoder<'_, E> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let format = self.0.format();
        self.0.put(field.name(), |out| {
            let quote = if format == LogFormat::Json { "\"" } else { "" };
            out.push_str(quote);
            let _ = write!(Escaped { out, format }, "{value:?}");
            out.push_str(quote);
        });
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match self.0.format() {
            LogFormat::Json => self.0.put(field.name(), |out| string(out, value)),
            LogFormat::Text => self.0.put(field.name(), |out| escape_text(out, value)),
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers. As Debug, because Display writes 1e300 with all its zeros.
        self.0.put(field.name(), |out| {
            let _ = if value.is_finite() { write!(out, "{value:?}") } else { out.write_str("null") };
        });
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field, value);
    }
}

/// Escapes what is written.
struct Escaped<'a> {
    out: &'a mut String,
    format: LogFormat,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.format {
            LogFormat::Json => escape_json(self.out, text),
            LogFormat::Text => escape_text(self.out, text),
        }
        Ok(())
    }
}

/// A comma and a key.
fn key(out: &mut String, name: &str) {
    out.push_str(",\"");
    escape_json(out, name);
    out.push_str("\":");
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    escape_json(out, text);
    out.push('"');
}

fn escape_json(out: &mut String, text: &str) {
    escape(
        out,
        text,
        |c| c == '"' || c == '\\' || is_hidden(c),
        |out, c| match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            _ => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        },
    );
}

fn escape_text(out: &mut String, text: &str) {
    escape(out, text, is_hidden, |out, c| out.extend(c.escape_default()));
}

/// Copies what needs no escape in one piece up to the next character that does.
fn escape(out: &mut String, text: &str, needs: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) {
    // Most texts need none, which their bytes show; without a way out of the loop, many are compared at once.
    #[expect(clippy::needless_bitwise_bool, reason = "without a branch, many are compared at once")]
    let odd = |b: u8| !(0x20..0x7f).contains(&b) | (b == b'"') | (b == b'\\');
    if !text.bytes().fold(false, |any, b| any | odd(b)) {
        return out.push_str(text);
    }
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| needs(*c)) {
        let (clean, from) = rest.split_at(at);
        out.push_str(clean);
        write(out, c);
        rest = from.get(c.len_utf8()..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// Whether Error Reporting takes the line as an error of plaudit. What a library finds is none by itself: where it
/// matters, a line of plaudit says so, with the request and the cause.
fn is_reported(metadata: &Metadata<'_>) -> bool {
    let rest = metadata.target().strip_prefix("plaudit");
    *metadata.level() == Level::ERROR && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn severity(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        _ if metadata.target() == FATAL => "CRITICAL",
        Level::ERROR if is_reported(metadata) => "ERROR",
        Level::ERROR | Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
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
