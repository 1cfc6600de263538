//! What every page has: its place, its headers, and how its failures are shown.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::asset::{ASSETS, Assets};
use crate::http::app::App;
use crate::http::problem::{Draw, Problem, ProblemKind};

/// Only this instance's own files, no inline code or style, no plug-ins, and no frame around the page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Where a page is below this instance's root: links are relative, so that they work behind a path too.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Top,
    Below,
}

impl Place {
    /// The root, as seen from there.
    fn root(self) -> &'static str {
        match self {
            Self::Top => "./",
            Self::Below => "../",
        }
    }
}

/// What every page needs.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) root: &'static str,
    pub(super) version: &'static str,
    pub(super) assets: &'static Assets,
    /// The address that the navigation marks as the present one.
    pub(super) here: &'static str,
}

impl Frame {
    pub(super) fn new(place: Place, here: &'static str) -> Self {
        Self { root: place.root(), version: env!("CARGO_PKG_VERSION"), assets: &ASSETS, here }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    problem: &'a Problem,
    asks_for_token: bool,
}

fn draw_problem(problem: &Problem, place: Place) -> String {
    let asks_for_token = problem.kind.status() == StatusCode::UNAUTHORIZED;
    ProblemPage { frame: Frame::new(place, ""), problem, asks_for_token }.render().unwrap_or_default()
}

/// May the pages be read? Where a token is for something else, the browser asks again.
pub(super) fn may_read(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    app.access.read(headers).map_err(|problem| match problem.kind {
        ProblemKind::Forbidden => Problem::new(ProblemKind::WrongToken, problem.detail),
        _ => problem,
    })
}

pub(super) fn draw(template: &impl Template) -> Result<String, Problem> {
    let failed = |error| Problem::new(ProblemKind::Internal, "the page cannot be drawn").because(&error);
    template.render().map_err(failed)
}

/// The answer to a browser.
pub(super) fn page(place: Place, drawn: Result<String, Problem>) -> Response {
    let draw: Draw = match place {
        Place::Top => |problem| draw_problem(problem, Place::Top),
        Place::Below => |problem| draw_problem(problem, Place::Below),
    };
    let headers = [
        (header::VARY, "Accept"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    match drawn {
        Ok(drawn) => (headers, html, drawn).into_response(),
        Err(problem) => (headers, problem.as_page(draw)).into_response(),
    }
}

/// The answer to any other client.
pub(super) fn data(answer: impl IntoResponse) -> Response {
    ([(header::VARY, "Accept")], answer).into_response()
}
