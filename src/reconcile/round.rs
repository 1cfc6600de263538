//! One round over the deliveries of one webhook.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::progress::{Gap, Open, Progress};
use super::{Ask, Sum};
use crate::hosts::ApiError;
use crate::hosts::deliveries::{DeliveryPage, Hook, Redeliveries, Redelivery};
use crate::runtime::{Backoff, Clock, stop_point};
use crate::store::{Store, StoreError};

/// How often in a row a request may fail in passing.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// A round over one webhook.
pub(super) struct Round<'a> {
    pub(super) host: &'a Arc<dyn Redeliveries>,
    pub(super) hook: &'a Hook,
    pub(super) store: &'a dyn Store,
    pub(super) clock: &'a Clock,
    pub(super) ask: &'a Ask<'a>,
    /// The name of its bookmark.
    name: String,
    /// The bookmark as it was last read or written here.
    stored: Option<String>,
    /// The same, as it was last written here.
    saved: Option<Progress>,
    progress: Progress,
    sum: Sum,
    gaps: Vec<Gap>,
    gone: Vec<Open>,
}

/// What came of a round over one webhook.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) sum: Sum,
    /// The outcome of the newest delivery, where that is a failure.
    pub(super) failing: Option<String>,
    pub(super) gaps: Vec<Gap>,
    /// The span of the deliveries that the host can send no more.
    pub(super) gone: Option<Gap>,
    /// Why it ended before everything was done.
    pub(super) stopped: Option<Stop>,
}

/// Why a round ended before everything was done. The next one goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("the time for it has ended")]
    Late,
    #[error("another run reconciles the same webhook")]
    Elsewhere,
    #[error(transparent)]
    Host(#[from] ApiError),
    #[error("the ledger cannot be read or written: {0}")]
    Store(#[from] StoreError),
}

impl<'a> Round<'a> {
    pub(super) fn new(
        host: &'a Arc<dyn Redeliveries>,
        hook: &'a Hook,
        store: &'a dyn Store,
        clock: &'a Clock,
        ask: &'a Ask<'a>,
    ) -> Self {
        Self {
            host,
            hook,
            store,
            clock,
            ask,
            name: format!("reconcile:{}:{}:{}", host.host(), host.name().to_lowercase(), hook.id),
            stored: None,
            saved: None,
            progress: Progress::default(),
            sum: Sum { hooks: 1, ..Sum::default() },
            gaps: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> Outcome {
        let stopped = self.read_and_ask().await.err();
        self.sum.waiting = self.progress.open.len() as u64;
        self.sum.unfinished = stopped.is_some();
        let at = || self.gone.iter().filter_map(|open| open.at);
        let gone = at().min().zip(at().max()).map(|(from, until)| Gap { from, until });
        Outcome { sum: self.sum, failing: self.progress.failing, gaps: self.gaps, gone, stopped }
    }

    async fn read_and_ask(&mut self) -> Result<(), Stop> {
        self.stored = self.store.bookmark(&self.name).await?;
        // What cannot be read is read anew from the host, as far back as it lists.
        let read = self.stored.as_deref().and_then(|text| serde_json::from_str(text).ok());
        self.progress = read.unwrap_or_default();
        if !self.progress.goes_on_asking(self.clock.now()) {
            while self.list().await? {}
        }
        self.ask_for_all().await
    }

    /// Reads a list to its end. Whether another one follows: for what came since an earlier run began it.
    async fn list(&mut self) -> Result<bool, Stop> {
        let goes_on = self.progress.begin(self.clock.now());
        let mut first = !goes_on;
        loop {
            let cursor = self.progress.list.as_ref().and_then(|list| list.next.clone());
            let page = match self.page(cursor.as_deref()).await {
                // Its cursor may be older than what the host lists.
                Err(Stop::Host(ApiError::Lasting(_))) if goes_on => {
                    self.progress.list = None;
                    return Ok(true);
                }
                page => page?,
            };
            self.sum.listed += page.deliveries.len() as u64;
            if first && self.host.lists_successes() {
                let newest = page.deliveries.first().filter(|newest| !newest.succeeded);
                self.progress.failing = newest.map(|newest| newest.outcome.clone());
            }
            first = false;
            let turned = self.progress.take(page, self.host.kept());
            self.save().await?;
            self.gaps.extend(turned.gap);
            if turned.whole {
                return Ok(goes_on && !self.progress.is_fresh(self.clock.now()));
            }
        }
    }

    async fn page(&mut self, cursor: Option<&str>) -> Result<DeliveryPage, Stop> {
        let mut failures = 0;
        loop {
            if self.ask.is_late() {
                return Err(Stop::Late);
            }
            self.sum.calls += 1;
            match self.host.list(self.hook, cursor).await {
                Ok(page) => return Ok(page),
                Err(error) => self.wait(error, &mut failures).await?,
            }
        }
    }

    /// Asks for what is open and due, oldest first. That it is asked for is durable before the host is asked: after a
    /// kill in between, it is not asked for again before [`AGAIN`](super::progress::AGAIN), unless it failed.
    async fn ask_for_all(&mut self) -> Result<(), Stop> {
        let given_up = self.progress.give_up(self.clock.now(), self.host.kept());
        self.sum.lost += given_up.len() as u64;
        self.gone.extend(given_up);
        let mut failures = 0;
        while let Some(at) = self.progress.due(self.clock.now()) {
            let Some(before) = self.progress.open.get(at).cloned() else { break };
            if self.ask.dry_run {
                self.sum.asked = self.progress.all_due(self.clock.now());
                return Ok(());
            }
            if self.ask.is_late() {
                return Err(Stop::Late);
            }
            self.note(at, |open, now| {
                open.first = open.first.or(Some(now));
                (open.last, open.tries) = (Some(now), open.tries + 1);
            });
            self.save().await?;
            self.sum.calls += 1;
            match self.host.redeliver(self.hook, before.id).await {
                Ok(Redelivery::Asked) => {
                    failures = 0;
                    self.sum.asked += 1;
                }
                Ok(Redelivery::Delivered) => {
                    failures = 0;
                    self.sum.asked += 1;
                    self.progress.open.remove(at);
                }
                Ok(Redelivery::Gone(_)) => {
                    self.sum.lost += 1;
                    self.gone.push(self.progress.open.remove(at));
                }
                Err(error) => {
                    // Without a clear answer it may have been asked for: it is then looked for in the next lists.
                    if !matches!(&error, ApiError::Passing(_)) {
                        self.note(at, |open, _| *open = before);
                    }
                    let waited = self.wait(error, &mut failures).await;
                    if waited.is_err() {
                        self.save().await?;
                    }
                    waited?;
                }
            }
            stop_point("asked").await;
        }
        self.save().await
    }

    fn note(&mut self, at: usize, change: impl FnOnce(&mut Open, crate::domain::Moment)) {
        let now = self.clock.now();
        if let Some(open) = self.progress.open.get_mut(at) {
            change(open, now);
        }
    }

    /// Waits until a request may be tried again, unless there is no time for it.
    async fn wait(&self, error: ApiError, failures: &mut u32) -> Result<(), Stop> {
        let pause = match &error {
            ApiError::Limited(_, limit) => {
                limit.wait(self.clock.now()).unwrap_or(Duration::from_mins(1)).max(Duration::from_millis(100))
            }
            ApiError::Passing(_) if *failures + 1 < TRIES => {
                *failures += 1;
                BETWEEN_TRIES.jittered(*failures - 1)
            }
            _ => return Err(error.into()),
        };
        if self.ask.until.is_some_and(|until| Instant::now() + pause >= until) {
            return Err(error.into());
        }
        (self.ask.say)(&format!("{error}; waiting {} s", pause.as_millis().div_ceil(1_000)));
        sleep(pause).await;
        Ok(())
    }

    /// Stores how far it is, unless another run has stored something meanwhile: then that one goes on.
    async fn save(&mut self) -> Result<(), Stop> {
        if self.ask.dry_run {
            return Ok(());
        }
        if self.saved.as_ref() == Some(&self.progress) {
            return Ok(());
        }
        // No two texts are equal, whoever writes them.
        self.progress.nonce = Uuid::now_v7().to_string();
        let text = serde_json::to_string(&self.progress)
            .map_err(|error| Stop::Store(StoreError::Refused(error.to_string())))?;
        if !self.store.replace_bookmark(&self.name, self.stored.as_deref(), &text).await? {
            return Err(Stop::Elsewhere);
        }
        (self.stored, self.saved) = (Some(text), Some(self.progress.clone()));
        Ok(())
    }
}
