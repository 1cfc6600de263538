//! What GitLab could not deliver, and a webhook that it has turned off, against a GitLab of the tests' own.

use serde_json::json;
use tempfile::TempDir;

use crate::support::fake_gitlab_events::{FakeGitlab, TOKEN};
use crate::support::{Environment, Output, Plaudit};

const PROJECT: &str = "projects/group%2Fproject";

struct Desk {
    gitlab: FakeGitlab,
    environment: Environment,
    _folder: TempDir,
}

impl Desk {
    async fn new(owner: &str) -> Self {
        let (gitlab, folder) = (FakeGitlab::start(owner).await, tempfile::tempdir().unwrap());
        let environment = Environment::in_folder(&folder)
            .with("PLAUDIT_GITLAB_API", &*gitlab.url)
            .with("PLAUDIT_GITLAB_TOKEN", TOKEN);
        Self { gitlab, environment, _folder: folder }
    }

    /// Runs `plaudit reconcile gitlab` with these arguments.
    async fn run(&self, arguments: &[&str]) -> Output {
        let (environment, arguments) = (self.environment.clone(), arguments.join(" "));
        let run = move || {
            let words = ["reconcile", "gitlab"].into_iter().chain(arguments.split(' '));
            environment.run(&words.collect::<Vec<_>>())
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(!format!("{output:?}").contains(TOKEN), "the token is shown: {output:?}");
        output
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_could_not_deliver_and_can_count_is_sent_again_once_within_its_limit() {
    let desk = Desk::new(PROJECT).await;
    desk.gitlab.world().limit = Some(5);
    let mut wanted = Vec::new();
    for number in 0..30 {
        let status = if number % 2 == 0 { "internal error" } else { "503" };
        let (event, action, counts) = match number % 10 {
            0 => ("Push Hook", None, true),
            3 => ("Merge Request Hook", Some("merge"), true),
            6 => ("Confidential Issue Hook", Some("update"), true),
            7 => ("Merge Request Hook", Some("approved"), false),
            8 => ("Issue Hook", Some("close"), false),
            _ => ("Note Hook", Some("create"), false),
        };
        let key = desk.gitlab.failed(event, action, status);
        wanted.extend(counts.then_some(key));
    }
    let output = desk.run(&["group/project"]).await;
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
    assert!(
        output.out.contains("30 deliveries listed, 9 asked for again, 0 without a success"),
        "{output:?}"
    );
    assert!(output.out.contains("rate limit is used up"), "{output:?}");
    assert_eq!(desk.gitlab.world().resent, wanted);
    // GitLab still lists the failures, and they are known.
    assert_eq!(desk.run(&["group/project"]).await.code, Some(0));
    assert_eq!(desk.gitlab.world().resent, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_gitlab_has_turned_off_is_named_and_turned_on_with_enable_once_plaudit_answers() {
    let desk = Desk::new(PROJECT).await;
    desk.gitlab
        .change(&json!({"alert_status": "temporarily_disabled", "disabled_until": "2026-11-30T09:00:00Z"}));
    let output = desk.run(&["group/project"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    for words in ["webhook 11 is off", "until 2026-11-30T09:00:00Z", "--enable"] {
        assert!(output.out.contains(words), "{words}: {output:?}");
    }
    assert_eq!(desk.gitlab.world().tests, 0);

    // While plaudit does not answer, a test changes nothing.
    desk.gitlab.world().answers = 503;
    let output = desk.run(&["group/project", "--enable"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.out.contains("its test delivery was answered with 503"), "{output:?}");

    desk.gitlab.world().answers = 200;
    let output = desk.run(&["group/project", "--enable"]).await;
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
    assert!(output.out.contains("is on again"), "{output:?}");
    let tests = desk.gitlab.world().tests;
    assert_eq!(desk.run(&["group/project", "--enable"]).await.code, Some(0));
    assert_eq!(desk.gitlab.world().tests, tests, "what is on is not tested");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhooks_of_a_group_are_found_by_its_path_too() {
    for (owner, name) in [("groups/group", "group"), ("groups/group%2Fsub", "group/sub")] {
        let desk = Desk::new(owner).await;
        let key = desk.gitlab.failed("Push Hook", None, "500");
        let output = desk.run(&[name]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(desk.gitlab.world().resent, [key]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_without_a_list_of_deliveries_is_asked_for_its_webhooks_alone() {
    let desk = Desk::new(PROJECT).await;
    desk.gitlab.world().lists = false;
    let output = desk.run(&["group/project"]).await;
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
    assert!(desk.run(&["nobody/here"]).await.out.contains("GitLab knows no nobody/here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_reconciles_gitlab_says_in_its_log_that_a_webhook_is_off() {
    let gitlab = FakeGitlab::start(PROJECT).await;
    gitlab.change(&json!({"alert_status": "disabled"}));
    let key = gitlab.failed("Issue Hook", Some("open"), "502");
    let plaudit = Plaudit::with(&[
        ("PLAUDIT_GITLAB_API", &*gitlab.url),
        ("PLAUDIT_GITLAB_TOKEN", TOKEN),
        ("PLAUDIT_RECONCILE", "gitlab:group/project"),
    ])
    .await;
    let done = plaudit.reconcile().await;
    assert_eq!((&done["webhooks"], &done["asked"]), (&json!(1), &json!(1)), "{done}");
    assert!(done["problems"][0].as_str().unwrap().contains("webhook 11 is off"), "{done}");
    assert_eq!(gitlab.world().resent, [key]);
    plaudit.logged("\"webhook_broken\":\"off\"").await;
    assert!((plaudit.metric("plaudit_webhooks_broken").await - 1.0).abs() < 0.1);
    plaudit.stop().await;
}
