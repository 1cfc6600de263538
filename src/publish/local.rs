//! Recognitions in this instance's log. The list and the event stream read the store.

use async_trait::async_trait;

use super::{PublishError, Publisher};
use crate::domain::{Destination, Recognition};

/// The log as a destination.
#[derive(Debug)]
pub struct Local;

#[async_trait]
impl Publisher for Local {
    fn destination(&self) -> Destination {
        Destination::Local
    }

    /// Does nothing: the outbox logs every recognition that it has published.
    async fn publish(&self, _recognition: &Recognition) -> Result<(), PublishError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}
