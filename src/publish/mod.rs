//! Where recognitions go.
//!
//! A new destination is a file here that implements [`Publisher`](crate::publish::Publisher), a code in
//! [`Destination`](crate::domain::Destination), and a line in
//! [`open`](crate::publish::open).

pub mod comment;
pub mod local;
mod message;
pub mod pubsub;
pub mod to;

pub use message::{Message, MessageContribution, MessageContributor};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{Destination, GiveUp, Recognition};
use crate::runtime::Clock;

pub use to::{Destinations, To};

/// Opens every configured destination.
pub async fn open(configured: &Destinations, clock: &Clock) -> Result<Vec<Arc<dyn Publisher>>, PublishError> {
    let mut publishers: Vec<Arc<dyn Publisher>> = vec![match &configured.to {
        To::Local => Arc::new(local::Local),
        To::Pubsub { project, topic, emulator } => {
            Arc::new(pubsub::Pubsub::open(project, topic, emulator.as_deref()).await?)
        }
    }];
    if let Some(comment) = &configured.comment {
        publishers.push(Arc::new(comment::Comments::open(comment, clock.clone())?));
    }
    Ok(publishers)
}

/// A destination: it takes recognitions.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Which destination this is.
    fn destination(&self) -> Destination;

    /// How long one drain holds a recognition while it publishes it. Zero where publishing twice does no
    /// harm.
    fn hold(&self) -> Duration {
        Duration::ZERO
    }

    /// How many are published side by side.
    fn at_once(&self) -> usize {
        1
    }

    /// Publishes, and returns once the destination has acknowledged it.
    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError>;

    /// Whether the destination answers and would take a recognition.
    async fn ping(&self) -> Result<(), PublishError>;

    /// For `plaudit check`: what works, one fact a line.
    async fn describe(&self) -> Result<Vec<String>, PublishError> {
        self.ping().await.map(|()| vec!["it answers".to_owned()])
    }
}

/// Why a recognition was not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The destination takes no recognitions at present: it is down, or asks for a pause.
    #[error("unavailable: {why}")]
    Down {
        /// What is wrong, and what to do.
        why: String,
        /// The shortest wait, where the destination asks for one.
        after: Option<Duration>,
    },
    /// This recognition cannot be published now; others may succeed.
    #[error("failed, to be tried again: {why}")]
    Later {
        /// What is wrong, and what to do.
        why: String,
    },
    /// This recognition can never be published here.
    #[error("impossible ({reason}): {why}")]
    Never {
        /// The reason that is kept with it.
        reason: GiveUp,
        /// What is wrong, and what to do.
        why: String,
    },
}
