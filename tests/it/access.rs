//! Who may post, read and drain.

use http::Method;
use serde_json::Value;

use crate::support::{
    Environment, GITHUB_SECRET, GITLAB_SIGNING, GITLAB_TOKEN, Inside, NO_SECRETS, Plaudit, TOKEN, talk,
};

#[tokio::test]
async fn with_tokens_set_posting_draining_and_reading_need_one() {
    let tokens = format!("{TOKEN}, an-older-token");
    let plaudit =
        Plaudit::with(&[("PLAUDIT_API_TOKENS", tokens.as_str()), ("PLAUDIT_PUBLIC_READ", "false")]).await;
    let stranger = plaudit.stranger();
    let refused = [
        (stranger.clone(), "token_needed"),
        (stranger.with_token("wrong"), "wrong_token"),
        (stranger.with_token(""), "token_needed"),
        (stranger.with_token(&format!("{TOKEN}x")), "wrong_token"),
        (stranger.with_token(&tokens), "wrong_token"),
    ];
    for (client, code) in refused {
        for path in ["/v1/contributors", "/v1/recognitions", "/v1/recognitions/stream", "/metrics"] {
            let answer = client.get(path).await;
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            answer.problem(401, code);
        }
        client.post(&talk("mallory", "a")).await.problem(401, code);
        let reconcile = client.request(Method::POST, "/internal/reconcile");
        client.send(reconcile).await.problem(401, code);
        let drain = client.request(Method::POST, "/internal/drain");
        let problem = client.send(drain).await.problem(401, code);
        assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_API_TOKENS"), "what to set: {problem}");
    }
    for path in ["/healthz", "/readyz"] {
        stranger.get(path).await.expect(200);
    }
    plaudit.post(&talk("mona", "a")).await.expect(201);
    stranger.with_token("an-older-token").post(&talk("mona", "b")).await.expect(201);
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 2)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn an_open_api_takes_posts_from_anyone_and_opens_nothing_else() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN), ("PLAUDIT_OPEN_API", "true")]).await;
    let stranger = plaudit.stranger();
    stranger.post(&talk("mona", "a")).await.expect(201);
    stranger.send(stranger.request(Method::POST, "/internal/drain")).await.problem(401, "token_needed");
    plaudit.stop().await;
}

#[tokio::test]
async fn without_tokens_and_secrets_a_request_through_a_tunnel_is_not_local() {
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    for (name, value) in [
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 tunnel"),
        ("cf-connecting-ip", "203.0.113.9"),
        ("host", "ledger.example.org"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        for path in ["/v1/contributions", "/internal/drain", "/internal/reconcile"] {
            let request = plaudit.request(Method::POST, path).header(name, value).json(&talk("mallory", "a"));
            plaudit.send(request).await.problem(401, "token_needed");
        }
    }
    let port = plaudit.url.rsplit(':').next().unwrap().to_owned();
    let request =
        plaudit.request(Method::POST, "/v1/contributions").header("host", format!("localhost:{port}"));
    plaudit.send(request.json(&talk("mona", "a"))).await.expect(201);
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 1)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn once_the_secret_of_a_host_is_set_posting_and_draining_need_a_token_behind_a_bare_proxy_too() {
    for secret in [
        ("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET),
        ("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN),
        ("PLAUDIT_GITLAB_SIGNING_TOKEN", GITLAB_SIGNING),
    ] {
        let [tokens, github, gitlab] = NO_SECRETS;
        let mut plaudit = Plaudit::with(&[tokens, github, gitlab, secret]).await;
        // A proxy that adds no header has a loopback address too, and passes the client's Host on or sets its own.
        for host in [None, Some("ledger.example.org"), Some("localhost:8080")] {
            for path in ["/v1/contributions", "/internal/drain", "/internal/reconcile"] {
                let mut request = plaudit.request(Method::POST, path);
                if let Some(host) = host {
                    request = request.header("host", host);
                }
                let problem =
                    plaudit.send(request.json(&talk("mallory", "a"))).await.problem(401, "token_needed");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains("PLAUDIT_API_TOKENS"), "what to set: {detail}");
            }
        }
        assert!(plaudit.tallies().await.is_empty());
        plaudit.end().await;
        plaudit.done();
    }
}

#[tokio::test]
async fn where_reading_is_open_by_default_it_needs_a_loopback_host() {
    let paths = ["/v1/contributors", "/v1/recognitions", "/v1/recognitions/stream", "/metrics"];
    let plaudit = Plaudit::start().await;
    let stranger = plaudit.stranger();
    let get = |path, host| stranger.request(Method::GET, path).header("host", host);
    for path in paths {
        for host in ["ledger.example.org", "rebound.example:8080", "127.0.0.1.example.org", "10.0.0.1"] {
            let problem = plaudit.send(get(path, host)).await.problem(401, "token_needed");
            assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_PUBLIC_READ"), "{problem}");
        }
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:8080"] {
        plaudit.send(get("/v1/contributors", host)).await.expect(200);
    }
    plaudit.send(get("/v1/contributors", "ledger.example.org").bearer_auth(TOKEN)).await.expect(200);
    plaudit.send(get("/healthz", "ledger.example.org")).await.expect(200);
    plaudit.stop().await;
}

#[tokio::test]
async fn where_reading_is_open_by_configuration_any_host_will_do() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "true")]).await;
    let stranger = plaudit.stranger();
    for path in ["/v1/contributors", "/metrics"] {
        let request = stranger.request(Method::GET, path).header("host", "ledger.example.org");
        plaudit.send(request).await.expect(200);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_token_is_for_what_its_variable_says_and_is_refused_elsewhere() {
    let plaudit = Plaudit::with(&[
        ("PLAUDIT_POST_TOKENS", "only-for-posting, another-for-posting"),
        ("PLAUDIT_READ_TOKENS", "only-for-reading"),
        ("PLAUDIT_PUBLIC_READ", "false"),
    ])
    .await;
    let (poster, reader) = (plaudit.with_token("only-for-posting"), plaudit.with_token("only-for-reading"));
    poster.post(&talk("mona", "a")).await.expect(201);
    plaudit.with_token("another-for-posting").post(&talk("mona", "b")).await.expect(201);
    assert_eq!(reader.tallies().await["mona"], 2);
    let problem = reader.post(&talk("mallory", "c")).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_POST_TOKENS"), "what would do: {problem}");
    for path in ["/v1/contributors", "/v1/contributions/api:api:a", "/v1/recognitions/stream", "/metrics"] {
        let problem = poster.get(path).await.problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_READ_TOKENS"), "{problem}");
    }
    for client in [&poster, &reader] {
        for path in ["/internal/drain", "/internal/reconcile"] {
            client.send(client.request(Method::POST, path)).await.problem(403, "forbidden");
        }
    }
    plaudit.post(&talk("mona", "c")).await.expect(201);
    plaudit.get("/v1/contributors").await.expect(200);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_token_for_posting_shows_nothing_private_where_anyone_may_read() {
    let settings = [("PLAUDIT_POST_TOKENS", "only-for-posting"), ("PLAUDIT_READ_TOKENS", "only-for-reading")];
    let plaudit = Plaudit::with(&settings).await;
    let mut payload: Value = serde_json::from_str(&crate::support::pull_request(1, "mona")).unwrap();
    payload["repository"]["private"] = true.into();
    let answer = plaudit.github("pull_request", &payload.to_string()).await.expect(200).json();
    let path = format!("/v1/contributions/{}", answer["contributions"][0]["id"].as_str().unwrap());
    plaudit.with_token("only-for-posting").get(&path).await.problem(404, "not_found");
    plaudit.with_token("only-for-reading").get(&path).await.expect(200);
    plaudit.stop().await;
}

#[tokio::test]
async fn any_token_closes_what_this_machine_might_do_without_one() {
    for variable in ["PLAUDIT_API_TOKENS", "PLAUDIT_POST_TOKENS", "PLAUDIT_READ_TOKENS"] {
        let [tokens, github, gitlab] = NO_SECRETS;
        let inside = Inside::alone(&[(variable, "some-token"), tokens, github, gitlab]).await;
        inside.stranger().post(&talk("mallory", "a")).await.problem(401, "token_needed");
        inside.stop().await;
    }
}

/// The line of `check` that begins so.
fn checked(variables: &[(&str, &str)], begins: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::in_folder(&folder);
    let environment = variables.iter().fold(environment, |all, (name, value)| all.with(name, *value));
    let out = environment.run(&["check"]).out;
    let line = out.lines().find_map(|line| line.strip_prefix(begins));
    line.unwrap_or_else(|| panic!("no line {begins} in {out}")).to_owned()
}

#[test]
fn check_says_who_may_post_and_who_may_read() {
    let (posting, reading) = ("right  posting: ", "right  reading: ");
    let [tokens, github, gitlab] = NO_SECRETS;
    assert_eq!(checked(&[tokens], posting), "nobody; set PLAUDIT_API_TOKENS or PLAUDIT_POST_TOKENS");
    assert_eq!(checked(&[tokens, github, gitlab], posting), "requests of this machine to itself");
    assert_eq!(checked(&[("PLAUDIT_OPEN_API", "true")], posting), "anyone");
    let for_posting = ("PLAUDIT_POST_TOKENS", "only-for-posting");
    let given = "requests with a token of PLAUDIT_API_TOKENS or PLAUDIT_POST_TOKENS";
    assert_eq!(checked(&[for_posting], posting), given);
    assert_eq!(checked(&[tokens, for_posting], reading), "requests with a loopback Host");
    let anyone = "anyone; what is private with a token";
    assert_eq!(checked(&[("PLAUDIT_PUBLIC_READ", "true")], reading), anyone);
    let closed = ("PLAUDIT_PUBLIC_READ", "false");
    assert_eq!(checked(&[closed], reading), "requests with a token of PLAUDIT_API_TOKENS");
    assert_eq!(checked(&[closed, tokens], reading), "nobody; set PLAUDIT_API_TOKENS or PLAUDIT_READ_TOKENS");
}

#[tokio::test]
async fn the_start_logs_who_may_post_and_who_may_read() {
    let plaudit = Plaudit::start().await;
    let line = plaudit.log.wait(0, |line| line.contains("plaudit listens on ")).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["posting"], "requests with a token of PLAUDIT_API_TOKENS");
    assert_eq!(line["reading"], "requests with a loopback Host, requests with a token of PLAUDIT_API_TOKENS");
    plaudit.stop().await;
}
