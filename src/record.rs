//! The one use case: record contributions, take them back, and make them private.
//! Contributions that arrive during a commit go together into the next one (group commit, without a timer): a slow
//! store, or a busy processor, makes commits larger and not the queue longer. All contributions of one contributor go
//! through the same lane, one commit after the other.

mod batch;
mod privacy;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::domain::{
    Contribution, ContributorId, JustCounted, Milestones, Moment, Recognition, RecognitionId, Review,
    Standing, Visibility, owed,
};
use crate::outbox::{GIVING_WAY, Outbox};
use crate::runtime::{Clock, Tasks, catch_panic, stop_point};
use crate::store::{Linked, Novelty, Recognised, Recorded, Reviewed, SLOWEST_WRITE, Store, StoreError};
use crate::telemetry::Metrics;
use privacy::Privacy;

/// The most contributions in one commit.
const MOST_TOGETHER: usize = 100;
/// The most contributions that wait, all lanes together.
const MOST_WAITING: usize = 10_000;
/// How long a request waits for everything that it asks of the store.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long recognising within the request may take.
const AT_ONCE: Duration = Duration::from_millis(1_900);
/// How long a request that made a recognition waits until it is offered to the destinations.
const OFFER: Duration = Duration::from_secs(1);
/// The longest that a request takes which has [`deadline`] as its one deadline: to conceal a repository and to record
/// or review, one after the other.
pub const LONGEST: Duration = PATIENCE.saturating_add(OFFER);
const _: () = assert!(
    SLOWEST_WRITE.as_millis() + AT_ONCE.as_millis() < PATIENCE.as_millis(),
    "a request must wait longer than the slowest commit and its recognitions take"
);
const _: () =
    assert!(GIVING_WAY.as_millis() < AT_ONCE.as_millis(), "giving way must leave time to recognise");
const _: () = assert!(LONGEST.as_secs() < 10, "a host waits 10 s for an answer");

/// By when everything that a request asks of the store must be done, if it begins now.
#[must_use]
pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// What `work` returns, if it ends in time.
async fn in_time<T>(
    by: Instant,
    work: impl Future<Output = Result<T, RecordError>>,
) -> Result<T, RecordError> {
    timeout_at(by, work).await.unwrap_or(Err(RecordError::TooSlow))
}

/// Records contributions, takes them back, and makes them private.
pub struct Recorder {
    lanes: Vec<mpsc::UnboundedSender<Entry>>,
    room: Arc<Semaphore>,
    hasher: RandomState,
    privacy: Privacy,
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    milestones: Milestones,
    clock: Clock,
    tasks: Tasks,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

/// What became of a review.
#[derive(Clone, Debug, Default)]
pub struct ReviewOutcome {
    /// Every recorded contribution that it concerns.
    pub reviewed: Vec<Reviewed>,
    /// What was recognised because something counts again.
    pub recognitions: Vec<Recognition>,
}

/// What became of a contribution.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The contribution, as it was given.
    pub contribution: Contribution,
    /// Whether it is new.
    pub novelty: Novelty,
    /// The contributor's tally.
    pub tally: u64,
    /// What was recognised because of it.
    pub recognitions: Vec<RecognitionId>,
}

/// Why contributions were not recorded. Sending them again counts each once.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// Too many wait already.
    #[error("too many contributions wait for the store")]
    Full,
    /// The store did not answer in time; it may have recorded them all the same.
    #[error("the store did not answer within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// The store did not take them.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of one contribution of a commit.
struct Became {
    recorded: Recorded,
    recognitions: Vec<RecognitionId>,
}

struct Entry {
    contribution: Contribution,
    history: bool,
    waiter: Waiter,
}

/// The request that waits for an outcome, and the room that its contribution takes meanwhile.
struct Waiter {
    answer: oneshot::Sender<Result<Outcome, StoreError>>,
    _room: OwnedSemaphorePermit,
}

impl Waiter {
    /// Ignores that the request was cancelled meanwhile: its contribution is recorded all the same.
    fn send(self, outcome: Result<Outcome, StoreError>) {
        drop(self.answer.send(outcome));
    }
}

impl Recorder {
    /// Starts as many lanes as the store has.
    #[must_use]
    pub fn start(
        store: &Arc<dyn Store>,
        outbox: &Arc<Outbox>,
        milestones: &Milestones,
        clock: &Clock,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Self {
        let lane = |_| {
            let (entrance, entries) = mpsc::unbounded_channel();
            let lane = CommitLane {
                store: Arc::clone(store),
                outbox: Arc::clone(outbox),
                milestones: milestones.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                tasks: tasks.clone(),
            };
            tasks.spawn(lane.run(entries, tasks.stopping()));
            entrance
        };
        Self {
            lanes: (0..store.lanes().max(1)).map(lane).collect(),
            room: Arc::new(Semaphore::new(MOST_WAITING)),
            hasher: RandomState::new(),
            privacy: Privacy::new(store, clock),
            store: Arc::clone(store),
            outbox: Arc::clone(outbox),
            milestones: milestones.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        }
    }

    /// Records all of `contributions`, and returns when they are durable, in their order; fails where that is not
    /// done `by` then.
    pub async fn record(
        &self,
        contributions: Vec<Contribution>,
        by: Instant,
    ) -> Result<Vec<Outcome>, RecordError> {
        let outcomes = in_time(by, self.record_all(contributions)).await?;
        if outcomes.iter().any(|outcome| !outcome.recognitions.is_empty()) {
            self.offered().await;
        }
        Ok(outcomes)
    }

    async fn record_all(&self, contributions: Vec<Contribution>) -> Result<Vec<Outcome>, RecordError> {
        let outcomes = futures::future::join_all(self.enqueue(contributions, false).await?).await;
        Ok(outcomes.into_iter().collect::<Result<Vec<_>, _>>()?)
    }

    /// Hands contributions to their lanes: all of them, or none where there is no room for all.
    async fn enqueue(
        &self,
        mut contributions: Vec<Contribution>,
        history: bool,
    ) -> Result<Vec<impl Future<Output = Result<Outcome, StoreError>> + use<>>, RecordError> {
        self.privacy.conceal_late(&mut contributions).await?;
        let count = u32::try_from(contributions.len()).map_err(|_| RecordError::Full)?;
        let mut rooms =
            Arc::clone(&self.room).try_acquire_many_owned(count).map_err(|_| RecordError::Full)?;
        let mut answers = Vec::with_capacity(contributions.len());
        for contribution in contributions {
            let room = rooms.split(1).ok_or(RecordError::Full)?;
            let (answer, outcome) = oneshot::channel();
            self.lane_of(&contribution.contributor)?
                .send(Entry { contribution, history, waiter: Waiter { answer, _room: room } })
                .map_err(|_| StoreError::Unavailable("the service is stopping".into()))?;
            answers.push(async {
                outcome.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a lane has ended".into())))
            });
        }
        Ok(answers)
    }

    /// Takes what a payload says about who may see its repository: makes what became private so, in what waits to be
    /// published too. A repository for which this process did so within the last hour is left as it is, unless it
    /// became private anew. Fails where that is not done `by` then.
    pub async fn see(&self, visibility: &Visibility, by: Instant) -> Result<(), RecordError> {
        let seen = in_time(by, async { Ok(self.privacy.see(visibility).await?) }).await;
        // Where not all of it is done, a part may be.
        if !matches!(seen, Ok(false)) {
            self.outbox.concealed();
        }
        seen.map(|_| ())
    }

    /// Takes contributions back, or counts them again, and recognises what is then owed; fails where the store has
    /// not done so `by` then.
    pub async fn review(&self, review: &Review, by: Instant) -> Result<ReviewOutcome, RecordError> {
        let all = async {
            let reviewed = self.store.review(review).await?;
            let mut owed = Vec::new();
            for one in reviewed.iter().filter(|one| one.counts_again()) {
                owed.extend(self.owed_after(one).await?);
            }
            Ok((reviewed, owed))
        };
        let all = in_time(by, all).await;
        if review.private {
            self.outbox.concealed();
        }
        let (reviewed, owed) = all?;
        let at_once = by.min(Instant::now() + AT_ONCE);
        let recognitions = recognise_at_once(&self.outbox, &self.tasks, owed, at_once).await;
        if !recognitions.is_empty() {
            self.offered().await;
        }
        Ok(ReviewOutcome { reviewed, recognitions })
    }

    /// Makes everything of `account` count for `to`, and recognises what they are owed together.
    pub async fn link(&self, account: &ContributorId, to: &ContributorId) -> Result<Linked, StoreError> {
        let linked = self.store.link(account, to).await?;
        if let Linked::To(standing) = &linked {
            // What is about to be published names the account.
            self.outbox.concealed();
            let owed = owed(standing, &[], &self.milestones, self.clock.now());
            if !owed.is_empty() {
                recognise_at_once(&self.outbox, &self.tasks, owed, Instant::now() + AT_ONCE).await;
            }
        }
        Ok(linked)
    }

    /// What is owed because a contribution counts again: it is the one that reached its tally.
    async fn owed_after(&self, one: &Reviewed) -> Result<Vec<Recognition>, StoreError> {
        if self.milestones.between(one.recognized, one.tally).next().is_none() {
            return Ok(Vec::new());
        }
        let counted = self.store.contribution(&one.id).await?;
        let counted = counted.map(|found| JustCounted { contribution: found.contribution, tally: one.tally });
        let counted: Vec<_> = counted.into_iter().collect();
        let standing =
            Standing { contributor: one.contributor.clone(), tally: one.tally, recognized: one.recognized };
        Ok(owed(&standing, &counted, &self.milestones, self.clock.now()))
    }

    /// Waits for publishing: between requests Cloud Run throttles the processor, so that it would be late.
    async fn offered(&self) {
        let _ = tokio::time::timeout(OFFER, self.outbox.offered()).await;
    }

    fn lane_of(&self, contributor: &ContributorId) -> Result<&mpsc::UnboundedSender<Entry>, StoreError> {
        let hash = self.hasher.hash_one(contributor);
        let place = hash.checked_rem(self.lanes.len() as u64).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.lanes.get(place)).ok_or_else(|| StoreError::Unavailable("no lane".into()))
    }
}

/// Commits one batch after the other.
struct CommitLane {
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    milestones: Milestones,
    clock: Clock,
    metrics: Metrics,
    tasks: Tasks,
}

impl CommitLane {
    /// Runs until the service stops and everything that was taken is answered.
    async fn run(self, mut entries: mpsc::UnboundedReceiver<Entry>, stop: CancellationToken) {
        let mut together = Vec::new();
        loop {
            tokio::select! {
                taken = entries.recv_many(&mut together, MOST_TOGETHER) => if taken == 0 { return },
                () = stop.cancelled(), if !entries.is_closed() => {
                    entries.close();
                    continue;
                }
            }
            gather(&mut entries, &mut together).await;
            let history: Vec<_> = together.extract_if(.., |entry| entry.history).collect();
            self.take(together.drain(..), false).await;
            self.take(history.into_iter(), true).await;
        }
    }

    /// Commits entries together, and answers them.
    async fn take(&self, entries: impl ExactSizeIterator<Item = Entry>, history: bool) {
        if entries.len() == 0 {
            return;
        }
        let entries = entries.map(|entry| (entry.contribution, entry.waiter));
        let (contributions, waiters): (Vec<_>, Vec<_>) = entries.unzip();
        match self.commit(&contributions, history).await {
            Ok(became) => answer(contributions, waiters, became),
            Err(StoreError::Refused(_) | StoreError::Broken(_)) if waiters.len() > 1 => {
                self.one_by_one(contributions, waiters, history).await;
            }
            Err(error) => waiters.into_iter().for_each(|waiter| waiter.send(Err(error.clone()))),
        }
    }

    /// Commits each contribution of a batch alone, so that one that is refused, or belongs to something that cannot
    /// be read, fails no other.
    async fn one_by_one(&self, contributions: Vec<Contribution>, waiters: Vec<Waiter>, history: bool) {
        for (contribution, waiter) in contributions.into_iter().zip(waiters) {
            match self.commit(std::slice::from_ref(&contribution), history).await {
                Ok(became) => answer(vec![contribution], vec![waiter], became),
                Err(error) => waiter.send(Err(error)),
            }
        }
    }

    async fn commit(&self, contributions: &[Contribution], history: bool) -> Result<Vec<Became>, StoreError> {
        let now = self.clock.now();
        let started = Instant::now();
        let panicked = || Err(StoreError::Unavailable("the store panicked".into()));
        let recorded = if history {
            catch_panic(self.record_history(contributions, now)).await
        } else {
            catch_panic(self.store.record(contributions, now)).await
        };
        let recorded = recorded.unwrap_or_else(panicked)?;
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "at most a hundred")]
        self.metrics.commit_size.observe(contributions.len() as f64);
        stop_point("recorded").await;

        let owed = owed_to_each(contributions, &recorded, &self.milestones, now);
        let mut became: Vec<Became> =
            recorded.into_iter().map(|recorded| Became { recorded, recognitions: Vec::new() }).collect();
        for (contribution, became) in contributions.iter().zip(&became) {
            if became.recorded.novelty == Novelty::New {
                self.metrics.counted(contribution);
            }
        }
        let at_once = Instant::now() + AT_ONCE;
        for recognition in recognise_at_once(&self.outbox, &self.tasks, owed, at_once).await {
            name(&recognition, contributions, &mut became);
        }
        Ok(became)
    }
}

/// Before a commit begins, lets the requests that can go on at once do so, and adds what they have to record, as long as
/// there is any: fewer commits. Nothing waits for a network or a disk. Where the runtime has several threads, those
/// requests go on beside the commit, and it begins at once.
async fn gather(entries: &mut mpsc::UnboundedReceiver<Entry>, together: &mut Vec<Entry>) {
    if Handle::current().metrics().num_workers() > 1 {
        return;
    }
    let mut before = 0;
    while before < together.len() {
        before = together.len();
        yield_now().await;
        while together.len() < MOST_TOGETHER
            && let Ok(entry) = entries.try_recv()
        {
            together.push(entry);
        }
    }
}

/// Recognises within the request, so that the answer can name it. What takes longer goes on without the request,
/// because given up halfway it would lose its contribution; what fails stays owed.
async fn recognise_at_once(
    outbox: &Arc<Outbox>,
    tasks: &Tasks,
    owed: Vec<Recognition>,
    by: Instant,
) -> Vec<Recognition> {
    if owed.is_empty() {
        return owed;
    }
    let ids: Vec<_> = owed.iter().map(|recognition| recognition.id.to_string()).collect();
    let ids = ids.join(" ");
    let (outbox, named) = (Arc::clone(outbox), ids.clone());
    let recognising = tasks.spawn(async move {
        let made = outbox.recognise(owed).await;
        let made = made.unwrap_or_else(|error| Recognised { failure: Some(error), ..Recognised::default() });
        if let Some(error) = made.failure {
            tracing::warn!(%error, recognitions = named, "recognitions stay owed until the next drain");
        }
        made.new
    });
    let Ok(made) = timeout_at(by, recognising).await else {
        tracing::info!(recognitions = ids, "recognising goes on after the request");
        return Vec::new();
    };
    // The panic hook has logged why a task ended without an answer.
    made.unwrap_or_default()
}

/// What a commit left owed, contributor by contributor.
fn owed_to_each(
    contributions: &[Contribution],
    recorded: &[Recorded],
    milestones: &Milestones,
    now: Moment,
) -> Vec<Recognition> {
    let mut standings: HashMap<&ContributorId, (Standing, Vec<JustCounted>)> = HashMap::new();
    for (contribution, recorded) in contributions.iter().zip(recorded) {
        let owing = milestones.between(recorded.recognized, recorded.tally).next().is_some();
        // With another body under a known id, the tally may be another contributor's.
        if !owing || recorded.novelty == Novelty::Different {
            continue;
        }
        let who = recorded.counted_for.as_ref().unwrap_or(&contribution.contributor);
        let (standing, _) = standings
            .entry(who)
            .or_insert_with(|| (Standing { contributor: who.clone(), tally: 0, recognized: 0 }, Vec::new()));
        standing.tally = standing.tally.max(recorded.tally);
        standing.recognized = standing.recognized.max(recorded.recognized);
    }
    for (contribution, recorded) in contributions.iter().zip(recorded) {
        let who = recorded.counted_for.as_ref().unwrap_or(&contribution.contributor);
        if recorded.novelty == Novelty::New
            && let Some((_, counted)) = standings.get_mut(who)
        {
            let private = contribution.private || recorded.private;
            let contribution = Contribution { private, contributor: who.clone(), ..contribution.clone() };
            counted.push(JustCounted { contribution, tally: recorded.tally });
        }
    }
    standings
        .into_values()
        .flat_map(|(standing, counted)| owed(&standing, &counted, milestones, now))
        .collect()
}

/// Names a recognition beside the contribution that reached it, else beside the contributor's first.
fn name(recognition: &Recognition, contributions: &[Contribution], became: &mut [Became]) {
    let reached = recognition.contribution.as_ref().map(|contribution| &contribution.id);
    let both = || contributions.iter().zip(became.iter());
    let place = both()
        .position(|(c, became)| became.recorded.novelty == Novelty::New && Some(&c.id) == reached)
        .or_else(|| {
            let who = |(c, became): (&Contribution, &Became)| {
                *became.recorded.counted_for.as_ref().unwrap_or(&c.contributor) == recognition.contributor
            };
            both().position(who)
        });
    if let Some(became) = place.and_then(|place| became.get_mut(place)) {
        became.recognitions.push(recognition.id.clone());
    }
}

fn answer(contributions: Vec<Contribution>, waiters: Vec<Waiter>, became: Vec<Became>) {
    for ((contribution, waiter), became) in contributions.into_iter().zip(waiters).zip(became) {
        let Became { recorded: Recorded { novelty, tally, counted_for, .. }, recognitions } = became;
        let contributor = counted_for.unwrap_or(contribution.contributor);
        let contribution = Contribution { contributor, ..contribution };
        waiter.send(Ok(Outcome { contribution, novelty, tally, recognitions }));
    }
}
