//! `plaudit top` and `plaudit show`: the ledger of a running instance, in a terminal or as JSON lines.

use axum::Json;
use axum::extract::{Request, State};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use crate::support::machine::at_hand;
use crate::support::{NO_SECRETS, Output, Plaudit, TOKEN, command, on_terminal, pull_request, run, talk};

/// Runs a command of the program with standard output closed to a terminal.
fn piped(arguments: &[&str], url: &str, token: &str) -> Output {
    let settings = [("PLAUDIT_URL", url), ("PLAUDIT_TOKEN", token)];
    let given = settings.iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>();
    let given: Vec<_> = given.into_iter().copied().collect();
    run(command(&given).args(arguments))
}

/// The JSON lines that a command has printed.
fn lines(output: &Output) -> Vec<Value> {
    assert_eq!(output.code, Some(0), "{output:?}");
    output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a command of the program on a terminal without colours; its rows, whose last column may be of any length.
fn rows(arguments: &[&str], url: &str, token: &str) -> Vec<String> {
    let settings = [("PLAUDIT_URL", url), ("NO_COLOR", "1"), ("PLAUDIT_TOKEN", token)];
    let given = if token.is_empty() { &settings[..2] } else { &settings[..] };
    let Output { code, out, .. } = on_terminal(arguments, given);
    assert_eq!(code, Some(0), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
    out.lines().map(|row| row.trim_end().to_owned()).collect()
}

/// An instance in which ada has a public, a private and a retracted contribution, and is recognized at 2.
async fn ledger() -> Plaudit {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "2,10")]).await;
    plaudit.github("pull_request", &pull_request(1, "ada")).await.expect(200);
    let mut private: Value = serde_json::from_str(&pull_request(2, "ada")).unwrap();
    private["repository"]["private"] = true.into();
    private["repository"]["id"] = 77.into();
    private["pull_request"]["title"] = "Not for everyone".into();
    plaudit.github("pull_request", &private.to_string()).await.expect(200);
    plaudit.post(&talk("github:ada", "mistake")).await.expect(201);
    let retract = plaudit.request(Method::DELETE, "/v1/contributions/api:api:mistake");
    plaudit.send(retract).await.expect(200);
    plaudit
}

#[tokio::test]
async fn top_prints_the_leaderboard_page_by_page_up_to_its_limit() {
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    let posts = (0..105).map(|n| plaudit.post(&talk(&format!("who-{n:03}"), &format!("talk-{n}"))));
    join_all(posts).await;
    plaudit.post(&talk("ada", "first")).await.expect(201);
    plaudit.post(&talk("ada", "second")).await.expect(201);
    let all = plaudit.all("/v1/contributors?limit=100").await;
    assert_eq!((all.len(), &all[0]["id"]), (106, &json!("ada")));
    for (arguments, most) in [
        (&["top"][..], 10),
        (&["top", "--json"], 10),
        (&["top", "--limit", "3"], 3),
        (&["top", "--limit", "102"], 102),
        (&["top", "--limit", "1000"], 106),
    ] {
        assert_eq!(lines(&piped(arguments, &plaudit.url, "")), all[..most], "{arguments:?}");
    }
    let none = piped(&["top", "--limit", "0"], &plaudit.url, "");
    assert_eq!(none.code, Some(2), "{none:?}");
    plaudit.stop().await;
}

#[tokio::test]
async fn on_a_terminal_top_is_an_aligned_table_with_the_way_to_the_next_milestone() {
    if !at_hand("top on a terminal", &["script"]) {
        return;
    }
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "2,3")]).await;
    let empty = rows(&["top"], &plaudit.url, TOKEN);
    assert_eq!(empty, [format!("No contribution is counted yet at {}.", plaudit.url)]);
    for (who, tally) in [("bo", 3), ("貢献者", 2), ("a name of many letters that has no end", 1)] {
        for n in 0..tally {
            plaudit.post(&talk(who, &format!("{who}-{n}"))).await.expect(201);
        }
    }
    plaudit.drain_all().await;
    let table = rows(&["top"], &plaudit.url, TOKEN);
    let [heads, bo, wide, long] = &table[..] else { panic!("{table:#?}") };
    assert!(heads.contains("tally") && heads.contains("next milestone"), "{heads}");
    assert!(bo.starts_with("   1        3  ★ all reached  "), "{bo}");
    assert!(wide.starts_with("   2        2  ★ ●●○ 3 "), "{wide}");
    assert!(long.starts_with("   3        1    ●○ 2 "), "{long}");
    assert!(long.ends_with("a name of many letters that has no end"), "{long}");
    let place = |row: &String, name: &str| row[..row.find(name).unwrap()].width();
    let places = [place(heads, "contributor"), place(bo, "bo"), place(wide, "貢"), place(long, "a name")];
    assert_eq!(places, [places[0]; 4], "the columns are not aligned: {table:#?}");

    let settings = [("PLAUDIT_URL", plaudit.url.as_str()), ("PLAUDIT_TOKEN", TOKEN)];
    assert!(on_terminal(&["top"], &settings).out.contains("\u{1b}["), "no colour");
    assert!(on_terminal(&["top", "--json"], &settings).out.starts_with('{'));
    plaudit.stop().await;
}

#[tokio::test]
async fn show_says_why_a_contributor_has_the_tally() {
    let plaudit = ledger().await;
    // As JSON: what the API answers, in one line.
    let [all] = &lines(&piped(&["show", "GitHub:Ada"], &plaudit.url, TOKEN))[..] else { panic!("one line") };
    assert_eq!(all["contributor"], plaudit.get("/v1/contributors/github:ada").await.json());
    let path = "/v1/contributors/github:ada/contributions?retracted=true";
    assert_eq!(all["contributions"], json!(plaudit.all(path).await));
    assert_eq!(all["contributions"].as_array().unwrap().len(), 3);
    assert_eq!(all["recognitions"][0]["id"], "github:ada:2");
    // Without a token only what is public.
    let public = lines(&piped(&["show", "github:ada"], &plaudit.url, ""));
    assert_eq!(public[0]["contributions"].as_array().unwrap().len(), 1);

    if at_hand("show on a terminal", &["script"]) {
        let text = rows(&["show", "github:ada"], &plaudit.url, TOKEN).join("\n");
        let row =
            |words: &str| text.lines().find(|row| row.contains(words)).unwrap_or_else(|| panic!("{text}"));
        assert!(row("https://github.com/ada").starts_with("github:ada "), "{text}");
        assert!(row("2 counted, 8 more to the milestone of 10").starts_with("●●○○○○○○○○ "), "{text}");
        assert!(row("★ recognized at 2, on 20").contains('-'), "{text}");
        assert!(row("Not for everyone").contains("  counts, private  pull_request  "), "{text}");
        assert!(row("  talk ").contains("  taken back "), "{text}");
        assert_eq!(text.lines().filter(|row| row.contains("  counts    ")).count(), 1, "{text}");
        let text = rows(&["show", "github:ada"], &plaudit.url, "").join("\n");
        assert!(text.ends_with("1 more count and are private: set PLAUDIT_TOKEN to see them"), "{text}");
        assert!(!text.contains("Not for everyone") && !text.contains("taken back"), "{text}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn show_says_of_a_contribution_whether_it_counts_and_why_not() {
    let plaudit = ledger().await;
    let all = plaudit.all("/v1/contributors/github:ada/contributions?retracted=true").await;
    for contribution in &all {
        let id = contribution["id"].as_str().unwrap();
        let [shown] = &lines(&piped(&["show", id], &plaudit.url, TOKEN))[..] else { panic!("one line") };
        assert_eq!(shown["contribution"], *contribution);
        if !at_hand("show on a terminal", &["script"]) {
            continue;
        }
        let text = rows(&["show", id], &plaudit.url, TOKEN).join("\n");
        assert!(text.starts_with(id) && text.contains("  contributor   github:ada\n"), "{text}");
        let counts = match (contribution["retracted"] == true, contribution["private"] == true) {
            (true, _) => "  counts        no, because it was taken back",
            (false, true) => "  counts        yes; it is private",
            (false, false) => "  counts        yes",
        };
        assert!(text.contains(counts), "{text}");
    }
    let private = all.iter().find(|one| one["private"] == true).unwrap()["id"].as_str().unwrap();
    let hidden = piped(&["show", private], &plaudit.url, "");
    assert_eq!(hidden.code, Some(1), "{hidden:?}");
    assert!(hidden.err.contains("shown only with a token in PLAUDIT_TOKEN"), "{hidden:?}");
    plaudit.stop().await;
}

#[tokio::test]
async fn what_the_instance_does_not_have_is_one_line_and_exit_code_1() {
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    for id in ["github:nobody", "api:api:nothing", "a/b?c#d", "..", "github:1:issue:7", "with space"] {
        let Output { code, out, err } = piped(&["show", id], &plaudit.url, "");
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{id}: {err}");
        let expected = format!("{} has neither a contributor nor a contribution {id};", plaudit.url);
        assert!(err.contains(&expected), "{err}");
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_token_that_is_missing_wrong_or_for_something_else_is_a_sentence() {
    let settings = [("PLAUDIT_PUBLIC_READ", "false"), ("PLAUDIT_POST_TOKENS", "a-token-to-post")];
    let plaudit = Plaudit::with(&settings).await;
    let url = &plaudit.url;
    let set = "set PLAUDIT_TOKEN or PLAUDIT_TOKEN_FILE to a token that may read";
    for (token, sentence) in [
        ("", format!("plaudit: {url} asks for a token; {set}")),
        ("a-wrong-token", format!("plaudit: {url} does not know the token in PLAUDIT_TOKEN; {set}")),
        ("a-token-to-post", format!("plaudit: the token in PLAUDIT_TOKEN may not read {url}; {set}")),
    ] {
        for arguments in [&["top"][..], &["show", "ada"]] {
            let output = piped(arguments, url, token);
            assert_eq!((output.code, &output.err), (Some(1), &sentence), "{output:?}");
        }
    }
    let wrong = piped(&["top"], url, " ");
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    plaudit.stop().await;
}

/// Answers every request with the same page, which has items or not.
async fn endless(State(page): State<Value>) -> Json<Value> {
    Json(page)
}

#[tokio::test]
async fn a_list_that_has_no_end_or_no_items_ends_too() {
    let next = "/v1/contributors?limit=10";
    for (page, code) in [(json!({"items": [], "next": next}), 0), (json!({"page": "of a proxy"}), 1)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = plaudit::runtime::Tasks::default();
        tasks.spawn(
            axum::serve(listener, axum::Router::new().fallback(endless).with_state(page)).into_future(),
        );
        let settings = [("PLAUDIT_URL", url.as_str())];
        let mut top: tokio::process::Command = command(&settings).into();
        let output = top.arg("top").kill_on_drop(true).output();
        let output = crate::support::in_the_end("the end of top", output).await.unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{output:?}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(err.contains("not as plaudit does"), code == 1, "{err}");
    }
}

/// Answers every request with one page, whose `next` leads to another host or to no path of the API.
async fn hostile(State(next): State<String>, request: Request) -> Json<Value> {
    let moment = "2026-11-24T10:00:00Z";
    if request.uri().path() == "/v1/contributors" {
        let id = "a\u{1b}[2J\u{9b}31m\u{202e}b\r\n";
        let item =
            json!({"id": id, "tally": 1, "recognized": 0, "next_milestone": u64::MAX, "last_at": moment});
        return Json(json!({"items": [item], "next": next}));
    }
    Json(json!({"title": "no plaudit"}))
}

#[tokio::test]
async fn an_answer_cannot_command_the_terminal_nor_lead_the_token_elsewhere() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let next = format!("@{}/v1/contributors", other.local_addr().unwrap());
    let router = axum::Router::new().fallback(hostile).with_state(next);
    let tasks = plaudit::runtime::Tasks::default();
    tasks.spawn(axum::serve(listener, router).into_future());
    let (top, show) = tokio::task::spawn_blocking(move || {
        let top = piped(&["top"], &url, TOKEN);
        if at_hand("top on a terminal", &["script"]) {
            let table = rows(&["top"], &url, TOKEN);
            assert_eq!(table.len(), 2, "{table:?}");
            assert!(table[1].contains(r"a\u{1b}[2J\u{9b}31m"), "{table:?}");
        }
        (top, piped(&["show", "ada"], &url, TOKEN))
    })
    .await
    .unwrap();
    assert_eq!(lines(&top).len(), 1, "the page elsewhere was asked for");
    assert!(!top.out.contains(|c: char| c.is_control() && c != '\n'), "{top:?}");
    assert_eq!(show.code, Some(1), "{show:?}");
    assert!(show.err.contains("cannot be read"), "{show:?}");
    drop(other);
}
