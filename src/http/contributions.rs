//! Contributions: posting one, and reading one.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode, header};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::access::Peer;
use super::app::App;
use super::body::{self, Limits, MOST_API};
use super::list::{Id, QueryNames};
use super::observe::{RequestLog, joined};
use super::problem::{FieldError, Problem, ProblemKind};
use super::verdict::Verdict;
use crate::domain::{
    Contribution, ContributionId, Draft, InvalidDraft, Moment, RecognitionId, Review, Ruling, WorkId,
};
use crate::hosts::{self, Reason};
use crate::record::{self, Outcome};
use crate::store::{Counted, Novelty, Reviewed};

/// A contribution as readers see it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Contribution)]
pub struct ContributionView {
    /// Its identity.
    #[schema(example = "api:api:talk-17")]
    id: String,
    /// Who did it.
    #[schema(example = "github:octocat")]
    contributor: String,
    /// Its kind.
    #[schema(example = "talk")]
    kind: String,
    /// The repository's name.
    #[schema(required = true)]
    repository: Option<String>,
    /// Its title.
    #[schema(required = true)]
    title: Option<String>,
    /// Its page.
    #[schema(required = true)]
    url: Option<String>,
    /// When it was done.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Moment,
}

impl ContributionView {
    pub(super) fn of(contribution: &Contribution) -> Self {
        Self {
            id: contribution.id.to_string(),
            contributor: contribution.contributor.to_string(),
            kind: contribution.kind.as_str().to_owned(),
            repository: contribution.repository.clone(),
            title: contribution.title.clone(),
            url: contribution.url.clone(),
            occurred_at: contribution.occurred_at,
        }
    }
}

/// A contribution that is counted, and when it was.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CountedContribution)]
pub struct CountedView {
    #[serde(flatten)]
    contribution: ContributionView,
    /// When it was counted.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Moment,
    /// From a private repository, or confidential: shown only with a token.
    private: bool,
    /// Taken back: not in the contributor's tally.
    retracted: bool,
}

impl CountedView {
    pub(super) fn of(counted: &Counted) -> Self {
        let contribution = ContributionView::of(&counted.contribution);
        let Counted { recorded_at, retracted, .. } = *counted;
        Self { contribution, recorded_at, private: counted.contribution.private, retracted }
    }
}

/// A contribution that was taken back.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RetractedContribution)]
pub struct RetractAnswer {
    /// Its identity.
    #[schema(example = "api:api:talk-17")]
    id: String,
    /// Who did it.
    #[schema(example = "github:octocat")]
    contributor: String,
    /// The contributor's tally, without it.
    #[schema(example = 2)]
    tally: u64,
    /// Always true.
    retracted: bool,
}

/// The answer to a post.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PostedContribution)]
pub struct PostAnswer {
    #[serde(flatten)]
    contribution: ContributionView,
    /// The contributor's tally.
    #[schema(example = 3)]
    tally: u64,
    /// The recognitions that followed.
    #[schema(example = json!(["github:octocat:3"]))]
    recognitions: Vec<String>,
}

/// A contribution as a client posts it. [`draft`] reads it field by field, to name every fault at once.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it carries the description alone")]
#[schema(as = NewContribution, description = "A contribution, as a client posts it.")]
pub struct NewContribution {
    /// `{host}:{login}`, or a plain name of 1 to 200 bytes, without characters that are invisible or change the
    /// direction of text; compared in lower case. Accounts of machines, and `ghost`, are refused.
    #[schema(
        example = "github:octocat",
        min_length = 1,
        max_length = 466,
        pattern = r"^(?:[A-Za-z0-9][A-Za-z0-9.\-]*(?::0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?:)?[^\s:/\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb](?:[^:/\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]*[^\s:/\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb])?$"
    )]
    contributor: String,
    /// Its kind.
    #[schema(example = "talk", pattern = "^[a-z][a-z0-9_-]{0,39}$")]
    kind: String,
    /// Your own id for it: the same id again counts nothing. Not together with `Idempotency-Key`. At most
    /// 1,000 bytes.
    #[schema(example = "talk-17", min_length = 1, max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    id: Option<String>,
    /// Whose ids these are; `api` by default. Two sources may use the same id.
    #[schema(example = "meetup", pattern = "^[a-z][a-z0-9_-]{0,39}$")]
    source: Option<String>,
    /// When it was done; now by default.
    #[schema(example = "2026-11-24T10:00:00Z", format = DateTime)]
    occurred_at: Option<String>,
    /// Its title.
    #[schema(max_length = 500)]
    title: Option<String>,
    /// Its page: an http or https URL of at most 2,000 bytes.
    #[schema(
        example = "https://example.org/talks/17",
        max_length = 2000,
        pattern = r"^[hH][tT][tT][pP][sS]?:[^\s\x00-\x1f\x7f-\x9f]+$"
    )]
    url: Option<String>,
    /// The repository's name, at most 500 bytes, without characters that are invisible or change the direction of
    /// text.
    #[schema(
        example = "octo-org/hello",
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]+$"
    )]
    repository: Option<String>,
}

/// Counts a contribution.
///
/// With an `id` of your own, or a header `Idempotency-Key`, the same post may be sent any number of times
/// and counts once. Without either, each post counts.
#[utoipa::path(
    post, path = "/v1/contributions", operation_id = "createContribution", tag = "contributions",
    params(("Idempotency-Key" = Option<String>, Header, description = "A key of your own in place of an `id`, quoted or not; at most 1,000 bytes.", min_length = 1, max_length = 1000)),
    request_body = NewContribution,
    responses(
        (status = 201, description = "It is counted, durably.", body = PostAnswer,
            headers(("Location" = String, description = "The path of the contribution."))),
        (status = 200, description = "It was counted before; nothing is counted now.", body = PostAnswer),
    ),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::Refused, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden,
        ProblemKind::BodyTooSlow, ProblemKind::BodyTooLarge, ProblemKind::Unsupported, ProblemKind::Conflict,
        ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    names: QueryNames,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let allowed = app.access.post(&head.headers, peer).and_then(|()| names.only(&[]));
    if let Err(problem) = allowed.and_then(|()| is_json(&head.headers)) {
        return Err(body::refuse(problem, body, &head.headers).await);
    }
    let limits = Limits { most: MOST_API, ..app.limits };
    let (bytes, _charge) = body::read(body, &head.headers, &limits, &app.budget).await?;
    let contribution = read(&app, "the body", &bytes, &head.headers)?;
    let outcomes = app.recorder.record(vec![contribution], record::deadline()).await?;
    let kept = outcomes.iter().filter(|outcome| outcome.novelty != Novelty::Forgotten);
    let contributions = joined(kept.map(|outcome| outcome.contribution.id.as_str()));
    let log = RequestLog {
        verdict: Some(Verdict::of(&outcomes)),
        contributions,
        recognitions: joined(outcomes.iter().flat_map(|o| &o.recognitions).map(RecognitionId::as_str)),
        ..RequestLog::default()
    };
    let outcome = outcomes.into_iter().next();
    let outcome = outcome.ok_or_else(|| Problem::new(ProblemKind::Internal, "nothing was recorded"))?;
    let mut response = answer(&app, outcome).await?;
    response.extensions_mut().insert(log);
    Ok(response)
}

async fn answer(app: &App, outcome: Outcome) -> Result<Response, Problem> {
    let (status, answer) = posted(app, outcome).await?;
    let location = (status == StatusCode::CREATED).then(|| {
        let id = &answer.contribution.id;
        let segment = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        format!("/v1/contributions/{segment}").parse()
    });
    let mut response = (status, Json(answer)).into_response();
    let location = location.and_then(Result::ok).map(|path| (header::LOCATION, path));
    response.headers_mut().extend(location);
    Ok(response)
}

/// What became of a contribution that a client posted.
pub(super) async fn posted(app: &App, outcome: Outcome) -> Result<(StatusCode, PostAnswer), Problem> {
    let (status, contribution) = match outcome.novelty {
        Novelty::New => (StatusCode::CREATED, outcome.contribution),
        Novelty::Same | Novelty::Retracted => {
            // As it was stored: where the client left `occurred_at` out, it is that of the first post.
            let counted = app.store.contribution(&outcome.contribution.id).await?;
            (StatusCode::OK, counted.map_or(outcome.contribution, |counted| counted.contribution))
        }
        Novelty::Forgotten => {
            return Err(Problem::field("contributor", "not counted: this contributor was forgotten"));
        }
        Novelty::Different => {
            let id = &outcome.contribution.id;
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("{id} was counted with another body; use another id or key"),
            ));
        }
    };
    let answer = PostAnswer {
        contribution: ContributionView::of(&contribution),
        tally: outcome.tally,
        recognitions: outcome.recognitions.iter().map(ToString::to_string).collect(),
    };
    Ok((status, answer))
}

/// Shows one contribution.
///
/// One from a private repository, or a confidential one, is shown only with a token.
#[utoipa::path(
    get, path = "/v1/contributions/{id}", operation_id = "getContribution", tag = "contributions",
    params(("id" = String, Path, description = "Its identity, percent-encoded.", example = "api:api:talk-17")),
    responses((status = 200, description = "The contribution.", body = CountedView)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Json<CountedView>, Problem> {
    app.access.read(&headers)?;
    names.only(&[])?;
    let _reading = app.reads.begin().await?;
    let counted = app.store.contribution(&ContributionId::from_text(id)).await?;
    let shown = counted.filter(|counted| !counted.contribution.private || app.access.reader(&headers));
    shown.map(|counted| Json(CountedView::of(&counted))).ok_or_else(|| Problem::not_found("contribution"))
}

/// Takes a contribution back.
///
/// For good: the tally goes down by what was counted, and a later delivery or post of the same contribution
/// is a repeat that counts nothing. What was recognized stays so. The same request again changes nothing.
#[utoipa::path(
    delete, path = "/v1/contributions/{id}", operation_id = "retractContribution", tag = "contributions",
    params(("id" = String, Path, description = "Its identity, percent-encoded.", example = "api:api:talk-17")),
    responses((status = 200, description = "It is taken back, durably.", body = RetractAnswer)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn retract(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Id(id): Id,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.access.manage(&headers, peer, "taking contributions back", "")?;
    names.only(&[])?;
    let id = ContributionId::from_text(id);
    // An unknown id is more often a typing error than a contribution that will still arrive.
    if app.store.contribution(&id).await?.is_none() {
        return Err(Problem::not_found("contribution"));
    }
    let review =
        Review { work: WorkId::alone(&id), part: Some(id.clone()), ruling: Ruling::Deleted, private: false };
    let outcome = app.recorder.review(&review, record::deadline()).await?;
    let reviewed = outcome.reviewed.into_iter().find(|one| one.id == id);
    let Some(Reviewed { contributor, tally, .. }) = reviewed else {
        return Err(Problem::not_found("contribution"));
    };
    let (id, contributor) = (id.to_string(), contributor.to_string());
    let log =
        RequestLog { verdict: Some(Verdict::Retracted), contributions: id.clone(), ..RequestLog::default() };
    let mut response = Json(RetractAnswer { id, contributor, tally, retracted: true }).into_response();
    response.extensions_mut().insert(log);
    Ok(response)
}

pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let value = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase());
    if value(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::new(
            ProblemKind::Unsupported,
            "send the body as it is, without a content encoding",
        ));
    }
    let media = value(header::CONTENT_TYPE).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if media == "application/json" {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::Unsupported, "send JSON, with the header `Content-Type: application/json`"))
}

/// The contribution that a client's JSON and headers describe, if it may count.
pub(super) fn read(app: &App, what: &str, json: &[u8], headers: &HeaderMap) -> Result<Contribution, Problem> {
    let fields = serde_json::from_slice(json).map_err(|error| no_object(what, &error))?;
    let contribution = draft(fields, headers, app.clock.now())?;
    if app.rules.ignores(&contribution.contributor) {
        return Err(Problem::field("contributor", "not counted: left out by PLAUDIT_IGNORE"));
    }
    let detail = match hosts::no_person(&contribution.contributor, &app.rules) {
        None => return Ok(contribution),
        Some(Reason::Ghost) => "not counted: the account that replaces deleted ones",
        Some(_) => {
            "not counted: a machine's account; PLAUDIT_PEOPLE names accounts that are people all the same"
        }
    };
    Err(Problem::field("contributor", detail))
}

/// The contribution that these fields and the `Idempotency-Key` describe, or every fault of theirs at once.
fn draft(mut fields: Fields, headers: &HeaderMap, now: Moment) -> Result<Contribution, Problem> {
    let draft = Draft {
        contributor: fields.required("contributor"),
        kind: fields.required("kind"),
        id: fields.text("id"),
        key: idempotency_key(headers, &mut fields.faults),
        source: fields.text("source"),
        occurred_at: fields.text("occurred_at"),
        title: fields.text("title"),
        url: fields.text("url"),
        repository: fields.text("repository"),
    };
    let mut faults = fields.rest();
    match draft.check(now, || uuid::Uuid::now_v7().to_string()) {
        Ok(contribution) if faults.is_empty() => Ok(contribution),
        Ok(_) => Err(Problem::fields(faults)),
        Err(InvalidDraft(wrong)) => {
            for (field, detail) in wrong {
                // A field that is missing or not a string is named once.
                if !faults.iter().any(|fault| fault.field == field) {
                    faults.push(FieldError { field: field.into(), detail });
                }
            }
            Err(Problem::fields(faults))
        }
    }
}

/// A problem for what is to be a JSON object and is not.
pub(super) fn no_object(what: &str, error: &serde_json::Error) -> Problem {
    // The words of an error of data repeat the value, however long it is.
    let wrong = if error.is_data() { "it is another kind of value".to_owned() } else { error.to_string() };
    Problem::new(ProblemKind::Malformed, format!("{what} is not a JSON object: {wrong}"))
}

struct Fields {
    fields: Map<String, Value>,
    faults: Vec<FieldError>,
}

/// A map would keep the last of two fields with one name, and another reader of the same body the first.
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
        let mut read = Fields { fields: Map::new(), faults: Vec::new() };
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            let field: String = name.chars().take(100).collect();
            let named = read.faults.iter().any(|fault| fault.field == field);
            if read.fields.insert(name, value).is_some() && !named && read.faults.len() < 20 {
                read.faults.push(FieldError { field, detail: "given more than once".into() });
            }
        }
        Ok(read)
    }
}

impl Fields {
    fn text(&mut self, field: &str) -> Option<String> {
        match self.fields.remove(field)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => {
                self.faults.push(FieldError { field: field.into(), detail: "a string".into() });
                None
            }
        }
    }

    fn required(&mut self, field: &str) -> String {
        let faults = self.faults.len();
        let text = self.text(field);
        if text.is_none() && self.faults.len() == faults {
            self.faults.push(FieldError { field: field.into(), detail: "missing".into() });
        }
        text.unwrap_or_default()
    }

    /// The faults, and one for every unknown field, so that a misspelt name loses nothing silently.
    fn rest(self) -> Vec<FieldError> {
        let unknown = |field: &String| FieldError {
            field: field.chars().take(100).collect(),
            detail: "no such field".into(),
        };
        self.faults.into_iter().chain(self.fields.keys().take(20).map(unknown)).collect()
    }
}

/// The key, with or without the quotes that the draft standard asks for:
/// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>.
fn idempotency_key(headers: &HeaderMap, faults: &mut Vec<FieldError>) -> Option<String> {
    let mut given = headers.get_all("idempotency-key").iter();
    let value = given.next()?;
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|_| given.next().is_none());
    let Some(text) = text.map(str::trim) else {
        faults.push(FieldError { field: "Idempotency-Key".into(), detail: "one key, in UTF-8".into() });
        return None;
    };
    let unquoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Some(unquoted.map_or_else(|| text.to_owned(), |text| text.replace("\\\"", "\"").replace("\\\\", "\\")))
}
