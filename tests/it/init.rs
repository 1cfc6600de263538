//! `plaudit init`: the webhook at a GitHub and a GitLab of the tests' own, and what a person reads.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::browser::Browser;
use crate::support::fake_hooks::{FakeHooks, HOST_TOKEN, Reaction};
use crate::support::gate::Gate;
use crate::support::{
    GITHUB_SECRET, GITLAB_SIGNING, GITLAB_TOKEN, Output, Plaudit, command, pull_request, run,
};

const REPOSITORY: &str = "repos/o/r";
const PROJECT: &str = "projects/group%2Fsub%2Fproject";

/// A folder in which `init` runs, and the host that it speaks to.
struct Desk {
    host: FakeHooks,
    folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        Self { host: FakeHooks::start().await, folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let settings = [
            ("PLAUDIT_GITHUB_TOKEN", HOST_TOKEN.to_owned()),
            ("PLAUDIT_GITLAB_TOKEN", HOST_TOKEN.to_owned()),
            ("PLAUDIT_GITHUB_API", self.host.url.clone()),
            ("PLAUDIT_GITLAB_API", format!("{}/api/v4", self.host.url)),
        ];
        let mut init = command(&settings);
        init.current_dir(self.folder.path()).arg("init").args(arguments);
        init
    }

    /// Runs `plaudit init`. No secret may be in what it prints, and an error is one line.
    async fn init(&self, arguments: &[&str]) -> Output {
        self.run(self.command(arguments)).await
    }

    async fn run(&self, mut command: Command) -> Output {
        let output = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
        for secret in [HOST_TOKEN.to_owned(), self.secret("github"), self.secret("gitlab")] {
            let shown = format!("{}{}", output.out, output.err);
            assert!(secret.is_empty() || !shown.contains(&secret), "a secret is shown: {output:?}");
        }
        assert!(output.err.lines().count() <= 1, "{output:?}");
        output
    }

    fn file(&self, host: &str) -> PathBuf {
        self.folder.path().join(format!("plaudit-{host}.secret"))
    }

    /// The secret that was written for this host; empty if there is none.
    fn secret(&self, host: &str) -> String {
        std::fs::read_to_string(self.file(host)).unwrap_or_default().trim().to_owned()
    }

    /// Sets up `o/r`, which must end with 0.
    async fn connect(&self, url: &str) -> String {
        let output = self.init(&["github", "o/r", "--url", url]).await;
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
        output.out
    }

    /// Runs it; it must fail with this exit code and one line that has these words.
    async fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let output = self.init(arguments).await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.err.starts_with("plaudit: "), "{output:?}");
        for word in words {
            assert!(output.err.contains(word), "{arguments:?} lacks {word:?}: {output:?}");
        }
        output.err
    }
}

fn address(plaudit: &Plaudit) -> &str {
    plaudit.url.strip_prefix("http://").unwrap()
}

/// A plaudit that runs with these settings and no other secret of a host.
async fn plaudit(settings: &[(&str, &str)]) -> Plaudit {
    let none = [("PLAUDIT_GITHUB_SECRET", ""), ("PLAUDIT_GITLAB_SECRET", "")];
    Plaudit::with(&[&none, settings].concat()).await
}

async fn plaudit_with_github() -> Plaudit {
    plaudit(&[("PLAUDIT_GITHUB_SECRET", GITHUB_SECRET)]).await
}

impl Desk {
    /// Writes the secret that the plaudit of a test has already.
    fn has(&self, host: &str, secret: &str) {
        std::fs::write(self.file(host), format!("{secret}\n")).unwrap();
    }
}

/// The one line of a document's block of commands that begins like this, with the tests' own names in it.
fn printed(begins: &str, url: &str) -> String {
    let text = include_str!("../../docs/configuration.md");
    let line = text.lines().find(|line| line.starts_with(begins)).unwrap();
    line.replace("OWNER/REPO", "o/r")
        .replace("GROUP/PROJECT", "group/sub/project")
        .replace("https://YOUR-HOST", url)
}

/// Runs a command line as it is printed.
async fn run_printed(desk: &Desk, line: &str) -> Output {
    let mut shell = desk.command(&[]);
    let (settings, program) = (shell.get_envs(), Path::new(env!("CARGO_BIN_EXE_plaudit")).parent().unwrap());
    let settings: Vec<_> =
        settings.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    shell = Command::new("sh");
    shell.env_clear().envs(settings).current_dir(desk.folder.path()).args(["-c", line]);
    shell.env("PATH", format!("{}:/usr/bin:/bin", program.display()));
    desk.run(shell).await
}

#[tokio::test(flavor = "multi_thread")]
async fn init_as_printed_connects_github_and_the_third_contribution_is_recognised() {
    let desk = Desk::new().await;
    let mut plaudit = plaudit(&[]).await;
    // The address stays when plaudit is started again.
    let mut proxy = Gate::open(address(&plaudit)).await;
    let url = format!("http://{}", proxy.host);
    let line = printed("plaudit init github", &url);
    let first = run_printed(&desk, &line).await;
    assert_eq!(first.code, Some(1), "{first:?}");
    let secret = desk.secret("github");
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{secret}");
    let mode = std::fs::metadata(desk.file("github")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let [hook] = desk.host.hooks(REPOSITORY).try_into().unwrap();
    assert_eq!(hook.secret.as_ref(), Some(&secret));
    let config = json!({
        "url": format!("{url}/webhooks/github"), "content_type": "json", "insecure_ssl": "0", "secret": "********",
    });
    assert_eq!(hook.shown["config"], config);
    assert_eq!(hook.shown["active"], true);
    assert_eq!(hook.shown["events"], json!(["push", "pull_request", "issues", "repository"]));

    // What to set is printed, and is all that is to be done.
    let file = desk.file("github").canonicalize().unwrap();
    let set = format!("start it with PLAUDIT_GITHUB_SECRET_FILE={} ", file.display());
    assert!(first.err.contains("has no secret for GitHub yet") && first.err.contains(&set), "{first:?}");
    plaudit.end().await;
    plaudit.set("PLAUDIT_GITHUB_SECRET_FILE", file.to_str().unwrap());
    plaudit.restart().await;
    proxy.lead_to(address(&plaudit)).await;
    let second = run_printed(&desk, &line).await;
    assert_eq!((second.code, second.err.as_str()), (Some(0), ""), "{second:?}");
    assert!(second.out.contains("was right already") && second.out.contains("are connected"), "{second:?}");
    assert_eq!(desk.secret("github"), secret, "a second run rotates nothing");

    // The page is open before, and shows the recognition as it happens.
    let browser = Browser::open("the first page after init").await;
    if let Some(browser) = &browser {
        browser.go(&plaudit.url).await;
        browser.until("!document.getElementById('live').hidden").await;
    }
    for number in 1..=3 {
        let body = pull_request(number, "mona");
        assert_eq!(desk.host.deliver(REPOSITORY, "pull_request", &body).await, [200]);
    }
    assert_eq!(plaudit.recognitions().await, ["github:mona:3"]);
    if let Some(browser) = browser {
        browser.until("document.getElementById('news').textContent.includes('mona')").await;
        browser.close().await;
    }
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_webhook_is_corrected_and_keeps_what_else_it_sends() {
    let (desk, plaudit) = (Desk::new().await, plaudit_with_github().await);
    desk.has("github", GITHUB_SECRET);
    let url = format!("{}/webhooks/github", plaudit.url);
    let other = json!({"active": true, "events": ["push"], "config": {"url": "https://ci.example.org", "content_type": "form"}});
    desk.host.add(REPOSITORY, other.clone(), "the secret of another program");
    let wrong = json!({
        "active": false, "events": ["push", "release"],
        "config": {"url": format!("{url}/"), "content_type": "form", "insecure_ssl": "1", "secret": "********"},
    });
    let id = desk.host.add(REPOSITORY, wrong, "an older secret");
    let said = desk.connect(&plaudit.url).await;
    for words in [
        &format!("webhook  {id} of o/r for {url}: corrected: "),
        "the events pull_request, issues, repository were missing",
        "the content type was form",
        "certificates were not verified",
        "it was not active",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let [untouched, hook] = desk.host.hooks(REPOSITORY).try_into().unwrap();
    assert_eq!(
        (&untouched.shown["config"], untouched.secret.as_deref()),
        (&other["config"], Some("the secret of another program"))
    );
    assert_eq!((hook.id(), hook.secret.as_deref()), (id, Some(GITHUB_SECRET)));
    assert_eq!(hook.shown["events"], json!(["push", "release", "pull_request", "issues", "repository"]));
    assert_eq!(
        (&hook.shown["config"]["content_type"], &hook.shown["config"]["insecure_ssl"]),
        (&json!("json"), &json!("0"))
    );
    assert_eq!(hook.shown["active"], true);

    // Nothing is wrong any more; a hook for all events is right too.
    desk.host.world().owners.get_mut(REPOSITORY).unwrap()[1].shown["events"] = json!(["*"]);
    let said = desk.connect(&plaudit.url).await;
    assert!(said.contains("was right already; its secret is set again"), "{said}");
    assert_eq!(desk.host.hooks(REPOSITORY)[1].shown["events"], json!(["*"]));
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisations_webhook_is_set_up_too_and_more_than_a_page_is_searched() {
    let (desk, plaudit) = (Desk::new().await, plaudit_with_github().await);
    desk.has("github", GITHUB_SECRET);
    desk.host.world().scopes = Some("admin:org_hook".to_owned());
    for number in 0..150 {
        let shown = json!({"active": true, "events": ["push"], "config": {"url": format!("https://ci.example.org/{number}")}});
        desk.host.add("orgs/o", shown, "a secret");
    }
    for expected in [": created", "was right already"] {
        let output = desk.init(&["github", "o", "--url", &plaudit.url]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.out.contains(expected), "{output:?}");
        assert_eq!(desk.host.hooks("orgs/o").len(), 151);
    }
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_webhooks_for_one_url_neither_is_changed() {
    let desk = Desk::new().await;
    let shown =
        json!({"active": true, "events": ["push"], "config": {"url": "http://127.0.0.1:9/webhooks/github"}});
    let ids = [(); 2].map(|()| desk.host.add(REPOSITORY, shown.clone(), "a secret").to_string());
    let words = ["o/r has 2 webhooks", &ids.join(", "), "delete all but one (o/r → Settings → Webhooks)"];
    desk.fails(&["github", "o/r", "--url", "http://127.0.0.1:9"], 1, &words).await;
    assert_eq!(desk.host.changes(), 0);
    assert!(!desk.file("github").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_refuses_is_one_line_with_what_to_do() {
    let other = FakeHooks::start().await;
    let desk = Desk::new().await;
    let refused = |status, headers: &[(&'static str, &str)], message: &str| {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Reaction::Answer(status, headers, json!({"message": message}).to_string())
    };
    let denied = "Resource not accessible by personal access token";
    let fine_grained = [("x-accepted-github-permissions", "repository_hooks=read")];
    let elsewhere = format!("{}/repos/o/r/hooks", other.url);
    let table: Vec<(Reaction, &[&str])> = vec![
        (
            refused(401, &[], "Bad credentials"),
            &["401", "Bad credentials", "wrong or expired", "PLAUDIT_GITHUB_TOKEN"],
        ),
        (
            refused(403, &fine_grained, denied),
            &["lacks repository_hooks=read for o/r", "Webhooks, read and write"],
        ),
        (
            refused(
                403,
                &[("x-github-sso", "required; url=https://github.com/orgs/o/sso")],
                "Resource protected by organization SAML enforcement.",
            ),
            &["single sign-on", "authorise the token"],
        ),
        (
            refused(
                404,
                &[("x-oauth-scopes", "gist, read:org"), ("x-accepted-oauth-scopes", "admin:repo_hook, repo")],
                "Not Found",
            ),
            &["scopes are [gist, read:org]", "lacks admin:repo_hook"],
        ),
        (refused(404, &[("x-oauth-scopes", "")], "Not Found"), &["scopes are []", "lacks admin:repo_hook"]),
        (
            refused(
                404,
                &[("x-oauth-scopes", "repo"), ("x-accepted-oauth-scopes", "admin:repo_hook, repo")],
                "Not Found",
            ),
            &["GitHub knows no o/r", "administer"],
        ),
        (refused(404, &[], "Not Found"), &["GitHub knows no o/r"]),
        (
            refused(
                403,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1764547200")],
                "API rate limit exceeded",
            ),
            &["rate limit is used up", "again after 00:00 UTC"],
        ),
        (refused(429, &[("retry-after", "60")], "secondary rate limit"), &["rate limit", "again in 60 s"]),
        (
            refused(301, &[("location", &elsewhere)], "Moved Permanently"),
            &["redirects to another address, which is not followed"],
        ),
        (refused(307, &[("location", &elsewhere)], "Temporary"), &["not followed"]),
        (Reaction::Answer(200, vec![], "x".repeat(5 << 20)), &["more than 4194304 bytes"]),
        (Reaction::Answer(200, vec![], "<html>a portal</html>".to_owned()), &["not as documented"]),
        (
            refused(418, &[], &format!("the token {HOST_TOKEN}\u{1b}[31m\nis {}", "long ".repeat(500))),
            &["418", "the token [secret][31m is long"],
        ),
    ];
    for (reaction, words) in table {
        desk.host.next(Method::GET, "/hooks", reaction);
        let line = desk.fails(&["github", "o/r", "--url", "http://127.0.0.1:9"], 1, words).await;
        assert!(line.chars().count() < 600, "{line}");
        assert!(!desk.file("github").exists(), "a secret that no webhook has");
    }
    assert_eq!((desk.host.changes(), other.world().requests.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_read_webhooks_is_too_narrow_to_create_one() {
    let desk = Desk::new().await;
    desk.host.world().scopes = Some("read:repo_hook".to_owned());
    let arguments = ["github", "o/r", "--url", "http://127.0.0.1:9"];
    desk.fails(&arguments, 1, &["scopes are [read:repo_hook]", "lacks admin:repo_hook"]).await;
    desk.host.world().scopes = None;
    let errors = [
        json!({"resource": "Hook", "code": "custom", "message": "url is not supported because it isn't reachable over the public Internet (localhost)"}),
    ];
    let invalid = json!({"message": "Validation Failed", "errors": errors}).to_string();
    desk.host.next(Method::POST, "/hooks", Reaction::Answer(422, vec![], invalid));
    let secret = desk.secret("github");
    desk.fails(&arguments, 1, &["422: Validation Failed; url is not supported because it isn't reachable"])
        .await;
    let echo = json!({"message": format!("no such secret: {secret}")}).to_string();
    desk.host.next(Method::POST, "/hooks", Reaction::Answer(400, vec![], echo));
    desk.fails(&arguments, 1, &["no such secret: [secret]"]).await;
    assert_eq!(desk.host.hooks(REPOSITORY).len(), 0);
    assert_eq!(desk.secret("github"), secret, "the next run uses the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_server_is_asked_again_and_a_lost_answer_makes_no_second_webhook() {
    let (desk, plaudit) = (Desk::new().await, plaudit_with_github().await);
    desk.has("github", GITHUB_SECRET);
    desk.host.next(Method::GET, "/hooks", Reaction::Answer(502, vec![], "<html>Unicorn</html>".into()));
    desk.host.next(Method::POST, "/hooks", Reaction::Lose);
    let said = desk.connect(&plaudit.url).await;
    assert_eq!(desk.host.hooks(REPOSITORY).len(), 1, "{said}");
    for _ in 0..4 {
        desk.host.next(Method::GET, "/hooks", Reaction::Answer(503, vec![], "{}".into()));
    }
    desk.fails(&["github", "o/r", "--url", &plaudit.url], 1, &["GitHub answers 503"]).await;
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_that_reaches_nothing_is_sent_again() {
    let (desk, plaudit) = (Desk::new().await, plaudit_with_github().await);
    desk.has("github", GITHUB_SECRET);
    desk.host.world().unreachable = 1;
    desk.connect(&plaudit.url).await;
    let [hook] = desk.host.hooks(REPOSITORY).try_into().unwrap();
    let statuses: Vec<_> = hook.deliveries.iter().map(|delivery| delivery["status_code"].clone()).collect();
    assert_eq!(statuses, [502, 200]);
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_that_is_not_verified_says_why_and_what_to_set() {
    let (desk, plaudit) = (Desk::new().await, plaudit_with_github().await);
    let arguments = ["github", "o/r", "--url", &plaudit.url];
    let file = desk.folder.path().canonicalize().unwrap().join("plaudit-github.secret");
    let set = format!("start it with PLAUDIT_GITHUB_SECRET_FILE={}", file.display());
    desk.fails(&arguments, 1, &["is set up", "has another secret", &set, "then run this again"]).await;
    plaudit.stop().await;

    // Another program, which answers anything, or asks for a login of its own.
    let url = format!("{}/somewhere", desk.host.url);
    for (status, text) in [(200, "welcome"), (401, "log in")] {
        let answer = Reaction::Answer(status, vec![], text.into());
        desk.host.next(Method::POST, "/somewhere/webhooks/github", answer);
        let words =
            ["something else than plaudit answers GitHub at", &url, &format!("with {status}"), "check --url"];
        desk.fails(&["github", "o/r", "--url", &url], 1, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_as_printed_connects_gitlab_with_a_signing_token() {
    let desk = Desk::new().await;
    let mut plaudit = plaudit(&[]).await;
    let mut proxy = Gate::open(address(&plaudit)).await;
    let url = format!("http://{}", proxy.host);
    let line = printed("plaudit init gitlab", &url);
    let first = run_printed(&desk, &line).await;
    assert_eq!(first.code, Some(1), "{first:?}");
    let file = desk.file("gitlab").canonicalize().unwrap();
    let set = format!("start it with PLAUDIT_GITLAB_SIGNING_TOKEN_FILE={} ", file.display());
    assert!(first.err.contains("has no secret for GitLab yet") && first.err.contains(&set), "{first:?}");
    let [hook] = desk.host.hooks(PROJECT).try_into().unwrap();
    assert_eq!((hook.signing_token, hook.secret), (Some(desk.secret("gitlab")), None));
    assert_eq!(hook.shown["url"], format!("{url}/webhooks/gitlab"));
    for on in [
        "push_events",
        "issues_events",
        "confidential_issues_events",
        "merge_requests_events",
        "enable_ssl_verification",
    ] {
        assert_eq!(hook.shown[on], true, "{on}");
    }
    plaudit.end().await;
    plaudit.set("PLAUDIT_GITLAB_SIGNING_TOKEN_FILE", file.to_str().unwrap());
    plaudit.restart().await;
    proxy.lead_to(address(&plaudit)).await;
    // A project without commits has another delivery to test with.
    for has_commits in [true, false] {
        desk.host.world().has_commits = has_commits;
        let output = run_printed(&desk, &line).await;
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
        assert!(
            output.out.contains("was right already") && output.out.contains("are connected"),
            "{output:?}"
        );
    }
    assert_eq!(plaudit.tallies().await, [].into(), "a test counts nothing");
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_without_signing_tokens_gets_a_plain_one() {
    let desk = Desk::new().await;
    desk.host.world().signs = false;
    let plaudit = plaudit(&[("PLAUDIT_GITLAB_SECRET", GITLAB_TOKEN)]).await;
    let arguments = ["gitlab", "group/sub/project", "--url", &plaudit.url];
    let words = ["has another secret", "start it with PLAUDIT_GITLAB_SECRET_FILE="];
    desk.fails(&arguments, 1, &words).await;
    assert_eq!(desk.host.hooks(PROJECT)[0].secret, Some(desk.secret("gitlab")));
    // The file's own text decides: a plain one is a plain token to any GitLab.
    desk.host.world().signs = true;
    desk.has("gitlab", GITLAB_TOKEN);
    let output = desk.init(&arguments).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let [hook] = desk.host.hooks(PROJECT).try_into().unwrap();
    assert_eq!((hook.secret.as_deref(), hook.signing_token), (Some(GITLAB_TOKEN), None));
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_webhook_is_corrected() {
    let desk = Desk::new().await;
    let plaudit = plaudit(&[("PLAUDIT_GITLAB_SIGNING_TOKEN", GITLAB_SIGNING)]).await;
    desk.has("gitlab", GITLAB_SIGNING);
    let url = format!("{}/webhooks/gitlab", plaudit.url);
    let wrong = json!({
        "url": url, "push_events": true, "issues_events": true, "confidential_issues_events": false, "merge_requests_events": false,
        "note_events": true, "enable_ssl_verification": false, "push_events_branch_filter": "main",
        "custom_webhook_template": "{}", "alert_status": "disabled",
    });
    let id = desk.host.add(PROJECT, wrong, "an older token");
    let output = desk.init(&["gitlab", "group/sub/project", "--url", &plaudit.url]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for words in [
        &format!("webhook  {id} of group/sub/project for {url}: corrected: "),
        "the events confidential issues, merge requests were missing",
        "certificates were not verified",
        "pushes to some branches only",
        "a payload of its own",
        "disabled it after failures",
    ] {
        assert!(output.out.contains(words), "{words}: {output:?}");
    }
    let [hook] = desk.host.hooks(PROJECT).try_into().unwrap();
    let fields =
        ["note_events", "push_events_branch_filter", "custom_webhook_template", "enable_ssl_verification"];
    assert_eq!(
        fields.map(|field| hook.shown[field].clone()),
        [json!(true), json!(""), json!(""), json!(true)]
    );
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_refuses_is_one_line_with_what_to_do() {
    let desk = Desk::new().await;
    let narrow = json!({"error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.", "scope": "api"});
    let granular = json!({"error": "insufficient_granular_scope", "error_description": "Access denied: Your Personal Access Token lacks the required permissions: [read_webhook]."});
    let table: [(u16, Value, &[&str]); 5] = [
        (401, json!({"message": "401 Unauthorized"}), &["401 Unauthorized", "PLAUDIT_GITLAB_TOKEN"]),
        (403, narrow, &["lacks the scope api", "higher privileges"]),
        (403, granular, &["lacks the required permissions: [read_webhook]"]),
        (403, json!({"message": "403 Forbidden"}), &["must be a Maintainer of group/sub/project"]),
        (
            404,
            json!({"message": "404 Project Not Found"}),
            &["GitLab knows no group/sub/project", "check the path"],
        ),
    ];
    let arguments = ["gitlab", "group/sub/project", "--url", "http://127.0.0.1:9"];
    for (status, body, words) in table {
        desk.host.next(Method::GET, "/hooks", Reaction::Answer(status, vec![], body.to_string()));
        desk.fails(&arguments, 1, words).await;
        assert!(!desk.file("gitlab").exists());
    }
    let limited = || {
        Reaction::Answer(429, vec![], json!({"message": {"error": "This endpoint has been requested too many times. Try again later."}}).to_string())
    };
    desk.host.next(Method::POST, "/test/tag_push_events", limited());
    desk.fails(&arguments, 1, &["GitLab's rate limit is used up", "again in a few minutes"]).await;
    for trigger in ["/test/tag_push_events", "/test/resource_access_token_events"] {
        let missing = json!({"error": "404 Not Found"}).to_string();
        desk.host.next(Method::POST, trigger, Reaction::Answer(404, vec![], missing));
    }
    desk.fails(&arguments, 1, &["is set up, but whether it works is unknown", "no such test delivery"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_secrets_is_used_as_plaudit_reads_it_and_never_replaced() {
    let (desk, plaudit) = (Desk::new().await, plaudit_with_github().await);
    let text = format!("\u{feff}{GITHUB_SECRET}\r\nan older one\r\n");
    std::fs::write(desk.file("github"), &text).unwrap();
    desk.connect(&plaudit.url).await;
    assert_eq!(desk.host.hooks(REPOSITORY)[0].secret.as_deref(), Some(GITHUB_SECRET), "the first signs");
    assert_eq!(std::fs::read_to_string(desk.file("github")).unwrap(), text);
    plaudit.stop().await;

    let changes = desk.host.changes();
    let arguments = ["github", "o/r", "--url", "http://127.0.0.1:9"];
    std::fs::write(desk.file("github"), "\n").unwrap();
    desk.fails(&arguments, 2, &["PLAUDIT_INIT_SECRET", "empty"]).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let nowhere = folder.path().join("missing").join("a.secret");
    let arguments = [&arguments[..], &["--secret-file", nowhere.to_str().unwrap()]].concat();
    desk.fails(&arguments, 1, &["cannot write", "no such file or directory", "--secret-file"]).await;
    assert_eq!(desk.host.changes(), changes, "no webhook has a secret that is in no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_of_init_is_one_line_and_exit_code_2() {
    let desk = Desk::new().await;
    let at = |name: &'static str| ["github", name, "--url", "http://127.0.0.1:9"];
    for name in ["o/r/x", "https://github.com/o/r", "../r", "o/..", "o r", "/r"] {
        desk.fails(&at(name), 2, &["is neither OWNER/REPO nor an organisation", "octocat/hello"]).await;
    }
    for name in ["project", "https://gitlab.com/g/p", "g/../p", "/p"] {
        desk.fails(&["gitlab", name, "--url", "http://127.0.0.1:9"], 2, &["is no project", "group/project"])
            .await;
    }
    let with_password = ["github", "o/r", "--url", "https://me:hush@plaudit.example.org"];
    let line = desk.fails(&with_password, 2, &["user name or password"]).await;
    assert!(!line.contains("hush"), "{line}");
    // This machine is out of reach for a host that is elsewhere.
    let far =
        ["github", "o/r", "--url", "http://localhost:8080", "--github-api", "https://api.github.invalid"];
    desk.fails(&far, 2, &["is this machine, which GitHub cannot reach"]).await;
    assert_eq!(desk.host.world().requests.len(), 0);
    for (host, name, permission) in [("github", "o/r", "admin:repo_hook"), ("gitlab", "g/p", "scope api")] {
        let mut init = command(&[("PLAUDIT_LOG_FORMAT", "text")]);
        init.args(["init", host, name, "--url", "https://plaudit.example.org"]);
        let output = desk.run(init).await;
        let variable = format!("PLAUDIT_{}_TOKEN", host.to_uppercase());
        assert_eq!(output.code, Some(2), "{output:?}");
        for word in [&format!("{variable}: missing"), permission, &format!("{variable}_FILE=")] {
            assert!(output.err.contains(word), "{word}: {output:?}");
        }
    }
    let output = desk.init(&["github", "o/r", "--gitlab-token", "hush-hush"]).await;
    assert!(output.err.contains("is no flag") && !output.err.contains("hush"), "{output:?}");
    let help = desk.init(&["gitlab", "--help"]).await.out;
    for word in [
        "PLAUDIT_URL",
        "PLAUDIT_GITLAB_API",
        "https://gitlab.com/api/v4",
        "PLAUDIT_INIT_SECRET_FILE",
        "plaudit-gitlab.secret",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
