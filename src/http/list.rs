//! Lists: how a page is asked for and answered, and the id of one item.

use axum::extract::{FromRequestParts, Path};
use http::HeaderMap;
use http::request::Parts;

use super::problem::{FieldError, Problem, ProblemKind};
use crate::domain::{ContributorId, InvalidContributor, Moment, parse_moment};
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

/// The parameters that every list has.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it carries the description alone")]
pub struct Paging {
    /// At most so many items, 1 to 100; 20 by default.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Where the page begins: the cursor from the last answer's `next`; opaque to clients.
    cursor: Option<String>,
}

/// The parameters of a list as they were sent.
pub(super) struct ListQuery(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(pairs(parts).collect()))
    }
}

impl ListQuery {
    /// A problem that names every parameter that is not `known`; one, too, where a parameter is given twice.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        only(self.0.iter().map(|(name, _)| name), known)?;
        let given = |name: &&str| self.0.iter().filter(|(given, _)| given == name).count();
        if known.iter().any(|name| given(name) > 1) {
            return Err(Problem::new(ProblemKind::Malformed, "each parameter may be given once"));
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn page(&self) -> Result<Page, Problem> {
        let limit = self.get("limit").map_or(Ok(20), str::parse);
        match limit {
            Ok(limit) if (1..=100).contains(&limit) => {
                Ok(Page { limit, after: self.get("cursor").map(str::to_owned) })
            }
            _ => Err(Problem::field("limit", "a whole number from 1 to 100")),
        }
    }

    pub(super) fn moment(&self, name: &str) -> Result<Option<Moment>, Problem> {
        let wrong = || {
            Problem::field(
                name,
                "a time as RFC 3339 writes it, such as 2026-11-24T10:00:00Z; a '+' in a query is %2B",
            )
        };
        self.get(name).map(|text| parse_moment(text).ok_or_else(wrong)).transpose()
    }

    /// `{host}:{login}` or a plain name.
    pub(super) fn contributor(&self) -> Result<Option<ContributorId>, Problem> {
        let wrong = |error: InvalidContributor| Problem::field("contributor", error.to_string());
        self.get("contributor").map(|text| ContributorId::parse(text).map_err(wrong)).transpose()
    }

    /// The URL of the next page: this query with another cursor.
    fn next(&self, path: &str, cursor: &str) -> String {
        let mut parameters = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        parameters.extend_pairs(self.0.iter().filter(|(name, _)| name != "cursor"));
        parameters.append_pair("cursor", cursor).finish()
    }
}

/// The query, as it was sent, of a route of the API.
pub(super) struct QueryNames(Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for QueryNames {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(pairs(parts).map(|(name, _)| name).collect()))
    }
}

impl QueryNames {
    /// A problem that names every parameter that is not `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        only(self.0.iter(), known)
    }
}

fn pairs(parts: &Parts) -> impl Iterator<Item = (String, String)> {
    let query = parts.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// A problem that names every name that is not `known`, so that a misspelt one loses nothing silently.
fn only<'a>(names: impl Iterator<Item = &'a String>, known: &[&str]) -> Result<(), Problem> {
    let detail = if known.is_empty() {
        "no such parameter; there are none here".to_owned()
    } else {
        format!("no such parameter; there are {}", known.join(", "))
    };
    let unknown = names.filter(|name| !known.contains(&name.as_str())).take(20);
    let fault =
        |name: &String| FieldError { field: name.chars().take(100).collect(), detail: detail.clone() };
    let faults: Vec<_> = unknown.map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::fields(faults)) }
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
    let next = paged.next.map(|cursor| query.next(path, &cursor));
    let mut headers = HeaderMap::new();
    if let Some(link) = next.as_ref().and_then(|next| format!("<{next}>; rel=\"next\"").parse().ok()) {
        headers.insert(http::header::LINK, link);
    }
    (headers, axum::Json(ListOf { items: paged.items.into_iter().map(view).collect(), next }))
}
