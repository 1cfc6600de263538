//! Recognitions on a Pub/Sub topic, as CloudEvents 1.0 in the Pub/Sub binding's binary mode.

use std::time::Duration;

use async_trait::async_trait;
use chrono::SecondsFormat;
use google_cloud_auth::credentials::{Builder as Adc, Credentials, anonymous};
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::{NeverRetry, RetryPolicyExt};
use google_cloud_pubsub::Error;
use google_cloud_pubsub::client::{BasePublisher, SchemaService, TopicAdmin};
use google_cloud_pubsub::error::PublishError as Refusal;
use google_cloud_pubsub::model::Message as PubsubMessage;
use google_cloud_pubsub::retry_policy::RetryableErrors;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Message, PublishError, Publisher};
use crate::domain::{Destination, Recognition};

/// The type of the event: what its data promises. Another shape would be another type.
const EVENT_TYPE: &str = "dev.plaudit.recognition.v1";
/// How long one connection may try. The crate's own default of ten minutes would outlive any drain.
const TRY: Duration = Duration::from_millis(3_500);
/// How long to wait for what one connection tries; two of these are the whole of a publish.
const ANSWER: Duration = Duration::from_secs(4);
/// How long a ping may take.
const PING: Duration = Duration::from_secs(3);
/// How many go out side by side, and so at most in one request.
const AT_ONCE: u32 = 100;
/// How long the first of a batch waits for the others of the same drain.
const GATHER: Duration = Duration::from_millis(5);

/// The endpoint of an emulator that `PUBSUB_EMULATOR_HOST` names.
#[must_use]
pub fn emulator_endpoint(host: &str) -> String {
    let host = host.trim_end_matches('/');
    if host.contains("://") { host.to_owned() } else { format!("http://{host}") }
}

/// Credentials as every Google client finds them; none for an emulator.
pub fn credentials(emulator: Option<&str>) -> Result<Credentials, PublishError> {
    if emulator.is_some() {
        return Ok(anonymous::Builder::new().build());
    }
    Adc::default().build().map_err(|error| no_credentials(&error))
}

/// Whether the credentials can be presented. Without this, what is missing would look like a server
/// that never answers.
pub async fn present(credentials: &Credentials, by: Instant) -> Result<(), PublishError> {
    match timeout_at(by, credentials.headers(http::Extensions::new())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(no_credentials(&error)),
        Err(_) => Err(no_credentials(&"no answer from where they are issued")),
    }
}

/// A topic as a destination.
pub struct Pubsub {
    project: String,
    topic: String,
    /// `projects/{project}/topics/{topic}`.
    name: String,
    endpoint: Option<String>,
    credentials: Credentials,
    /// The connection in use and its number; none before the first publish and after one fell silent.
    line: Mutex<Line>,
    inquiry: OnceCell<Inquiry>,
}

#[derive(Default)]
struct Line {
    number: u64,
    publisher: Option<google_cloud_pubsub::client::Publisher>,
}

/// The clients that ask about the topic rather than publish to it.
#[derive(Clone)]
struct Inquiry {
    topics: TopicAdmin,
    /// The one client of the crate that asks for permissions; of topics too.
    permissions: SchemaService,
}

/// Why one connection did not publish.
enum Failure {
    /// It gave no answer in time: perhaps it is dead and nobody said so. Its number.
    Silent(u64),
    /// What went wrong.
    Wrong(PublishError),
}

impl Pubsub {
    /// Prepares to publish to `topic` of `project`, or to the emulator at `HOST:PORT`.
    ///
    /// Fails only on credentials that cannot work. A topic that is out of reach is a matter for later:
    /// the service runs without it, and recognitions wait.
    #[allow(clippy::unused_async, reason = "the clients' tasks need a runtime from their first use on")]
    pub async fn open(project: &str, topic: &str, emulator: Option<&str>) -> Result<Self, PublishError> {
        Ok(Self {
            project: project.to_owned(),
            topic: topic.to_owned(),
            name: format!("projects/{project}/topics/{topic}"),
            endpoint: emulator.map(emulator_endpoint),
            credentials: credentials(emulator)?,
            line: Mutex::default(),
            inquiry: OnceCell::new(),
        })
    }

    /// The event to publish. `host` is absent for a plain name, so that a filter can say `NOT attributes:host`.
    fn event(&self, recognition: &Recognition) -> Result<PubsubMessage, PublishError> {
        let data = serde_json::to_vec(&Message::public(recognition)).map_err(|error| {
            PublishError::Later { why: format!("the message cannot be written: {error}") }
        })?;
        let contributor = &recognition.contributor;
        let time = recognition.recognized_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let mut attributes = vec![
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", recognition.id.to_string()),
            ("ce-type", EVENT_TYPE.to_owned()),
            ("ce-source", format!("//plaudit/{}", self.project)),
            ("ce-subject", contributor.to_string()),
            ("ce-time", time),
            ("content-type", "application/json".to_owned()),
            ("contributor", contributor.to_string()),
            ("milestone", recognition.milestone.to_string()),
        ];
        attributes.extend(contributor.host().map(|host| ("host", host.to_owned())));
        Ok(PubsubMessage::new().set_data(data).set_attributes(attributes))
    }

    /// Publishes on the connection in use, or a new one.
    async fn attempt(&self, event: PubsubMessage) -> Result<(), Failure> {
        let by = Instant::now() + ANSWER;
        present(&self.credentials, by).await.map_err(Failure::Wrong)?;
        let (number, publisher) = self.line(by).await.map_err(Failure::Wrong)?;
        match timeout_at(by, publisher.publish(event)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Refusal::Rpc(error))) if error.is_timeout() => Err(Failure::Silent(number)),
            Ok(Err(Refusal::Rpc(error))) => Err(Failure::Wrong(self.explain(&error))),
            // The crate's background task ended: a new connection brings a new one.
            Ok(Err(_)) | Err(_) => Err(Failure::Silent(number)),
        }
    }

    async fn line(&self, by: Instant) -> Result<(u64, google_cloud_pubsub::client::Publisher), PublishError> {
        let mut line = self.line.lock().await;
        if let Some(publisher) = &line.publisher {
            return Ok((line.number, publisher.clone()));
        }
        let mut builder = BasePublisher::builder()
            .with_credentials(self.credentials.clone())
            .with_retry_policy(RetryableErrors.with_time_limit(TRY));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let base = match timeout_at(by, builder.build()).await {
            Ok(Ok(base)) => base,
            Ok(Err(error)) => return Err(self.down(format!("the client cannot be built: {error}"))),
            Err(_) => return Err(self.silence(ANSWER)),
        };
        let publisher = base
            .publisher(&self.name)
            .set_message_count_threshold(AT_ONCE)
            .set_delay_threshold(GATHER)
            .build();
        line.number += 1;
        line.publisher = Some(publisher.clone());
        Ok((line.number, publisher))
    }

    /// Gives up a connection that fell silent, once, however many were waiting on it.
    async fn hang_up(&self, number: u64) {
        let mut line = self.line.lock().await;
        if line.number == number {
            line.publisher = None;
        }
    }

    async fn inquiry(&self) -> Result<&Inquiry, PublishError> {
        let connect = || async {
            let mut topics = TopicAdmin::builder()
                .with_credentials(self.credentials.clone())
                .with_retry_policy(NeverRetry)
                .with_attempt_timeout(PING);
            let mut permissions = SchemaService::builder()
                .with_credentials(self.credentials.clone())
                .with_retry_policy(NeverRetry)
                .with_attempt_timeout(PING);
            if let Some(endpoint) = &self.endpoint {
                topics = topics.with_endpoint(endpoint);
                permissions = permissions.with_endpoint(endpoint);
            }
            let built = async {
                Ok(Inquiry { topics: topics.build().await?, permissions: permissions.build().await? })
            };
            built.await.map_err(|error: google_cloud_gax::client_builder::Error| {
                self.down(format!("the client cannot be built: {error}"))
            })
        };
        self.inquiry.get_or_try_init(connect).await
    }

    /// The role `roles/pubsub.publisher` may publish to a topic and may not look at it. So what a look is
    /// denied proves nothing, and the permission itself is asked for.
    async fn ask(&self) -> Result<(), PublishError> {
        present(&self.credentials, Instant::now() + PING).await?;
        let inquiry = self.inquiry().await?;
        let seen = match inquiry.topics.get_topic().set_topic(&self.name).send().await {
            Ok(_) => true,
            Err(error) if code(&error) == Some(Code::PermissionDenied) && !api_is_off(&error) => false,
            Err(error) => return Err(self.explain(&error)),
        };
        let asked = inquiry
            .permissions
            .test_iam_permissions()
            .set_resource(&self.name)
            .set_permissions(["pubsub.topics.publish"])
            .send()
            .await;
        match asked {
            Ok(granted) if granted.permissions.is_empty() && seen => Err(self.denied("")),
            Ok(granted) if granted.permissions.is_empty() => {
                Err(self.denied(&format!(", if it exists ({})", self.creation())))
            }
            Ok(_) => Ok(()),
            // An emulator knows no permissions; and of what cannot be asked, publishing will tell.
            Err(error) => {
                tracing::debug!(topic = self.name, %error, "whether {} may be published to is not known", self.name);
                Ok(())
            }
        }
    }

    /// What is wrong, in words, with what mends it.
    fn explain(&self, error: &Error) -> PublishError {
        if error.is_authentication() {
            return no_credentials(error);
        }
        let said = error.status().map_or_else(|| chain(error), |s| s.message.clone());
        match code(error) {
            Some(Code::NotFound) => self.down(format!("it does not exist; create it: {}", self.creation())),
            Some(Code::PermissionDenied) if api_is_off(error) => self.down(format!(
                "the Pub/Sub API is off; turn it on: gcloud services enable pubsub.googleapis.com --project={}",
                self.project
            )),
            Some(Code::PermissionDenied) => self.denied(&format!(" ({said})")),
            Some(Code::Unauthenticated) => no_credentials(&said),
            Some(code) => self.down(format!("{}: {said}", code.name())),
            None if error.is_timeout() => self.silence(TRY),
            None => self.down(format!("it cannot be reached: {said}")),
        }
    }

    fn creation(&self) -> String {
        let Self { project, topic, name, .. } = self;
        match &self.endpoint {
            Some(emulator) => format!("curl -X PUT {emulator}/v1/{name}"),
            None => format!("gcloud pubsub topics create {topic} --project={project}"),
        }
    }

    fn denied(&self, aside: &str) -> PublishError {
        let Self { project, topic, .. } = self;
        self.down(format!(
            "these credentials may not publish to it{aside}; grant it: gcloud pubsub topics add-iam-policy-binding {topic} \
             --project={project} --member=serviceAccount:EMAIL --role=roles/pubsub.publisher"
        ))
    }

    fn silence(&self, waited: Duration) -> PublishError {
        let at = self.endpoint.as_deref().unwrap_or("pubsub.googleapis.com");
        self.down(format!("no answer from {at} within {waited:?}"))
    }

    /// Every failure is one of the place, never of the recognition: all of them wait, and none is lost.
    fn down(&self, why: impl std::fmt::Display) -> PublishError {
        PublishError::Down { why: format!("topic {}: {why}", self.name), after: None }
    }
}

#[async_trait]
impl Publisher for Pubsub {
    fn destination(&self) -> Destination {
        Destination::Topic
    }

    fn at_once(&self) -> usize {
        AT_ONCE as usize
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        let event = self.event(recognition)?;
        let silent = match self.attempt(event.clone()).await {
            Ok(()) => return Ok(()),
            Err(Failure::Wrong(error)) => return Err(error),
            Err(Failure::Silent(number)) => number,
        };
        // The crate sends no pings, so a connection whose other end vanished would be waited on for ever.
        self.hang_up(silent).await;
        match self.attempt(event).await {
            Ok(()) => Ok(()),
            Err(Failure::Wrong(error)) => Err(error),
            Err(Failure::Silent(number)) => {
                self.hang_up(number).await;
                Err(self.silence(2 * ANSWER))
            }
        }
    }

    async fn ping(&self) -> Result<(), PublishError> {
        timeout(PING, self.ask()).await.unwrap_or_else(|_| Err(self.silence(PING)))
    }
}

impl std::fmt::Debug for Pubsub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pubsub").field("name", &self.name).finish_non_exhaustive()
    }
}

fn code(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}

/// Google answers for an API that is off as for one that is forbidden, and tells them apart in the text.
fn api_is_off(error: &Error) -> bool {
    error
        .status()
        .is_some_and(|s| s.message.contains("is disabled") || s.message.contains("has not been used"))
}

/// Everything that the error and its causes say.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = deeper.source();
    }
    said
}

fn no_credentials(why: &dyn std::fmt::Display) -> PublishError {
    PublishError::Down {
        why: format!(
            "no Google credentials that work ({why}); on a machine of your own: gcloud auth application-default login; \
             elsewhere set GOOGLE_APPLICATION_CREDENTIALS or run with a service account"
        ),
        after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_gax::error::CredentialsError;
    use google_cloud_gax::error::rpc::Status;

    async fn topic(emulator: Option<&str>) -> Pubsub {
        let anyone = Pubsub::open("demo", "thanks", Some("localhost:1")).await.unwrap();
        Pubsub { endpoint: emulator.map(emulator_endpoint), ..anyone }
    }

    fn status(code: Code, message: &str) -> Error {
        Error::service(Status::default().set_code(code).set_message(message))
    }

    #[tokio::test]
    async fn every_refusal_says_what_mends_it_and_may_be_tried_again() {
        let topic = topic(None).await;
        let missing = CredentialsError::from_msg(false, "no file");
        let cases = [
            (status(Code::NotFound, "Topic not found"), "gcloud pubsub topics create thanks --project=demo"),
            (status(Code::PermissionDenied, "User not authorized"), "--role=roles/pubsub.publisher"),
            (
                status(
                    Code::PermissionDenied,
                    "Cloud Pub/Sub API has not been used in project demo before or it is disabled.",
                ),
                "gcloud services enable pubsub.googleapis.com --project=demo",
            ),
            (status(Code::Unauthenticated, "Expired"), "gcloud auth application-default login"),
            (Error::authentication(missing), "gcloud auth application-default login"),
            (status(Code::ResourceExhausted, "slower"), "RESOURCE_EXHAUSTED: slower"),
        ];
        for (error, mended_by) in cases {
            let told = topic.explain(&error);
            assert!(told.to_string().contains(mended_by), "{told}");
            assert!(matches!(told, PublishError::Down { .. }), "{told}");
        }
    }

    #[tokio::test]
    async fn on_an_emulator_a_topic_is_made_by_asking_the_emulator() {
        let told = topic(Some("localhost:8085")).await.explain(&status(Code::NotFound, ""));
        let command = "curl -X PUT http://localhost:8085/v1/projects/demo/topics/thanks";
        assert!(told.to_string().contains(command), "{told}");
    }

    #[test]
    fn an_emulator_may_be_named_with_its_scheme() {
        assert_eq!(emulator_endpoint("localhost:8085"), "http://localhost:8085");
        assert_eq!(emulator_endpoint("http://localhost:8085/"), "http://localhost:8085");
    }
}
