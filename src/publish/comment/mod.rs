//! Thanks the contributor with one comment on the pull request or issue that reached the milestone.
//!
//! Before it writes, plaudit checks the repository and the issue, and searches every comment there for a
//! hidden marker that names the recognition. Only a marker in a comment of plaudit's own account counts:
//! anyone can copy one into another comment. See `docs/comments.md`.

mod commenter;
mod failure;
mod github;
mod gitlab;
mod host;
mod place;
mod settings;
mod template;
mod thank;

use std::time::Duration;

use async_trait::async_trait;

use super::{Hold, PublishError, Publisher};
use crate::domain::{Destination, GiveUp, Moment, Recognition};
use crate::runtime::Clock;

use commenter::Commenter;
use host::CommentHost;
use place::{Found, Place};

pub use settings::{
    Audience, Commenting, GithubComments, GithubCredential, GitlabComments, SETTINGS, settings,
};
pub use template::{DEFAULT_TEXT, Template};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all requests before the writing may take together.
const PRECHECK_TIMEOUT: Duration = Duration::from_secs(13);
/// The shortest time between two comments, as GitHub asks:
/// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests>.
/// GitLab takes 300 a minute:
/// <https://docs.gitlab.com/administration/settings/rate_limit_on_notes_creation/>
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// How long one instance holds a recognition.
const HOLD: Duration = Duration::from_secs(20);
/// The comment is written, or the request timed out, before the hold ends.
const _: () = assert!(
    PRECHECK_TIMEOUT.as_secs() + BETWEEN_WRITES.as_secs() + REQUEST_TIMEOUT.as_secs() < HOLD.as_secs()
);

/// Comments on the hosts as a destination.
#[derive(Debug)]
pub struct Comments {
    /// One for each host that is commented on.
    commenters: Vec<Commenter>,
    clock: Clock,
}

impl Comments {
    /// Opens no connection. Must be called inside the runtime.
    pub fn open(commenting: &Commenting, clock: Clock) -> Result<Self, PublishError> {
        Self::with_timeout(commenting, clock, REQUEST_TIMEOUT)
    }

    /// Like [`Comments::open`], with another timeout for one request.
    pub fn with_timeout(
        commenting: &Commenting,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, PublishError> {
        let mut hosts: Vec<Box<dyn CommentHost>> = Vec::new();
        if let Some(github) = &commenting.github {
            hosts.push(Box::new(
                github::Github::open(github, &clock, timeout).map_err(|error| unusable(&error))?,
            ));
        }
        if let Some(gitlab) = &commenting.gitlab {
            hosts.push(Box::new(gitlab::Gitlab::open(gitlab, timeout).map_err(|error| unusable(&error))?));
        }
        let commenter = |host| Commenter::new(host, commenting, clock.clone());
        Ok(Self { commenters: hosts.into_iter().map(commenter).collect(), clock })
    }

    fn find<'a>(&self, recognition: &'a Recognition) -> Result<(&Commenter, Found<'a>), PublishError> {
        let found = Place::of(recognition)?;
        let commenter = self.commenters.iter().find(|commenter| commenter.name() == found.host);
        let commenter = commenter.ok_or_else(|| {
            let hosts: Vec<_> = self.commenters.iter().map(Commenter::name).collect();
            let (on, hosts) = (&found.host, hosts.join(" and "));
            let why = format!("the contribution is on {on}, the configured APIs belong to {hosts}");
            failure::never(GiveUp::OtherHost, why)
        })?;
        commenter.check(&found.place)?;
        Ok((commenter, found))
    }

    /// A host that is down holds back no comment of another host.
    fn of_one(&self, error: PublishError) -> PublishError {
        match error {
            PublishError::Down { why, after } if self.commenters.len() > 1 => {
                PublishError::Later { why, after }
            }
            error => error,
        }
    }
}

fn unusable(error: &reqwest::Error) -> PublishError {
    PublishError::Down { why: format!("the HTTP client for comments cannot be built: {error}"), after: None }
}

#[async_trait]
impl Publisher for Comments {
    fn destination(&self) -> Destination {
        Destination::Comment
    }

    /// Longer than one comment can take, so that no other instance begins the same one meanwhile.
    fn hold(&self) -> Hold {
        Hold::Always(HOLD)
    }

    /// GitHub asks for no concurrent requests:
    /// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests>
    fn at_once(&self) -> usize {
        1
    }

    fn check(&self, recognition: &Recognition) -> Result<(), PublishError> {
        self.find(recognition).map(drop)
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        self.publish_held(recognition, self.clock.now() + HOLD).await
    }

    async fn publish_held(&self, recognition: &Recognition, until: Moment) -> Result<(), PublishError> {
        let (commenter, found) = self.find(recognition)?;
        commenter.publish(recognition, &found, until).await.map_err(|error| self.of_one(error))
    }

    async fn describe(&self) -> Result<Vec<String>, PublishError> {
        let mut lines = Vec::new();
        for commenter in &self.commenters {
            lines.extend(commenter.describe().await?);
        }
        Ok(lines)
    }

    async fn ping(&self) -> Result<(), PublishError> {
        for commenter in &self.commenters {
            commenter.ping().await?;
        }
        Ok(())
    }
}
