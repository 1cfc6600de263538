//! A badge for a README: the tally, and the way to the next milestone.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};

use super::frame::draw;
use super::view::{Way, thousands};
use crate::domain::ContributorId;
use crate::http::app::App;
use crate::http::list::Id;
use crate::http::problem::{Problem, ProblemKind};

/// The width of the label `contributions`, and the space beside each text.
const LABEL: u64 = 72;
const SPACE: u64 = 7;
/// The width of the star of those who were recognised, with the space after it.
const STAR: u64 = 14;

#[derive(Template)]
#[template(path = "badge.svg")]
struct BadgeImage {
    said: String,
    text: String,
    text_width: u64,
    text_at: u64,
    label_width: u64,
    label_text_width: u64,
    width: u64,
    right_width: u64,
    /// How much of the right side's width the bar has.
    bar: u64,
    star: bool,
}

/// Draws a contributor's tally and milestone as an image for a README.
///
/// A contributor who is not known yet has 0: a README may show the badge before the first contribution. Image proxies send no
/// token, so that they can read it only where anyone may read.
#[utoipa::path(
    get, path = "/badges/{file}", operation_id = "readBadge", tag = "contributors",
    params(
        ("file" = String, Path, description = "The contributor's id, percent-encoded, and `.svg`.", example = "github:octocat.svg"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the image that the client has."),
    ),
    responses(
        (status = 200, description = "The badge.", body = String, content_type = "image/svg+xml",
            headers(("ETag" = String, description = "Changes with the image."))),
        (status = 304, description = "The image that the client has."),
    ),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound,
        ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(in crate::http) async fn show(
    State(app): State<Arc<App>>,
    Id(file): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.access.read(&headers)?;
    let unknown = || Problem::not_found("badge");
    let id = file.strip_suffix(".svg").ok_or_else(unknown)?;
    let id = ContributorId::parse(id).map_err(|_| unknown())?;
    let reading = app.reads.begin().await?;
    let found = app.store.contributor(&id).await?;
    drop(reading);
    let way = found.map_or_else(|| Way::begin(&app.milestones), |found| Way::of(&found, &app.milestones));
    let image = draw(&image(id.login(), way))?;
    let tag = format!("\"{}\"", hex::encode(Sha256::digest(&image)).chars().take(16).collect::<String>());
    let kept = [
        // Image proxies such as GitHub's keep an image as long as it allows.
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let same = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same = same.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    if same {
        return Ok((StatusCode::NOT_MODIFIED, kept, [(header::ETAG, tag)]).into_response());
    }
    Ok((kept, [(header::ETAG, tag)], [(header::CONTENT_TYPE, "image/svg+xml")], image).into_response())
}

fn image(login: &str, way: Way) -> BadgeImage {
    let text = match way.next {
        Some(next) => format!("{} of {}", thousands(way.tally), thousands(next)),
        None => thousands(way.tally),
    };
    let star = way.recognized > 0;
    let text_width = width(&text);
    let label_width = LABEL + 2 * SPACE;
    let star_width = if star { STAR } else { 0 };
    let right_width = text_width + star_width + 2 * SPACE;
    let part = |next: u64| right_width.saturating_mul(way.tally.min(next)) / next.max(1);
    BadgeImage {
        // What no XML may contain is left out.
        said: format!("{login}: {} contributions, {}", thousands(way.tally), way.said())
            .replace(['\u{fffe}', '\u{ffff}'], ""),
        text,
        text_width,
        text_at: label_width + SPACE + star_width,
        label_width,
        label_text_width: LABEL,
        width: label_width + right_width,
        right_width,
        bar: way.next.map_or(right_width, part),
        star,
    }
}

/// The width of digits and ` of ` in Verdana at 11 pixels; the image asks for this width in any font.
fn width(text: &str) -> u64 {
    let tenths: u64 = text
        .chars()
        .map(|c| match c {
            '0'..='9' => 70,
            'o' => 67,
            _ => 39,
        })
        .sum();
    tenths.div_ceil(10)
}
