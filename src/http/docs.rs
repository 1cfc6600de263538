//! A page in which a person can read and try the API.
//!
//! The page is plaudit's own, three small files that render `/openapi.json`. The known viewers do not fit:
//! swagger-ui, Redoc, Scalar and `RapiDoc` weigh from 0.8 to 3 MB, and set styles from their scripts,
//! which a Content-Security-Policy allows only with `unsafe-inline`: on the very page where a token is typed in.

use axum::response::{IntoResponse, Response};
use http::header;

use super::list::Id;
use super::problem::{Problem, ProblemKind};

/// Only this instance's own files, no inline code or style, and no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Shows a page to read this API and try it.
///
/// For people, in a browser. It loads nothing from elsewhere, and keeps a token only while it is open.
#[utoipa::path(
    get, path = "/docs", operation_id = "readDocs", tag = "description",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("docs/index.html"))
}

/// The files of the page.
#[derive(Debug, utoipa::ToSchema)]
#[allow(dead_code, reason = "it carries the description alone")]
enum Asset {
    #[schema(rename = "app.js")]
    Script,
    #[schema(rename = "app.css")]
    Style,
}

/// Serves a file of the page at `/docs`.
#[utoipa::path(
    get, path = "/docs/{asset}", operation_id = "readDocsAsset", tag = "description",
    params(("asset" = inline(Asset), Path, description = "The file.")),
    responses((status = 200, description = "The file.",
        content((String = "text/javascript"), (String = "text/css")))),
    extensions(("x-problems" = json!([ProblemKind::Malformed, ProblemKind::NotFound]))),
)]
pub(super) async fn asset(Id(name): Id) -> Result<Response, Problem> {
    match name.as_str() {
        "app.js" => Ok(file("text/javascript; charset=utf-8", include_str!("docs/app.js"))),
        "app.css" => Ok(file("text/css; charset=utf-8", include_str!("docs/app.css"))),
        _ => Err(Problem::not_found("file of this page")),
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // The files belong to the running version and are small, so browsers revalidate them.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
