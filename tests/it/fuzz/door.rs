//! Whole requests near genuine ones, at the real program's door: every answer is a documented one, never a fault of
//! plaudit's, and the ledger holds what the answers say.

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::mutate::Mutator;
use super::{bodies, mutator, numbers};
use crate::support::{
    Answer, Client, GITHUB_SECRET, GITLAB_TOKEN, Plaudit, Signer, emulators, in_the_end, talk,
};

/// How many requests are under way at once.
const AT_ONCE: usize = 16;

/// Statuses of requests that no route's description is about.
const ANYWHERE: [u16; 5] = [400, 404, 405, 414, 431];

const IDS: &[&str] = &[
    "api:api:1",
    "api%3Aapi%3A1",
    "github:981237654:issue:31",
    "github:981237654:push:0f:mona",
    "mona:3",
    "github:octocat",
    "%ff",
    "%00",
    "a%2Fb",
    "..",
    "%2e%2e",
    "",
];
const QUERIES: &[&str] = &[
    "limit=1",
    "limit=100&cursor=",
    "limit=1&cursor=AAAA",
    "cursor=mona",
    "cursor=1",
    "order=tally&cursor=3:mona",
    "order=id&limit=2&cursor=github%3Aoctocat",
    "retracted=true",
    "retracted=false&limit=3",
    "cursor=%ff&limit=%31",
    "limit=1&limit=2",
    "order=tally",
    "since=2026-11-24T10:00:00Z",
    "kind=push",
];
const LISTS: &[&str] = &[
    "/v1/contributors",
    "/v1/recognitions",
    "/v1/contributors/mona/contributions",
    "/v1/contributors/%00/contributions",
];
const RAW: &[&str] = &[
    "GET /v1/contributors?limit=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "POST /v1/contributions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
     Connection: close\r\n\r\n{}",
    "POST /webhooks/gitlab HTTP/1.1\r\nHost: localhost\r\nX-Gitlab-Event: Push Hook\r\nTransfer-Encoding: chunked\r\n\
     Expect: 100-continue\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// The requests, and what their answers have said.
struct Door {
    client: Client,
    github: Vec<(&'static str, Vec<u8>)>,
    gitlab: Vec<(&'static str, Vec<u8>)>,
    posts: Vec<Vec<u8>>,
    batches: Vec<Vec<u8>>,
    /// Ids that an answer named at all, and those that it named as counted now.
    named: Mutex<(BTreeSet<String>, BTreeSet<String>)>,
}

impl Door {
    fn of(client: Client) -> Self {
        let mut full = talk("github:octocat", "full");
        full["title"] = "A talk".into();
        full["url"] = "https://example.org/17".into();
        full["repository"] = "o/r".into();
        full["occurred_at"] = "2026-11-24T10:00:00Z".into();
        full["source"] = "meetup".into();
        let batches = [
            json!({"contributions": [talk("mona", "3"), full, talk("lisa", "4")]}),
            json!({"contributions": [talk("mona", "5"), talk("mona", "5")], "history": true}),
        ];
        let posts = [talk("mona", "1"), talk("mona", "2"), full].map(|post| post.to_string().into_bytes());
        Self {
            client,
            github: bodies("github"),
            gitlab: bodies("gitlab"),
            posts: posts.to_vec(),
            batches: batches.map(|batch| batch.to_string().into_bytes()).to_vec(),
            named: Mutex::default(),
        }
    }

    async fn request(&self, number: u64) {
        let mut mutator = mutator("door", number);
        let (route, answer) = match mutator.below(10) {
            0..4 => self.delivery(&mut mutator).await,
            4 | 5 => ("post /v1/contributions", Some(self.post(&mut mutator).await)),
            6 => ("post /v1/contributions/batch", Some(self.batch(&mut mutator).await)),
            7 | 8 => self.other(&mut mutator).await,
            _ => return raw(&mut mutator, &self.client.url, number).await,
        };
        // An answer may be missing where the request has no form that a client can send.
        if let Some(answer) = answer {
            self.judge(route, &answer, number);
        }
    }

    async fn delivery(&self, mutator: &mut Mutator) -> (&'static str, Option<Answer>) {
        let (route, all, signer) = if mutator.chance(0.6) {
            ("post /webhooks/github", &self.github, Signer::Github(GITHUB_SECRET))
        } else {
            ("post /webhooks/gitlab", &self.gitlab, Signer::GitlabToken(GITLAB_TOKEN))
        };
        let (event, body) = mutator.one_of(all).clone();
        let mut body = mutator.near(&[body]);
        let as_form = mutator.chance(0.15);
        if as_form {
            let text = String::from_utf8_lossy(&body).into_owned();
            body =
                form_urlencoded::Serializer::new(String::new()).append_pair("payload", &text).finish().into();
            if mutator.chance(0.5) {
                body = mutator.near(&[body]);
            }
        }
        let mut headers = signer.headers(event, &uuid::Uuid::new_v4().to_string(), &body, 0);
        if as_form {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(http::header::CONTENT_TYPE, form);
        }
        if mutator.chance(0.25) {
            change_a_header(mutator, &mut headers);
        }
        let path = route.split_once(' ').unwrap().1;
        let request = self.client.request(Method::POST, path).headers(headers).body(body);
        (route, Client::try_send(request).await.ok())
    }

    async fn post(&self, mutator: &mut Mutator) -> Answer {
        let body = mutator.near(&self.posts);
        let mut request = self.client.request(Method::POST, "/v1/contributions").body(body);
        request = request.header("content-type", "application/json");
        if mutator.chance(0.2) {
            let key = mutator.text_near(&["a-key", "\"quoted \\\" key\""]);
            if let Ok(value) = HeaderValue::from_bytes(key.as_bytes()) {
                request = request.header("idempotency-key", value);
            }
        }
        self.client.send(request).await
    }

    async fn batch(&self, mutator: &mut Mutator) -> Answer {
        let request = self.client.request(Method::POST, "/v1/contributions/batch");
        let request = request.header("content-type", "application/json");
        self.client.send(request.body(mutator.near(&self.batches))).await
    }

    async fn other(&self, mutator: &mut Mutator) -> (&'static str, Option<Answer>) {
        let id = if mutator.chance(0.5) { (*mutator.one_of(IDS)).to_owned() } else { mutator.text_near(IDS) };
        // Some of them as they are, most of them encoded: the others are refused by the client already.
        let encoded = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC);
        let id = if mutator.chance(0.3) { id } else { encoded.to_string() };
        let id: String = id.chars().take(3_000).collect();
        let (route, method, path) = match mutator.below(6) {
            0 => ("get /v1/contributors/{id}", Method::GET, format!("/v1/contributors/{id}")),
            1 => ("get /v1/contributions/{id}", Method::GET, format!("/v1/contributions/{id}")),
            2 => ("get /v1/recognitions/{id}", Method::GET, format!("/v1/recognitions/{id}")),
            3 => ("delete /v1/contributions/{id}", Method::DELETE, format!("/v1/contributions/{id}")),
            _ => {
                let list = *mutator.one_of(LISTS);
                let query = if mutator.chance(0.3) {
                    (*mutator.one_of(QUERIES)).to_owned()
                } else {
                    mutator.text_near(QUERIES)
                };
                let query: String = query.chars().take(3_000).collect();
                ("get /v1/contributors", Method::GET, format!("{list}?{query}"))
            }
        };
        (route, Client::try_send(self.client.request(method, &path)).await.ok())
    }

    /// Holds an answer against the description of its route.
    fn judge(&self, route: &str, answer: &Answer, number: u64) {
        let replay = format!("PLAUDIT_FUZZ=1@{number} replays it: {route} {answer:?}");
        assert!(answer.status < 500, "a fault of plaudit's; {replay}");
        assert!(documented(route, answer.status), "no status of this route; {replay}");
        if answer.status >= 400 {
            assert_eq!(answer.header("content-type"), "application/problem+json", "{replay}");
            let problem: Value = serde_json::from_str(&answer.text).unwrap_or_else(|_| panic!("{replay}"));
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() < 4_000), "{replay}");
            return;
        }
        if route.starts_with("get") {
            return;
        }
        let json: Value = serde_json::from_str(&answer.text).unwrap_or_else(|_| panic!("{replay}"));
        let mut named = self.named.lock().unwrap();
        let id = |one: &Value| one["id"].as_str().map(str::to_owned);
        for one in json["contributions"].as_array().into_iter().flatten() {
            named.0.extend(id(one));
            if one["recorded"] == true {
                named.1.extend(id(one));
            }
        }
        for one in json["results"].as_array().into_iter().flatten() {
            named.0.extend(id(&one["contribution"]));
            if one["status"] == 201 {
                named.1.extend(id(&one["contribution"]));
            }
        }
        named.0.extend(id(&json));
        if answer.status == 201 {
            named.1.extend(id(&json));
        }
    }
}

/// Whether a route's description has this status, or any route may have it.
fn documented(route: &str, status: u16) -> bool {
    static DESCRIPTION: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    let description =
        DESCRIPTION.get_or_init(|| serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap());
    let (method, path) = route.split_once(' ').unwrap();
    let responses = &description["paths"][path][method]["responses"];
    assert!(responses.is_object(), "{route} is not described");
    responses.get(status.to_string()).is_some() || ANYWHERE.contains(&status)
}

fn change_a_header(mutator: &mut Mutator, headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    let name = mutator.one_of(&names).clone();
    let old = headers.get(&name).unwrap().as_bytes().to_vec();
    if mutator.chance(0.15) {
        headers.remove(&name);
        return;
    }
    if let Ok(value) = HeaderValue::from_bytes(&mutator.near(&[old])) {
        if mutator.chance(0.3) {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }
}

/// Bytes that may be no HTTP at all: if they are answered, then not as a fault of plaudit's.
async fn raw(mutator: &mut Mutator, url: &str, number: u64) {
    let bytes = mutator.text_near(RAW);
    let address = url.strip_prefix("http://").unwrap();
    let talking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes.as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    // Where the service closes first, writing fails.
    let Ok(answer) = in_the_end(&format!("the end of raw request {number}"), talking).await else { return };
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(!status.starts_with('5'), "PLAUDIT_FUZZ=1@{number} replays it: {bytes:?}: {answer}");
}

async fn knock(client: &Client, ordinarily: u64) -> Door {
    let door = Door::of(client.clone());
    futures::stream::iter(numbers(ordinarily)).for_each_concurrent(AT_ONCE, |n| door.request(n)).await;
    door
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_no_answer_is_a_fault_and_the_ledger_holds_what_the_answers_say() {
    let plaudit = Plaudit::start().await;
    let door = knock(&plaudit.client, 1_500).await;
    let ledger = Connection::open(plaudit.database()).unwrap();
    let mut rows = ledger.prepare("SELECT id FROM contributions").unwrap();
    let kept: BTreeSet<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let (named, counted) = door.named.into_inner().unwrap();
    let unnamed: Vec<_> = kept.difference(&named).collect();
    assert!(unnamed.is_empty(), "kept, and in no answer: {unnamed:?}");
    let lost: Vec<_> = counted.difference(&kept).collect();
    assert!(lost.is_empty(), "answered as counted, and not kept: {lost:?}");
    assert!(counted.len() > 20, "hardly anything was counted: {counted:?}");
    // Every line of the log is whole, and none is an error.
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_no_answer_is_a_fault_on_firestore() {
    let Some(host) = emulators::firestore() else {
        return;
    };
    let store = format!("firestore:{}", emulators::fresh_project());
    let plaudit = Plaudit::with(&[("PLAUDIT_STORE", &store), ("FIRESTORE_EMULATOR_HOST", host)]).await;
    let door = knock(&plaudit.client, 300).await;
    let (_, counted) = door.named.into_inner().unwrap();
    assert!(!counted.is_empty());
    plaudit.stop().await;
}
