//! Contributions of a contributor or a repository, as a list.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::HeaderMap;

use super::app::App;
use super::contributions::CountedView;
use super::list::{self, ListOf, ListQuery, Paging};
use super::problem::{Problem, ProblemKind};
use crate::domain::{Kind, Moment};
use crate::store::{ContributionFilter, Of, Shown};

/// The parameters that narrow a list of contributions.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it carries the description alone")]
pub struct Narrowing {
    /// Only this kind.
    #[param(pattern = "^[a-z][a-z0-9_-]{0,39}$", example = "pull_request")]
    kind: Option<String>,
    /// Only those that were counted then or later.
    #[param(format = DateTime, example = "2026-11-24T10:00:00Z")]
    since: Option<String>,
    /// Only those that were counted before.
    #[param(format = DateTime, example = "2026-12-24T10:00:00Z")]
    until: Option<String>,
    /// `true`: those that were taken back, too; needs a token.
    retracted: Option<bool>,
}

/// What a list of contributions is narrowed to, and what of it this reader may see.
pub(super) struct Narrowed {
    shown: Shown,
    kind: Option<Kind>,
    since: Option<Moment>,
    until: Option<Moment>,
}

impl Narrowed {
    pub(super) fn read(app: &App, query: &ListQuery, headers: &HeaderMap) -> Result<Self, Problem> {
        let shown = match (query.get("retracted"), app.access.reader(headers)) {
            (None | Some("false"), true) => Shown::Counted,
            (None | Some("false"), false) => Shown::Public,
            (Some("true"), _) => {
                app.access.read_all(headers, "reading what was taken back")?;
                Shown::All
            }
            (Some(_), _) => return Err(Problem::field("retracted", "true or false")),
        };
        let no_kind = || Problem::field("kind", "a kind, such as push, pull_request, issue or talk");
        let kind = query.get("kind").map(|text| Kind::parse(text).ok_or_else(no_kind)).transpose()?;
        Ok(Self { shown, kind, since: query.moment("since")?, until: query.moment("until")? })
    }

    pub(super) fn filter(self, of: Of) -> ContributionFilter {
        let Self { shown, kind, since, until } = self;
        ContributionFilter { of, shown, kind, since, until }
    }
}

/// Lists contributions of a contributor or of a repository.
///
/// Exactly one of `contributor` and `repository` is needed. Newest first, by the time at which they were counted
/// (`recorded_at`), which `since` and `until` are compared with. Those from private repositories, confidential ones, and
/// those that were taken back are shown only with a token.
#[utoipa::path(
    get, path = "/v1/contributions", operation_id = "listContributions", tag = "contributions",
    params(
        ("contributor" = Option<String>, Query, description = "`{host}:{login}` or a plain name, in upper or lower case.", example = "github:octocat"),
        ("repository" = Option<String>, Query, description = "The repository's name, exactly as contributions have it, on whatever host.", example = "octo-org/hello"),
        Narrowing,
        Paging,
    ),
    responses((status = 200, description = "A page of contributions.", body = ListOf<CountedView>,
        headers(("Link" = Option<String>, description = "The next page, as `<URL>; rel=\"next\"`; not on the last.")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden,
        ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: ListQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    query.only(&["contributor", "repository", "kind", "since", "until", "retracted", "limit", "cursor"])?;
    let of = match (query.contributor()?, query.get("repository")) {
        (Some(contributor), None) => Of::Contributor(contributor),
        (None, Some("")) => {
            return Err(Problem::field("repository", "a repository's name, such as octo-org/hello"));
        }
        (None, Some(repository)) => Of::Repository(repository.to_owned()),
        _ => {
            return Err(Problem::field("contributor", "exactly one of contributor and repository is needed"));
        }
    };
    let (page, narrowed) = (query.page()?, Narrowed::read(&app, &query, &headers)?);
    let _reading = app.reads.begin().await?;
    let paged = app.store.contributions(&narrowed.filter(of), &page).await?;
    Ok(list::list(paged, "/v1/contributions", &query, |counted| CountedView::of(&counted)))
}
