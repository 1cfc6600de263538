//! Every query the Firestore store can send is served by an index that Terraform makes. The emulator
//! does not show this: it answers queries whose index is missing.

use std::collections::BTreeSet;

use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions};
use plaudit::domain::{Contribution, Destination, Fingerprint, GiveUp, Labels, RepositoryId};
use plaudit::store::firestore::Firestore;
use plaudit::store::firestore::queries::{Comparison, Direction, NAME, SHAPES, Shape};
use plaudit::store::{Settled, Store};
use serde_json::Value;

use crate::store::{at, done, recognition};
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

/// The single-field indexes of a field: all kinds, unless the file overrides them.
fn single_field(file: &Value, collection: &str, field: &str) -> Vec<&'static str> {
    let overrides = file["fieldOverrides"].as_array().unwrap();
    let of_field = |it: &&Value| it["collectionGroup"] == collection && it["fieldPath"] == field;
    match overrides.iter().find(of_field) {
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
            Comparison::Equal => _ = first.insert(((*field).to_owned(), "ASCENDING")),
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

/// The fields of documents that contain everything that the store writes.
async fn fields_written(host: &str) -> BTreeSet<(&'static str, String)> {
    let project = emulators::fresh_project();
    let store = Firestore::open_emulator(host, &project, "(default)", PATIENT).await.unwrap();
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

    store.conceal(&RepositoryId::from_text("github:1"), at(1), true).await.unwrap();

    let mut options = FirestoreDbOptions::new(project);
    options.firebase_api_url = Some(format!("http://{host}"));
    let db = FirestoreDb::with_options_auth(options, anonymous::Builder::new().build()).await.unwrap();
    let mut fields = BTreeSet::new();
    for collection in ["contributions", "contributors", "recognitions", "reviews", "private"] {
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
        let known = written
            .iter()
            .any(|(collection, field)| it["collectionGroup"] == *collection && it["fieldPath"] == *field);
        assert!(known, "nothing writes the field of {it}");
    }
}
