//! The message that says that a contributor was recognized.

use serde::Serialize;

use crate::domain::{Contribution, Moment, Recognition};

/// The recognition as bots, clients and logs see it: `docs/recognition.schema.json`. Fields are only ever added.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Recognition, description = "That a contributor reached a milestone.")]
pub struct Message {
    /// `{contributor}:{milestone}`.
    #[schema(example = "github:octocat:3")]
    pub id: String,
    /// The contributor.
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

/// The contributor who is recognized.
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
    /// The message for the public: a private contribution is left out.
    #[must_use]
    pub fn public(recognition: &Recognition) -> Self {
        Self::shown(recognition, false)
    }

    /// The message; with a private contribution only for a reader with a token.
    #[must_use]
    pub fn shown(recognition: &Recognition, with_private: bool) -> Self {
        let who = &recognition.contributor;
        let may_show = |c: &&Contribution| with_private || !c.private;
        Self {
            id: recognition.id.to_string(),
            contributor: MessageContributor {
                id: who.to_string(),
                host: who.host().map(str::to_owned),
                login: who.login().to_owned(),
                url: recognition.account_url.clone().or_else(|| who.url()),
            },
            milestone: recognition.milestone,
            tally: recognition.tally,
            recognized_at: recognition.recognized_at,
            contribution: recognition.contribution.as_ref().filter(may_show).map(|c| MessageContribution {
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
