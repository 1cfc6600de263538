//! Whether the topic exists and may be published to, for readiness and `plaudit check`.

use google_cloud_gax::client_builder;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_pubsub::client::{SchemaService, TopicAdmin};
use tokio::time::Instant;

use super::super::PublishError;
use super::topic::{api_is_off, code};
use super::{PING_TIMEOUT, Pubsub, check_credentials};

/// The clients that ask about the topic; another one publishes to it.
pub(super) struct Inquiry {
    topics: TopicAdmin,
    /// The crate's only client that asks for permissions, those of topics too.
    permissions: SchemaService,
}

impl Pubsub {
    /// Asks for the topic, and for the permission to publish to it: the role `roles/pubsub.publisher` allows
    /// publishing to a topic but not reading it, so a denied read proves nothing.
    pub(super) async fn check_topic(&self) -> Result<(), PublishError> {
        check_credentials(&self.credentials, Instant::now() + PING_TIMEOUT).await?;
        let topic = &self.topic;
        let inquiry = self.inquiry.get_or_try_init(|| self.connect_inquiry()).await?;
        let exists = match inquiry.topics.get_topic().set_topic(&topic.name).send().await {
            Ok(_) => true,
            Err(error) if code(&error) == Some(Code::PermissionDenied) && !api_is_off(&error) => false,
            Err(error) => return Err(topic.explain(&error)),
        };
        let answer = inquiry
            .permissions
            .test_iam_permissions()
            .set_resource(&topic.name)
            .set_permissions(["pubsub.topics.publish"])
            .send()
            .await;
        match answer {
            Ok(granted) if granted.permissions.is_empty() && exists => Err(topic.denied("")),
            Ok(granted) if granted.permissions.is_empty() => {
                Err(topic.denied(&format!(", if it exists ({})", topic.how_to_create())))
            }
            Ok(_) => Ok(()),
            // An emulator has no permissions; elsewhere the first publish will show whether it is allowed.
            Err(error) => {
                let name = &topic.name;
                tracing::debug!(topic = name, %error, "whether {name} may be published to is unknown");
                Ok(())
            }
        }
    }

    async fn connect_inquiry(&self) -> Result<Inquiry, PublishError> {
        let mut topics = TopicAdmin::builder()
            .with_credentials(self.credentials.clone())
            .with_retry_policy(NeverRetry)
            .with_attempt_timeout(PING_TIMEOUT);
        let mut permissions = SchemaService::builder()
            .with_credentials(self.credentials.clone())
            .with_retry_policy(NeverRetry)
            .with_attempt_timeout(PING_TIMEOUT);
        if let Some(endpoint) = &self.topic.endpoint {
            topics = topics.with_endpoint(endpoint);
            permissions = permissions.with_endpoint(endpoint);
        }
        let failed =
            |error: client_builder::Error| self.topic.down(format!("the client cannot be built: {error}"));
        Ok(Inquiry {
            topics: topics.build().await.map_err(failed)?,
            permissions: permissions.build().await.map_err(failed)?,
        })
    }
}
