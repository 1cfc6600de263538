//! The pages for people: what they show and never show, to whom, and how they work in a browser.

use http::Method;
use http::header::{ACCEPT, IF_NONE_MATCH};
use plaudit::hosts::Reason;
use plaudit::store::Store as _;
use plaudit::store::sqlite::Sqlite;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::support::browser::Browser;
use crate::support::machine::{left_out, quick_leaves_out};
use crate::support::{
    Answer, Client, Inside, NO_SECRETS, Plaudit, TOKEN, config, contribution, frozen, is_of, now,
    pull_request, talk,
};

const READ_TOKEN: &str = "a-token-for-reading";
const POST_TOKEN: &str = "a-token-for-posting";
const WHAT: &str = "the pages in a browser";
/// What a browser sends.
const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// What a browser gets, before it is asked for a token.
async fn page(client: &Client, path: &str) -> Answer {
    let stranger = client.stranger();
    stranger.send(stranger.request(Method::GET, path).header(ACCEPT, HTML)).await
}

/// A contribution with a title, a page and a repository.
fn titled(who: &str, id: &str, title: &str) -> Value {
    json!({"contributor": who, "kind": "talk", "id": id, "title": title, "url": format!("https://example.org/{id}"), "repository": "o/r"})
}

#[tokio::test]
async fn a_browser_gets_pages_and_a_program_the_json_of_the_same_address() {
    let inside = Inside::alone(&[]).await;
    for id in ["a", "b", "c"] {
        inside.post(&titled("github:mona", id, "On tides")).await.expect(201);
    }
    for path in ["/", "/contributors/github:mona", "/how-it-counts"] {
        let shown = page(&inside, path).await.expect(200);
        assert_eq!(shown.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(shown.header("vary"), "Accept");
        let data = inside.get(path).await.expect(200);
        assert_eq!(data.header("content-type"), "application/json", "{path}");
        assert_eq!(data.header("vary"), "Accept");
    }
    let one = inside.get("/contributors/github:mona").await.json();
    assert_eq!(one, inside.get("/v1/contributors/github:mona").await.json());
    inside.get("/contributors/nobody").await.problem(404, "not_found");

    let home = page(&inside, "/").await.text;
    for part in ["Just recognised", "mona", "On tides", "https://example.org/c", "every milestone reached"] {
        assert!(home.contains(part), "{part}: {home}");
    }
    let profile = page(&inside, "/contributors/GitHub:Mona").await.expect(200).text;
    for part in [
        "https://github.com/mona",
        "3 contributions in the last year, on 1 day",
        "On tides",
        "/badges/github%3Amona.svg",
    ] {
        assert!(profile.contains(part), "{part}: {profile}");
    }
    let lost = page(&inside, "/contributors/nobody").await.expect(404);
    assert!(lost.text.contains("<h1>Not found</h1>") && lost.text.contains(lost.header("x-request-id")));
    page(&inside, "/?after=nonsense").await.expect(400);
    page(&inside, "/?after=a&after=b").await.expect(400);
    page(&inside, "/?host=a%20b").await.expect(400);
    page(&inside, "/?utm_source=elsewhere").await.expect(200);
    inside.stop().await;
}

#[tokio::test]
async fn pages_have_a_strict_policy_and_nothing_inline() {
    let inside = Inside::alone(&[]).await;
    inside.post(&titled("mona", "a", "On tides")).await.expect(201);
    for path in ["/", "/contributors/mona", "/how-it-counts", "/contributors/nobody"] {
        let shown = page(&inside, path).await;
        let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
        assert_eq!(shown.header("content-security-policy"), policy, "{path}");
        assert_eq!(shown.header("x-content-type-options"), "nosniff");
        assert_eq!(shown.header("referrer-policy"), "no-referrer");
        for needs_more in ["style=", "onclick=", "<style", "javascript:"] {
            assert!(!shown.text.contains(needs_more), "{path} contains {needs_more}");
        }
        for asset in ["pages.css", "pages.js", "icon.svg"] {
            let (_, rest) = shown.text.split_once(&format!("pages/{asset}?v=")).unwrap();
            let (version, _) = rest.split_once('"').unwrap();
            let file = inside.stranger().get(&format!("/pages/{asset}?v={version}")).await.expect(200);
            assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
            assert!(!file.text.contains("innerHTML") && !file.text.contains("eval("), "{asset}");
            // That of another version is served, and not kept.
            for other in ["", "?v=0", "?v=0&v=1"] {
                let file = inside.stranger().get(&format!("/pages/{asset}{other}")).await.expect(200);
                assert_eq!(file.header("cache-control"), "no-cache");
            }
        }
    }
    inside.get("/pages/home.html").await.problem(404, "not_found");
    inside.stop().await;
}

#[tokio::test]
async fn where_reading_needs_a_token_a_browser_asks_for_it() {
    let tokens = [
        ("PLAUDIT_PUBLIC_READ", "false"),
        ("PLAUDIT_READ_TOKENS", READ_TOKEN),
        ("PLAUDIT_POST_TOKENS", POST_TOKEN),
    ];
    let inside = Inside::alone(&tokens).await;
    inside.post(&titled("mona", "a", "On tides")).await.expect(201);
    let mut payload: Value = serde_json::from_str(&pull_request(7, "lisa")).unwrap();
    payload["repository"]["private"] = true.into();
    inside.github("pull_request", &payload.to_string()).await.expect(200);
    let stranger = inside.stranger();
    let ask = |method, path: &str| stranger.request(method, path);
    for path in ["/", "/contributors/mona", "/how-it-counts"] {
        for asked in [
            ask(Method::GET, path),
            ask(Method::GET, path).basic_auth("ada", Some("wrong-token")),
            ask(Method::GET, path).basic_auth("ada", Some(POST_TOKEN)),
            ask(Method::GET, path).header("authorization", "Basic !"),
        ] {
            let answer = inside.send(asked.header(ACCEPT, HTML)).await.expect(401);
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"plaudit\", charset=\"UTF-8\"");
            assert!(answer.text.contains("token") && !answer.text.contains("mona"), "{}", answer.text);
        }
        for token in [READ_TOKEN, TOKEN] {
            let asked = ask(Method::GET, path).basic_auth("whoever", Some(token)).header(ACCEPT, HTML);
            let answer = inside.send(asked).await.expect(200);
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    // Programs are asked as before. What the page itself loads comes with the password.
    for path in ["/contributors/mona", "/how-it-counts", "/v1/contributors", "/badges/mona.svg"] {
        let refused = inside.send(ask(Method::GET, path)).await;
        assert_eq!(refused.header("www-authenticate"), "Bearer", "{path}");
        refused.problem(401, "token_needed");
        inside.send(ask(Method::GET, path).basic_auth("", Some(READ_TOKEN))).await.expect(200);
    }
    inside.send(ask(Method::GET, "/")).await.expect(200);
    // A password reads what is public, and does nothing else: a browser sends it for pages of other sites too.
    let listed = ask(Method::GET, "/v1/contributors/github:lisa/contributions").basic_auth("", Some(TOKEN));
    assert_eq!(inside.send(listed).await.expect(200).json()["items"], json!([]));
    let all = ask(Method::GET, "/v1/contributors/mona/contributions?retracted=true");
    inside.send(all.basic_auth("", Some(TOKEN))).await.problem(401, "token_needed");
    let drain = ask(Method::POST, "/internal/drain").basic_auth("", Some(TOKEN));
    inside.send(drain).await.problem(401, "token_needed");
    let post = ask(Method::POST, "/v1/contributions").basic_auth("", Some(TOKEN)).json(&talk("eve", "a"));
    inside.send(post).await.problem(401, "token_needed");
    inside.stop().await;
}

#[tokio::test]
async fn pages_need_a_loopback_host_where_reading_does() {
    let plaudit = Plaudit::with(&NO_SECRETS).await;
    for path in ["/", "/contributors/mona", "/how-it-counts", "/badges/mona.svg"] {
        let request =
            plaudit.request(Method::GET, path).header("host", "rebound.example").header(ACCEPT, HTML);
        plaudit.send(request).await.expect(401);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn what_is_private_or_taken_back_is_on_no_page() {
    let inside = Inside::alone(&[("PLAUDIT_READ_TOKENS", READ_TOKEN)]).await;
    for number in [1, 2] {
        inside.github("pull_request", &pull_request(number, "mona")).await.expect(200);
    }
    let mut payload: Value = serde_json::from_str(&pull_request(3, "mona")).unwrap();
    payload["repository"]["private"] = true.into();
    payload["repository"]["full_name"] = "harbour-lights/hush-hush".into();
    payload["pull_request"]["title"] = "A plan for few eyes".into();
    inside.github("pull_request", &payload.to_string()).await.expect(200);
    inside.post(&titled("github:mona", "slip", "A slip of the pen")).await.expect(201);
    let slip = inside.request(Method::DELETE, "/v1/contributions/api:api:slip");
    inside.send(slip).await.expect(200);
    for path in ["/", "/contributors/github:mona", "/badges/github:mona.svg"] {
        for token in [None, Some(READ_TOKEN)] {
            let asked = inside.stranger().request(Method::GET, path).header(ACCEPT, HTML);
            let asked = if let Some(token) = token { asked.bearer_auth(token) } else { asked };
            let shown = inside.send(asked).await.expect(200).text;
            for secret in ["few eyes", "hush-hush", "slip of the pen"] {
                assert!(!shown.contains(secret), "{path} shows {secret}");
            }
            assert!(shown.contains("mona") && shown.contains('3'), "{path}: the tally counts all");
        }
    }
    let profile = page(&inside, "/contributors/github:mona").await.text;
    assert!(profile.contains("2 contributions in the last year, on 1 day"), "the calendar is public");
    inside.stop().await;
}

#[tokio::test]
async fn of_a_day_with_more_contributions_than_are_read_the_page_says_so() {
    let inside = Inside::alone_with(&[], frozen()).await;
    for first in (0..1_100).step_by(100) {
        let hundred =
            (first..first + 100).map(|n| talk("github:mona", &format!("n-{n}"))).collect::<Vec<_>>();
        let batch = inside.request(Method::POST, "/v1/contributions/batch");
        let batch = batch.json(&json!({"contributions": hundred, "history": true}));
        inside.send(batch).await.expect(200);
    }
    let profile = page(&inside, "/contributors/github:mona").await.expect(200).text;
    assert!(profile.contains("More than 1,000 contributions since"), "{profile}");
    inside.stop().await;
}

#[tokio::test]
async fn what_earned_a_recognition_and_was_taken_back_since_is_on_no_page() {
    let inside = Inside::alone(&[("PLAUDIT_MILESTONES", "1,2")]).await;
    for (id, title) in [("spam", "Buy my watches"), ("fine", "On tides")] {
        inside.post(&titled("github:mona", id, title)).await.expect(201);
    }
    let spam = inside.request(Method::DELETE, "/v1/contributions/api:api:spam");
    inside.send(spam).await.expect(200);
    for path in ["/", "/contributors/github:mona"] {
        let shown = page(&inside, path).await.expect(200).text;
        assert!(!shown.contains("watches") && !shown.contains("https://example.org/spam"), "{path}: {shown}");
        assert!(
            shown.contains("On tides") && shown.matches("★").count() >= 2,
            "{path}: both stay recognised"
        );
    }
    inside.stop().await;
}

const HOSTILE: &str = "<script>window.broken=1</script>\"'><img src=x onerror=window.broken=1>";

#[tokio::test]
async fn what_a_payload_says_is_text_and_only_web_addresses_are_links() {
    let inside = Inside::alone(&[("PLAUDIT_MILESTONES", "1")]).await;
    let mut payload: Value = serde_json::from_str(&pull_request(1, "mona")).unwrap();
    payload["pull_request"]["title"] = HOSTILE.into();
    payload["pull_request"]["html_url"] = "javascript:window.broken=1".into();
    inside.github("pull_request", &payload.to_string()).await.expect(200);
    let name = "<b onmouseover=broken=1 x=\"&amp;'>";
    inside.post(&titled(name, "a", HOSTILE)).await.expect(201);
    let path = "/contributors/%3Cb%20onmouseover%3Dbroken%3D1%20x%3D%22%26amp;'%3E";
    let badge = "/badges/%3Cb%20onmouseover%3Dbroken%3D1%20x%3D%22%26amp;'%3E.svg";
    for path in ["/", "/contributors/github:mona", path, badge] {
        let shown = page(&inside, path).await.expect(200).text;
        for raw in ["<script>window", "<img src=x", "javascript:", "<b onmouseover"] {
            assert!(!shown.contains(raw), "{path} has {raw}: {shown}");
        }
    }
    let Some(browser) = Browser::open(WHAT).await else { return };
    for path in ["/", path] {
        browser.go(&format!("{}{path}", inside.url)).await;
        assert_eq!(browser.run("return window.broken === undefined").await, true);
    }
    // What arrives live is made by the script.
    browser.go(&inside.url).await;
    browser.until("!document.getElementById('live').hidden").await;
    is_of(&mut payload["pull_request"]["user"], "lisa");
    payload["number"] = 2.into();
    payload["pull_request"]["number"] = 2.into();
    inside.github("pull_request", &payload.to_string()).await.expect(200);
    browser.until("document.querySelector('[data-id=\"github:lisa:1\"] .work')").await;
    let work = browser.run("const w = document.querySelector('[data-id=\"github:lisa:1\"] .work'); return [w.textContent, w.querySelectorAll('a, img, script').length, window.broken === undefined]").await;
    assert_eq!(work, json!([HOSTILE, 0, true]));
    browser.check_origin_and_policy().await;
    browser.close().await;
    inside.stop().await;
}

#[tokio::test]
async fn the_rules_are_those_of_the_running_configuration() {
    let configured = [
        ("PLAUDIT_MILESTONES", "5,1000"),
        ("PLAUDIT_PULL_REQUESTS", "merged"),
        ("PLAUDIT_COUNT", "pull_request,push"),
        ("PLAUDIT_BRANCHES", "all"),
        ("PLAUDIT_REJECT_LABELS", "wontfix"),
        ("PLAUDIT_CO_AUTHORS", "false"),
        ("PLAUDIT_IGNORE", "github:*-robot"),
        ("PLAUDIT_PEOPLE", "github:mona-bot"),
        ("PLAUDIT_GITLAB_SECRET", ""),
    ];
    let inside = Inside::alone(&configured).await;
    let rules = page(&inside, "/how-it-counts").await.expect(200).text;
    for part in [
        "5 and 1,000",
        "It counts when it is merged.",
        "It does not count here.",
        "on any branch",
        "wontfix",
        "trailers are not credited",
        "github:*-robot",
        "github:mona-bot",
        "Webhooks are taken from GitHub.",
    ] {
        assert!(rules.contains(part), "{part}: {rules}");
    }
    let data = inside.get("/how-it-counts").await.expect(200).json();
    for reason in Reason::ALL {
        let code = format!("<code>{}</code>", reason.code());
        let meaning = reason.meaning().replace('\'', "&#39;");
        assert!(rules.contains(&code) && rules.contains(&meaning), "{code}");
        let listed = data["reasons"].as_array().unwrap().iter().any(|one| one["code"] == reason.code());
        assert!(listed, "{code}: {data}");
    }
    assert_eq!(data["milestones"], json!([5, 1000]));
    assert_eq!(data["kinds"][2], json!({"kind": "issue", "counts": false}));
    assert_eq!(data["hosts"], json!(["github"]));
    inside.stop().await;

    let inside = Inside::alone(&[("PLAUDIT_COUNT", "push")]).await;
    let rules = page(&inside, "/how-it-counts").await.expect(200).text;
    assert!(rules.contains("It counts when commits arrive on the default branch; not in a fork."), "{rules}");
    inside.stop().await;
}

#[tokio::test]
async fn a_badge_says_the_tally_and_fits_image_proxies() {
    let inside = Inside::alone(&[("PLAUDIT_MILESTONES", "3,10"), ("PLAUDIT_PUBLIC_READ", "true")]).await;
    let stranger = inside.stranger();
    // A README may show it before the first contribution.
    let unknown = stranger.get("/badges/github:mona.svg").await.expect(200);
    assert!(unknown.text.contains(">0 of 3<"), "{}", unknown.text);
    for id in ["a", "b", "c"] {
        inside.post(&talk("github:mona", id)).await.expect(201);
    }
    let badge = stranger.get("/badges/GitHub%3AMona.svg").await.expect(200);
    assert_eq!(badge.header("content-type"), "image/svg+xml");
    assert_eq!(badge.header("cache-control"), "public, max-age=300");
    assert!(badge.header("set-cookie").is_empty() && badge.header("vary").is_empty());
    for part in [">3 of 10<", "aria-label=\"mona: 3 contributions, 7 to go until 10\"", "<title>mona: 3"] {
        assert!(badge.text.contains(part), "{part}: {}", badge.text);
    }
    // Colours of its own on an opaque ground are right in light and dark.
    for never in ["<script", "<style", "href", "currentColor", "url(http"] {
        assert!(!badge.text.contains(never), "{never}: {}", badge.text);
    }
    let tag = badge.header("etag");
    assert!(!tag.is_empty() && tag != unknown.header("etag"));
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let asked = stranger.request(Method::GET, "/badges/github:mona.svg").header(IF_NONE_MATCH, known);
        let same = stranger.send(asked).await.expect(304);
        assert_eq!((same.text.as_str(), same.header("etag")), ("", tag));
    }
    for none in ["/badges/github:mona", "/badges/github:mona.png", "/badges/.svg", "/badges/a%2Fb.svg"] {
        stranger.get(none).await.problem(404, "not_found");
    }
    for id in ["d", "e", "f", "g", "h", "i", "j"] {
        inside.post(&talk("github:mona", id)).await.expect(201);
    }
    let last = stranger.get("/badges/github:mona.svg").await.expect(200);
    assert!(last.text.contains(">10<") && last.text.contains("every milestone reached"), "{}", last.text);
    inside.stop().await;
}

/// A ledger of 10,000 contributors: `robin-0` has one contribution, and every other one, too.
async fn crowded() -> (tempfile::TempDir, Arc<Sqlite>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&folder.path().join("plaudit.db")).unwrap());
    for hundred in 0..100 {
        let batch: Vec<_> = (0..100)
            .map(|n| contribution(&format!("github:robin-{}", hundred * 100 + n), &format!("{hundred}-{n}")))
            .collect();
        store.record(&batch, now()).await.unwrap();
    }
    (folder, store)
}

#[tokio::test]
async fn among_ten_thousand_contributors_pages_go_on_and_a_search_finds_one_without_a_script() {
    let (folder, store) = crowded().await;
    let inside = Inside::start(&config(&[]), store, frozen()).await;
    inside.post(&talk("robin-7000-and-more", "a")).await.expect(201);
    let home = page(&inside, "/").await.expect(200).text;
    assert_eq!(home.matches("class=\"tally\"").count(), 25);
    assert!(home.contains("<dd>10,001</dd>"), "the totals: {home}");
    let next = |text: &str| {
        let (_, rest) = text.split_once("<a rel=\"next\" href=\"./").expect("a next page");
        rest.split_once('"').unwrap().0.replace("&#38;", "&").replace("&amp;", "&")
    };
    let second = page(&inside, &format!("/{}", next(&home))).await.expect(200).text;
    assert!(second.contains("<span class=\"place\">26</span>"), "{second}");
    assert!(!second.contains("<span class=\"place\">1</span>"));

    let found = page(&inside, "/?search=Robin-7000&host=").await.expect(200).text;
    assert_eq!(found.matches("class=\"tally\"").count(), 2, "{found}");
    let found = page(&inside, "/?search=robin-7000&host=github").await.expect(200).text;
    assert_eq!(found.matches("class=\"tally\"").count(), 1);
    assert!(found.contains("value=\"robin-7000\"") && found.contains("value=\"github\" selected"), "{found}");
    let none = page(&inside, "/?search=nobody&host=git.example.org").await.expect(200).text;
    assert!(
        none.contains("Nobody is found.") && none.contains("value=\"git.example.org\" selected"),
        "{none}"
    );
    let many = page(&inside, "/?search=robin&host=github").await.expect(200).text;
    let on = page(&inside, &format!("/{}", next(&many))).await.expect(200).text;
    assert!(on.contains("value=\"robin\"") && on.contains("class=\"tally\""), "{on}");
    inside.stop().await;
    drop(folder);
}

#[tokio::test]
async fn the_page_fills_while_it_is_open_and_fits_a_phone_in_both_schemes() {
    let Some(browser) = Browser::open(WHAT).await else { return };
    let inside = Inside::alone(&[]).await;
    let long = "Speed up the depth query by an order of magnitude and remove-the-cache-that-nobody-could-explain-and-nobody-misses";
    for id in ["a", "b", "c", "d"] {
        inside.post(&titled("a-login-that-is-as-long-as-a-login-may-be1", id, long)).await.expect(201);
    }
    browser.go(&inside.url).await;
    browser.until("!document.getElementById('live').hidden").await;
    assert_eq!(browser.run("return document.querySelectorAll('#news li').length").await, 1);
    for number in [1, 2, 3] {
        inside.github("pull_request", &pull_request(number, "mona")).await.expect(200);
    }
    browser.until("document.querySelector('#news [data-id=\"github:mona:3\"]')").await;
    // The script's row is the row that the server draws.
    let row = "return document.querySelector('#news [data-id=\"github:mona:3\"] > div').innerText.replace(/\\s+/g, ' ').trim() + document.querySelector('#news [data-id=\"github:mona:3\"] .initial').outerHTML";
    let live = browser.run(row).await;
    browser.go(&inside.url).await;
    assert_eq!(browser.run(row).await, live);

    for path in [
        "/",
        "/contributors/a-login-that-is-as-long-as-a-login-may-be1",
        "/how-it-counts",
        "/contributors/nobody",
    ] {
        for (scheme, ground) in [("light", "rgb(251, 252, 251)"), ("dark", "rgb(16, 22, 20)")] {
            browser.prefer(scheme).await;
            browser.go(&format!("{}{path}", inside.url)).await;
            assert_eq!(browser.run("return getComputedStyle(document.body).backgroundColor").await, ground);
            let wide = browser.run("return [innerWidth, document.documentElement.scrollWidth]").await;
            assert_eq!(wide, json!([360, 360]), "{path}");
        }
    }
    // By keyboard, the first stop leads past the navigation.
    browser.go(&inside.url).await;
    let key = json!({"actions": [{"type": "key", "id": "keys", "actions": [
        {"type": "keyDown", "value": "\u{e004}"}, {"type": "keyUp", "value": "\u{e004}"}]}]});
    browser.call("POST", "/actions", &key).await;
    assert_eq!(browser.run("return document.activeElement.textContent").await, "Skip to the content");
    browser.close().await;
    inside.stop().await;
}

#[tokio::test]
async fn pages_are_whole_with_scripts_off() {
    let Some(browser) = Browser::open(WHAT).await else { return };
    let inside = Inside::alone(&[]).await;
    for id in ["a", "b", "c"] {
        inside.post(&titled("mona", id, "On tides")).await.expect(201);
    }
    browser.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": true})).await;
    for (path, parts) in [
        ("/", ["On tides", "Just recognised", "mona", "<form"]),
        ("/?search=mo", ["mona", "All contributors", "value=\"mo\"", "<select"]),
        ("/contributors/mona", ["On tides", "In the last year", "Markdown", "<svg"]),
        ("/how-it-counts", ["not_merged", "co-authors", "spam", "<dl"]),
    ] {
        browser.go(&format!("{}{path}", inside.url)).await;
        let root = browser.devtools("DOM.getDocument", &json!({})).await["root"]["nodeId"].clone();
        let shown = browser.devtools("DOM.getOuterHTML", &json!({"nodeId": root})).await;
        let shown = shown["outerHTML"].as_str().unwrap().to_lowercase();
        for part in parts {
            assert!(shown.contains(&part.to_lowercase()), "{path}: {part}");
        }
        // What only a script could do is not there.
        assert!(!shown.contains(">copy<") && !shown.contains("id=\"live\">"), "{path}");
    }
    browser.close().await;
    inside.stop().await;
}

#[tokio::test]
async fn axe_finds_nothing_on_any_page_in_either_scheme() {
    const AXE: &str = "the pages with axe-core";
    if quick_leaves_out(AXE) {
        return;
    }
    let Ok(path) = std::env::var("PLAUDIT_TEST_AXE") else {
        left_out(AXE, "PLAUDIT_TEST_AXE names no axe.min.js; .ci/axe prints one");
        return;
    };
    let axe = std::fs::read_to_string(path).unwrap();
    let Some(browser) = Browser::open(AXE).await else { return };
    let inside = Inside::alone(&[("PLAUDIT_MILESTONES", "3,10,25")]).await;
    // Initials in all colours, and rows with every state.
    for (at, who) in ["ada", "adb", "adc", "add", "ade", "adf"].iter().enumerate() {
        for id in 0..=at * 2 {
            inside.post(&titled(who, &format!("{who}-{id}"), "On tides")).await.expect(201);
        }
    }
    for width in [360, 1280] {
        let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == 360});
        browser.devtools("Emulation.setDeviceMetricsOverride", &metrics).await;
        for path in [
            "/",
            "/?search=nobody",
            "/contributors/adf",
            "/contributors/ada",
            "/how-it-counts",
            "/contributors/nobody",
        ] {
            for scheme in ["light", "dark"] {
                browser.prefer(scheme).await;
                browser.go(&format!("{}{path}", inside.url)).await;
                browser.run(&axe).await;
                let found = browser.call("POST", "/execute/async", &json!({"args": [], "script":
                    "const done = arguments[0]; axe.run().then(found => done(found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html)])))"})).await;
                assert_eq!(found, json!([]), "{path} in {scheme} at {width}");
            }
        }
    }
    browser.close().await;
    inside.stop().await;
}
