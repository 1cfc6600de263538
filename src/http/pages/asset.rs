//! The style sheet, the script and the icon of the pages.

use std::sync::LazyLock;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use http::header;
use sha2::{Digest, Sha256};

use crate::http::list::Id;
use crate::http::problem::{Problem, ProblemKind};

const STYLE: &str = include_str!("../../../templates/pages.css");
const SCRIPT: &str = include_str!("../../../templates/pages.js");
const ICON: &str = include_str!("../../../templates/icon.svg");

/// The versions of the files, which their addresses carry.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

pub(super) static ASSETS: LazyLock<Assets> =
    LazyLock::new(|| Assets { style: version(STYLE), script: version(SCRIPT), icon: version(ICON) });

fn version(text: &str) -> String {
    hex::encode(Sha256::digest(text)).chars().take(12).collect()
}

/// The files of the pages.
#[derive(Debug, utoipa::ToSchema)]
#[allow(dead_code, reason = "it carries the description alone")]
enum Asset {
    #[schema(rename = "pages.css")]
    Style,
    #[schema(rename = "pages.js")]
    Script,
    #[schema(rename = "icon.svg")]
    Icon,
}

/// Which version of a file is asked for.
#[derive(Debug, serde::Deserialize)]
pub(in crate::http) struct Version {
    v: Option<String>,
}

/// Serves a file of the pages.
///
/// With the present version as `v`, as the pages link it, browsers may keep it for a year.
#[utoipa::path(
    get, path = "/pages/{asset}", operation_id = "readPageAsset", tag = "description",
    params(
        ("asset" = inline(Asset), Path, description = "The file."),
        ("v" = Option<String>, Query, description = "Its version."),
    ),
    responses((status = 200, description = "The file.",
        content((String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml")))),
    extensions(("x-problems" = json!([ProblemKind::Malformed, ProblemKind::NotFound]))),
)]
pub(in crate::http) async fn serve(
    Id(name): Id,
    query: Result<Query<Version>, QueryRejection>,
) -> Result<Response, Problem> {
    let (kind, text, version) = match name.as_str() {
        "pages.css" => ("text/css; charset=utf-8", STYLE, &ASSETS.style),
        "pages.js" => ("text/javascript; charset=utf-8", SCRIPT, &ASSETS.script),
        "icon.svg" => ("image/svg+xml", ICON, &ASSETS.icon),
        _ => return Err(Problem::not_found("file of the pages")),
    };
    // Another version is that of another instance, during a deployment: what is served now must not be kept for it.
    let present = query.is_ok_and(|Query(query)| query.v.as_ref() == Some(version));
    let kept = if present { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, kept),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    Ok((headers, text).into_response())
}
