//! How failure is told: the one file that speaks HTTP failure (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::domain::InvalidDraft;
use crate::hosts::{Malformed, Rejection};
use crate::record::RecordError;
use crate::store::StoreError;

/// A failure as a client sees it. The request's id is filled in on the way out.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(description = "What failed, and what to mend: RFC 9457.")]
pub struct Problem {
    /// A name for the kind of problem, stable between versions.
    #[serde(rename = "type")]
    #[schema(schema_with = types)]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 401, minimum = 400, maximum = 599)]
    pub status: u16,
    /// What to mend, for this request.
    pub detail: String,
    /// The request's id, as in the header `X-Request-Id` and in the log.
    pub request_id: String,
    /// Each wrong field, where fields are what is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    closing: bool,
    #[serde(skip)]
    inside: Option<String>,
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

/// Every kind of problem: its code, its status and its title.
pub const KINDS: &[(&str, u16, &str)] = &[
    ("malformed", 400, "The request is not well-formed"),
    ("invalid_fields", 400, "Some fields are wrong"),
    ("refused", 400, "The store cannot keep this"),
    ("unsigned", 401, "The request is not signed"),
    ("bad_signature", 401, "The signature does not hold"),
    ("token_needed", 401, "A token is needed"),
    ("not_found", 404, "There is nothing here"),
    ("host_not_configured", 404, "This host is not configured"),
    ("method_not_allowed", 405, "This method is not for this path"),
    ("body_too_slow", 408, "The body arrived too slowly"),
    ("body_too_large", 413, "The body is too large"),
    ("unsupported", 415, "This content type or encoding is not taken"),
    ("conflict", 422, "The same id came with another body"),
    ("internal", 500, "Something went wrong"),
    ("unavailable", 503, "Not now"),
];

fn types() -> utoipa::openapi::Object {
    let description = "A name for the kind of problem, stable between versions.";
    super::schema::words(description, KINDS.iter().map(|(code, _, _)| urn(code)))
}

/// The `type` of a kind in [`KINDS`].
pub(super) fn urn(code: &str) -> String {
    format!("urn:plaudit:problem:{code}")
}

impl Problem {
    /// A problem of a kind in [`KINDS`].
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let (status, title) = KINDS
            .iter()
            .find(|(kind, _, _)| *kind == code)
            .map_or((500, "Something went wrong"), |(_, status, title)| (*status, *title));
        Self {
            kind: urn(code),
            title,
            status,
            detail: detail.into(),
            request_id: String::new(),
            errors: Vec::new(),
            retry_after: (status == 503).then_some(1),
            closing: false,
            inside: None,
        }
    }

    /// A token is needed for this.
    #[must_use]
    pub fn token_needed(what: &str, set: &str) -> Self {
        Self::new(
            "token_needed",
            format!(
                "{what} needs a header `Authorization: Bearer TOKEN` with one of the tokens in PLAUDIT_API_TOKENS{set}"
            ),
        )
    }

    /// Fields that are wrong.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
        Self { errors, ..Self::new("invalid_fields", named.join("; ")) }
    }

    /// One parameter that is wrong.
    #[must_use]
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), detail: detail.into() }])
    }

    /// There is nothing here.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new("not_found", format!("there is no such {what}, or it is not public"))
    }

    /// For a failure that the router told by its status alone, such as a path that is no text.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        let (code, _, _) = KINDS.iter().find(|(_, known, _)| *known == status.as_u16())?;
        Some(Self::new(code, "the path or its parameters cannot be read"))
    }

    /// The same, after which the connection ends: a part of the request was not read.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { closing: true, ..self }
    }

    /// What the log says of it and the client is not told.
    #[must_use]
    pub fn inside(&self) -> Option<&str> {
        self.inside.as_deref()
    }

    /// The kind's code, as in [`KINDS`].
    #[must_use]
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }

    /// The same, with what only the log says.
    #[must_use]
    pub fn hiding(mut self, inside: &dyn std::fmt::Display) -> Self {
        self.inside = Some(inside.to_string());
        self
    }

    /// The answer, with the request's id.
    #[must_use]
    pub fn render(mut self, request_id: &str) -> Response {
        request_id.clone_into(&mut self.request_id);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.closing {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem travels beside the answer until the request's id is known.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::Unsigned(_) => Self::new("unsigned", detail),
            Rejection::BadSignature(_) => Self::new("bad_signature", detail),
            Rejection::Unsupported(_) => Self::new("unsupported", detail),
            Rejection::Malformed(_) => Self::new("malformed", detail),
        }
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::new(
            "malformed",
            format!("the delivery is signed, but not what the host documents: {malformed}"),
        )
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => error.into(),
            RecordError::Full | RecordError::TooSlow => Self::not_now(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::not_now(&error),
            StoreError::Refused(_) => {
                Self::new("refused", "the store can keep no such content; nothing was counted").hiding(&error)
            }
            StoreError::BadCursor => {
                Self::field("cursor", "not one that this list gave; begin again without it")
            }
            StoreError::Broken(_) => {
                Self::new("internal", "the log says what, under this request's id").hiding(&error)
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
    fn not_now(error: &dyn std::fmt::Display) -> Self {
        Self::new("unavailable", "the ledger cannot take this now; send it again, it counts once")
            .hiding(&error)
    }
}
