//! Pages of other web origins, which a browser lets call the API only where the answers say so.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::browser::Browser;
use crate::support::{Answer, Client, NO_SECRETS, Plaudit, TOKEN, talk};

const APP: &str = "https://app.example.org";
const ROUTES: [(&str, &str); 4] = [
    ("POST", "/v1/contributions"),
    ("GET", "/v1/contributors"),
    ("GET", "/v1/contributors/mona/contributions"),
    ("GET", "/v1/recognitions/stream"),
];

/// What a browser asks before a page of `origin` may send what is not a plain form.
async fn preflight(client: &Client, origin: &str, method: &str, path: &str) -> Answer {
    let request = client.stranger().request(Method::OPTIONS, path);
    let request = request.header("origin", origin).header("access-control-request-method", method);
    client.send(request.header("access-control-request-headers", "authorization,content-type")).await
}

fn list(answer: &Answer, header: &str) -> Vec<String> {
    answer.header(header).split(',').map(|part| part.trim().to_lowercase()).collect()
}

/// What a browser holds against the page: nothing here may let it send what it keeps for plaudit's origin.
fn assert_no_credentials(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-credentials"), "", "{answer:?}");
}

#[tokio::test]
async fn a_page_of_a_listed_origin_posts_reads_and_listens() {
    let listed = format!("http://localhost:5173, {APP}");
    let plaudit = Plaudit::with(&[("PLAUDIT_ALLOW_ORIGINS", &listed), ("PLAUDIT_MILESTONES", "1")]).await;
    for (method, path) in ROUTES {
        let answer = preflight(&plaudit, APP, method, path).await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), APP, "{path}");
        assert!(list(&answer, "access-control-allow-methods").contains(&method.to_lowercase()), "{answer:?}");
        for header in ["authorization", "content-type", "idempotency-key", "last-event-id", "if-none-match"] {
            assert!(list(&answer, "access-control-allow-headers").contains(&header.to_owned()), "{answer:?}");
        }
        assert!(list(&answer, "vary").contains(&"origin".to_owned()), "{answer:?}");
        assert_no_credentials(&answer);
    }
    let post = plaudit.request(Method::POST, "/v1/contributions").header("origin", APP);
    let posted = plaudit.send(post.json(&talk("mona", "a"))).await.expect(201);
    let list_of = plaudit.request(Method::GET, "/v1/contributors?limit=1").header("origin", APP);
    let listed = plaudit.send(list_of).await.expect(200);
    for answer in [posted, listed] {
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        for header in ["etag", "link", "location", "retry-after", "x-request-id"] {
            assert!(
                list(&answer, "access-control-expose-headers").contains(&header.to_owned()),
                "{answer:?}"
            );
        }
        assert_no_credentials(&answer);
    }
    let stream = plaudit.request(Method::GET, "/v1/recognitions/stream").header("origin", APP);
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.headers()["access-control-allow-origin"], APP);
    drop(stream);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_page_can_read_why_it_failed() {
    let plaudit = Plaudit::with(&[("PLAUDIT_ALLOW_ORIGINS", APP), ("PLAUDIT_PUBLIC_READ", "false")]).await;
    let stranger = plaudit.stranger();
    let post = |client: &Client| client.request(Method::POST, "/v1/contributions").header("origin", APP);
    let get = |path| plaudit.request(Method::GET, path).header("origin", APP);
    let delete = plaudit.request(Method::DELETE, "/v1/contributors").header("origin", APP);
    for (request, status, code) in [
        (post(&stranger).json(&talk("mona", "a")), 401, "token_needed"),
        (post(&plaudit).json(&talk("a/b", "a")), 400, "invalid_fields"),
        (post(&plaudit).body("{}"), 415, "unsupported"),
        (get("/v1/contributors/nobody"), 404, "not_found"),
        (get("/v1/contributors?limit=0"), 400, "invalid_fields"),
        (delete, 405, "method_not_allowed"),
    ] {
        let answer = plaudit.send(request).await;
        assert_eq!(answer.header("access-control-allow-origin"), APP, "{answer:?}");
        answer.problem(status, code);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_may_not() {
    let plaudit = Plaudit::with(&[("PLAUDIT_ALLOW_ORIGINS", APP)]).await;
    for origin in
        ["https://evil.example", "http://app.example.org", "https://app.example.org.evil.example", "null"]
    {
        for (method, path) in ROUTES {
            let answer = preflight(&plaudit, origin, method, path).await;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}: {answer:?}");
            assert_no_credentials(&answer);
        }
        let read = plaudit.request(Method::GET, "/v1/contributors").header("origin", origin);
        assert_eq!(plaudit.send(read).await.header("access-control-allow-origin"), "", "{origin}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_star_lets_any_page_and_never_with_credentials() {
    let plaudit = Plaudit::with(&[("PLAUDIT_ALLOW_ORIGINS", "*")]).await;
    for (method, path) in ROUTES {
        let answer = preflight(&plaudit, "https://any.example", method, path).await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_no_credentials(&answer);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn by_default_no_page_of_another_origin_may_call_anything() {
    let plaudit = Plaudit::start().await;
    for (method, path) in ROUTES {
        let answer = preflight(&plaudit, APP, method, path).await;
        assert_eq!(answer.header("access-control-allow-origin"), "");
        answer.problem(405, "method_not_allowed");
    }
    let read = plaudit.request(Method::GET, "/v1/contributors").header("origin", APP);
    assert_eq!(plaudit.send(read).await.header("access-control-allow-origin"), "");
    plaudit.stop().await;
}

#[tokio::test]
async fn what_is_no_api_stays_closed_to_pages() {
    let plaudit = Plaudit::with(&[("PLAUDIT_ALLOW_ORIGINS", "*")]).await;
    for (method, path) in [("POST", "/webhooks/github"), ("POST", "/internal/drain"), ("GET", "/metrics")] {
        let answer = preflight(&plaudit, APP, method, path).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        answer.problem(405, "method_not_allowed");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_listed_page_needs_a_token_where_only_this_machine_needs_none() {
    let [tokens, github, gitlab] = NO_SECRETS;
    let plaudit = Plaudit::with(&[tokens, github, gitlab, ("PLAUDIT_ALLOW_ORIGINS", APP)]).await;
    let post = plaudit.request(Method::POST, "/v1/contributions").header("origin", APP);
    plaudit.send(post.json(&talk("mallory", "a"))).await.problem(401, "token_needed");
    plaudit.stop().await;
}

/// The server of a page; its address is an origin of its own.
async fn origin() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let page = Router::new().route("/", get(async || Html("<!doctype html><title>an app</title>")));
    (url, tokio::spawn(async move { axum::serve(listener, page).await.unwrap() }))
}

/// What the page does: it listens in both ways, posts three talks, and reads.
const APP_SCRIPT: &str = r"
    const headers = {'Authorization': `Bearer ${token}`, 'Content-Type': 'application/json'};
    const events = new EventSource(`${url}/v1/recognitions/stream`);
    const heard = new Promise((done) => events.addEventListener('recognition', (event) => done(JSON.parse(event.data).id)));
    await new Promise((open, failed) => { events.onopen = open; events.onerror = () => failed('no stream'); });
    const stream = await fetch(`${url}/v1/recognitions/stream`, {headers});
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    const posted = [];
    for (const id of ['a', 'b', 'c']) {
        const body = JSON.stringify({contributor: 'mona', kind: 'talk', id});
        const answer = await fetch(`${url}/v1/contributions`, {method: 'POST', headers, body});
        posted.push([answer.status, answer.headers.get('location') !== null]);
    }
    let text = '';
    while (!/^data: .*\n\n/m.test(text)) text += (await reader.read()).value;
    await reader.cancel();
    const read = await fetch(`${url}/v1/contributors/mona`, {headers});
    const refused = await fetch(`${url}/v1/contributions`, {method: 'POST', headers, body: '{}'});
    const result = {
        posted, heard: await heard, streamed: JSON.parse(/^data: (.*)$/m.exec(text)[1]).id,
        tally: (await read.json()).tally, refused: (await refused.json()).type,
    };
    events.close();
    return result;
";

#[tokio::test]
async fn in_a_browser_a_page_of_a_listed_origin_posts_reads_and_listens_and_another_does_not() {
    let Some(browser) = Browser::open("a page of another origin in a browser").await else { return };
    let ((listed, one), (stranger, other)) = (origin().await, origin().await);
    let plaudit = Plaudit::with(&[("PLAUDIT_ALLOW_ORIGINS", &listed), ("PLAUDIT_PUBLIC_READ", "true")]).await;
    let script = format!("const [url, token] = {};{APP_SCRIPT}", json!([plaudit.url, TOKEN]));

    browser.go(&stranger).await;
    let failed = browser.run_async(&script).await;
    assert_eq!(failed, json!({"failed": "no stream"}));
    let post = format!(
        "await fetch('{}/v1/contributions', {{method: 'POST', headers: {{'Authorization': 'Bearer {TOKEN}', 'Content-Type': 'application/json'}}, body: '{}'}})",
        plaudit.url,
        talk("mallory", "a")
    );
    assert_eq!(browser.run_async(&post).await, json!({"failed": "TypeError: Failed to fetch"}));
    plaudit.send(plaudit.request(Method::GET, "/v1/contributors/mallory")).await.problem(404, "not_found");

    browser.go(&listed).await;
    let did = browser.run_async(&script).await;
    assert_eq!(
        did,
        json!({
            "posted": [[201, true], [201, true], [201, true]], "heard": "mona:3", "streamed": "mona:3",
            "tally": 3, "refused": "urn:plaudit:problem:invalid_fields",
        })
    );
    browser.close().await;
    for server in [one, other] {
        server.abort();
    }
    plaudit.stop().await;
}
