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

use crate::domain::{Destination, GiveUp, Moment, Recognition};
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

    /// Which recognitions one instance holds while it publishes them, and for how long.
    fn hold(&self) -> Hold {
        Hold::Never
    }

    /// How many are published side by side.
    fn at_once(&self) -> usize {
        1
    }

    /// Fails with [`PublishError::Never`] where it is known without a request that this recognition can never be
    /// published here.
    fn check(&self, _recognition: &Recognition) -> Result<(), PublishError> {
        Ok(())
    }

    /// Publishes, and returns once the destination has acknowledged it.
    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError>;

    /// The same, for a recognition that is held until `until`: afterwards another instance may publish it.
    async fn publish_held(&self, recognition: &Recognition, _until: Moment) -> Result<(), PublishError> {
        self.publish(recognition).await
    }

    /// Whether the destination answers and would take a recognition.
    async fn ping(&self) -> Result<(), PublishError>;

    /// For `plaudit check`: what works, one fact a line.
    async fn describe(&self) -> Result<Vec<String>, PublishError> {
        self.ping().await.map(|()| vec!["it answers".to_owned()])
    }
}

/// Which recognitions one instance holds (a lease) while it publishes them, so that no other does. If it crashes,
/// they wait until the hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// None of them: publishing twice does no harm.
    Never,
    /// Those that were left to any instance, for this long; what an instance has just made, it publishes at once.
    /// Publishing twice is a waste.
    Backlog(Duration),
    /// All of them, for this long: publishing twice is seen.
    Always(Duration),
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
        /// How long to wait, where the destination asks for it; else longer after each try.
        after: Option<Duration>,
    },
    /// It was not published before its hold ended: another instance may be publishing it now.
    #[error("failed, to be tried again: the hold ended before it could be published")]
    Lapsed,
    /// This recognition can never be published here.
    #[error("impossible ({reason}): {why}")]
    Never {
        /// The reason that is kept with it.
        reason: GiveUp,
        /// What is wrong, and what to do.
        why: String,
    },
}
