//! GitHub, on github.com and as Enterprise Server.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

mod history;
mod app;
mod deliveries;
mod hooks;
mod items;
mod read;

pub(super) use super::origin::is_app as is_machine;
pub(super) use deliveries::REPAIR;
pub(super) use history::HISTORY;
pub(super) use hooks::SETUP;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::headers::{self, Form};
use super::json::repaired;
use super::origin::Unread;
use super::signature::{self, Keys, Proof, SIGNATURE_256};
use super::{Admitted, Delivery, Host, Malformed, Payload, Rejection, Rules};
use crate::domain::Moment;
use crate::settings::{Secret, SecretSetting, Setting, Settings};

/// Its name in routes, logs and metrics, and the short name of its public site.
pub const NAME: &str = "github";
/// The header with the event's name.
pub const EVENT: &str = "x-github-event";

/// The header with the delivery's id.
pub(super) const DELIVERY: &[&str] = &["x-github-delivery"];

/// The events with fixtures, and others that are common: a fixture's first word is the event's name.
const EVENTS: &[&str] = &[
    "push",
    "pull_request",
    "issues",
    "ping",
    "issue_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "release",
    "repository",
    "create",
    "delete",
    "fork",
    "star",
    "watch",
    "discussion",
    "discussion_comment",
    "workflow_run",
    "check_run",
    "status",
];

/// What GitHub signs deliveries with; several during a rotation.
const SECRET: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_SECRET",
    example: "PLAUDIT_GITHUB_SECRET=\"a long random text\"",
};

/// The hosts for which its secret may speak.
pub const HOSTS: Setting = Setting {
    variable: "PLAUDIT_GITHUB_HOSTS",
    flag: "github-hosts",
    value: "LIST",
    example: "github.com,github.example.org",
    help: "The hosts that GitHub's secrets may speak for, with port and path if not the default [default: any but gitlab.com]",
};

/// GitHub; `None` without a secret, because no delivery could be verified.
#[must_use]
pub fn open(settings: &mut Settings<'_>) -> Option<Arc<dyn Host>> {
    let secrets = settings.secret_list(&SECRET);
    let keys = Keys::new(secrets.iter().map(Secret::expose))?;
    Some(Arc::new(GitHub { keys }))
}

/// The event of a fixture whose name begins with `word`.
pub(super) fn event_of_fixture(word: &str) -> Option<&'static str> {
    EVENTS.iter().copied().find(|event| *event == word)
}

struct GitHub {
    keys: Keys,
}

impl Host for GitHub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit(&self, headers: &HeaderMap, _now: Moment) -> Result<Admitted, Rejection> {
        let proof = signature::hub(headers)?;
        let form = headers::form(
            headers,
            &[Form::Json, Form::Urlencoded],
            "the content type has to be application/json, or application/x-www-form-urlencoded",
        )?;
        let event = headers::event(headers, EVENT, "X-GitHub-Event is missing");
        let delivery = headers::id(headers, DELIVERY);
        Ok(Admitted { delivery, event, proof, form: form == Form::Urlencoded })
    }

    fn verify(&self, admitted: Admitted, body: Vec<u8>) -> Result<Delivery, Rejection> {
        let holds = match &admitted.proof {
            Proof::Body(code) => self.keys.hold("", &body, std::slice::from_ref(code)),
            Proof::Message { .. } | Proof::Token => false,
        };
        if !holds {
            let wrong = "X-Hub-Signature-256 was not made with this secret over this body";
            return Err(Rejection::BadSignature(wrong));
        }
        let json = if admitted.form { payload_of_form(&body)? } else { body };
        Ok(Delivery { id: admitted.delivery, event: admitted.event?, json: repaired(json) })
    }

    fn read(&self, delivery: &Delivery, rules: &Rules, now: Moment) -> Result<Payload, Malformed> {
        read::payload(delivery.event(), &delivery.json, rules, now).or_else(Unread::payload)
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

/// The JSON in a form body. GitHub signs the form, not the JSON.
///
/// The content type is not signed, so no body may be both a form and JSON: a form begins with its one field, and
/// JSON with a brace. Else a `&payload=…&` within the text of a signed JSON body would be a payload of its own.
fn payload_of_form(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut fields = form_urlencoded::parse(body);
    match fields.next().filter(|_| body.starts_with(b"payload=") && !body.contains(&b'&')) {
        Some((_, json)) => Ok(json.into_owned().into_bytes()),
        None => Err(Rejection::Malformed("the form must be exactly one field payload")),
    }
}
