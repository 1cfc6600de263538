//! Contributors, and the contributions of one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::HeaderMap;
use serde::Serialize;

use super::accounts::AccountView;
use super::app::App;
use super::contribution_list::{Narrowed, Narrowing};
use super::contributions::CountedView;
use super::list::{self, Id, ListOf, ListQuery, Paging, QueryNames};
use super::problem::{Problem, ProblemKind};
use crate::domain::{ContributorId, HostName, Milestones, Moment, Standing, fold_case};
use crate::store::{Contributor, ContributorFilter, Of, Order, Profile};

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
    /// The host's numeric id of the account, where a payload named it as an author; a number in the address of a commit
    /// does not count.
    #[schema(example = 583_231, required = true)]
    user_id: Option<u64>,
    /// How many contributions are counted.
    #[schema(example = 3)]
    tally: u64,
    /// The highest milestone recognized; 0 before the first.
    #[schema(example = 3)]
    recognized: u64,
    /// The next milestone, above the tally and above what is recognized; null above the last.
    #[schema(example = 10, required = true)]
    next_milestone: Option<u64>,
    /// When the first contribution was counted.
    #[schema(value_type = String, format = DateTime)]
    first_at: Moment,
    /// When the last contribution was counted.
    #[schema(value_type = String, format = DateTime)]
    last_at: Moment,
    /// Linked accounts, and former names; absent where there is none, and in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    accounts: Vec<AccountView>,
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
    fn of(contributor: &Contributor, milestones: &Milestones) -> Self {
        let Standing { tally, recognized, .. } = contributor.standing;
        let who = &contributor.standing.contributor;
        Self {
            id: who.to_string(),
            host: who.host().map(str::to_owned),
            login: who.login().to_owned(),
            url: contributor.account_url.clone().or_else(|| who.url()),
            user_id: contributor.user_id,
            tally,
            recognized,
            next_milestone: milestones.next(tally.max(recognized)),
            first_at: contributor.first_at,
            last_at: contributor.last_at,
            accounts: Vec::new(),
        }
    }
}

/// Lists contributors.
///
/// Most contributions first, and of equals the last id first; while tallies move, a complete read needs `order=id`.
/// What is searched for comes in the order of the logins.
#[utoipa::path(
    get, path = "/v1/contributors", operation_id = "listContributors", tag = "contributors",
    params(
        Paging,
        ("host" = Option<String>, Query, description = "Only accounts on this host: `github`, `gitlab`, or the name of a self-managed one. A plain name is on none.", example = "github"),
        ("search" = Option<String>, Query, description = "Only those whose login, or plain name, begins with this, in upper or lower case; in the order of the logins, so not together with `order`.", min_length = 1, max_length = 200, example = "octo"),
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
    query: ListQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    query.only(&["host", "search", "order", "limit", "cursor"])?;
    let filter = filter(&query)?;
    let order = match query.get("order") {
        Some(_) if filter.search.is_some() => {
            return Err(Problem::field(
                "order",
                "not together with search, whose order is that of the logins",
            ));
        }
        None | Some("tally") => Order::Tally,
        Some("id") => Order::Id,
        Some(_) => return Err(Problem::field("order", "tally or id")),
    };
    let page = query.page()?;
    let _reading = app.reads.begin().await?;
    let paged = app.store.contributors(order, &filter, &page).await?;
    Ok(list::list(paged, "/v1/contributors", &query, |contributor| {
        ContributorView::of(&contributor, &app.milestones)
    }))
}

fn filter(query: &ListQuery) -> Result<ContributorFilter, Problem> {
    let host = query.get("host").map(|text| {
        let unknown =
            |_| Problem::field("host", "github, gitlab, or the name of a host such as git.example.org");
        HostName::of_text(text).map_err(unknown)
    });
    let search = query.get("search").map(|text| {
        let begins = (1..=200).contains(&text.len()) && !text.contains([':', '/']);
        let wrong = || {
            let detail = "how a login or a plain name begins: 1 to 200 bytes without ':' and '/'; the host is a parameter of its own";
            Problem::field("search", detail)
        };
        begins.then(|| fold_case(text)).ok_or_else(wrong)
    });
    Ok(ContributorFilter { host: host.transpose()?, search: search.transpose()? })
}

/// Shows one contributor.
///
/// By the id of any of its accounts: a linked one, or a former name, is answered with the contributor for whom it
/// counts.
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
    let unknown = || Problem::not_found("contributor");
    let id = ContributorId::parse(&id).map_err(|_| unknown())?;
    let Profile { contributor, accounts } = app.store.profile(&id).await?.ok_or_else(unknown)?;
    let accounts = accounts.into_iter().map(AccountView::from).collect();
    Ok(Json(ContributorView { accounts, ..ContributorView::of(&contributor, &app.milestones) }))
}

/// Lists a contributor's contributions.
///
/// Newest first. Those from private repositories, confidential ones, and those that were taken back are shown
/// only with a token.
#[utoipa::path(
    get, path = "/v1/contributors/{id}/contributions", operation_id = "listContributionsOf", tag = "contributors",
    params(
        ("id" = String, Path, description = "`{host}:{login}` or a plain name, percent-encoded, in upper or lower case.", example = "github:octocat"),
        Narrowing,
        Paging,
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
    query: ListQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    query.only(&["kind", "since", "until", "retracted", "limit", "cursor"])?;
    let (page, narrowed) = (query.page()?, Narrowed::read(&app, &query, &headers)?);
    let _reading = app.reads.begin().await?;
    let who = find(&app, &id).await?.standing.contributor;
    let paged = app.store.contributions(&narrowed.filter(Of::Contributor(who.clone())), &page).await?;
    let segment = percent_encoding::utf8_percent_encode(who.as_str(), percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/v1/contributors/{segment}/contributions");
    Ok(list::list(paged, &path, &query, |counted| CountedView::of(&counted)))
}

pub(super) async fn find(app: &App, id: &str) -> Result<Contributor, Problem> {
    let unknown = || Problem::not_found("contributor");
    let id = ContributorId::parse(id).map_err(|_| unknown())?;
    app.store.contributor(&id).await?.ok_or_else(unknown)
}
