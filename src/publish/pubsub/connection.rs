//! The connection that recognitions are published on, replaced when it falls silent.

use std::time::Duration;

use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_pubsub::client::{BasePublisher, Publisher};
use google_cloud_pubsub::error::PublishError as ClientError;
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::retry_policy::RetryableErrors;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::super::PublishError;
use super::{AT_ONCE, ATTEMPT_TIMEOUT, Pubsub, RETRY_LIMIT, check_credentials};

/// How long the first message of a batch waits for the others of the same drain.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// The number of a connection, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionId(u64);

/// The connection in use: none before the first publish, and after one was discarded.
#[derive(Default)]
pub(super) struct Connections(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    id: ConnectionId,
    publisher: Option<Publisher>,
}

#[derive(Clone)]
struct Connection {
    id: ConnectionId,
    publisher: Publisher,
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// This connection gave no answer in time: its peer may have vanished without closing it.
    Silent(ConnectionId),
    Error(PublishError),
}

impl Pubsub {
    /// Publishes on the connection in use, or on a new one.
    pub(super) async fn attempt(&self, event: Message) -> Result<(), Failure> {
        let by = Instant::now() + ATTEMPT_TIMEOUT;
        check_credentials(&self.credentials, by).await.map_err(Failure::Error)?;
        let connection = self.connection(by).await.map_err(Failure::Error)?;
        match timeout_at(by, connection.publisher.publish(event)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ClientError::Rpc(error))) if error.is_timeout() => Err(Failure::Silent(connection.id)),
            Ok(Err(ClientError::Rpc(error))) => Err(Failure::Error(self.topic.explain(&error))),
            // The crate's background task ended: a new connection starts a new one.
            Ok(Err(_)) | Err(_) => Err(Failure::Silent(connection.id)),
        }
    }

    async fn connection(&self, by: Instant) -> Result<Connection, PublishError> {
        let mut slot = self.connections.0.lock().await;
        if let Some(publisher) = slot.publisher.clone() {
            return Ok(Connection { id: slot.id, publisher });
        }
        let mut builder = BasePublisher::builder()
            .with_credentials(self.credentials.clone())
            .with_retry_policy(RetryableErrors.with_time_limit(RETRY_LIMIT));
        if let Some(endpoint) = &self.topic.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let base = match timeout_at(by, builder.build()).await {
            Ok(Ok(base)) => base,
            Ok(Err(error)) => return Err(self.topic.down(format!("the client cannot be built: {error}"))),
            Err(_) => return Err(self.topic.no_answer(ATTEMPT_TIMEOUT)),
        };
        let publisher = base
            .publisher(&self.topic.name)
            .set_message_count_threshold(AT_ONCE)
            .set_delay_threshold(BATCH_DELAY)
            .build();
        *slot = Slot { id: ConnectionId(slot.id.0 + 1), publisher: Some(publisher.clone()) };
        Ok(Connection { id: slot.id, publisher })
    }
}

impl Connections {
    /// Discards a silent connection. Of many that waited on it, the first does; the others must not discard
    /// its successor.
    pub(super) async fn discard(&self, silent: ConnectionId) {
        let mut slot = self.0.lock().await;
        if slot.id == silent {
            slot.publisher = None;
        }
    }
}
