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
