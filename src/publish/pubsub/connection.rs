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
use crate::domain::GiveUp;

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
    publishers: Option<Publishers>,
}

#[derive(Clone)]
struct Connection {
    id: ConnectionId,
    publishers: Publishers,
}

/// Two ways over one connection.
#[derive(Clone)]
struct Publishers {
    /// Many messages in one request, which fails as a whole.
    together: Publisher,
    /// Each message in a request of its own.
    alone: Publisher,
}

/// Why a request failed.
enum Sent {
    Silent,
    /// A message in it can never be taken.
    Refused(String),
    Failed(PublishError),
}

impl Sent {
    fn on(self, connection: ConnectionId) -> Failure {
        match self {
            Self::Silent => Failure::Silent(connection),
            Self::Refused(why) => Failure::Error(PublishError::Never { reason: GiveUp::MessageRefused, why }),
            Self::Failed(error) => Failure::Error(error),
        }
    }
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// This connection gave no answer in time: its peer may have vanished without closing it.
    Silent(ConnectionId),
    Error(PublishError),
}

impl Pubsub {
    /// Publishes on the connection in use, or on a new one. A message of a request that is refused for good is
    /// sent again alone, so that only the one for which it was refused is given up.
    pub(super) async fn attempt(&self, event: &Message) -> Result<(), Failure> {
        let by = Instant::now() + ATTEMPT_TIMEOUT;
        check_credentials(&self.credentials, by).await.map_err(Failure::Error)?;
        let connection = self.connection(by).await.map_err(Failure::Error)?;
        let Publishers { together, alone } = &connection.publishers;
        match self.send(together, event, by).await {
            Err(Sent::Refused(_)) => {}
            outcome => return outcome.map_err(|sent| sent.on(connection.id)),
        }
        self.send(alone, event, by).await.map_err(|sent| sent.on(connection.id))
    }

    async fn send(&self, by_way_of: &Publisher, event: &Message, by: Instant) -> Result<(), Sent> {
        match timeout_at(by, by_way_of.publish(event.clone())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ClientError::Rpc(error))) if error.is_timeout() => Err(Sent::Silent),
            Ok(Err(ClientError::Rpc(error))) => Err(match self.topic.refuses(&error) {
                Some(why) => Sent::Refused(why),
                None => Sent::Failed(self.topic.explain(&error)),
            }),
            // The crate's background task ended: a new connection starts a new one.
            Ok(Err(_)) | Err(_) => Err(Sent::Silent),
        }
    }

    async fn connection(&self, by: Instant) -> Result<Connection, PublishError> {
        let mut slot = self.connections.0.lock().await;
        if let Some(publishers) = slot.publishers.clone() {
            return Ok(Connection { id: slot.id, publishers });
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
        let together = base
            .publisher(&self.topic.name)
            .set_message_count_threshold(AT_ONCE)
            .set_delay_threshold(BATCH_DELAY)
            .build();
        let alone = base.publisher(&self.topic.name).set_message_count_threshold(1).build();
        let publishers = Publishers { together, alone };
        *slot = Slot { id: ConnectionId(slot.id.0 + 1), publishers: Some(publishers.clone()) };
        Ok(Connection { id: slot.id, publishers })
    }
}

impl Connections {
    /// Discards a silent connection. Of many that waited on it, the first does; the others must not discard
    /// its successor.
    pub(super) async fn discard(&self, silent: ConnectionId) {
        let mut slot = self.0.lock().await;
        if slot.id == silent {
            slot.publishers = None;
        }
    }
}
