//! Recognitions on this machine: in the log. The list and the event stream read the store themselves.

use async_trait::async_trait;

use super::{Message, PublishError, Publisher};
use crate::domain::{Destination, Recognition};

/// The log as a destination.
#[derive(Debug)]
pub struct Local;

#[async_trait]
impl Publisher for Local {
    fn destination(&self) -> Destination {
        Destination::Local
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        let said = serde_json::to_string(&Message::public(recognition)).unwrap_or_default();
        tracing::info!(
            recognition = %recognition.id,
            contributor = %recognition.contributor,
            milestone = recognition.milestone,
            said,
            "recognition {} published",
            recognition.id
        );
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}
