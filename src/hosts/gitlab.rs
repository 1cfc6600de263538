//! GitLab, on gitlab.com and self-managed.
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::payload::{
    Anything, Manners, Opened, Origin, Text, Who, is_commit, is_no_commit, is_number, parse,
};
use super::push::{Commit, Push, Pusher};
use super::signature::{self, Form, Keys, Proof, Tokens};
use super::{Claim, Delivery, Host, Malformed, Reading, Reason, Rejection, Rules};
use crate::config::{HostSecrets, signing_key};
use crate::domain::{Kind, Moment};

/// The host's word.
pub const NAME: &str = "gitlab";

const MANNERS: Manners = Manners {
    public: ("gitlab.com", NAME),
    is_bot,
    // `ID-login@users.noreply.gitlab.com`
    // https://docs.gitlab.com/user/profile/#use-an-automatically-generated-private-commit-email
    separator: '-',
};

/// `visibility_level` of a project that everybody sees; 0 is private, 10 internal.
/// <https://docs.gitlab.com/api/projects/#project-visibility-level>
const PUBLIC: u64 = 20;

const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");

/// GitLab, if there is a token by which to know it.
#[must_use]
pub fn open(secrets: &HostSecrets) -> Option<Arc<dyn Host>> {
    let signing: Vec<_> = secrets.gitlab_signing.iter().collect();
    let plain: Vec<&str> = secrets.gitlab_token.iter().map(|token| token.expose()).collect();
    let trust = if signing.is_empty() {
        let first = plain.iter().find(|token| !token.trim().is_empty())?;
        Trust::Token {
            tokens: Tokens::new(plain.iter().copied())?,
            first: HeaderValue::from_str(first).ok(),
        }
    } else {
        Trust::Signed(Keys::new(
            signing.iter().filter_map(|token| signing_key(token.expose())),
        )?)
    };
    Some(Arc::new(GitLab { trust }))
}

struct GitLab {
    trust: Trust,
}

/// What makes a request GitLab's. Where a signing token is set it alone does: to fall back on the plain
/// token would let anybody who has seen one strip the signature.
enum Trust {
    Signed(Keys),
    Token {
        tokens: Tokens,
        first: Option<HeaderValue>,
    },
}

impl Host for GitLab {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit(&self, headers: &HeaderMap, now: Moment) -> Result<Claim, Rejection> {
        let proof = match &self.trust {
            Trust::Signed(_) => signature::standard(headers, now)?,
            Trust::Token { tokens, .. } => {
                let missing = "X-Gitlab-Token is missing; set the webhook's secret token on GitLab";
                let token = signature::one(headers, &TOKEN)?.ok_or(Rejection::Unsigned(missing))?;
                if !tokens.hold(token) {
                    return Err(Rejection::BadSignature("X-Gitlab-Token is another token"));
                }
                Proof::Token
            }
        };
        if signature::form(headers)? != Form::Json {
            return Err(Rejection::Unsupported(
                "the content type has to be application/json",
            ));
        }
        let event = signature::event(headers, "x-gitlab-event", "X-Gitlab-Event is missing")?;
        let delivery = ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"]
            .into_iter()
            .find_map(|name| signature::label(headers, name))
            .unwrap_or_else(|| "unknown".into());
        Ok(Claim {
            delivery,
            event,
            proof,
            form: false,
        })
    }

    fn verify(&self, claim: Claim, body: Bytes) -> Result<Delivery, Rejection> {
        let holds = match (&self.trust, &claim.proof) {
            (Trust::Signed(keys), Proof::Message { prefix, codes }) => keys.hold(prefix, &body, codes),
            (Trust::Token { .. }, Proof::Token) => true,
            _ => false,
        };
        if !holds {
            let wrong = "webhook-signature was not made with this signing token over this body";
            return Err(Rejection::BadSignature(wrong));
        }
        let confidential = claim.event.starts_with("Confidential ");
        Ok(Delivery {
            id: claim.delivery,
            event: claim.event,
            json: body,
            confidential,
        })
    }

    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
        let json = &delivery.json;
        let kind = match delivery.event() {
            "Push Hook" => Kind::PUSH,
            "Merge Request Hook" => Kind::PULL_REQUEST,
            "Issue Hook" | "Confidential Issue Hook" => Kind::ISSUE,
            other => {
                parse::<Anything>(json)?;
                let tag = other == "Tag Push Hook";
                return Ok(Reading::Ignored(if tag {
                    Reason::Tag
                } else {
                    Reason::EventNotCounted
                }));
            }
        };
        if !rules.counts(&kind) {
            parse::<Anything>(json)?;
            return Ok(Reading::Ignored(Reason::KindNotCounted));
        }
        if kind == Kind::PUSH {
            read_push(&parse(json)?, rules, now)
        } else {
            read_item(kind, &parse(json)?, delivery.confidential, rules, now)
        }
    }

    fn sign(&self, event: &str, delivery: &str, body: &[u8], now: Moment) -> HeaderMap {
        let unique = |of: &str| {
            let hash: [u8; 32] = Sha256::digest(format!("{of}:{delivery}:{now}")).into();
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
            uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
        };
        let mut pairs = vec![
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::USER_AGENT, "GitLab/plaudit".to_owned()),
            (HeaderName::from_static("x-gitlab-event"), event.to_owned()),
            (HeaderName::from_static("idempotency-key"), delivery.to_owned()),
            (
                HeaderName::from_static("x-gitlab-webhook-uuid"),
                unique("webhook"),
            ),
            (HeaderName::from_static("x-gitlab-event-uuid"), unique("event")),
            (
                HeaderName::from_static("x-gitlab-instance"),
                "https://gitlab.com".to_owned(),
            ),
        ];
        let mut token = None;
        match &self.trust {
            Trust::Signed(keys) => {
                let timestamp = now.timestamp();
                let signature = signature::standard_value(keys, delivery, timestamp, body);
                pairs.push((signature::WEBHOOK_ID, delivery.to_owned()));
                pairs.push((signature::WEBHOOK_TIMESTAMP, timestamp.to_string()));
                pairs.push((signature::WEBHOOK_SIGNATURE, signature));
            }
            Trust::Token { first, .. } => token = first.clone(),
        }
        let value = |(name, value): (_, String)| Some((name, HeaderValue::from_str(&value).ok()?));
        pairs
            .into_iter()
            .filter_map(value)
            .chain(token.map(|token| (TOKEN, token)))
            .collect()
    }
}

/// GitLab's own machine accounts. They are reserved names, so nobody else can have them.
/// <https://docs.gitlab.com/administration/internal_users/>
const INTERNAL: &[&str] = &[
    "alert-bot",
    "gitlab-admin-bot",
    "gitlab-automation-bot",
    "gitlab-llm-bot",
    "gitlab-security-bot",
    "gitlabduo",
    "migration-bot",
    "security-policy-bot",
    "support-bot",
    "visual-review-bot",
];

/// Whether a login is a machine's: the payload has no flag, but the names of token and service accounts
/// are made by GitLab.
/// <https://docs.gitlab.com/user/project/settings/project_access_tokens/#bot-users-for-projects>
fn is_bot(login: &str) -> bool {
    let login = login.to_ascii_lowercase();
    let token_of = |owner: &str| {
        let rest = login.strip_prefix(owner).and_then(|rest| rest.split_once("_bot"));
        rest.is_some_and(|(id, tail)| {
            is_number(id) && (tail.is_empty() || tail.starts_with('_') || is_number(tail))
        })
    };
    INTERNAL.contains(&login.as_str())
        || token_of("project_")
        || token_of("group_")
        || login.starts_with("service_account_")
        || login.ends_with("[bot]")
}

#[derive(Deserialize)]
struct Project<'a> {
    id: u64,
    #[serde(borrow)]
    path_with_namespace: Text<'a>,
    #[serde(borrow)]
    web_url: Text<'a>,
    #[serde(borrow)]
    default_branch: Option<Text<'a>>,
    visibility_level: Option<u64>,
}

impl Project<'_> {
    fn origin(&self, confidential: bool) -> Result<Origin, Malformed> {
        let private = confidential || self.visibility_level != Some(PUBLIC);
        Origin::new(
            &MANNERS,
            &self.web_url,
            self.id,
            &self.path_with_namespace,
            private,
        )
    }
}

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#push-events>
#[derive(Deserialize)]
struct PushEvent<'a> {
    #[serde(borrow)]
    object_kind: Text<'a>,
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    #[serde(borrow)]
    after: Text<'a>,
    user_id: Option<u64>,
    #[serde(borrow)]
    user_username: Option<Text<'a>>,
    #[serde(borrow)]
    project: Project<'a>,
    /// The newest 20 at most, oldest first.
    #[serde(borrow)]
    commits: Vec<Commit<'a>>,
    #[serde(default)]
    total_commits_count: u64,
}

fn read_push(event: &PushEvent<'_>, rules: &Rules, now: Moment) -> Result<Reading, Malformed> {
    if &*event.object_kind != "push" {
        return Err(Malformed("`object_kind` is not that of the event".into()));
    }
    let origin = event.project.origin(false)?;
    if !is_commit(&event.after) {
        return Err(Malformed("`after` names no commit".into()));
    }
    if event.name.starts_with("refs/tags/") {
        return Ok(Reading::Ignored(Reason::Tag));
    }
    if is_no_commit(&event.after) {
        return Ok(Reading::Ignored(Reason::BranchDeleted));
    }
    let branch = event.name.strip_prefix("refs/heads/");
    if branch.is_none() || !(rules.all_branches || branch == event.project.default_branch.as_deref()) {
        return Ok(Reading::Ignored(Reason::NotDefaultBranch));
    }
    let login = event.user_username.as_deref().filter(|login| !login.is_empty());
    let push = Push {
        origin: &origin,
        after: &event.after,
        commits: &event.commits,
        head: event.commits.last(),
        only_distinct: false,
        more: event.total_commits_count > event.commits.len() as u64,
        page: None,
        pusher: Pusher {
            login,
            is_bot: false,
            account: login.zip(event.user_id),
        },
    };
    Ok(push.read(rules, now))
}

/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#merge-request-events>
/// <https://docs.gitlab.com/user/project/integrations/webhook_events/#work-item-events>
#[derive(Deserialize)]
struct ItemEvent<'a> {
    #[serde(borrow)]
    object_kind: Text<'a>,
    #[serde(borrow)]
    event_type: Option<Text<'a>>,
    #[serde(borrow)]
    user: Option<Account<'a>>,
    /// A group's work item, such as an epic, has none.
    #[serde(borrow)]
    project: Option<Project<'a>>,
    #[serde(borrow)]
    object_attributes: Item<'a>,
}

#[derive(Deserialize)]
struct Account<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    username: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    iid: u64,
    /// Missing where GitLab only tries the webhook.
    #[serde(borrow)]
    action: Option<Text<'a>>,
    author_id: Option<u64>,
    confidential: Option<bool>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
}

impl ItemEvent<'_> {
    /// The author's account, which the payload names only if the author is the one who acted.
    fn author(&self) -> Option<&Account<'_>> {
        let author_id = self.object_attributes.author_id?;
        self.user.as_ref().filter(|user| user.id == Some(author_id))
    }

    /// Any one sign is enough: samples exist in which only one of them says so.
    fn confidential(&self) -> bool {
        self.object_attributes.confidential == Some(true)
            || self
                .event_type
                .as_deref()
                .is_some_and(|kind| kind.starts_with("confidential_"))
    }
}

fn read_item(
    kind: Kind,
    event: &ItemEvent<'_>,
    confidential: bool,
    rules: &Rules,
    now: Moment,
) -> Result<Reading, Malformed> {
    let expected: &[&str] = if kind == Kind::ISSUE {
        &["issue", "work_item"]
    } else {
        &["merge_request"]
    };
    if !expected.contains(&&*event.object_kind) {
        return Err(Malformed("`object_kind` is not that of the event".into()));
    }
    let Some(project) = &event.project else {
        return Ok(Reading::Ignored(Reason::EventNotCounted));
    };
    let origin = project.origin(confidential || event.confidential())?;
    let item = &event.object_attributes;
    if item.action.as_deref() != Some("open") {
        return Ok(Reading::Ignored(Reason::ActionNotCounted));
    }
    let author = event.author();
    let login = author.and_then(|account| account.username.as_deref());
    let opened = Opened {
        kind,
        number: item.iid,
        title: item.title.as_deref(),
        url: item.url.as_deref(),
        created_at: item.created_at.as_deref(),
        author: login.map_or(Who::Nobody, |login| origin.who(login)),
        user_id: author.and_then(|account| account.id),
    };
    Ok(opened.read(&origin, rules, now))
}
