//! Lists: how a page is asked for and answered, and the id of one item.

use axum::extract::{FromRequestParts, Path, Query};
use http::HeaderMap;
use http::request::Parts;

use super::problem::{FieldError, Problem, ProblemKind};
use crate::store::{Page, Paged};

/// The percent-decoded id in a path; a problem where it is not UTF-8.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed =
            |_| Problem::new(ProblemKind::Malformed, "the id in the path must be UTF-8, percent-encoded");
        Path::from_request_parts(parts, state).await.map(|Path(id)| Self(id)).map_err(malformed)
    }
}

/// The parameters of a list.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// At most so many items, 1 to 100; 20 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Where the page begins: the cursor from the last answer's `next`; opaque to clients.
    cursor: Option<String>,
    /// For contributors only, which describe it.
    #[param(ignore)]
    pub(super) order: Option<String>,
    /// For contributions only, which describe it.
    #[param(ignore)]
    pub(super) retracted: Option<String>,
}

impl ListQuery {
    pub(super) fn page(&self) -> Result<Page, Problem> {
        let limit = self.limit.as_deref().map_or(Ok(20), str::parse);
        match limit {
            Ok(limit) if (1..=100).contains(&limit) => Ok(Page { limit, after: self.cursor.clone() }),
            _ => Err(Problem::field("limit", "a whole number from 1 to 100")),
        }
    }
}

/// The query, as it was sent, of a route of the API.
pub(super) struct QueryNames(Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for QueryNames {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect()))
    }
}

impl QueryNames {
    /// A problem that names every parameter that is not `known`, so that a misspelt one loses nothing silently.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let detail = if known.is_empty() {
            "no such parameter; there are none here".to_owned()
        } else {
            format!("no such parameter; there are {}", known.join(", "))
        };
        let unknown = self.0.iter().filter(|name| !known.contains(&name.as_str())).take(20);
        let fault =
            |name: &String| FieldError { field: name.chars().take(100).collect(), detail: detail.clone() };
        let faults: Vec<_> = unknown.map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(Problem::fields(faults)) }
    }
}

/// A page of a list.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ListOf<T> {
    /// The items.
    pub items: Vec<T>,
    /// The next page's URL; null on the last page.
    #[schema(required = true)]
    pub next: Option<String>,
}

/// The answer with a page: the next page's URL is in the body and in a `Link` header.
pub(super) fn list<T, V: serde::Serialize>(
    paged: Paged<T>,
    path: &str,
    query: &ListQuery,
    view: impl Fn(T) -> V,
) -> (HeaderMap, axum::Json<ListOf<V>>) {
    let next = paged.next.map(|cursor| {
        let mut parameters = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        for (name, value) in
            [("order", &query.order), ("retracted", &query.retracted), ("limit", &query.limit)]
        {
            if let Some(value) = value {
                parameters.append_pair(name, value);
            }
        }
        parameters.append_pair("cursor", &cursor).finish()
    });
    let mut headers = HeaderMap::new();
    if let Some(link) = next.as_ref().and_then(|next| format!("<{next}>; rel=\"next\"").parse().ok()) {
        headers.insert(http::header::LINK, link);
    }
    (headers, axum::Json(ListOf { items: paged.items.into_iter().map(view).collect(), next }))
}

/// The parameters that every list has.
pub(super) const PAGING: [&str; 2] = ["limit", "cursor"];

/// The parameters of a list, or a problem.
pub(super) fn list_query(
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<ListQuery, Problem> {
    query
        .map(|Query(query)| query)
        .map_err(|_| Problem::new(ProblemKind::Malformed, "each parameter may be given once"))
}
