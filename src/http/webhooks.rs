//! `POST /webhooks/{host}`: verify, read, record.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body;
use super::observe::Told;
use super::openapi;
use super::problem::Problem;
use super::{App, Id};
use crate::domain::RecognitionId;
use crate::hosts::{Host, Reading, Reason};
use crate::record::Outcome;
use crate::store::Novelty;

/// What became of a delivery.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DeliveryAnswer {
    /// The delivery's id, by the host's word.
    #[schema(example = "72d3162e-cc78-11e3-81ab-4c9367dc0958")]
    delivery: String,
    /// The event's name, by the host's word.
    #[schema(example = "pull_request")]
    event: String,
    #[schema(schema_with = verdicts)]
    verdict: &'static str,
    #[schema(schema_with = reasons, required = true)]
    reason: Option<&'static str>,
    /// Each contribution that it told of.
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
    openapi::words("What became of it as a whole.", &["recorded", "duplicate", "ignored"])
}

fn reasons() -> utoipa::openapi::Object {
    let meaning = |reason: &Reason| format!("`{}`: {}", reason.code(), reason.meaning());
    let meanings: Vec<_> = Reason::ALL.iter().map(meaning).collect();
    let description = format!("Why it was ignored; null otherwise. {}.", meanings.join("; "));
    openapi::words_or_null(&description, &Reason::ALL.map(Reason::code))
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
}

/// The two addresses of [`receive`] as clients see them: what each host sends differs.
pub(super) mod described {
    use super::DeliveryAnswer;

    /// Takes a delivery from GitHub.
    ///
    /// The body is a payload as GitHub documents it, signed with the secret in `PLAUDIT_GITHUB_SECRET`. Which
    /// deliveries count, and for whom, is written in the README; every verified one is answered with 200.
    #[utoipa::path(
        post, path = "/webhooks/github", operation_id = "receiveGithub", tag = "webhooks",
        params(
            ("X-GitHub-Event" = String, Header, description = "The event's name, such as `pull_request`.", min_length = 1, pattern = r"\S"),
            ("X-GitHub-Delivery" = Option<String>, Header, description = "The delivery's id, for the answer and the log."),
        ),
        request_body(
            description = "The payload: as JSON, or as a form with one field `payload` that holds the JSON.",
            content((utoipa::openapi::Object = "application/json"), (Form = "application/x-www-form-urlencoded")),
        ),
        responses((status = 200, description = "The delivery is verified, and what counts of it is durable.", body = DeliveryAnswer)),
        security(("githubSignature" = [])),
        extensions(("x-problems" = json!([
            "malformed", "refused", "unsigned", "bad_signature", "host_not_configured", "body_too_slow",
            "body_too_large", "unsupported", "internal", "unavailable"
        ]))),
    )]
    #[allow(dead_code, reason = "it carries the description alone")]
    fn github() {}

    /// Takes a delivery from GitLab.
    ///
    /// Proved by a signature (`webhook-id`, `webhook-timestamp`, `webhook-signature`) where
    /// `PLAUDIT_GITLAB_SIGNING_TOKEN` is set, else by the plain token in `PLAUDIT_GITLAB_SECRET`. Which
    /// deliveries count, and for whom, is written in the README; every verified one is answered with 200.
    #[utoipa::path(
        post, path = "/webhooks/gitlab", operation_id = "receiveGitlab", tag = "webhooks",
        params(
            ("X-Gitlab-Event" = String, Header, description = "The event's name, such as `Merge Request Hook`.", min_length = 1, pattern = r"\S"),
            ("webhook-id" = Option<String>, Header, description = "Part of what is signed."),
            ("webhook-timestamp" = Option<String>, Header, description = "Part of what is signed: seconds since 1970; at most 5 minutes off."),
            ("Idempotency-Key" = Option<String>, Header, description = "The delivery's id, for the answer and the log."),
        ),
        request_body(description = "The payload.", content((utoipa::openapi::Object = "application/json"))),
        responses((status = 200, description = "The delivery is verified, and what counts of it is durable.", body = DeliveryAnswer)),
        security(("gitlabSignature" = []), ("gitlabToken" = [])),
        extensions(("x-problems" = json!([
            "malformed", "refused", "unsigned", "bad_signature", "host_not_configured", "body_too_slow",
            "body_too_large", "unsupported", "internal", "unavailable"
        ]))),
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

pub(super) async fn receive(State(app): State<Arc<App>>, Id(name): Id, request: Request) -> Response {
    let Some((name, host, set)) = app.hosts.iter().find(|(known, _, _)| *known == name) else {
        let known: Vec<_> = app.hosts.iter().map(|(known, _, _)| *known).collect();
        let unknown = Problem::new("not_found", format!("no such host; there are {}", known.join(" and ")));
        return body::turned_away(unknown, request).await.into_response();
    };
    let mut told = Told { host: name, verdict: "rejected", ..Told::default() };
    let answer = if let Some(host) = host {
        deliver(&app, host.as_ref(), request, &mut told).await
    } else {
        let why = format!("plaudit believes nothing of {name} until the operator sets {set}");
        Err(body::turned_away(Problem::new("host_not_configured", why), request).await)
    };
    let reason = match &answer {
        Ok(_) => told.reason.unwrap_or_default().to_owned(),
        Err(problem) => problem.code().to_owned(),
    };
    app.metrics.deliveries.with_label_values(&[told.host, told.verdict, &reason]).inc();
    let mut response = answer.map(Json).into_response();
    response.extensions_mut().insert(told);
    response
}

async fn deliver(
    app: &App,
    host: &dyn Host,
    request: Request,
    told: &mut Told,
) -> Result<DeliveryAnswer, Problem> {
    let (head, body) = request.into_parts();
    let claim = match host.admit(&head.headers, app.clock.now()) {
        Ok(claim) => claim,
        Err(rejection) => return Err(body::refuse(rejection.into(), body, &head.headers).await),
    };
    let (bytes, charge) = body::read(body, &head.headers, &app.limits, &app.budget).await?;
    let genuine = host.verify(claim, bytes)?;
    // Only now are the header's words more than a stranger's.
    genuine.id().clone_into(&mut told.delivery);
    genuine.event().clone_into(&mut told.event);
    let reading = host.read(&genuine, &app.rules, app.clock.now())?;
    let (delivery, event) = (told.delivery.clone(), told.event.clone());
    drop((genuine, charge));
    let contributions = match reading {
        Reading::Reviews(_) => {
            (told.verdict, told.reason) = ("ignored", Some(Reason::ActionNotCounted.code()));
            let (verdict, reason) = (told.verdict, told.reason);
            return Ok(DeliveryAnswer { delivery, event, verdict, reason, contributions: Vec::new() });
        }
        Reading::Ignored(reason) => {
            (told.verdict, told.reason) = ("ignored", Some(reason.code()));
            let verdict = told.verdict;
            return Ok(DeliveryAnswer {
                delivery,
                event,
                verdict,
                reason: told.reason,
                contributions: Vec::new(),
            });
        }
        Reading::Counts(contributions) => contributions,
    };
    told.contributions = contributions.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(" ");
    let outcomes = app.recorder.record(contributions).await?;
    let new = outcomes.iter().any(|outcome| outcome.novelty == Novelty::New);
    told.verdict = if new { "recorded" } else { "duplicate" };
    let recognitions: Vec<_> =
        outcomes.iter().flat_map(|o| &o.recognitions).map(RecognitionId::as_str).collect();
    told.recognitions = recognitions.join(" ");
    let contributions = outcomes.iter().map(DeliveredContribution::of).collect();
    Ok(DeliveryAnswer { delivery, event, verdict: told.verdict, reason: None, contributions })
}
