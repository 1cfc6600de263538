//! Broken disks and files: a clear message at the start, 503 later, and nothing lost.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plaudit::domain::{
    Contribution, Labels, Milestones, Moment, RepositoryId, Review, Ruling, Visibility, VisibilitySaid,
};
use plaudit::record::{RecordError, deadline};
use plaudit::store::Store;
use plaudit::store::sqlite::Sqlite;

use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    Client, FakeStore, Inside, Mode, Output, Plaudit, command, config, contribution, fixture, frozen,
    in_the_end, now, pull_request, recorder, run, signal, talk,
};
use crate::sync::Shimmed;

/// Starts on a path that cannot be a ledger, and returns the one line of the log.
fn refused(store: &Path) -> Value {
    refused_with(store, &[])
}

/// The same with further variables.
fn refused_with(store: &Path, settings: &[(&str, String)]) -> Value {
    let own =
        [("PLAUDIT_STORE", format!("sqlite:{}", store.display())), ("PLAUDIT_LISTEN", "127.0.0.1:0".into())];
    let settings = [&own, settings].concat();
    let Output { code, out, err: log } = run(&mut command(&settings));
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(out, "", "it never listened");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!(lines[0]["severity"], "CRITICAL", "{log}");
    assert!(lines[0]["@type"].as_str().unwrap().ends_with(".ReportedErrorEvent"), "{log}");
    lines[0].clone()
}

#[track_caller]
fn says(line: &Value, words: &str) {
    assert!(line["message"].as_str().unwrap().contains(words), "{line}");
}

/// Waits until `/readyz` is 503: an answer of it is kept for some seconds, and a lock is known only after the
/// write that waits for it.
async fn is_not_ready(plaudit: &Plaudit, why: &str) {
    let from = plaudit.log.lines().len();
    let unready = async { while !asked_for_readiness(plaudit, 503).await {} };
    in_the_end("not ready", unready).await;
    let line = plaudit.log.wait(from, |line| line.contains("GET /readyz 503") && line.contains(why)).await;
    assert!(line.contains("plaudit.db"), "{line}");
}

async fn is_ready_again(plaudit: &Plaudit) {
    in_the_end("ready again", async { while !asked_for_readiness(plaudit, 200).await {} }).await;
}

async fn asked_for_readiness(plaudit: &Plaudit, status: u16) -> bool {
    let answer = plaudit.get("/readyz").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    answer.status == status
}

#[test]
fn a_folder_that_cannot_be_written_is_reported_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for store in [file.join("plaudit.db"), "/proc/plaudit.db".into(), folder.path().join("none/plaudit.db")] {
        let line = refused(&store);
        says(&line, "cannot open the ledger");
        says(&line, store.to_str().unwrap());
    }
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "this is not a database, and long enough to tell. ".repeat(50)).unwrap();
    let before = std::fs::read(&text).unwrap();
    says(&refused(&text), "the file is no SQLite database");
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let other = folder.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE precious (x); INSERT INTO precious VALUES (1);")
        .unwrap();
    says(&refused(&other), "a database of another program");
    let count: i64 = Connection::open(&other)
        .unwrap()
        .query_row("SELECT count(*) FROM precious", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    let tables: i64 = Connection::open(&other)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1, "nothing was added to it");
    assert!(folder.path().is_dir());
    says(&refused(folder.path()), "it is a folder");
}

#[tokio::test]
async fn a_ledger_written_by_a_newer_version_is_refused_and_one_of_this_version_opened() {
    let mut plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.end().await;
    let connection = Connection::open(plaudit.database()).unwrap();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert!(version > 0, "the schema carries a version");
    connection.pragma_update(None, "user_version", version + 1).unwrap();
    drop(connection);
    says(&refused(&plaudit.database()), "written by a newer plaudit");
    Connection::open(plaudit.database()).unwrap().pragma_update(None, "user_version", version).unwrap();
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await["mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_damaged_ledger_is_reported_as_damaged() {
    let mut plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.end().await;
    // Pages that are still in the write-ahead log would hide the damage.
    Connection::open(plaudit.database()).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = std::fs::read(plaudit.database()).unwrap();
    let mut damaged = whole.clone();
    damaged[100..].fill(0x5a);
    std::fs::write(plaudit.database(), &damaged).unwrap();
    says(&refused(&plaudit.database()), "damaged");
    std::fs::write(plaudit.database(), &whole).unwrap();
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await["mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn invalid_content_of_the_file_is_500_and_only_the_log_says_what() {
    let mut plaudit = Plaudit::start().await;
    plaudit.tolerate("is none that plaudit writes");
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.post(&talk("lisa", "b")).await.expect(201);
    let other = Connection::open(plaudit.database()).unwrap();
    other.execute("UPDATE contributions SET kind = 'No Kind!' WHERE id = 'api:api:a'", []).unwrap();
    let problem = plaudit.get("/v1/contributions/api:api:a").await.problem(500, "internal");
    assert!(!problem.to_string().contains("kind"), "an internal detail is shown: {problem}");
    let line = plaudit.log.wait(0, |line| line.contains("is none that plaudit writes")).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["severity"], &line["request_id"]), (&"ERROR".into(), &problem["request_id"]));
    plaudit.get("/v1/contributions/api:api:b").await.expect(200);
    plaudit.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_of_lists_and_logged_once() {
    let mut plaudit = Plaudit::start().await;
    plaudit.tolerate("is left out of lists");
    for (who, id) in [("mona", "a"), ("lisa", "b"), ("mona", "c")] {
        plaudit.post(&talk(who, id)).await.expect(201);
    }
    let other = Connection::open(plaudit.database()).unwrap();
    other.execute("UPDATE contributions SET kind = 'No Kind!' WHERE id = 'api:api:c'", []).unwrap();
    other.execute("UPDATE contributors SET first_at = 'never' WHERE id = 'lisa'", []).unwrap();
    for _ in 0..2 {
        assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 2)].into());
        let of_mona = plaudit.all("/v1/contributors/mona/contributions").await;
        assert_eq!(of_mona.iter().map(|one| one["id"].clone()).collect::<Vec<_>>(), ["api:api:a"]);
        plaudit.drain().await;
    }
    for id in ["api:api:c", "lisa"] {
        let line = plaudit.log.wait(0, |line| line.contains(&format!("{id} cannot be read"))).await;
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["severity"], "ERROR");
    }
    plaudit.end().await;
    let lines = plaudit.log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("is left out of lists")).count(), 2, "{lines:#?}");
    plaudit.done();
}

#[tokio::test]
async fn what_cannot_be_read_fails_no_other_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plaudit.db");
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path).unwrap());
    store.record(&[contribution("mona", "a")], now()).await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE contributions SET landed_at = 'never'", []).unwrap();
    let recorder = recorder(&store, &Milestones::default());
    let (again, new) = tokio::join!(
        recorder.record(vec![contribution("mona", "a")], deadline()),
        recorder.record(vec![contribution("lisa", "b")], deadline())
    );
    assert!(again.is_err(), "{again:?}");
    assert_eq!(new.unwrap()[0].tally, 1);
}

#[tokio::test]
async fn a_file_that_another_process_locks_is_reported_at_the_start_and_503_later() {
    let mut plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    let other = Connection::open(plaudit.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (database, one, two) = (plaudit.database(), talk("mona", "b"), talk("lisa", "c"));
    let (start, first, second) = tokio::join!(
        tokio::task::spawn_blocking(move || refused(&database)),
        plaudit.post(&one),
        plaudit.post(&two),
    );
    says(&start.unwrap(), "another process holds the file locked");
    for answer in [first, second] {
        let problem = answer.problem(503, "unavailable");
        assert!(
            !problem["detail"].as_str().unwrap().contains("locked"),
            "an internal detail is shown: {problem}"
        );
    }
    let why = plaudit.log.wait(0, |line| line.contains("another process holds the file locked")).await;
    assert_eq!(serde_json::from_str::<Value>(&why).unwrap()["severity"], "WARNING");
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 1)].into(), "readers go on");
    is_not_ready(&plaudit, "another process holds the file locked").await;
    other.execute_batch("ROLLBACK").unwrap();
    is_ready_again(&plaudit).await;
    // A post that waited for the lock may have been recorded after its client got the 503.
    for post in [&one, &two] {
        let answer = plaudit.post(post).await;
        assert!([200, 201].contains(&answer.status), "{answer:?}");
    }
    plaudit.kill9().await;
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), 2), ("lisa".to_owned(), 1)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_start_that_waits_for_its_file_answers_503_and_ends_at_sigterm() {
    let mut plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    plaudit.end().await;
    let other = Connection::open(plaudit.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = [
        ("PLAUDIT_STORE", format!("sqlite:{}", plaudit.database().display())),
        ("PLAUDIT_LISTEN", free.to_string()),
    ];
    let mut starting = command(&settings).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = Client::new(&format!("http://{free}"));
    let alive = async {
        while Client::try_send(client.request(Method::GET, "/healthz")).await.is_err() {
            assert!(starting.try_wait().unwrap().is_none(), "it ended before it answered");
            tokio::task::yield_now().await;
        }
    };
    in_the_end("alive", alive).await;
    client.get("/readyz").await.problem(503, "unavailable");
    signal("TERM", starting.id());
    let ended = starting.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && log.contains("the ledger was not reached"), "{log}");
    other.execute_batch("ROLLBACK").unwrap();
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await["mona"], 1);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_503_and_loses_nothing() {
    let mut shimmed = Shimmed::start().await;
    for id in ["a", "b"] {
        shimmed.plaudit.post(&talk("mona", id)).await.expect(201);
    }
    shimmed.disk("full", true);
    is_not_ready(&shimmed.plaudit, "the disk is full; free some of it").await;
    for id in ["c", "d"] {
        let problem = shimmed.plaudit.post(&talk("mona", id)).await.problem(503, "unavailable");
        assert!(
            !problem["detail"].as_str().unwrap().contains("disk"),
            "an internal detail is shown: {problem}"
        );
    }
    shimmed.plaudit.log.wait(0, |line| line.contains("the disk is full")).await;
    assert_eq!(shimmed.plaudit.tallies().await["mona"], 2, "readers go on");
    shimmed.disk("full", false);
    is_ready_again(&shimmed.plaudit).await;
    for id in ["c", "d"] {
        shimmed.plaudit.post(&talk("mona", id)).await.expect(201);
    }
    shimmed.plaudit.kill9().await;
    shimmed.plaudit.restart().await;
    assert_eq!(shimmed.plaudit.tallies().await["mona"], 4);
    assert_eq!(shimmed.plaudit.recognitions().await, ["mona:3"]);
    shimmed.plaudit.stop().await;
}

#[tokio::test]
async fn a_full_disk_at_the_start_is_called_full() {
    let mut shimmed = Shimmed::start().await;
    shimmed.plaudit.post(&talk("mona", "a")).await.expect(201);
    shimmed.plaudit.end().await;
    shimmed.disk("full", true);
    // A ledger that exists, and a new one.
    for name in ["plaudit.db", "new.db"] {
        let store = shimmed.plaudit.folder().path().join(name);
        let line = refused_with(&store, &shimmed.settings());
        says(&line, "the disk is full; free some of it");
        says(&line, store.to_str().unwrap());
    }
    shimmed.disk("full", false);
    shimmed.plaudit.restart().await;
    assert_eq!(shimmed.plaudit.tallies().await["mona"], 1);
    shimmed.plaudit.stop().await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_503_and_loses_nothing() {
    // `ulimit -f` makes writes fail on every system, without a real full disk.
    let mut plaudit = Plaudit::start().await;
    plaudit.end().await;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("trap '' XFSZ; ulimit -f 400; exec \"$0\"").arg(env!("CARGO_BIN_EXE_plaudit"));
    plaudit.restart_as(shell).await;
    let (mut kept, mut refused) = (0, 0);
    while refused < 3 {
        let mut post = talk("mona", &format!("n{kept}-{refused}"));
        post["title"] = "x".repeat(500).into();
        let answer = plaudit.post(&post).await;
        if answer.status == 201 {
            kept += 1;
            assert!(kept < 5_000, "it grows without limit");
        } else {
            answer.problem(503, "unavailable");
            refused += 1;
        }
    }
    assert!(kept > 3);
    plaudit.kill9().await;
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await["mona"], kept);
    plaudit.post(&talk("mona", "and-on")).await.expect(201);
    plaudit.stop().await;
}

#[tokio::test]
async fn whatever_a_delivery_asks_of_a_store_that_hangs_it_answers_by_its_one_deadline() {
    let unlabeled = {
        let mut payload: Value =
            serde_json::from_str(&fixture("github/pull_request.labeled.spam.json")).unwrap();
        payload["action"] = "unlabeled".into();
        payload["pull_request"]["labels"] = json!([]);
        payload["pull_request"]["updated_at"] = "2026-11-24T12:00:00Z".into();
        payload.to_string()
    };
    // Only an old payload makes plaudit ask which repositories are private.
    let mut old: Value = serde_json::from_str(&pull_request(1, "mona")).unwrap();
    for time in ["created_at", "updated_at"] {
        old["pull_request"][time] = "2020-01-01T00:00:00Z".into();
    }
    let mut private: Value = serde_json::from_str(&pull_request(1, "mona")).unwrap();
    private["repository"]["private"] = true.into();
    private["pull_request"]["updated_at"] = now().to_rfc3339().into();
    let private = private.to_string();
    let deliveries = [
        ("private_repositories", old.to_string()),
        ("record", pull_request(1, "mona")),
        ("conceal", private),
        ("review", unlabeled.clone()),
        ("contribution", unlabeled),
    ];
    let answers = deliveries.iter().map(|(method, payload)| async move {
        let store = FakeStore::new(Mode::Good);
        let one = config(&[("PLAUDIT_MILESTONES", "1")]);
        let inside = Inside::start(&one, store.clone(), frozen()).await;
        if *method == "contribution" {
            // What counts again has a milestone to reach.
            let labeled = fixture("github/pull_request.labeled.spam.json");
            let opened = labeled.replace("\"action\": \"labeled\"", "\"action\": \"opened\"");
            let answer = inside.github("pull_request", &opened).await.expect(200).json();
            assert_eq!(answer["verdict"], "retracted", "{answer}");
        }
        store.set_mode(Mode::HangsIn(method));
        let answer = in_the_end(method, inside.github("pull_request", payload)).await;
        store.set_mode(Mode::Good);
        inside.stop().await;
        answer
    });
    for answer in futures::future::join_all(answers).await {
        answer.problem(503, "unavailable");
    }
}

#[tokio::test]
async fn each_step_of_a_delivery_ends_at_the_deadline_that_it_is_given() {
    let store = FakeStore::new(Mode::Good);
    let dynamic: Arc<dyn Store> = store.clone();
    let recorder = recorder(&dynamic, &Milestones::parse("1").unwrap());
    let labels = |second, rejected| Labels { at: Moment::from_timestamp(second, 0).unwrap(), rejected };
    let rejected = Contribution {
        labels: Some(labels(1, true)),
        ..crate::store::done("github:1:pull_request:7:mona", "github:mona")
    };
    recorder.record(vec![rejected.clone()], deadline()).await.unwrap();
    let review = Review {
        work: rejected.work(),
        part: Some(rejected.id.clone()),
        ruling: Ruling::Labels(labels(2, false)),
        private: false,
    };
    let private = Visibility {
        repository: RepositoryId::from_text("github:1"),
        said: VisibilitySaid::BecamePrivate,
        at: now(),
    };
    let passed = || tokio::time::Instant::now();
    for method in ["conceal", "record", "review", "contribution"] {
        store.set_mode(Mode::HangsIn(method));
        let late = async {
            match method {
                "conceal" => recorder.see(&private, passed()).await.unwrap_err(),
                "record" => recorder.record(vec![contribution("lisa", "b")], passed()).await.unwrap_err(),
                _ => recorder.review(&review, passed()).await.unwrap_err(),
            }
        };
        let error = in_the_end(method, late).await;
        assert!(matches!(error, RecordError::TooSlow), "{method}: {error}");
    }
}
