//! Where contributions, tallies and recognitions are durable.
//!
//! A new store is a file here that implements [`Store`](crate::store::Store), and a line in
//! [`open`](crate::store::open). The suite in
//! `tests/it/store.rs` holds every store to the same promises.

pub mod at;
mod cursor;
pub mod firestore;
pub mod forgetting;
pub mod sqlite;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use at::At;
pub use forgetting::{Erased, ForgetKey, Forgot};

use crate::domain::{
    Contribution, ContributionId, ContributorId, Destination, GiveUp, HostName, Kind, Milestones, Moment,
    Naming, Recognition, RecognitionId, RepositoryId, Review, Standing,
};

/// The longest that a store tries to write before it fails as unavailable.
pub const SLOWEST_WRITE: Duration = Duration::from_secs(6);

/// The longest for which anything is put off: a host may ask for two hours, and clocks differ. What is put off
/// for longer was put off by a clock that was ahead, and is due.
pub const LONGEST_DELAY: Duration = Duration::from_hours(3);

/// The bookmark of whose addresses are.
pub const MAILMAP: &str = "mailmap";

/// Whether what may be tried from `next` on is due at `now`.
fn is_due(next: Moment, now: Moment) -> bool {
    next <= now || next > now + LONGEST_DELAY
}

/// How long after a repository became private its contributions are looked through once more: by then, whatever
/// an instance that did not know it was recording has arrived.
pub const LOOK_AGAIN: Duration = Duration::from_mins(10);

/// When a repository that is private since `since` is to be looked through again, now that all of it is private.
fn look_again(since: Moment, now: Moment) -> Option<Moment> {
    let last = since + LOOK_AGAIN;
    (now < last).then_some(last)
}

/// Opens the configured store, and brings its schema up to date. `key` is for [`forget`](Store::forget).
pub async fn open(at: &At, key: Option<&ForgetKey>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match at {
        At::Sqlite(path) => Arc::new(sqlite::Sqlite::open_apart(path.clone(), key.cloned()).await?),
        At::Firestore { project, database, emulator } => {
            let store = firestore::Firestore::open(project, database, emulator.as_deref()).await?;
            Arc::new(store.with_forget_key(key.cloned()).await?)
        }
    })
}

/// Whether the configured store may open later as it is configured: a service may answer again, and a person or a
/// deployment may still grant what is missing. A file is this machine's, and somebody looks at its start.
#[must_use]
pub fn may_open_later(at: &At, error: &StoreError) -> bool {
    matches!((at, error), (At::Firestore { .. }, StoreError::Unavailable(_)))
}

/// Why the configured store cannot be opened, and what to do, in one line for a person.
#[must_use]
pub fn cannot_open(at: &At, error: &StoreError) -> String {
    match at {
        At::Sqlite(path) => {
            format!("cannot open the ledger {}: {}", path.display(), sqlite::explain(path, error))
        }
        At::Firestore { .. } => format!("cannot open the ledger {at}: {}", error.why()),
    }
}

/// Whether the ledger is there and whole, without making or changing anything; and how much is due at each
/// destination that is not among `on`: it waits until that is turned on again.
pub async fn inspect(at: &At, key: Option<&ForgetKey>, on: &[Destination]) -> Result<String, String> {
    let off = Destination::others(on);
    let (answer, waiting) = match at {
        At::Sqlite(path) => sqlite::inspect(path.clone(), key.cloned(), off).await?,
        At::Firestore { .. } => inspect_opened(at, key, off).await.map_err(|error| error.why())?,
    };
    let due = waiting.into_iter().filter(|(_, waiting)| *waiting > 0).map(|(destination, waiting)| {
        format!("{waiting} recognitions are due at {destination}, which is turned off")
    });
    Ok(std::iter::once(answer).chain(due).collect::<Vec<_>>().join("; "))
}

async fn inspect_opened(
    at: &At,
    key: Option<&ForgetKey>,
    off: Vec<Destination>,
) -> Result<(String, Vec<(Destination, u64)>), StoreError> {
    let store = open(at, key).await?;
    // One contributor shows whether what is stored can be read by this version.
    store.contributors(Order::Id, &ContributorFilter::default(), &Page { limit: 1, after: None }).await?;
    let mut waiting = Vec::new();
    for off in off {
        waiting.push((off, store.backlog(&[off]).await?.waiting));
    }
    Ok(("it answers".into(), waiting))
}

/// A durable ledger. Every method that writes has written durably when it returns `Ok`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The name of this store in logs and answers.
    fn name(&self) -> &'static str;

    /// How many batches may be recorded side by side; contributions of one contributor never are.
    fn lanes(&self) -> usize;

    /// How many reads of clients may run side by side.
    fn readers(&self) -> usize {
        4
    }

    /// Counts contributions: all of `batch`, or nothing of it where it is refused. The answers are in the
    /// batch's order. A contribution that is known, or occurs earlier in the batch, is not counted again.
    ///
    /// Labels that a recording brings decide for all parts of its work. Other parts whose counting this changes
    /// are not answered: what their contributors are owed by it is found by [`owing`](Store::owing).
    async fn record(&self, batch: &[Contribution], now: Moment) -> Result<Vec<Recorded>, StoreError>;

    /// Records as [`record`](Store::record) does. In the same atomic step each contributor of `batch` takes the
    /// highest of `milestones` that the tally reaches as recognised, so that nothing reached by this batch is ever
    /// owed. Where something is owed before, nothing is recorded: this step would pass over it.
    async fn record_history(
        &self,
        batch: &[Contribution],
        milestones: &Milestones,
        now: Moment,
    ) -> Result<History, StoreError>;

    /// Takes contributions back, or counts them again, as `review` says: in one atomic step that may be
    /// repeated, and in any order with the recordings. A review whose contributions are not recorded yet is
    /// kept for them. Answers every recorded contribution that the review concerns.
    ///
    /// Tallies change by what begins or ends to count; no milestone recognised is taken back. A review of a
    /// work must name the part of its author, if it has one: on Firestore, a recording without a landing finds a
    /// mark only there.
    async fn review(&self, review: &Review) -> Result<Vec<Reviewed>, StoreError>;

    /// Notes that a repository is private, and makes its contributions private, in what waits to be published too:
    /// all of them, or if it is [public again](PrivateRepository::is_public_again), those that were stated before
    /// [that](PrivateRepository::since). May be repeated, and in any order. Fails as
    /// unavailable where there are too many for one call: then a part is done, and the next call or
    /// [`conceal_due`](Store::conceal_due) goes on.
    async fn conceal(&self, repository: &RepositoryId, concealment: Concealment) -> Result<(), StoreError>;

    /// Notes that a repository became public, by a payload of that time. What is private stays so.
    async fn publicized(&self, repository: &RepositoryId, at: Moment) -> Result<(), StoreError>;

    /// Goes on with what [`conceal`](Store::conceal) left, and looks once more through repositories that became
    /// private [`LOOK_AGAIN`] ago.
    async fn conceal_due(&self, now: Moment) -> Result<(), StoreError>;

    /// The repositories that are noted as private: all, or those noted since a time; at most `limit` of them.
    async fn private_repositories(
        &self,
        since: Option<Moment>,
        limit: usize,
    ) -> Result<Vec<PrivateRepository>, StoreError>;

    /// What is noted of one repository.
    async fn private_repository(
        &self,
        repository: &RepositoryId,
    ) -> Result<Option<PrivateRepository>, StoreError>;

    /// Erases a contributor with everything that is held about them, for good: what of them is recorded later is
    /// [`Novelty::Forgotten`], and only keyed hashes of their names remain. May be repeated, and goes on where it was
    /// interrupted.
    async fn forget(&self, contributor: &ContributorId) -> Result<Forgot, StoreError>;

    /// Makes everything of `account` count for `to`, now and from now on: its contributions, its recognitions, and what
    /// was linked to it. No milestone that either had is owed again. Either may be unknown yet. May be repeated, and
    /// goes on where it was interrupted.
    async fn link(&self, account: &ContributorId, to: &ContributorId) -> Result<Linked, StoreError>;

    /// Undoes [`link`](Store::link): what arrived under `account` counts for it again. Both keep the highest milestone
    /// that they had together.
    async fn unlink(&self, account: &ContributorId) -> Result<Unlinked, StoreError>;

    /// The other accounts that count for a contributor, by their ids: linked ones, and its former names.
    async fn accounts_of(&self, contributor: &ContributorId) -> Result<Vec<Account>, StoreError>;

    /// The accounts that addresses name, on their hosts, in their order: that to which the number is bound, else that
    /// with the name, unless the name is another number's; `None` where it is forgotten.
    async fn accounts_of_addresses(&self, named: &[Naming])
    -> Result<Vec<Option<ContributorId>>, StoreError>;

    /// Moves what arrived under an account after that was linked or renamed, and goes on with moves that were
    /// interrupted.
    async fn move_late(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The text that was last set under this name: where a long read of a host goes on. The store knows nothing of
    /// its meaning.
    async fn bookmark(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Sets a bookmark, a text of at most some kilobytes. Of two set at once, either stays.
    async fn set_bookmark(&self, name: &str, value: &str) -> Result<(), StoreError>;

    /// Sets a bookmark that is still `before` (an optimistic lock), or that is not there. Returns whether it did; of two
    /// at once, one does. No value may be set twice under one name.
    async fn replace_bookmark(
        &self,
        name: &str,
        before: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError>;

    /// Stores recognitions, due at `destinations`, and raises each contributor's highest milestone.
    /// Those of one contributor must be in ascending order. One that was made before is left as it is. Where only
    /// some can be made, they are answered with the failure beside them; an error means that none was made.
    async fn recognise(
        &self,
        made: &[Recognition],
        destinations: &[Destination],
    ) -> Result<Recognised, StoreError>;

    /// Contributors to whom a recognition is owed, at most about `limit` of them. `after` is the last that the same
    /// sweep has found: a store that looks at all contributors goes on after that one.
    async fn owing(
        &self,
        milestones: &Milestones,
        after: Option<&ContributorId>,
        limit: usize,
    ) -> Result<Vec<Standing>, StoreError>;

    /// Recognitions due at `destination` by `now`, or put off for longer than [`LONGEST_DELAY`], oldest first, each
    /// held for the caller until `held_until`: no other caller gets it before then. A `held_until` that is not after
    /// `now` holds nothing.
    async fn claim(
        &self,
        destination: Destination,
        now: Moment,
        held_until: Moment,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// When the first of what waits at `destination` may be offered; in the past if it may be now.
    async fn next_due(&self, destination: Destination) -> Result<Option<Moment>, StoreError>;

    /// Says what became of a recognition at a destination.
    async fn settle(&self, settled: &[(RecognitionId, Destination, Settled)]) -> Result<(), StoreError>;

    /// How much waits at any of `destinations`.
    async fn backlog(&self, destinations: &[Destination]) -> Result<Backlog, StoreError>;

    /// One contribution, private ones too: the caller decides who may see it.
    async fn contribution(&self, id: &ContributionId) -> Result<Option<Counted>, StoreError>;

    /// The contribution that brought a contributor's tally to `tally`, if the store can find it.
    async fn reached(
        &self,
        _contributor: &ContributorId,
        _tally: u64,
    ) -> Result<Option<Contribution>, StoreError> {
        Ok(None)
    }

    /// One contributor.
    async fn contributor(&self, id: &ContributorId) -> Result<Option<Contributor>, StoreError>;

    /// One contributor, with the other accounts that count for it.
    async fn profile(&self, id: &ContributorId) -> Result<Option<Profile>, StoreError> {
        let (contributor, accounts) = tokio::try_join!(self.contributor(id), self.accounts_of(id))?;
        Ok(contributor.map(|contributor| Profile { contributor, accounts }))
    }

    /// Contributors whom `filter` lets through, in `order`; with a search by login, whatever the order.
    async fn contributors(
        &self,
        order: Order,
        filter: &ContributorFilter,
        page: &Page,
    ) -> Result<Paged<Contributor>, StoreError>;

    /// How much the ledger holds. Looks at every contributor and every recognition, so it is not for every request.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Contributions that `filter` lets through, newest first: by the time at which they were counted.
    async fn contributions(
        &self,
        filter: &ContributionFilter,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError>;

    /// All of a contributor's contributions that are shown.
    async fn contributions_of(
        &self,
        contributor: &ContributorId,
        shown: Shown,
        page: &Page,
    ) -> Result<Paged<Counted>, StoreError> {
        self.contributions(&ContributionFilter::of(Of::Contributor(contributor.clone()), shown), page).await
    }

    /// One recognition, and what became of it at each destination.
    async fn recognition(
        &self,
        id: &RecognitionId,
    ) -> Result<Option<(Recognition, Vec<Progress>)>, StoreError>;

    /// Recognitions that `filter` lets through, newest first.
    async fn recognitions(
        &self,
        filter: &RecognitionFilter,
        page: &Page,
    ) -> Result<Paged<Recognition>, StoreError>;

    /// Recognitions made after `position`, oldest first, whichever instance made them. Reading on from the
    /// new position misses none. Without a position: none, and the present position.
    async fn recognitions_after(&self, position: Option<&str>, limit: usize) -> Result<News, StoreError>;

    /// The position just after a recognition, if it is known. What is read from there may have been given
    /// before that recognition, too.
    async fn position_of(&self, id: &RecognitionId) -> Result<Option<String>, StoreError>;

    /// How long to wait between two reads for what is new, because each read costs money.
    fn poll_pause(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Releases what the store holds open, at the end of the process: nothing is asked of it afterwards.
    async fn close(&self) {}
}

/// What a call of [`recognise`](Store::recognise) made.
#[derive(Clone, Debug, Default)]
pub struct Recognised {
    /// What is new, in the order in which it was given, and private where its contribution is so by now.
    pub new: Vec<Recognition>,
    /// Why others were not made. They stay owed.
    pub failure: Option<StoreError>,
}

/// A repository that is private, or was. Every time is a maximum over all that was said, so that its order does not
/// matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateRepository {
    pub id: RepositoryId,
    /// What its host states up to this time is private, whenever it arrives.
    pub since: Option<Moment>,
    /// The newest payload, by its own time, that says that it is private.
    pub private_at: Option<Moment>,
    /// The newest payload, by its own time, that says that it became public.
    pub public_at: Option<Moment>,
}

/// That a repository is private, and from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concealment {
    /// See [`PrivateRepository::since`].
    pub since: Moment,
    /// The time of the payload that says so.
    pub private_at: Moment,
    /// The present time.
    pub now: Moment,
    /// Whether it is noted even if none of the repository's contributions is public.
    pub noted_anyway: bool,
}

impl PrivateRepository {
    /// Whether a payload of `at` that says that it is private is older than one that says that it became public.
    #[must_use]
    pub fn was_public_after(&self, at: Moment) -> bool {
        self.public_at.is_some_and(|public| public > at)
    }

    /// Whether it is public again, by the newest payload.
    #[must_use]
    pub fn is_public_again(&self) -> bool {
        self.public_at > self.private_at
    }

    /// Up to which time of its payload a contribution is to be made private: all, while the repository is private.
    fn until(&self) -> Option<Moment> {
        self.since.filter(|_| self.is_public_again())
    }
}

/// An account that counts for a contributor with another id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: ContributorId,
    /// Its number on its host, where that has stated it.
    pub number: Option<u64>,
    /// Whether it was linked by hand, and may be unlinked; else it is a former name.
    pub linked: bool,
}

/// A contributor, and the other accounts that count for it, as of [`accounts_of`](Store::accounts_of).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub contributor: Contributor,
    pub accounts: Vec<Account>,
}

/// What became of the request to link an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It counts for this contributor, now or before.
    To(Standing),
    /// It is linked to this other contributor, and must be unlinked first.
    Elsewhere(ContributorId),
    /// Both are the same contributor, as the host states.
    Same(ContributorId),
}

/// What became of the request to unlink an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// It counts for itself again.
    Apart { account: Standing, contributor: Standing },
    /// It is not linked.
    NotLinked,
    /// It is a former name of this contributor, by its number on the host.
    FormerName(ContributorId),
}

/// What became of one contribution of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Whether it counted.
    pub novelty: Novelty,
    /// The contributor's tally: just after this contribution if it is new, else the present one.
    pub tally: u64,
    /// The highest milestone recognised for the contributor so far.
    pub recognized: u64,
    /// Whose tally this is, if not that of the account that it names: that one counts for another contributor, or it is
    /// a repeat that was counted for another.
    pub counted_for: Option<ContributorId>,
    /// Whether a review that came first made it private, though it does not say so itself.
    pub private: bool,
}

/// What became of a batch of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// It is recorded: the answers in the batch's order.
    Recorded(Vec<Recorded>),
    /// Nothing is recorded: recognitions are owed to these contributors, and must be made first.
    Owed(Vec<Standing>),
}

/// Whether a contribution is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// Counted now.
    New,
    /// Known already, and the same.
    Same,
    /// Known already, with another content.
    Different,
    /// Stored and not counted, because it is taken back. A repeat of what a client or a host deleted is
    /// [`Same`](Novelty::Same).
    Retracted,
    /// Neither stored nor counted, because its contributor is forgotten.
    Forgotten,
}

impl Recorded {
    /// Of a contributor who is forgotten.
    const FORGOTTEN: Self =
        Self { novelty: Novelty::Forgotten, tally: 0, recognized: 0, counted_for: None, private: false };
}

impl Novelty {
    /// What a contribution is that was not recorded before.
    #[must_use]
    pub fn of_new(counted: bool) -> Self {
        if counted { Self::New } else { Self::Retracted }
    }

    /// What a repeat is, by what was posted then and now.
    #[must_use]
    pub fn of_repeat(
        known: Option<crate::domain::Fingerprint>,
        again: Option<crate::domain::Fingerprint>,
    ) -> Self {
        if known == again { Self::Same } else { Self::Different }
    }
}

/// A contribution as it was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// What was counted.
    pub contribution: Contribution,
    /// When.
    pub recorded_at: Moment,
    /// Whether it is taken back and no longer in the tally.
    pub retracted: bool,
}

/// What became of one recorded contribution that a review concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    pub id: ContributionId,
    pub contributor: ContributorId,
    /// The contributor's tally after the review.
    pub tally: u64,
    /// The highest milestone recognised for the contributor.
    pub recognized: u64,
    /// Whether it counts now.
    pub counts: bool,
    /// Whether it did not before, or the reverse.
    pub changed: bool,
}

impl Reviewed {
    /// Whether the review made it count.
    #[must_use]
    pub fn counts_again(&self) -> bool {
        self.changed && self.counts
    }
}

/// Which contributions a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Those that count, without private ones.
    Public,
    /// Those that count.
    Counted,
    /// All of them, those that are taken back too.
    All,
}

/// A contributor as the ledger knows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributor {
    /// Who, how many, and how far recognised.
    pub standing: Standing,
    /// The host's numeric id of the account, where the host has stated it.
    pub user_id: Option<u64>,
    /// The account's page on a self-managed host, where a payload had it.
    pub account_url: Option<String>,
    /// When their first contribution was counted.
    pub first_at: Moment,
    /// When their last contribution was counted.
    pub last_at: Moment,
}

/// A recognition that is due somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What is due.
    pub recognition: Recognition,
    /// How often it was tried and put off.
    pub tries: u32,
}

/// What became of a recognition at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Taken: no longer due there.
    Done,
    /// Can never be taken: no longer due there; the reason is kept.
    GivenUp(GiveUp),
    /// Not to be offered again before then; counted as a try.
    Later(Moment),
    /// Not to be offered again before then, for a reason that has nothing to do with it.
    Postponed(Moment),
}

/// What became of a recognition at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it was to go.
    pub destination: Destination,
    /// How far it got.
    pub state: State,
    /// Why it was given up; `None` otherwise.
    pub reason: Option<GiveUp>,
}

/// How far a recognition got at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet taken.
    Waiting,
    /// Taken.
    Done,
    /// Can never be taken.
    GivenUp,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Done, Self::GivenUp];

    /// The code in stores and answers.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::GivenUp => "given_up",
        }
    }

    /// What it means, as the documents say it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Waiting => "it is offered again until the destination takes it",
            Self::Done => "the destination took it",
            Self::GivenUp => "the destination can never take it; `reason` says why",
        }
    }

    /// The state with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// How much waits in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many recognitions, each once for every destination it waits for.
    pub waiting: u64,
    /// When the oldest of them was made.
    pub oldest: Option<Moment>,
}

/// Recognitions that were made after a position.
#[derive(Clone, Debug)]
pub struct News {
    /// At most as many as were asked for. A store may leave some of a page out, so fewer do not mean the end.
    pub items: Vec<Recognition>,
    /// Where to read on.
    pub position: String,
    /// Whether to read on at once. If not, everything that was made when this reading began is given.
    pub more: bool,
}

/// The order of a list of contributors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Most contributions first; of equals, the last id first: both run the same way, as one index does.
    Tally,
    /// By id: a complete read, while tallies move.
    Id,
}

/// Which contributors a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContributorFilter {
    /// Only those with an account there; so nobody with a plain name.
    pub host: Option<HostName>,
    /// Only those whose login, or plain name, begins with this, in lower case.
    pub search: Option<String>,
}

/// By what a list of contributors is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorting {
    /// By tally and id, descending.
    Tally,
    /// By id.
    Id,
    /// By login and id. On one host this is the order of the ids.
    Login,
}

impl ContributorFilter {
    /// What can be found in an index: a search is a range of logins, and so are the ids of one host.
    #[must_use]
    pub fn sorting(&self, order: Order) -> Sorting {
        match (order, &self.host, &self.search) {
            (_, _, Some(_)) | (Order::Id, Some(_), None) => Sorting::Login,
            (Order::Tally, _, None) => Sorting::Tally,
            (Order::Id, None, None) => Sorting::Id,
        }
    }

    /// The logins that are searched for: from the first text up to the second, without that one.
    fn logins(&self) -> (String, String) {
        let from = self.search.clone().unwrap_or_default();
        // The last code point there is, which no login has.
        let to = format!("{from}{}", char::MAX);
        (from, to)
    }
}

/// Whose contributions a list has, or where they were done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    Contributor(ContributorId),
    /// By its name, exactly as it was recorded.
    Repository(String),
}

/// Which contributions a list has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContributionFilter {
    pub of: Of,
    pub shown: Shown,
    pub kind: Option<Kind>,
    /// Only those that were counted then or later.
    pub since: Option<Moment>,
    /// Only those that were counted before.
    pub until: Option<Moment>,
}

impl ContributionFilter {
    /// All that are shown.
    #[must_use]
    pub fn of(of: Of, shown: Shown) -> Self {
        Self { of, shown, kind: None, since: None, until: None }
    }
}

/// Which recognitions a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecognitionFilter {
    pub contributor: Option<ContributorId>,
    /// Only those that were made then or later.
    pub since: Option<Moment>,
}

/// How much the ledger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub contributors: u64,
    /// Those that count.
    pub contributions: u64,
    pub recognitions: u64,
}

/// Which part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// At most this many, from 1 to 100.
    pub limit: usize,
    /// After the item that this cursor names; only the store can read it.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, unless this is the last.
    pub next: Option<String>,
}

impl<T> Paged<T> {
    /// Cuts what was read with a limit of one more than asked for, and marks where to go on.
    #[must_use]
    pub fn cut(mut items: Vec<T>, limit: usize, mark: impl FnOnce(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(mark) } else { None };
        Self { items, next }
    }
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot now; the same may succeed later: unreachable, busy, disk full, too slow.
    #[error("the store cannot take it now: {0}")]
    Unavailable(String),
    /// It never will: this very content is impossible for it.
    #[error("the store refuses this for good: {0}")]
    Refused(String),
    /// A cursor that this store did not give.
    #[error("this is not a cursor of this list")]
    BadCursor,
    /// What is stored was not written by plaudit, or cannot be read by this version.
    #[error("the store is not as it should be: {0}")]
    Broken(String),
}

impl StoreError {
    /// The cause alone, for a message that names the store itself.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Unavailable(why) | Self::Refused(why) | Self::Broken(why) => why.clone(),
            Self::BadCursor => self.to_string(),
        }
    }
}
