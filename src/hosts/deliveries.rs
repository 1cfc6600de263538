//! What a host has delivered, and what is asked for again: GitHub never redelivers by itself, and GitLab turns a webhook
//! off that keeps failing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::api::ApiError;
use super::webhooks::is_at;
use super::{KNOWN, Opened, Rules};
use crate::domain::Moment;
use crate::settings::{Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[RECONCILE, PUBLIC_URL];

const RECONCILE: Setting = Setting {
    variable: "PLAUDIT_RECONCILE",
    flag: "reconcile",
    value: "LIST",
    example: "github:octocat/hello",
    help: "Whose failed deliveries are asked for again: github:OWNER/REPO, github:ORGANISATION, github-app or \
           gitlab:GROUP/PROJECT [default: none]",
};
const PUBLIC_URL: Setting = Setting {
    variable: "PLAUDIT_PUBLIC_URL",
    flag: "public-url",
    value: "URL",
    example: "https://plaudit.example.org",
    help: "Address at which hosts reach plaudit, so that webhooks at other addresses are left alone [default: any]",
};

/// The webhooks of one repository, organisation, project or app whose deliveries can be listed and asked for again.
#[async_trait]
pub trait Redeliveries: Send + Sync {
    /// What they belong to, for people and for the log.
    fn name(&self) -> &str;

    /// The host's name.
    fn host(&self) -> &'static str;

    /// Their entry in `PLAUDIT_RECONCILE`.
    fn entry(&self) -> String {
        format!("{}:{}", self.host(), self.name())
    }

    /// What `plaudit backfill` is to be given to read the same from the host's history.
    fn history(&self) -> String;

    /// For how long the host lists a delivery.
    fn kept(&self) -> Duration;

    /// Whether the lists have the deliveries that succeeded too.
    fn lists_successes(&self) -> bool {
        true
    }

    /// The webhooks that post to plaudit.
    async fn hooks(&self) -> Result<Vec<Hook>, ApiError>;

    /// One page of a webhook's deliveries, newest first. `cursor` is the `next` of the page before.
    async fn list(&self, hook: &Hook, cursor: Option<&str>) -> Result<DeliveryPage, ApiError>;

    /// Asks the host to send a delivery again.
    async fn redeliver(&self, hook: &Hook, delivery: u64) -> Result<Redelivery, ApiError>;

    /// Turns a webhook on again that the host has turned off. Returns why it could not be, in the host's words.
    async fn enable(&self, hook: &Hook) -> Result<Option<String>, ApiError>;
}

/// A webhook that posts to plaudit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub id: u64,
    /// Why the host sends nothing, where it is off.
    pub off: Option<String>,
}

/// What the host lists of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Numbered in the order in which the host made them.
    pub id: u64,
    /// The same for all deliveries of one event to one webhook.
    pub guid: String,
    pub at: Option<Moment>,
    /// Whether it was asked for.
    pub redelivery: bool,
    /// Whether plaudit answered with a success.
    pub succeeded: bool,
    /// The host's words for the outcome.
    pub outcome: String,
    /// Whether it can change the ledger.
    pub counts: bool,
}

/// One page of deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    pub deliveries: Vec<Listed>,
    /// What asks for the next page; `None` for the last.
    pub next: Option<String>,
}

/// What became of asking for a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// The host will send it, or has, and it failed again.
    Asked,
    /// The host has sent it, and plaudit has answered with a success.
    Delivered,
    /// The host cannot send it any more, and why.
    Gone(String),
}

/// All that is reconciled by configuration.
#[derive(Clone, Default)]
pub struct Reconciling {
    pub all: Vec<Arc<dyn Redeliveries>>,
    /// Whether this process has a processor between requests, so that rounds can run by themselves.
    pub by_itself: bool,
    /// Which webhooks are plaudit's own.
    pub address: Address,
    /// The hosts for which there is a credential.
    credentials: Vec<&'static str>,
}

impl Reconciling {
    /// One that was named on the command line.
    #[must_use]
    pub fn of(one: Arc<dyn Redeliveries>) -> Self {
        Self { all: vec![one], ..Self::default() }
    }

    /// What to set so that the failed deliveries of the hosts that are on are asked for again; of all, if none is on.
    #[must_use]
    pub fn advice(&self, opened: &[Opened]) -> String {
        let on = |one: &&Opened| one.host.is_some() || opened.iter().all(|one| one.host.is_none());
        let set = |one: &Opened| {
            let repair = one.known.repair?;
            let has = self.credentials.contains(&one.known.name);
            let credential = if has { String::new() } else { format!(" with {}", repair.credential) };
            Some(format!("{}={}{credential}", RECONCILE.variable, repair.example))
        };
        let set: Vec<_> = opened.iter().filter(on).filter_map(set).collect();
        format!("to have failed deliveries sent again set {}", set.join(", or "))
    }
}

impl fmt::Debug for Reconciling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|one| one.entry())).finish()
    }
}

/// How the failed deliveries of a host are asked for again.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// The words before the colon in `PLAUDIT_RECONCILE`.
    pub words: &'static [&'static str],
    /// What such an entry looks like.
    pub example: &'static str,
    /// The variables of the credential, and whether it is there.
    pub credential: &'static str,
    pub has_credential: fn(&mut Settings<'_>) -> bool,
    /// Opens the webhooks of what a user names, or notes in the settings what is missing.
    pub open: Open,
}

type Open = fn(&mut Settings<'_>, Wanted<'_>) -> Result<Arc<dyn Redeliveries>, String>;

/// What is to be reconciled.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The first word: the host, or one of the host's own.
    pub word: &'a str,
    /// What follows the colon; empty without one.
    pub name: &'a str,
    pub rules: &'a Rules,
    pub address: Address,
}

/// Which webhooks are plaudit's own.
#[derive(Clone, Debug, Default)]
pub struct Address(Option<Url>);

impl Address {
    fn read(settings: &mut Settings<'_>) -> Self {
        Self(settings.value(&PUBLIC_URL, None, |text| {
            let url = Url::parse(text.trim_end_matches('/')).ok();
            let sound = |url: &Url| {
                matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
            };
            url.filter(sound).map(Some).ok_or_else(|| "not an http or https URL".to_owned())
        }))
    }

    /// The address, where it is configured.
    #[must_use]
    pub fn url(&self) -> Option<&Url> {
        self.0.as_ref()
    }

    /// Whether a webhook of `host` at `url` posts to plaudit.
    pub(super) fn is_own(&self, host: &str, url: &str) -> bool {
        let path = format!("/webhooks/{host}");
        match &self.0 {
            Some(own) => {
                let own = format!("{}{path}", own.as_str().trim_end_matches('/'));
                Url::parse(&own).is_ok_and(|own| is_at(&own, url))
            }
            None => Url::parse(url).is_ok_and(|url| url.path().trim_end_matches('/').ends_with(&path)),
        }
    }
}

/// Reads what is reconciled.
pub fn reconciling(settings: &mut Settings<'_>, rules: &Rules) -> Reconciling {
    let named = settings.list(&RECONCILE, &[]);
    let mut all: Vec<Arc<dyn Redeliveries>> = Vec::new();
    for text in &named {
        match open(settings, text, rules) {
            Ok(one) => all.push(one),
            Err(wrong) => settings.fault(RECONCILE.variable, &wrong, RECONCILE.example),
        }
    }
    let repairs = KNOWN.iter().filter_map(|known| Some((known.name, known.repair?)));
    let credentials = repairs.filter(|(_, repair)| (repair.has_credential)(settings)).map(|(name, _)| name);
    let credentials = credentials.collect();
    let (address, by_itself) = (Address::read(settings), settings.foreign("K_SERVICE").is_none());
    Reconciling { all, by_itself, address, credentials }
}

/// Opens the webhooks that `text` names, as in `PLAUDIT_RECONCILE`.
pub fn open(settings: &mut Settings<'_>, text: &str, rules: &Rules) -> Result<Arc<dyn Redeliveries>, String> {
    let (word, name) = text.split_once(':').unwrap_or((text, ""));
    let repair = KNOWN.iter().filter_map(|known| known.repair).find(|repair| repair.words.contains(&word));
    let repair = repair.ok_or_else(|| {
        let words: Vec<_> =
            KNOWN.iter().filter_map(|known| known.repair).flat_map(|repair| repair.words).copied().collect();
        format!("{text:?} begins with none of {}", words.join(", "))
    })?;
    let address = Address::read(settings);
    (repair.open)(settings, Wanted { word, name, rules, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_plaudits_own_by_its_path_or_by_its_whole_address() {
        let own = |address: Option<&str>, url: &str| {
            Address(address.map(|url| Url::parse(url).unwrap())).is_own("github", url)
        };
        for url in ["https://a.example/webhooks/github", "https://a.example/x/webhooks/github/"] {
            assert!(own(None, url), "{url}");
        }
        for url in ["https://a.example/", "https://a.example/webhooks/gitlab", "no url", ""] {
            assert!(!own(None, url), "{url}");
        }
        assert!(own(Some("https://a.example/x"), "https://a.example/x/webhooks/github/"));
        assert!(!own(Some("https://a.example"), "https://b.example/webhooks/github"));
    }
}
