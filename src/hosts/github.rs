//! GitHub, on github.com and as Enterprise Server.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::payload::{Anything, Manners, Opened, Origin, Text, Who, is_commit, is_no_commit, parse};
use super::push::{Commit, Push, Pusher};
use super::signature::{self, Form, Keys, Proof, SIGNATURE_256};
use super::{Claim, Delivery, Host, Malformed, Reading, Reason, Rejection, Rules};
use crate::config::HostSecrets;
use crate::domain::{Kind, Moment};

/// The host's word.
pub const NAME: &str = "github";

const MANNERS: Manners = Manners {
    public: ("github.com", NAME),
    is_bot,
    // `ID+login@users.noreply.github.com`
    // https://docs.github.com/en/account-and-profile/reference/email-addresses-reference#your-noreply-email-address
    separator: '+',
};

/// GitHub, if there is a secret by which to know it.
#[must_use]
pub fn open(secrets: &HostSecrets) -> Option<Arc<dyn Host>> {
    let keys = Keys::new(secrets.github.iter().map(|secret| secret.expose().as_bytes()))?;
    Some(Arc::new(GitHub { keys }))
}

struct GitHub {
    keys: Keys,
}

impl Host for GitHub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit(&self, headers: &HeaderMap, _now: Moment) -> Result<Claim, Rejection> {
        let proof = signature::hub(headers)?;
        let form = signature::form(headers)?;
        let event = signature::event(headers, "x-github-event", "X-GitHub-Event is missing")?;
        let delivery = signature::label(headers, "x-github-delivery").unwrap_or_else(|| "unknown".into());
        Ok(Claim {
            delivery,
            event,
            proof,
            form: form == Form::Urlencoded,
        })
    }

    fn verify(&self, claim: Claim, body: Bytes) -> Result<Delivery, Rejection> {
        let holds = match &claim.proof {
            Proof::Body(code) => self.keys.hold("", &body, std::slice::from_ref(code)),
            Proof::Message { .. } | Proof::Token => false,
        };
        if !holds {
            let wrong = "X-Hub-Signature-256 was not made with this secret over this body";
            return Err(Rejection::BadSignature(wrong));
        }
        let json = if claim.form { payload_of_form(&body)? } else { body };
        Ok(Delivery {
            id: claim.delivery,
            event: claim.event,
            json,
            confidential: false,
        })
    }

    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
        let json = &delivery.json;
        let kind = match delivery.event() {
            "push" => Kind::PUSH,
            "pull_request" => Kind::PULL_REQUEST,
            "issues" => Kind::ISSUE,
            other => {
                parse::<Anything>(json)?;
                let ping = other == "ping";
                return Ok(Reading::Ignored(if ping {
                    Reason::Ping
                } else {
                    Reason::EventNotCounted
                }));
            }
        };
        if !rules.counts(&kind) {
            parse::<Anything>(json)?;
            return Ok(Reading::Ignored(Reason::KindNotCounted));
        }
        match delivery.event() {
            "push" => read_push(&parse(json)?, rules, now),
            "pull_request" => read_pull_request(&parse(json)?, rules, now),
            _ => read_issue(&parse(json)?, rules, now),
        }
    }

    fn sign(&self, event: &str, delivery: &str, body: &[u8], _now: Moment) -> HeaderMap {
        let signature = signature::hub_value(self.keys.sign("", body));
        let pairs = [
            (header::CONTENT_TYPE, "application/json"),
            (header::USER_AGENT, "GitHub-Hookshot/plaudit"),
            (HeaderName::from_static("x-github-event"), event),
            (HeaderName::from_static("x-github-delivery"), delivery),
            (SIGNATURE_256, &signature),
        ];
        let value = |(name, value)| Some((name, HeaderValue::from_str(value).ok()?));
        pairs.into_iter().filter_map(value).collect()
    }
}

/// The JSON in a form body, which has been signed as it is.
fn payload_of_form(body: &[u8]) -> Result<Bytes, Rejection> {
    let mut payloads = form_urlencoded::parse(body).filter(|(key, _)| key == "payload");
    match (payloads.next(), payloads.next()) {
        (Some((_, json)), None) => Ok(json.into_owned().into()),
        _ => Err(Rejection::Malformed("the form has not exactly one field payload")),
    }
}

/// Apps end in `[bot]`; these two are GitHub's own and do not.
fn is_bot(login: &str) -> bool {
    login.ends_with("[bot]")
        || ["web-flow", "copilot"]
            .iter()
            .any(|bot| login.eq_ignore_ascii_case(bot))
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
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    #[serde(borrow)]
    compare: Option<Text<'a>>,
    #[serde(borrow)]
    commits: Vec<Commit<'a>>,
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
        Pusher {
            login,
            is_bot,
            account,
        }
    }
}

fn read_push(event: &PushEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let origin = event.repository.origin()?;
    if !is_commit(&event.after) {
        return Err(Malformed("`after` names no commit".into()));
    }
    if event.name.starts_with("refs/tags/") {
        return Ok(Reading::Ignored(Reason::Tag));
    }
    if event.deleted || is_no_commit(&event.after) {
        return Ok(Reading::Ignored(Reason::BranchDeleted));
    }
    let branch = event.name.strip_prefix("refs/heads/");
    if branch.is_none() || !(rules.all_branches || branch == event.repository.default_branch.as_deref()) {
        return Ok(Reading::Ignored(Reason::NotDefaultBranch));
    }
    let push = Push {
        origin: &origin,
        after: &event.after,
        commits: &event.commits,
        head: event.head_commit.as_ref(),
        // A merged branch's commits were pushed before and are not distinct on the default branch, where
        // they count now. They counted then where every branch counts; and what is pushed by force has
        // mostly been there before.
        only_distinct: rules.all_branches || event.forced,
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

fn read_pull_request(event: &PullRequestEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
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

fn read_issue(event: &IssuesEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    let origin = event.repository.origin()?;
    if &*event.action != "opened" {
        return Ok(Reading::Ignored(Reason::ActionNotCounted));
    }
    if event
        .changes
        .as_ref()
        .is_some_and(|changes| changes.old_issue.is_some())
    {
        return Ok(Reading::Ignored(Reason::Transferred));
    }
    let opened = event.issue.opened(Kind::ISSUE, &origin);
    Ok(opened.read(&origin, rules, now))
}
