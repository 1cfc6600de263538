//! Reads GitHub's payloads: only the fields that are needed, borrowed from the body.

use chrono::TimeDelta;
use serde::Deserialize;

use super::NAME;
use super::items::{issue, pull_request};
use crate::domain::{Kind, Moment, Visibility, VisibilitySaid, keepable};
use crate::hosts::commit::{Commit, Landing};
use crate::hosts::json::{Anything, Lax, Text, list, of_objects, parse};
use crate::hosts::origin::{
    Account, HostConventions, Origin, Unread, Who, account_number, is_commit, is_no_commit, moment, number,
};
use crate::hosts::push::{Push, Pusher};
use crate::hosts::{Malformed, Payload, Reading, Reason, Rules};

const CONVENTIONS: HostConventions = HostConventions {
    name: NAME,
    is_machine: super::is_machine,
    account_in,
    pull_request_path: "pull",
    names_committers: true,
    landing,
};

/// The temporary branches on which a merge queue tests what it will push to the target branch.
/// <https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue>
const MERGE_QUEUE: &str = "gh-readonly-queue/";

/// For how long a payload says whether its repository is private now.
const NEWS: TimeDelta = TimeDelta::hours(1);

/// What the payload of a delivery, or of history, says.
pub(super) fn payload(event: &str, json: &str, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    let ignored = |reason| Ok(parse::<Anything>(json).map(|_| Payload::ignored(reason))?);
    let (pushes, pull_requests) = (rules.counts(&Kind::PUSH), rules.counts(&Kind::PULL_REQUEST));
    match event {
        // A push can land pull requests.
        "push" if pushes || pull_requests => push(&parse(json)?, rules, now),
        "pull_request" if pull_requests => pull_request(&parse(json)?, rules, now),
        "issues" if rules.counts(&Kind::ISSUE) => issue(&parse(json)?, rules, now),
        "push" | "pull_request" | "issues" => {
            let nothing = ignored(Reason::KindNotCounted)?;
            // What it says about its repository holds whether or not it counts.
            let visibility =
                parse::<NotCounted<'_>>(json).ok().and_then(|event| event.visibility(rules, now));
            Ok(Payload { visibility, ..nothing })
        }
        "repository" => repository(json, rules, now),
        "ping" => ignored(Reason::Ping),
        _ => ignored(Reason::EventNotCounted),
    }
}

/// Refuses a payload with the objects of another event beside its own. The event's header is not signed: without
/// this, a deleted comment sent again as `issues` would delete its issue. No other event has the `ref` and `after` of
/// a push.
pub(super) fn refuse_another_event(objects: &[&Lax<Anything>]) -> Result<(), Malformed> {
    let another = objects.iter().any(|object| object.get().is_some());
    if another {
        Err(Malformed("the payload is not that of the event in X-GitHub-Event".into()))
    } else {
        Ok(())
    }
}

/// `ID+login@users.noreply.github.com`, or `login@…` for accounts older than mid-2017.
/// <https://docs.github.com/en/account-and-profile/reference/email-addresses-reference#your-noreply-email-address>
fn account_in(local: &str) -> Option<Account<'_>> {
    match local.split_once('+') {
        Some((id, login)) => account_number(id).map(|id| Account { login, id: Some(id) }),
        None => Some(Account { login: local, id: None }),
    }
}

/// A merge commit, or a commit that GitHub itself squashed: in other commits, the number that ends a title
/// proves nothing.
/// <https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/incorporating-changes-from-a-pull-request/about-pull-request-merges>
fn landing(commit: &Commit<'_>, origin: &Origin<'_>) -> Option<Landing> {
    if let Some(rest) = commit.message().strip_prefix("Merge pull request #") {
        return Some(Landing { number: number(rest.split_once(" from ")?.0)?, merges: true });
    }
    let committer = commit.committer.get()?;
    let by_github = committer.username.text() == Some("web-flow")
        || committer.email.text().and_then(|email| email.strip_prefix("noreply@"))
            == Some(origin.site.network.as_str());
    let (_, squashed) = commit.title().strip_suffix(')')?.rsplit_once(" (#")?;
    by_github.then_some(Landing { number: number(squashed)?, merges: false })
}

#[derive(Deserialize)]
pub(super) struct Repository<'a> {
    id: u64,
    #[serde(borrow)]
    full_name: Text<'a>,
    #[serde(borrow)]
    html_url: Text<'a>,
    private: Lax<bool>,
    #[serde(borrow)]
    visibility: Lax<Text<'a>>,
    #[serde(borrow)]
    default_branch: Lax<Text<'a>>,
    fork: Lax<bool>,
    /// In pushes the Unix time of the push; elsewhere a text, which is not read.
    pushed_at: Lax<u64>,
}

impl Repository<'_> {
    pub(super) fn origin<'o>(&'o self, rules: &'o Rules) -> Result<Origin<'o>, Unread> {
        let origin = Origin::new(&CONVENTIONS, rules, &self.html_url, &self.full_name, self.id)?;
        // Without a clear sign that it is public it is private.
        Ok(Origin { private: self.is_public() != Some(true), ..origin })
    }

    /// Whether it is public, if the payload states it; `internal` is not public.
    fn is_public(&self) -> Option<bool> {
        match (self.private.value(), self.visibility.text()) {
            (Some(private), None) => Some(!private),
            (private, Some(visibility)) => Some(private != Some(true) && visibility == "public"),
            (None, None) => None,
        }
    }

    /// What a delivery about this repository says, whose payload was made at `made_at`. That the repository is private
    /// is news only for a while: GitHub says it with an event of its own, and a late redelivery can be from before
    /// the repository became public.
    pub(super) fn payload(
        &self,
        origin: &Origin<'_>,
        reading: Reading,
        made_at: Option<Moment>,
        now: Moment,
    ) -> Payload {
        Payload { reading, visibility: self.visibility(origin, made_at, now) }
    }

    fn visibility(&self, origin: &Origin<'_>, made_at: Option<Moment>, now: Moment) -> Option<Visibility> {
        let at = made_at.filter(|at| self.is_public() == Some(false) && *at + NEWS >= now)?;
        Some(Visibility { repository: origin.repository(), said: VisibilitySaid::IsPrivate, at })
    }

    /// When it was pushed to, in a push.
    fn pushed_at(&self) -> Option<Moment> {
        let at = self.pushed_at.value().and_then(|at| i64::try_from(at).ok())?;
        Moment::from_timestamp(at, 0).and_then(keepable)
    }
}

/// A delivery whose kind does not count.
#[derive(Deserialize)]
struct NotCounted<'a> {
    #[serde(borrow)]
    repository: Repository<'a>,
    #[serde(borrow)]
    pull_request: Lax<Updated<'a>>,
    #[serde(borrow)]
    issue: Lax<Updated<'a>>,
}

#[derive(Deserialize)]
struct Updated<'a> {
    #[serde(borrow)]
    updated_at: Lax<Text<'a>>,
}

impl Updated<'_> {
    fn at(&self) -> Option<Moment> {
        self.updated_at.text().and_then(moment)
    }
}

impl NotCounted<'_> {
    fn visibility(&self, rules: &Rules, now: Moment) -> Option<Visibility> {
        let origin = self.repository.origin(rules).ok()?;
        let of_item = self.pull_request.get().or(self.issue.get()).and_then(Updated::at);
        self.repository.visibility(&origin, of_item.or_else(|| self.repository.pushed_at()), now)
    }
}

/// A repository became private, or public. Its own time, `updated_at`, says which of two such deliveries is newer;
/// without it, the second kind says nothing.
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository>
fn repository(json: &str, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    #[derive(Deserialize)]
    struct Action<'a> {
        #[serde(borrow)]
        action: Lax<Text<'a>>,
    }
    #[derive(Deserialize)]
    struct RepositoryEvent<'a> {
        #[serde(borrow)]
        repository: Repository<'a>,
        /// Of a `repository_dispatch`, whose action is a word that its sender chose.
        client_payload: Lax<Anything>,
    }
    #[derive(Deserialize)]
    struct Times<'a> {
        #[serde(borrow)]
        repository: Updated<'a>,
    }
    let (said, reason) = match parse::<Action<'_>>(json)?.action.text() {
        Some("privatized") => (VisibilitySaid::BecamePrivate, Reason::MadePrivate),
        Some("publicized") => (VisibilitySaid::BecamePublic, Reason::EventNotCounted),
        _ => return Ok(Payload::ignored(Reason::EventNotCounted)),
    };
    let event = parse::<RepositoryEvent<'_>>(json)?;
    refuse_another_event(&[&event.client_payload])?;
    let repository = event.repository.origin(rules)?.repository();
    let stated_at = parse::<Times<'_>>(json)?.repository.at();
    let at = stated_at.or_else(|| (said == VisibilitySaid::BecamePrivate).then_some(now));
    let visibility = at.map(|at| Visibility { repository, said, at });
    Ok(Payload { reading: Reading::Ignored(reason), visibility })
}

#[derive(Deserialize)]
pub(super) struct User<'a> {
    #[serde(borrow)]
    login: Lax<Text<'a>>,
    id: Lax<u64>,
    #[serde(borrow, rename = "type")]
    kind: Lax<Text<'a>>,
}

of_objects!(User, PushedBy, Updated);

impl User<'_> {
    fn account(&self) -> Option<Account<'_>> {
        Some(Account { login: self.login.text()?, id: self.id.value() })
    }

    fn is_machine(&self) -> bool {
        self.kind.text() == Some("Bot")
    }

    pub(super) fn who(&self, origin: &Origin<'_>) -> Who {
        match self.kind.text() {
            // A mannequin replaces an author that an import could not match; an organisation is not a person.
            Some("Mannequin" | "Organization") => Who::Unknown,
            _ => self.account().map_or(Who::Unknown, |account| origin.who(account, self.is_machine())),
        }
    }
}

/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>
#[derive(Deserialize)]
struct PushEvent<'a> {
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    #[serde(borrow)]
    before: Lax<Text<'a>>,
    #[serde(borrow)]
    after: Text<'a>,
    deleted: Lax<bool>,
    forced: Lax<bool>,
    #[serde(borrow)]
    compare: Lax<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "list")]
    commits: Vec<Commit<'a>>,
    #[serde(borrow)]
    head_commit: Lax<Commit<'a>>,
    #[serde(borrow)]
    repository: Repository<'a>,
    #[serde(borrow)]
    pusher: Lax<PushedBy<'a>>,
    #[serde(borrow)]
    sender: Lax<User<'a>>,
}

#[derive(Deserialize)]
struct PushedBy<'a> {
    #[serde(borrow)]
    name: Lax<Text<'a>>,
    #[serde(borrow)]
    email: Lax<Text<'a>>,
}

impl PushEvent<'_> {
    fn pusher(&self) -> Pusher<'_> {
        let pusher = self.pusher.get();
        // GitHub writes `none` where no account pushed, such as when it acts by itself.
        let name = pusher.and_then(|pusher| pusher.name.text()).filter(|name| *name != "none");
        let sender = self.sender.get().and_then(|sender| Some((sender.account()?, sender.is_machine())));
        let (account, is_machine) = match (name, sender) {
            (Some(login), Some((account, machine))) if account.login.eq_ignore_ascii_case(login) => {
                (Some(account), machine)
            }
            (Some(login), _) => (Some(Account { login, id: None }), false),
            (None, Some((account, machine))) => (Some(account), machine),
            (None, None) => (None, false),
        };
        let email = pusher.and_then(|pusher| pusher.email.text());
        Pusher { account, is_machine, name: account.map(|account| account.login), email }
    }

    /// Whether this push creates the default branch: its payload can lack `default_branch`.
    fn makes_default_branch(&self) -> bool {
        self.repository.default_branch.text().is_none() && self.before.text().is_some_and(is_no_commit)
    }
}

fn push(event: &PushEvent<'_>, rules: &Rules, now: Moment) -> Result<Payload, Unread> {
    let origin = event.repository.origin(rules)?;
    let reading = pushed(event, &origin, now)?;
    Ok(event.repository.payload(&origin, reading, event.repository.pushed_at(), now))
}

fn pushed(event: &PushEvent<'_>, origin: &Origin<'_>, now: Moment) -> Result<Reading, Malformed> {
    let rules = origin.rules;
    if !is_commit(&event.after) {
        return Err(Malformed("`after` names no commit".into()));
    }
    if event.name.starts_with("refs/tags/") {
        return Ok(Reading::Ignored(Reason::Tag));
    }
    if event.deleted.is_true() || is_no_commit(&event.after) {
        return Ok(Reading::Ignored(Reason::BranchDeleted));
    }
    let branch = event.name.strip_prefix("refs/heads/");
    let to_default_branch = event.makes_default_branch() || branch == event.repository.default_branch.text();
    let counts = branch
        .is_some_and(|branch| to_default_branch || (rules.all_branches && !branch.starts_with(MERGE_QUEUE)));
    if !counts {
        return Ok(Reading::Ignored(Reason::NotDefaultBranch));
    }
    if event.repository.fork.is_true() && !rules.forks {
        return Ok(Reading::Ignored(Reason::Fork));
    }
    let push = Push {
        origin,
        after: &event.after,
        commits: &event.commits,
        head: event.head_commit.get(),
        to_default_branch,
        forced: event.forced.is_true(),
        more: false,
        page: event.compare.text(),
        pusher: event.pusher(),
    };
    Ok(push.read(now))
}
