//! What Google answers where a project, a database or the credentials are not as plaudit needs them: one line each,
//! which says what to do. The texts are Google's, as its issue trackers quote them.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::Environment;

/// A server that answers calls of Firestore with a status alone.
struct Google {
    host: String,
    _serving: AbortOnDropHandle<()>,
}

/// What a server answers, and which calls: all, or one RPC, where the others find nothing.
#[derive(Clone, Copy)]
struct Refusal {
    rpc: Option<&'static str>,
    status: u16,
    message: &'static str,
}

impl Google {
    async fn answering(refusal: Refusal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    std::future::ready(Ok::<_, Infallible>(refusal.answer(request.uri().path())))
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                connections.spawn(http.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { host, _serving: AbortOnDropHandle::new(serving) }
    }
}

impl Refusal {
    /// Headers that are trailers at once, and nothing else.
    fn answer(&self, path: &str) -> Response<Empty<Bytes>> {
        let applies = self.rpc.is_none_or(|rpc| path.ends_with(rpc));
        let (status, message) = if applies { (self.status, self.message) } else { (0, "") };
        Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", status)
            .header("grpc-message", utf8_percent_encode(message, NON_ALPHANUMERIC).to_string())
            // Google sends the reason as a message of its own, which no line repeats.
            .header("grpc-status-details-bin", "CAcSBnJlYXNvbg")
            .body(Empty::new())
            .unwrap()
    }
}

fn environment(google: &Google) -> Environment {
    let store = "firestore:demo-diagnosed/ledger";
    Environment::new(store).with("FIRESTORE_EMULATOR_HOST", google.host.as_str())
}

/// A start against a Firestore that answers every call so says one line with all of `expected`, and Google's words.
async fn a_start_says(status: u16, message: &'static str, expected: &[&str]) {
    let google = Google::answering(Refusal { rpc: None, status, message }).await;
    let process = environment(&google).start().await;
    let line = process.log.wait(0, |line| line.contains("tries again until the ledger opens")).await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let said = line["message"].as_str().unwrap();
    for expected in expected.iter().copied().chain([message]) {
        assert!(said.contains(expected), "{said}\nlacks {expected}");
    }
    assert!(!said.contains('\n') && !said.contains("reason") && !said.contains("source"), "{said}");
    process.get("/readyz").await.expect(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_says_in_one_line_what_is_wrong_with_the_project_and_what_to_do() {
    const MAKES_ANOTHER: &str =
        "gcloud firestore databases create --project=demo-diagnosed --database=plaudit";
    tokio::join!(
        a_start_says(
            9,
            "The Cloud Firestore API is not available for Firestore in Datastore Mode database projects/demo-diagnosed/databases/ledger.",
            &["is in Datastore mode", "needs native mode", MAKES_ANOTHER, "--type=firestore-native"],
        ),
        a_start_says(
            9,
            "The Cloud Firestore API is not available for Cloud Datastore projects.",
            &["is in Datastore mode", MAKES_ANOTHER],
        ),
        a_start_says(
            7,
            "This API method requires billing to be enabled. Please enable billing on project #42 by visiting https://console.developers.google.com/billing/enable?project=42 then retry. If you enabled billing for this project recently, wait a few minutes for the action to propagate to our systems and retry.",
            &["billing is off in the project demo-diagnosed", "gcloud billing projects link demo-diagnosed"],
        ),
        a_start_says(
            7,
            "Cloud Firestore API has not been used in project 42 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/firestore.googleapis.com/overview?project=42 then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
            &["the Firestore API is off", "gcloud services enable firestore.googleapis.com"],
        ),
        a_start_says(
            7,
            "Missing or insufficient permissions.",
            &["these credentials may not use Firestore", "--role=roles/datastore.user"],
        ),
        a_start_says(
            5,
            "The database ledger does not exist for project demo-diagnosed Please visit https://console.cloud.google.com/datastore/setup?project=demo-diagnosed to add a Cloud Datastore or Cloud Firestore database. ",
            &["ledger of the project demo-diagnosed does not exist", "gcloud firestore databases create"],
        ),
        a_start_says(
            5,
            "The project demo-diagnosed does not exist or it does not contain an active Cloud Datastore or Cloud Firestore database. Please visit http://console.cloud.google.com to create a project or https://console.cloud.google.com/datastore/setup?project=demo-diagnosed to add a Cloud Datastore or Cloud Firestore database. Note that Cloud Datastore or Cloud Firestore always have an associated App Engine app and this app must not be disabled.",
            &["does not exist", "gcloud firestore databases create"],
        ),
        a_start_says(
            16,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
            &["gcloud auth application-default login"],
        ),
    );
}

/// A query that Firestore refuses so is 503 with one line that has all of `expected`, and the link.
async fn a_query_says(message: &'static str, expected: &[&str]) {
    let google = Google::answering(Refusal { rpc: Some("RunQuery"), status: 9, message }).await;
    let process = environment(&google).start().await;
    process.get("/v1/contributors").await.problem(503, "unavailable");
    let is_the_request = |line: &str| line.contains("\"GET /v1/contributors 503\"");
    let line = process.log.wait(0, is_the_request).await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let why = line["why"].as_str().unwrap();
    for expected in expected.iter().copied().chain([message]) {
        assert!(why.contains(expected), "{why}\nlacks {expected}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_index_is_said_with_googles_link_that_makes_it() {
    tokio::join!(
        a_query_says(
            "The query requires an index. You can create it here: https://console.firebase.google.com/v1/r/project/demo-diagnosed/firestore/databases/ledger/indexes?create_composite=Ck9wcm9qZWN0cy9t",
            &["an index is missing in the Firestore database ledger", "terraform apply"],
        ),
        a_query_says(
            "The query requires an index. That index is currently building and cannot be used yet. See its status here: https://console.firebase.google.com/v1/r/project/demo-diagnosed/firestore/databases/ledger/indexes?create_composite=CpEBcHJvamVjdHMv",
            &["is still being built"],
        ),
    );
}
