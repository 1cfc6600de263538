//! Forgotten is forgotten: no trace remains, and nothing brings it back.

use std::path::Path;
use std::sync::Arc;

use plaudit::store::firestore::Firestore;
use plaudit::store::{ForgetKey, Forgot, Novelty, Store};
use reqwest::Method;
use serde_json::{Value, json};

use crate::store::{at, count, done, sqlite, who};
use crate::support::emulators::{self, PATIENT};

use crate::support::{Client, Environment, Plaudit, TOKEN, command, fixture, run, talk};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// All of these occur in what plaudit is sent about one person, and in nothing else.
const TRACES: [&str; 4] = ["traceable", "7301992", "unmistakable", "TRACEABLE"];

fn payload(file: &str, of: impl Fn(&mut Value)) -> String {
    let mut payload: Value = serde_json::from_str(&fixture(file)).unwrap();
    of(&mut payload);
    payload.to_string()
}

fn is_the_persons(item: &mut Value, number: u64) {
    item["number"] = number.into();
    item["title"] = "An unmistakable title".into();
    item["html_url"] = format!("https://github.com/traceable/fork/{number}").into();
    item["user"]["login"] = "Traceable".into();
    item["user"]["id"] = 7_301_992.into();
}

/// Deliveries of every kind that name one person; in one of them, somebody else too.
fn deliveries() -> Vec<(&'static str, String)> {
    let opened = |number: u64, action: &'static str| {
        let file = if action == "labeled" {
            "github/pull_request.labeled.spam.json"
        } else {
            "github/pull_request.opened.json"
        };
        payload(file, |payload| {
            payload["number"] = number.into();
            is_the_persons(&mut payload["pull_request"], number);
        })
    };
    let issue = payload("github/issues.opened.json", |payload| is_the_persons(&mut payload["issue"], 901));
    let push = payload("github/push.default_branch.json", |payload| {
        let mut commit = payload["commits"][0].clone();
        commit["id"] = "e".repeat(40).into();
        commit["message"] = "An unmistakable message".into();
        commit["author"] = json!({
            "name": "traceable", "email": "7301992+traceable@users.noreply.github.com", "username": "traceable",
        });
        payload["commits"].as_array_mut().unwrap().push(commit);
    });
    vec![
        ("pull_request", opened(801, "opened")),
        ("pull_request", opened(802, "opened")),
        ("issues", issue),
        ("push", push),
        // Of a pull request that was never recorded.
        ("pull_request", opened(803, "labeled")),
    ]
}

async fn replay(plaudit: &Client) -> Vec<Value> {
    let mut answers = Vec::new();
    for (event, body) in deliveries() {
        answers.push(plaudit.github(event, &body).await.expect(200).json());
    }
    answers
}

/// Everything that can be read, pages too.
async fn readable(plaudit: &Client) -> String {
    let mut text = String::new();
    for path in [
        "/v1/contributors",
        "/v1/contributors?order=id",
        "/v1/recognitions",
        "/v1/contributions?repository=harbour-lights/beacon&retracted=true",
        "/",
        "/metrics",
    ] {
        text += &plaudit.get(path).await.text;
    }
    text
}

fn traces(text: &str) -> Vec<&'static str> {
    TRACES.into_iter().filter(|trace| text.contains(trace)).collect()
}

/// Takes a push of the person back: what says so is kept by the contribution's id, which has the login.
async fn retract_the_push(plaudit: &Client, answers: &[Value]) {
    let parts = answers[3]["contributions"].as_array().unwrap();
    let own = parts.iter().find(|part| part["contributor"] == "github:traceable").unwrap();
    let path = format!("/v1/contributions/{}", own["id"].as_str().unwrap());
    plaudit.send(plaudit.request(Method::DELETE, &path)).await.expect(200);
}

/// Has a running instance forget somebody of whom it has something of every kind, and looks for traces everywhere but
/// in the store itself.
async fn is_forgotten(plaudit: &Plaudit) {
    let first = replay(plaudit).await;
    assert_eq!(first[2]["contributions"][0]["recognitions"], json!(["github:traceable:3"]));
    plaudit.post(&talk("ada", "ada-1")).await.expect(201);
    let before = plaudit.tallies().await;
    assert_eq!(before["github:traceable"], 4, "{before:?}");
    retract_the_push(plaudit, &first).await;
    plaudit.drain_all().await;
    assert!(!traces(&readable(plaudit).await).is_empty(), "there would be nothing to find");

    let logged = plaudit.log.lines().len();
    let path = "/v1/contributors/GitHub%3ATraceable";
    let answer = plaudit.send(plaudit.request(Method::DELETE, path)).await.expect(200);
    assert_eq!(
        answer.json(),
        json!({"forgotten": true, "contributions": 4, "recognitions": 1, "addresses": 0})
    );
    for path in ["github:traceable", "github:traceable/contributions"] {
        let absent = plaudit.get(&format!("/v1/contributors/{path}")).await;
        assert_eq!((absent.status, traces(&absent.text)), (404, vec![]));
    }
    plaudit.get("/v1/recognitions/github:traceable:3").await.problem(404, "not_found");
    plaudit.stranger().with_token("wrong-token").get("/v1/contributors/github:traceable").await;
    plaudit
        .send(plaudit.request(Method::POST, "/v1/contributors/github:traceable"))
        .await
        .problem(405, "method_not_allowed");
    let badge = plaudit.get("/badges/github:traceable.svg").await.expect(200);
    assert!(badge.text.contains("traceable: 0 contributions"), "{}", badge.text);
    assert_eq!(traces(&readable(plaudit).await), [""; 0]);

    // All history once more: only the others are in the answers, and nobody's tally moves.
    let others = before.into_iter().filter(|(who, _)| who != "github:traceable").collect();
    for answer in replay(plaudit).await {
        assert_eq!(traces(&answer.to_string()), [""; 0], "{answer}");
        if answer["event"] != "push" && answer["verdict"] != "retracted" {
            assert_eq!((&answer["verdict"], &answer["reason"]), (&json!("ignored"), &json!("forgotten")));
        }
    }
    assert_eq!(plaudit.tallies().await, others);
    let posted = plaudit.post(&talk("github:traceable", "again")).await.problem(400, "invalid_fields");
    assert_eq!(traces(&posted.to_string()), [""; 0]);
    let again = plaudit.send(plaudit.request(Method::DELETE, path)).await.expect(200);
    assert_eq!(
        again.json(),
        json!({"forgotten": true, "contributions": 0, "recognitions": 0, "addresses": 0})
    );
    plaudit.drain_all().await;
    plaudit.get("/healthz").await.expect(200);
    plaudit.log.wait(logged, |line| line.contains("forgotten")).await;
    for line in plaudit.log.lines().into_iter().skip(logged) {
        assert_eq!(traces(&line), [""; 0], "{line}");
    }
}

fn no_bytes_of_it(folder: &Path) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for trace in TRACES {
            let found = bytes.windows(trace.len()).any(|window| window == trace.as_bytes());
            assert!(!found, "{trace} is in {}", path.display());
        }
        // The number as SQLite keeps it.
        assert!(
            !bytes.windows(3).any(|window| window == [0x6f, 0x6b, 0x68]),
            "the number is in {}",
            path.display()
        );
    }
}

#[tokio::test]
async fn a_forgotten_person_leaves_no_trace_in_the_file_its_log_answers_and_log_lines() {
    let mut plaudit = Plaudit::start().await;
    is_forgotten(&plaudit).await;
    no_bytes_of_it(plaudit.folder().path());
    // The key was made beside the ledger, and is found again.
    plaudit.end().await;
    plaudit.restart().await;
    replay(&plaudit).await;
    assert!(!plaudit.tallies().await.contains_key("github:traceable"));
    plaudit.end().await;
    no_bytes_of_it(plaudit.folder().path());
    plaudit.done();
}

#[tokio::test]
async fn a_forgotten_person_leaves_no_trace_in_firestore() {
    let Some(host) = emulators::firestore() else { return };
    let project = emulators::fresh_project();
    let environment = Environment::new(format!("firestore:{project}"))
        .with("FIRESTORE_EMULATOR_HOST", host)
        .with("PLAUDIT_FORGET_KEY", KEY);
    let plaudit = environment.start().await;
    is_forgotten(&plaudit).await;
    let client = Client::new(&format!("http://{host}"));
    let mut documents = 0;
    for collection in [
        "accounts",
        "contributions",
        "contributors",
        "recognitions",
        "reviews",
        "private",
        "forgotten",
        "bookmarks",
    ] {
        let path = format!("/v1/projects/{project}/databases/(default)/documents/{collection}?pageSize=300");
        let dump = client.get(&path).await.expect(200);
        assert_eq!(traces(&dump.text), [""; 0], "{collection}: {}", dump.text);
        documents += dump.json()["documents"].as_array().map_or(0, Vec::len);
    }
    assert!(documents > 5, "the dump is empty");
}

#[tokio::test]
async fn without_a_key_a_shared_ledger_forgets_nobody_and_says_what_to_set() {
    let Some(host) = emulators::firestore() else { return };
    let environment = Environment::new(format!("firestore:{}", emulators::fresh_project()))
        .with("FIRESTORE_EMULATOR_HOST", host);
    let plaudit = environment.start().await;
    plaudit.post(&talk("ada", "1")).await.expect(201);
    let request = plaudit.request(Method::DELETE, "/v1/contributors/ada");
    let problem = plaudit.send(request).await.problem(409, "forget_key_needed");
    assert!(problem["detail"].as_str().unwrap().contains("PLAUDIT_FORGET_KEY"));
    assert_eq!(plaudit.tally("ada").await, 1);
}

#[tokio::test]
async fn only_a_token_that_may_do_everything_forgets_and_only_whom_there_is() {
    let plaudit =
        Plaudit::with(&[("PLAUDIT_POST_TOKENS", "may-only-post"), ("PLAUDIT_READ_TOKENS", "may-only-read")])
            .await;
    plaudit.post(&talk("ada", "1")).await.expect(201);
    for (token, status) in [("may-only-post", 403), ("may-only-read", 403), ("of-nobody-here", 401)] {
        let client = plaudit.with_token(token);
        let answer = client.send(client.request(Method::DELETE, "/v1/contributors/ada")).await;
        assert_eq!(answer.status, status, "{token}");
    }
    let nobody = plaudit.send(plaudit.request(Method::DELETE, "/v1/contributors/adda")).await;
    nobody.problem(404, "not_found");
    assert_eq!(plaudit.tally("ada").await, 1);
    plaudit.stop().await;
}

/// Positions of the event stream are numbers of recognitions.
#[tokio::test]
async fn a_stream_misses_nothing_though_the_newest_recognition_is_erased() {
    let plaudit = Plaudit::with(&[("PLAUDIT_MILESTONES", "1")]).await;
    for name in ["ada", "bo"] {
        plaudit.post(&talk(name, name)).await.expect(201);
    }
    let mut behind = plaudit.stream(Some("ada:1")).await;
    assert_eq!(behind.ids(1).await, ["bo:1"]);
    plaudit.send(plaudit.request(Method::DELETE, "/v1/contributors/bo")).await.expect(200);
    plaudit.post(&talk("cy", "cy")).await.expect(201);
    assert_eq!(behind.ids(1).await, ["cy:1"]);
    drop(behind);
    plaudit.stop().await;
}

/// Anybody can write an address with another account's number into a commit, or a trailer into its message.
#[tokio::test]
async fn a_number_that_only_an_address_states_makes_nobody_else_forgotten() {
    let plaudit = Plaudit::start().await;
    let push = payload("github/push.default_branch.json", |payload| {
        payload["commits"][0]["author"] =
            json!({"name": "m", "email": "583231+mona@users.noreply.github.com"});
    });
    plaudit.github("push", &push).await.expect(200);
    assert_eq!(plaudit.tally("github:mona").await, 1);
    plaudit.send(plaudit.request(Method::DELETE, "/v1/contributors/github:mona")).await.expect(200);
    let opened = payload("github/issues.opened.json", |payload| {
        payload["issue"]["user"]["login"] = "innocent".into();
        payload["issue"]["user"]["id"] = 583_231.into();
    });
    let answer = plaudit.github("issues", &opened).await.expect(200).json();
    assert_eq!(answer["verdict"], "recorded", "{answer}");
    plaudit.stop().await;
}

/// The process ends after it erased somebody and before it wrote the file anew.
#[tokio::test]
async fn an_erasure_that_was_interrupted_is_ended_by_the_next_start() {
    let mut plaudit = Plaudit::start().await;
    replay(&plaudit).await;
    plaudit.end().await;
    let ledger = rusqlite::Connection::open(plaudit.database()).unwrap();
    ledger
        .execute_batch(
            "DELETE FROM outbox; DELETE FROM recognitions; DELETE FROM reviews;
             DELETE FROM contributions; DELETE FROM contributors; DELETE FROM repositories;
             INSERT INTO sequences (name, last) VALUES ('scrub', 1);",
        )
        .unwrap();
    drop(ledger);
    let bytes = std::fs::read(plaudit.database()).unwrap();
    assert!(bytes.windows(9).any(|window| window == b"traceable"), "there would be nothing to scrub");
    plaudit.restart().await;
    no_bytes_of_it(plaudit.folder().path());
    plaudit.stop().await;
}

#[tokio::test]
async fn another_key_than_that_of_the_forgotten_is_refused_at_the_start() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut plaudit = Plaudit::beside(&folder, &[("PLAUDIT_FORGET_KEY", KEY)]).await;
    plaudit.post(&talk("ada", "1")).await.expect(201);
    plaudit.send(plaudit.request(Method::DELETE, "/v1/contributors/ada")).await.expect(200);
    plaudit.end().await;
    plaudit.done();
    let environment = Environment::in_folder(&folder);
    for key in ["", &"x".repeat(32)] {
        let output = environment.with("PLAUDIT_FORGET_KEY", key).run(&["serve"]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.err.contains("set PLAUDIT_FORGET_KEY to that one"), "{output:?}");
    }
    let check = environment.run(&["check"]);
    assert_eq!(check.code, Some(1), "without the key: {check:?}");
    let check = environment.with("PLAUDIT_FORGET_KEY", KEY).run(&["check"]);
    assert_eq!(check.code, Some(0), "{check:?}");
    let short = environment.with("PLAUDIT_FORGET_KEY", "shorter than 32").run(&["check"]);
    assert_eq!(short.code, Some(2));
    assert!(
        short.err.contains("PLAUDIT_FORGET_KEY") && short.err.contains("openssl rand -hex 32"),
        "{}",
        short.err
    );
}

/// What is under way in another process when somebody is forgotten is either erased or not recorded.
async fn is_exact_beside_recordings(store: Arc<dyn Store>) {
    count(store.as_ref(), "mona", 3).await;
    let recording = async {
        for i in 0..200_u32 {
            let batch = [done(&format!("more/{i}"), "mona"), done(&format!("other/{i}"), "lin")];
            let answers = store.record(&batch, at(i64::from(i))).await.unwrap();
            assert_eq!(answers[1].novelty, Novelty::New);
            if answers[0].novelty == Novelty::Forgotten {
                return u64::from(i);
            }
        }
        panic!("she was never forgotten");
    };
    let forgetting = async {
        tokio::task::yield_now().await;
        store.forget(&who("mona")).await.unwrap()
    };
    let (recorded, forgot) = tokio::join!(recording, forgetting);
    let Forgot::Erased(erased) = forgot else { panic!("{forgot:?}") };
    assert_eq!(erased.contributions, 3 + recorded);
    assert_eq!(store.contributor(&who("mona")).await.unwrap(), None);
    assert_eq!(store.totals().await.unwrap().contributors, 1);
    // Another login of the same account is the same person.
    let renamed =
        |id: Option<u64>| plaudit::domain::Contribution { user_id: id, ..done("renamed", "github:renamed") };
    store
        .record(&[plaudit::domain::Contribution { user_id: Some(7), ..done("known", "github:known") }], at(0))
        .await
        .unwrap();
    store.forget(&who("github:known")).await.unwrap();
    assert_eq!(store.record(&[renamed(Some(7))], at(0)).await.unwrap()[0].novelty, Novelty::Forgotten);
    assert_eq!(store.record(&[renamed(Some(8))], at(0)).await.unwrap()[0].novelty, Novelty::New);
}

#[tokio::test]
async fn on_sqlite_forgetting_is_exact_beside_recordings() {
    let opened = sqlite().await.unwrap();
    is_exact_beside_recordings(Arc::clone(&opened.store)).await;
}

#[tokio::test]
async fn on_firestore_forgetting_is_exact_beside_recordings() {
    let Some(host) = emulators::firestore() else { return };
    let store =
        Firestore::open_emulator(host, &emulators::fresh_project(), "(default)", PATIENT).await.unwrap();
    let store = store.with_forget_key(ForgetKey::new(KEY)).await.unwrap();
    is_exact_beside_recordings(Arc::new(store)).await;
}

#[tokio::test]
async fn a_person_is_exported_and_forgotten_from_the_command_line() {
    let plaudit = Plaudit::start().await;
    replay(&plaudit).await;
    let settings = [("PLAUDIT_URL", plaudit.url.as_str()), ("PLAUDIT_TOKEN", TOKEN)];
    let command = |arguments: &[&str]| {
        let mut command = command(&settings);
        command.args(arguments);
        tokio::task::spawn_blocking(move || run(&mut command))
    };
    let exported = command(&["export", "github:Traceable"]).await.unwrap();
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let exported: Value = serde_json::from_str(&exported.out).unwrap();
    let schema = serde_json::from_str(include_str!("../../docs/export.schema.json")).unwrap();
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let faults: Vec<_> = schema.iter_errors(&exported).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{exported:#} {faults:#?}");
    assert_eq!(exported["contributions"].as_array().unwrap().len(), 4);
    assert_eq!(exported["contributor"]["user_id"], 7_301_992);
    assert_eq!(exported["recognitions"][0]["destinations"][0]["state"], "done");

    let id = exported["contributions"][0]["id"].as_str().unwrap();
    let retracted = command(&["retract", id]).await.unwrap();
    assert_eq!(retracted.out, format!("{id} is taken back; the tally of github:traceable is 3"));
    let forgotten = command(&["forget", "github:traceable"]).await.unwrap();
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert!(
        forgotten.out.starts_with("forgotten: 4 contributions and 1 recognitions are erased"),
        "{}",
        forgotten.out
    );
    for gone in [["export", "github:traceable"], ["forget", "github:nobody-here"], ["retract", id]] {
        assert_eq!(command(&gone).await.unwrap().code, Some(1), "{gone:?}");
    }
    plaudit.stop().await;
}
