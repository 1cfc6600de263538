//! Contributors, and the contributions of one.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use http::HeaderMap;
use serde::Serialize;

use super::app::App;
use super::contributions::CountedView;
use super::list::{self, Id, ListOf, ListQuery, QueryNames, list_query};
use super::problem::{Problem, ProblemKind};
use crate::domain::{ContributorId, Moment};
use crate::store::{Contributor, ContributorFilter, Order, Shown};

/// A contributor as readers see them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Contributor)]
pub struct ContributorView {
    /// `{host}:{login}`, or a plain name.
    #[schema(example = "github:octocat")]
    id: String,
    /// The host; null for a plain name.
    #[schema(example = "github", required = true)]
    host: Option<String>,
    /// The login, or the plain name.
    #[schema(example = "octocat")]
    login: String,
    /// The account's page; null for a plain name.
    #[schema(example = "https://github.com/octocat", required = true)]
    url: Option<String>,
    /// The host's numeric id of the account, where a payload had it.
    #[schema(example = 583_231, required = true)]
    user_id: Option<u64>,
    /// How many contributions are counted.
    #[schema(example = 3)]
    tally: u64,
    /// The highest milestone recognized; 0 before the first.
    #[schema(example = 3)]
    recognized: u64,
    /// When the first contribution was counted.
    #[schema(value_type = String, format = DateTime)]
    first_at: Moment,
    /// When the last contribution was counted.
    #[schema(value_type = String, format = DateTime)]
    last_at: Moment,
}

/// The orders of the list, as clients name them.
#[derive(Debug, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "it carries the description alone")]
enum Ordering {
    Tally,
    Id,
}

impl ContributorView {
    fn of(contributor: &Contributor) -> Self {
        let who = &contributor.standing.contributor;
        Self {
            id: who.to_string(),
            host: who.host().map(str::to_owned),
            login: who.login().to_owned(),
            url: contributor.account_url.clone().or_else(|| who.url()),
            user_id: contributor.user_id,
            tally: contributor.standing.tally,
            recognized: contributor.standing.recognized,
            first_at: contributor.first_at,
            last_at: contributor.last_at,
        }
    }
}

/// Lists contributors.
///
/// Most contributions first, and of equals the last id first; while tallies move, a complete read needs `order=id`.
#[utoipa::path(
    get, path = "/v1/contributors", operation_id = "listContributors", tag = "contributors",
    params(
        ListQuery,
        ("order" = inline(Option<Ordering>), Query, description = "`tally`, most contributions first, or `id`, for a complete read while tallies move; `tally` by default."),
    ),
    responses((status = 200, description = "A page of contributors.", body = ListOf<ContributorView>,
        headers(("Link" = Option<String>, description = "The next page, as `<URL>; rel=\"next\"`; not on the last.")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    names: QueryNames,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    names.only(&["order", "limit", "cursor"])?;
    let query = list_query(query)?;
    let order = match query.order.as_deref() {
        None | Some("tally") => Order::Tally,
        Some("id") => Order::Id,
        Some(_) => return Err(Problem::field("order", "tally or id")),
    };
    let page = query.page()?;
    let _reading = app.reads.begin().await?;
    let paged = app.store.contributors(order, &ContributorFilter::default(), &page).await?;
    Ok(list::list(paged, "/v1/contributors", &query, |contributor| ContributorView::of(&contributor)))
}

/// Shows one contributor.
#[utoipa::path(
    get, path = "/v1/contributors/{id}", operation_id = "getContributor", tag = "contributors",
    params(("id" = String, Path, description = "`{host}:{login}` or a plain name, percent-encoded, in upper or lower case.", example = "github:octocat")),
    responses((status = 200, description = "The contributor.", body = ContributorView)),
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
) -> Result<Json<ContributorView>, Problem> {
    app.access.read(&headers)?;
    names.only(&[])?;
    let _reading = app.reads.begin().await?;
    Ok(Json(ContributorView::of(&find(&app, &id).await?)))
}

/// Lists a contributor's contributions.
///
/// Newest first. Those from private repositories, confidential ones, and those that were taken back are shown
/// only with a token.
#[utoipa::path(
    get, path = "/v1/contributors/{id}/contributions", operation_id = "listContributionsOf", tag = "contributors",
    params(
        ("id" = String, Path, description = "`{host}:{login}` or a plain name, percent-encoded, in upper or lower case.", example = "github:octocat"),
        ListQuery,
        ("retracted" = Option<bool>, Query, description = "`true`: those that were taken back, too; needs a token."),
    ),
    responses((status = 200, description = "A page of contributions.", body = ListOf<CountedView>,
        headers(("Link" = Option<String>, description = "The next page, as `<URL>; rel=\"next\"`; not on the last.")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound,
        ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn contributions(
    State(app): State<Arc<App>>,
    Id(id): Id,
    names: QueryNames,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    names.only(&["retracted", "limit", "cursor"])?;
    let query = list_query(query)?;
    let page = query.page()?;
    let _reading = app.reads.begin().await?;
    let who = find(&app, &id).await?.standing.contributor;
    let shown = match (query.retracted.as_deref(), app.access.reader(&headers)) {
        (None | Some("false"), true) => Shown::Counted,
        (None | Some("false"), false) => Shown::Public,
        (Some("true"), _) => {
            app.access.read_all(&headers, "reading what was taken back")?;
            Shown::All
        }
        (Some(_), _) => return Err(Problem::field("retracted", "true or false")),
    };
    let paged = app.store.contributions_of(&who, shown, &page).await?;
    let segment = percent_encoding::utf8_percent_encode(who.as_str(), percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/v1/contributors/{segment}/contributions");
    Ok(list::list(paged, &path, &query, |counted| CountedView::of(&counted)))
}

pub(super) async fn find(app: &App, id: &str) -> Result<Contributor, Problem> {
    let unknown = || Problem::not_found("contributor");
    let id = ContributorId::parse(id).map_err(|_| unknown())?;
    app.store.contributor(&id).await?.ok_or_else(unknown)
}
