//! The page at /docs in a real browser: it loads under its policy, shows every route, and sends what is tried.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use tokio::process::Command;

use crate::support::browser::Browser;
use crate::support::machine::at_hand;
use crate::support::{
    GITHUB_SECRET, GITLAB_SIGNING, GITLAB_TOKEN, Inside, Plaudit, TOKEN, client, in_the_end,
};

const WHAT: &str = "the page at /docs in a browser";
const CSS: &str = include_str!("../../src/http/docs/app.css");

#[tokio::test]
async fn the_page_is_guarded_by_a_strict_policy_and_has_no_inline_code() {
    let inside = Inside::alone(&[("PLAUDIT_PUBLIC_READ", "false")]).await;
    for path in ["/docs", "/docs/app.js", "/docs/samples.js", "/docs/sign.js", "/docs/app.css"] {
        let answer = client().get(format!("{}{path}", inside.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} is for anyone");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(
            policy
                .starts_with("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"),
            "{policy}"
        );
        for word in ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(word), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let text = answer.text().await.unwrap();
        for needs_more in
            ["style=", "onclick=", "<style", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!text.contains(needs_more), "{path} contains {needs_more}");
        }
    }
    inside.stop().await;
}

#[test]
fn every_text_has_contrast_enough_in_both_colour_schemes() {
    let schemes: Vec<&str> =
        CSS.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(schemes.len(), 2, "one scheme for light, one for dark");
    for scheme in schemes {
        let colour = |name: &str| {
            let hex =
                scheme.split(&format!("--{name}: #")).nth(1).unwrap_or_else(|| panic!("no colour {name}"));
            [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0)
        };
        // https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
        let luminance = |[red, green, blue]: [f64; 3]| {
            let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let contrast = |one: &str, other: &str| {
            let (one, other) = (luminance(colour(one)), luminance(colour(other)));
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        for text in ["text", "quiet", "accent", "get", "post", "bad"] {
            for ground in ["ground", "raised"] {
                assert!(contrast(text, ground) >= 4.5, "{text} on {ground}: {:.2}", contrast(text, ground));
            }
        }
        assert!(contrast("on-accent", "accent") >= 4.5);
        assert!(contrast("focus", "ground") >= 3.0);
    }
}

#[tokio::test]
async fn a_browser_ends_with_a_test_that_fails() {
    let Some(browser) = Browser::open("the end of a browser").await else { return };
    let pid = format!("--pid={}", browser.pid());
    // It ends with that process.
    let mut watch = Command::new("tail").args(["-f", "/dev/null", &pid]).kill_on_drop(true).spawn().unwrap();
    assert!(watch.try_wait().unwrap().is_none(), "the browser does not run");
    drop(browser); // as a panic does, without `close`
    in_the_end("the end of the browser", watch.wait()).await.unwrap();
}

#[tokio::test]
async fn the_page_shows_every_route_and_sends_what_is_tried() {
    let Some(browser) = Browser::open(WHAT).await else { return };
    let inside = Inside::alone(&[("PLAUDIT_API_TOKENS", TOKEN), ("PLAUDIT_PUBLIC_READ", "false")]).await;
    browser.go(&format!("{}/docs", inside.url)).await;
    browser.until("document.querySelector('details.operation')").await;

    // Every route.
    let document: Value =
        client().get(format!("{}/openapi.json", inside.url)).send().await.unwrap().json().await.unwrap();
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let listed = browser.run("return [...document.querySelectorAll('details.operation > summary')].map(s => s.querySelector('.method').textContent + ' ' + s.querySelector('.path').textContent)").await;
    assert_eq!(serde_json::from_value::<BTreeSet<String>>(listed).unwrap(), described);

    // What a post needs comes before what it may have.
    browser.run("document.getElementById('createContribution').open = true").await;
    browser.until("document.querySelector('#createContribution form')").await;
    let names = browser.run("return [...document.querySelectorAll('#createContribution dl:not(dl dl) > div > dt')].map(dt => [dt.querySelector('.name').textContent, dt.querySelector('.must') !== null])").await;
    assert_eq!(names[0], json!(["Idempotency-Key", false]), "the only parameter");
    assert_eq!(
        [&names[1], &names[2], &names[3]],
        [&json!(["contributor", true]), &json!(["kind", true]), &json!(["id", false])]
    );

    // Every guide that the page links is there.
    let guides = browser.run("return [...document.querySelectorAll('#guides a')].map(a => a.href)").await;
    let guides: Vec<String> = serde_json::from_value(guides).unwrap();
    assert!(guides.len() > 4, "{guides:?}");
    for guide in guides {
        let answer = client().get(&guide).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{guide}");
    }

    // Reading, first as anyone, then with a token.
    assert_eq!(try_it(&browser, "listContributors", "").await["status"], "401");
    browser.run(&format!("document.getElementById('token').value = '{TOKEN}'")).await;

    // Posting what the form offers, and reading the real answer.
    let posted = try_it(&browser, "createContribution", "").await;
    assert_eq!(posted["status"], "201", "{posted}");
    let read =
        try_it(&browser, "listContributors", "form.querySelector('[data-name=limit]').value = '5';").await;
    let client = client();
    let asked = client.get(format!("{}/v1/contributors?limit=5", inside.url)).bearer_auth(TOKEN);
    let really: Value = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!(really["items"][0]["tally"], 1);
    assert_eq!(serde_json::from_str::<Value>(read["body"].as_str().unwrap()).unwrap(), really);

    // An id in a path is encoded.
    let one =
        try_it(&browser, "getContributor", "form.querySelector('[data-name=id]').value = 'github:octocat';")
            .await;
    assert_eq!(one["status"], "200", "{one}");

    browser.check_origin_and_policy().await;
    browser.close().await;
    inside.stop().await;
}

#[tokio::test]
async fn the_page_fits_a_phone_and_obeys_the_keyboard() {
    let Some(browser) = Browser::open(WHAT).await else { return };
    let inside = Inside::alone(&[]).await;
    browser.go(&format!("{}/docs", inside.url)).await;
    browser.until("document.querySelector('details.operation')").await;
    assert_eq!(browser.run("return innerWidth").await, 360, "the browser is as narrow as a phone");

    let summary = browser.find("#getContributor > summary").await;
    browser.keys(&summary, "\u{e007}").await;
    browser.until("document.querySelector('#getContributor').open && document.querySelector('#getContributor form')").await;

    // With everything open, nothing is wider than the screen.
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    browser.until("document.querySelectorAll('form').length === document.querySelectorAll('details.operation').length").await;
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)").await;
    assert_eq!(browser.run("return document.documentElement.scrollWidth").await, 360);

    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        let ground = browser.run("return getComputedStyle(document.body).backgroundColor").await;
        let expected = if scheme == "light" { "rgb(255, 255, 255)" } else { "rgb(17, 23, 21)" };
        assert_eq!(ground, expected);
    }
    browser.check_origin_and_policy().await;
    browser.close().await;
    inside.stop().await;
}

/// The request with which an operation's form is described, as code in a language, copied from the page.
async fn sample(browser: &Browser, operation: &str, language: &str) -> String {
    browser.run(&format!("document.getElementById('{operation}').open = true")).await;
    browser.until(&format!("document.querySelector('#{operation} .sample')")).await;
    let read = format!(
        "const sample = document.querySelector('#{operation} .sample');
         [...sample.querySelectorAll('.choice')].find(one => one.textContent === '{language}').click();
         return sample.querySelector('pre').textContent"
    );
    browser.run(&read).await.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_samples_run_as_the_page_prints_them() {
    if !at_hand("the samples of the page at /docs", &["bash", "curl", "openssl", "python3"]) {
        return;
    }
    let Some(browser) = Browser::open(WHAT).await else { return };
    for (language, program) in [("curl", "bash"), ("Python", "python3")] {
        let inside = Inside::alone(&[("PLAUDIT_PUBLIC_READ", "false")]).await;
        browser.go(&format!("{}/docs", inside.url)).await;
        browser.until("document.querySelector('details.operation')").await;
        for (operation, field, value) in [
            ("createContribution", "/tally", json!(1)),
            ("getContributor", "/id", json!("github:octocat")),
            ("listContributors", "/items/0/tally", json!(1)),
            ("receiveGithub", "/verdict", json!("recorded")),
            ("receiveGitlab", "/verdict", json!("recorded")),
            ("isAlive", "/status", json!("ok")),
        ] {
            let text = sample(&browser, operation, language).await;
            let mut command = Command::new(program);
            command.args(["-c", &text]).env_remove("PLAUDIT_URL").env("PLAUDIT_TOKEN", TOKEN);
            command.env("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET).env("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN);
            let output = command.env("no_proxy", "127.0.0.1").kill_on_drop(true).output().await.unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{operation} in {language}: {errors}\n{text}");
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer.pointer(field), Some(&value), "{operation} in {language}: {answer}");
        }
        inside.stop().await;
    }
    let button = browser.find("#isAlive .copy").await;
    browser.call("POST", &format!("/element/{button}/click"), &json!({})).await;
    // Without a clipboard, as in a page that is not from https, the text is selected.
    browser
        .until("['Copied', 'Selected'].includes(document.querySelector('#isAlive .copy').textContent)")
        .await;
    browser.check_origin_and_policy().await;
    browser.close().await;
}

#[tokio::test]
async fn the_page_signs_a_delivery_and_keeps_the_secret() {
    let Some(browser) = Browser::open(WHAT).await else { return };
    let only_signed = ("PLAUDIT_GITLAB_SIGNING_TOKEN", GITLAB_SIGNING);
    for (settings, operation, scheme, secret) in [
        (&[][..], "receiveGithub", "githubSignature", GITHUB_SECRET),
        (&[only_signed][..], "receiveGitlab", "gitlabSignature", GITLAB_SIGNING),
        (&[][..], "receiveGitlab", "gitlabToken", GITLAB_TOKEN),
    ] {
        // The page signs with the real time.
        let plaudit = Plaudit::with(settings).await;
        browser.go(&format!("{}/docs", plaudit.url)).await;
        browser.until("document.querySelector('details.operation')").await;
        let fill = |secret: &str| {
            let secret = json!(secret);
            format!("form.querySelector('[data-proof={scheme}]').value = {secret};")
        };
        let forged = try_it(&browser, operation, &fill("whsec_bm90IHRoZSBzZWNyZXQ=")).await;
        assert_eq!(forged["status"], "401", "{scheme}: {forged}");
        let signed = try_it(&browser, operation, &fill(secret)).await;
        assert_eq!(signed["status"], "200", "{scheme}: {signed}");
        let answer: Value = serde_json::from_str(signed["body"].as_str().unwrap()).unwrap();
        assert_eq!(answer["verdict"], "recorded", "{scheme}: {answer}");
        let kept = "return [localStorage.length, sessionStorage.length, document.cookie, location.search]";
        assert_eq!(browser.run(kept).await, json!([0, 0, "", ""]));
        plaudit.stop().await;
    }
    browser.check_origin_and_policy().await;
    browser.close().await;
}

#[tokio::test]
async fn the_search_leaves_only_what_has_every_word() {
    let Some(browser) = Browser::open(WHAT).await else { return };
    let inside = Inside::alone(&[]).await;
    browser.go(&format!("{}/docs", inside.url)).await;
    browser.until("document.querySelector('details.operation')").await;
    let shown = "return [...document.querySelectorAll('details.operation')].filter(one => one.checkVisibility()).map(one => one.id)";
    let all = browser.run(shown).await.as_array().unwrap().len();
    let search = browser.find("#search").await;
    browser.keys(&search, "Recognitions STREAM").await;
    assert_eq!(browser.run(shown).await, json!(["streamRecognitions"]));
    let found = browser.run("return document.getElementById('found').textContent").await;
    assert_eq!(found, format!("1 of {all} operations"));
    let titles = "return [...document.querySelectorAll('#operations h2')].filter(one => one.checkVisibility()).map(one => one.textContent)";
    assert_eq!(browser.run(titles).await, json!(["Recognitions"]));
    browser.keys(&search, &"\u{e003}".repeat("Recognitions STREAM".len())).await;
    assert_eq!(browser.run(shown).await.as_array().unwrap().len(), all);
    browser.close().await;
    inside.stop().await;
}

/// Fills in an operation's form, sends it, and returns what the page then shows.
async fn try_it(browser: &Browser, operation: &str, fill: &str) -> Value {
    browser.run(&format!("document.getElementById('{operation}').open = true")).await;
    browser.until(&format!("document.querySelector('#{operation} form')")).await;
    browser.run(&format!("const form = document.querySelector('#{operation} form'); form.querySelector('output').replaceChildren(); {fill}")).await;
    let button = browser.find(&format!("#{operation} form button[type=submit]")).await;
    browser.call("POST", &format!("/element/{button}/click"), &json!({})).await;
    let out = format!("document.querySelector('#{operation} output')");
    browser.until(&format!("{out}.querySelector('pre')?.textContent.endsWith('}}') && document.querySelector('#{operation} button.second').hidden")).await;
    browser.run(&format!("return {{status: {out}.querySelector('.status').textContent, body: {out}.querySelector('pre').textContent}}")).await
}
