//! How this instance counts, made from its running configuration.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::Serialize;

use super::accept::prefers_html;
use super::frame::{Frame, Place, data, draw, may_read, page};
use super::view::{self, host_name, kind_name, listed, thousands};
use crate::domain::Kind;
use crate::hosts::{PullRequests, Reason, Rules};
use crate::http::app::App;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::verdict::Verdict;

/// How this instance counts.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HowItCounts {
    /// The tallies that earn a recognition.
    #[schema(example = json!([3]))]
    milestones: Vec<u64>,
    /// The kinds that hosts send, and whether they count here.
    kinds: Vec<CountedKind>,
    /// When a pull request counts: `opened` or `merged`.
    #[schema(example = "opened")]
    pull_requests: &'static str,
    /// Which pushes count: those to the `default` branch, or to `all` branches.
    #[schema(example = "default")]
    branches: &'static str,
    /// Whether pushes to forks count.
    forks: bool,
    /// Whether `Co-authored-by` trailers are credited.
    co_authors: bool,
    /// Labels that take a pull request's or an issue's contributions back.
    #[schema(example = json!(["spam", "invalid"]))]
    reject_labels: Vec<String>,
    /// Contributors that are never counted; `*` matches any text.
    ignore: Vec<String>,
    /// Accounts that look like machines and are people; `*` matches any text.
    people: Vec<String>,
    /// The hosts whose deliveries are taken.
    #[schema(example = json!(["github"]))]
    hosts: Vec<&'static str>,
    /// Why a delivery does not count.
    reasons: Vec<ReasonView>,
}

/// A kind that hosts send.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CountedKind {
    #[schema(example = "issue")]
    kind: String,
    /// Whether it counts here.
    counts: bool,
}

/// Why a delivery does not count.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReasonMeaning)]
pub struct ReasonView {
    /// The code in answers, the log and the metrics.
    #[schema(example = "draft")]
    code: &'static str,
    meaning: &'static str,
}

impl HowItCounts {
    fn of(app: &App) -> Self {
        let rules = &app.rules;
        let open = app.hosts.iter().filter(|opened| opened.host.is_some());
        Self {
            milestones: view::all(&app.milestones),
            kinds: Kind::OF_HOSTS
                .map(|kind| CountedKind { counts: rules.counts(&kind), kind: kind.as_str().to_owned() })
                .to_vec(),
            pull_requests: match rules.pull_requests {
                PullRequests::Opened => "opened",
                PullRequests::Merged => "merged",
            },
            branches: if rules.all_branches { "all" } else { "default" },
            forks: rules.forks,
            co_authors: rules.co_authors,
            reject_labels: rules.reject_labels.clone(),
            ignore: rules.ignore.clone(),
            people: rules.people.clone(),
            hosts: open.map(|opened| opened.known.name).collect(),
            reasons: Reason::ALL
                .map(|reason| ReasonView { code: reason.code(), meaning: reason.meaning() })
                .to_vec(),
        }
    }
}

/// Says how this instance counts: its rules as configured, and each reason for which a delivery does not count.
#[utoipa::path(
    get, path = "/how-it-counts", operation_id = "howItCounts", tag = "description",
    responses((status = 200, description = "The rules.", content((HowItCounts = "application/json"), (String = "text/html")))),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden]))),
)]
pub(in crate::http) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if prefers_html(&headers) {
        return page(Place::Top, drawn(&app, &headers));
    }
    data(app.access.read(&headers).map(|()| Json(HowItCounts::of(&app)).into_response()))
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage<'a> {
    frame: Frame,
    milestones: String,
    kinds: Vec<KindRow>,
    hosts: String,
    rules: &'a Rules,
    verdicts: [Verdict; 5],
    reasons: [Reason; 20],
}

/// A kind, and when it counts.
struct KindRow {
    name: String,
    counts: bool,
    when: Vec<&'static str>,
    who: &'static str,
}

fn drawn(app: &App, headers: &HeaderMap) -> Result<String, Problem> {
    may_read(app, headers)?;
    let milestones: Vec<_> = view::all(&app.milestones).into_iter().map(thousands).collect();
    let open = app.hosts.iter().filter(|opened| opened.host.is_some());
    let hosts: Vec<_> = open.map(|opened| host_name(opened.known.name)).collect();
    draw(&RulesPage {
        frame: Frame::new(Place::Top, "rules"),
        milestones: listed(&milestones, "and"),
        kinds: Kind::OF_HOSTS.iter().map(|kind| row(kind, &app.rules)).collect(),
        hosts: listed(&hosts, "and"),
        rules: &app.rules,
        verdicts: Verdict::ALL,
        reasons: Reason::ALL,
    })
}

fn row(kind: &Kind, rules: &Rules) -> KindRow {
    let (when, who) = if *kind == Kind::PUSH {
        let branches = match (rules.counts(&Kind::PULL_REQUEST), rules.all_branches) {
            (true, true) => "when commits that belong to no pull request arrive on any branch",
            (true, false) => "when commits that belong to no pull request arrive on the default branch",
            (false, true) => "when commits arrive on any branch",
            (false, false) => "when commits arrive on the default branch",
        };
        let forks = if rules.forks { "in forks too" } else { "not in a fork" };
        (vec![branches, forks], "each author of the commits, once a push")
    } else if *kind == Kind::PULL_REQUEST {
        let when = match rules.pull_requests {
            PullRequests::Opened => {
                "when it is opened for review, or a draft is made ready, and at the latest when it is merged"
            }
            PullRequests::Merged => "when it is merged",
        };
        (vec![when], "its author, and each author of the commits that land it")
    } else {
        (vec!["when it is opened, but not by a transfer from another repository"], "its author")
    };
    KindRow { name: kind_name(kind), counts: rules.counts(kind), when, who }
}
