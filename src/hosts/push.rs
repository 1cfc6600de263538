//! Whom a push credits. Authorship is what commits claim; only the pusher is known.

use serde::Deserialize;

use super::payload::{Origin, Text, Who, is_app, moment, title};
use super::{Reading, Reason, Rules};
use crate::domain::{Contribution, ContributorId, Kind, Moment};

/// More authors than this in one push are an import.
const MOST_AUTHORS: usize = 20;

/// How the message of a merge commit begins.
const MERGES: [&str; 3] = ["Merge pull request", "Merge branch", "Merge remote-tracking branch"];

/// A commit, as GitHub and GitLab list it alike.
#[derive(Deserialize)]
pub(super) struct Commit<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    /// Whether it is on no other branch already. GitLab does not say.
    distinct: Option<bool>,
    #[serde(borrow)]
    author: Option<Author<'a>>,
}

/// Who wrote a commit. GitLab never says which account that is; GitHub does if it knows the address.
#[derive(Deserialize)]
struct Author<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    email: Option<Text<'a>>,
    #[serde(borrow)]
    username: Option<Text<'a>>,
}

impl Author<'_> {
    fn who(&self, origin: &Origin) -> Who {
        let username = self.username.as_deref().filter(|login| !login.is_empty());
        let login = username.or_else(|| origin.login_in(self.email.as_deref()?));
        match login {
            Some(login) => origin.who(login),
            // An address that belongs to no account, but a name that only an app has.
            None if self.name.as_deref().is_some_and(is_app) => Who::Bot,
            None => Who::Nobody,
        }
    }

    /// What tells one author that cannot be named from another.
    fn mark(&self) -> Option<&str> {
        self.email.as_deref().or(self.name.as_deref())
    }
}

impl Commit<'_> {
    /// Whether it is the commit of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.id.as_deref() == Some(name)
    }

    fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    fn is_merge(&self) -> bool {
        MERGES.iter().any(|merge| self.message().starts_with(merge))
    }

    /// Those whom the message's trailers name by a noreply address of this host.
    fn co_authors(&self, origin: &Origin) -> impl Iterator<Item = Who> {
        let trailer = "co-authored-by:";
        self.message()
            .lines()
            .filter_map(move |line| {
                let (key, rest) = line.trim_start().split_at_checked(trailer.len())?;
                key.eq_ignore_ascii_case(trailer).then_some(rest)
            })
            .filter_map(|rest| rest.rsplit_once('<')?.1.split_once('>').map(|(address, _)| address))
            .filter_map(|address| origin.login_in(address))
            .map(|login| origin.who(login))
    }
}

/// Who sent the commits: the one thing about a push that the host knows for sure.
#[derive(Clone, Copy)]
pub(super) struct Pusher<'a> {
    pub(super) login: Option<&'a str>,
    pub(super) is_bot: bool,
    /// The account with a number that the payload names, and that number.
    pub(super) account: Option<(&'a str, u64)>,
}

/// A push to a branch that counts.
pub(super) struct Push<'a> {
    pub(super) origin: &'a Origin,
    pub(super) after: &'a str,
    /// Oldest first.
    pub(super) commits: &'a [Commit<'a>],
    pub(super) head: Option<&'a Commit<'a>>,
    /// Whether commits that stand on another branch too are passed over.
    pub(super) only_distinct: bool,
    /// Whether there are commits that are not listed.
    pub(super) more: bool,
    /// The push's own page; without one, each author's last commit stands for it.
    pub(super) page: Option<&'a str>,
    pub(super) pusher: Pusher<'a>,
}

/// An author, and the author's last commit.
type Credit<'a> = (ContributorId, Option<&'a Commit<'a>>);

impl<'a> Push<'a> {
    pub(super) fn read(&self, rules: &Rules, now: Moment) -> Reading {
        match self.credits(rules) {
            Ok(credits) => {
                let contribution = |(who, commit)| self.contribution(who, commit, now);
                Reading::Counts(credits.into_iter().map(contribution).collect())
            }
            Err(reason) => Reading::Ignored(reason),
        }
    }

    fn credits(&self, rules: &Rules) -> Result<Vec<Credit<'a>>, Reason> {
        let only_merges = self.commits.iter().all(Commit::is_merge);
        let speaking: Vec<&Commit<'_>> = self
            .commits
            .iter()
            .filter(|commit| commit.distinct != Some(false) || !self.only_distinct)
            .filter(|commit| only_merges || !commit.is_merge())
            .collect();
        if speaking.is_empty() && !self.more {
            return Err(Reason::NoNewCommits);
        }
        let authors = Authors::of(&speaking, self.origin, rules.co_authors)?;
        let mut credits = match authors {
            Authors { people, .. } if !people.is_empty() => people,
            Authors { bots: true, .. } => return Err(Reason::Bot),
            _ => vec![(self.pusher()?, self.head.or(speaking.last().copied()))],
        };
        credits.retain(|(who, _)| !rules.ignores(who));
        if credits.is_empty() {
            return Err(Reason::IgnoredContributor);
        }
        Ok(credits)
    }

    fn pusher(&self) -> Result<ContributorId, Reason> {
        if self.pusher.is_bot {
            return Err(Reason::Bot);
        }
        let who = self.pusher.login.map_or(Who::Nobody, |login| self.origin.who(login));
        who.credited(&Rules::default())
    }

    fn contribution(&self, who: ContributorId, commit: Option<&Commit<'_>>, now: Moment) -> Contribution {
        // A commit's time is whatever its author's clock said: one in the future would lead every list.
        let occurred_at = self
            .head
            .or(commit)
            .and_then(|commit| moment(commit.timestamp.as_deref()?))
            .map_or(now, |at| at.min(now));
        let page = self.page.or_else(|| commit?.url.as_deref());
        let rest = format!("{}:{}:{}", Kind::PUSH.as_str(), self.after, who.login());
        let user_id = self
            .pusher
            .account
            .filter(|(login, _)| login.eq_ignore_ascii_case(who.login()))
            .map(|(_, id)| id);
        Contribution {
            title: title(commit.map(Commit::message)),
            url: page.and_then(Contribution::keep_url),
            user_id,
            ..self.origin.contribution(Kind::PUSH, rest, who, occurred_at)
        }
    }
}

/// The different authors of some commits.
#[derive(Default)]
struct Authors<'a> {
    people: Vec<Credit<'a>>,
    unnamed: Vec<&'a str>,
    bots: bool,
}

impl<'a> Authors<'a> {
    fn of(commits: &[&'a Commit<'a>], origin: &Origin, co_authors: bool) -> Result<Self, Reason> {
        let mut authors = Self::default();
        for &commit in commits {
            if let Some(author) = &commit.author {
                authors.add(author.who(origin), commit, author.mark())?;
            }
            let co_authors = co_authors.then(|| commit.co_authors(origin));
            for who in co_authors.into_iter().flatten() {
                authors.add(who, commit, None)?;
            }
        }
        Ok(authors)
    }

    /// Fails at the first author too many, so that thousands of them cost no more than 21.
    fn add(&mut self, who: Who, commit: &'a Commit<'a>, mark: Option<&'a str>) -> Result<(), Reason> {
        match who {
            Who::Person(id) => match self.people.iter_mut().find(|(known, _)| *known == id) {
                Some((_, last)) => *last = Some(commit),
                None => self.people.push((id, Some(commit))),
            },
            Who::Bot => self.bots = true,
            Who::Ghost | Who::Nobody => {
                if let Some(mark) = mark.filter(|mark| !self.unnamed.contains(mark)) {
                    self.unnamed.push(mark);
                }
            }
        }
        let few = self.people.len() + self.unnamed.len() <= MOST_AUTHORS;
        few.then_some(()).ok_or(Reason::TooManyAuthors)
    }
}
