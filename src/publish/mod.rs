//! Where recognitions go, and the message that says so.
//!
//! A new destination is a file here that implements [`Publisher`](crate::publish::Publisher), a word in
//! [`Destination`](crate::domain::Destination), and a line in
//! [`open`](crate::publish::open).

pub mod comment;
pub mod local;
pub mod pubsub;
pub mod to;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::domain::{Contribution, Destination, GiveUp, Moment, Recognition};
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
    /// The destination takes no recognition for now: it is down, or asks for a pause.
    #[error("unavailable: {why}")]
    Down {
        /// What is wrong, and what to do.
        why: String,
        /// The shortest wait, where the destination asks for one.
        after: Option<Duration>,
    },
    /// This recognition cannot be published now; others perhaps can.
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

/// The recognition as bots, clients and logs see it: `docs/recognition.schema.json`. Fields are only ever added.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Recognition, description = "That a contributor reached a milestone.")]
pub struct Message {
    /// `{contributor}:{milestone}`.
    #[schema(example = "github:octocat:3")]
    pub id: String,
    /// Who is thanked.
    pub contributor: MessageContributor,
    /// The tally that earned it.
    #[schema(example = 3)]
    pub milestone: u64,
    /// The tally of the contribution that reached it, or when that is no longer known, of when it was found.
    #[schema(example = 3)]
    pub tally: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub recognized_at: Moment,
    /// The contribution that reached it; null where it is private or no longer known.
    #[schema(required = true)]
    pub contribution: Option<MessageContribution>,
}

/// Who is thanked.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RecognizedContributor)]
pub struct MessageContributor {
    /// `{host}:{login}`, or a plain name.
    #[schema(example = "github:octocat")]
    pub id: String,
    /// The host; null for a plain name.
    #[schema(example = "github", required = true)]
    pub host: Option<String>,
    /// The login, or the plain name.
    #[schema(example = "octocat")]
    pub login: String,
    /// The account's page; null for a plain name.
    #[schema(example = "https://github.com/octocat", required = true)]
    pub url: Option<String>,
}

/// The contribution that reached a milestone.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RecognizedContribution)]
pub struct MessageContribution {
    /// Its identity.
    #[schema(example = "github:1296269:pull_request:7")]
    pub id: String,
    /// Its kind.
    #[schema(example = "pull_request")]
    pub kind: String,
    /// The repository's full name.
    #[schema(example = "octo-org/hello", required = true)]
    pub repository: Option<String>,
    /// Its title.
    #[schema(required = true)]
    pub title: Option<String>,
    /// Its page.
    #[schema(required = true)]
    pub url: Option<String>,
    /// When it was done.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Moment,
}

impl Message {
    /// The message for the world: a private contribution is left out.
    #[must_use]
    pub fn public(recognition: &Recognition) -> Self {
        Self::shown(recognition, false)
    }

    /// The message; with a private contribution only for a reader with a token.
    #[must_use]
    pub fn shown(recognition: &Recognition, with_private: bool) -> Self {
        let who = &recognition.contributor;
        let told = |c: &&Contribution| with_private || !c.private;
        Self {
            id: recognition.id.to_string(),
            contributor: MessageContributor {
                id: who.to_string(),
                host: who.host().map(str::to_owned),
                login: who.login().to_owned(),
                url: who.url(),
            },
            milestone: recognition.milestone,
            tally: recognition.tally,
            recognized_at: recognition.recognized_at,
            contribution: recognition.contribution.as_ref().filter(told).map(|c| MessageContribution {
                id: c.id.to_string(),
                kind: c.kind.as_str().to_owned(),
                repository: c.repository.clone(),
                title: c.title.clone(),
                url: c.url.clone(),
                occurred_at: c.occurred_at,
            }),
        }
    }
}
