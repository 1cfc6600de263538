//! A page in which a person can read and try the API.
//!
//! The page is plaudit's own, a few small files that render `/openapi.json`. The known viewers do not fit:
//! swagger-ui, Redoc, Scalar and `RapiDoc` weigh from 0.8 to 3 MB, and set styles from their scripts,
//! which a Content-Security-Policy allows only with `unsafe-inline`: on the very page where a token is typed in.

use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::openapi::{RefOr, Schema};

use super::list::Id;
use super::problem::{Problem, ProblemKind};
use super::schema;

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

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// Browsers show plain text, and would download `text/markdown`.
const GUIDE: &str = "text/plain; charset=utf-8";

/// A file of the page, or a guide that it links.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const FILES: [File; 9] = [
    File { name: "app.js", kind: SCRIPT, text: include_str!("docs/app.js") },
    File { name: "samples.js", kind: SCRIPT, text: include_str!("docs/samples.js") },
    File { name: "sign.js", kind: SCRIPT, text: include_str!("docs/sign.js") },
    File { name: "app.css", kind: STYLE, text: include_str!("docs/app.css") },
    File { name: "clients.md", kind: GUIDE, text: include_str!("../../docs/clients.md") },
    File { name: "counting.md", kind: GUIDE, text: include_str!("../../docs/counting.md") },
    File { name: "bots.md", kind: GUIDE, text: include_str!("../../docs/bots.md") },
    File { name: "configuration.md", kind: GUIDE, text: include_str!("../../docs/configuration.md") },
    File { name: "operations.md", kind: GUIDE, text: include_str!("../../docs/operations.md") },
];

/// The schema of a file's name.
struct Asset;

impl utoipa::PartialSchema for Asset {
    fn schema() -> RefOr<Schema> {
        schema::words("The files of the page, and the guides.", FILES.map(|file| file.name)).into()
    }
}

impl utoipa::ToSchema for Asset {}

/// Serves a file of the page at `/docs`, or a guide.
#[utoipa::path(
    get, path = "/docs/{asset}", operation_id = "readDocsAsset", tag = "description",
    params(("asset" = inline(Asset), Path, description = "The file.")),
    responses((status = 200, description = "The file.",
        content((String = "text/javascript"), (String = "text/css"), (String = "text/plain")))),
    extensions(("x-problems" = json!([ProblemKind::Malformed, ProblemKind::NotFound]))),
)]
pub(super) async fn asset(Id(name): Id) -> Result<Response, Problem> {
    let found = FILES.into_iter().find(|file| file.name == name);
    found.map(|found| file(found.kind, found.text)).ok_or_else(|| Problem::not_found("file of this page"))
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
