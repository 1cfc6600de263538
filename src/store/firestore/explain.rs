//! Failures of Firestore in one line for a person: what failed, why, and what to do.

use std::time::Duration;

use firestore::errors::FirestoreError;
use firestore::gcloud_sdk::google_cloud_auth::credentials;
use tokio::time::timeout;

use crate::settings::cause;

/// How the message of a missing connection begins.
pub(super) const UNREACHABLE: &str = "Firestore cannot be reached";
/// How long the server that issues credentials may take.
const TOKEN: Duration = Duration::from_secs(3);

/// What the library says where there is no metadata server either.
const NOT_ON_GOOGLE: &str = "have not configured local credentials";

/// Why there is no connection, in a few words. The client library keeps the cause as debug text only.
pub(super) fn no_connection(error: &FirestoreError) -> String {
    let FirestoreError::SystemError(error) = error else { return error.to_string() };
    let known = [
        ("ConnectionRefused", "connection refused"),
        ("dns error", "its name cannot be resolved; check the network and the DNS of this machine"),
        ("NetworkUnreachable", "this machine has no network to it"),
        ("TimedOut", "the connection timed out; check the network and the firewall of this machine"),
    ];
    let found = known.iter().find(|(mark, _)| error.public.code.contains(mark));
    found.map_or_else(|| error.message.clone(), |(_, words)| (*words).to_owned())
}

/// Why the database could not be opened, with what to do. Without credentials no call succeeds, so that they are
/// the cause whatever the failure looked like.
pub(super) async fn advised(why: String, emulator: Option<&str>) -> String {
    match emulator {
        Some(_) if !why.starts_with(UNREACHABLE) => why,
        Some(host) => {
            format!(
                "{why}; start the emulator at {host}, which FIRESTORE_EMULATOR_HOST names, or unset the variable"
            )
        }
        None => no_credentials().await.unwrap_or(why),
    }
}

/// What is wrong with the credentials of this machine, and what to do; `None` if they give a token.
async fn no_credentials() -> Option<String> {
    let why = match credentials::Builder::default().build() {
        Err(error) => error.to_string().split(". ").next().unwrap_or_default().to_owned(),
        Ok(credentials) => match timeout(TOKEN, credentials.headers(http::Extensions::new())).await {
            Ok(Ok(_)) => return None,
            // Without a file of credentials the library asks the metadata server of Google's machines.
            Ok(Err(error)) if error.to_string().contains(NOT_ON_GOOGLE) => {
                "none are set up on this machine".to_owned()
            }
            Ok(Err(error)) => cause(&error),
            Err(_) => "the server that issues them does not answer".to_owned(),
        },
    };
    Some(format!(
        "there are no Google credentials that work ({why}); gcloud auth application-default login makes some, \
         or set GOOGLE_APPLICATION_CREDENTIALS to the file of a key"
    ))
}

/// The database that a call was for.
pub(super) struct Database<'a> {
    pub(super) project: &'a str,
    pub(super) name: &'a str,
}

impl Database<'_> {
    /// What is wrong with the project, the database or the credentials, with what to do; `None` where the call itself
    /// failed. Google's own words come last, because they may hold the link to the page that corrects it.
    pub(super) fn diagnosis(&self, code: &str, said: &str) -> Option<String> {
        let Self { project, name } = self;
        // Without the project's name, which may hold any of these words.
        let nameless = said.replace(*project, "");
        let has = |words: &[&str]| words.iter().any(|words| nameless.contains(words));
        let advice = match code {
            "PermissionDenied" | "FailedPrecondition" if has(&["billing"]) => format!(
                "billing is off in the project {project}; \
                 gcloud billing projects link {project} --billing-account=ACCOUNT turns it on"
            ),
            "FailedPrecondition" | "Unimplemented" if has(&["Datastore Mode", "Cloud Datastore"]) => format!(
                "the Firestore database {name} of the project {project} is in Datastore mode, and plaudit needs native \
                 mode; gcloud firestore databases create --project={project} --database=plaudit --location=REGION \
                 --type=firestore-native makes another database, and PLAUDIT_STORE=firestore:{project}/plaudit names it"
            ),
            "FailedPrecondition" if has(&["currently building"]) => format!(
                "an index of the Firestore database {name} of the project {project} is still being built, which takes \
                 minutes; the page under this link says when it is ready"
            ),
            "FailedPrecondition" if has(&["index"]) => format!(
                "an index is missing in the Firestore database {name} of the project {project}; terraform apply makes \
                 all of terraform/firestore-indexes.json, and this link the one"
            ),
            "PermissionDenied" if has(&["disabled", "has not been used"]) => format!(
                "the Firestore API is off in the project {project}; \
                 gcloud services enable firestore.googleapis.com --project={project} turns it on"
            ),
            "PermissionDenied" => format!(
                "these credentials may not use Firestore in the project {project}; \
                 gcloud projects add-iam-policy-binding {project} --member=serviceAccount:ACCOUNT \
                 --role=roles/datastore.user allows it"
            ),
            "Unauthenticated" => "Firestore does not accept these credentials; \
                 gcloud auth application-default login makes new ones"
                .to_owned(),
            "Unimplemented" => "this database is not Firestore in native mode".to_owned(),
            "NotFound" if said.contains("database") && said.contains("does not exist") => format!(
                "the Firestore database {name} of the project {project} does not exist; \
                 gcloud firestore databases create --project={project} --database='{name}' \
                 --location=REGION makes it"
            ),
            _ => return None,
        };
        Some(format!("{advice} ({said})"))
    }
}

/// A failure that may pass, in one line.
pub(super) fn passing(code: &str, detail: &str) -> String {
    let message = message(detail);
    if detail.contains("transport::Error") || code.starts_with("CONNECTION") {
        format!("{UNREACHABLE}: {message}")
    } else {
        format!("Firestore answers {code}: {message}")
    }
}

/// The message of a gRPC status, which the client library gives as text with its code and its source.
pub(super) fn message(status: &str) -> String {
    let quoted = status.split_once("message: \"").map(|(_, rest)| rest);
    let quoted = quoted.and_then(|rest| rest.split("\", source: ").next());
    quoted.map_or_else(|| status.to_owned(), |quoted| quoted.trim_end_matches('"').replace("\\\"", "\""))
}
