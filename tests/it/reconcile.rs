//! What GitHub could not deliver, against a GitHub of the tests' own: asked for once, whatever happens in between.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use http::Method;
use plaudit::http::Overrides;
use plaudit::runtime::Clock;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fake_deliveries::{FakeDeliveries, Reaction, Redelivered, TOKEN as GITHUB_TOKEN};
use crate::support::fake_github::{APP_ID, APP_KEY};
use crate::support::{Environment, Inside, Output, Plaudit, config, ledger, now, pull_request, stage};

/// A webhook's address that nothing needs to answer at.
const ADDRESS: &str = "https://plaudit.example.org/webhooks/github";
const REPOSITORY: &str = "repos/o/r";

/// A GitHub, and the variables of a plaudit that reconciles `o/r` there.
struct Desk {
    github: FakeDeliveries,
    environment: Environment,
    _folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::in_folder(&folder);
        Self::over(environment, folder).await
    }

    async fn over(environment: Environment, folder: TempDir) -> Self {
        let github = FakeDeliveries::start(ADDRESS).await;
        let environment = environment
            .with("PLAUDIT_GITHUB_API", &*github.url)
            .with("PLAUDIT_GITHUB_TOKEN", GITHUB_TOKEN)
            .with("PLAUDIT_RECONCILE", "github:o/r");
        Self { github, environment, _folder: folder }
    }

    /// Over a database of its own of the Firestore emulator, where there is one.
    async fn on_firestore() -> Option<Self> {
        let stage = stage::stage().await?;
        Some(Self::over(stage.environment.clone(), tempfile::tempdir().unwrap()).await)
    }

    /// Runs `plaudit reconcile` with these arguments.
    async fn run(&self, arguments: &[&str]) -> Output {
        let (environment, arguments) = (self.environment.clone(), arguments.join("\n"));
        let run = move || {
            let arguments = arguments.split('\n').filter(|one| !one.is_empty());
            environment.run(&["reconcile"].into_iter().chain(arguments).collect::<Vec<_>>())
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(!format!("{output:?}").contains(GITHUB_TOKEN), "the token is shown: {output:?}");
        output
    }

    /// Runs it; it must end with 0.
    async fn reconcile(&self) -> String {
        let output = self.run(&[]).await;
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{output:?}");
        output.out
    }

    /// Kills it with SIGKILL while the request after so many others waits for its answer. Whether it came so far.
    async fn killed_at(&self, requests: usize) -> bool {
        self.github.world().hang_after = Some(requests);
        let mut command = self.environment.command();
        let mut child = command.arg("reconcile").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let ended = async {
            loop {
                if child.try_wait().unwrap().is_some() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let hung = tokio::select! {
            () = self.github.hangs() => true,
            () = ended => false,
        };
        child.kill().and_then(|()| child.wait()).unwrap();
        self.github.world().hang_after = None;
        hung
    }

    /// So many failed deliveries, of which every `counts`-th can count; the GUIDs of those.
    fn outage(&self, deliveries: usize, counts: impl Fn(usize) -> bool) -> BTreeSet<String> {
        let ago = TimeDelta::hours(20);
        let all = (0..deliveries).map(|number| {
            let event = match (counts(number), number % 3) {
                (true, 0) => "push",
                (true, 1) => "pull_request.opened",
                (true, _) => "issues.opened",
                (false, 0) => "star.created",
                (false, 1) => "issues.edited",
                (false, _) => "check_run.completed",
            };
            (counts(number), self.github.delivered(REPOSITORY, event, 503, ago))
        });
        all.filter(|(counts, _)| *counts).map(|(_, guid)| guid).collect()
    }

    fn reconciled_all(&self, wanted: usize) -> bool {
        self.github.world().asked.len() >= wanted
    }

    fn lists(&self) -> usize {
        self.github.world().lists
    }

    /// What was asked for, which must be different events.
    fn asked(&self) -> BTreeSet<String> {
        let asked = self.github.world().asked.clone();
        let events: BTreeSet<String> = asked.iter().cloned().collect();
        assert_eq!(events.len(), asked.len(), "something was asked for twice");
        events
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_7000_failed_deliveries_the_270_that_can_count_are_asked_for_once_after_70_lists() {
    let desk = Desk::new().await;
    let wanted = desk.outage(7_000, |number| number % 25 == 3 && number < 6_750);
    assert_eq!(wanted.len(), 270);
    let said = desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
    assert_eq!(desk.lists(), 70);
    assert!(
        said.contains("7000 deliveries listed, 270 asked for again, 270 without a success so far"),
        "{said}"
    );

    // What succeeded meanwhile needs nothing, and only what is new is listed.
    let said = desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
    assert!(desk.lists() <= 73, "{}", desk.lists());
    assert!(said.contains("0 asked for again, 0 without a success so far, 0 lost"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_each_is_asked_for_once() {
    let desk = Desk::new().await;
    let wanted = desk.outage(600, |number| number % 20 == 7);
    let mut kills = 0;
    // Each run gets one request further than it had to, and dies while the next waits for its answer.
    while desk.killed_at(2).await {
        kills += 1;
    }
    desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
    assert!(kills > 15, "{kills}");
    // A run that was killed repeats at most the list that it waited for.
    assert!(desk.lists() <= 2 * 6, "{} {kills}", desk.lists());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_7000_failed_deliveries_the_270_that_can_count_are_asked_for_once_wherever_it_is_killed() {
    let variable = std::env::var("PLAUDIT_RECONCILE_SEED").ok();
    let seeds = variable.map_or(0..2, |seed| seed.parse().map(|seed: u64| seed..seed + 1).unwrap());
    for seed in seeds {
        let desk = Desk::new().await;
        let wanted = desk.outage(7_000, |number| number % 25 == 3 && number < 6_750);
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut kills, mut repeated) = (0, 0);
        while desk.killed_at(rng.random_range(1..=60)).await {
            kills += 1;
            // The page whose answer was lost with the run that waited for it.
            repeated += usize::from(desk.github.last_request().contains("/deliveries?"));
        }
        let replay = format!("{kills} kills; PLAUDIT_RECONCILE_SEED={seed} replays it");
        assert_eq!(desk.asked(), wanted, "{replay}");
        assert!(kills >= 5 && repeated >= 1, "{replay}");
        // And the one list of the run that came to its end.
        assert!(
            desk.lists() <= 70 + repeated + 1,
            "{} lists, {repeated} of them lost; {replay}",
            desk.lists()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_resumed_on_firestore_each_is_asked_for_once() {
    let Some(desk) = Desk::on_firestore().await else { return };
    let wanted = desk.outage(2_000, |number| number % 25 == 3);
    for requests in [12, 10, 30, 40] {
        assert!(desk.killed_at(requests).await);
    }
    desk.reconcile().await;
    assert_eq!((wanted.len(), desk.asked()), (80, wanted));
    assert!(desk.lists() <= 20 + 1, "{}", desk.lists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_of_any_delivery_of_an_event_is_enough() {
    let desk = Desk::new().await;
    let hours = TimeDelta::hours;
    let add = |guid: &str, status: u16, ago: TimeDelta, redelivery: bool| {
        desk.github.delivered_as(REPOSITORY, guid, "issues.opened", status, ago, redelivery)
    };
    add("first succeeded", 200, hours(9), false);
    add("again succeeded", 503, hours(8), false);
    let twice = add("failed twice", 503, hours(7), false);
    let once = add("failed once", 0, hours(6), false);
    add("first succeeded", 500, hours(5), true);
    add("again succeeded", 204, hours(4), true);
    add("failed twice", 504, hours(3), true);
    desk.reconcile().await;
    assert_eq!(desk.asked(), BTreeSet::from([twice, once]));
    // Of an event that failed twice, the delivery that GitHub keeps longest is asked for.
    let attempts: Vec<_> =
        desk.github.world().requests.iter().filter(|(m, _)| m == Method::POST).cloned().collect();
    assert_eq!(attempts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_can_change_the_ledger_is_asked_for() {
    let counting = [
        "push",
        "pull_request.opened",
        "pull_request.ready_for_review",
        "pull_request.closed",
        "pull_request.labeled",
        "issues.opened",
        "issues.deleted",
        "issues.unlabeled",
        "repository.privatized",
        "repository.publicized",
    ];
    let others =
        ["ping", "star.created", "pull_request.synchronize", "issues.closed", "repository.renamed", "push_x"];
    for (count, left_out) in [("push,pull_request,issue", ""), ("push", "pull_request."), ("issue", "pu")] {
        let mut desk = Desk::new().await;
        desk.environment = desk.environment.with("PLAUDIT_COUNT", count);
        let mut wanted = BTreeSet::new();
        for event in counting.iter().chain(&others) {
            let guid = desk.github.delivered(REPOSITORY, event, 500, TimeDelta::hours(1));
            let kind_counts = left_out.is_empty() || !event.starts_with(left_out);
            let kind_counts = kind_counts && (count != "push" || !event.starts_with("issues"));
            if counting.contains(event) && kind_counts {
                wanted.insert(guid);
            }
        }
        desk.reconcile().await;
        assert_eq!(desk.asked(), wanted, "{count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_waited_for_and_failures_in_passing_tried_again() {
    let desk = Desk::new().await;
    let wanted = desk.outage(150, |number| number % 50 == 0);
    let retry = |status| Reaction(status, vec![("retry-after", "1".to_owned())], false);
    desk.github.next(Method::GET, "/deliveries", retry(403));
    desk.github.next(Method::GET, "/deliveries", Reaction(502, vec![], false));
    desk.github.next(Method::POST, "/attempts", retry(429));
    let said = desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
    assert_eq!(said.matches("rate limit is used up").count(), 2, "{said}");
    assert!(said.contains("GitHub answers 502"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_asked_for_is_not_asked_for_twice() {
    let desk = Desk::new().await;
    let wanted = desk.outage(3, |_| true);
    // It is carried out, and the answer says otherwise.
    desk.github.next(Method::POST, "/attempts", Reaction(502, vec![], true));
    desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
    desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_it_would_ask_for_and_does_nothing() {
    let desk = Desk::new().await;
    let wanted = desk.outage(120, |number| number % 60 == 0);
    let output = desk.run(&["--dry-run"]).await;
    assert!(output.out.contains("120 deliveries listed, 2 would be asked for again"), "{output:?}");
    assert_eq!(desk.asked().len(), 0);
    // Nothing was noted either.
    desk.reconcile().await;
    assert_eq!(desk.asked(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhooks_are_named_by_arguments_too_and_those_of_others_are_left_alone() {
    let desk = Desk::new().await;
    let other = desk.github.add_hook(REPOSITORY, "https://ci.example.org/hook");
    let staging = desk.github.add_hook(REPOSITORY, "https://staging.example.org/webhooks/github");
    desk.github.add_hook("orgs/o", ADDRESS);
    let of_organisation = desk.github.delivered("orgs/o", "issues.opened", 502, TimeDelta::hours(2));
    let output = desk.run(&["github", "o"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(desk.asked(), BTreeSet::from([of_organisation]));

    let asked_for = |id: u64| {
        let path = format!("/repos/o/r/hooks/{id}/deliveries");
        desk.github.world().requests.iter().any(|(_, asked)| asked.starts_with(&path))
    };
    assert_eq!(
        desk.run(&["github", "o/r", "--public-url", "https://plaudit.example.org/"]).await.code,
        Some(0)
    );
    assert!(!asked_for(staging) && !asked_for(other));
    assert_eq!(desk.run(&["github", "o/r"]).await.code, Some(0));
    assert!(asked_for(staging) && !asked_for(other));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_one_line_with_what_to_do() {
    let mut desk = Desk::new().await;
    for (arguments, code, words) in [
        (&["gitea", "o/r"][..], 2, "begins with none of"),
        (&["github", "o/r/x"], 2, "neither OWNER/REPO nor an organisation"),
        (&["github-app"], 2, "an App's webhook needs PLAUDIT_GITHUB_APP_ID"),
        (&["github", "nobody/here"], 1, "run this again"),
    ] {
        let output = desk.run(arguments).await;
        assert_eq!(output.code, Some(code), "{arguments:?} {output:?}");
        assert!(output.err.contains(words) && output.err.lines().count() == 1, "{arguments:?} {output:?}");
    }
    desk.environment = desk.environment.with("PLAUDIT_GITHUB_TOKEN", "a-token-that-expired");
    let output = desk.run(&[]).await;
    assert_eq!(output.code, Some(1));
    assert!(output.out.contains("the token is wrong or expired"), "{output:?}");
    desk.environment = desk.environment.with("PLAUDIT_GITHUB_TOKEN", "");
    let output = desk.run(&[]).await;
    assert_eq!(output.code, Some(2));
    assert!(
        output.err.contains("PLAUDIT_RECONCILE: ") && output.err.contains("needs PLAUDIT_GITHUB_TOKEN"),
        "{output:?}"
    );
    // A fault of a variable that several entries read is one fault.
    desk.environment = desk.environment.with("PLAUDIT_RECONCILE", "github:o/r,github:o,o/r");
    let output = desk.run(&[]).await;
    for (fault, times) in [("needs PLAUDIT_GITHUB_TOKEN", 1), ("begins with none of", 1)] {
        assert_eq!(output.err.matches(fault).count(), times, "{output:?}");
    }
    desk.environment = desk.environment.with("PLAUDIT_RECONCILE", "");
    assert!(desk.run(&[]).await.err.contains("nothing to reconcile"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_which_webhooks_are_reconciled_and_how_often_or_what_is_wrong_with_them() {
    let check_of = async |desk: &Desk, settings: &[(&'static str, &str)], code: i32, line: &str| {
        let environment = desk.environment.clone();
        let environment = settings.iter().fold(environment, |all, (name, value)| all.with(name, *value));
        let output = tokio::task::spawn_blocking(move || environment.run(&["check"])).await.unwrap();
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.out.lines().any(|one| one == line), "{line}: {output:?}");
    };
    let desk = Desk::new().await;
    let check = async |settings: &[(&'static str, &str)], code: i32, line: &str| {
        check_of(&desk, settings, code, line).await;
    };
    let anywhere = "every 10 minutes, webhooks at any address (PLAUDIT_PUBLIC_URL is not set)";
    check(&[], 0, &format!("right  reconciling github:o/r: 1 webhook; {anywhere}")).await;
    let here = ("PLAUDIT_PUBLIC_URL", "https://plaudit.example.org");
    let on_request = "at each POST /internal/reconcile, webhooks at https://plaudit.example.org";
    if let Some(desk) = Desk::on_firestore().await {
        let cloud_run = [here, ("K_SERVICE", "plaudit")];
        check_of(&desk, &cloud_run, 0, &format!("right  reconciling github:o/r: 1 webhook; {on_request}"))
            .await;
    }
    let none = "no webhook posts to plaudit; `plaudit init github o/r` makes one";
    let elsewhere = [("PLAUDIT_PUBLIC_URL", "https://elsewhere.example.org")];
    check(&elsewhere, 1, &format!("wrong  reconciling github:o/r: {none}")).await;
    desk.github.change("active", json!(false));
    let id = desk.github.world().hooks[REPOSITORY][0].shown["id"].clone();
    check(&[], 1, &format!("wrong  reconciling github:o/r: webhook {id} is off: it is not active")).await;

    let unset = ("PLAUDIT_RECONCILE", "");
    let only_github = ("PLAUDIT_GITLAB_SECRET", "");
    let advice =
        "off    reconciling: to have failed deliveries sent again set PLAUDIT_RECONCILE=github:OWNER/REPO";
    check(&[unset, only_github], 0, advice).await;
    let credential = " with PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID and PLAUDIT_GITHUB_APP_KEY";
    let no_token = [unset, only_github, ("PLAUDIT_GITHUB_TOKEN", "")];
    check(&no_token, 0, &format!("{advice}{credential}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_says_which_webhooks_are_reconciled_and_how_often() {
    let settings = [("PLAUDIT_GITHUB_TOKEN", GITHUB_TOKEN), ("PLAUDIT_RECONCILE", "github:o/r,github:o")];
    let plaudit = Plaudit::with(&settings).await;
    let first = plaudit.printed().await;
    let is = "github:o/r, github:o every 10 minutes, webhooks at any address (PLAUDIT_PUBLIC_URL is not set)";
    assert!(first.contains(&format!("  reconciling  {is}\n")), "{first}");
    plaudit.logged(&format!("\"reconciling\":\"{is}\"")).await;
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_webhook_is_reconciled_with_the_apps_own_key_and_repositories_with_its_installations() {
    let mut desk = Desk::new().await;
    desk.environment = desk
        .environment
        .with("PLAUDIT_GITHUB_TOKEN", "")
        .with("PLAUDIT_GITHUB_APP_ID", APP_ID.to_string())
        .with("PLAUDIT_GITHUB_APP_KEY", APP_KEY)
        .with("PLAUDIT_RECONCILE", "github-app, github:o/r");
    desk.github.add_hook("app", ADDRESS);
    let of_app = desk.github.delivered("app", "push", 500, TimeDelta::hours(1));
    let of_repository = desk.github.delivered(REPOSITORY, "push", 500, TimeDelta::hours(1));
    desk.reconcile().await;
    assert_eq!(desk.asked(), BTreeSet::from([of_app, of_repository]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_goes_on_with_another_token_where_that_of_the_app_was_revoked() {
    let github = FakeDeliveries::start(ADDRESS).await;
    let plaudit = Plaudit::with(&[
        ("PLAUDIT_GITHUB_API", github.url.as_str()),
        ("PLAUDIT_GITHUB_APP_ID", &APP_ID.to_string()),
        ("PLAUDIT_GITHUB_APP_KEY", APP_KEY),
        ("PLAUDIT_RECONCILE", "github:o/r"),
    ])
    .await;
    for round in 1..=2 {
        github.delivered(REPOSITORY, "push", 500, TimeDelta::hours(1));
        let done = plaudit.reconcile().await;
        assert!(done["asked"] == 1 && !done.to_string().contains("401"), "{round}: {done}");
        github.world().revoked = true;
    }
    assert_eq!(github.world().granted, 2);
    plaudit.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_while_plaudit_was_down_counts_after_one_round() {
    let mut plaudit = Plaudit::with(&[]).await;
    let github = FakeDeliveries::start(&format!("{}/webhooks/github", plaudit.url)).await;
    github.world().redelivered = Redelivered::Sent;
    plaudit.end().await;
    for number in 1..=3 {
        github.missed("pull_request", &pull_request(number, "mona"));
    }
    for (name, value) in [
        ("PLAUDIT_GITHUB_API", github.url.as_str()),
        ("PLAUDIT_GITHUB_TOKEN", GITHUB_TOKEN),
        ("PLAUDIT_RECONCILE", "github:o/r"),
    ] {
        plaudit.set(name, value);
    }
    plaudit.restart().await;
    let address = format!("{}/webhooks/github", plaudit.url);
    github.change("config", json!({"url": address}));
    let done = plaudit.reconcile().await;
    assert_eq!(done["asked"], 3, "{done}");
    assert_eq!(plaudit.recognitions().await, ["github:mona:3"]);
    let again = plaudit.reconcile().await;
    assert_eq!((&again["asked"], &again["waiting"]), (&json!(0), &json!(0)), "{again}");
    plaudit.stop().await;
}

/// A clock that the test sets, and a plaudit inside this process that reconciles `o/r`.
struct Timed {
    github: FakeDeliveries,
    inside: Inside,
    seconds: Arc<AtomicI64>,
    _folder: TempDir,
}

impl Timed {
    async fn start(first: Duration, prepare: impl Fn(&FakeDeliveries)) -> Self {
        let seconds = Arc::new(AtomicI64::new(0));
        let passed = Arc::clone(&seconds);
        let clock = Clock::from_fn(move || now() + TimeDelta::seconds(passed.load(Ordering::SeqCst)));
        let github = FakeDeliveries::with_clock(ADDRESS, clock.clone()).await;
        prepare(&github);
        let own = [
            ("PLAUDIT_GITHUB_API", github.url.as_str()),
            ("PLAUDIT_GITHUB_TOKEN", GITHUB_TOKEN),
            ("PLAUDIT_RECONCILE", "github:o/r"),
        ];
        let (folder, store) = ledger();
        let overrides = Overrides { clock, reconcile_first: first, ..Overrides::default() };
        let inside = Inside::start(&config(&own), store, overrides).await;
        Self { github, inside, seconds, _folder: folder }
    }

    /// Not by itself.
    async fn asked_only() -> Self {
        Self::start(Duration::from_hours(1), |_| {}).await
    }

    fn pass(&self, time: TimeDelta) {
        self.seconds.fetch_add(time.num_seconds(), Ordering::SeqCst);
    }

    async fn round(&self) -> Value {
        self.inside.reconcile().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_that_fails_is_asked_for_again_ever_more_rarely_and_then_named_as_lost() {
    let timed = Timed::asked_only().await;
    timed.github.world().redelivered = Redelivered::Listed(503);
    timed.github.delivered(REPOSITORY, "push", 503, TimeDelta::hours(1));
    assert_eq!(timed.round().await["asked"], 1);
    // Neither at once nor shortly before the pause ends.
    assert_eq!(timed.round().await["asked"], 0);
    timed.pass(TimeDelta::seconds(599));
    assert_eq!(timed.round().await["asked"], 0);
    timed.pass(TimeDelta::seconds(1));
    assert_eq!(timed.round().await["asked"], 1);
    timed.pass(TimeDelta::minutes(19));
    assert_eq!(timed.round().await["asked"], 0);
    let mut lost = 0;
    for _ in 0..13 {
        timed.pass(TimeDelta::hours(6));
        lost += timed.round().await["lost"].as_u64().unwrap_or_default();
    }
    assert_eq!(lost, 1);
    let tries = timed.github.world().asked.len();
    assert!((12..20).contains(&tries), "{tries}");
    timed.inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_that_is_not_listed_is_asked_for_again_only_after_ten_minutes() {
    let timed = Timed::asked_only().await;
    timed.github.world().redelivered = Redelivered::Unlisted;
    timed.github.delivered(REPOSITORY, "push", 503, TimeDelta::hours(1));
    for (pass, asked) in [(0, 1), (0, 0), (9, 0), (1, 1), (10, 0)] {
        timed.pass(TimeDelta::minutes(pass));
        let done = timed.round().await;
        assert_eq!((&done["asked"], &done["waiting"]), (&json!(asked), &json!(1)), "{done}");
    }
    timed.inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_listed_late_is_found() {
    let timed = Timed::asked_only().await;
    // GitHub lists a delivery when it has its answer: one that waits longer comes behind newer ones.
    timed.github.delivered(REPOSITORY, "star.created", 200, TimeDelta::seconds(20));
    let hidden = timed.github.world().hooks[REPOSITORY][0].deliveries.len();
    let late = timed.github.delivered(REPOSITORY, "push", 504, TimeDelta::seconds(15));
    let held = timed.github.world().hooks.get_mut(REPOSITORY).unwrap()[0].deliveries.remove(hidden);
    timed.github.delivered(REPOSITORY, "star.created", 200, TimeDelta::seconds(10));
    assert_eq!(timed.round().await["asked"], 0);
    timed.github.world().hooks.get_mut(REPOSITORY).unwrap()[0].deliveries.insert(hidden, held);
    timed.pass(TimeDelta::minutes(10));
    assert_eq!(timed.round().await["asked"], 1);
    assert_eq!(timed.github.world().asked, [late]);
    timed.inside.stop().await;
}

/// The one problem that a backfill repairs.
fn advice(done: &Value) -> String {
    let problems = done["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap());
    let [one] = problems.filter(|problem| problem.contains("backfill")).collect::<Vec<_>>()[..] else {
        panic!("{done}")
    };
    one.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_no_longer_lists_or_sends_is_named_with_its_time_and_with_backfill() {
    let timed = Timed::asked_only().await;
    timed.github.delivered(REPOSITORY, "push", 200, TimeDelta::hours(1));
    assert_eq!(timed.round().await.get("problems"), None);
    timed.pass(TimeDelta::days(2));
    // Nothing happened, and nothing is lost.
    assert_eq!(timed.round().await.get("problems"), None);
    timed.pass(TimeDelta::days(5));
    timed.github.world().hooks.get_mut(REPOSITORY).unwrap()[0].deliveries.clear();
    let kept = timed.github.delivered(REPOSITORY, "push", 502, TimeDelta::days(2));
    let done = timed.round().await;
    assert_eq!(timed.github.world().asked, [kept]);
    let problem = advice(&done);
    let time = |passed: TimeDelta| (now() + passed).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for words in [
        format!("from {} to {}", time(TimeDelta::days(2)), time(TimeDelta::days(5))),
        format!("plaudit backfill github o/r --since {}", (now() + TimeDelta::days(2)).format("%Y-%m-%d")),
    ] {
        assert!(problem.contains(&words), "{words}: {problem}");
    }

    timed.github.world().keeps = false;
    timed.github.delivered(REPOSITORY, "push", 502, TimeDelta::hours(70));
    let done = timed.round().await;
    assert_eq!(done["lost"], 1, "{done}");
    assert!(advice(&done).contains("plaudit backfill github o/r --since"), "{done}");
    assert_eq!(timed.round().await.get("lost"), None);
    timed.inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_lasts_longer_than_the_request_leaves_the_rest_to_the_next() {
    let timed = Timed::asked_only().await;
    for _ in 0..250 {
        timed.github.delivered(REPOSITORY, "push", 500, TimeDelta::hours(1));
    }
    let reset = (now() + TimeDelta::hours(1)).timestamp().to_string();
    let limit = || {
        let headers = vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset.clone())];
        Reaction(403, headers, false)
    };
    timed.github.next(Method::GET, "/deliveries", Reaction(500, vec![], false));
    timed.github.next(Method::GET, "/deliveries", limit());
    let done = timed.round().await;
    assert_eq!((&done["asked"], &done["unfinished"]), (&json!(0), &json!(true)), "{done}");
    timed.github.next(Method::POST, "/attempts", limit());
    let done = timed.round().await;
    assert_eq!((&done["asked"], &done["unfinished"]), (&json!(0), &json!(true)), "{done}");
    let lists = timed.github.world().lists;
    assert_eq!(timed.round().await["asked"], 250);
    assert_eq!(timed.github.world().lists, lists, "what was listed is not listed again");
    timed.inside.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rounds_at_once_ask_once() {
    let timed = Timed::asked_only().await;
    for _ in 0..30 {
        timed.github.delivered(REPOSITORY, "push", 500, TimeDelta::hours(1));
    }
    let (one, other) = tokio::join!(timed.round(), timed.round());
    assert_eq!(one["asked"].as_u64().unwrap() + other["asked"].as_u64().unwrap(), 30);
    assert_eq!(timed.github.world().asked.len(), 30);
    timed.inside.stop().await;
}

/// Three processes at once over one ledger, which all find the same.
async fn three_at_once(desk: &Desk) {
    let wanted = desk.outage(240, |number| number % 4 == 0);
    let empty: [&str; 0] = [];
    tokio::join!(desk.run(&empty), desk.run(&empty), desk.run(&empty));
    // The last one that wrote went on to the end, or stopped where another had written.
    while !desk.reconciled_all(wanted.len()) {
        desk.run(&empty).await;
    }
    assert_eq!(desk.asked(), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_at_once_ask_for_each_delivery_once() {
    three_at_once(&Desk::new().await).await;
    if let Some(desk) = Desk::on_firestore().await {
        three_at_once(&desk).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_processor_is_always_on_plaudit_reconciles_by_itself() {
    let missed = |github: &FakeDeliveries| {
        github.delivered(REPOSITORY, "push", 500, TimeDelta::hours(1));
        // The webhooks, their deliveries, and what was missed.
        github.world().hang_after = Some(2);
    };
    let timed = Timed::start(Duration::ZERO, missed).await;
    timed.github.hangs().await;
    assert_eq!(timed.github.world().asked.len(), 1);
    timed.inside.stop().await;
}
