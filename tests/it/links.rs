//! Two accounts of one person, linked and unlinked through the API and the command line.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Environment, Plaudit, TOKEN, fixture, talk};

async fn put(plaudit: &Client, contributor: &str, account: &str) -> Answer {
    let path = format!("/v1/contributors/{contributor}/accounts/{account}");
    plaudit.send(plaudit.request(Method::PUT, &path)).await
}

async fn delete(plaudit: &Client, contributor: &str, account: &str) -> Answer {
    let path = format!("/v1/contributors/{contributor}/accounts/{account}");
    plaudit.send(plaudit.request(Method::DELETE, &path)).await
}

async fn contribute(plaudit: &Client, who: &str, count: usize) -> Value {
    let mut last = Value::Null;
    for number in 0..count {
        last = plaudit.post(&talk(who, &format!("{who}-{number}"))).await.expect(201).json();
    }
    last
}

/// An issue by an account, at a minute of the day.
async fn issue(plaudit: &Client, number: u64, login: &str, id: u64, minute: u32) -> Value {
    let mut payload: Value = serde_json::from_str(&fixture("github/issues.opened.json")).unwrap();
    let at = format!("2026-11-20T12:{minute:02}:00Z");
    let issue = &mut payload["issue"];
    issue["number"] = number.into();
    issue["user"]["login"] = login.into();
    issue["user"]["id"] = id.into();
    issue["created_at"] = at.clone().into();
    issue["updated_at"] = at.into();
    plaudit.github("issues", &payload.to_string()).await.expect(200).json()["contributions"][0].clone()
}

#[tokio::test]
async fn two_linked_accounts_are_one_contributor_and_apart_again() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN), ("PLAUDIT_MILESTONES", "3,5")]).await;
    contribute(&plaudit, "gitlab:mona", 3).await;
    contribute(&plaudit, "github:mona", 1).await;
    let linked = json!({"account": "gitlab:mona", "contributor": "github:mona", "tally": 4, "recognized": 3});
    for _ in 0..2 {
        assert_eq!(put(&plaudit, "GitHub:Mona", "GitLab:Mona").await.expect(200).json(), linked);
    }
    assert_eq!(plaudit.tallies().await.into_iter().collect::<Vec<_>>(), [("github:mona".to_owned(), 4)]);
    let shown = plaudit.get("/v1/contributors/gitlab:mona").await.expect(200).json();
    assert_eq!((&shown["id"], &shown["tally"]), (&json!("github:mona"), &json!(4)));
    assert_eq!(shown["accounts"], json!([{"id": "gitlab:mona", "user_id": null, "linked": true}]));
    assert_eq!(plaudit.all("/v1/contributors/gitlab:mona/contributions").await.len(), 4);
    assert_eq!(plaudit.all("/v1/recognitions?contributor=github:mona").await[0]["id"], "gitlab:mona:3");
    assert!(plaudit.get("/contributors/gitlab%3Amona").await.expect(200).text.contains("github:mona"));

    // The fifth, under the account, is recognised for the contributor.
    let posted = plaudit.post(&talk("gitlab:mona", "fifth")).await.expect(201).json();
    assert_eq!((&posted["contributor"], &posted["tally"]), (&json!("github:mona"), &json!(5)), "{posted}");
    assert_eq!(posted["recognitions"], json!(["github:mona:5"]));

    let apart = delete(&plaudit, "github:mona", "gitlab:mona").await.expect(200).json();
    assert_eq!(apart["account"], json!({"id": "gitlab:mona", "tally": 4, "recognized": 5}));
    assert_eq!(apart["contributor"], json!({"id": "github:mona", "tally": 1, "recognized": 5}));
    delete(&plaudit, "github:mona", "gitlab:mona").await.problem(404, "not_found");
    let sixth = plaudit.post(&talk("gitlab:mona", "sixth")).await.expect(201).json();
    assert_eq!((&sixth["tally"], &sixth["recognitions"]), (&json!(5), &json!([])), "it was held together");
    plaudit.drain_all().await;
    assert_eq!(plaudit.recognitions().await, ["github:mona:5", "gitlab:mona:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn linking_recognises_at_once_what_two_accounts_reach_together() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    contribute(&plaudit, "ada", 2).await;
    contribute(&plaudit, "countess", 1).await;
    put(&plaudit, "ada", "countess").await.expect(200);
    assert_eq!(plaudit.recognitions().await, ["ada:3"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_link_that_cannot_be_is_refused_with_the_reason() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    put(&plaudit, "ada", "countess").await.expect(200);
    let problem = put(&plaudit, "grace", "countess").await.problem(409, "linked");
    assert!(problem["detail"].as_str().unwrap().contains("linked to ada"), "{problem}");
    put(&plaudit, "ada", "ada").await.problem(409, "linked");
    put(&plaudit, "ada", "github:dependabot[bot]").await.problem(400, "invalid_fields");
    put(&plaudit, "ada", "github:9%2Bmona").await.expect(200);
    put(&plaudit, "ada", "gihtub:ada").await.problem(400, "invalid_fields");
    put(&plaudit.stranger(), "ada", "other").await.problem(401, "token_needed");
    delete(&plaudit.stranger(), "ada", "countess").await.problem(401, "token_needed");
    delete(&plaudit, "ada", "nobody").await.problem(404, "not_found");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_renamed_account_stays_one_contributor_and_a_taken_login_is_another() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    for number in 1..=2 {
        issue(&plaudit, number, "mona", 7, 1).await;
    }
    let third = issue(&plaudit, 3, "monalisa", 7, 5).await;
    assert_eq!((&third["contributor"], &third["tally"]), (&json!("github:monalisa"), &json!(3)), "{third}");
    assert_eq!(third["recognitions"], json!(["github:monalisa:3"]));
    let again = issue(&plaudit, 1, "mona", 7, 1).await;
    assert_eq!(
        (&again["contributor"], &again["recorded"]),
        (&json!("github:monalisa"), &json!(false)),
        "{again}"
    );
    let shown = plaudit.get("/v1/contributors/github:mona").await.expect(200).json();
    assert_eq!(shown["accounts"], json!([{"id": "github:mona", "user_id": 7, "linked": false}]));
    delete(&plaudit, "github:monalisa", "github:mona").await.problem(409, "linked");

    let other = issue(&plaudit, 4, "mona", 9, 30).await;
    assert_eq!((&other["contributor"], &other["tally"]), (&json!("github:9+mona"), &json!(1)), "{other}");
    let shown = plaudit.get("/v1/contributors/github:9%2Bmona").await.expect(200).json();
    assert_eq!((&shown["login"], &shown["url"]), (&json!("mona"), &json!("https://github.com/mona")));
    plaudit.stop().await;
}

#[tokio::test]
async fn a_rename_is_followed_though_both_names_are_stated_for_one_moment() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    for (number, login) in [(1, "mona"), (2, "monalisa"), (3, "mona")] {
        issue(&plaudit, number, login, 7, 1).await;
    }
    assert_eq!(plaudit.tallies().await.into_iter().collect::<Vec<_>>(), [("github:monalisa".to_owned(), 3)]);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_commands_link_and_unlink_accounts() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    contribute(&plaudit, "gitlab:mona", 2).await;
    let environment = Environment::in_folder(plaudit.folder()).with("PLAUDIT_TOKEN", TOKEN);
    let run = |arguments: &[&str]| {
        let mut all = vec![arguments[0], "--from", &plaudit.url];
        all.extend(&arguments[1..]);
        environment.run(&all)
    };
    let output = run(&["link", "gitlab:mona", "github:mona"]);
    assert_eq!(output.out, "gitlab:mona counts for github:mona, whose tally is 2", "{}", output.err);
    let output = run(&["unlink", "gitlab:mona"]);
    let expected = "gitlab:mona counts for itself again: its tally is 2, that of github:mona is 0";
    assert_eq!(output.out, expected, "{}", output.err);
    for unknown in ["gitlab:mona", "gitlab:unknown"] {
        let output = run(&["unlink", unknown]);
        let expected = format!("plaudit: {} has no linked account {unknown}", plaudit.url);
        assert_eq!((output.code, output.err), (Some(1), expected));
    }
    // Nothing of either has arrived yet.
    assert_eq!(run(&["link", "gitlab:grace", "github:grace"]).code, Some(0));
    assert_eq!(run(&["unlink", "gitlab:grace"]).code, Some(0));
    assert_eq!(run(&["link", "gitlab:mona"]).code, Some(2));
    plaudit.stop().await;
}

#[tokio::test]
async fn the_id_of_an_account_whose_login_another_one_had_is_taken_wherever_an_id_is() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    issue(&plaudit, 1, "mona", 7, 1).await;
    for number in 2..=4 {
        issue(&plaudit, number, "mona", 9, 5).await;
    }
    let id = "github:9%2Bmona";
    let shown = plaudit.get(&format!("/v1/contributors/{id}")).await.expect(200).json();
    assert_eq!((&shown["id"], &shown["user_id"]), (&json!("github:9+mona"), &json!(9)));
    assert_eq!(plaudit.all(&format!("/v1/contributors/{id}/contributions")).await.len(), 3);
    assert_eq!(plaudit.all(&format!("/v1/contributions?contributor={id}")).await.len(), 3);
    assert_eq!(plaudit.all(&format!("/v1/recognitions?contributor={id}")).await[0]["id"], "github:9+mona:3");
    plaudit.get(&format!("/v1/recognitions/{id}:3")).await.expect(200);
    for path in [format!("/contributors/{id}"), format!("/badges/{id}.svg")] {
        assert!(plaudit.get(&path).await.expect(200).text.contains("mona"), "{path}");
    }
    put(&plaudit, id, "gitlab:mona").await.expect(200);
    put(&plaudit, "ada", id).await.expect(200);
    delete(&plaudit, "ada", id).await.expect(200);
    let environment = Environment::in_folder(plaudit.folder()).with("PLAUDIT_TOKEN", TOKEN);
    for command in [
        &["show", "--from", &plaudit.url, "github:9+mona"][..],
        &["export", "--from", &plaudit.url, "github:9+mona"],
    ] {
        let output = environment.run(command);
        assert!(output.code == Some(0) && output.out.contains("github:9+mona"), "{}", output.err);
    }
    let path = format!("/v1/contributors/{id}");
    let forgot = plaudit.send(plaudit.request(Method::DELETE, &path)).await.expect(200).json();
    assert_eq!((&forgot["contributions"], &forgot["recognitions"]), (&json!(3), &json!(1)));
    plaudit.stop().await;
}

#[tokio::test]
async fn a_number_that_only_an_address_states_is_not_shown_as_the_accounts() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let mut push: Value = serde_json::from_str(&fixture("github/push.default_branch.json")).unwrap();
    let mut commit = push["commits"][0].clone();
    commit["author"] =
        json!({"name": "Mona", "email": "8+mona@users.noreply.github.com", "username": "mona"});
    commit["message"] = "Light the lamp".into();
    push["commits"] = json!([commit]);
    plaudit.github("push", &push.to_string()).await.expect(200);
    let shown = async || plaudit.get("/v1/contributors/github:mona").await.expect(200).json();
    assert_eq!(shown().await["user_id"], Value::Null);
    issue(&plaudit, 1, "mona", 7, 1).await;
    assert_eq!(shown().await["user_id"], 7);
    plaudit.stop().await;
}
