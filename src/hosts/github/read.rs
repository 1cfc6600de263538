//! What GitHub's payloads say: only the fields that are needed, borrowed from the body.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::NAME;
use crate::domain::{Kind, Moment};
use crate::hosts::payload::{
    Anything, Manners, Opened, Origin, Text, Who, is_app, is_commit, is_no_commit, is_number, parse,
};
use crate::hosts::push::{Commit, Push, Pusher};
use crate::hosts::{Delivery, Malformed, Reading, Reason, Rules};

const MANNERS: Manners = Manners { public: ("github.com", NAME), is_bot, login_in };

/// What a delivery says.
pub(super) fn payload(delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let json = &delivery.json;
    let ignored = |reason| parse::<Anything>(json).map(|_| Reading::Ignored(reason));
    match delivery.event() {
        "push" if rules.counts(&Kind::PUSH) => push(&parse(json)?, rules, now),
        "pull_request" if rules.counts(&Kind::PULL_REQUEST) => pull_request(&parse(json)?, rules, now),
        "issues" if rules.counts(&Kind::ISSUE) => issue(&parse(json)?, rules, now),
        "push" | "pull_request" | "issues" => ignored(Reason::KindNotCounted),
        "ping" => ignored(Reason::Ping),
        _ => ignored(Reason::EventNotCounted),
    }
}

/// `ID+login@users.noreply.github.com`, or `login@…` for accounts older than mid-2017.
/// <https://docs.github.com/en/account-and-profile/reference/email-addresses-reference#your-noreply-email-address>
fn login_in(local: &str) -> Option<&str> {
    match local.split_once('+') {
        Some((id, login)) => is_number(id).then_some(login),
        None => Some(local),
    }
}

/// Apps end in `[bot]`; these two are GitHub's own and do not.
fn is_bot(login: &str) -> bool {
    is_app(login) || ["web-flow", "copilot"].iter().any(|bot| login.eq_ignore_ascii_case(bot))
}

#[derive(Deserialize)]
struct Repository<'a> {
    id: u64,
    #[serde(borrow)]
    full_name: Text<'a>,
    #[serde(borrow)]
    html_url: Text<'a>,
    private: Option<bool>,
    #[serde(borrow)]
    visibility: Option<Text<'a>>,
    #[serde(borrow)]
    default_branch: Option<Text<'a>>,
}

impl Repository<'_> {
    fn origin(&self) -> Result<Origin, Malformed> {
        // What is not said to be public is private, `internal` too.
        let public = match (self.private, self.visibility.as_deref()) {
            (Some(private), None) => !private,
            (private, Some(visibility)) => private != Some(true) && visibility == "public",
            (None, None) => false,
        };
        Origin::new(&MANNERS, &self.html_url, self.id, &self.full_name, !public)
    }
}

#[derive(Deserialize)]
struct Account<'a> {
    #[serde(borrow)]
    login: Text<'a>,
    id: Option<u64>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

impl Account<'_> {
    fn who(&self, origin: &Origin) -> Who {
        match self.kind.as_deref() {
            Some("Bot") => Who::Bot,
            // A mannequin stands for an author that an import could not match; an organisation is nobody.
            Some("Mannequin" | "Organization") => Who::Nobody,
            _ => origin.who(&self.login),
        }
    }
}

/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>
#[derive(Deserialize)]
struct PushEvent<'a> {
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    #[serde(borrow)]
    after: Text<'a>,
    deleted: Option<bool>,
    forced: Option<bool>,
    #[serde(borrow)]
    compare: Option<Text<'a>>,
    #[serde(borrow)]
    commits: Option<Vec<Commit<'a>>>,
    #[serde(borrow)]
    head_commit: Option<Commit<'a>>,
    #[serde(borrow)]
    repository: Repository<'a>,
    #[serde(borrow)]
    pusher: Option<PushedBy<'a>>,
    #[serde(borrow)]
    sender: Option<Account<'a>>,
}

#[derive(Deserialize)]
struct PushedBy<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

impl PushEvent<'_> {
    fn pusher(&self) -> Pusher<'_> {
        let name = self.pusher.as_ref().and_then(|pusher| pusher.name.as_deref());
        // GitHub writes `none` where nobody pushed, such as when it acts by itself.
        let name = name.filter(|name| !name.is_empty() && *name != "none");
        let sender = self.sender.as_ref();
        let login = name.or(sender.map(|sender| &*sender.login));
        let is_bot = sender.is_some_and(|sender| {
            sender.kind.as_deref() == Some("Bot")
                && login.is_some_and(|l| l.eq_ignore_ascii_case(&sender.login))
        });
        let account = sender.and_then(|sender| Some((&*sender.login, sender.id?)));
        Pusher { login, is_bot, account }
    }
}

fn push(event: &PushEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let origin = event.repository.origin()?;
    if !is_commit(&event.after) {
        return Err(Malformed("`after` names no commit".into()));
    }
    if event.name.starts_with("refs/tags/") {
        return Ok(Reading::Ignored(Reason::Tag));
    }
    if event.deleted == Some(true) || is_no_commit(&event.after) {
        return Ok(Reading::Ignored(Reason::BranchDeleted));
    }
    let branch = event.name.strip_prefix("refs/heads/");
    if branch.is_none() || !(rules.all_branches || branch == event.repository.default_branch.as_deref()) {
        return Ok(Reading::Ignored(Reason::NotDefaultBranch));
    }
    let push = Push {
        origin: &origin,
        after: &event.after,
        commits: event.commits.as_deref().unwrap_or_default(),
        head: event.head_commit.as_ref(),
        // A merged branch's commits were pushed before and are not distinct on the default branch, where
        // they count now. They counted then where every branch counts; and what is pushed by force has
        // mostly been there before.
        only_distinct: rules.all_branches || event.forced == Some(true),
        more: false,
        page: event.compare.as_deref(),
        pusher: event.pusher(),
    };
    Ok(push.read(rules, now))
}

#[derive(Deserialize)]
struct Item<'a> {
    number: u64,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    html_url: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
    #[serde(borrow)]
    user: Option<Account<'a>>,
}

impl Item<'_> {
    fn opened(&self, kind: Kind, origin: &Origin) -> Opened<'_> {
        Opened {
            kind,
            number: self.number,
            title: self.title.as_deref(),
            url: self.html_url.as_deref(),
            created_at: self.created_at.as_deref(),
            // The author, never the sender. An account that was deleted is null.
            author: self.user.as_ref().map_or(Who::Ghost, |user| user.who(origin)),
            user_id: self.user.as_ref().and_then(|user| user.id),
        }
    }
}

/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#pull_request>
#[derive(Deserialize)]
struct PullRequestEvent<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    pull_request: Item<'a>,
    #[serde(borrow)]
    repository: Repository<'a>,
}

fn pull_request(event: &PullRequestEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let origin = event.repository.origin()?;
    if &*event.action != "opened" {
        return Ok(Reading::Ignored(Reason::ActionNotCounted));
    }
    let opened = event.pull_request.opened(Kind::PULL_REQUEST, &origin);
    Ok(opened.read(&origin, rules, now))
}

/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#issues>
#[derive(Deserialize)]
struct IssuesEvent<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    issue: Item<'a>,
    changes: Option<Changes>,
    #[serde(borrow)]
    repository: Repository<'a>,
}

#[derive(Deserialize)]
struct Changes {
    old_issue: Option<IgnoredAny>,
}

fn issue(event: &IssuesEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let origin = event.repository.origin()?;
    if &*event.action != "opened" {
        return Ok(Reading::Ignored(Reason::ActionNotCounted));
    }
    if event.changes.as_ref().is_some_and(|changes| changes.old_issue.is_some()) {
        return Ok(Reading::Ignored(Reason::Transferred));
    }
    let opened = event.issue.opened(Kind::ISSUE, &origin);
    Ok(opened.read(&origin, rules, now))
}
