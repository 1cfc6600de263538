//! Who contributed, and what.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use http::HeaderMap;
use serde::Serialize;

use super::contributions::CountedView;
use super::problem::Problem;
use super::{App, ListQuery, list_query};
use crate::domain::{ContributorId, Moment};
use crate::store::{Contributor, Order};

/// A contributor as readers see them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Contributor)]
pub struct ContributorView {
    /// `{host}:{login}`, or a plain name.
    #[schema(example = "github:octocat")]
    id: String,
    /// The host; null for a plain name.
    #[schema(example = "github")]
    host: Option<String>,
    /// The login, or the plain name.
    #[schema(example = "octocat")]
    login: String,
    /// The account's page; null for a plain name.
    #[schema(example = "https://github.com/octocat")]
    url: Option<String>,
    /// The host's numeric id of the account, where a payload had it.
    #[schema(example = 583_231)]
    user_id: Option<u64>,
    /// How many contributions are counted.
    #[schema(example = 3)]
    tally: u64,
    /// The highest milestone recognised; 0 before the first.
    #[schema(example = 3)]
    recognised: u64,
    /// When the first contribution was counted.
    #[schema(value_type = String, format = DateTime)]
    first_at: Moment,
    /// When the last contribution was counted.
    #[schema(value_type = String, format = DateTime)]
    last_at: Moment,
}

impl ContributorView {
    fn of(contributor: &Contributor) -> Self {
        let who = &contributor.standing.contributor;
        Self {
            id: who.to_string(),
            host: who.host().map(str::to_owned),
            login: who.login().to_owned(),
            url: who.url(),
            user_id: contributor.user_id,
            tally: contributor.standing.tally,
            recognised: contributor.standing.recognised,
            first_at: contributor.first_at,
            last_at: contributor.last_at,
        }
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    let query = list_query(query)?;
    let order = match query.order.as_deref() {
        None | Some("tally") => Order::Tally,
        Some("id") => Order::Id,
        Some(_) => return Err(Problem::field("order", "tally or id")),
    };
    let paged = app.store.contributors(order, &query.page()?).await?;
    Ok(super::list(paged, "/v1/contributors", &query, |contributor| ContributorView::of(&contributor)))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ContributorView>, Problem> {
    app.access.read(&headers)?;
    Ok(Json(ContributorView::of(&find(&app, &id).await?)))
}

pub(super) async fn contributions(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.access.read(&headers)?;
    let query = list_query(query)?;
    let page = query.page()?;
    let who = find(&app, &id).await?.standing.contributor;
    let paged = app.store.contributions_of(&who, app.access.token(&headers), &page).await?;
    let segment = percent_encoding::utf8_percent_encode(who.as_str(), percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/v1/contributors/{segment}/contributions");
    Ok(super::list(paged, &path, &query, |counted| CountedView::of(&counted)))
}

async fn find(app: &App, id: &str) -> Result<Contributor, Problem> {
    let unknown = || Problem::not_found("contributor");
    let id = ContributorId::parse(id).map_err(|_| unknown())?;
    app.store.contributor(&id).await?.ok_or_else(unknown)
}
