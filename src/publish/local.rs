//! Recognitions on this machine: in the log. The list and the event stream read the store themselves.

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

    /// The outbox says in the log what it has published, wherever: here that is all there is to do.
    async fn publish(&self, _recognition: &Recognition) -> Result<(), PublishError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        Ok(())
    }
}
