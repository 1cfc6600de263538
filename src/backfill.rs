//! Backfill: reads the history of repositories from their host, page by page, and records it.
//!
//! A bookmark in the store is set only after everything that it covers is durable. So a backfill that is killed at
//! any moment goes on there, and what it reads twice counts once.

mod bookmark;
mod sums;

use std::fmt;
use std::time::Duration;

use tokio::time::sleep;

use crate::domain::{Contribution, Moment};
use crate::hosts::{self, ApiError, HistoryPage, Payload, Reading, Repository};
use crate::record::{self, Outcome, RecordError, Recorder};
use crate::runtime::{Backoff, Clock, stop_point};
use crate::store::{Novelty, Store, StoreError};
use bookmark::{Bookmark, Start};
pub use sums::{Progress, Sums};

/// The most contributions that are recorded at once.
const TOGETHER: usize = 500;
/// How often in a row the store may fail to take a page.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// What is read of the history, and how it is recorded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Only what changed then or later.
    pub since: Option<Moment>,
    /// Reads everything, whatever was read before.
    pub again: bool,
    /// Records as live deliveries are: what is reached is recognised.
    pub recognize: bool,
}

/// Where contributions go.
pub enum Ledger<'a> {
    /// They are recorded, and bookmarks are set.
    Write { store: &'a dyn Store, recorder: &'a Recorder },
    /// Nothing is written; without a store, nothing is known.
    DryRun { store: Option<&'a dyn Store> },
}

/// Why a backfill did not come to its end. It goes on from there when it is started again.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error(transparent)]
    Host(#[from] ApiError),
    #[error("the ledger does not take it: {0}")]
    Record(#[from] RecordError),
    #[error("the ledger cannot be read or written: {0}")]
    Store(#[from] StoreError),
}

/// Is called after each page, and with lines for a person.
pub trait Watcher {
    fn progress(&self, progress: &Progress<'_>);
    fn say(&self, line: &str);
}

/// One run over the history of some repositories.
pub struct Backfill<'a> {
    pub history: &'a dyn hosts::History,
    pub ledger: Ledger<'a>,
    pub plan: Plan,
    pub clock: &'a Clock,
    pub watcher: &'a dyn Watcher,
}

impl fmt::Debug for Ledger<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write { .. } => "Write",
            Self::DryRun { .. } => "DryRun",
        })
    }
}

impl fmt::Debug for Backfill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfill").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Backfill<'_> {
    /// Reads every part of every repository. What was read of them is in `sums`, also after a failure.
    pub async fn run(&self, sums: &mut Sums) -> Result<(), BackfillError> {
        for repository in self.history.repositories().await? {
            for part in self.history.parts() {
                self.part(&repository, part, sums).await?;
            }
        }
        Ok(())
    }

    async fn part(
        &self,
        repository: &Repository,
        part: &'static str,
        sums: &mut Sums,
    ) -> Result<(), BackfillError> {
        let now = self.clock.now();
        // A run over a time alone says nothing of what is older, so it leaves the bookmark of the whole as it is.
        let of = if self.plan.since.is_some() { ":since" } else { "" };
        let name = format!("backfill:{}:{part}{of}", repository.id);
        let Start { mut bookmark, from, says } = match &self.ledger {
            Ledger::Write { store, .. } => {
                Bookmark::start(store.bookmark(&name).await?.as_deref(), &self.plan, now)
            }
            Ledger::DryRun { .. } => Bookmark::start(None, &self.plan, now),
        };
        if let Some(says) = says {
            self.watcher.say(&format!("{} {part}: {says}", repository.name));
        }
        let mut pages = self.history.read(repository, part, from);
        let mut progress = Progress { repository: &repository.name, part, things: 0, total: None };
        while let Some(page) = pages.next(self.clock.now()).await? {
            progress.things += page.things;
            progress.total = page.total.or(progress.total);
            sums.things += page.things;
            let go_on = page.go_on.clone();
            self.record(page, sums).await?;
            if let Ledger::Write { store, .. } = &self.ledger
                && go_on.is_some()
                && go_on != bookmark.place
            {
                bookmark.place = go_on;
                store.set_bookmark(&name, &bookmark.text()).await?;
                stop_point("bookmarked").await;
            }
            self.watcher.progress(&progress);
        }
        if let Ledger::Write { store, .. } = &self.ledger {
            store.set_bookmark(&name, &bookmark.finished().text()).await?;
        }
        Ok(())
    }

    /// Records a page: what counts together, and what takes back after that.
    async fn record(&self, page: HistoryPage, sums: &mut Sums) -> Result<(), BackfillError> {
        let (mut counts, mut reviews) = (Vec::new(), Vec::new());
        for Payload { reading, visibility } in page.payloads {
            if let (Some(visibility), Ledger::Write { recorder, .. }) = (&visibility, &self.ledger) {
                persistently(async || recorder.see(visibility, record::deadline()).await).await?;
            }
            match reading {
                Reading::Counts(contributions) => counts.extend(contributions),
                Reading::Reviews(review) => reviews.push(review),
                Reading::Ignored(reason) => sums.ignored(reason),
            }
        }
        let mut counts = counts.into_iter().peekable();
        while counts.peek().is_some() {
            self.count(counts.by_ref().take(TOGETHER).collect(), sums).await?;
        }
        if let Ledger::Write { recorder, .. } = &self.ledger {
            for review in &reviews {
                persistently(async || recorder.review(review, record::deadline()).await).await?;
            }
        }
        Ok(())
    }

    async fn count(&self, contributions: Vec<Contribution>, sums: &mut Sums) -> Result<(), BackfillError> {
        match &self.ledger {
            Ledger::Write { recorder, .. } => {
                let record = async || {
                    let outcomes = recorder.record_each(contributions.clone(), !self.plan.recognize).await;
                    outcomes.into_iter().collect::<Result<Vec<Outcome>, _>>()
                };
                persistently(record).await?.iter().for_each(|outcome| sums.recorded(outcome.novelty));
            }
            Ledger::DryRun { store } => {
                for contribution in contributions {
                    let known = match store {
                        Some(store) => store.contribution(&contribution.id).await?.is_some(),
                        None => false,
                    };
                    let rejected = contribution.labels.is_some_and(|labels| labels.rejected);
                    let known = known || !sums.is_first(&contribution.id);
                    sums.recorded(match (known, rejected) {
                        (true, _) => Novelty::Same,
                        (false, true) => Novelty::Retracted,
                        (false, false) => Novelty::New,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Tries again what the store may take in a moment. What was recorded the first time counts once.
async fn persistently<T>(record: impl AsyncFn() -> Result<T, RecordError>) -> Result<T, RecordError> {
    let mut failures = 0;
    loop {
        match record().await {
            Err(
                RecordError::Full | RecordError::TooSlow | RecordError::Store(StoreError::Unavailable(_)),
            ) if failures + 1 < TRIES => {
                sleep(BETWEEN_TRIES.jittered(failures)).await;
                failures += 1;
            }
            outcome => return outcome,
        }
    }
}
