//! An HTTP client of plaudit, and what it receives.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;

use super::{GITHUB_SECRET, GITLAB_TOKEN, PATIENCE, Signer, in_the_end};

/// How long GitHub waits for an answer before it closes the connection.
const GITHUB_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless this is a complete problem document of this status and type.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let this = self.expect(status);
        assert_eq!(this.header("content-type"), "application/problem+json", "{this:?}");
        let problem = this.json();
        assert_eq!(problem["type"], format!("urn:plaudit:problem:{code}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        let id = problem["request_id"].as_str().unwrap();
        assert!(!id.is_empty() && id == this.header("x-request-id"), "{this:?}");
        if status == 503 {
            assert!(this.header("retry-after").parse::<u32>().unwrap() > 0, "{this:?}");
        }
        problem
    }
}

/// An HTTP client that ignores the proxies of the environment.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().read_timeout(PATIENCE).build().unwrap()
}

/// Sends requests to one instance.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) url: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), token: None, http: client() }
    }

    /// The same, with a bearer token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same, without a token.
    pub(crate) fn stranger(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends, and fails if there is no answer at all.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Self::try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, text: answer.text().await? })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Posts a contribution.
    pub(crate) fn post(&self, body: &Value) -> impl Future<Output = Answer> + Send + use<> {
        let answer = self.try_post(body);
        async { answer.await.unwrap() }
    }

    /// Posts a contribution to an instance that may be killed meanwhile.
    pub(crate) fn try_post(
        &self,
        body: &Value,
    ) -> impl Future<Output = Result<Answer, reqwest::Error>> + Send + use<> {
        Self::try_send(self.request(Method::POST, "/v1/contributions").json(body))
    }

    /// Posts a contribution under an `Idempotency-Key`.
    pub(crate) async fn post_with_key(&self, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, "/v1/contributions").header("idempotency-key", key);
        self.send(request.json(body)).await
    }

    pub(crate) async fn drain(&self) -> Value {
        self.send(self.request(Method::POST, "/internal/drain")).await.expect(200).json()
    }

    pub(crate) async fn reconcile(&self) -> Value {
        self.send(self.request(Method::POST, "/internal/reconcile")).await.expect(200).json()
    }

    /// Drains until nothing waits.
    pub(crate) async fn drain_all(&self) {
        let draining = async {
            while self.drain().await["waiting"] != 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        in_the_end("an empty outbox", draining).await;
    }

    /// A delivery that GitHub signed.
    pub(crate) fn github_request(&self, event: &str, delivery: &str, body: &str) -> reqwest::RequestBuilder {
        let headers = Signer::Github(GITHUB_SECRET).headers(event, delivery, body.as_bytes(), 0);
        self.request(Method::POST, "/webhooks/github").headers(headers).body(body.to_owned())
    }

    /// Sends a delivery as GitHub would.
    pub(crate) async fn github(&self, event: &str, body: &str) -> Answer {
        self.try_github(event, body).await.unwrap()
    }

    /// Sends a delivery as GitHub would, to an instance that may be killed meanwhile.
    pub(crate) fn try_github(
        &self,
        event: &str,
        body: &str,
    ) -> impl Future<Output = Result<Answer, reqwest::Error>> + Send + use<> {
        let delivery = uuid::Uuid::new_v4().to_string();
        Self::try_send(self.github_request(event, &delivery, body).timeout(GITHUB_TIMEOUT))
    }

    /// Sends a delivery as GitLab would, with a plain token.
    pub(crate) async fn gitlab(&self, event: &str, body: &str) -> Answer {
        let delivery = uuid::Uuid::new_v4().to_string();
        let headers = Signer::GitlabToken(GITLAB_TOKEN).headers(event, &delivery, body.as_bytes(), 0);
        let request = self.request(Method::POST, "/webhooks/gitlab").headers(headers);
        self.send(request.body(body.to_owned())).await
    }

    /// The tally of one contributor.
    pub(crate) async fn tally(&self, contributor: &str) -> Value {
        self.get(&format!("/v1/contributors/{contributor}")).await.expect(200).json()["tally"].clone()
    }

    /// A gauge or counter without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.expect(200).text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Every item of a list, page by page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.get(&path).await.expect(200);
            let body = page.json();
            next = body["next"].as_str().map(str::to_owned);
            let link = next.as_ref().map(|next| format!("<{next}>; rel=\"next\"")).unwrap_or_default();
            assert_eq!(page.header("link"), link);
            items.extend(body["items"].as_array().unwrap().iter().cloned());
        }
        items
    }

    /// Every contributor's tally.
    pub(crate) async fn tallies(&self) -> BTreeMap<String, u64> {
        let tally = |c: &Value| (c["id"].as_str().unwrap().to_owned(), c["tally"].as_u64().unwrap());
        self.all("/v1/contributors?order=id&limit=100").await.iter().map(tally).collect()
    }

    /// The ids of all recognitions, sorted.
    pub(crate) async fn recognitions(&self) -> Vec<String> {
        let all = self.all("/v1/recognitions?limit=100").await;
        let mut ids: Vec<_> = all.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Opens the event stream.
    pub(crate) async fn stream(&self, last_event_id: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, "/v1/recognitions/stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events { answer, text: String::new(), last_id: None, whole: false }
    }
}

/// An event stream.
#[derive(Debug)]
pub(crate) struct Events {
    answer: reqwest::Response,
    text: String,
    /// What a browser sends as `Last-Event-ID` when it connects again.
    last_id: Option<String>,
    /// Whether it was ended, and not cut.
    whole: bool,
}

/// One event: its id and its data.
#[derive(Debug, PartialEq)]
pub(crate) struct StreamEvent {
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Events {
    /// The next event or, with `None`, the stream's end.
    pub(crate) async fn next(&mut self) -> Option<StreamEvent> {
        let come = async {
            loop {
                while let Some((block, rest)) = self.text.split_once("\n\n") {
                    let field = |name: &str| {
                        block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
                    };
                    let event = field("data: ").map(|data| {
                        assert_eq!(field("event: ").as_deref(), Some("recognition"));
                        let data = serde_json::from_str(&data).unwrap();
                        StreamEvent { id: field("id: ").unwrap(), data }
                    });
                    self.last_id = field("id: ").or(self.last_id.take());
                    self.text = String::from(rest);
                    if event.is_some() {
                        return event;
                    }
                }
                match self.answer.chunk().await {
                    Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                    Ok(None) => {
                        self.whole = true;
                        return None;
                    }
                    Err(_) => return None,
                }
            }
        };
        in_the_end("an event, or the stream's end", come).await
    }

    /// Waits for the end of a stream that is ended, and not cut, with no further event; the last id.
    pub(crate) async fn end(mut self) -> Option<String> {
        assert_eq!(self.next().await, None);
        assert!(self.whole, "the stream was cut");
        self.last_id
    }

    /// The ids of the next `n` events.
    pub(crate) async fn ids(&mut self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(self.next().await.expect("the stream ended").id);
        }
        ids
    }
}
