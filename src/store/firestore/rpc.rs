//! Calls: each with a timeout, transient failures tried again, and every failure explained with what to do.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use firestore::errors::FirestoreError;
use firestore::select_builder::FirestoreSelectDocBuilder;
use firestore::{
    FirestoreConsistencySelector, FirestoreDb, FirestoreDbOptions, FirestoreDocument, FirestoreInstant,
    FirestoreQueryParams, FirestoreResult, FirestoreTransaction, FirestoreTransactionData,
    FirestoreTransactionResponse, FirestoreValue,
};
use futures::TryStreamExt;
use tokio::time::Instant;
use tracing::Span;

use super::accounts::Known;
use super::codec;
use super::connection::{Connections, Target};
use super::explain::{Database, UNREACHABLE, message, no_connection, passing};
use super::queries::CONTRIBUTORS;
use crate::runtime::Backoff;
use crate::store::{ForgetKey, StoreError};

/// The name of the count in an aggregation's answer.
const COUNT: &str = "count";
/// The name of the sum.
const SUM: &str = "sum";

/// How long the store waits before another try of a call.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// How long [`Client::ping`] may take longer than a call, to replace a silent connection.
const CONNECTING: Duration = Duration::from_millis(500);

/// How long the store tries. A request gives up after 8 seconds, so the store must have answered by then.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one call.
    pub call: Duration,
    /// For everything that one method of the store does.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { call: Duration::from_millis(2_500), total: crate::store::SLOWEST_WRITE }
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// A document that was to be created exists.
    Exists,
    /// A document's update time is not the one in the write's precondition.
    Changed,
    /// A document that was to be changed does not exist.
    Missing(String),
    /// The same may succeed in a moment, or has succeeded and the answer was lost.
    Passing(String),
    /// Trying again does not help.
    Final(StoreError),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Exists => Self::Broken("a document exists where none was expected".into()),
            Fault::Changed => {
                Self::Unavailable("a document kept changing between the read and the write".into())
            }
            Fault::Missing(which) => Self::Broken(format!("a document is missing: {which}")),
            Fault::Passing(why) => Self::Unavailable(why),
            Fault::Final(error) => error,
        }
    }
}

/// What is left of a method's patience, and how often it was used.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    until: Instant,
    tries: u32,
}

impl Retry {
    /// Whether an earlier try may have been applied and its answer lost.
    pub(super) fn has_tried(&self) -> bool {
        self.tries > 0
    }

    /// Waits before the next try; `why` is the error once the patience is used up.
    pub(super) async fn pause(&mut self, why: String) -> Result<(), StoreError> {
        let pause = BACKOFF.jittered(self.tries);
        self.tries += 1;
        if Instant::now() + pause >= self.until {
            return Err(StoreError::Unavailable(why));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Calls one database.
#[derive(Clone, Debug)]
pub(super) struct Client {
    connections: Arc<Connections>,
    documents: String,
    patience: Patience,
    project: String,
    database: String,
    forget_key: Option<ForgetKey>,
    known: Arc<Known>,
    has_recovered: Arc<AtomicBool>,
}

/// What an aggregation answers.
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) sum: u64,
}

/// Documents, and the instant at which they were read.
pub(super) struct Found {
    pub(super) documents: Vec<FirestoreDocument>,
    pub(super) read_at: Option<FirestoreInstant>,
}

impl Client {
    /// Connects. With `emulator`, to the emulator there, without credentials; else as every Google client
    /// does, which honours `FIRESTORE_EMULATOR_HOST`.
    pub(super) async fn connect(
        project: &str,
        database: &str,
        emulator: Option<&str>,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        let mut options = FirestoreDbOptions::new(project.to_owned());
        database.clone_into(&mut options.database_id);
        options.request_timeout = Some(patience.call);
        // Retried here, within one deadline for the whole method.
        options.max_retries = 0;
        options.firebase_api_url = emulator.map(|host| format!("http://{host}"));
        let connecting = Connections::open(Target { options, emulator: emulator.is_some() });
        let late = || format!("there is no connection within {} s", patience.total.as_secs());
        let unreachable = |why: String| StoreError::Unavailable(format!("{UNREACHABLE}: {why}"));
        let connections = tokio::time::timeout(patience.total, connecting)
            .await
            .map_err(|_| unreachable(late()))?
            .map_err(|error| unreachable(no_connection(&error)))?;
        Ok(Self {
            documents: connections.current().db.get_documents_path().clone(),
            connections: Arc::new(connections),
            patience,
            project: project.to_owned(),
            database: database.to_owned(),
            forget_key: None,
            known: Arc::default(),
            has_recovered: Arc::default(),
        })
    }

    pub(super) fn forget_key(&self) -> Option<&ForgetKey> {
        self.forget_key.as_ref()
    }

    pub(super) fn set_forget_key(&mut self, key: Option<ForgetKey>) {
        self.forget_key = key;
    }

    /// What this process knows of accounts.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Whether this process has looked for what an older version recorded for linked accounts.
    pub(super) fn has_recovered(&self) -> bool {
        self.has_recovered.load(Ordering::Relaxed)
    }

    pub(super) fn set_recovered(&self) {
        self.has_recovered.store(true, Ordering::Relaxed);
    }

    /// How long a request may spend on what can be done later.
    pub(super) fn a_part_of_patience(&self) -> Duration {
        self.patience.total / 3
    }

    /// Patience for one method.
    pub(super) fn retry(&self) -> Retry {
        Retry { until: Instant::now() + self.patience.total, tries: 0 }
    }

    /// More than a commit can take on the server: it is given up after `call`, which Firestore gets as the
    /// deadline.
    pub(super) fn longest_commit(&self) -> Duration {
        self.patience.call * 2
    }

    /// The path of the database's documents.
    pub(super) fn documents(&self) -> &str {
        &self.documents
    }

    /// Writes to be committed together: without a transaction, so that one commit is one call.
    pub(super) fn writes(&self) -> FirestoreTransactionData {
        FirestoreTransactionData::new(Vec::new(), self.documents().to_owned(), Span::none(), Vec::new())
    }

    /// One call: all of the writes are applied together, or none.
    pub(super) async fn commit(
        &self,
        writes: &FirestoreTransactionData,
        retry: &mut Retry,
    ) -> Result<FirestoreTransactionResponse, Fault> {
        let commit = |db: FirestoreDb| async move {
            FirestoreTransaction::from_data(&db, writes.clone()).commit().await
        };
        self.persist(retry, commit).await
    }

    /// Those of the documents that exist; as they were at `at`, if given.
    pub(super) async fn get(
        &self,
        collection: &str,
        ids: &[String],
        at: Option<FirestoreInstant>,
        retry: &mut Retry,
    ) -> Result<Vec<FirestoreDocument>, StoreError> {
        let get = |db: FirestoreDb| async move {
            let db = match at {
                None => db,
                Some(at) => db.clone_with_consistency_selector(FirestoreConsistencySelector::ReadTime(at)),
            };
            let documents = db.fluent().select().by_id_in(collection).batch_with_errors(ids).await?;
            documents.try_filter_map(async |(_, document)| Ok(document)).try_collect().await
        };
        Ok(self.persist(retry, get).await?)
    }

    /// One document.
    pub(super) async fn get_one(
        &self,
        collection: &str,
        id: String,
        retry: &mut Retry,
    ) -> Result<Option<FirestoreDocument>, StoreError> {
        Ok(self.get(collection, &[id], None, retry).await?.pop())
    }

    /// What a query finds.
    pub(super) async fn query(
        &self,
        query: FirestoreQueryParams,
        retry: &mut Retry,
    ) -> Result<Found, StoreError> {
        let query = &query;
        let run = |db: FirestoreDb| async move {
            let mut answers = select(&db, query.clone()).stream_query_with_metadata().await?;
            let mut found = Found { documents: Vec::new(), read_at: None };
            while let Some(answer) = answers.try_next().await? {
                found.read_at = found.read_at.max(answer.metadata.read_time);
                found.documents.extend(answer.document);
            }
            Ok(found)
        };
        Ok(self.persist(retry, run).await?)
    }

    /// How many documents a query would find.
    pub(super) async fn count(
        &self,
        query: FirestoreQueryParams,
        retry: &mut Retry,
    ) -> Result<u64, StoreError> {
        let query = &query;
        let run = |db: FirestoreDb| async move {
            select(&db, query.clone()).aggregate(|a| a.fields([a.field(COUNT).count()])).query().await
        };
        let answers = self.persist(retry, run).await?;
        number(&answers, COUNT)
    }

    /// How many documents a query would find, and the sum of a field of theirs.
    pub(super) async fn sum(
        &self,
        query: FirestoreQueryParams,
        field: &str,
        retry: &mut Retry,
    ) -> Result<Sum, StoreError> {
        let query = &query;
        let run = |db: FirestoreDb| async move {
            let query = select(&db, query.clone());
            query.aggregate(|a| a.fields([a.field(COUNT).count(), a.field(SUM).sum(field)])).query().await
        };
        let answers = self.persist(retry, run).await?;
        Ok(Sum { count: number(&answers, COUNT)?, sum: number(&answers, SUM)? })
    }

    /// Whether the database answers now: asked once, without another try.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let by = Instant::now() + self.patience.call + CONNECTING;
        Ok(self.attempt(by, &glance).await?)
    }

    /// Whether the database answers at all; retried, because the first answer may be slow.
    pub(super) async fn greet(&self) -> Result<(), StoreError> {
        Ok(self.persist(&mut self.retry(), glance).await?)
    }

    /// Retries transient failures, while patience lasts.
    async fn persist<T, F: Future<Output = FirestoreResult<T>>>(
        &self,
        retry: &mut Retry,
        call: impl Fn(FirestoreDb) -> F,
    ) -> Result<T, Fault> {
        loop {
            match self.attempt(retry.until, &call).await {
                Err(Fault::Passing(why)) => retry.pause(why).await.map_err(Fault::Final)?,
                done => return done,
            }
        }
    }

    /// Calls once. A connection that gave no answer in the whole time of a call is replaced, until `by`.
    async fn attempt<T, F: Future<Output = FirestoreResult<T>>>(
        &self,
        by: Instant,
        call: &impl Fn(FirestoreDb) -> F,
    ) -> Result<T, Fault> {
        let connection = self.connections.current();
        let in_time = Instant::now() + self.patience.call;
        let answer = tokio::time::timeout_at(by.min(in_time), call(connection.db)).await;
        let outcome = match answer {
            Ok(answer) => answer.map_err(|error| self.fault(error)),
            Err(_) => Err(Fault::Passing("Firestore did not answer in time".into())),
        };
        // The crate's own timeout is as long, so the error may be its own.
        if matches!(outcome, Err(Fault::Passing(_))) && Instant::now() >= in_time {
            self.connections.replace(connection.id, by).await;
        }
        outcome
    }

    fn fault(&self, error: FirestoreError) -> Fault {
        let database = Database { project: &self.project, name: &self.database };
        let wrong = |code: &str, detail: &str| {
            let diagnosis = database.diagnosis(code, detail)?;
            Some(Fault::Final(StoreError::Unavailable(diagnosis)))
        };
        match error {
            FirestoreError::DataConflictError(_) => Fault::Exists,
            FirestoreError::DataNotFoundError(error) => {
                let detail = message(&error.data_detail_message);
                wrong(&error.public.code, &detail).unwrap_or(Fault::Missing(detail))
            }
            FirestoreError::DatabaseError(error) => {
                let (code, detail) = (error.public.code.as_str(), message(&error.details));
                wrong(code, &detail).unwrap_or_else(|| match code {
                    "InvalidArgument" | "OutOfRange" => Fault::Final(StoreError::Refused(detail)),
                    "FailedPrecondition" => Fault::Changed,
                    code => Fault::Passing(passing(code, &error.details)),
                })
            }
            FirestoreError::InvalidParametersError(error) => {
                Fault::Final(StoreError::Refused(error.to_string()))
            }
            FirestoreError::SerializeError(error) => Fault::Final(StoreError::Refused(error.to_string())),
            FirestoreError::DeserializeError(error) => Fault::Final(StoreError::Broken(error.to_string())),
            FirestoreError::SystemError(_)
            | FirestoreError::NetworkError(_)
            | FirestoreError::ErrorInTransaction(_)
            | FirestoreError::CacheError(_) => Fault::Passing(error.to_string()),
        }
    }
}

/// The number of this name in an aggregation's answer.
fn number(answers: &[FirestoreDocument], name: &str) -> Result<u64, StoreError> {
    answers
        .iter()
        .find_map(|answer| answer.fields.get(name))
        .and_then(|value| codec::as_integer(&FirestoreValue::from(value.clone())))
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| StoreError::Broken(format!("an aggregation was answered without its {name}")))
}

/// Reads a document that never exists: the read succeeds, unless the database itself is missing.
async fn glance(db: FirestoreDb) -> FirestoreResult<()> {
    let nothing = db.fluent().select().by_id_in(CONTRIBUTORS).batch_with_errors(["%ping"]).await?;
    nothing.try_for_each(async |_| Ok(())).await
}

fn select(db: &FirestoreDb, query: FirestoreQueryParams) -> FirestoreSelectDocBuilder<'_, FirestoreDb> {
    let mut select = db.fluent().select().from(query.collection_id);
    if let Some(filter) = query.filter {
        select = select.filter(move |_| Some(filter.clone()));
    }
    if let Some(order) = query.order_by {
        select = select.order(move |_| order.clone());
    }
    if let Some(after) = query.start_at {
        select = select.start_at(after);
    }
    match query.limit {
        Some(limit) => select.limit(limit),
        None => select,
    }
}
