//! One contributor: the tally, the way to the next milestone, and what was contributed.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use futures::TryFutureExt as _;
use http::{HeaderMap, header};
use serde::Deserialize;

use super::accept::prefers_html;
use super::calendar::{Calendar, Counts};
use super::frame::{Frame, Place, data, draw, may_read, page};
use super::view::{self, Thanks, Way, When, Who, Work, thousands};
use crate::domain::ContributorId;
use crate::http::app::App;
use crate::http::contributors::{self, ContributorView};
use crate::http::list::{Id, QueryNames};
use crate::http::problem::{Problem, ProblemKind};
use crate::store::{Contributor, Page, RecognitionFilter, Shown};

/// How many contributions are on a page.
const ROWS: usize = 20;
/// How many milestones are shown before and after the next one.
const AROUND: usize = 3;

/// Where the list of contributions goes on.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct Asked {
    after: Option<String>,
}

/// Shows one contributor: as `/v1/contributors/{id}` does, or to a browser as a page.
#[utoipa::path(
    get, path = "/contributors/{id}", operation_id = "showContributor", tag = "contributors",
    params(("id" = String, Path, description = "`{host}:{login}` or a plain name, percent-encoded, in upper or lower case.", example = "github:octocat")),
    responses((status = 200, description = "The contributor.", content((ContributorView = "application/json"), (String = "text/html")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(in crate::http) async fn show(
    State(app): State<Arc<App>>,
    id: Result<Id, Problem>,
    names: QueryNames,
    query: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    if prefers_html(&headers) {
        return page(Place::Below, drawn(&app, id, query, &headers).await);
    }
    match id {
        Ok(id) => data(contributors::show(State(app), id, names, headers).await),
        Err(problem) => data(problem),
    }
}

#[derive(Template)]
#[template(path = "contributor.html")]
struct ContributorPage {
    frame: Frame,
    who: Who,
    account: Option<String>,
    way: Way,
    tally: String,
    first: When,
    last: When,
    milestones: Vec<Milestone>,
    calendar: Calendar,
    works: Vec<Work>,
    next: Option<String>,
    /// Whether the list begins with the newest contribution.
    newest: bool,
    thanks: Vec<Thanks>,
    badge: Badge,
}

struct Milestone {
    number: String,
    reached: bool,
    next: bool,
}

/// The badge, as it is copied into a README.
struct Badge {
    markdown: String,
    html: String,
    /// Whether an image proxy can read it.
    public: bool,
}

async fn drawn(
    app: &App,
    id: Result<Id, Problem>,
    query: Result<Query<Asked>, QueryRejection>,
    headers: &HeaderMap,
) -> Result<String, Problem> {
    may_read(app, headers)?;
    let Id(id) = id?;
    let malformed = |_| Problem::new(ProblemKind::Malformed, "each parameter may be given once");
    let Query(asked) = query.map_err(malformed)?;
    let _reading = app.reads.begin().await?;
    let contributor = contributors::find(app, &id).await?;
    let id = &contributor.standing.contributor;
    let newest = asked.after.is_none();
    let page = Page { limit: ROWS, after: asked.after };
    let (listed, counts, thanks) = tokio::try_join!(
        app.store.contributions_of(id, Shown::Public, &page).map_err(Problem::from),
        Counts::read(&*app.store, id, app.clock.now()).map_err(Problem::from),
        thanks(app, id),
    )?;
    let who = Who::of(id);
    draw(&ContributorPage {
        frame: Frame::new(Place::Below, ""),
        account: view::link(contributor.account_url.clone().or_else(|| id.url()).as_deref()),
        way: Way::of(&contributor, &app.milestones),
        tally: thousands(contributor.standing.tally),
        first: When::of(contributor.first_at),
        last: When::of(contributor.last_at),
        milestones: milestones(app, &contributor),
        calendar: Calendar::of(&counts),
        works: listed.items.iter().map(|counted| Work::of(&counted.contribution)).collect(),
        next: listed.next.as_deref().map(view::encoded),
        newest,
        thanks,
        badge: badge(app, headers, &who),
        who,
    })
}

/// The milestones around the next one.
fn milestones(app: &App, contributor: &Contributor) -> Vec<Milestone> {
    let all = view::all(&app.milestones);
    let recognized = contributor.standing.recognized;
    let at = all.iter().position(|milestone| *milestone > recognized).unwrap_or(all.len());
    let from = at.saturating_sub(AROUND);
    let shown = all.iter().enumerate().skip(from).take(AROUND * 2);
    let milestone = |(place, number): (usize, &u64)| Milestone {
        number: thousands(*number),
        reached: *number <= recognized,
        next: place == at,
    };
    shown.map(milestone).collect()
}

/// The last recognitions, newest first.
async fn thanks(app: &App, who: &ContributorId) -> Result<Vec<Thanks>, Problem> {
    let filter = RecognitionFilter { contributor: Some(who.clone()), since: None };
    let made = app.store.recognitions(&filter, &Page { limit: ROWS, after: None }).await?;
    Ok(Thanks::all(&*app.store, &made.items).await?)
}

fn badge(app: &App, headers: &HeaderMap, who: &Who) -> Badge {
    let base = base(headers);
    let (image, target) =
        (format!("{base}/badges/{}.svg", who.encoded), format!("{base}/contributors/{}", who.encoded));
    Badge {
        markdown: format!("[![contributions]({image})]({target})"),
        html: format!(r#"<a href="{target}"><img src="{image}" alt="contributions"></a>"#),
        public: app.access.is_public(),
    }
}

/// This instance's address, as the browser reached it.
fn base(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let allowed =
        |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    let host = text(header::HOST).filter(allowed).unwrap_or("localhost");
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let scheme = match forwarded {
        Some(scheme @ ("http" | "https")) => scheme,
        _ if ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local)) => "http",
        _ => "https",
    };
    format!("{scheme}://{host}")
}
