//! Authors of commits whose addresses no host knows, as a `.mailmap` names them.

use serde_json::{Value, json};

use crate::support::{Client, Environment, Plaudit, TOKEN, fixture};

const MAILMAP: &str = "# people\n\
    Mona <7+mona@users.noreply.github.com> <Mona@Home.example>\n\
    Mona <9-mona@users.noreply.gitlab.com> <mona@home.example>\n\
    Lin <4-lin@users.noreply.gitlab.com> Lin <shared@home.example>\n\
    Ada <ada@home.example> <ada@work.example>\n";

/// A push of one commit with this author, by somebody else.
fn push(host: &str, name: &str, address: &str, trailer: &str) -> String {
    let mut payload: Value =
        serde_json::from_str(&fixture(&format!("{host}/push.default_branch.json"))).unwrap();
    let mut commit = payload["commits"][0].clone();
    commit["author"] = json!({"name": name, "email": address});
    commit["committer"] = json!({"name": "GitHub", "email": "noreply@github.com"});
    commit["message"] = format!("Light the lamp\n\n{trailer}").into();
    let id = uuid::Uuid::new_v4().simple().to_string() + "00000000";
    commit["id"] = id.clone().into();
    payload["after"] = id.into();
    payload["commits"] = json!([commit]);
    payload["head_commit"] = payload["commits"][0].clone();
    payload.to_string()
}

async fn credited(plaudit: &Client, host: &str, name: &str, address: &str, trailer: &str) -> Vec<Value> {
    let body = push(host, name, address, trailer);
    let answer = match host {
        "github" => plaudit.github("push", &body).await,
        _ => plaudit.gitlab("Push Hook", &body).await,
    };
    let answer = answer.expect(200).json();
    answer["contributions"].as_array().unwrap().iter().map(|one| one["contributor"].clone()).collect()
}

async fn send(plaudit: &Client, text: &str) -> Value {
    let body = json!({"mailmap": text}).to_string();
    let request = plaudit.request(reqwest::Method::POST, "/v1/mailmap");
    plaudit.send(request.header("content-type", "application/json").body(body)).await.expect(200).json()
}

#[tokio::test]
async fn an_author_without_an_account_is_credited_as_the_mailmap_says_on_that_host_alone() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    for host in ["github", "gitlab"] {
        assert_eq!(credited(&plaudit, host, "Mona", "mona@home.example", "").await, [] as [&str; 0]);
    }
    let answer = send(&plaudit, MAILMAP).await;
    assert_eq!((&answer["addresses"], &answer["links"]), (&json!(3), &json!(0)), "{answer}");
    assert_eq!(answer["passed_over"][0]["line"], 5);
    assert_eq!(send(&plaudit, MAILMAP).await["addresses"], 0, "the same again changes nothing");

    assert_eq!(credited(&plaudit, "github", "Mona", "mona@home.example", "").await, ["github:mona"]);
    assert_eq!(credited(&plaudit, "gitlab", "M.", "MONA@home.example", "").await, ["gitlab:mona"]);
    assert_eq!(credited(&plaudit, "gitlab", "lin", "shared@home.example", "").await, ["gitlab:lin"]);
    assert_eq!(credited(&plaudit, "gitlab", "Kim", "shared@home.example", "").await, [] as [&str; 0]);
    let trailer = "Co-authored-by: Mona <mona@home.example>";
    assert_eq!(credited(&plaudit, "gitlab", "Kim", "kim@home.example", trailer).await, ["gitlab:mona"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_command_takes_a_mailmap_and_names_the_lines_that_it_passes_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".mailmap");
    std::fs::write(&file, MAILMAP).unwrap();
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let link = |file: &std::path::Path| {
        let environment = Environment::in_folder(&folder).with("PLAUDIT_TOKEN", TOKEN);
        environment.run(&["link", "--from", &plaudit.url, "--mailmap", file.to_str().unwrap()])
    };
    let output = link(&file);
    assert_eq!(
        (output.code, output.out.as_str()),
        (Some(0), "3 addresses are new or changed, 0 accounts are linked")
    );
    assert!(
        output.err.contains("line 5: the proper address is no noreply address of a host"),
        "{}",
        output.err
    );
    let missing = link(&folder.path().join("missing"));
    assert_eq!(missing.code, Some(2), "{}", missing.err);
    plaudit.stop().await;
}

#[tokio::test]
async fn whose_addresses_are_is_known_after_a_restart() {
    let mut plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    send(&plaudit, MAILMAP).await;
    plaudit.end().await;
    plaudit.restart().await;
    assert_eq!(credited(&plaudit, "gitlab", "Mona", "mona@home.example", "").await, ["gitlab:mona"]);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_mailmap_needs_a_token_that_may_do_everything_and_the_text_of_one() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let post = |client: &Client, body: &str| {
        let request = client.request(reqwest::Method::POST, "/v1/mailmap");
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let client = client.stranger();
        async move { client.send(request).await }
    };
    post(&plaudit.stranger(), r#"{"mailmap": ""}"#).await.problem(401, "token_needed");
    post(&plaudit, r#"{"mailmap": 7}"#).await.problem(400, "invalid_fields");
    post(&plaudit, r#"{"mailmap": "", "more": 1}"#).await.problem(400, "invalid_fields");
    post(&plaudit, "[]").await.problem(400, "invalid_fields");
    post(&plaudit, "{").await.problem(400, "malformed");
    let line = |n| format!("<7+a@users.noreply.github.com> <{n}@home.example>");
    let many = (0..5_001).map(line).collect::<Vec<_>>().join("\n");
    let body = json!({"mailmap": many}).to_string();
    post(&plaudit, &body).await.problem(400, "invalid_fields");
    plaudit.stop().await;
}

#[tokio::test]
async fn accounts_of_a_mailmap_are_linked_and_apart_again_with_all_that_they_do() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let work = "8+mona-work@users.noreply.github.com";
    let line = format!("Mona <7+mona@users.noreply.github.com> <{work}>\n");
    let bot = "Bot <49699333+dependabot[bot]@users.noreply.github.com> <9+other@users.noreply.github.com>\n";
    let answer = send(&plaudit, &(line + bot)).await;
    assert_eq!((&answer["addresses"], &answer["links"]), (&json!(0), &json!(1)), "{answer}");
    assert_eq!(answer["passed_over"][0]["line"], 2);
    assert_eq!(credited(&plaudit, "github", "Mona", work, "").await, ["github:mona"]);
    let path = "/v1/contributors/github:mona/accounts/github:mona-work";
    plaudit.send(plaudit.request(reqwest::Method::DELETE, path)).await.expect(200);
    assert_eq!(plaudit.tally("github:mona-work").await, 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn the_addresses_of_somebody_who_is_forgotten_are_dropped_and_nobody_elses() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    send(&plaudit, MAILMAP).await;
    assert_eq!(credited(&plaudit, "gitlab", "Mona", "mona@home.example", "").await, ["gitlab:mona"]);
    let link = "/v1/contributors/gitlab:mona/accounts/m";
    plaudit.send(plaudit.request(reqwest::Method::PUT, link)).await.expect(200);
    let renamed = "Mona <9-mona-before@users.noreply.gitlab.com> <before@home.example>\n";
    send(&plaudit, renamed).await;
    // By any of their accounts; and a login that is the name of what is kept.
    credited(&plaudit, "gitlab", "Mailmap", "5-mailmap@users.noreply.gitlab.com", "").await;
    for who in ["m", "gitlab:mailmap"] {
        let path = format!("/v1/contributors/{who}");
        plaudit.send(plaudit.request(reqwest::Method::DELETE, &path)).await.expect(200);
    }
    assert_eq!(credited(&plaudit, "gitlab", "Mona", "mona@home.example", "").await, [] as [&str; 0]);
    let book = rusqlite::Connection::open(plaudit.database()).unwrap();
    let sql = "SELECT value FROM bookmarks WHERE name = 'mailmap'";
    let left: String = book.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(!left.contains("9-mona"), "{left}");
    assert_eq!(credited(&plaudit, "gitlab", "Lin", "shared@home.example", "").await, ["gitlab:lin"]);
    plaudit.send(plaudit.request(reqwest::Method::PUT, link)).await.problem(400, "invalid_fields");
    plaudit.stop().await;
}

#[tokio::test]
async fn a_trailer_with_another_number_takes_nothing_of_the_author_of_the_commit() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    let mut opened: Value = serde_json::from_str(&fixture("github/issues.opened.json")).unwrap();
    for (number, login, id) in [(1, "mona", 7), (2, "evil", 9)] {
        opened["issue"]["number"] = number.into();
        opened["issue"]["user"]["login"] = login.into();
        opened["issue"]["user"]["id"] = id.into();
        plaudit.github("issues", &opened.to_string()).await.expect(200);
    }
    let body =
        push("github", "Mona", "m@private.example", "Co-authored-by: M <9+mona@users.noreply.github.com>");
    let mut payload: Value = serde_json::from_str(&body).unwrap();
    payload["commits"][0]["author"]["username"] = "mona".into();
    let answer = plaudit.github("push", &payload.to_string()).await.expect(200).json();
    assert_eq!(answer["contributions"][0]["contributor"], "github:mona", "{answer}");
    assert_eq!(plaudit.tally("github:evil").await, 1);
    plaudit.stop().await;
}

async fn issue(plaudit: &Client, number: u64, login: &str, id: u64, minute: u32) {
    let mut payload: Value = serde_json::from_str(&fixture("github/issues.opened.json")).unwrap();
    let at = format!("2026-11-20T12:{minute:02}:00Z");
    let issue = &mut payload["issue"];
    issue["number"] = number.into();
    issue["user"]["login"] = login.into();
    issue["user"]["id"] = id.into();
    issue["created_at"] = at.clone().into();
    issue["updated_at"] = at.into();
    plaudit.github("issues", &payload.to_string()).await.expect(200);
}

#[tokio::test]
async fn a_mailmap_links_the_accounts_that_have_the_numbers_in_its_addresses() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    for (number, login, id, minute) in [
        (1, "mona", 7, 1),
        (2, "monalisa", 7, 2),
        (3, "mona", 9, 3),
        (4, "mona-work", 8, 3),
        (5, "kim", 10, 3),
    ] {
        issue(&plaudit, number, login, id, minute).await;
    }
    let answer = send(
        &plaudit,
        "<9+mona@users.noreply.github.com> <8+mona-work@users.noreply.github.com>\n\
         <7+mona@users.noreply.github.com> <10+kim-before@users.noreply.github.com>\n",
    )
    .await;
    assert_eq!((&answer["links"], &answer["passed_over"]), (&json!(2), &json!([])), "{answer}");
    let tallies: Vec<_> = plaudit.tallies().await.into_iter().collect();
    assert_eq!(tallies, [("github:9+mona".to_owned(), 2), ("github:monalisa".to_owned(), 3)]);
    plaudit.stop().await;
}

#[tokio::test]
async fn lines_of_somebody_who_is_forgotten_are_passed_over_and_leave_nothing() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    issue(&plaudit, 1, "mona", 7, 1).await;
    issue(&plaudit, 2, "monalisa", 7, 2).await;
    send(&plaudit, "<9+mona@users.noreply.github.com> <other@home.example>\n").await;
    let path = "/v1/contributors/github:monalisa";
    plaudit.send(plaudit.request(reqwest::Method::DELETE, path)).await.expect(200);
    let answer = send(
        &plaudit,
        "<7+renamed@users.noreply.github.com> <a@home.example>\n\
         <mona@users.noreply.github.com> <b@home.example>\n\
         <7+mona@users.noreply.github.com> <9-kim@users.noreply.gitlab.com>\n\
         <9-kim@users.noreply.gitlab.com> <kim@home.example>\n",
    )
    .await;
    assert_eq!((&answer["addresses"], &answer["links"]), (&json!(1), &json!(0)), "{answer}");
    let lines: Vec<_> = answer["passed_over"].as_array().unwrap().iter().map(|one| &one["line"]).collect();
    assert_eq!(lines, [1, 2, 3], "{answer}");
    assert_eq!(answer["passed_over"][0]["detail"], "one of its accounts is forgotten");
    let book = rusqlite::Connection::open(plaudit.database()).unwrap();
    let sql = "SELECT value FROM bookmarks WHERE name = 'mailmap'";
    let left: String = book.query_row(sql, [], |row| row.get(0)).unwrap();
    // That one is of another account.
    assert!(
        !left.contains("7+") && left.matches("mona").count() == left.matches(" 9+mona@").count(),
        "{left}"
    );
    assert_eq!(left.lines().count(), 2, "{left}");
    plaudit.stop().await;
}

#[tokio::test]
async fn forgetting_somebody_whom_only_a_mailmap_names_drops_the_addresses_and_says_so() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    send(&plaudit, MAILMAP).await;
    let forget = || plaudit.send(plaudit.request(reqwest::Method::DELETE, "/v1/contributors/gitlab:lin"));
    let erased = json!({"forgotten": true, "contributions": 0, "recognitions": 0, "addresses": 1});
    assert_eq!(forget().await.expect(200).json(), erased);
    forget().await.problem(404, "not_found");
    let environment = Environment::in_folder(plaudit.folder()).with("PLAUDIT_TOKEN", TOKEN);
    let output = environment.run(&["forget", "--from", &plaudit.url, "gitlab:mona"]);
    assert!(output.out.contains(", 1 addresses of a .mailmap are dropped;"), "{} {}", output.out, output.err);
    plaudit.stop().await;
}

#[tokio::test]
async fn forgetting_again_leaves_the_addresses_of_who_has_the_login_now() {
    let plaudit = Plaudit::with(&[("PLAUDIT_API_TOKENS", TOKEN)]).await;
    issue(&plaudit, 1, "mona", 7, 1).await;
    issue(&plaudit, 2, "mona", 9, 2).await;
    send(
        &plaudit,
        "<7+mona@users.noreply.github.com> <seven@home.example>\n\
         <9+mona@users.noreply.github.com> <nine@home.example>\n",
    )
    .await;
    for addresses in [1, 0] {
        let path = "/v1/contributors/github:mona";
        let answer = plaudit.send(plaudit.request(reqwest::Method::DELETE, path)).await.expect(200).json();
        assert_eq!(answer["addresses"], addresses, "{answer}");
    }
    assert_eq!(credited(&plaudit, "github", "Nine", "nine@home.example", "").await, ["github:9+mona"]);
    plaudit.stop().await;
}
