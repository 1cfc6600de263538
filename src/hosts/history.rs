//! The history of repositories, read through a host's API as the deliveries that the host would have sent.
//!
//! A new host is a file of its own that makes payloads of what its API answers, and hands them to the readers of its
//! deliveries: so history and live deliveries are judged by the same rules.

use async_trait::async_trait;

use super::api::ApiError;
use super::patient::{Patient, Renewal};
use super::{Payload, Reading, Rules};
use crate::domain::{Kind, Moment};
use crate::settings::{Setting, Settings};

/// How a host's history is read.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The base URL of its API, and what it is unless set.
    pub api: Setting,
    pub public_api: &'static str,
    /// What the token, which is that of [`Setup`](super::Setup), must be allowed to read.
    pub permission: &'static str,
    /// What reads the history of what a user names where no token is set, if that is configured.
    pub instead: Instead,
    /// The history of what a user names, or what is wrong with that name.
    pub open: OpenHistory,
}

pub(super) type Instead = fn(&mut Settings<'_>, &str) -> Result<Option<Box<dyn Renewal>>, String>;
pub(super) type OpenHistory = fn(Patient, &str, &Rules) -> Result<Box<dyn History>, String>;

/// The history of one or several repositories.
#[async_trait]
pub trait History: Send + Sync {
    /// Those repositories, in the order in which they are to be read.
    async fn repositories(&self) -> Result<Vec<Repository>, ApiError>;

    /// The kinds of things that are read of each repository, one after the other, such as `commits`. They are part of
    /// the bookmarks' names.
    fn parts(&self) -> Vec<&'static str>;

    /// Reads one of the [`parts`](History::parts) of a repository.
    fn read<'a>(&'a self, repository: &'a Repository, part: &'static str, from: From) -> Box<dyn Pages + 'a>;

    /// How many requests were sent so far.
    fn calls(&self) -> u64;
}

/// A repository whose history can be read.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its full name.
    pub name: String,
    /// `{host}:{repository id}`, as contributions have it: for the names of bookmarks.
    pub id: String,
    /// What payloads say of it.
    pub(super) json: serde_json::Value,
}

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// Only what changed then or later; else all of it.
    pub since: Option<Moment>,
    /// [`HistoryPage::go_on`] of an earlier read with the same `since`.
    pub place: Option<String>,
}

/// A part of a repository's history, page by page.
#[async_trait]
pub trait Pages: Send {
    /// The next page; `None` at the end. After an error, the same page can be asked for again.
    async fn next(&mut self, now: Moment) -> Result<Option<HistoryPage>, ApiError>;
}

/// What one or a few requests brought.
#[derive(Debug, Default)]
pub struct HistoryPage {
    /// What the host would have delivered of each thing, in the order in which it is to be recorded.
    pub payloads: Vec<Payload>,
    /// How many things (pull requests, issues, commits) this page had, for the progress.
    pub things: u64,
    /// How many there are in all, if the host says so.
    pub total: Option<u64>,
    /// Where to go on once everything up to here is recorded: at most 8 kB. `None` where that is not possible after
    /// this page; then an earlier place remains.
    pub go_on: Option<String>,
}

/// What a person should know where every branch counts.
pub(super) fn notice(rules: &Rules) -> Option<&'static str> {
    let left_out = rules.all_branches && rules.counts(&Kind::PUSH);
    left_out.then_some(
        "pushes are not read, only what they landed: with PLAUDIT_BRANCHES=all a commit counts with the first push to any \
         branch, which no API tells",
    )
}

/// Whether the commits of the default branch are read: they are pushes, and land pull requests.
pub(super) fn reads_commits(rules: &Rules) -> bool {
    rules.counts(&Kind::PULL_REQUEST) || (rules.counts(&Kind::PUSH) && !rules.all_branches)
}

/// What a push to the default branch tells for sure. Where every branch counts, its other commits counted with a push to
/// another branch, which it does not show.
pub(super) fn known_of(mut push: Payload, rules: &Rules) -> Payload {
    if let Reading::Counts(parts) = &mut push.reading
        && rules.all_branches
    {
        parts.retain(|part| part.kind != Kind::PUSH);
    }
    push
}
