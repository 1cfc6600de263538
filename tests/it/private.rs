//! Private contributions count, and are shown only with a token.

use serde_json::{Value, json};

use crate::support::{Plaudit, TOKEN, fixture, pull_request};

/// Makes two public contributions and a private one, which is the third.
async fn third_is_private() -> (Plaudit, String) {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    for number in [1, 2] {
        plaudit.github("pull_request", &pull_request(number, "mona")).await.expect(200);
    }
    let mut payload: Value = serde_json::from_str(&pull_request(3, "mona")).unwrap();
    payload["repository"]["private"] = true.into();
    payload["repository"]["visibility"] = "private".into();
    payload["repository"]["full_name"] = "harbour-lights/hush-hush".into();
    payload["pull_request"]["title"] = "A plan for nobody's eyes".into();
    let answer = plaudit.github("pull_request", &payload.to_string()).await.expect(200).json();
    assert_eq!(answer["contributions"][0]["recognitions"], json!(["github:mona:3"]));
    let id = answer["contributions"][0]["id"].as_str().unwrap().to_owned();
    (plaudit, id)
}

#[tokio::test]
async fn a_private_contribution_counts_and_is_shown_with_a_token_only() {
    let (plaudit, id) = third_is_private().await;
    let stranger = plaudit.stranger();
    assert_eq!(stranger.tallies().await["github:mona"], 3, "it counts");
    stranger.get(&format!("/v1/contributions/{id}")).await.problem(404, "not_found");
    stranger.with_token("wrong").get(&format!("/v1/contributions/{id}")).await.problem(404, "not_found");
    let shown = plaudit.get(&format!("/v1/contributions/{id}")).await.expect(200).json();
    assert_eq!((&shown["private"], &shown["repository"]), (&json!(true), &json!("harbour-lights/hush-hush")));

    let list = "/v1/contributors/github:mona/contributions?limit=1";
    assert_eq!(stranger.all(list).await.len(), 2);
    assert!(stranger.all(list).await.iter().all(|c| c["id"] != id.as_str()));
    assert_eq!(plaudit.all(list).await.len(), 3);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_recognition_reached_in_private_does_not_say_by_what() {
    let (plaudit, id) = third_is_private().await;
    let stranger = plaudit.stranger();
    for (client, shown) in [(&stranger, json!(null)), (&plaudit.client, json!(id))] {
        assert_eq!(client.all("/v1/recognitions").await[0]["contribution"]["id"], shown, "the list");
        let one = client.get("/v1/recognitions/github:mona:3").await.expect(200).json();
        assert_eq!(one["contribution"]["id"], shown, "by id");
        assert_eq!((&one["milestone"], &one["tally"]), (&json!(3), &json!(3)));
    }
    // The stream, live and resumed.
    let (mut public, mut trusted) = (stranger.stream(None).await, plaudit.stream(None).await);
    let confidential = fixture("gitlab/issue.open.confidential_by_field.json");
    let mut payload: Value = serde_json::from_str(&confidential).unwrap();
    for iid in [901, 902, 903] {
        payload["object_attributes"]["iid"] = iid.into();
        plaudit.gitlab("Issue Hook", &payload.to_string()).await.expect(200);
    }
    let heard = public.next().await.unwrap();
    assert_eq!(heard.data["contribution"], json!(null));
    let heard_too = trusted.next().await.unwrap();
    assert_eq!(heard_too.id, heard.id);
    assert_eq!(heard_too.data["contribution"]["kind"], "issue");
    let resumed = stranger.stream(Some("github:mona:3")).await.next().await.unwrap();
    assert_eq!(resumed, heard);
    drop((public, trusted));

    plaudit.drain().await;
    plaudit.logged("recognition github:mona:3 published").await;
    for line in plaudit.log.lines() {
        for secret in ["nobody's eyes", "hush-hush"] {
            assert!(!line.contains(secret), "the log shows what is private: {line}");
        }
    }
    let said =
        plaudit.log.lines().into_iter().find(|line| line.contains("recognition github:mona:3 published"));
    let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
    let said: Value = serde_json::from_str(said["said"].as_str().unwrap()).unwrap();
    assert_eq!(said["contribution"], json!(null));
    plaudit.stop().await;
}

#[tokio::test]
async fn a_confidential_issue_is_private_however_the_host_says_so() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let stranger = plaudit.stranger();
    for (event, file) in [
        ("Confidential Issue Hook", "confidential_issue.open.by_header"),
        ("Issue Hook", "issue.open.confidential_by_event_type"),
        ("Issue Hook", "issue.open.confidential_by_field"),
    ] {
        let answer = plaudit.gitlab(event, &fixture(&format!("gitlab/{file}.json"))).await.expect(200).json();
        let id = answer["contributions"][0]["id"].as_str().unwrap();
        stranger.get(&format!("/v1/contributions/{id}")).await.problem(404, "not_found");
        plaudit.get(&format!("/v1/contributions/{id}")).await.expect(200);
    }
    plaudit.stop().await;
}
