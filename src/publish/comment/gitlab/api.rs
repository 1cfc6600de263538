//! One request to GitLab's REST API, and its answer. No request is sent to any address but below the base URL.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::super::failure::{Failure, Refusal};
use crate::runtime::client_for;
use crate::settings::Secret;

/// The longest answer that is no error, in bytes. A page has 100 notes; longer ones than 300 kB each are rare.
const LONGEST_ANSWER: usize = 32 << 20;
/// How much of an error's body is read, in bytes. Its status and headers decide; its text is for the log.
const LONGEST_ERROR: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    token: Secret,
    timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Api {
    /// Opens no connection; must be called inside the runtime.
    pub(super) fn new(base: &Url, token: &Secret, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = client_for(base)
            .user_agent(concat!("plaudit/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, base, token: Secret::new(token.expose().trim()), timeout })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Every path begins with `/` and consists of checked parts.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", self.token.expose()))
            .map_err(|_| Failure::down_until_fixed("the GitLab token has characters that no token has"))?;
        authorization.set_sensitive(true);
        let request = self.client.request(method, format!("{}{path}", self.base));
        let mut request = request.header(header::AUTHORIZATION, authorization);
        request = request.header(header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let exchange = async { answer(request.send().await.map_err(|error| failure_of(&error))?).await };
        let late = |_| Failure::Unanswered(format!("GitLab gave no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, exchange).await.map_err(late)?
    }
}

async fn answer(mut response: reqwest::Response) -> Result<Answer, Failure> {
    let (status, headers) = (response.status(), response.headers().clone());
    if status.is_redirection() {
        return Err(Failure::Moved);
    }
    let is_error = !status.is_success();
    let longest = if is_error { LONGEST_ERROR } else { LONGEST_ANSWER };
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure_of(&error))? {
        let left = longest - body.len();
        if chunk.len() > left && !is_error {
            return Err(Failure::Malformed(format!("GitLab's answer is longer than {longest} bytes")));
        }
        body.extend(chunk.iter().take(left));
        if body.len() == longest && is_error {
            // The rest is never read: dropping the response closes the connection.
            break;
        }
    }
    if is_error {
        let message = message_of(&body);
        return Err(Failure::Refused(Box::new(Refusal { status, headers, message, details: Vec::new() })));
    }
    Ok(Answer { headers, body: body.freeze() })
}

/// GitLab's `message`, `error` and `error_description`; else the text itself. A `message` may be an object.
/// <https://docs.gitlab.com/api/rest/troubleshooting/>
fn message_of(body: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    let text = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
    let parts = ["message", "error", "error_description"].iter().filter_map(|name| json.get(name));
    parts.map(text).collect::<Vec<_>>().join("; ")
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Malformed(format!("GitLab's answer is not as documented: {error}")))
    }

    /// Whether a list goes on after this page. Its number is not used, only that there is one.
    /// <https://docs.gitlab.com/api/rest/#other-pagination-headers>
    pub(super) fn has_next_page(&self) -> bool {
        self.headers.get("x-next-page").is_some_and(|page| !page.is_empty())
    }
}

fn failure_of(error: &reqwest::Error) -> Failure {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let why = causes.last().map(ToString::to_string).unwrap_or_default();
    if error.is_connect() {
        Failure::Unreachable(format!("GitLab cannot be reached: {why}"))
    } else {
        Failure::Unanswered(format!("the connection to GitLab broke: {why}"))
    }
}
