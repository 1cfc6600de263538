//! `POST /webhooks/{host}`, with or without a slash at its end: verify, read, record.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::openapi::{RefOr, Schema};

use super::app::App;
use super::body;
use super::budget::Charge;
use super::list::Id;
use super::observe::{RequestLog, joined};
use super::problem::{Problem, ProblemKind};
use super::schema;
use super::verdict::Verdict;
use crate::hosts::{self, Delivery, Host, Known, Opened, Payload, Reading, Reason};
use crate::record::{self, Outcome, ReviewOutcome};
use crate::store::{Novelty, Reviewed, StoreError};

/// What became of a delivery.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DeliveryAnswer {
    /// The delivery's id, as the host sent it.
    #[schema(example = "72d3162e-cc78-11e3-81ab-4c9367dc0958")]
    delivery: String,
    /// The event's name, as the host sent it.
    #[schema(example = "pull_request")]
    event: String,
    #[schema(schema_with = verdicts)]
    verdict: &'static str,
    /// Why it was ignored; null otherwise.
    #[schema(value_type = Option<ReasonCode>, required = true)]
    reason: Option<&'static str>,
    /// What became of each contribution in it.
    contributions: Vec<DeliveredContribution>,
}

/// What became of one contribution of a delivery.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DeliveredContribution {
    /// Its identity.
    #[schema(example = "github:1296269:pull_request:7:octocat")]
    id: String,
    /// Who is credited.
    #[schema(example = "github:octocat")]
    contributor: String,
    /// The contributor's tally.
    #[schema(example = 3)]
    tally: u64,
    /// Whether it was counted now.
    recorded: bool,
    /// The recognitions that followed.
    recognitions: Vec<String>,
}

fn verdicts() -> utoipa::openapi::Object {
    let answered = Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Rejected);
    let meaning = |verdict: Verdict| format!("`{}`: {}", verdict.code(), verdict.meaning());
    let meanings: Vec<_> = answered.clone().map(meaning).collect();
    let description = format!("What became of it as a whole. {}.", meanings.join("; "));
    schema::words(&description, answered.map(Verdict::code))
}

/// The schema of a reason's code: a component with a name, from which generated clients make one enum.
struct ReasonCode;

impl utoipa::PartialSchema for ReasonCode {
    fn schema() -> RefOr<Schema> {
        let meaning = |reason: &Reason| format!("`{}`: {}", reason.code(), reason.meaning());
        let meanings: Vec<_> = Reason::ALL.iter().map(meaning).collect();
        let description = format!("Why a delivery is ignored. {}.", meanings.join("; "));
        schema::words(&description, Reason::ALL.map(Reason::code)).into()
    }
}

impl utoipa::ToSchema for ReasonCode {
    fn name() -> Cow<'static, str> {
        "Reason".into()
    }
}

impl DeliveredContribution {
    fn of(outcome: &Outcome) -> Self {
        Self {
            id: outcome.contribution.id.to_string(),
            contributor: outcome.contribution.contributor.to_string(),
            tally: outcome.tally,
            recorded: outcome.novelty == Novelty::New,
            recognitions: outcome.recognitions.iter().map(ToString::to_string).collect(),
        }
    }

    fn of_review(one: &Reviewed, outcome: &ReviewOutcome) -> Self {
        let recognitions = outcome.recognitions.iter().filter(|made| made.contributor == one.contributor);
        Self {
            id: one.id.to_string(),
            contributor: one.contributor.to_string(),
            tally: one.tally,
            recorded: one.counts_again(),
            recognitions: recognitions.map(|made| made.id.to_string()).collect(),
        }
    }
}

/// The two addresses of [`receive`] as clients see them: what each host sends differs.
pub(super) mod described {
    use super::{DeliveryAnswer, ProblemKind};

    /// What a delivery may be answered with instead.
    const PROBLEMS: [ProblemKind; 11] = [
        ProblemKind::Malformed,
        ProblemKind::Refused,
        ProblemKind::Unsigned,
        ProblemKind::BadSignature,
        ProblemKind::NotFound,
        ProblemKind::HostNotConfigured,
        ProblemKind::BodyTooSlow,
        ProblemKind::BodyTooLarge,
        ProblemKind::Unsupported,
        ProblemKind::Internal,
        ProblemKind::Unavailable,
    ];

    /// Takes a delivery from GitHub.
    ///
    /// The body is a payload as GitHub documents it, signed with the secret in `PLAUDIT_GITHUB_SECRET`. The
    /// page `docs/counting.md` says which deliveries count, and for whom; every verified one is answered with 200.
    #[utoipa::path(
        post, path = "/webhooks/github", operation_id = "receiveGithub", tag = "webhooks",
        params(
            ("X-GitHub-Event" = String, Header, description = "The event's name, such as `pull_request`.", example = "pull_request", min_length = 1, pattern = r"\S"),
            ("X-GitHub-Delivery" = Option<String>, Header, description = "The delivery's id, for the answer and the log."),
        ),
        request_body(
            description = "The payload: as JSON, or as a form with one field `payload` that holds the JSON.",
            content((utoipa::openapi::Object = "application/json"), (Form = "application/x-www-form-urlencoded")),
        ),
        responses((status = 200, description = "The delivery is verified, and what counts of it is durable.", body = DeliveryAnswer)),
        security(("githubSignature" = [])),
        extensions(("x-problems" = json!(PROBLEMS))),
    )]
    #[allow(dead_code, reason = "it carries the description alone")]
    fn github() {}

    /// Takes a delivery from GitLab.
    ///
    /// Authenticated by a signature (`webhook-id`, `webhook-timestamp`, `webhook-signature`) where
    /// `PLAUDIT_GITLAB_SIGNING_TOKEN` is set, else by the plain token in `PLAUDIT_GITLAB_SECRET`. The
    /// page `docs/counting.md` says which deliveries count, and for whom; every verified one is answered with 200.
    #[utoipa::path(
        post, path = "/webhooks/gitlab", operation_id = "receiveGitlab", tag = "webhooks",
        params(
            ("X-Gitlab-Event" = String, Header, description = "The event's name, such as `Merge Request Hook`.", example = "Merge Request Hook", min_length = 1, pattern = r"\S"),
            ("webhook-id" = Option<String>, Header, description = "Part of what is signed."),
            ("webhook-timestamp" = Option<String>, Header, description = "Part of what is signed: seconds since 1970; at most 5 minutes off."),
            ("Idempotency-Key" = Option<String>, Header, description = "The delivery's id, for the answer and the log."),
        ),
        request_body(description = "The payload.", content((utoipa::openapi::Object = "application/json"))),
        responses((status = 200, description = "The delivery is verified, and what counts of it is durable.", body = DeliveryAnswer)),
        security(("gitlabSignature" = []), ("gitlabToken" = [])),
        extensions(("x-problems" = json!(PROBLEMS))),
    )]
    #[allow(dead_code, reason = "it carries the description alone")]
    fn gitlab() {}

    /// The form in which GitHub can send a payload.
    #[derive(Debug, utoipa::ToSchema)]
    #[allow(dead_code, reason = "it carries the description alone")]
    #[schema(as = GithubForm)]
    pub struct Form {
        /// The payload as JSON.
        payload: String,
    }
}

/// The answer to a request that no route takes: `otherwise`, or the right URL if it is a delivery.
pub(super) async fn astray(kind: ProblemKind, otherwise: &str, request: Request) -> Problem {
    let detail = right_url("", &request).unwrap_or_else(|| otherwise.to_owned());
    body::turned_away(Problem::new(kind, detail), request).await
}

/// The right URL of a delivery that came to the URL of the host `here`.
fn right_url(here: &str, request: &Request) -> Option<String> {
    let Known { name, .. } = hosts::sender_other_than(here, request.headers())?;
    Some(format!(
        "this is a delivery of {name}, and this is not its URL; in the webhook's settings, set the URL that ends in \
         /webhooks/{name}"
    ))
}

pub(super) async fn receive(State(app): State<Arc<App>>, Id(name): Id, request: Request) -> Response {
    let Some(Opened { known, host }) = app.hosts.iter().find(|opened| opened.known.name == name) else {
        let known: Vec<_> = app.hosts.iter().map(|opened| opened.known.name).collect();
        let unknown = format!("no such host; there are {}", known.join(" and "));
        return astray(ProblemKind::NotFound, &unknown, request).await.into_response();
    };
    let Known { name, set, .. } = *known;
    let mut log = RequestLog { host: name, verdict: Some(Verdict::Rejected), ..RequestLog::default() };
    let answer = if let Some(detail) = right_url(name, &request) {
        log.claim = Some(known.claim(request.headers()));
        Err(body::turned_away(Problem::new(ProblemKind::NotFound, detail), request).await)
    } else if let Some(host) = host {
        deliver(&app, known, host.as_ref(), request, &mut log).await
    } else {
        log.claim = Some(known.claim(request.headers()));
        let why = format!("plaudit takes no delivery of {name} until the operator sets {set}");
        Err(body::turned_away(Problem::new(ProblemKind::HostNotConfigured, why), request).await)
    };
    let (verdict, reason) = match &answer {
        Ok(answer) => (answer.verdict, answer.reason.unwrap_or_default()),
        Err(problem) => (Verdict::Rejected.code(), problem.kind.code()),
    };
    app.metrics.deliveries.with_label_values(&[name, verdict, reason]).inc();
    let mut response = answer.map(Json).into_response();
    response.extensions_mut().insert(log);
    response
}

/// What a delivery says. Just after the start, one that names authors waits until whose addresses are is known.
async fn read(app: &App, host: &dyn Host, genuine: &Delivery, by: Instant) -> Result<Payload, Problem> {
    let read = || host.read(genuine, &app.rules, app.clock.now());
    let payload = read()?;
    let names_authors =
        matches!(payload.reading, Reading::Counts(_) | Reading::Ignored(Reason::AuthorUnknown));
    if !names_authors || app.mailmap.is_read() {
        return Ok(payload);
    }
    let late = |_| Err(StoreError::Unavailable("whose addresses are was not read in time".into()));
    timeout_at(by, app.mailmap.read()).await.unwrap_or_else(late)?;
    Ok(read()?)
}

/// The delivery, once its signature is verified, and the memory of its body.
async fn verified(
    app: &App,
    host: &dyn Host,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Delivery, Option<Charge>), Problem> {
    let admitted = match host.admit(headers, app.clock.now()) {
        Ok(admitted) => admitted,
        Err(rejection) => return Err(body::refuse(rejection.into(), body, headers).await),
    };
    let (bytes, charge) = body::read(body, headers, &app.limits, &app.budget).await?;
    Ok((host.verify(admitted, bytes)?, charge))
}

async fn deliver(
    app: &App,
    known: &Known,
    host: &dyn Host,
    request: Request,
    log: &mut RequestLog,
) -> Result<DeliveryAnswer, Problem> {
    let (head, body) = request.into_parts();
    let verified = verified(app, host, &head.headers, body).await;
    let (genuine, charge) = verified.inspect_err(|_| log.claim = Some(known.claim(&head.headers)))?;
    // Only from here on is it known that the headers come from the host.
    genuine.id().clone_into(&mut log.delivery);
    genuine.event().clone_into(&mut log.event);
    // One deadline for all that follows, so that the host gets its answer in time whatever the store does.
    let by = record::deadline();
    let payload = read(app, host, &genuine, by).await?;
    drop((genuine, charge));
    let Payload { reading, visibility } = payload;
    if let Some(visibility) = &visibility {
        app.recorder.see(visibility, by).await?;
    }
    let (verdict, reason, contributions) = match reading {
        Reading::Ignored(reason) => (Verdict::Ignored, Some(reason.code()), Vec::new()),
        Reading::Counts(contributions) => {
            let mut outcomes = app.recorder.record(contributions, by).await?;
            // Neither the answer nor the log names those who are forgotten.
            outcomes.retain(|outcome| outcome.novelty != Novelty::Forgotten);
            log.contributions = joined(outcomes.iter().map(|outcome| outcome.contribution.id.as_str()));
            let answers = outcomes.iter().map(DeliveredContribution::of).collect();
            if outcomes.is_empty() {
                (Verdict::Ignored, Some(Reason::Forgotten.code()), answers)
            } else {
                (Verdict::of(&outcomes), None, answers)
            }
        }
        Reading::Reviews(review) => {
            let outcome = app.recorder.review(&review, by).await?;
            log.contributions = joined(outcome.reviewed.iter().map(|one| one.id.as_str()));
            let verdict = Verdict::of_review(&review, &outcome);
            let ignored = if review.private { Reason::MadePrivate } else { Reason::ActionNotCounted };
            let reason = (verdict == Verdict::Ignored).then(|| ignored.code());
            let answer = |one| DeliveredContribution::of_review(one, &outcome);
            (verdict, reason, outcome.reviewed.iter().map(answer).collect())
        }
    };
    let recognitions = contributions.iter().flat_map(|one: &DeliveredContribution| &one.recognitions);
    log.recognitions = joined(recognitions.map(String::as_str));
    (log.verdict, log.reason) = (Some(verdict), reason);
    Ok(DeliveryAnswer {
        delivery: log.delivery.clone(),
        event: log.event.clone(),
        verdict: verdict.code(),
        reason,
        contributions,
    })
}
