//! One line for each thing worth saying, as Cloud Logging reads it.

use std::cell::RefCell;
use std::fmt;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::line::{Encoder, Line, SpanFields};
use super::output::{OUTPUT, Urgency};
use crate::runtime::Clock;
use crate::settings::{Setting, Settings};

/// The target of a line that says why the process ends: no filter hides it.
pub const FATAL: &str = "plaudit::fatal";

/// The target of the line that says how many lines were dropped: no filter hides it.
const DROPPED: &str = "plaudit::log_lines_dropped";

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
            filter: settings.value(&FILTER, without_repeating("", EnvFilter::new("info")), filter),
            format: settings.value(&FORMAT, default, |text| match text {
                "json" => Ok(LogFormat::Json),
                "text" => Ok(LogFormat::Text),
                _ => Err("neither json nor text".into()),
            }),
            project: settings.foreign("GOOGLE_CLOUD_PROJECT"),
        }
    }
}

/// Libraries whose lines repeat what a line of plaudit says with the request and the cause: they are left out unless
/// the filter names them. A target includes all that begin with it, as `hyper` does `hyper_util`.
const REPEATING: [&str; 5] = ["gcloud_sdk", "firestore", "google_cloud_gax", "h2", "hyper"];

/// A filter that leaves out [`REPEATING`] libraries.
fn without_repeating(text: &str, filter: EnvFilter) -> EnvFilter {
    let names = |library: &str| text.split(',').any(|part| part.trim().starts_with(library));
    let unnamed = REPEATING.iter().filter(|library| !names(library));
    let off = unnamed.filter_map(|library| format!("{library}=off").parse().ok());
    off.fold(filter, EnvFilter::add_directive)
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
    let filter = EnvFilter::try_new(text).map_err(|_| "no filter that tracing-subscriber reads")?;
    Ok(without_repeating(text, filter))
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
        let location = panic.location();
        let place = location.map(ToString::to_string).unwrap_or_default();
        let stack = std::backtrace::Backtrace::force_capture().to_string();
        tracing::error!(
            target: FATAL,
            fatal = "panic",
            report_file = location.map(std::panic::Location::file),
            report_line = location.map(std::panic::Location::line),
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

thread_local! {
    /// The buffers of this thread's lines.
    static LINE: RefCell<Line> = const { RefCell::new(Line::new()) };
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = SpanFields::new(self.format);
            attributes.record(&mut Encoder(&mut fields));
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut Encoder(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let kept = LINE
            .try_with(|line| line.try_borrow_mut().map(|mut line| self.write(&mut line, event, &context)));
        // The thread ends, or a value logs or panics while it is encoded.
        if !matches!(kept, Ok(Ok(()))) {
            self.write(&mut Line::new(), event, &context);
        }
    }
}

impl Lines {
    fn write<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        line: &mut Line,
        event: &Event<'_>,
        context: &Context<'_, S>,
    ) {
        line.begin(self.format);
        event.record(&mut Encoder(line));
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<SpanFields>() {
                line.add_span(fields);
            }
        }
        let urgency = match event.metadata().target() {
            FATAL => Urgency::Fatal,
            DROPPED => Urgency::Urgent,
            _ => Urgency::Ordinary,
        };
        OUTPUT.push(line.end(event.metadata(), self.clock.now(), self.project.as_deref()), urgency);
    }
}
