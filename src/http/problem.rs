//! Failures as HTTP answers (RFC 9457); no other file knows their statuses.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};

use crate::domain::InvalidDraft;
use crate::hosts::{Malformed, Rejection};
use crate::record::RecordError;
use crate::store::StoreError;

/// Makes a browser ask for a name and a password.
const BASIC: &str = "Basic realm=\"plaudit\", charset=\"UTF-8\"";

/// Draws a problem as a page.
pub type Draw = fn(&Problem) -> String;

/// A failure as a client sees it. The request's id is filled in on the way out.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(description = "What failed, and what to fix (RFC 9457).")]
pub struct Problem {
    /// A name for the kind of problem, stable between versions.
    #[serde(rename = "type", serialize_with = "serialize_urn")]
    #[schema(schema_with = types)]
    pub kind: ProblemKind,
    /// The kind in a few words.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 401, minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request, and what to fix.
    pub detail: String,
    /// The request's id, as in the header `X-Request-Id` and in the log.
    pub request_id: String,
    /// Each wrong field; absent where the problem is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    closing: bool,
    #[serde(skip)]
    cause: Option<String>,
    #[serde(skip)]
    #[schema(ignore)]
    page: Option<Draw>,
}

/// What failed of one item among those that a request brings.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ItemProblem {
    /// A name for the kind of problem, stable between versions.
    #[serde(rename = "type", serialize_with = "serialize_urn")]
    #[schema(schema_with = types)]
    kind: ProblemKind,
    /// The kind in a few words.
    title: &'static str,
    /// What is wrong with this item, and what to fix.
    #[schema(example = "kind: missing")]
    detail: String,
    /// Each wrong field; absent where the problem is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl From<Problem> for ItemProblem {
    fn from(Problem { kind, title, detail, errors, .. }: Problem) -> Self {
        Self { kind, title, detail, errors }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's name, or the header's or parameter's.
    #[schema(example = "kind")]
    pub field: String,
    /// What it should be.
    pub detail: String,
}

/// Every kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request, or its body, cannot be parsed.
    Malformed,
    /// Fields or parameters with a wrong value.
    InvalidFields,
    /// The store can never keep this content.
    Refused,
    /// A delivery without a signature.
    Unsigned,
    /// A delivery with a wrong signature.
    BadSignature,
    /// No token.
    TokenNeeded,
    /// A token that is not known.
    WrongToken,
    /// A token that is for something else.
    Forbidden,
    /// No such path or item, or one that is not public.
    NotFound,
    /// A delivery of a host whose secret is not set.
    HostNotConfigured,
    /// A path without this method.
    MethodNotAllowed,
    /// A body that stopped, or was too slow.
    BodyTooSlow,
    /// A body over the limit.
    BodyTooLarge,
    /// A target that is too long.
    TargetTooLong,
    /// Headers that are too large, or too many.
    HeadTooLarge,
    /// A content type or encoding that is not supported.
    Unsupported,
    /// An id that was used for another body.
    Conflict,
    /// An account that is linked already, or that cannot be unlinked.
    Linked,
    /// Forgetting without a key to remember by.
    KeyNeeded,
    /// A fault of plaudit or its store; the log has the cause.
    Internal,
    /// The same request may succeed later.
    Unavailable,
}

impl ProblemKind {
    /// Every kind, by status.
    pub const ALL: [Self; 21] = [
        Self::Malformed,
        Self::InvalidFields,
        Self::Refused,
        Self::Unsigned,
        Self::BadSignature,
        Self::TokenNeeded,
        Self::WrongToken,
        Self::Forbidden,
        Self::NotFound,
        Self::HostNotConfigured,
        Self::MethodNotAllowed,
        Self::BodyTooSlow,
        Self::BodyTooLarge,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::Unsupported,
        Self::Linked,
        Self::KeyNeeded,
        Self::Conflict,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The code, as in logs, metrics and the end of the `type`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidFields => "invalid_fields",
            Self::Refused => "refused",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::TokenNeeded => "token_needed",
            Self::WrongToken => "wrong_token",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::HostNotConfigured => "host_not_configured",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyTooLarge => "body_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::Unsupported => "unsupported",
            Self::Linked => "linked",
            Self::KeyNeeded => "forget_key_needed",
            Self::Conflict => "conflict",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::InvalidFields | Self::Refused => StatusCode::BAD_REQUEST,
            Self::Unsigned | Self::BadSignature | Self::TokenNeeded | Self::WrongToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::HostNotConfigured => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Linked | Self::KeyNeeded => StatusCode::CONFLICT,
            Self::Conflict => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What it means, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request is not well-formed",
            Self::InvalidFields => "Some fields are wrong",
            Self::Refused => "The store cannot keep this",
            Self::Unsigned => "The request is not signed",
            Self::BadSignature => "The signature is wrong",
            Self::TokenNeeded => "A token is needed",
            Self::WrongToken => "The token is wrong",
            Self::Forbidden => "The token is for something else",
            Self::NotFound => "Not found",
            Self::HostNotConfigured => "This host is not configured",
            Self::MethodNotAllowed => "This path does not support this method",
            Self::BodyTooSlow => "The body arrived too slowly",
            Self::BodyTooLarge => "The body is too large",
            Self::TargetTooLong => "The path and query are too long",
            Self::HeadTooLarge => "The headers are too large, or too many",
            Self::Unsupported => "This content type or encoding is not supported",
            Self::Linked => "The account is linked already, or cannot be unlinked",
            Self::KeyNeeded => "No key is set to remember by whom to forget",
            Self::Conflict => "The same id came with another body",
            Self::Internal => "Internal error",
            Self::Unavailable => "Temporarily unavailable",
        }
    }

    /// The `type` of its problems (RFC 9457), stable between versions.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:plaudit:problem:{}", self.code())
    }
}

/// As its code: the operations name their problems by it (`x-problems`).
impl Serialize for ProblemKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn serialize_urn<S: Serializer>(kind: &ProblemKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&kind.urn())
}

fn types() -> utoipa::openapi::Object {
    let description = "A name for the kind of problem, stable between versions.";
    super::schema::words(description, ProblemKind::ALL.map(ProblemKind::urn))
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            request_id: String::new(),
            errors: Vec::new(),
            retry_after: (kind == ProblemKind::Unavailable).then_some(1),
            closing: false,
            cause: None,
            page: None,
        }
    }

    /// Fields that are wrong.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
        Self { errors, ..Self::new(ProblemKind::InvalidFields, named.join("; ")) }
    }

    /// One parameter that is wrong.
    #[must_use]
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), detail: detail.into() }])
    }

    /// No such item, or one that is not public.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ProblemKind::NotFound, format!("there is no such {what}, or it is not public"))
    }

    /// For a failure that axum answers with a status alone, such as a path that is not UTF-8.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        let kind = ProblemKind::ALL.into_iter().find(|kind| kind.status() == status)?;
        Some(Self::new(kind, "the path or its parameters cannot be parsed"))
    }

    /// The same, and the connection is closed after it: a part of the request was not read.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { closing: true, ..self }
    }

    /// The same, to be tried again in so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The cause, for the log alone.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The same, with a cause that only the log shows.
    #[must_use]
    pub fn because(self, cause: &dyn std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// The same, drawn as a page for a person. Where a token is needed, the browser asks for it.
    #[must_use]
    pub fn as_page(self, draw: Draw) -> Self {
        Self { page: Some(draw), ..self }
    }

    /// The answer, with the request's id.
    #[must_use]
    pub fn render(mut self, request_id: &str) -> Response {
        request_id.clone_into(&mut self.request_id);
        let (kind, challenge, body) = match self.page {
            Some(draw) => ("text/html; charset=utf-8", BASIC, draw(&self).into_bytes()),
            None => ("application/problem+json", "Bearer", serde_json::to_vec(&self).unwrap_or_default()),
        };
        let mut response = (self.kind.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.kind.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem is an extension of the response until `observe` renders it with the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::Unsigned(_) => Self::new(ProblemKind::Unsigned, detail),
            Rejection::BadSignature(_) => Self::new(ProblemKind::BadSignature, detail),
            Rejection::Unsupported(_) => Self::new(ProblemKind::Unsupported, detail),
            Rejection::Malformed(_) => Self::new(ProblemKind::Malformed, detail),
        }
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::new(
            ProblemKind::Malformed,
            format!("the delivery is genuine, but not as the host documents it: {malformed}"),
        )
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::Full | RecordError::TooSlow => Self::unavailable(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::unavailable(&error),
            StoreError::Refused(_) => {
                Self::new(ProblemKind::Refused, "the store cannot keep this content; nothing was counted")
                    .because(&error)
            }
            StoreError::BadCursor => {
                Self::field("cursor", "not a cursor of this list; start again without it")
            }
            StoreError::Broken(_) => {
                Self::new(ProblemKind::Internal, "the log has the cause, under this request's id")
                    .because(&error)
            }
        }
    }
}

impl From<InvalidDraft> for Problem {
    fn from(InvalidDraft(faults): InvalidDraft) -> Self {
        Self::fields(
            faults.into_iter().map(|(field, detail)| FieldError { field: field.into(), detail }).collect(),
        )
    }
}

impl Problem {
    fn unavailable(error: &dyn std::fmt::Display) -> Self {
        Self::new(
            ProblemKind::Unavailable,
            "the ledger is unavailable; send the request again: it counts once",
        )
        .because(&error)
    }
}
