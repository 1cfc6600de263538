//! Where recognitions go, and the message that says so.
//!
//! A new destination is a file here that implements [`Publisher`](crate::publish::Publisher), a word in
//! [`Destination`](crate::domain::Destination), and a line in
//! [`open`](crate::publish::open).

pub mod comment;
pub mod local;
pub mod pubsub;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::config::Config;
use crate::domain::{Contribution, Destination, Moment, Recognition};
use crate::runtime::Clock;

/// Opens every configured destination.
pub async fn open(config: &Config, clock: &Clock) -> Result<Vec<Arc<dyn Publisher>>, PublishError> {
    let mut publishers: Vec<Arc<dyn Publisher>> = vec![match &config.publish {
        crate::config::PublishTo::Local => Arc::new(local::Local),
        crate::config::PublishTo::Pubsub { project, topic } => {
            Arc::new(pubsub::Pubsub::open(project, topic, config.pubsub_emulator.as_deref()).await?)
        }
    }];
    if let Some(comment) = &config.comment {
        publishers.push(Arc::new(comment::Comments::open(comment, clock.clone())?));
    }
    Ok(publishers)
}

/// A place that takes recognitions.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Which place.
    fn destination(&self) -> Destination;

    /// How long a recognition is held for one drain while it is being published. Zero where two at once
    /// do no harm.
    fn hold(&self) -> Duration {
        Duration::ZERO
    }

    /// How many are published side by side.
    fn at_once(&self) -> usize {
        1
    }

    /// Publishes, and returns once the other side has it for good.
    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError>;

    /// Whether the other side answers and would take a recognition.
    async fn ping(&self) -> Result<(), PublishError>;

    /// For `plaudit check`: what is right with it, in words.
    async fn describe(&self) -> Result<Vec<String>, PublishError> {
        self.ping().await.map(|()| vec!["it answers".to_owned()])
    }
}

/// Why a recognition was not published.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// Not now, and no other either: the place is down or has had enough for a while.
    #[error("not now: {why}")]
    Down {
        /// What is wrong, and what to do.
        why: String,
        /// Not before so long, where the other side said so.
        after: Option<Duration>,
    },
    /// Not this one now; others may go through.
    #[error("not this one now: {why}")]
    Later {
        /// What is wrong, and what to do.
        why: String,
    },
    /// Never this one.
    #[error("never: {reason}: {why}")]
    Never {
        /// A short code for answers, logs and metrics.
        reason: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
}

impl PublishError {
    /// Whether the same recognition may be published later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Down { .. } | Self::Later { .. } => true,
            Self::Never { .. } => false,
        }
    }
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
    #[schema(example = "github:1296269:pull_request:7:octocat")]
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
                url: who.url().or_else(|| recognition.contribution.as_ref()?.account_url.clone()),
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
