//! Recognitions on a Pub/Sub topic, as CloudEvents 1.0 in the Pub/Sub binding's binary mode.

mod connection;
mod inquiry;
mod topic;

use std::time::Duration;

use async_trait::async_trait;
use chrono::SecondsFormat;
use google_cloud_auth::credentials::{Builder as Adc, Credentials, anonymous};
use google_cloud_pubsub::model::Message as PubsubMessage;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Hold, Message, PublishError, Publisher};
use crate::domain::{Destination, Recognition};
use crate::settings::Settings;

use connection::{Connections, Failure};
use inquiry::Inquiry;
use topic::{Topic, no_credentials};

/// The CloudEvents type: a promise about the data. Data of another shape needs another type.
const EVENT_TYPE: &str = "dev.plaudit.recognition.v1";
/// How long to wait for one attempt; a publish makes two at most.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the crate retries on one connection. Its own default is ten minutes, longer than any drain.
const RETRY_LIMIT: Duration = Duration::from_millis(3_500);
/// The crate gives up before plaudit does, so that its own error is reported.
const _: () = assert!(RETRY_LIMIT.as_millis() < ATTEMPT_TIMEOUT.as_millis());
/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one instance holds what was left to any of them.
const HOLD: Duration = Duration::from_secs(10);
const _: () = assert!(2 * ATTEMPT_TIMEOUT.as_secs() < HOLD.as_secs(), "a publish ends before its hold does");
/// How many recognitions are published concurrently, and so at most in one request.
const AT_ONCE: u32 = 100;

/// The emulator to publish to instead of Google's Pub/Sub, if one is set.
#[must_use]
pub fn emulator(settings: &Settings<'_>) -> Option<String> {
    settings.foreign("PUBSUB_EMULATOR_HOST")
}

/// The endpoint of the emulator that `PUBSUB_EMULATOR_HOST` names.
#[must_use]
pub fn emulator_endpoint(host: &str) -> String {
    let host = host.trim_end_matches('/');
    if host.contains("://") { host.to_owned() } else { format!("http://{host}") }
}

/// Application Default Credentials; anonymous ones for an emulator.
pub fn credentials(emulator: Option<&str>) -> Result<Credentials, PublishError> {
    if emulator.is_some() {
        return Ok(anonymous::Builder::new().build());
    }
    Adc::default().build().map_err(|error| no_credentials(&error))
}

/// Checks that the credentials give an access token. Without this check, missing credentials would look like
/// a server that does not answer.
pub async fn check_credentials(credentials: &Credentials, by: Instant) -> Result<(), PublishError> {
    match timeout_at(by, credentials.headers(http::Extensions::new())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(no_credentials(&error)),
        Err(_) => Err(no_credentials(&"the server that issues them does not answer")),
    }
}

/// A topic as a destination.
pub struct Pubsub {
    topic: Topic,
    credentials: Credentials,
    connections: Connections,
    inquiry: OnceCell<Inquiry>,
}

impl Pubsub {
    /// Prepares to publish to `topic` of `project`, or to the emulator at `HOST:PORT`.
    ///
    /// Fails only on credentials that can never work. A topic that cannot be reached does not stop the
    /// service: recognitions wait in the outbox.
    #[allow(clippy::unused_async, reason = "the clients' tasks need a runtime from their first use on")]
    pub async fn open(project: &str, topic: &str, emulator: Option<&str>) -> Result<Self, PublishError> {
        Ok(Self {
            topic: Topic::new(project, topic, emulator.map(emulator_endpoint)),
            credentials: credentials(emulator)?,
            connections: Connections::default(),
            inquiry: OnceCell::new(),
        })
    }

    /// The event to publish. A plain name has no attribute `host`, so that a filter can say
    /// `NOT attributes:host`.
    fn event(&self, recognition: &Recognition) -> Result<PubsubMessage, PublishError> {
        let data =
            serde_json::to_vec(&Message::public(recognition)).map_err(|error| PublishError::Later {
                why: format!("the message cannot be written as JSON: {error}"),
                after: None,
            })?;
        let contributor = &recognition.contributor;
        let time = recognition.recognized_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let mut attributes = vec![
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", recognition.id.to_string()),
            ("ce-type", EVENT_TYPE.to_owned()),
            ("ce-source", format!("//plaudit/{}", self.topic.project)),
            ("ce-subject", contributor.to_string()),
            ("ce-time", time),
            ("content-type", "application/json".to_owned()),
            ("contributor", contributor.to_string()),
            ("milestone", recognition.milestone.to_string()),
        ];
        attributes.extend(contributor.host().map(|host| ("host", host.to_owned())));
        Ok(PubsubMessage::new().set_data(data).set_attributes(attributes))
    }
}

#[async_trait]
impl Publisher for Pubsub {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    fn hold(&self) -> Hold {
        Hold::Backlog(HOLD)
    }

    fn at_once(&self) -> usize {
        AT_ONCE as usize
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        let event = self.event(recognition)?;
        let silent = match self.attempt(&event).await {
            Ok(()) => return Ok(()),
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Silent(connection)) => connection,
        };
        // The crate sends no keep-alive pings, so it would wait forever on a connection whose peer vanished.
        self.connections.discard(silent).await;
        match self.attempt(&event).await {
            Ok(()) => Ok(()),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Silent(connection)) => {
                self.connections.discard(connection).await;
                Err(self.topic.no_answer(2 * ATTEMPT_TIMEOUT))
            }
        }
    }

    async fn ping(&self) -> Result<(), PublishError> {
        let late = |_| Err(self.topic.no_answer(PING_TIMEOUT));
        timeout(PING_TIMEOUT, self.check_topic()).await.unwrap_or_else(late)
    }
}

impl std::fmt::Debug for Pubsub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pubsub").field("topic", &self.topic).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_may_be_named_with_its_scheme() {
        assert_eq!(emulator_endpoint("localhost:8085"), "http://localhost:8085");
        assert_eq!(emulator_endpoint("http://localhost:8085/"), "http://localhost:8085");
    }
}
