//! Thanks the contributor with one comment on the pull request or issue that reached the milestone.
//!
//! Before anything is written, everything that speaks against it is looked up, and every comment that stands
//! there is searched for a hidden marker that names the recognition. Only a marker of our own counts: anybody
//! can write one into a comment of theirs. See `docs/comments.md`.

mod credential;
mod github;
mod place;
mod template;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::{PublishError, Publisher};
use crate::config::Commenting;
use crate::domain::{Contribution, Destination, Kind, Moment, Recognition, RecognitionId};
use crate::runtime::{Clock, stop_point};

use credential::{Account, Credential};
use github::{Answer, Api, Ask, Failure, never};
use place::{Place, RepositoryName};
use template::{Addressed, Template, Values};

pub use credential::check_app_key;
pub use template::check_template;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a recognition is held for one drain.
const HOLD: Duration = Duration::from_secs(20);
/// How long all may take that comes before the writing: then the writing too ends before the hold does.
const LOOKING: Duration = Duration::from_secs(14);
/// The first wait at a limit for which GitHub sets no time, and the longest: each is twice the one before.
const FIRST_BACKOFF: Duration = Duration::from_secs(60);
const DOUBLINGS: u32 = 6;
/// How long an answer to "who am I" serves for readiness, which asks often.
const FRESH: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// Comments on GitHub as a destination.
#[derive(Debug)]
pub struct Comments {
    api: Api,
    credential: Credential,
    template: Template,
    host: String,
    clock: Clock,
    /// Until when no request is sent, and why.
    paused: Mutex<Option<(Moment, String)>>,
    /// How many limits without a time came in a row.
    limits: AtomicU32,
    answered: Mutex<Option<Moment>>,
}

impl Comments {
    /// Opens no connection. Must be called inside the runtime.
    pub fn open(commenting: &Commenting, clock: Clock) -> Result<Self, PublishError> {
        Self::with_patience(commenting, clock, PATIENCE)
    }

    /// Like [`Comments::open`], for a test that would not wait as long for one request.
    pub fn with_patience(
        commenting: &Commenting,
        clock: Clock,
        patience: Duration,
    ) -> Result<Self, PublishError> {
        let wrong = |why| never("misconfigured", why);
        let api = Api::new(&commenting.api, patience).map_err(wrong)?;
        Ok(Self {
            host: place::host_of(api.base()),
            api,
            credential: Credential::new(&commenting.credential, clock.clone()).map_err(wrong)?,
            template: Template::parse(&commenting.template).map_err(wrong)?,
            clock,
            paused: Mutex::default(),
            limits: AtomicU32::default(),
            answered: Mutex::default(),
        })
    }

    /// Looks, and then writes, unless something speaks against it or it was written before.
    async fn thank(
        &self,
        recognition: &Recognition,
        place: &Place,
        contribution: &Contribution,
    ) -> Result<(), Failure> {
        let marker = marker(&recognition.id);
        let slow = |_| Failure::Unanswered(format!("GitHub took longer than {LOOKING:?} to look around"));
        let looking = self.look(place, &marker);
        let Some((repository, author)) = tokio::time::timeout(LOOKING, looking).await.map_err(slow)?? else {
            tracing::info!(recognition = %recognition.id, "the comment for {} stands already", recognition.id);
            return Ok(());
        };
        let text = self.template.render(&Values {
            contributor: addressed(contribution, author.as_ref()),
            milestone: recognition.milestone,
            tally: recognition.tally,
            title: contribution.title.as_deref().unwrap_or_default(),
            kind: if contribution.kind == Kind::PULL_REQUEST { "pull request" } else { "issue" },
            repository: &repository.to_string(),
        });
        let body = json!({ "body": format!("{text}\n\n{marker}") });
        let path = format!("/repos/{repository}/issues/{}/comments", place.number);
        stop_point("before-comment").await;
        self.ask(&place.repository, Ask::Post(&path, &body)).await?;
        stop_point("after-comment").await;
        Ok(())
    }

    /// The repository's present name and the author of the pull request or issue; nothing if it was thanked
    /// already.
    async fn look(
        &self,
        place: &Place,
        marker: &str,
    ) -> Result<Option<(RepositoryName, Option<Account>)>, Failure> {
        let repository = self.visit(place).await?;
        let author = self.greet(place, &repository).await?;
        for page in 1_u32.. {
            let path = format!("/repos/{repository}/issues/{}/comments?per_page=100&page={page}", place.number);
            let answer = self.ask(&place.repository, Ask::Get(&path)).await?;
            for comment in answer.read::<Vec<Comment>>()? {
                if comment.body.as_deref().is_some_and(|body| body.contains(marker)) && self.is_ours(&comment).await? {
                    return Ok(None);
                }
            }
            if !answer.has_next_page() {
                break;
            }
        }
        Ok(Some((repository, author)))
    }

    /// The repository is the one that was contributed to, public, and can be written to.
    async fn visit(&self, place: &Place) -> Result<RepositoryName, Failure> {
        let path = format!("/repos/{}", place.repository);
        let found = self.ask(&place.repository, Ask::GetRenamed(&path)).await?;
        let found: Repository = found.read()?;
        let told = |reason, why: &str| Err(Failure::Told(never(reason, why)));
        if found.id != place.repository_id {
            return told("repository_changed", "another repository has its name now");
        }
        if found.private {
            return told("private", "the repository is private");
        }
        if found.archived {
            return told("archived", "the repository is archived");
        }
        RepositoryName::parse(&found.full_name)
            .ok_or_else(|| Failure::Malformed("GitHub's name of the repository is none".to_owned()))
    }

    /// The pull request or issue is still there and open to comments; answers its author.
    async fn greet(&self, place: &Place, repository: &RepositoryName) -> Result<Option<Account>, Failure> {
        let path = format!("/repos/{repository}/issues/{}", place.number);
        let found = self.ask(&place.repository, Ask::Get(&path)).await;
        let found: Issue = match found {
            Err(Failure::Moved) => {
                return Err(Failure::Told(never("transferred", "the issue is in another repository now")));
            }
            answer => answer?.read()?,
        };
        if found.locked {
            return Err(Failure::Told(never("locked", "the conversation is locked")));
        }
        Ok(found.user)
    }

    /// Whether a comment was written with the configured credential.
    async fn is_ours(&self, comment: &Comment) -> Result<bool, Failure> {
        Ok(match &self.credential {
            Credential::Token { token, me } => {
                let me = Credential::me(&self.api, token, me).await?;
                comment.user.as_ref().is_some_and(|user| user.id == me.id)
            }
            Credential::App(app) => {
                let by_app = comment.performed_via_github_app.as_ref().is_some_and(|by| by.id == app.id);
                by_app && comment.user.as_ref().is_some_and(|user| user.sort == "Bot")
            }
        })
    }

    /// Asks with a token that may speak in `repository`; with a new one, once, where the old is no longer taken.
    async fn ask(
        &self,
        repository: &RepositoryName,
        ask: Ask<'_>,
    ) -> Result<Answer, Failure> {
        let bearer = self.credential.bearer(&self.api, repository).await?;
        match self.api.send(ask, &bearer).await {
            Err(failure) if failure.refused_with(http::StatusCode::UNAUTHORIZED) => {
                if !self.credential.renewable(repository, &bearer).await {
                    return Err(failure);
                }
                let renewed = self.credential.bearer(&self.api, repository).await?;
                self.api.send(ask, &renewed).await
            }
            answer => answer,
        }
    }

    /// What a failure means, and no request for as long as GitHub asked for none.
    fn judge(&self, failure: Failure) -> PublishError {
        let limits = self.limits.load(Ordering::Relaxed).min(DOUBLINGS);
        let backoff = FIRST_BACKOFF * 2_u32.pow(limits);
        let error = failure.judge(self.clock.now(), backoff);
        if let PublishError::Down {
            why,
            after: Some(after),
        } = &error
        {
            if *after == backoff {
                self.limits.store(limits + 1, Ordering::Relaxed);
            }
            let until = self.clock.now() + *after;
            *lock(&self.paused) = Some((until, why.clone()));
        }
        error
    }

    /// Ends at once while GitHub wants to be left alone.
    fn unpaused(&self) -> Result<(), PublishError> {
        let paused = lock(&self.paused).clone();
        let left = |until: Moment| (until - self.clock.now()).to_std().ok().filter(|left| !left.is_zero());
        match paused {
            Some((until, why)) => left(until).map_or(Ok(()), |left| {
                Err(PublishError::Down {
                    why,
                    after: Some(left),
                })
            }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Publisher for Comments {
    fn destination(&self) -> Destination {
        Destination::Comment
    }

    /// Longer than one comment can take, so that nobody else begins it meanwhile.
    fn hold(&self) -> Duration {
        HOLD
    }

    /// GitHub asks for one request after the other:
    /// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests>
    fn at_once(&self) -> usize {
        1
    }

    async fn publish(&self, recognition: &Recognition) -> Result<(), PublishError> {
        let (place, contribution) = Place::of(recognition, &self.host)?;
        self.unpaused()?;
        let thanked = self.thank(recognition, &place, contribution).await;
        thanked.map_err(|failure| self.judge(failure))?;
        self.limits.store(0, Ordering::Relaxed);
        Ok(())
    }

    async fn ping(&self) -> Result<(), PublishError> {
        self.unpaused()?;
        let now = self.clock.now();
        if lock(&self.answered).is_some_and(|at| now - at < FRESH) {
            return Ok(());
        }
        let answer = match &self.credential {
            Credential::Token { token, .. } => self.api.send(Ask::Get("/user"), token).await,
            Credential::App(app) => match app.own_token() {
                Ok(token) => self.api.send(Ask::Get("/app"), &token).await,
                Err(failure) => Err(failure),
            },
        };
        answer.map_err(|failure| self.judge(failure))?;
        *lock(&self.answered) = Some(now);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
    full_name: String,
    private: bool,
    archived: bool,
}

#[derive(Deserialize)]
struct Issue {
    locked: bool,
    user: Option<Account>,
}

#[derive(Deserialize)]
struct Comment {
    body: Option<String>,
    user: Option<Account>,
    #[serde(default)]
    performed_via_github_app: Option<ById>,
}

#[derive(Deserialize)]
struct ById {
    id: u64,
}

/// The hidden text by which a comment is known again. Nothing in an id can end it.
fn marker(id: &RecognitionId) -> String {
    /// What stands bare: all that ids of accounts are made of.
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'-').remove(b'.').remove(b'_');
    // Two hyphens in a row may not stand in a comment of HTML.
    let id = utf8_percent_encode(id.as_str(), KEPT).to_string().replace("--", "-%2D");
    format!("<!-- plaudit:{id} -->")
}

/// How the contributor is named: with a mention if the author of the pull request or issue still is the
/// account that was counted. A login can change hands.
fn addressed<'a>(contribution: &'a Contribution, author: Option<&'a Account>) -> Addressed<'a> {
    let login = contribution.contributor.login();
    let same = |author: &&Account| {
        contribution.user_id.map_or(author.login.eq_ignore_ascii_case(login), |id| author.id == id)
    };
    match author.filter(same) {
        Some(author) if is_login(&author.login) => Addressed::Mention(&author.login),
        _ => Addressed::Name(login),
    }
}

/// A name that GitHub gives to an account of a person.
fn is_login(text: &str) -> bool {
    (1..=39).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_id_ends_the_marker() {
        let marker = |id| marker(&RecognitionId::from_text(id));
        assert_eq!(marker("github:octo-cat:3"), "<!-- plaudit:github:octo-cat:3 -->");
        for id in ["x-->y:3", "a--b---c----:3", "><!--", "ä b\u{202e}:3"] {
            let marker = marker(id);
            let inside = marker.strip_prefix("<!-- ").unwrap().strip_suffix(" -->").unwrap();
            assert!(!inside.contains("--") && !inside.contains('>') && inside.is_ascii(), "{marker}");
        }
    }

    #[test]
    fn only_a_login_is_mentioned() {
        assert!(is_login("octo-cat") && is_login(&"x".repeat(39)));
        for text in ["", "a b", "a/b", "x_y", "ä", "dependabot[bot]"] {
            assert!(!is_login(text), "{text}");
        }
    }
}
