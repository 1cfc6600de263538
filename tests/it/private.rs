//! Private contributions count, and are shown only with a token.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use plaudit::domain::{Destination, Moment, Recognition};
use plaudit::http::Overrides;
use plaudit::publish::{PublishError, Publisher};
use plaudit::store::Store;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::gate::Gate;
use crate::support::pubsub_emulator::pubsub;
use crate::support::stage::{stage, unmade_topic};
use crate::support::{
    FakeStore, Inside, Mode, Plaudit, TOKEN, config, fixture, frozen, in_the_end, is_of, ledger, now,
    pull_request,
};

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

/// What says that the repository of [`pull_request`] became private.
fn privatized() -> String {
    let public: Value = serde_json::from_str(&pull_request(1, "mona")).unwrap();
    let mut payload: Value = serde_json::from_str(&fixture("github/repository.privatized.json")).unwrap();
    for same in ["id", "full_name", "html_url"] {
        payload["repository"][same] = public["repository"][same].clone();
    }
    payload.to_string()
}

/// A pull request of Mona's at this time.
fn pull_request_at(at: Moment, number: u64, private: bool) -> String {
    let mut payload: Value = serde_json::from_str(&pull_request(number, "mona")).unwrap();
    for time in ["created_at", "updated_at"] {
        payload["pull_request"][time] = at.to_rfc3339().into();
    }
    payload["repository"]["private"] = private.into();
    payload["repository"]["visibility"] = if private { "private" } else { "public" }.into();
    payload.to_string()
}

/// The time of a payload that is made now, which hosts cut to the second: never before anything of this test.
fn soon() -> Moment {
    chrono::Utc::now() + TimeDelta::seconds(1)
}

/// Sends a delivery of one contribution, and answers its verdict and its id.
async fn counted(plaudit: &Plaudit, body: &str) -> (Value, String) {
    let answer = plaudit.github("pull_request", body).await.expect(200).json();
    (answer["verdict"].clone(), answer["contributions"][0]["id"].as_str().unwrap().to_owned())
}

/// Fails unless the contributor shows anyone exactly `public`, and all of `all` to a reader with a token.
async fn shows(plaudit: &Plaudit, contributor: &str, all: &[String], public: &[&String]) {
    let list = format!("/v1/contributors/{contributor}/contributions");
    let stranger = plaudit.stranger();
    for (client, shown) in [(&stranger, public), (&plaudit.client, &all.iter().collect::<Vec<_>>())] {
        let mut listed: Vec<_> =
            client.all(&list).await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        let mut shown: Vec<_> = shown.iter().map(|id| (*id).clone()).collect();
        listed.sort();
        shown.sort();
        assert_eq!(listed, shown);
        for id in all {
            let path = format!("/v1/contributions/{id}");
            client.get(&path).await.expect(if shown.contains(id) { 200 } else { 404 });
        }
    }
    assert_eq!(plaudit.tally(contributor).await, all.len(), "all of it counts");
}

async fn a_repository_is_made_private(plaudit: &Plaudit) {
    let stranger = plaudit.stranger();
    let mut before = Vec::new();
    for id in ["a", "b", "c"] {
        plaudit.post(&crate::support::talk("ann", id)).await.expect(201);
    }
    for number in [1, 2, 3] {
        before.push(counted(plaudit, &pull_request(number, "mona")).await.1);
    }
    shows(plaudit, "github:mona", &before, &before.iter().collect::<Vec<_>>()).await;
    let named = async |client: &crate::support::Client| {
        let one = client.get("/v1/recognitions/github:mona:3").await.expect(200).json();
        let listed = client.all("/v1/recognitions").await;
        let listed = listed.into_iter().find(|made| made["id"] == "github:mona:3").unwrap();
        let resumed = client.stream(Some("ann:3")).await.next().await.unwrap().data;
        [one, listed, resumed].map(|made| made["contribution"]["id"].clone())
    };
    assert_eq!(named(&stranger).await, [json!(before[2]), json!(before[2]), json!(before[2])]);

    for _ in 0..2 {
        let answer = plaudit.github("repository", &privatized()).await.expect(200).json();
        assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("made_private")));
        assert_eq!(answer["contributions"], json!([]));
        shows(plaudit, "github:mona", &before, &[]).await;
        assert_eq!(named(&stranger).await, [json!(null), json!(null), json!(null)]);
        assert_eq!(named(plaudit).await, [json!(before[2]), json!(before[2]), json!(before[2])]);
    }

    // Deliveries from before: one that was counted, and one that arrives for the first time.
    assert_eq!(counted(plaudit, &pull_request(2, "mona")).await.0, "duplicate");
    let mut all = before;
    all.push(counted(plaudit, &pull_request(4, "mona")).await.1);
    shows(plaudit, "github:mona", &all, &[]).await;

    // It is public again: that shows nothing of before, and hides nothing of what comes.
    all.push(counted(plaudit, &pull_request_at(soon(), 5, false)).await.1);
    shows(plaudit, "github:mona", &all, &[&all[4]]).await;
    // And private once more, which this time only another delivery states.
    all.push(counted(plaudit, &pull_request_at(soon(), 6, true)).await.1);
    shows(plaudit, "github:mona", &all, &[]).await;
}

/// Counts a public pull request in a repository of its own, and answers for whom, and the id.
async fn counted_in(plaudit: &Plaudit, repository: u64, at: Moment, number: u64) -> (String, String) {
    let login = format!("mona-{repository}");
    let mut public: Value = serde_json::from_str(&pull_request_at(at, number, false)).unwrap();
    public["repository"]["id"] = repository.into();
    is_of(&mut public["pull_request"]["user"], &login);
    (format!("github:{login}"), counted(plaudit, &public.to_string()).await.1)
}

/// A delivery that counts nothing and states whether the repository is private.
fn stating(event: &str, repository: u64, private: &Value, at: Moment) -> String {
    let file = match event {
        "pull_request" => "github/pull_request.synchronize.json",
        "issues" => "github/issues.closed.json",
        _ => "github/push.new_branch.json",
    };
    let mut stating: Value = serde_json::from_str(&fixture(file)).unwrap();
    stating["repository"]["id"] = repository.into();
    stating["repository"]["private"] = private.clone();
    stating["repository"]["visibility"] = json!(null);
    match event {
        "push" => stating["repository"]["pushed_at"] = at.timestamp().into(),
        "issues" => stating["issue"]["updated_at"] = at.to_rfc3339().into(),
        _ => stating["pull_request"]["updated_at"] = at.to_rfc3339().into(),
    }
    stating.to_string()
}

async fn a_delivery_states_that_the_repository_is_private(plaudit: &Plaudit) {
    for (repository, event) in [(9_001, "pull_request"), (9_002, "issues"), (9_003, "push")] {
        let (who, id) = counted_in(plaudit, repository, now(), 7).await;
        let all = [id];
        // An old payload says nothing of now, nor one that states nothing.
        for (private, at, hides) in [
            (json!(true), soon() - TimeDelta::hours(2), false),
            (json!(null), soon(), false),
            (json!(true), soon(), true),
        ] {
            let body = stating(event, repository, &private, at);
            let answer = plaudit.github(event, &body).await.expect(200).json();
            assert_eq!(answer["verdict"], "ignored", "{answer}");
            let public: &[&String] = if hides { &[] } else { &[&all[0]] };
            shows(plaudit, &who, &all, public).await;
        }
    }
}

#[tokio::test]
async fn what_no_longer_counts_still_makes_private_what_it_says_is_private() {
    let mut plaudit = Plaudit::start().await;
    let events = [(9_011, "pull_request", "push"), (9_012, "issues", "push"), (9_013, "push", "issue")];
    let mut counted = Vec::new();
    for (repository, ..) in events {
        counted.push(counted_in(&plaudit, repository, now(), 7).await);
    }
    let mut issue: Value = serde_json::from_str(&fixture("gitlab/issue.update.confidential.json")).unwrap();
    issue["object_attributes"]["author_id"] = issue["user"]["id"].clone();
    let confidential = issue.to_string();
    issue["object_attributes"]["action"] = "open".into();
    issue["object_attributes"]["confidential"] = false.into();
    issue["event_type"] = "issue".into();
    let opened = plaudit.gitlab("Issue Hook", &issue.to_string()).await.expect(200).json();
    let opened = &opened["contributions"][0];
    let (who, all) = (opened["contributor"].as_str().unwrap(), [opened["id"].as_str().unwrap().to_owned()]);
    shows(&plaudit, who, &all, &[&all[0]]).await;

    for ((repository, event, counts), (who, id)) in events.into_iter().zip(counted) {
        plaudit.end().await;
        plaudit.set("PLAUDIT_COUNT", counts);
        plaudit.restart().await;
        let body = stating(event, repository, &json!(true), soon());
        let answer = plaudit.github(event, &body).await.expect(200).json();
        assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("kind_not_counted")));
        shows(&plaudit, &who, &[id], &[]).await;
    }
    plaudit.end().await;
    plaudit.set("PLAUDIT_COUNT", "push");
    plaudit.restart().await;
    let answer = plaudit.gitlab("Issue Hook", &confidential).await.expect(200).json();
    assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("made_private")));
    shows(&plaudit, who, &all, &[]).await;
    plaudit.stop().await;
}

async fn what_said_that_a_repository_was_private_is_sent_again(plaudit: &Plaudit) {
    let ago = |minutes| chrono::Utc::now() - TimeDelta::minutes(minutes);
    for (repository, in_order) in [(8_001, true), (8_002, false)] {
        let became = |action: &str, at: Moment| {
            let mut payload: Value = serde_json::from_str(&privatized()).unwrap();
            payload["action"] = action.into();
            payload["repository"]["id"] = repository.into();
            payload["repository"]["updated_at"] = at.to_rfc3339().into();
            payload.to_string()
        };
        let (who, before) = counted_in(plaudit, repository, ago(30), 1).await;
        let (private, public) = (became("privatized", ago(20)), became("publicized", ago(10)));
        for said in if in_order { [&private, &public] } else { [&public, &private] } {
            plaudit.github("repository", said).await.expect(200);
        }
        let all = vec![before, counted_in(plaudit, repository, soon(), 2).await.1];
        shows(plaudit, &who, &all, &[&all[1]]).await;
        // Of before it became public, and sent again: also as what states it beside something else.
        plaudit.github("repository", &private).await.expect(200);
        let stated = stating("issues", repository, &json!(true), ago(15));
        plaudit.github("issues", &stated).await.expect(200);
        shows(plaudit, &who, &all, &[&all[1]]).await;
        // It is private once more.
        plaudit.github("repository", &became("privatized", soon())).await.expect(200);
        shows(plaudit, &who, &all, &[]).await;
    }
}

#[tokio::test]
async fn a_hook_of_a_whole_gitlab_says_at_once_that_a_project_is_private() {
    let plaudit = Plaudit::with(&[("PLAUDIT_GITLAB_HOSTS", "gitlab.com")]).await;
    let opened = |iid: u64, at: Moment| {
        let mut payload: Value = serde_json::from_str(&fixture("gitlab/issue.open.json")).unwrap();
        payload["object_attributes"]["iid"] = iid.into();
        payload["object_attributes"]["author_id"] = payload["user"]["id"].clone();
        for time in ["created_at", "updated_at"] {
            payload["object_attributes"][time] = at.to_rfc3339().into();
        }
        payload
    };
    let project = opened(1, now())["project"]["id"].clone();
    let changed = |event: &str, visibility: &str, at: Moment| {
        let created = fixture("gitlab/system.project_create.json");
        let mut payload: Value = serde_json::from_str(&created).unwrap();
        payload["event_name"] = event.into();
        payload["project_id"] = project.clone();
        payload["project_visibility"] = visibility.into();
        payload["updated_at"] = at.to_rfc3339().into();
        payload.to_string()
    };
    let open = async |iid, at| {
        let answer = plaudit.gitlab("Issue Hook", &opened(iid, at).to_string()).await.expect(200).json();
        let issue = &answer["contributions"][0];
        (issue["contributor"].as_str().unwrap().to_owned(), issue["id"].as_str().unwrap().to_owned())
    };
    let (who, first) = open(71, now()).await;
    let mut all = vec![first];
    let events = [("project_update", "visibilitylevel|internal"), ("project_rename", "private")];
    for (round, (event, visibility)) in (1..).zip(events) {
        shows(&plaudit, &who, &all, &[all.last().unwrap()]).await;
        let begun = soon() + TimeDelta::seconds(10 * round);
        let after = |seconds| begun + TimeDelta::seconds(seconds);
        let private = changed(event, visibility, after(0));
        let answer = plaudit.gitlab("System Hook", &private).await.expect(200).json();
        assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("made_private")));
        shows(&plaudit, &who, &all, &[]).await;
        let public = changed("project_update", "public", after(1));
        let answer = plaudit.gitlab("System Hook", &public).await.expect(200).json();
        assert_eq!(answer["reason"], "event_not_counted");
        all.push(open(80 + all.len() as u64, after(2)).await.1);
        plaudit.gitlab("System Hook", &private).await.expect(200);
        shows(&plaudit, &who, &all, &[all.last().unwrap()]).await;
    }
    plaudit.stop().await;

    // Without the list, the host is not known: the payload has no URL.
    let plaudit = Plaudit::start().await;
    let (who, id) = {
        let answer = plaudit.gitlab("Issue Hook", &opened(1, now()).to_string()).await.expect(200).json();
        let issue = &answer["contributions"][0];
        (issue["contributor"].as_str().unwrap().to_owned(), issue["id"].as_str().unwrap().to_owned())
    };
    let private = changed("project_update", "private", soon());
    let answer = plaudit.gitlab("System Hook", &private).await.expect(200).json();
    assert_eq!(answer["reason"], "event_not_counted");
    let all = [id];
    shows(&plaudit, &who, &all, &[&all[0]]).await;
    plaudit.stop().await;
}

async fn an_issue_and_then_its_project_become_private_on_gitlab(plaudit: &Plaudit) {
    let who = "gitlab:tomasz-wrenfield";
    let opened = |iid: u64| {
        let mut payload: Value = serde_json::from_str(&fixture("gitlab/issue.open.json")).unwrap();
        payload["object_attributes"]["iid"] = iid.into();
        payload["object_attributes"]["author_id"] = payload["user"]["id"].clone();
        payload["user"]["username"] = "tomasz-wrenfield".into();
        payload.to_string()
    };
    let confidential = |iid: u64| {
        let mut payload: Value =
            serde_json::from_str(&fixture("gitlab/issue.update.confidential.json")).unwrap();
        payload["object_attributes"]["iid"] = iid.into();
        payload.to_string()
    };
    let open = async |iid| {
        let answer = plaudit.gitlab("Issue Hook", &opened(iid)).await.expect(200).json();
        answer["contributions"][0]["id"].as_str().unwrap().to_owned()
    };
    let mut all = vec![open(61).await, open(6).await];
    shows(plaudit, who, &all, &[&all[0], &all[1]]).await;
    for event in ["Issue Hook", "Confidential Issue Hook"] {
        let answer = plaudit.gitlab(event, &confidential(61)).await.expect(200).json();
        assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("made_private")));
        shows(plaudit, who, &all, &[&all[1]]).await;
    }
    // The change arrives before the issue.
    plaudit.gitlab("Issue Hook", &confidential(62)).await.expect(200);
    all.push(open(62).await);
    all.push(open(63).await);
    shows(plaudit, who, &all, &[&all[1], &all[3]]).await;

    // The project is not public any more, as any delivery states: a note counts nothing.
    let mut note: Value = serde_json::from_str(&fixture("gitlab/note.create.on_issue.json")).unwrap();
    note["project"]["id"] = serde_json::from_str::<Value>(&opened(1)).unwrap()["project"]["id"].clone();
    note["project"]["visibility_level"] = 10.into();
    plaudit.gitlab("Note Hook", &note.to_string()).await.expect(200);
    shows(plaudit, who, &all, &[]).await;
}

async fn an_issue_is_confidential_before_its_opening_arrives(plaudit: &Plaudit) {
    let of_author = |file: &str, iid: u64| {
        let mut payload: Value = serde_json::from_str(&fixture(file)).unwrap();
        payload["object_attributes"]["iid"] = iid.into();
        payload["object_attributes"]["author_id"] = payload["user"]["id"].clone();
        payload["user"]["username"] = "tomasz-wrenfield".into();
        payload.to_string()
    };
    plaudit.gitlab("Issue Hook", &of_author("gitlab/issue.update.confidential.json", 73)).await.expect(200);
    for iid in [71, 72, 73] {
        plaudit.gitlab("Issue Hook", &of_author("gitlab/issue.open.json", iid)).await.expect(200);
    }
    let published = "recognition gitlab:tomasz-wrenfield:3 published";
    plaudit.logged(published).await;
    let line = plaudit.log.lines().into_iter().find(|line| line.contains(published)).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let said: Value = serde_json::from_str(line["said"].as_str().unwrap()).unwrap();
    assert_eq!((&said["milestone"], &said["contribution"]), (&json!(3), &json!(null)));
}

/// Takes one recognition after the other, each once the test lets it.
struct Topic {
    begun: Semaphore,
    gate: Semaphore,
    taken: Mutex<Vec<Recognition>>,
}

#[async_trait]
impl Publisher for Topic {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        self.taken.lock().unwrap().push(recognition.clone());
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

/// What an instance has just made is still in its memory when the repository becomes private.
async fn made_and_not_yet_published(store: Arc<dyn Store>) {
    let topic =
        Arc::new(Topic { begun: Semaphore::new(0), gate: Semaphore::new(0), taken: Mutex::default() });
    let publishers = vec![Arc::clone(&topic) as Arc<dyn Publisher>];
    let inside = Inside::publishing(&config(&[]), store, publishers, Overrides::default()).await;
    // The topic is busy with another one.
    for id in ["a", "b", "c"] {
        inside.post(&crate::support::talk("ann", id)).await.expect(201);
    }
    topic.begun.acquire().await.unwrap().forget();
    for number in [1, 2, 3] {
        inside.github("pull_request", &pull_request(number, "mona")).await.expect(200);
    }
    inside.github("repository", &privatized()).await.expect(200);
    topic.gate.add_permits(2);
    in_the_end("the second one", topic.begun.acquire()).await.unwrap().forget();
    inside.drain().await;
    let taken = topic.taken.lock().unwrap().clone();
    let private = |taken: &Recognition| taken.contribution.as_ref().map(|named| named.private);
    let taken: Vec<_> = taken.iter().map(|one| (one.id.as_str(), private(one))).collect();
    assert_eq!(taken, [("ann:3", Some(false)), ("github:mona:3", Some(true))]);
    inside.stop().await;
}

#[tokio::test]
async fn what_is_made_and_not_yet_published_is_published_without_what_became_private() {
    let (_folder, store) = ledger();
    made_and_not_yet_published(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_firestore_what_is_made_and_not_yet_published_is_published_without_what_became_private() {
    let Some(opened) = crate::store::firestore().await else { return };
    made_and_not_yet_published(opened.store).await;
}

/// Lets a story happen on each store.
macro_rules! on_each_store {
    ($($name:ident: $story:ident;)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let plaudit = super::Plaudit::start().await;
                super::$story(&plaudit).await;
                plaudit.stop().await;
            })*
        }
        mod on_firestore {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(stage) = super::stage().await else { return };
                let plaudit = stage.environment.with("PLAUDIT_PUBLISH", "local").start().await;
                super::$story(&plaudit).await;
            })*
        }
    };
}

on_each_store! {
    what_a_repository_had_is_private_once_it_is: a_repository_is_made_private;
    what_is_contributed_after_a_repository_is_public_again_stays_public_whatever_the_order: what_said_that_a_repository_was_private_is_sent_again;
    a_new_delivery_of_github_says_that_the_repository_is_private: a_delivery_states_that_the_repository_is_private;
    what_is_confidential_before_it_is_recorded_is_named_by_no_message: an_issue_is_confidential_before_its_opening_arrives;
    an_issue_that_becomes_confidential_is_private_and_so_is_all_of_a_private_project: an_issue_and_then_its_project_become_private_on_gitlab;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recognition_that_waits_is_published_without_what_became_private() {
    let Some(stage) = unmade_topic().await else { return };
    let mut gate = Gate::open(&pubsub().await.unwrap()).await;
    let process = stage.environment.with("PUBSUB_EMULATOR_HOST", &*gate.host).start().await;
    for number in [1, 2, 3] {
        counted(&process, &pull_request(number, "mona")).await;
    }
    assert_eq!(process.drain().await["waiting"], 1);
    process.github("repository", &privatized()).await.expect(200);
    stage.make_topic_behind(&mut gate).await;
    process.drain_all().await;
    let received = stage.receives(&["github:mona:3"]).await;
    for message in &received["github:mona:3"] {
        assert_eq!(message["contribution"], json!(null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_from_before_is_private_on_an_instance_that_was_not_asked() {
    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local");
    let (one, other) = (environment.start().await, environment.start().await);
    one.github("repository", &privatized()).await.expect(200);
    let all = [counted(&other, &pull_request(1, "mona")).await.1];
    shows(&one, "github:mona", &all, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_of_which_nothing_public_is_known_is_private_on_another_instance_and_after_a_restart() {
    let private = || pull_request_at(soon(), 1, true);
    let mut one = Plaudit::start().await;
    let mut all = vec![counted(&one, &private()).await.1];
    one.end().await;
    one.restart().await;
    all.push(counted(&one, &pull_request(2, "mona")).await.1);
    shows(&one, "github:mona", &all, &[]).await;
    one.stop().await;

    let Some(stage) = stage().await else { return };
    let environment = stage.environment.with("PLAUDIT_PUBLISH", "local");
    let (one, other) = (environment.start().await, environment.start().await);
    let mut all = vec![counted(&one, &private()).await.1];
    all.push(counted(&other, &pull_request(2, "mona")).await.1);
    shows(&one, "github:mona", &all, &[]).await;
}

#[tokio::test]
async fn while_the_store_is_down_the_change_is_503_and_the_redelivery_makes_it() {
    let store = FakeStore::new(Mode::Good);
    let inside = Inside::start(&config(&[]), store.clone(), frozen()).await;
    let sent = inside.github("pull_request", &pull_request(1, "mona")).await.expect(200).json();
    let path = format!("/v1/contributions/{}", sent["contributions"][0]["id"].as_str().unwrap());
    store.set_mode(Mode::down());
    for event in ["repository", "pull_request"] {
        let body = if event == "repository" { privatized() } else { pull_request_at(now(), 2, true) };
        inside.github(event, &body).await.problem(503, "unavailable");
    }
    store.set_mode(Mode::Good);
    inside.stranger().get(&path).await.expect(200);
    inside.github("pull_request", &pull_request_at(now(), 2, true)).await.expect(200);
    inside.stranger().get(&path).await.problem(404, "not_found");
    inside.stop().await;
}
