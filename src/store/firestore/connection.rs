//! The connection to Firestore, replaced when it falls silent.
//!
//! A peer that vanishes without closing a connection leaves every call on it without an answer. gcloud-sdk sends
//! keep-alive pings once a minute and waits another minute for their answer, and neither can be set. So a call
//! that got no answer in its whole time replaces its connection.

use std::sync::{PoisonError, RwLock};

use firestore::gcloud_sdk::google_cloud_auth::credentials::anonymous;
use firestore::{FirestoreDb, FirestoreDbOptions, FirestoreResult};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// How to connect.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) options: FirestoreDbOptions,
    /// Whether the address in `options` is an emulator's, which takes no credentials.
    pub(super) emulator: bool,
}

impl Target {
    async fn connect(&self) -> FirestoreResult<FirestoreDb> {
        let options = self.options.clone();
        if self.emulator {
            FirestoreDb::with_options_auth(options, anonymous::Builder::new().build()).await
        } else {
            FirestoreDb::with_options(options).await
        }
    }
}

/// The number of a connection, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId(u64);

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) db: FirestoreDb,
}

/// The connection in use.
#[derive(Debug)]
pub(super) struct Connections {
    target: Target,
    current: RwLock<Connection>,
    replacing: Mutex<()>,
}

impl Connections {
    pub(super) async fn open(target: Target) -> FirestoreResult<Self> {
        let first = Connection { id: ConnectionId(0), db: target.connect().await? };
        Ok(Self { target, current: RwLock::new(first), replacing: Mutex::default() })
    }

    pub(super) fn current(&self) -> Connection {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a new connection in place of a silent one. Of many calls that waited on it the first does so, and
    /// the others use its successor. If none can be opened until `by`, the silent one stays in use.
    pub(super) async fn replace(&self, silent: ConnectionId, by: Instant) {
        let replaced = timeout_at(by, async {
            let _alone = self.replacing.lock().await;
            if self.current().id != silent {
                return Ok(());
            }
            let next = Connection { id: ConnectionId(silent.0 + 1), db: self.target.connect().await? };
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
            tracing::warn!("Firestore did not answer on its connection; a new one is in use");
            FirestoreResult::Ok(())
        });
        if let Ok(Err(error)) = replaced.await {
            tracing::debug!(%error, "no new connection to Firestore");
        }
    }
}
