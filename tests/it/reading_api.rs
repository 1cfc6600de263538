//! Reading the ledger: lists, pages, and what is not there.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Client, Inside, Plaudit, now, talk};

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn contributors_come_most_contributions_first_or_by_id_page_by_page() {
    let plaudit = Plaudit::start().await;
    for (who, n) in [("ada", 1), ("bo", 3), ("cy", 2), ("di", 2), ("github:ed", 1)] {
        for i in 0..n {
            plaudit.post(&talk(who, &format!("{who}-{i}"))).await.expect(201);
        }
    }
    for limit in [1, 2, 3, 100] {
        let by_tally = plaudit.all(&format!("/v1/contributors?limit={limit}")).await;
        assert_eq!(ids(&by_tally), ["bo", "di", "cy", "github:ed", "ada"]);
        let by_id = plaudit.all(&format!("/v1/contributors?order=id&limit={limit}")).await;
        assert_eq!(ids(&by_id), ["ada", "bo", "cy", "di", "github:ed"]);
    }
    let mut one = plaudit.get("/v1/contributors/GitHub:Ed").await.expect(200).json();
    assert!(one["first_at"].take().is_string() && one["last_at"].take().is_string());
    let expected = json!({
        "id": "github:ed", "host": "github", "login": "ed", "url": "https://github.com/ed", "user_id": null, "tally": 1,
        "recognized": 0, "next_milestone": 3, "first_at": null, "last_at": null,
    });
    assert_eq!(one, expected);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_contributor_shows_the_next_milestone_until_there_is_none() {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "2,3")]).await;
    for (tally, next) in [(1, json!(2)), (2, json!(3)), (3, Value::Null), (4, Value::Null)] {
        plaudit.post(&talk("ada", &format!("talk-{tally}"))).await.expect(201);
        let ada = plaudit.get("/v1/contributors/ada").await.expect(200).json();
        assert_eq!((&ada["tally"], &ada["next_milestone"]), (&json!(tally), &next));
        assert_eq!(plaudit.all("/v1/contributors").await, [ada]);
    }
    // What is taken back lowers the tally; a milestone that was recognized is not the next one again.
    for talk in [4, 3, 2] {
        let request = plaudit.request(Method::DELETE, &format!("/v1/contributions/api:api:talk-{talk}"));
        plaudit.send(request).await.expect(200);
    }
    let ada = plaudit.get("/v1/contributors/ada").await.expect(200).json();
    assert_eq!((&ada["tally"], &ada["next_milestone"]), (&json!(1), &Value::Null));
    plaudit.stop().await;
}

#[tokio::test]
async fn a_read_by_id_is_complete_while_tallies_move() {
    let plaudit = Plaudit::start().await;
    for i in 0..30 {
        plaudit.post(&talk(&format!("who-{i:02}"), &format!("first-{i}"))).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut next = Some("/v1/contributors?order=id&limit=4".to_owned());
    let mut n = 0;
    while let Some(path) = next {
        let page = plaudit.get(&path).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().map(str::to_owned);
        for i in [3, 17, 29] {
            n += 1;
            plaudit.post(&talk(&format!("who-{i:02}"), &format!("more-{n}"))).await.expect(201);
        }
    }
    let expected: Vec<_> = (0..30).map(|i| format!("who-{i:02}")).collect();
    assert_eq!(seen, expected);
    plaudit.stop().await;
}

#[tokio::test]
async fn contributions_and_recognitions_come_newest_first_page_by_page() {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "1,2,3,4,5")]).await;
    for i in 0..5 {
        plaudit.post(&talk("Ünï côdé", &format!("n{i}"))).await.expect(201);
    }
    for limit in [1, 2, 5, 100] {
        let path = format!("/v1/contributors/%C3%BCn%C3%AF%20c%C3%B4d%C3%A9/contributions?limit={limit}");
        let contributions = plaudit.all(&path).await;
        assert_eq!(
            ids(&contributions),
            ["api:api:n4", "api:api:n3", "api:api:n2", "api:api:n1", "api:api:n0"]
        );
        let recognitions = plaudit.all(&format!("/v1/recognitions?limit={limit}")).await;
        let expected: Vec<_> = (1..=5).rev().map(|milestone| format!("ünï côdé:{milestone}")).collect();
        assert_eq!(ids(&recognitions), expected);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    for path in ["/v1/contributors", "/v1/recognitions", "/v1/contributors/mona/contributions"] {
        for limit in ["0", "101", "-1", "many", "", "99999999999999999999"] {
            let problem = plaudit.get(&format!("{path}?limit={limit}")).await.problem(400, "invalid_fields");
            assert_eq!(problem["errors"][0]["field"], "limit");
        }
        for cursor in ["x", "", "AAAA", "WyJhIl0", "bnVsbA"] {
            let problem =
                plaudit.get(&format!("{path}?cursor={cursor}")).await.problem(400, "invalid_fields");
            assert_eq!(problem["errors"][0]["field"], "cursor", "{path} {cursor}");
        }
        plaudit.get(&format!("{path}?limit=1&limit=2")).await.problem(400, "malformed");
    }
    let problem = plaudit.get("/v1/contributors?order=random").await.problem(400, "invalid_fields");
    assert_eq!(problem["errors"][0]["field"], "order");
    for path in ["/v1/contributions/%ff", "/v1/contributors/%ff", "/v1/recognitions/%ff"] {
        let answer = plaudit.get(path).await;
        assert!([400, 404].contains(&answer.status), "{answer:?}");
        let status = answer.status;
        answer.problem(status, if status == 400 { "malformed" } else { "not_found" });
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn an_empty_ledger_is_an_empty_list() {
    let plaudit = Plaudit::start().await;
    for path in ["/v1/contributors", "/v1/contributors?order=id", "/v1/recognitions"] {
        assert_eq!(plaudit.get(path).await.expect(200).json(), json!({"items": [], "next": null}));
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn an_unknown_parameter_is_named_with_those_that_there_are() {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "1")]).await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    for (path, known) in [
        ("/v1/contributors", "host, search, order, limit, cursor"),
        ("/v1/contributions", "contributor, repository, kind, since, until, retracted, limit, cursor"),
        ("/v1/contributors/mona", "none"),
        ("/v1/contributors/mona/contributions", "kind, since, until, retracted, limit, cursor"),
        ("/v1/contributions/api:api:a", "none"),
        ("/v1/recognitions", "contributor, since, limit, cursor"),
        ("/v1/recognitions/mona:1", "none"),
        ("/v1/recognitions/stream", "none"),
    ] {
        let problem = plaudit.get(&format!("{path}?limitt=3&page=2")).await.problem(400, "invalid_fields");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!((&errors[0]["field"], &errors[1]["field"]), (&json!("limitt"), &json!("page")), "{path}");
        assert!(errors[0]["detail"].as_str().unwrap().contains(known), "{path}: {problem}");
    }
    // A parameter of one list is none of another.
    plaudit.get("/v1/recognitions?order=id").await.problem(400, "invalid_fields");
    let post = plaudit.request(Method::POST, "/v1/contributions?token=in-the-wrong-place");
    plaudit.send(post.json(&talk("mona", "b"))).await.problem(400, "invalid_fields");
    plaudit.stop().await;
}

#[tokio::test]
async fn an_answer_to_a_request_with_a_token_is_kept_by_no_cache() {
    let plaudit = Plaudit::start().await;
    for path in ["/v1/contributors", "/v1/contributors/nobody", "/metrics", "/openapi.json"] {
        assert_eq!(plaudit.get(path).await.header("cache-control"), "no-store", "{path}");
        let wrong = plaudit.with_token("wrong").get(path).await;
        assert_eq!(wrong.header("cache-control"), "no-store", "{path}");
        // Without a token a failure alone is not kept.
        let open = plaudit.stranger().get(path).await;
        assert_eq!(open.header("cache-control") == "no-store", open.status >= 400, "{path}");
    }
    assert_eq!(plaudit.post(&talk("mona", "a")).await.header("cache-control"), "no-store");
    plaudit.stop().await;
}

/// What a cursor holds.
fn held(next: &Value) -> Value {
    let (_, cursor) = next.as_str().unwrap().split_once("cursor=").unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).unwrap()).unwrap()
}

#[tokio::test]
async fn a_cursor_is_the_same_however_much_others_contribute() {
    let cursors = async |others: usize| {
        let inside = Inside::alone(&[("PLAUDIT_MILESTONES", "1,2,3")]).await;
        for i in 0..others {
            inside.post(&talk("other", &format!("other-{i}"))).await.expect(201);
        }
        for i in 0..3 {
            inside.post(&talk("mona", &format!("n{i}"))).await.expect(201);
        }
        let mut cursors = Vec::new();
        for path in [
            "/v1/contributors/mona/contributions",
            "/v1/recognitions",
            "/v1/contributors?order=id",
            "/v1/contributors",
        ] {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = inside.get(&format!("{path}{separator}limit=1")).await.expect(200).json();
            // Only mona is on the first page of each list; of contributors there is a second page with others alone.
            let cursor = page["next"].is_string().then(|| held(&page["next"]));
            assert!(cursor.as_ref().is_none_or(|cursor| cursor["id"] == page["items"][0]["id"]), "{page}");
            cursors.push(cursor);
        }
        inside.stop().await;
        cursors
    };
    let (few, many) = (cursors(0).await, cursors(2).await);
    assert_eq!(few[..2], many[..2]);
    assert!(few[0].is_some() && few[1].is_some());
    for (cursor, at) in many.iter().flatten().zip([now().timestamp_micros(), now().timestamp_micros(), 3, 3])
    {
        assert_eq!(cursor["at"], at, "{cursor}");
        assert_eq!(cursor.as_object().unwrap().len(), 3, "{cursor}");
    }
}

#[tokio::test]
async fn a_walk_goes_on_after_an_item_that_is_hidden_meanwhile() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "true")]).await;
    for i in 0..3 {
        plaudit.post(&talk("mona", &format!("n{i}"))).await.expect(201);
    }
    let path = "/v1/contributors/mona/contributions?limit=1";
    let page = plaudit.stranger().get(path).await.expect(200).json();
    let ledger = Connection::open(plaudit.database()).unwrap();
    ledger.execute("UPDATE contributions SET private = 1 WHERE id = 'api:api:n2'", []).unwrap();
    let next = plaudit.stranger().get(page["next"].as_str().unwrap()).await.expect(200).json();
    assert_eq!(ids(next["items"].as_array().unwrap()), ["api:api:n1"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_made_up_cursor_does_not_say_whether_its_item_exists() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "true")]).await;
    for i in 0..3 {
        plaudit.post(&talk("mona", &format!("n{i}"))).await.expect(201);
    }
    plaudit.post(&talk("lisa", "of-lisa")).await.expect(201);
    let ledger = Connection::open(plaudit.database()).unwrap();
    let private = "UPDATE contributions SET private = 1 WHERE id IN ('api:api:n1', 'api:api:of-lisa')";
    ledger.execute(private, []).unwrap();
    let read_at = |id: &str| -> i64 {
        let sql = "SELECT recorded_at FROM contributions WHERE id = ?1";
        ledger.query_row(sql, [id], |row| row.get(0)).unwrap()
    };
    let of_lisa = read_at("api:api:of-lisa");
    for (at, id) in [(0, "api:api:n1"), (0, "api:api:none"), (of_lisa, "api:api:of-lisa")] {
        let cursor = json!({"list": "contributions", "at": at, "id": id}).to_string();
        let path = format!("/v1/contributors/mona/contributions?cursor={}", URL_SAFE_NO_PAD.encode(cursor));
        let problem = plaudit.stranger().get(&path).await.problem(400, "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], "cursor", "{id}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn contributors_are_found_by_host_and_by_the_beginning_of_the_login() {
    let plaudit = Plaudit::start().await;
    for (who, n) in [("github:octocat", 2), ("github:octavia", 1), ("gitlab:octocat", 1), ("october", 1)] {
        for i in 0..n {
            plaudit.post(&talk(who, &format!("{who}-{i}"))).await.expect(201);
        }
    }
    for limit in [1, 100] {
        let found = async |query: &str| plaudit.all(&format!("/v1/contributors?limit={limit}&{query}")).await;
        assert_eq!(ids(&found("host=github").await), ["github:octocat", "github:octavia"]);
        assert_eq!(ids(&found("host=GitHub.com&order=id").await), ["github:octavia", "github:octocat"]);
        let by_login = ["github:octavia", "october", "github:octocat", "gitlab:octocat"];
        assert_eq!(ids(&found("search=OCT").await), by_login);
        assert_eq!(ids(&found("search=octo&host=gitlab").await), ["gitlab:octocat"]);
    }
    for (query, field) in [
        ("host=", "host"),
        ("host=a/", "host"),
        ("search=", "search"),
        ("search=github:octo", "search"),
        ("search=o&order=id", "order"),
    ] {
        let problem = plaudit.get(&format!("/v1/contributors?{query}")).await.problem(400, "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], field, "{query}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn the_leaderboard_of_all_hosts_is_in_one_order_whatever_the_pages() {
    let plaudit = Plaudit::start().await;
    let logins = ["ada", "bo", "kim"];
    let names = ["github:", "gitlab:", "git.example.org:", ""]
        .map(|host| logins.map(|login| format!("{host}{login}")));
    let mut expected = Vec::new();
    for (place, who) in names.as_flattened().iter().enumerate() {
        let tally = 1 + place % 4 / 2;
        for i in 0..tally {
            plaudit.post(&talk(who, &format!("{who}-{i}"))).await.expect(201);
        }
        expected.push((tally, who.as_str()));
    }
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().rev().map(|(_, who)| who).collect();
    for limit in [1, 2, 5, 12, 100] {
        let found = plaudit.all(&format!("/v1/contributors?limit={limit}")).await;
        assert_eq!(ids(&found), expected, "{limit}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn contributions_of_a_contributor_or_a_repository_are_narrowed_by_kind_and_time() {
    let plaudit = Plaudit::with(&[("PLAUDIT_PUBLIC_READ", "true")]).await;
    let done = [
        ("mona", "talk", "o/r"),
        ("mona", "review", "o/r"),
        ("lisa", "talk", "o/r"),
        ("mona", "talk", "o/x"),
    ];
    for (i, (who, kind, repository)) in done.iter().enumerate() {
        let post = json!({"contributor": who, "kind": kind, "id": format!("n{i}"), "repository": repository});
        plaudit.post(&post).await.expect(201);
    }
    let ledger = Connection::open(plaudit.database()).unwrap();
    let change = |sql: &str| assert_eq!(ledger.execute(sql, []).unwrap(), 1);
    // The second was counted at the beginning of 2100, and the third is private.
    change("UPDATE contributions SET recorded_at = 4102444800000000 WHERE id = 'api:api:n1'");
    change("UPDATE contributions SET private = 1 WHERE id = 'api:api:n2'");
    let found = async |client: &Client, query: &str| {
        let items = client.all(&format!("/v1/contributions?limit=1&{query}")).await;
        let own = ids(&items).into_iter().map(|id| id.trim_start_matches("api:api:").to_owned());
        own.collect::<Vec<_>>().join(" ")
    };
    let stranger = plaudit.stranger();
    assert_eq!(found(&stranger, "repository=o/r").await, "n1 n0");
    assert_eq!(found(&plaudit, "repository=o%2Fr").await, "n1 n2 n0");
    assert_eq!(found(&stranger, "contributor=MONA").await, "n1 n3 n0");
    assert_eq!(found(&stranger, "contributor=mona&kind=talk").await, "n3 n0");
    assert_eq!(found(&stranger, "contributor=mona&since=2100-01-01T00:00:00Z").await, "n1");
    assert_eq!(found(&stranger, "contributor=mona&until=2100-01-01T01:00:00%2B01:00").await, "n3 n0");
    assert_eq!(found(&stranger, "contributor=nobody").await, "");
    let narrowed = "/v1/contributors/mona/contributions?limit=1&kind=talk&until=2100-01-01T00:00:00Z";
    assert_eq!(ids(&stranger.all(narrowed).await), ["api:api:n3", "api:api:n0"]);

    let query = "kind=talk&limit=1&repository=o%2Fr&retracted=true";
    let page = plaudit.get(&format!("/v1/contributions?{query}")).await.expect(200);
    let next = page.json()["next"].as_str().unwrap().to_owned();
    assert!(next.starts_with(&format!("/v1/contributions?{query}&cursor=")), "{next}");
    assert_eq!(page.header("link"), format!("<{next}>; rel=\"next\""));
    for (query, field) in [
        ("", "contributor"),
        ("contributor=mona&repository=o/r", "contributor"),
        ("repository=", "repository"),
        ("contributor=a/b", "contributor"),
        ("contributor=mona&kind=A%20talk", "kind"),
        ("contributor=mona&since=yesterday", "since"),
        ("contributor=mona&until=2100-01-01", "until"),
        ("contributor=mona&retracted=perhaps", "retracted"),
    ] {
        let problem = plaudit.get(&format!("/v1/contributions?{query}")).await.problem(400, "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], field, "{query}");
    }
    stranger.get("/v1/contributions?contributor=mona&retracted=true").await.problem(401, "token_needed");
    plaudit.stop().await;
}

#[tokio::test]
async fn recognitions_are_narrowed_by_contributor_and_time() {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "1,2")]).await;
    for (who, id) in [("mona", "a"), ("lisa", "b"), ("mona", "c")] {
        plaudit.post(&talk(who, id)).await.expect(201);
    }
    let found = async |query: &str| plaudit.all(&format!("/v1/recognitions?limit=1&{query}")).await;
    assert_eq!(ids(&found("contributor=Mona").await), ["mona:2", "mona:1"]);
    assert!(found("contributor=nobody").await.is_empty());
    let all = found("since=2000-01-01T00:00:00Z").await;
    assert_eq!(ids(&all), ["mona:2", "lisa:1", "mona:1"]);
    let last = all[0]["recognized_at"].as_str().unwrap();
    assert_eq!(ids(&found(&format!("since={last}")).await), ["mona:2"]);
    plaudit.stop().await;
}
