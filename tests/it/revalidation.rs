//! Answers that a client has already, and answers that are compressed.

use http::Method;

use crate::support::{Plaudit, TOKEN, talk};

#[tokio::test]
async fn an_answer_that_a_client_has_is_304() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "true"), ("PLAUDIT_MILESTONES", "1")]).await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    let stranger = plaudit.stranger();
    let ask = async |path: &str, tag: &str| {
        stranger.send(stranger.request(Method::GET, path).header("if-none-match", tag)).await
    };
    for path in [
        "/v1/contributors?limit=1",
        "/v1/contributors/mona",
        "/v1/contributors/mona/contributions",
        "/v1/contributions?contributor=mona",
        "/v1/contributions/api:api:a",
        "/v1/recognitions",
        "/v1/recognitions/mona:1",
        "/openapi.json",
        "/docs",
    ] {
        let first = stranger.get(path).await.expect(200);
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\"") && tag.len() > 20, "{path}: {tag}");
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");
        for known in [tag.clone(), format!("\"other\", {tag}"), tag[2..].to_owned(), "*".to_owned()] {
            let again = ask(path, &known).await.expect(304);
            assert_eq!((again.header("etag"), again.text.as_str()), (tag.as_str(), ""), "{path}");
            assert_eq!(again.header("vary"), first.header("vary"), "{path}");
        }
        ask(path, "W/\"other\"").await.expect(200);
        let head = stranger.send(stranger.request(Method::HEAD, path)).await.expect(200);
        assert_eq!(head.header("etag"), tag, "{path}");
    }
    let tag = stranger.get("/v1/contributors/mona").await.header("etag").to_owned();
    plaudit.post(&talk("mona", "b")).await.expect(201);
    ask("/v1/contributors/mona", &tag).await.expect(200);
    assert_eq!(stranger.get("/v1/contributors/nobody").await.expect(404).header("etag"), "");
    assert_eq!(plaudit.get("/v1/contributors/mona").await.header("cache-control"), "no-store");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_long_answer_is_compressed_where_the_client_takes_it_and_the_stream_never() {
    let plaudit = Plaudit::start().await;
    for i in 0..9 {
        plaudit.post(&talk(&format!("who-{i}"), &format!("{i}"))).await.expect(201);
    }
    // The tests' own client decompresses by itself.
    let http = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let ask_for = async |path: &str, encoding: &str| {
        let request = http.get(format!("{}{path}", plaudit.url)).bearer_auth(TOKEN);
        request.header("accept-encoding", encoding).send().await.unwrap()
    };
    let ask = async |path: &str| ask_for(path, "gzip").await;
    for path in ["/v1/contributors", "/openapi.json", "/docs/app.js"] {
        let (plain, packed) = (ask_for(path, "identity").await, ask(path).await);
        assert!(!plain.headers().contains_key("content-encoding"), "{path}");
        assert_eq!(packed.headers()["content-encoding"], "gzip", "{path}");
        assert_eq!(packed.headers()["etag"], plain.headers()["etag"], "{path}");
        assert!(packed.headers()["vary"].to_str().unwrap().contains("accept-encoding"), "{path}");
        let (plain, packed) = (plain.bytes().await.unwrap(), packed.bytes().await.unwrap());
        assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < plain.len(), "{path}");
    }
    assert!(!ask("/v1/contributors?limit=1").await.headers().contains_key("content-encoding"));
    let stream = ask("/v1/recognitions/stream").await;
    assert!(!stream.headers().contains_key("content-encoding") && !stream.headers().contains_key("etag"));
    drop(stream);
    plaudit.stop().await;
}

#[tokio::test]
async fn what_a_browser_reads_with_a_password_tells_pages_of_other_sites_nothing_by_its_size() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "false")]).await;
    // The tests' own client decompresses by itself.
    let http = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let ask = async |path: &str| {
        let request = http.get(format!("{}{path}", plaudit.url)).basic_auth("any", Some(TOKEN));
        let request = request.header("accept", "text/html").header("accept-encoding", "gzip");
        request.send().await.unwrap().error_for_status().unwrap().headers().clone()
    };
    for path in ["/?search=guess", "/how-it-counts", "/badges/mona.svg"] {
        let headers = ask(path).await;
        assert!(!headers.contains_key("content-encoding"), "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_failure_is_never_kept() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "true")]).await;
    let stranger = plaudit.stranger();
    for path in ["/v1/contributions/api:api:a", "/v1/contributors?limit=0", "/badges/x", "/nowhere"] {
        assert_eq!(stranger.get(path).await.header("cache-control"), "no-store", "{path}");
    }
    plaudit.stop().await;
}
