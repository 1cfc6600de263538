//! What a test delivery's answer says about the way from the host to plaudit.

use std::path::Path;

use serde_json::Value;

use crate::hosts::{Receipt, Tested};

/// How a test delivery ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// plaudit verified it.
    Connected,
    /// plaudit answers, and has another secret.
    OtherSecret,
    /// plaudit answers, and has no secret for this host.
    NoSecret,
    /// plaudit answers something else, such as 503.
    Refused(String),
    /// Something else than plaudit answers.
    Elsewhere(String),
    /// Nothing answers.
    Unreachable(String),
    /// The host does not say what became of it.
    Unknown(String),
}

impl Outcome {
    pub(super) fn of(tested: Tested) -> Self {
        match tested {
            Tested::Answered(receipt) => Self::of_receipt(&receipt),
            Tested::Late => Self::Unknown("the host shows no delivery of its ping yet".to_owned()),
            Tested::Untestable(why) => Self::Unknown(why),
        }
    }

    fn of_receipt(receipt: &Receipt) -> Self {
        let Receipt { status, words, body } = receipt;
        let json: Option<Value> = body.as_deref().and_then(|body| serde_json::from_str(body).ok());
        let field = |name: &str| json.as_ref().and_then(|json| json.get(name)?.as_str());
        let problem = field("type").and_then(|kind| kind.strip_prefix("urn:plaudit:problem:"));
        let shown = status.map_or_else(|| words.clone(), |status| status.to_string());
        match (status, problem) {
            (Some(200..=299), _) if body.is_none() || field("verdict").is_some() => Self::Connected,
            (_, Some("bad_signature" | "unsigned")) => Self::OtherSecret,
            (_, Some("host_not_configured")) => Self::NoSecret,
            (_, Some(_)) => Self::Refused(format!("{shown} ({})", field("detail").unwrap_or_default())),
            // A page of a proxy.
            (None, None) if words.starts_with('<') => Self::Elsewhere(words.clone()),
            // The host keeps no body of what it could not reach, and gives 502 or 504 itself.
            (None | Some(502..=504), None) => Self::Unreachable(words.clone()),
            (Some(401), None) if body.is_none() => Self::OtherSecret,
            (Some(_), None) => Self::Elsewhere(shown),
        }
    }

    /// Whether another try may end differently with nothing changed.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(_))
    }

    /// What is wrong, and what to do; empty where nothing is.
    pub(super) fn advice(&self, host: &str, url: &str, variable: &str, file: &Path) -> String {
        let again = "then run this again";
        let set =
            format!("start it with {variable}={} (or with what is in that file), {again}", file.display());
        match self {
            Self::Connected => String::new(),
            Self::OtherSecret => {
                format!("the webhook is set up, but plaudit at {url} has another secret: {set}")
            }
            Self::NoSecret => {
                format!("the webhook is set up, but plaudit at {url} has no secret for {host} yet: {set}")
            }
            Self::Refused(what) => format!(
                "the webhook is set up, but plaudit answers {host} with {what}: look at its log, {again}"
            ),
            Self::Elsewhere(what) => format!(
                "the webhook is set up, but something else than plaudit answers {host} at {url} with {what}: check \
                 --url and what stands before plaudit, {again}"
            ),
            Self::Unreachable(why) => format!(
                "the webhook is set up, but {host} cannot reach {url} ({why}): start plaudit there, where {host} can \
                 connect to it, {again}"
            ),
            Self::Unknown(why) => format!(
                "the webhook is set up, but whether it works is unknown: {why}; look at its deliveries, or run this again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: Option<u16>, words: &str, body: Option<&str>) -> Outcome {
        let body = body.map(str::to_owned);
        Outcome::of(Tested::Answered(Receipt { status, words: words.to_owned(), body }))
    }

    #[test]
    fn an_answer_is_plaudits_only_in_plaudits_own_form() {
        let problem =
            |kind: &str| format!("{{\"type\": \"urn:plaudit:problem:{kind}\", \"detail\": \"so\"}}");
        assert_eq!(of(Some(200), "OK", Some("{\"verdict\": \"ignored\"}")), Outcome::Connected);
        assert_eq!(of(Some(200), "OK", None), Outcome::Connected);
        assert_eq!(of(Some(200), "OK", Some("welcome")), Outcome::Elsewhere("200".to_owned()));
        assert_eq!(of(Some(401), "", Some(&problem("unsigned"))), Outcome::OtherSecret);
        assert_eq!(of(Some(401), "", None), Outcome::OtherSecret);
        assert_eq!(of(Some(401), "", Some("log in")), Outcome::Elsewhere("401".to_owned()));
        assert_eq!(of(Some(404), "", Some(&problem("host_not_configured"))), Outcome::NoSecret);
        let unavailable = of(Some(503), "", Some(&problem("unavailable")));
        assert_eq!(unavailable, Outcome::Refused("503 (so)".to_owned()));
        assert!(unavailable.is_passing());
        for (status, words) in [(Some(502), "failed to connect"), (Some(504), "timed out"), (None, "refused")]
        {
            let outcome = of(status, words, None);
            assert_eq!(outcome, Outcome::Unreachable(words.to_owned()));
            let advice = outcome.advice("GitHub", "https://x.example/webhooks/github", "X", Path::new("/x"));
            assert!(advice.contains(&format!("cannot reach https://x.example/webhooks/github ({words})")));
        }
        assert_eq!(of(None, "<html>404", None), Outcome::Elsewhere("<html>404".to_owned()));
        assert!(!Outcome::of(Tested::Late).is_passing());
    }
}
