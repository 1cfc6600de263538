//! Reconciling: asks hosts for the deliveries that failed, so that an outage costs nothing that the host still keeps.
//!
//! How far a webhook is handled is a bookmark in the store, which moves only past what is handled. So a round that is
//! killed, or ends for want of time or quota, is continued by the next one, on any instance.

mod progress;
mod round;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::domain::Moment;
use crate::hosts::ApiError;
use crate::hosts::deliveries::{Hook, Reconciling, Redeliveries};
use crate::runtime::Clock;
use crate::store::Store;
use crate::telemetry::Metrics;
pub use progress::Gap;
use round::{Outcome, Round, Stop};

/// How often a process reconciles by itself.
pub const EVERY: Duration = Duration::from_mins(10);
/// How long after its start it does so first: a process that has just started is not reached by hosts yet.
pub const FIRST: Duration = Duration::from_secs(30);
/// How long a round may take that a request or a process began by itself. The next one goes on.
pub const ROUND: Duration = Duration::from_secs(200);

/// When what is configured is reconciled, and of which webhooks, for a person.
#[must_use]
pub fn when(reconciling: &Reconciling) -> String {
    let often = if reconciling.by_itself {
        format!("every {} minutes", EVERY.as_secs() / 60)
    } else {
        "at each POST /internal/reconcile".to_owned()
    };
    match reconciling.address.url() {
        Some(url) => format!("{often}, webhooks at {}", url.as_str().trim_end_matches('/')),
        None => format!("{often}, webhooks at any address (PLAUDIT_PUBLIC_URL is not set)"),
    }
}

/// That there is nothing to reconcile, and what changes that.
#[must_use]
pub fn no_webhook(of: &dyn Redeliveries) -> String {
    format!("no webhook posts to plaudit; `plaudit init {} {}` makes one", of.host(), of.name())
}

/// What a round is to do.
pub struct Ask<'a> {
    /// When it is to end; `None` if it waits as long as the hosts ask for.
    pub until: Option<Instant>,
    /// Ends it too.
    pub stop: Option<CancellationToken>,
    /// Whether it only says what it would ask for.
    pub dry_run: bool,
    /// Whether it turns webhooks on again that a host has turned off.
    pub enable: bool,
    /// Is called with lines for a person.
    pub say: &'a (dyn Fn(&str) + Send + Sync),
}

impl Ask<'_> {
    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
            || self.stop.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
}

impl fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The webhooks that were looked at.
    pub hooks: u64,
    /// The deliveries that hosts listed.
    pub listed: u64,
    /// The deliveries that were asked for.
    pub asked: u64,
    /// The deliveries of which no success is listed yet.
    pub waiting: u64,
    /// The deliveries that the host can send no more.
    pub lost: u64,
    /// The webhooks whose newest delivery failed, or that are off, or that could not be looked at.
    pub broken: u64,
    /// The requests that listed or asked.
    pub calls: u64,
    /// Whether something is left that the next round does.
    pub unfinished: bool,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.hooks += other.hooks;
        self.listed += other.listed;
        self.asked += other.asked;
        self.waiting += other.waiting;
        self.lost += other.lost;
        self.broken += other.broken;
        self.calls += other.calls;
        self.unfinished |= other.unfinished;
    }
}

/// What a round did, and what is wrong, for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    pub sum: Sum,
    pub problems: Vec<String>,
}

/// Reconciles what is configured.
pub struct Reconciler {
    reconciling: Reconciling,
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Option<Metrics>,
    /// Rounds of one process follow each other.
    turn: Mutex<()>,
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconciler").field("reconciling", &self.reconciling).finish_non_exhaustive()
    }
}

impl Reconciler {
    #[must_use]
    pub fn new(
        reconciling: Reconciling,
        store: Arc<dyn Store>,
        clock: Clock,
        metrics: Option<Metrics>,
    ) -> Self {
        Self { reconciling, store, clock, metrics, turn: Mutex::new(()) }
    }

    /// Whether nothing is configured.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.reconciling.all.is_empty()
    }

    /// One round over every webhook. A webhook that cannot be handled holds back no other.
    pub async fn round(&self, ask: &Ask<'_>) -> Reconciled {
        let _turn = self.turn.lock().await;
        let mut done = Reconciled::default();
        for host in &self.reconciling.all {
            match host.hooks().await {
                Err(error) => cannot_look(host, &error, &mut done),
                Ok(hooks) if hooks.is_empty() => {
                    cannot_look(host, &ApiError::Lasting(no_webhook(host.as_ref())), &mut done);
                }
                Ok(hooks) => {
                    for hook in &hooks {
                        self.reconcile(host, hook, ask, &mut done).await;
                    }
                }
            }
        }
        if let Some(metrics) = &self.metrics {
            let Sum { asked, lost, broken, .. } = done.sum;
            metrics.reconciled(asked, lost, broken);
        }
        done
    }

    async fn reconcile(
        &self,
        host: &Arc<dyn Redeliveries>,
        hook: &Hook,
        ask: &Ask<'_>,
        done: &mut Reconciled,
    ) {
        let mut broken = false;
        if let Some(off) = &hook.off {
            broken = !self.turn_on(host, hook, off, ask, done).await;
            done.sum.unfinished |= broken;
        }
        let Outcome { sum, failing, gaps, gone, stopped } =
            Round::new(host, hook, &*self.store, &self.clock, ask).run().await;
        let (of, name, webhook) = (host.name(), host.host(), hook.id);
        if let Some(outcome) = &failing {
            broken = true;
            tracing::warn!(
                of,
                host = name,
                webhook,
                webhook_broken = "failing",
                outcome,
                "the newest delivery of {of}'s webhook failed: {outcome}"
            );
            done.problems.push(format!("{of}: the newest delivery of webhook {webhook} failed: {outcome}"));
        }
        for gap in gaps.into_iter().chain(gone) {
            let text = lost(host, gap);
            tracing::warn!(of, host = name, webhook, deliveries_lost = true, from = %gap.from, until = %gap.until, "{text}");
            done.problems.push(text);
        }
        match stopped {
            None | Some(Stop::Late | Stop::Elsewhere) => {}
            Some(why) => {
                broken |= !matches!(why, Stop::Host(ApiError::Limited(..)));
                tracing::warn!(of, host = name, webhook, %why, "reconciling {of} ended early: {why}; the next round goes on");
                done.problems.push(format!("{of}: {why}"));
            }
        }
        let Sum { listed, asked, waiting, lost, unfinished, .. } = sum;
        if !ask.dry_run {
            tracing::info!(
                of,
                host = name,
                webhook,
                listed,
                asked,
                waiting,
                lost,
                unfinished,
                "reconciled {of}"
            );
        }
        done.sum.add(Sum { broken: u64::from(broken), ..sum });
    }

    /// Turns a webhook on that its host has turned off, where that is asked for. Whether it is on.
    async fn turn_on(
        &self,
        host: &Arc<dyn Redeliveries>,
        hook: &Hook,
        off: &str,
        ask: &Ask<'_>,
        done: &mut Reconciled,
    ) -> bool {
        let (of, webhook) = (host.name(), hook.id);
        let why = if !ask.enable || ask.dry_run {
            "`plaudit reconcile --enable` turns it on once plaudit answers again".to_owned()
        } else {
            match host.enable(hook).await {
                Ok(None) => {
                    tracing::info!(of, webhook, "the webhook of {of} is on again");
                    (ask.say)(&format!("{of}: webhook {webhook} was off ({off}) and is on again"));
                    return true;
                }
                Ok(Some(why)) => why,
                Err(error) => error.to_string(),
            }
        };
        tracing::warn!(
            of,
            host = host.host(),
            webhook,
            webhook_broken = "off",
            off,
            "the webhook of {of} is off: {off}; {why}"
        );
        done.problems.push(format!("{of}: webhook {webhook} is off: {off}; {why}"));
        false
    }

    /// Reconciles again and again, until `stop`.
    pub async fn run(self: Arc<Self>, first: Duration, stop: CancellationToken) {
        let mut pause = first;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            let ask = Ask {
                until: Some(Instant::now() + ROUND),
                stop: Some(stop.clone()),
                dry_run: false,
                enable: false,
                say: &|_| {},
            };
            // What is under way is noted in the store, so it can be given up at any point.
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.round(&ask) => {}
            }
            pause = EVERY;
        }
    }
}

fn cannot_look(host: &Arc<dyn Redeliveries>, why: &ApiError, done: &mut Reconciled) {
    let of = host.name();
    if matches!(why, ApiError::Limited(..)) {
        tracing::warn!(of, host = host.host(), %why, "the webhooks of {of} are reconciled later: {why}");
    } else {
        tracing::warn!(of, host = host.host(), webhook_broken = "unreadable", %why, "the webhooks of {of} could not be reconciled: {why}");
        done.sum.broken += 1;
    }
    done.sum.unfinished = true;
    done.problems.push(format!("{of}: {why}"));
}

/// What is lost, and what reads it all the same.
fn lost(host: &Arc<dyn Redeliveries>, gap: Gap) -> String {
    let (of, days) = (host.name(), host.kept().as_secs() / (24 * 60 * 60));
    let time = |at: Moment| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    format!(
        "{of}: what failed from {} to {} is older than the {days} days for which it is kept; `plaudit backfill {} --since {}` reads it",
        time(gap.from),
        time(gap.until),
        host.history(),
        gap.from.format("%Y-%m-%d")
    )
}
