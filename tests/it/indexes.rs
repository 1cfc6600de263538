//! Every query the Firestore store can send is served by an index that Terraform makes. The emulator
//! does not show this: it answers queries whose index is missing.
//!
//! Every list of the SQLite store seeks its page in an index, and a page costs the same wherever it is.

use std::collections::BTreeSet;

use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions};
use plaudit::domain::{
    Contribution, ContributionId, Destination, Fingerprint, GiveUp, Kind, Labels, RepositoryId, Review,
    Ruling, WorkId,
};
use plaudit::store::firestore::Firestore;
use plaudit::store::firestore::queries::{Comparison, Direction, NAME, SHAPES, Shape};
use plaudit::store::sqlite::queries::Key;
use plaudit::store::sqlite::{self, Sqlite};
use plaudit::store::{Concealment, ForgetKey, Settled, Shown, Sorting, Store};
use rusqlite::{Connection, Params, Statement, StatementStatus, params, params_from_iter};
use serde_json::Value;
use tempfile::TempDir;

use crate::store::{at, done, recognition, who};
use crate::support::emulators::{self, PATIENT};

/// What one field of an index is sorted by; `CONTAINS` for arrays.
type Indexed = (String, &'static str);

fn index_file() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/terraform/firestore-indexes.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn mode(field: &Value) -> &'static str {
    match (field["order"].as_str(), field["arrayConfig"].as_str()) {
        (Some("ASCENDING"), None) => "ASCENDING",
        (Some("DESCENDING"), None) => "DESCENDING",
        (None, Some("CONTAINS")) => "CONTAINS",
        _ => panic!("{field} has an index of a kind that plaudit does not know"),
    }
}

/// The fields of a composite index, and `__name__`, which Firestore adds.
fn composites(file: &Value, collection: &str) -> Vec<Vec<Indexed>> {
    let of_collection =
        |index: &&Value| index["collectionGroup"] == collection && index["queryScope"] == "COLLECTION";
    let fields = |index: &Value| {
        let fields = index["fields"].as_array().unwrap().iter();
        let mut fields: Vec<Indexed> =
            fields.map(|field| (field["fieldPath"].as_str().unwrap().to_owned(), mode(field))).collect();
        end_with_name(&mut fields);
        fields
    };
    file["indexes"].as_array().unwrap().iter().filter(of_collection).map(fields).collect()
}

fn end_with_name(fields: &mut Vec<Indexed>) {
    if fields.last().is_none_or(|(field, _)| field != NAME) {
        let descending = fields.last().is_some_and(|(_, mode)| *mode == "DESCENDING");
        fields.push((NAME.to_owned(), if descending { "DESCENDING" } else { "ASCENDING" }));
    }
}

/// The single-field indexes of a field: all kinds, unless the file overrides them, by name or with `*`.
fn single_field(file: &Value, collection: &str, field: &str) -> Vec<&'static str> {
    let overrides = file["fieldOverrides"].as_array().unwrap();
    let of = |field: &str| {
        overrides.iter().find(|it| it["collectionGroup"] == collection && it["fieldPath"] == field)
    };
    match of(field).or_else(|| of("*")) {
        None => vec!["ASCENDING", "DESCENDING", "CONTAINS"],
        Some(it) => it["indexes"].as_array().unwrap().iter().map(mode).collect(),
    }
}

/// The fields that an index needs for a query: some in any order, then others in this order.
fn needs(shape: &Shape) -> (BTreeSet<Indexed>, Vec<Indexed>) {
    let mut first = BTreeSet::new();
    let mut then: Vec<Indexed> = Vec::new();
    for (field, comparison) in shape.filters {
        match comparison {
            Comparison::Equal | Comparison::AnyOf => _ = first.insert(((*field).to_owned(), "ASCENDING")),
            Comparison::Contains => _ = first.insert(((*field).to_owned(), "CONTAINS")),
            Comparison::AtLeast | Comparison::Above | Comparison::Below | Comparison::AtMost => {
                let leads = shape.order.first().is_some_and(|(ordered, _)| ordered == field);
                assert!(leads, "{shape:?}: what is compared by size must be ordered by first");
            }
        }
    }
    for (field, direction) in shape.order {
        let direction = match direction {
            Direction::Ascending => "ASCENDING",
            Direction::Descending => "DESCENDING",
        };
        then.push(((*field).to_owned(), direction));
    }
    end_with_name(&mut then);
    (first, then)
}

fn serves(index: &[Indexed], first: &BTreeSet<Indexed>, then: &[Indexed]) -> bool {
    index.len() == first.len() + then.len()
        && index[..first.len()].iter().cloned().collect::<BTreeSet<_>>() == *first
        && index[first.len()..] == *then
}

/// Whether a single-field index, which ends with `__name__` in the same direction, or no index is enough.
fn needs_no_composite(file: &Value, shape: &Shape, first: &BTreeSet<Indexed>, then: &[Indexed]) -> bool {
    let indexed = |(field, mode): &Indexed| single_field(file, shape.collection, field).contains(mode);
    match (first.len(), then) {
        (0, [(name, "ASCENDING")]) => name == NAME,
        (1, [(name, "ASCENDING")]) => name == NAME && first.iter().all(indexed),
        (0, [field, (name, direction)]) => name == NAME && field.1 == *direction && indexed(field),
        _ => false,
    }
}

#[test]
fn every_query_has_its_index() {
    let file = index_file();
    for shape in SHAPES {
        let (first, then) = needs(shape);
        let served = needs_no_composite(&file, shape, &first, &then)
            || composites(&file, shape.collection).iter().any(|index| serves(index, &first, &then));
        assert!(served, "no index serves {shape:?}");
    }
}

#[test]
fn every_composite_index_has_its_query() {
    let file = index_file();
    for collection in ["contributions", "contributors", "recognitions"] {
        for index in composites(&file, collection) {
            let used = SHAPES.iter().filter(|shape| shape.collection == collection).any(|shape| {
                let (first, then) = needs(shape);
                serves(&index, &first, &then)
            });
            assert!(used, "nothing in {collection} asks for {index:?}, and it is paid for with every write");
        }
    }
    let known = ["contributions", "contributors", "recognitions"];
    for index in file["indexes"].as_array().unwrap() {
        assert!(known.contains(&index["collectionGroup"].as_str().unwrap()), "{index}");
    }
}

/// The single-field indexes that some query uses.
fn single_fields_used(file: &Value) -> BTreeSet<(&'static str, Indexed)> {
    let mut used = BTreeSet::new();
    for shape in SHAPES {
        let (first, then) = needs(shape);
        if needs_no_composite(file, shape, &first, &then) {
            let field = first.first().or(then.first()).unwrap();
            used.insert((shape.collection, field.clone()));
        }
    }
    used
}

/// Every collection.
const COLLECTIONS: [&str; 8] = [
    "accounts",
    "bookmarks",
    "contributions",
    "contributors",
    "forgotten",
    "recognitions",
    "reviews",
    "private",
];

/// The fields of documents that contain everything that the store writes.
async fn fields_written(host: &str) -> BTreeSet<(&'static str, String)> {
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
    let store = store.with_forget_key(ForgetKey::new(&"a key ".repeat(6))).await.unwrap();
    let whole = Contribution {
        url: Some("https://github.com/o/r/pull/7".into()),
        repository: Some("o/r".into()),
        user_id: Some(7),
        account_url: Some("https://github.example.org/octocat".into()),
        content: Some(Fingerprint([1; 16])),
        ..done("c", "github:octocat")
    };
    store.record(std::slice::from_ref(&whole), at(0)).await.unwrap();
    let labels = Some(Labels { at: at(1), rejected: true });
    let part = Contribution {
        labels,
        landed_at: Some(at(0)),
        ..done("github:1:pull_request:7:mona", "github:mona")
    };
    store.record(std::slice::from_ref(&part), at(0)).await.unwrap();
    let mut made = recognition("github:octocat", 1, at(1));
    made.contribution = Some(whole);
    made.account_url = Some("https://github.example.org/octocat".into());
    store.recognise(std::slice::from_ref(&made), &Destination::ALL).await.unwrap();
    let waiting = recognition("github:octocat", 2, at(1));
    store.recognise(&[waiting], &Destination::ALL).await.unwrap();
    let given_up = Settled::GivenUp(GiveUp::Gone);
    let settled = [
        (made.id.clone(), Destination::Comment, given_up),
        (made.id.clone(), Destination::Topic, Settled::Later(at(5))),
    ];
    store.settle(&settled).await.unwrap();

    let repository = RepositoryId::from_text("github:1");
    let concealment = Concealment { since: at(1), private_at: at(1), now: at(1), noted_anyway: true };
    store.conceal(&repository, concealment).await.unwrap();
    store.publicized(&repository, at(2)).await.unwrap();
    store.set_bookmark("backfill:github:1:issues", "here").await.unwrap();

    // A login that another account has taken, and that is linked.
    let issue = |id: &str, number| Contribution {
        kind: Kind::ISSUE,
        user_id: Some(number),
        ..done(&format!("github:1:issue:{id}"), "github:lin")
    };
    store.record(&[issue("1", 8)], at(0)).await.unwrap();
    store.record(&[issue("2", 9)], at(0)).await.unwrap();
    store.link(&who("github:lin"), &who("github:octocat")).await.unwrap();

    // A login with recognitions of which addresses alone brought everything.
    let weak =
        Contribution { kind: Kind::PUSH, user_id: Some(11), ..done("github:1:push:a:kim", "github:kim") };
    store.record(&[weak], at(0)).await.unwrap();
    store.recognise(&[recognition("github:kim", 1, at(1))], &Destination::ALL).await.unwrap();
    let stated = Contribution { contributor: who("github:kimberly"), ..issue("3", 11) };
    store.record(&[stated], at(0)).await.unwrap();

    // One with so many that what claims them is put off.
    let many = |n: u32| Contribution {
        kind: Kind::PUSH,
        user_id: Some(12),
        ..done(&format!("github:1:push:{n}:lee"), "github:lee")
    };
    let many: Vec<_> = (0..120).map(many).collect();
    for some in many.chunks(60) {
        store.record(some, at(0)).await.unwrap();
    }
    let stated = Contribution { contributor: who("github:leeroy"), ..issue("4", 12) };
    store.record(&[stated], at(0)).await.unwrap();

    let unrecorded = Review {
        work: WorkId::from_text("github:1:pull_request:8"),
        part: Some(ContributionId::from_text("github:1:pull_request:8:mona")),
        ruling: Ruling::Labels(Labels { at: at(1), rejected: true }),
        private: false,
    };
    store.review(&unrecorded).await.unwrap();
    store.record(&[done("d", "ada")], at(0)).await.unwrap();
    store.forget(&who("ada")).await.unwrap();

    let mut options = FirestoreDbOptions::new(project);
    options.firebase_api_url = Some(format!("http://{host}"));
    let db = FirestoreDb::with_options_auth(options, anonymous::Builder::new().build()).await.unwrap();
    let mut fields = BTreeSet::new();
    for collection in COLLECTIONS {
        for document in db.fluent().select().from(collection).query().await.unwrap() {
            fields.extend(document.fields.into_keys().map(|field| (collection, field)));
        }
    }
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_field_is_indexed_that_nothing_asks_for() {
    let Some(host) = emulators::firestore() else {
        return;
    };
    let file = index_file();
    let used = single_fields_used(&file);
    let written = fields_written(host).await;
    assert!(written.len() > 25, "{written:?}");
    for (collection, field) in &written {
        for mode in single_field(&file, collection, field) {
            let asked_for = used.contains(&(*collection, (field.clone(), mode)));
            assert!(asked_for, "{collection}.{field} is indexed {mode}, and nothing asks for it");
        }
    }
    for it in file["fieldOverrides"].as_array().unwrap() {
        let known = written.iter().any(|(collection, field)| {
            it["collectionGroup"] == *collection && (it["fieldPath"] == *field || it["fieldPath"] == "*")
        });
        assert!(known, "nothing writes the field of {it}");
    }
}

/// A new ledger that `fill` has filled, and a connection of the test's own to it.
fn ledger_file(fill: &str) -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plaudit.db");
    drop(Sqlite::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(fill).unwrap();
    (folder, connection)
}

#[test]
fn no_list_of_the_sqlite_store_scans_a_table_or_sorts() {
    let (_folder, connection) = ledger_file("");
    let queries = sqlite::queries::all();
    assert_eq!(queries.len(), 18);
    for sql in queries {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![1; plan.parameter_count()];
        let steps = plan.query_map(params_from_iter(values), |row| row.get::<_, String>("detail")).unwrap();
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        assert!(steps.iter().any(|step| step.contains("SEARCH")), "{sql}: {steps:#?}");
        let costly = steps.iter().find(|step| step.contains("SCAN") || step.contains("TEMP B-TREE"));
        assert_eq!(costly, None, "{sql}: {steps:#?}");
    }
}

/// The ids of a page of 100, and how many steps SQLite's virtual machine took for them.
fn read_page(page: &mut Statement<'_>, values: impl Params) -> (Vec<String>, i32) {
    page.reset_status(StatementStatus::VmStep);
    let ids = page.query_map(values, |row| row.get("id")).unwrap().take(100).map(Result::unwrap).collect();
    (ids, page.get_status(StatementStatus::VmStep))
}

#[test]
fn every_page_among_equal_tallies_costs_the_same() {
    let (_folder, connection) = ledger_file(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 19999)
         INSERT INTO contributors (id, host, login, tally, recognized, first_at, last_at)
         SELECT format('github:person-%05d', n), 'github', format('person-%05d', n), 1, 0, 0, 0 FROM n",
    );
    let mut page = connection.prepare(&sqlite::queries::contributors(Sorting::Tally, true)).unwrap();
    let (mut last, mut read) = (String::from("github:person-20000"), 0);
    loop {
        let (ids, cost) = read_page(&mut page, params![1, last, "github"]);
        // Some 20 steps a row; every row that is passed over would add at least one.
        assert!(cost < 4_000, "after {read}: {cost} steps");
        read += ids.len();
        let Some(id) = ids.last() else { break };
        last.clone_from(id);
    }
    assert_eq!((read, last.as_str()), (20_000, "github:person-00000"));
}

#[test]
fn a_page_of_a_host_or_of_a_search_costs_the_same_however_many_there_are() {
    // Two of 20,001 are on the host that is asked for, and begin with what is searched for.
    let (_folder, connection) = ledger_file(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 19998)
         INSERT INTO contributors (id, host, login, tally, recognized, first_at, last_at)
         SELECT format('github:person-%05d', n), 'github', format('person-%05d', n), n, 0, 0, 0 FROM n
         UNION ALL VALUES ('gitlab:mona', 'gitlab', 'mona', 7, 0, 0, 0), ('gitlab:monika', 'gitlab', 'monika', 8, 0, 0, 0)",
    );
    let (last, most) = (char::MAX.to_string(), i64::MAX);
    let page = |sorting, on_host, values: &[&dyn rusqlite::ToSql]| {
        let mut page = connection.prepare(&sqlite::queries::contributors(sorting, on_host)).unwrap();
        let (ids, cost) = read_page(&mut page, values);
        assert!(cost < 200, "{cost} steps for {ids:?}");
        ids
    };
    let by_tally = page(Sorting::Tally, true, &[&most, &"", &"gitlab"]);
    assert_eq!(by_tally, ["gitlab:monika", "gitlab:mona"]);
    assert_eq!(page(Sorting::Login, true, &[&"", &"", &last, &"gitlab"]), ["gitlab:mona", "gitlab:monika"]);
    assert_eq!(page(Sorting::Login, false, &[&"mo", &"", &"mp"]), ["gitlab:mona", "gitlab:monika"]);
    assert_eq!(page(Sorting::Login, false, &[&"mona", &"gitlab:mona", &"mp"]), ["gitlab:monika"]);
}

#[test]
fn what_a_list_hides_costs_it_nothing() {
    // Each has ten public contributions, and one has 20,000 hidden ones after them.
    let (_folder, connection) = ledger_file(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 20009),
                        who (number, who) AS (VALUES (1, 'hidden'), (2, 'open'))
         INSERT INTO contributions (id, contributor, kind, occurred_at, recorded_at, private, retracted)
         SELECT format('%s-%05d', who, n), number, 3, 0, 0, n >= 10 AND n % 2, n >= 10 AND NOT n % 2
         FROM n, who WHERE n < 10 OR who = 'hidden' ORDER BY who, n;
         INSERT INTO contributors (number, id, tally, recognized, first_at, last_at)
         VALUES (1, 'hidden', 10, 0, 0, 0), (2, 'open', 10, 0, 0, 0)",
    );
    let mut page =
        connection.prepare(&sqlite::queries::contributions(Key::Contributor, false, Shown::Public)).unwrap();
    let mut of = |who: &str| read_page(&mut page, params![who, i64::MAX, i64::MAX, 0]);
    let ((open, least), (hidden, cost)) = (of("open"), of("hidden"));
    assert_eq!((open.len(), hidden.len()), (10, 10));
    assert!(cost <= least, "{cost} steps among hidden contributions, {least} without");
}
