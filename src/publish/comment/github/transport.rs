//! The HTTP transport below octocrab.
//!
//! octocrab's own transport follows redirects to other hosts, logs every failure as an error and sends two
//! `User-Agent` headers; and octocrab collects the body of an error answer without a limit. This transport
//! follows no redirect, logs nothing and bounds every body before octocrab or plaudit reads it.

use std::convert::Infallible;

use bytes::BytesMut;
use http_body_util::Limited;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use url::Url;

use crate::runtime;

/// The longest body of an answer that is no error, in bytes: a page of 100 comments of 65,536 characters each,
/// of up to four bytes a character. A longer one is a broken answer.
pub(super) const LONGEST_ANSWER: usize = 32 << 20;
/// How much of an error's body is read, in bytes. Its status and headers decide; its text is for the log.
const LONGEST_ERROR: usize = 64 << 10;

/// A client for the API at `base`. Opens no connection; must be called inside the runtime.
pub(super) fn client(base: &Url) -> Result<Octocrab, reqwest::Error> {
    let client = runtime::client_for(base)
        .user_agent(concat!("plaudit/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let service = tower::service_fn(move |request| exchange(client.clone(), request));
    let Ok(crab) = OctocrabBuilder::new_empty()
        .with_service(service)
        .with_auth(AuthState::None)
        .build()
        .map_err(|never: Infallible| never);
    Ok(crab)
}

async fn exchange(
    client: reqwest::Client,
    request: http::Request<OctoBody>,
) -> Result<http::Response<Limited<reqwest::Body>>, reqwest::Error> {
    let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
    let response = client.execute(request).await?;
    let status = response.status();
    let response = if status.is_client_error() || status.is_server_error() {
        cut_short(response).await?
    } else {
        response.into()
    };
    Ok(response.map(|body| Limited::new(body, LONGEST_ANSWER)))
}

/// The answer with the first [`LONGEST_ERROR`] bytes of its body. The rest is never read: dropping the
/// response closes the connection.
async fn cut_short(mut response: reqwest::Response) -> Result<http::Response<reqwest::Body>, reqwest::Error> {
    let mut body = BytesMut::new();
    while body.len() < LONGEST_ERROR
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(LONGEST_ERROR);
    Ok(http::Response::<reqwest::Body>::from(response).map(|_| body.freeze().into()))
}
