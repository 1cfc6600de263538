//! The one file of a SQLite ledger: that of an earlier version is read, and a copy of it is the whole ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plaudit::domain::{
    Contribution, ContributionId, ContributorId, Destination, GiveUp, Kind, Milestones, Moment,
    RecognitionId, RepositoryId,
};
use plaudit::store::sqlite::Sqlite;
use plaudit::store::{
    ContributionFilter, Contributor, ContributorFilter, Counted, Novelty, Of, Order, Page, Progress,
    RecognitionFilter, Shown, State, Store,
};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::support::{Plaudit, contribution, fixture, in_the_end, now, pull_request, talk};

/// A copy of the ledger that plaudit 0.1.0 wrote: the fixtures of both hosts and four posts, of which some
/// recognitions are published, some wait for a topic that was down, and some comments were given up.
fn written_by_0_1_0() -> (TempDir, PathBuf) {
    copy_of("0.1.0.db")
}

/// A copy of the same ledger at version 4 of the schema, with labels, landings, what was taken back, reviews that came
/// first, and a private repository.
fn at_version_4() -> (TempDir, PathBuf) {
    copy_of("schema-4.db")
}

/// A ledger at version 7 of the schema, in which an account was renamed and another one took its login, before the
/// ledger knew of either.
fn at_version_7() -> (TempDir, PathBuf) {
    copy_of("schema-7.db")
}

fn copy_of(file: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plaudit.db");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/ledgers").join(file);
    std::fs::copy(kept, &path).unwrap();
    (folder, path)
}

const EVERYTHING: Page = Page { limit: 100, after: None };

async fn contributors(store: &dyn Store) -> Vec<Contributor> {
    store.contributors(Order::Id, &ContributorFilter::default(), &EVERYTHING).await.unwrap().items
}

async fn contributions(store: &dyn Store) -> Vec<Counted> {
    let mut all = Vec::new();
    for one in contributors(store).await {
        let of = store.contributions_of(&one.standing.contributor, Shown::All, &EVERYTHING).await.unwrap();
        assert_eq!(of.items.len() as u64, one.standing.tally, "{one:?}");
        all.extend(of.items);
    }
    all
}

#[tokio::test]
async fn a_ledger_of_before_binds_the_numbers_that_its_contributions_state_and_announces_nothing() {
    let (_folder, path) = at_version_7();
    let store = Sqlite::open(&path).unwrap();
    let people = contributors(&store).await;
    let standings: Vec<_> = people
        .iter()
        .map(|one| (one.standing.contributor.as_str(), one.standing.tally, one.standing.recognized))
        .collect();
    // Of the part under each name one counts, and an address that states the number is of its account.
    let expected = [
        ("github:9+mona", 1, 3),
        ("github:kim", 2, 0),
        ("github:lisa", 6, 3),
        ("gitlab:mona", 1, 0),
        ("talker", 1, 0),
    ];
    assert_eq!(standings, expected);
    let numbers: Vec<_> = people.iter().map(|one| one.user_id).collect();
    assert_eq!(numbers, [Some(9), Some(8), Some(7), Some(7), None]);
    let lisa = ContributorId::parse("github:lisa").unwrap();
    let former = store.accounts_of(&lisa).await.unwrap();
    assert_eq!(former.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["github:mona"]);
    let recognitions = store.recognitions(&RecognitionFilter::default(), &EVERYTHING).await.unwrap().items;
    assert_eq!(recognitions.iter().map(|one| one.contributor.as_str()).collect::<Vec<_>>(), ["github:lisa"]);
    let milestones = Milestones::parse("1,2,3").unwrap();
    let owing = store.owing(&milestones, None, 10).await.unwrap();
    assert!(owing.iter().all(|one| one.contributor.as_str() != "github:9+mona"), "{owing:?}");
}

#[tokio::test]
async fn the_host_and_the_login_that_a_row_keeps_are_those_of_its_id() {
    for (_folder, path) in [written_by_0_1_0(), at_version_4(), at_version_7()] {
        let store = Sqlite::open(&path).unwrap();
        // Linked, a row is elsewhere, and comes back.
        let (account, to) = ("forge.example:8443:zoe", "zoe");
        for id in [account, to] {
            store.record(&[contribution(id, id)], now()).await.unwrap();
        }
        let [account, to] = [account, to].map(|id| ContributorId::parse(id).unwrap());
        store.link(&account, &to).await.unwrap();
        store.unlink(&account).await.unwrap();
        let connection = Connection::open(&path).unwrap();
        let mut rows = connection.prepare("SELECT id, host, login FROM contributors").unwrap();
        let rows = rows.query_map([], |row| <(String, String, String)>::try_from(row)).unwrap();
        let found: Vec<_> = rows.map(Result::unwrap).collect();
        for (id, host, login) in &found {
            let id = ContributorId::parse(id).unwrap();
            assert_eq!((host.as_str(), login.as_str()), (id.host().unwrap_or_default(), id.login()), "{id}");
        }
        assert!(found.iter().any(|(id, ..)| *id == account.as_str()), "{found:?}");
    }
}

#[tokio::test]
async fn the_ledger_of_0_1_0_is_read_whole() {
    let (_folder, path) = written_by_0_1_0();
    let store = Sqlite::open(&path).unwrap();
    let found: Vec<_> = contributors(&store)
        .await
        .into_iter()
        .map(|one| {
            (one.standing.contributor.to_string(), one.standing.tally, one.standing.recognized, one.user_id)
        })
        .collect();
    let expected = [
        ("ada", 2, 2, None),
        ("git.seawall.example:tomasz-wrenfield", 2, 2, Some(9)),
        ("github.harbour.example:ada-quillfeather", 2, 2, Some(41)),
        ("github:ada-quillfeather", 5, 3, Some(204_811_973)),
        ("github:bo-marlinspike", 7, 3, Some(204_811_974)),
        ("github:ines-tidewell", 11, 3, Some(5_000_000_123)),
        ("github:octocat", 2, 2, None),
        ("github:olu-brightwater", 1, 0, None),
        ("gitlab:tomasz-wrenfield", 4, 3, Some(31_400_101)),
        ("gitlab:ulla-oresund", 9, 3, Some(31_400_102)),
    ]
    .map(|(id, tally, recognized, user)| (id.to_owned(), tally, recognized, user));
    assert_eq!(found, expected);

    let all = contributions(&store).await;
    let of_kind = |kind| all.iter().filter(|one| one.contribution.kind.as_str() == kind).count();
    let counts = ["push", "pull_request", "issue", "review", "talk"].map(of_kind);
    assert_eq!((counts, all.len()), ([25, 7, 10, 2, 1], 45));
    assert_eq!(all.iter().filter(|one| one.contribution.private).count(), 7);
    let posted = store.contribution(&ContributionId::from_text("api:api:talk-17")).await.unwrap().unwrap();
    assert_eq!(posted.contribution.title.as_deref(), Some("Why ledgers are honest"));
    assert_eq!(posted.contribution.url.as_deref(), Some("https://example.org/talks/17"));
}

#[tokio::test]
async fn the_start_says_that_it_brings_an_older_ledger_up_to_date_and_all_of_it_is_there() {
    let (folder, path) = at_version_4();
    let folder = Arc::new(folder);
    let mut plaudit = Plaudit::beside(&folder, &[]).await;
    let line = plaudit.log.wait(0, |line| line.contains("from version 4 to ")).await;
    assert!(line.contains(r#""bytes":94208"#), "{line}");
    let tallies = plaudit.tallies().await;
    let of = |who: &str| tallies[who];
    assert_eq!([of("github:ines-tidewell"), of("github:mona"), of("gitlab:mona"), of("mona")], [11, 2, 1, 1]);
    plaudit.end().await;
    plaudit.done();

    let store = Sqlite::open(&path).unwrap();
    let of = async |who: &str, shown| {
        let all = store.contributions_of(&ContributorId::parse(who).unwrap(), shown, &EVERYTHING).await;
        all.unwrap().items
    };
    let ids = |all: &[Counted]| all.iter().map(|one| one.contribution.id.to_string()).collect::<Vec<_>>();
    let (landed, secret) = ("github:5:pull_request:1:mona", "github:6:push:0f0f:mona");
    assert_eq!(ids(&of("github:mona", Shown::Public).await), [landed]);
    assert_eq!(ids(&of("github:mona", Shown::Counted).await), [secret, landed]);
    assert_eq!(ids(&of("github:mona", Shown::All).await), [secret, "github:5:issue:2", landed]);
    let in_repository = ContributionFilter {
        kind: Some(Kind::ISSUE),
        ..ContributionFilter::of(Of::Repository("o/r".into()), Shown::All)
    };
    let found = store.contributions(&in_repository, &EVERYTHING).await.unwrap().items;
    assert_eq!(ids(&found), ["gitlab:5:issue:2", "github:5:issue:2"]);
    let posted = &of("mona", Shown::Public).await[0].contribution;
    assert_eq!(
        (posted.kind.as_str(), &posted.repository, posted.content.is_some()),
        ("workshop", &None, true)
    );
    let page = store.contributor(&ContributorId::parse("gitlab:mona").unwrap()).await.unwrap().unwrap();
    assert_eq!(page.account_url.as_deref(), Some("https://git.example.org/mona"));
    let private = store.private_repository(&RepositoryId::from_text("github:6")).await.unwrap().unwrap();
    assert!(private.since.is_some() && private.public_at.is_none());

    // What is known counts once, and what was reviewed before it came stays taken back.
    let lisas = &of("github:lisa", Shown::All).await[0].contribution;
    let late =
        Contribution { id: ContributionId::from_text("github:5:issue:9"), labels: None, ..lisas.clone() };
    let late = Contribution { kind: Kind::ISSUE, ..late };
    let recorded = store.record(&[lisas.clone(), posted.clone(), late], now()).await.unwrap();
    let novelties: Vec<_> = recorded.iter().map(|one| one.novelty).collect();
    assert_eq!(novelties, [Novelty::Retracted, Novelty::Same, Novelty::Retracted]);
    assert_eq!(store.contributor(&lisas.contributor).await.unwrap().unwrap().standing.tally, 0);
}

/// Pull requests of 0.1.0 had no login in their ids.
#[tokio::test]
async fn a_pull_request_of_0_1_0_is_the_part_of_its_author() {
    let (_folder, path) = written_by_0_1_0();
    let store = Sqlite::open(&path).unwrap();
    let all = contributions(&store).await;
    let of_hosts =
        |one: &&Counted| one.contribution.kind == Kind::PULL_REQUEST && one.contribution.content.is_none();
    let mut ids: Vec<_> = all.iter().filter(of_hosts).map(|one| one.contribution.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            "github:981237654:pull_request:41:ada-quillfeather",
            "github:981237654:pull_request:49:bo-marlinspike",
            "github:981237654:pull_request:50:ines-tidewell",
            "github:981237654:pull_request:51:ada-quillfeather",
            "gitlab:70010042:pull_request:11:tomasz-wrenfield",
            "gitlab:70010042:pull_request:15:ulla-oresund",
        ]
    );
    let posted = store.contribution(&ContributionId::from_text("api:api:42:7")).await.unwrap();
    assert!(posted.is_some(), "what a client posted keeps its id");
    let recognition =
        store.recognition(&RecognitionId::from_text("github:ada-quillfeather:3")).await.unwrap();
    let reached = recognition.unwrap().0.contribution.unwrap();
    assert_eq!(reached.id.as_str(), "github:981237654:pull_request:41:ada-quillfeather");
    let again: Vec<_> = all.iter().map(|one| one.contribution.clone()).collect();
    let recorded = store.record(&again, Moment::UNIX_EPOCH).await.unwrap();
    assert!(recorded.iter().all(|one| one.novelty == Novelty::Same));
}

#[tokio::test]
async fn a_delivery_that_0_1_0_counted_is_a_duplicate_afterwards() {
    let (folder, _) = written_by_0_1_0();
    let plaudit = Plaudit::beside(&Arc::new(folder), &[]).await;
    for (event, file) in [
        ("pull_request", "pull_request.opened.json"),
        ("pull_request", "pull_request.opened.by_another.json"),
        ("issues", "issues.opened.json"),
        ("push", "push.default_branch.json"),
    ] {
        let answer = plaudit.github(event, &fixture(&format!("github/{file}"))).await.expect(200).json();
        assert_eq!(answer["verdict"], "duplicate", "{file}: {answer}");
    }
    let answer = plaudit.gitlab("Merge Request Hook", &fixture("gitlab/merge_request.open.json")).await;
    assert_eq!(answer.expect(200).json()["verdict"], "duplicate");
    let mut plaudit = plaudit;
    plaudit.end().await;
    plaudit.done();
}

#[tokio::test]
async fn the_outbox_of_0_1_0_is_read_whole() {
    let (_folder, path) = written_by_0_1_0();
    let store = Sqlite::open(&path).unwrap();
    let recognitions = store.recognitions(&RecognitionFilter::default(), &EVERYTHING).await.unwrap().items;
    assert_eq!(recognitions.len(), 14);
    assert!(recognitions.iter().all(|one| one.contribution.is_some() && one.tally == one.milestone));
    let progress = async |id| store.recognition(&RecognitionId::from_text(id)).await.unwrap().unwrap().1;
    let at = |destination, state, reason| Progress { destination, state, reason };
    assert_eq!(progress("ada:2").await, [at(Destination::Local, State::Done, None)]);
    assert_eq!(
        progress("github:ines-tidewell:3").await,
        [
            at(Destination::Comment, State::GivenUp, Some(GiveUp::NotFound)),
            at(Destination::Topic, State::Waiting, None)
        ]
    );
    assert_eq!(
        progress("github:bo-marlinspike:3").await[0],
        at(Destination::Comment, State::GivenUp, Some(GiveUp::NothingToCommentOn))
    );
    assert_eq!(store.backlog(&Destination::ALL).await.unwrap().waiting, 8);
    let later = recognitions[0].recognized_at + chrono::Duration::hours(1);
    assert_eq!(store.claim(Destination::Topic, later, later, 100).await.unwrap().len(), 8);
}

/// Opens a copy of `file`, without what is beside it, and finds each contribution of `ids` there.
async fn holds(file: &Path, ids: &[String]) {
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    std::fs::copy(file, &copy).unwrap();
    let store = Sqlite::open(&copy).unwrap();
    for id in ids {
        let found = store.contribution(&ContributionId::from_text(id)).await.unwrap();
        assert!(found.is_some(), "{id} is not in {}", file.display());
    }
    let third = RecognitionId::of(&ContributorId::parse("mona").unwrap(), 3);
    assert!(store.recognition(&third).await.unwrap().is_some());
}

/// Starts the program, and has it count posts and deliveries, whose ids are returned.
async fn delivered() -> (Plaudit, Vec<String>) {
    let plaudit = Plaudit::start().await;
    for id in ["1", "2", "3"] {
        plaudit.post(&talk("mona", id)).await.expect(201);
    }
    let mut ids = ["1", "2", "3"].map(|id| format!("api:api:{id}")).to_vec();
    let pull_request = plaudit.github("pull_request", &pull_request(7, "octocat")).await;
    let issue = plaudit.gitlab("Issue Hook", &fixture("gitlab/issue.open.json")).await;
    for answer in [pull_request, issue] {
        let answer = answer.expect(200).json();
        assert_eq!(answer["verdict"], "recorded", "{answer}");
        ids.push(answer["contributions"][0]["id"].as_str().unwrap().to_owned());
    }
    // Readers are open when it ends.
    assert_eq!(plaudit.tallies().await["mona"], 3);
    (plaudit, ids)
}

#[tokio::test]
async fn after_a_clean_end_the_one_file_is_the_whole_ledger() {
    let (mut plaudit, ids) = delivered().await;
    plaudit.end().await;
    holds(&plaudit.database(), &ids).await;
    let beside = ["-wal", "-shm"].map(|ending| format!("{}{ending}", plaudit.database().display()));
    assert!(beside.iter().all(|file| !Path::new(file).exists()), "{beside:?}");
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await["mona"], 3);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_backup_of_a_running_ledger_is_the_whole_ledger() {
    let (plaudit, ids) = delivered().await;
    let backup = plaudit.folder().path().join("backup.db");
    {
        // What `sqlite3 plaudit.db ".backup backup.db"` does.
        let from =
            Connection::open_with_flags(plaudit.database(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        let mut to = Connection::open(&backup).unwrap();
        let step =
            Backup::new(&from, &mut to).unwrap().run_to_completion(100, std::time::Duration::ZERO, None);
        step.unwrap();
    }
    holds(&backup, &ids).await;
    plaudit.post(&talk("mona", "4")).await.expect(201);
    plaudit.stop().await;
}

#[tokio::test]
async fn a_ledger_that_is_closed_twice_refuses_what_comes_after() {
    let (_folder, path) = written_by_0_1_0();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path).unwrap());
    store.ping().await.unwrap();
    store.close().await;
    store.close().await;
    assert!(store.ping().await.is_err());
    assert!(store.record(&[], Moment::UNIX_EPOCH).await.is_err());
}

#[tokio::test]
async fn a_new_ledger_can_be_read_by_its_own_account_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let plaudit = Plaudit::start().await;
    plaudit.post(&talk("mona", "a")).await.expect(201);
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(plaudit.folder().path()).unwrap() {
        let entry = entry.unwrap();
        seen.push(entry.file_name().into_string().unwrap());
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{seen:?}");
    }
    seen.sort();
    assert_eq!(seen, ["plaudit.db", "plaudit.db-shm", "plaudit.db-wal"]);
    plaudit.stop().await;
}

/// Waits until `/readyz` says so: an answer of it is kept for some seconds.
async fn becomes_ready(plaudit: &Plaudit) {
    let ready = async {
        while plaudit.get("/readyz").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    in_the_end("ready again", ready).await;
}

/// What happens to a file of a running ledger.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Moved,
    Replaced,
}

#[tokio::test]
async fn a_ledger_that_is_moved_or_replaced_is_neither_read_nor_written_until_it_is_back() {
    let mut plaudit = Plaudit::start().await;
    plaudit.tolerate("while plaudit has it open");
    plaudit.post(&talk("mona", "0")).await.expect(201);
    let (mut kept, mut logged) = (1, 0);
    for (fault, ending) in [
        (Fault::Moved, ""),
        (Fault::Replaced, ""),
        (Fault::Moved, "-wal"),
        (Fault::Replaced, "-wal"),
        (Fault::Moved, "-shm"),
    ] {
        let file = PathBuf::from(format!("{}{ending}", plaudit.database().display()));
        let aside = plaudit.folder().path().join("aside");
        std::fs::rename(&file, &aside).unwrap();
        if matches!(fault, Fault::Replaced) {
            std::fs::copy(&aside, &file).unwrap();
        }
        for id in ["a", "b"] {
            let problem = plaudit.post(&talk("mona", id)).await.problem(503, "unavailable");
            assert!(!problem.to_string().contains("plaudit.db"), "an internal detail is shown: {problem}");
        }
        plaudit.gitlab("Issue Hook", &fixture("gitlab/issue.open.json")).await.problem(503, "unavailable");
        plaudit.get("/v1/contributors").await.problem(503, "unavailable");
        if logged == 0 {
            plaudit.get("/readyz").await.problem(503, "unavailable");
            let line = plaudit.log.wait(0, |line| line.contains("GET /readyz 503")).await;
            assert!(line.contains(file.to_str().unwrap()) && line.contains("put the file back"), "{line}");
        }
        assert!(
            matches!(fault, Fault::Replaced) || !file.exists(),
            "{fault:?} {ending}: a reader made a new file"
        );
        std::fs::rename(&aside, &file).unwrap();
        kept += 1;
        plaudit.post(&talk("mona", &format!("{kept}"))).await.expect(201);
        logged += 1;
        let back =
            || plaudit.log.lines().iter().filter(|line| line.contains("the ledger is back at")).count();
        in_the_end("the line of its return", async {
            while back() < logged {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let lines = plaudit.log.json();
        let errors = lines.iter().filter(|line| line["severity"] == "ERROR").count();
        assert_eq!(errors, logged, "{fault:?} {ending}: {lines:#?}");
    }
    becomes_ready(&plaudit).await;
    plaudit.kill9().await;
    plaudit.restart().await;
    assert_eq!(plaudit.tallies().await, [("mona".to_owned(), kept)].into());
    plaudit.stop().await;
}

#[tokio::test]
async fn a_ledger_that_was_moved_is_whole_in_its_new_place_after_a_clean_end() {
    let (mut plaudit, ids) = delivered().await;
    plaudit.tolerate("while plaudit has it open");
    let elsewhere = plaudit.folder().path().join("elsewhere.db");
    std::fs::rename(plaudit.database(), &elsewhere).unwrap();
    plaudit.post(&talk("mona", "4")).await.problem(503, "unavailable");
    plaudit.end().await;
    assert!(!plaudit.database().exists());
    holds(&elsewhere, &ids).await;
    plaudit.done();
}

#[tokio::test]
async fn what_was_written_to_a_log_that_is_removed_then_is_in_the_file_after_a_clean_end() {
    let (mut plaudit, ids) = delivered().await;
    plaudit.tolerate("while plaudit has it open");
    for ending in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{ending}", plaudit.database().display())).unwrap();
    }
    plaudit.post(&talk("mona", "4")).await.problem(503, "unavailable");
    plaudit.logged("stop plaudit with SIGTERM").await;
    plaudit.end().await;
    holds(&plaudit.database(), &ids).await;
    plaudit.restart().await;
    plaudit.post(&talk("mona", "4")).await.expect(201);
    assert_eq!(plaudit.tallies().await["mona"], 4);
    plaudit.stop().await;
}

/// SQLite would remove the log, and what it holds, beside a new file.
#[tokio::test]
async fn a_log_whose_ledger_is_absent_is_left_as_it_is() {
    let (mut plaudit, ids) = delivered().await;
    plaudit.kill9().await;
    let log = format!("{}-wal", plaudit.database().display());
    let before = std::fs::read(&log).unwrap();
    assert!(!before.is_empty());
    let aside = plaudit.folder().path().join("aside");
    std::fs::rename(plaudit.database(), &aside).unwrap();
    let why = Sqlite::open(&plaudit.database()).unwrap_err().to_string();
    assert!(why.contains("the file is absent") && why.contains(&log), "{why}");
    assert!(!plaudit.database().exists(), "no new ledger");
    assert_eq!(std::fs::read(&log).unwrap(), before);
    std::fs::rename(&aside, plaudit.database()).unwrap();
    plaudit.restart().await;
    for id in &ids {
        plaudit.get(&format!("/v1/contributions/{id}")).await.expect(200);
    }
    plaudit.stop().await;
}

#[tokio::test]
async fn a_ledger_behind_a_symbolic_link_is_written_and_its_removal_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, real) = (folder.path().join("plaudit.db"), folder.path().join("real.db"));
    std::os::unix::fs::symlink(&real, &path).unwrap();
    std::fs::write(&real, "").unwrap();
    let store = Sqlite::open(&path).unwrap();
    store.record(&[contribution("mona", "1")], now()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(store.record(&[contribution("mona", "2")], now()).await.is_err());
    std::os::unix::fs::symlink(&real, &path).unwrap();
    store.record(&[contribution("mona", "2")], now()).await.unwrap();
}
