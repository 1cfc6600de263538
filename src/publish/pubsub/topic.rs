//! The topic's names, and what an error of Pub/Sub means for it, with the command that fixes it.

use std::time::Duration;

use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error;

use super::super::PublishError;
use super::RETRY_LIMIT;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) project: String,
    id: String,
    /// `projects/{project}/topics/{id}`.
    pub(super) name: String,
    /// The emulator's endpoint; absent for Google's own.
    pub(super) endpoint: Option<String>,
}

impl Topic {
    pub(super) fn new(project: &str, id: &str, endpoint: Option<String>) -> Self {
        let name = format!("projects/{project}/topics/{id}");
        Self { project: project.to_owned(), id: id.to_owned(), name, endpoint }
    }

    pub(super) fn explain(&self, error: &Error) -> PublishError {
        if error.is_authentication() {
            return no_credentials(error);
        }
        let message = error.status().map_or_else(|| with_causes(error), |status| status.message.clone());
        match code(error) {
            Some(Code::NotFound) => {
                self.down(format!("it does not exist; create it: {}", self.how_to_create()))
            }
            Some(Code::PermissionDenied) if api_is_off(error) => self.down(format!(
                "the Pub/Sub API is off; turn it on: gcloud services enable pubsub.googleapis.com --project={}",
                self.project
            )),
            Some(Code::PermissionDenied) => self.denied(&format!(" ({message})")),
            Some(Code::Unauthenticated) => no_credentials(&message),
            Some(code) => self.down(format!("{}: {message}", code.name())),
            None if error.is_timeout() => self.no_answer(RETRY_LIMIT),
            None => self.down(format!("it cannot be reached: {message}")),
        }
    }

    /// Why a message can never be published to the topic, if this error says so: it is too large, or is not as
    /// the topic's schema asks.
    pub(super) fn refuses(&self, error: &Error) -> Option<String> {
        let status = error.status().filter(|status| status.code == Code::InvalidArgument)?;
        Some(format!("topic {} refuses the message: {}", self.name, status.message))
    }

    pub(super) fn how_to_create(&self) -> String {
        let Self { project, id, name, endpoint } = self;
        match endpoint {
            Some(emulator) => format!("curl -X PUT {emulator}/v1/{name}"),
            None => format!("gcloud pubsub topics create {id} --project={project}"),
        }
    }

    pub(super) fn denied(&self, detail: &str) -> PublishError {
        let Self { project, id, .. } = self;
        self.down(format!(
            "these credentials may not publish to it{detail}; grant it: gcloud pubsub topics add-iam-policy-binding {id} \
             --project={project} --member=serviceAccount:EMAIL --role=roles/pubsub.publisher"
        ))
    }

    pub(super) fn no_answer(&self, waited: Duration) -> PublishError {
        let at = self.endpoint.as_deref().unwrap_or("pubsub.googleapis.com");
        self.down(format!("no answer from {at} within {waited:?}"))
    }

    /// A failure that concerns the topic, not one recognition: all of them wait, and none is lost.
    pub(super) fn down(&self, why: impl std::fmt::Display) -> PublishError {
        PublishError::Down { why: format!("topic {}: {why}", self.name), after: None }
    }
}

pub(super) fn no_credentials(why: &dyn std::fmt::Display) -> PublishError {
    PublishError::Down {
        why: format!(
            "no Google credentials that work ({why}); on a machine of your own: gcloud auth application-default login; \
             elsewhere set GOOGLE_APPLICATION_CREDENTIALS or run with a service account"
        ),
        after: None,
    }
}

pub(super) fn code(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}

/// Google answers `PERMISSION_DENIED` for an API that is off too; only the message differs.
pub(super) fn api_is_off(error: &Error) -> bool {
    error
        .status()
        .is_some_and(|s| s.message.contains("is disabled") || s.message.contains("has not been used"))
}

/// The error's message and those of its causes, without repeats.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !message.contains(&more) {
            message = format!("{message}: {more}");
        }
        cause = deeper.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_gax::error::CredentialsError;
    use google_cloud_gax::error::rpc::Status;

    fn topic(endpoint: Option<&str>) -> Topic {
        Topic::new("demo", "thanks", endpoint.map(str::to_owned))
    }

    fn status(code: Code, message: &str) -> Error {
        Error::service(Status::default().set_code(code).set_message(message))
    }

    #[test]
    fn every_refusal_says_what_fixes_it_and_may_be_tried_again() {
        let topic = topic(None);
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
        for (error, fixed_by) in cases {
            let explained = topic.explain(&error);
            assert!(explained.to_string().contains(fixed_by), "{explained}");
            assert!(matches!(explained, PublishError::Down { .. }), "{explained}");
        }
    }

    #[test]
    fn on_an_emulator_a_topic_is_made_by_asking_the_emulator() {
        let explained = topic(Some("http://localhost:8085")).explain(&status(Code::NotFound, ""));
        let command = "curl -X PUT http://localhost:8085/v1/projects/demo/topics/thanks";
        assert!(explained.to_string().contains(command), "{explained}");
    }
}
