//! Batches: many contributions in one request, each answered for itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt as _;
use http::HeaderMap;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::access::Peer;
use super::app::App;
use super::body::{self, Limits, MOST_BATCH};
use super::contributions::{self, NewContribution, PostAnswer};
use super::list::QueryNames;
use super::observe::{RequestLog, joined};
use super::problem::{FieldError, ItemProblem, Problem, ProblemKind};
use super::verdict::Verdict;
use crate::domain::RecognitionId;
use crate::record::Outcome;
use crate::store::Novelty;

/// The most contributions of one batch.
const MOST: usize = 100;
/// How many of its ids a batch names in the log.
const LOGGED: usize = 20;
/// How many repeats of a batch are read side by side.
const SIDE_BY_SIDE: usize = 8;

/// Contributions as a client posts them. [`Batch`] reads it, to name every fault at once.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it carries the description alone")]
#[schema(as = NewContributions, description = "Contributions, as a client posts them together.")]
pub struct NewContributions {
    /// Each is judged for itself.
    #[schema(min_items = 1, max_items = 100)]
    contributions: Vec<NewContribution>,
    /// Whether these were done before plaudit counted: they count, and the milestones that they reach are taken as
    /// recognized, without a recognition. False by default.
    history: Option<bool>,
}

/// The answer to a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PostedContributions)]
pub struct BatchAnswer {
    /// One for each contribution, in their order.
    results: Vec<BatchResult>,
}

/// What became of one contribution of a batch: either `contribution` or `problem` is there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PostedInBatch)]
pub struct BatchResult {
    /// The status that a post of it alone would have: 201 counted, 200 counted before; 400, 422, 500 or 503 with a
    /// problem.
    #[schema(example = 201, minimum = 200, maximum = 599)]
    status: u16,
    /// The contribution, its contributor's tally and the recognitions that followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    contribution: Option<PostAnswer>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<ItemProblem>,
}

/// Counts contributions together.
///
/// Each is judged for itself, and what is wrong with one costs the others nothing. `results` answers them in their
/// order. Each has an `id` of its own, so that the same batch may be sent again: what was counted is counted once.
/// Where the ledger takes none of them, the answer is 503; where it takes some, the others have the status 503 in
/// their result.
#[utoipa::path(
    post, path = "/v1/contributions/batch", operation_id = "createContributions", tag = "contributions",
    request_body = NewContributions,
    responses((status = 200, description = "What became of each; what is counted is so durably.", body = BatchAnswer)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden,
        ProblemKind::BodyTooSlow, ProblemKind::BodyTooLarge, ProblemKind::Unsupported, ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    names: QueryNames,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let allowed = app
        .access
        .post(&head.headers, peer)
        .and_then(|()| names.only(&[]))
        .and_then(|()| contributions::is_json(&head.headers))
        .and_then(|()| has_no_key(&head.headers));
    if let Err(problem) = allowed {
        return Err(body::refuse(problem, body, &head.headers).await);
    }
    let limits = Limits { most: MOST_BATCH, ..app.limits };
    let (bytes, _charge) = body::read(body, &head.headers, &limits, &app.budget).await?;
    let batch = Batch::read(&bytes)?;
    let results = record(&app, &batch).await?;
    let log = log_of(&results);
    let answers: Vec<_> = results.into_iter().map(|result| BatchResult::of(&app, result)).collect();
    let answers: Vec<_> = futures::stream::iter(answers).buffered(SIDE_BY_SIDE).collect().await;
    report(&answers);
    let results = answers.into_iter().map(|answer| answer.unwrap_or_else(BatchResult::from)).collect();
    let mut response = Json(BatchAnswer { results }).into_response();
    response.extensions_mut().insert(log);
    Ok(response)
}

/// One key for many contributions could not tell a repeat from a batch that differs in one of them.
fn has_no_key(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("idempotency-key") {
        return Err(Problem::field(
            "Idempotency-Key",
            "not with a batch: give each contribution an `id` of its own, and the batch may be sent again",
        ));
    }
    Ok(())
}

/// What became of each; a problem where the ledger is unavailable for all.
async fn record(app: &App, batch: &Batch) -> Result<Vec<Result<Outcome, Problem>>, Problem> {
    let mut right = Vec::with_capacity(batch.items.len());
    let read = |item: &RawValue| {
        let read = contributions::read(app, "this", item.get().as_bytes(), &HeaderMap::new());
        read.map(|contribution| right.push(contribution)).err()
    };
    let wrong: Vec<Option<Problem>> = batch.items.iter().map(AsRef::as_ref).map(read).collect();
    let outcomes = app.recorder.record_each(right, batch.history).await;
    let mut outcomes: Vec<_> = outcomes.into_iter().map(|one| one.map_err(Problem::from)).collect();
    let is_unavailable = |one: &Result<_, Problem>| {
        one.as_ref().is_err_and(|problem| problem.kind == ProblemKind::Unavailable)
    };
    if outcomes.iter().all(is_unavailable)
        && let Some(Err(problem)) = outcomes.pop()
    {
        return Err(problem);
    }
    let mut outcomes = outcomes.into_iter();
    let result = |wrong: Option<Problem>| match wrong {
        Some(problem) => Err(problem),
        None => outcomes
            .next()
            .unwrap_or_else(|| Err(Problem::new(ProblemKind::Internal, "nothing was recorded"))),
    };
    Ok(wrong.into_iter().map(result).collect())
}

impl BatchResult {
    async fn of(app: &App, recorded: Result<Outcome, Problem>) -> Result<Self, Problem> {
        let (status, posted) = contributions::posted(app, recorded?).await?;
        Ok(Self { status: status.as_u16(), contribution: Some(posted), problem: None })
    }
}

impl From<Problem> for BatchResult {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status, contribution: None, problem: Some(problem.into()) }
    }
}

fn log_of(results: &[Result<Outcome, Problem>]) -> RequestLog {
    let outcomes = || results.iter().flatten().filter(|outcome| outcome.novelty != Novelty::Forgotten);
    let recognitions = outcomes().flat_map(|outcome| &outcome.recognitions).map(RecognitionId::as_str);
    RequestLog {
        verdict: outcomes().next().map(|_| Verdict::of(outcomes())),
        contributions: joined(outcomes().take(LOGGED).map(|outcome| outcome.contribution.id.as_str())),
        recognitions: joined(recognitions),
        ..RequestLog::default()
    }
}

/// Logs each cause once that the answer does not show.
fn report(results: &[Result<BatchResult, Problem>]) {
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for cause in results.iter().filter_map(|result| result.as_ref().err()?.cause()) {
        *causes.entry(cause).or_default() += 1;
    }
    for (why, count) in causes {
        tracing::warn!(why, contributions = count, "{count} contributions of a batch were not recorded");
    }
}

/// A batch as it was sent: its contributions are not read yet.
#[derive(Default)]
struct Batch {
    items: Vec<Box<RawValue>>,
    history: bool,
}

impl Batch {
    fn read(json: &[u8]) -> Result<Self, Problem> {
        let fields: Fields =
            serde_json::from_slice(json).map_err(|error| contributions::no_object("the body", &error))?;
        let mut faults = fields.faults;
        let mut fault = |field: &str, detail: &str| {
            faults.push(FieldError { field: field.into(), detail: detail.into() });
        };
        let mut batch = Self::default();
        match fields.contributions.map(|list| serde_json::from_str(list.get())) {
            Some(Ok(Items(items))) if (1..=MOST).contains(&items.len()) => batch.items = items,
            Some(_) => fault("contributions", "a list of 1 to 100 contributions"),
            None => fault("contributions", "missing: a list of 1 to 100 contributions"),
        }
        match fields.history.map(|history| serde_json::from_str::<Option<bool>>(history.get())) {
            None => {}
            Some(Ok(history)) => batch.history = history.unwrap_or_default(),
            Some(Err(_)) => fault("history", "true or false"),
        }
        if faults.is_empty() { Ok(batch) } else { Err(Problem::fields(faults)) }
    }
}

/// The fields of a batch, each once.
#[derive(Default)]
struct Fields {
    contributions: Option<Box<RawValue>>,
    history: Option<Box<RawValue>>,
    faults: Vec<FieldError>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsOnce)
    }
}

struct FieldsOnce;

impl<'de> Visitor<'de> for FieldsOnce {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut read = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            let place = match name.as_str() {
                "contributions" => &mut read.contributions,
                "history" => &mut read.history,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    if read.faults.len() < 20 {
                        let field = name.chars().take(100).collect();
                        read.faults.push(FieldError { field, detail: "no such field".into() });
                    }
                    continue;
                }
            };
            if place.replace(map.next_value()?).is_some() && read.faults.len() < 20 {
                read.faults.push(FieldError { field: name, detail: "given more than once".into() });
            }
        }
        Ok(read)
    }
}

/// A list that is read no further than a batch may be long.
struct Items(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AtMost)
    }
}

struct AtMost;

impl<'de> Visitor<'de> for AtMost {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MOST {
                return Err(A::Error::custom("too many"));
            }
            items.push(item);
        }
        Ok(Items(items))
    }
}
