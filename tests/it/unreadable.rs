//! What a newer version, or another program, wrote into the store stops nothing beside itself.

use std::path::PathBuf;

use plaudit::domain::{ContributionId, Destination, Milestones, RecognitionId, RepositoryId};
use plaudit::store::firestore::Firestore;
use plaudit::store::sqlite::Sqlite;
use plaudit::store::{
    Concealment, ContributorFilter, LOOK_AGAIN, Order, Page, Paged, RecognitionFilter, Shown, Store,
    StoreError,
};
use rusqlite::Connection;
use serde_json::json;

use crate::store::{at, done, recognition, who};
use crate::support::emulators::{self, PATIENT};

/// Where a store keeps its items, past the store itself.
enum Kept {
    File(PathBuf),
    /// The URL of the documents.
    Documents(String),
}

impl Kept {
    /// Puts a value into a field of an item that plaudit never writes there.
    async fn spoil(&self, collection: &str, id: &str, field: &str) {
        match self {
            Self::File(path) => {
                let sql = format!("UPDATE {collection} SET {field} = 'No Kind!' WHERE id = ?1");
                assert_eq!(Connection::open(path).unwrap().execute(&sql, [id]).unwrap(), 1);
            }
            Self::Documents(url) => {
                let url = format!("{url}/{collection}/{id}?updateMask.fieldPaths={field}");
                let body = json!({"fields": {field: {"stringValue": "No Kind!"}}});
                let answer = reqwest::Client::new().patch(url).bearer_auth("owner").json(&body).send().await;
                assert_eq!(answer.unwrap().status(), 200);
            }
        }
    }
}

/// The ids of a list that is read one item at a time.
async fn walk<T>(
    id: impl Fn(T) -> String,
    read: impl AsyncFn(Page) -> Result<Paged<T>, StoreError>,
) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let Paged { items, next } = read(Page { limit: 1, after }).await.unwrap();
        ids.extend(items.into_iter().map(&id));
        assert!(ids.len() < 20, "it never ends: {ids:?}");
        match next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

async fn one_unreadable_item_stops_nothing_beside_itself(store: &dyn Store, kept: &Kept) {
    let start = store.recognitions_after(None, 0).await.unwrap().position;
    for name in ["ann", "ben", "cleo", "dora", "emil"] {
        for second in 1..=3 {
            store.record(&[done(&format!("{name}-{second}"), name)], at(second)).await.unwrap();
        }
    }
    let made: Vec<_> =
        [("ann", 1), ("ben", 2), ("cleo", 3)].map(|(name, second)| recognition(name, 3, at(second))).into();
    store.recognise(&made, &[Destination::Topic]).await.unwrap();
    kept.spoil("recognitions", "ann:3", "milestone").await;
    kept.spoil("contributions", "ben-2", "kind").await;
    kept.spoil("contributors", "ben", "first_at").await;
    kept.spoil("contributors", "dora", "first_at").await;

    let rest = ["ann", "cleo", "emil"];
    for order in [Order::Id, Order::Tally] {
        let read = async |page: Page| store.contributors(order, &ContributorFilter::default(), &page).await;
        let mut ids = walk(|one| one.standing.contributor.to_string(), read).await;
        ids.sort();
        assert_eq!(ids, rest);
    }
    let ben = who("ben");
    let read = async |page: Page| store.contributions_of(&ben, Shown::Public, &page).await;
    assert_eq!(walk(|one| one.contribution.id.to_string(), read).await, ["ben-3", "ben-1"]);
    let read = async |page: Page| store.recognitions(&RecognitionFilter::default(), &page).await;
    assert_eq!(walk(|one| one.id.to_string(), read).await, ["cleo:3", "ben:3"]);
    let news = store.recognitions_after(Some(&start), 10).await.unwrap().items;
    let mut news: Vec<_> = news.iter().map(|one| one.id.to_string()).collect();
    news.sort(); // They were made side by side.
    assert_eq!(news, ["ben:3", "cleo:3"]);

    let owing = store.owing(&Milestones::default(), None, 1).await.unwrap();
    assert_eq!(owing.iter().map(|one| one.contributor.to_string()).collect::<Vec<_>>(), ["emil"]);
    assert_eq!(store.reached(&ben, 2).await.unwrap(), None);
    let claim = async |until, limit| {
        let due = store.claim(Destination::Topic, at(60), until, limit).await.unwrap();
        due.iter().map(|due| due.recognition.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(claim(at(60), 1).await, ["ben:3"], "the oldest cannot be read");
    assert_eq!(claim(at(90), 10).await, ["ben:3", "cleo:3"]);
    assert_eq!(store.backlog(&[Destination::Topic]).await.unwrap().waiting, 3);

    let broken = |error: StoreError| assert!(matches!(error, StoreError::Broken(_)), "{error}");
    broken(store.contribution(&ContributionId::from_text("ben-2")).await.unwrap_err());
    broken(store.contributor(&ben).await.unwrap_err());
    broken(store.recognition(&RecognitionId::from_text("ann:3")).await.unwrap_err());
}

/// Three repositories are to be looked through, of which the first fails for good.
async fn what_cannot_be_hidden_keeps_back_nothing_else(store: &dyn Store, spoil: impl AsyncFnOnce()) {
    let repositories = [1, 2, 3].map(|id| RepositoryId::from_text(format!("github:{id}")));
    for repository in &repositories {
        let concealment = Concealment { since: at(0), private_at: at(0), now: at(0), noted_anyway: true };
        store.conceal(repository, concealment).await.unwrap();
    }
    let late = [1, 2, 3].map(|id| done(&format!("github:{id}:issue:7"), "github:ann"));
    store.record(&late, at(1)).await.unwrap();
    spoil().await;
    store.conceal_due(at(0) + LOOK_AGAIN).await.unwrap_err();
    for (one, hidden) in late.iter().zip([false, true, true]) {
        let found = store.contribution(&one.id).await.unwrap().unwrap();
        assert_eq!(found.contribution.private, hidden, "{}", one.id);
    }
}

#[tokio::test]
async fn what_cannot_be_hidden_keeps_back_nothing_else_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plaudit.db");
    let store = Sqlite::open(&path).unwrap();
    let spoil = async || {
        let trigger = "CREATE TRIGGER refuse BEFORE UPDATE ON contributions WHEN OLD.id GLOB 'github:1:*'
                       BEGIN SELECT RAISE(ABORT, 'refused'); END";
        Connection::open(&path).unwrap().execute_batch(trigger).unwrap();
    };
    what_cannot_be_hidden_keeps_back_nothing_else(&store, spoil).await;
}

#[tokio::test]
async fn what_cannot_be_hidden_keeps_back_nothing_else_in_firestore() {
    let Some(host) = emulators::firestore() else {
        return;
    };
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
    let documents = format!("http://{host}/v1/projects/{project}/databases/(default)/documents");
    let kept = Kept::Documents(documents);
    let spoil = async || kept.spoil("private", "github:1", "since").await;
    what_cannot_be_hidden_keeps_back_nothing_else(&store, spoil).await;
}

#[tokio::test]
async fn one_unreadable_item_stops_nothing_beside_itself_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plaudit.db");
    let store = Sqlite::open(&path).unwrap();
    one_unreadable_item_stops_nothing_beside_itself(&store, &Kept::File(path)).await;
}

#[tokio::test]
async fn one_unreadable_item_stops_nothing_beside_itself_in_firestore() {
    let Some(host) = emulators::firestore() else {
        return;
    };
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
    let documents = format!("http://{host}/v1/projects/{project}/databases/(default)/documents");
    one_unreadable_item_stops_nothing_beside_itself(&store, &Kept::Documents(documents)).await;
}
