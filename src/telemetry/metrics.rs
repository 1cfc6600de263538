use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::output::OUTPUT;
use crate::domain::{Contribution, Kind};

/// The label of all kinds that clients make up.
const OTHER: &str = "other";

/// What is counted and measured, as Prometheus reads it at `/metrics`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is described to its readers in `new`")]
pub struct Metrics {
    registry: Registry,
    pub deliveries: IntCounterVec,
    contributions: IntCounterVec,
    pub recognitions: IntCounter,
    pub published: IntCounterVec,
    outbox_waiting: Gauge,
    outbox_oldest: Gauge,
    outbox_turned_off: Gauge,
    redeliveries: IntCounterVec,
    webhooks_broken: Gauge,
    pub commit_size: Histogram,
    pub commit_seconds: Histogram,
    pub request_seconds: HistogramVec,
}

impl Metrics {
    /// Fresh metrics, all at zero, for these hosts.
    pub fn new(host_names: &[&str]) -> Result<Self, prometheus::Error> {
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let seconds =
            vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let sizes = vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            HistogramOpts::new(name, help).buckets(buckets.to_vec())
        };
        let metrics = Self {
            registry: Registry::new(),
            deliveries: counters(
                "plaudit_deliveries_total",
                "Webhook requests, by host, verdict and reason code.",
                &["host", "verdict", "reason"],
            )?,
            contributions: counters(
                "plaudit_contributions_total",
                "Contributions counted, by kind; a client's own kinds together as other.",
                &["kind"],
            )?,
            recognitions: IntCounter::new(
                "plaudit_recognitions_total",
                "Recognitions made by this instance.",
            )?,
            published: counters(
                "plaudit_published_total",
                "Recognitions tried at a destination, by outcome: done, later, or the reason it was given up.",
                &["destination", "outcome"],
            )?,
            outbox_waiting: Gauge::new(
                "plaudit_outbox_waiting",
                "Recognitions that wait for a destination.",
            )?,
            outbox_oldest: Gauge::new(
                "plaudit_outbox_oldest_seconds",
                "Age in seconds of the oldest recognition that waits; 0 if none does.",
            )?,
            outbox_turned_off: Gauge::new(
                "plaudit_outbox_turned_off",
                "Recognitions that are due at a destination which is turned off.",
            )?,
            redeliveries: counters(
                "plaudit_redeliveries_total",
                "Failed deliveries, by what became of them: asked for again, or lost because the host keeps them no longer.",
                &["outcome"],
            )?,
            webhooks_broken: Gauge::new(
                "plaudit_webhooks_broken",
                "Webhooks that the last round found failing, off or unreadable.",
            )?,
            commit_size: Histogram::with_opts(histogram(
                "plaudit_commit_contributions",
                "Contributions in one commit.",
                &sizes,
            ))?,
            commit_seconds: Histogram::with_opts(histogram(
                "plaudit_commit_seconds",
                "Seconds until a commit was durable.",
                &seconds,
            ))?,
            request_seconds: HistogramVec::new(
                histogram(
                    "plaudit_request_seconds",
                    "Seconds until a request was answered, by route and status.",
                    &seconds,
                ),
                &["route", "status"],
            )?,
        };
        for collector in [
            Box::new(metrics.deliveries.clone()) as Box<dyn Collector>,
            Box::new(metrics.contributions.clone()),
            Box::new(metrics.recognitions.clone()),
            Box::new(metrics.published.clone()),
            Box::new(metrics.outbox_waiting.clone()),
            Box::new(metrics.outbox_oldest.clone()),
            Box::new(metrics.outbox_turned_off.clone()),
            Box::new(metrics.redeliveries.clone()),
            Box::new(metrics.webhooks_broken.clone()),
            Box::new(metrics.commit_size.clone()),
            Box::new(metrics.commit_seconds.clone()),
            Box::new(metrics.request_seconds.clone()),
        ] {
            metrics.registry.register(collector)?;
        }
        // Shown from the start, so that a rate can be taken of the very first.
        for kind in Kind::OF_HOSTS.iter().map(Kind::as_str).chain([OTHER]) {
            metrics.contributions.with_label_values(&[kind]);
        }
        for host in host_names {
            for verdict in ["recorded", "duplicate"] {
                metrics.deliveries.with_label_values(&[host, verdict, ""]);
            }
        }
        Ok(metrics)
    }

    /// Counts a contribution. A client's own kinds are one label: they could be any number.
    pub fn counted(&self, contribution: &Contribution) {
        let of_host = Kind::OF_HOSTS.contains(&contribution.kind);
        let kind = if of_host { contribution.kind.as_str() } else { OTHER };
        self.contributions.with_label_values(&[kind]).inc();
    }

    /// Shows how much waits in the outbox, and for how long.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; these numbers are small")]
    pub fn backlog(&self, waiting: u64, oldest_seconds: f64) {
        self.outbox_waiting.set(waiting as f64);
        self.outbox_oldest.set(oldest_seconds);
    }

    /// Shows how much is due at destinations that are turned off.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; this number is small")]
    pub fn turned_off(&self, waiting: u64) {
        self.outbox_turned_off.set(waiting as f64);
    }

    /// Counts what a round asked for and found lost, and shows how many webhooks it found broken.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; this number is small")]
    pub fn reconciled(&self, asked: u64, lost: u64, broken: u64) {
        for (outcome, count) in [("asked", asked), ("lost", lost)] {
            self.redeliveries.with_label_values(&[outcome]).inc_by(count);
        }
        self.webhooks_broken.set(broken as f64);
    }

    /// All of it, in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut all = self.registry.gather();
        all.extend(log_lines_dropped());
        let mut text = Vec::new();
        if let Err(error) = prometheus::TextEncoder::new().encode(&all, &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}

/// The log belongs to the process, which counts what it drops.
fn log_lines_dropped() -> Vec<prometheus::proto::MetricFamily> {
    let help =
        "Lines of the log that were dropped, because standard error was not read fast enough or failed.";
    let Ok(counter) = IntCounter::new("plaudit_log_lines_dropped_total", help) else { return Vec::new() };
    counter.inc_by(OUTPUT.dropped());
    counter.collect()
}
