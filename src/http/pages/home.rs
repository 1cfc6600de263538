//! The first page: what was just recognised, and who contributed most.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use futures::TryFutureExt as _;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::accept::prefers_html;
use super::frame::{Frame, Place, data, draw, may_read, page};
use super::view::{self, Thanks, Way, Who, thousands};
use crate::domain::{HostName, fold_case};
use crate::hosts;
use crate::http::app::App;
use crate::http::problem::{Problem, ProblemKind};
use crate::store::{Contributor, ContributorFilter, Order, Page, RecognitionFilter};

/// How many recognitions are shown; the script keeps as many.
const NEWEST: usize = 8;
/// How many contributors are on a page.
const ROWS: usize = 25;
/// The last place that is counted.
const MOST_PLACES: u64 = 1_000_000_000;

/// What this is, and where its documentation is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Welcome {
    /// `plaudit`.
    #[schema(example = "plaudit")]
    service: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Documentation for people.
    #[schema(example = "/docs")]
    docs: &'static str,
    /// Documentation for programs.
    #[schema(example = "/openapi.json")]
    openapi: &'static str,
}

const WELCOME: Welcome = Welcome {
    service: "plaudit",
    version: env!("CARGO_PKG_VERSION"),
    docs: "/docs",
    openapi: "/openapi.json",
};

/// Which contributors are shown, and from where on.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct Asked {
    search: Option<String>,
    host: Option<String>,
    after: Option<String>,
    /// The place of the first contributor on the page.
    from: Option<String>,
}

/// Says what this is; a browser gets the newest recognitions and the leaderboard.
///
/// The page fills by itself while it is open, and needs no script to be read.
#[utoipa::path(
    get, path = "/", operation_id = "welcome", tag = "description",
    responses((status = 200, description = "What this is.", content((Welcome = "application/json"), (String = "text/html")))),
)]
pub(in crate::http) async fn show(
    State(app): State<Arc<App>>,
    query: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    if !prefers_html(&headers) {
        return data(Json(WELCOME));
    }
    page(Place::Top, drawn(&app, query, &headers).await)
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    milestones: String,
    news: Vec<Thanks>,
    newest: usize,
    totals: [Total; 3],
    board: Board,
}

/// How many there are of something.
struct Total {
    name: &'static str,
    count: String,
}

/// A page of the leaderboard.
struct Board {
    rows: Vec<Row>,
    /// What is searched for.
    search: String,
    hosts: Vec<HostChoice>,
    /// Whether these are all contributors, by tally, so that their places have a meaning.
    ranked: bool,
    /// The place of the first row.
    from: u64,
    next: Option<String>,
    first: bool,
    /// The query of the first page.
    again: String,
}

/// A host to choose in the search.
struct HostChoice {
    value: String,
    name: String,
    chosen: bool,
}

struct Row {
    who: Who,
    way: Way,
    tally: String,
}

async fn drawn(
    app: &App,
    query: Result<Query<Asked>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<String, Problem> {
    may_read(app, headers)?;
    let malformed = |_| Problem::new(ProblemKind::Malformed, "each parameter may be given once");
    let Query(asked) = query.map_err(malformed)?;
    let _reading = app.reads.begin().await?;
    let (news, totals, board) =
        tokio::try_join!(news(app), app.totals.ask().map_err(Problem::from), board(app, asked))?;
    let milestones: Vec<_> = view::all(&app.milestones).into_iter().map(thousands).collect();
    draw(&HomePage {
        frame: Frame::new(Place::Top, "home"),
        milestones: view::listed(&milestones, "and"),
        news,
        newest: NEWEST,
        totals: [
            ("contributors", totals.contributors),
            ("contributions", totals.contributions),
            ("recognitions", totals.recognitions),
        ]
        .map(|(name, count)| Total { name, count: thousands(count) }),
        board,
    })
}

async fn news(app: &App) -> Result<Vec<Thanks>, Problem> {
    let page = Page { limit: NEWEST, after: None };
    let newest = app.store.recognitions(&RecognitionFilter::default(), &page).await?;
    Ok(Thanks::all(&*app.store, &newest.items).await?)
}

async fn board(app: &App, asked: Asked) -> Result<Board, Problem> {
    let filled =
        |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (search, host) = (filled(asked.search), filled(asked.host));
    let wrong = |_| Problem::field("host", "github, gitlab, or a host with a dot or a port");
    let host = host.as_deref().map(HostName::of_text).transpose().map_err(wrong)?;
    let again = query(search.as_deref(), host.as_ref());
    let filter = ContributorFilter { host, search: search.as_deref().map(fold_case) };
    let from = asked.from.as_deref().and_then(|from| from.parse().ok()).unwrap_or(1).clamp(1, MOST_PLACES);
    let (first, page) = (asked.after.is_none(), Page { limit: ROWS, after: asked.after });
    let paged = app.store.contributors(Order::Tally, &filter, &page).await?;
    let end = from + paged.items.len() as u64;
    let next = paged.next.map(|after| {
        let mut query = form_urlencoded::Serializer::new(again.clone());
        query.append_pair("after", &after).append_pair("from", &end.to_string()).finish()
    });
    let row = |contributor: &Contributor| Row {
        who: Who::of(&contributor.standing.contributor),
        way: Way::of(contributor, &app.milestones),
        tally: thousands(contributor.standing.tally),
    };
    Ok(Board {
        rows: paged.items.iter().map(row).collect(),
        search: search.unwrap_or_default(),
        ranked: filter == ContributorFilter::default(),
        hosts: choices(filter.host.as_ref()),
        from,
        next,
        first,
        again,
    })
}

/// The query of a search.
fn query(search: Option<&str>, host: Option<&HostName>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(search.map(|search| ("search", search)));
    query.extend_pairs(host.map(|host| ("host", host.as_str())));
    query.finish()
}

/// The public sites, and the host that is chosen now.
fn choices(chosen: Option<&HostName>) -> Vec<HostChoice> {
    let chosen = chosen.map(HostName::as_str);
    let known = hosts::KNOWN.iter().map(|known| known.name);
    let other = chosen.filter(|chosen| hosts::KNOWN.iter().all(|known| known.name != *chosen));
    known
        .chain(other)
        .map(|host| HostChoice {
            value: host.into(),
            name: view::host_name(host),
            chosen: chosen == Some(host),
        })
        .collect()
}
