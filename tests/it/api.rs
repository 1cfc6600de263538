//! Contributions that any client posts.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Plaudit, TOKEN, talk};

fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_post_is_counted_and_answered_with_what_was_kept() {
    let plaudit = Plaudit::start().await;
    let body = json!({
        "contributor": "GitHub:Octocat", "kind": "talk", "id": "talk-17", "source": "meetup",
        "occurred_at": "2026-11-24T11:00:00+01:00", "title": "Über Zähler", "url": "https://example.org/17",
        "repository": "octo/hello",
    });
    let answer = plaudit.post(&body).await.expect(201).json();
    let kept = json!({
        "id": "api:meetup:talk-17", "contributor": "github:octocat", "kind": "talk",
        "occurred_at": "2026-11-24T10:00:00Z", "title": "Über Zähler", "url": "https://example.org/17",
        "repository": "octo/hello", "tally": 1, "recognitions": [],
    });
    assert_eq!(answer, kept);
    let mut shown = plaudit.get("/v1/contributions/api:meetup:talk-17").await.expect(200).json();
    let shown = shown.as_object_mut().unwrap();
    assert!(shown.remove("recorded_at").unwrap().is_string());
    assert_eq!(shown.remove("private"), Some(json!(false)));
    assert_eq!(shown.remove("retracted"), Some(json!(false)));
    let kept = kept.as_object().unwrap().clone();
    let kept = kept.into_iter().filter(|(name, _)| name != "tally" && name != "recognitions").collect();
    assert_eq!(*shown, kept);
    plaudit.stop().await;
}

#[tokio::test]
async fn fifty_copies_at_once_count_once() {
    let plaudit = Plaudit::start().await;
    let body = talk("mona", "the-same");
    let mut statuses: Vec<_> =
        join_all((0..50).map(|_| plaudit.post(&body))).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[..49], [200; 49]);
    assert_eq!(statuses[49], 201);
    assert_eq!(plaudit.tallies().await["mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_same_id_again_is_200_and_with_another_body_422() {
    let plaudit = Plaudit::start().await;
    let first = plaudit.post(&talk("mona", "a")).await.expect(201).json();
    let again = plaudit.post(&talk("Mona", "a")).await.expect(200).json();
    assert_eq!(again, first, "the time it was given at first is kept");
    for other in [
        json!({"contributor": "lisa", "kind": "talk", "id": "a"}),
        json!({"contributor": "mona", "kind": "walk", "id": "a"}),
        json!({"contributor": "mona", "kind": "talk", "id": "a", "title": ""}),
        json!({"contributor": "mona", "kind": "talk", "id": "a", "occurred_at": "2026-11-24T10:00:00Z"}),
    ] {
        plaudit.post(&other).await.problem(422, "conflict");
    }
    plaudit
        .post(&json!({"contributor": "mona", "kind": "talk", "id": "a", "source": "else"}))
        .await
        .expect(201);
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 2)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn the_same_key_again_is_200_quoted_or_not_and_with_another_body_422() {
    let plaudit = Plaudit::start().await;
    let body = json!({"contributor": "mona", "kind": "talk"});
    let first = plaudit.post_with_key("8e03978e-40d5", &body).await.expect(201).json();
    assert_eq!(plaudit.post_with_key("8e03978e-40d5", &body).await.expect(200).json(), first);
    assert_eq!(plaudit.post_with_key("\"8e03978e-40d5\"", &body).await.expect(200).json(), first);
    plaudit.post_with_key("\"8e03978e-40d5\"", &talk("lisa", "x")).await.problem(400, "invalid_fields");
    let other = json!({"contributor": "lisa", "kind": "talk"});
    plaudit.post_with_key("8e03978e-40d5", &other).await.problem(422, "conflict");
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("api:api:") && !id.contains("8e03978e"), "a key is not for everyone to see: {id}");
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 1)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn of_two_clients_with_one_key_at_the_same_time_exactly_one_gets_201() {
    let plaudit = Plaudit::start().await;
    for round in 0..25 {
        let key = format!("key-{round}");
        let (mona, lisa) =
            (json!({"contributor": "mona", "kind": "talk"}), json!({"contributor": "lisa", "kind": "talk"}));
        let other = plaudit.with_token(TOKEN);
        let (a, b) = tokio::join!(plaudit.post_with_key(&key, &mona), other.post_with_key(&key, &lisa));
        let mut both = [a.status, b.status];
        both.sort_unstable();
        assert_eq!(both, [201, 422]);
        let same = talk("same", &key);
        let (c, d) = tokio::join!(plaudit.post(&same), other.post(&same));
        let mut both = [c.status, d.status];
        both.sort_unstable();
        assert_eq!(both, [200, 201]);
    }
    let tallies = plaudit.tallies().await;
    assert_eq!(tallies["same"], 25);
    let sum: u64 = ["mona", "lisa"].iter().filter_map(|who| tallies.get(*who)).sum();
    assert_eq!(sum, 25);
    plaudit.stop().await;
}

#[tokio::test]
async fn an_id_and_a_key_together_are_refused() {
    let plaudit = Plaudit::start().await;
    let problem = plaudit.post_with_key("k", &talk("mona", "a")).await.problem(400, "invalid_fields");
    assert_eq!(fields(&problem), ["id"]);
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn without_id_and_key_every_post_is_new() {
    let plaudit = Plaudit::start().await;
    let body = json!({"contributor": "mona", "kind": "talk"});
    let first = plaudit.post(&body).await.expect(201).json();
    let second = plaudit.post(&body).await.expect(201).json();
    assert_ne!(first["id"], second["id"]);
    let id = first["id"].as_str().unwrap().strip_prefix("api:api:").unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
    plaudit.stop().await;
}

#[tokio::test]
async fn no_post_can_take_the_id_of_what_a_host_sent() {
    let plaudit = Plaudit::start().await;
    let body = json!({"contributor": "mallory", "kind": "talk", "id": "github:1296269:pull_request:7"});
    let answer = plaudit.post(&body).await.expect(201).json();
    assert_eq!(answer["id"], "api:api:github:1296269:pull_request:7");
    for source in ["github:1296269", "github/1", "GitHub", "", "a b"] {
        let body = json!({"contributor": "mallory", "kind": "talk", "id": "7", "source": source});
        let problem = plaudit.post(&body).await.problem(400, "invalid_fields");
        assert_eq!(fields(&problem), ["source"], "{source:?}");
    }
    let body = json!({"contributor": "mallory", "kind": "talk", "id": "1296269:issue:7", "source": "github"});
    let id = plaudit.post(&body).await.expect(201).json()["id"].clone();
    assert_eq!(id, "api:github:1296269:issue:7");
    plaudit.stop().await;
}

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let plaudit = Plaudit::start().await;
    let body = json!({
        "contributor": "a/b", "kind": "Talk!", "id": "", "source": "No", "occurred_at": "yesterday",
        "title": "x".repeat(501), "url": "javascript:alert(1)", "repository": 7, "titel": "a slip",
    });
    let problem = plaudit.post_with_key("k", &body).await.problem(400, "invalid_fields");
    let mut named = fields(&problem);
    named.sort_unstable();
    named.dedup();
    let all = ["contributor", "id", "kind", "occurred_at", "repository", "source", "titel", "title", "url"];
    assert_eq!(named, all);
    let problem = plaudit.post(&json!({})).await.problem(400, "invalid_fields");
    assert_eq!(fields(&problem), ["contributor", "kind"]);
    for (kind, who) in [("talk", ""), ("talk", " mona"), ("talk", "a\u{7}"), ("talk", "a:"), ("talk", ":a")] {
        let problem = plaudit.post(&json!({"contributor": who, "kind": kind})).await;
        assert_eq!(fields(&problem.problem(400, "invalid_fields")), ["contributor"], "{who:?}");
    }
    let longest = "x".repeat(200);
    plaudit
        .post(&json!({"contributor": longest, "kind": "talk", "title": "ä".repeat(500)}))
        .await
        .expect(201);
    let problem = plaudit.post(&json!({"contributor": format!("{longest}x"), "kind": "talk"})).await;
    problem.problem(400, "invalid_fields");
    plaudit.stop().await;
}

#[tokio::test]
async fn what_is_no_object_of_texts_is_400() {
    let plaudit = Plaudit::start().await;
    let deep = "[".repeat(60_000);
    for body in ["", "null", "[]", "\"mona\"", "{", "{\"contributor\"", "\u{0}", deep.as_str(), "{} {}"] {
        let request = plaudit.request(Method::POST, "/v1/contributions");
        let request = request.header("content-type", "application/json").body(body.to_owned());
        plaudit.send(request).await.problem(400, "malformed");
    }
    let request = plaudit.request(Method::POST, "/v1/contributions");
    let request =
        request.header("content-type", "application/json").body(b"{\"contributor\": \"\xff\"}".to_vec());
    plaudit.send(request).await.problem(400, "malformed");
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_without_being_repeated() {
    let plaudit = Plaudit::start().await;
    let body = format!("\"{}\"", "mona ".repeat(10_000));
    let request = plaudit.request(Method::POST, "/v1/contributions");
    let request = request.header("content-type", "application/json").body(body);
    let problem = plaudit.send(request).await.problem(400, "malformed");
    assert_eq!(problem["detail"], "the body is not a JSON object: it is another kind of value");
    plaudit.stop().await;
}

#[tokio::test]
async fn odd_ids_are_kept_and_found_as_they_are() {
    let plaudit = Plaudit::start().await;
    let ids = [
        "../../etc/passwd",
        "a/b?c=d#e",
        "%2F",
        "ünï",
        "\u{202e}rtl",
        "'; DROP TABLE contributions; --",
        "a b",
        "+",
        "\u{1f44f}",
        "..",
        "__x__",
        "\\",
        "\"",
    ];
    for id in ids {
        let answer = plaudit.post(&talk("mona", id)).await.expect(201).json();
        let expected = format!("api:api:{id}");
        assert_eq!(answer["id"], expected);
        let segment = percent_encoding::utf8_percent_encode(&expected, percent_encoding::NON_ALPHANUMERIC);
        let shown = plaudit.get(&format!("/v1/contributions/{segment}")).await.expect(200).json();
        assert_eq!(shown["id"], expected);
    }
    assert_eq!(plaudit.tallies().await["mona"], ids.len() as u64);
    for id in ["", "a\nb", "a\u{0}b", "\u{1b}[31m", &"x".repeat(1_001)] {
        let problem = plaudit.post(&talk("mona", id)).await.problem(400, "invalid_fields");
        assert_eq!(fields(&problem), ["id"], "{id:?}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn look_alikes_are_different_contributors_and_case_is_not() {
    let plaudit = Plaudit::start().await;
    for (id, who) in [("1", "github:mona"), ("2", "GitHub:MONA"), ("3", "m\u{43e}na"), ("4", "mona")] {
        plaudit.post(&talk(who, id)).await.expect(201);
    }
    plaudit.post(&talk("github:m\u{43e}na", "5")).await.problem(400, "invalid_fields");
    let tallies = plaudit.tallies().await;
    assert_eq!(tallies, [("github:mona".into(), 2), ("m\u{43e}na".into(), 1), ("mona".into(), 1)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn every_failure_is_a_problem_with_the_requests_id() {
    let plaudit = Plaudit::start().await;
    let post = || plaudit.request(Method::POST, "/v1/contributions");
    let json = || post().header("content-type", "application/json");
    plaudit.get("/nowhere").await.problem(404, "not_found");
    plaudit.get("/v1/contributions/api:api:none").await.problem(404, "not_found");
    plaudit.get("/v1/contributors/none").await.problem(404, "not_found");
    plaudit.get("/v1/contributors/none/contributions").await.problem(404, "not_found");
    plaudit.get("/v1/recognitions/none").await.problem(404, "not_found");
    plaudit.send(plaudit.request(Method::POST, "/webhooks/sourcehut")).await.problem(404, "not_found");
    let wrong = plaudit.get("/v1/contributions/batch").await;
    assert_eq!(wrong.header("allow"), "POST");
    wrong.problem(405, "method_not_allowed");
    plaudit
        .send(plaudit.request(Method::DELETE, "/v1/recognitions"))
        .await
        .problem(405, "method_not_allowed");
    plaudit.send(post().body("{}")).await.problem(415, "unsupported");
    plaudit.send(post().header("content-type", "text/plain").body("{}")).await.problem(415, "unsupported");
    plaudit.send(json().header("content-encoding", "gzip").body("{}")).await.problem(415, "unsupported");
    let large = talk("mona", "large").to_string() + &" ".repeat(65 * 1024);
    plaudit.send(json().body(large.clone())).await.problem(413, "body_too_large");
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(large.into_bytes())]);
    plaudit.send(json().body(reqwest::Body::wrap_stream(chunks))).await.problem(413, "body_too_large");
    let charset = post().header("content-type", "application/json; charset=utf-8");
    plaudit.send(charset.body(talk("mona", "a").to_string())).await.expect(201);
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 1)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_contributor_who_is_left_out_is_refused_by_name() {
    let plaudit = Plaudit::with(&[("PLAUDIT_IGNORE", "github:*-robot,Mona")]).await;
    for who in ["github:My-Robot", "mona"] {
        let problem = plaudit.post(&json!({"contributor": who, "kind": "talk"})).await.expect(400).json();
        assert_eq!(fields(&problem), ["contributor"]);
    }
    plaudit.post(&json!({"contributor": "grace", "kind": "talk"})).await.expect(201);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_account_of_a_machine_or_a_ghost_is_refused_by_name_unless_it_is_a_person() {
    let machines = [
        "github:dependabot[bot]",
        "GitHub:Web-Flow",
        "github:ghost",
        "gitlab:project_1_bot_x",
        "gitlab:ghost",
        "git.example.org:group_7_bot",
        "git.example.org:ghost",
        "github.com:k8s-ci-robot",
    ];
    let people = machines.join(",").replace("github.com", "github");
    for (settings, status) in [(vec![], 400), (vec![("PLAUDIT_PEOPLE", people.as_str())], 201)] {
        let plaudit = Plaudit::with(&settings).await;
        for who in machines {
            let answer = plaudit.post(&json!({"contributor": who, "kind": "talk"})).await.expect(status);
            if status == 400 {
                assert_eq!(fields(&answer.json()), ["contributor"], "{who}");
            }
        }
        // A plain name is no account, and a login of one host is none of another.
        for who in ["ghost", "web-flow", "github:project_1_bot_x", "gitlab:k8s-ci-robot"] {
            plaudit.post(&json!({"contributor": who, "kind": "talk"})).await.expect(201);
        }
        plaudit.stop().await;
    }
}

#[tokio::test]
async fn a_recognition_is_found_by_its_own_id_whatever_its_letters() {
    let plaudit = Plaudit::start().await;
    for n in 1..=3 {
        let kelvin = json!({"contributor": "\u{212a}elvin", "kind": "talk", "id": n.to_string()});
        plaudit.post(&kelvin).await.expect(201);
    }
    let made = plaudit.get("/v1/recognitions").await.expect(200).json();
    assert_eq!(made["items"][0]["id"], "\u{212a}elvin:3");
    plaudit.get("/v1/recognitions/%E2%84%AAelvin:3").await.expect(200);
    plaudit.get("/v1/contributors/kelvin").await.expect(404);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_leap_second_is_the_same_in_every_answer() {
    let plaudit = Plaudit::start().await;
    let leap =
        json!({"contributor": "ada", "kind": "talk", "id": "leap", "occurred_at": "2016-12-31T23:59:60Z"});
    let posted = plaudit.post(&leap).await.expect(201).json();
    let shown = plaudit.get("/v1/contributions/api:api:leap").await.expect(200).json();
    assert_eq!(posted["occurred_at"], shown["occurred_at"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_new_contribution_is_answered_with_its_location() {
    let plaudit = Plaudit::start().await;
    for id in ["a", "a/b?c=d#e", "%2F", "\u{fc}n\u{ef}", "..", "'; --"] {
        let answer = plaudit.post(&talk("mona", id)).await.expect(201);
        let shown = plaudit.get(answer.header("location")).await.expect(200).json();
        assert_eq!(shown["id"], answer.json()["id"]);
        let again = plaudit.post(&talk("mona", id)).await.expect(200);
        assert_eq!(again.header("location"), "", "nothing was made");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_name_with_invisible_or_direction_changing_characters_is_refused() {
    let plaudit = Plaudit::start().await;
    let hidden = "\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{fff9}\u{e0041}";
    for c in hidden.chars() {
        for who in [format!("mo{c}na"), format!("{c}mona"), format!("github:mona{c}")] {
            let problem = plaudit.post(&talk(&who, "a")).await.problem(400, "invalid_fields");
            assert_eq!(fields(&problem), ["contributor"], "{who:?}");
        }
        let body = json!({"contributor": "mona", "kind": "talk", "repository": format!("octo/he{c}llo")});
        let problem = plaudit.post(&body).await.problem(400, "invalid_fields");
        assert_eq!(fields(&problem), ["repository"], "{c:?}");
    }
    for who in ["M\u{f6}na", "\u{5d0}\u{5d3}\u{5d4}", "\u{907}\u{938}\u{94d}", "\u{1f44f}", "a b"] {
        plaudit.post(&json!({"contributor": who, "kind": "talk"})).await.expect(201);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_field_that_is_given_twice_is_refused_by_name() {
    let plaudit = Plaudit::start().await;
    for (body, field) in [
        (r#"{"contributor": "mona", "kind": "talk", "contributor": "lisa"}"#, "contributor"),
        (r#"{"contributor": "mona", "kind": "talk", "kind": "talk"}"#, "kind"),
        (r#"{"contributor": "mona", "kind": "talk", "id": null, "i\u0064": "a"}"#, "id"),
        (r#"{"id": "a", "contributor": "mona", "id": "b", "kind": "talk", "id": "c"}"#, "id"),
    ] {
        let request = plaudit.request(Method::POST, "/v1/contributions");
        let request = request.header("content-type", "application/json").body(body);
        let problem = plaudit.send(request).await.problem(400, "invalid_fields");
        assert_eq!(fields(&problem), [field], "{body}");
    }
    assert!(plaudit.tallies().await.is_empty());
    plaudit.stop().await;
}
