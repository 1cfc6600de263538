//! Reads each knob, and collects what is wrong.

use std::net::SocketAddr;

use super::{
    COMMENT_TEMPLATE, Commenting, DrainIdentity, Flags, GithubCredential, LogFormat, PublishTo, StoreAt,
};
use crate::domain::{Kind, fold_case};
use crate::hosts::Rules;

/// A key is a file; its text is no example.
const APP_KEY_FILE: &str = "PLAUDIT_GITHUB_APP_KEY_FILE=/run/secrets/github-app.pem";

/// Collects what is wrong while it reads what is right.
pub(super) struct Reader<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) faults: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, variable: &str, wrong: &str, example: &str) {
        self.advise(variable, wrong, &format!("{variable}={example}"));
    }

    /// A fault that another variable mends.
    pub(super) fn advise(&mut self, variable: &str, wrong: &str, setting: &str) {
        self.faults.push(format!("{variable}: {wrong}; for example {setting}"));
    }

    pub(super) fn value<T>(
        &mut self,
        variable: &str,
        text: Option<&str>,
        example: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let parse = |text: &str| {
            let is_text = !text.contains(char::REPLACEMENT_CHARACTER);
            if is_text { parse(text.trim()) } else { Err("not text in UTF-8".into()) }
        };
        match text.map(parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(wrong)) => {
                self.fault(variable, &wrong, example);
                default
            }
        }
    }

    pub(super) fn boolean(&mut self, variable: &str, text: Option<&str>, default: bool) -> bool {
        self.value(variable, text, if default { "false" } else { "true" }, default, |text| {
            text.parse().map_err(|_| "neither true nor false".into())
        })
    }

    pub(super) fn listen(&mut self, text: Option<&str>) -> SocketAddr {
        let port = (self.env)("PORT").filter(|port| text.is_none() && !port.is_empty());
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let parse = |text: &str| text.parse().map_err(|_| "no IP address with a port".to_owned());
        if let Some(port) = port {
            let all = |port: &str| {
                port.parse().map(|p: u16| SocketAddr::from(([0, 0, 0, 0], p))).map_err(|_| "no port".into())
            };
            return self.value("PORT", Some(&port), "8080", default, all);
        }
        self.value("PLAUDIT_LISTEN", text, "127.0.0.1:8080", default, parse)
    }

    pub(super) fn store(&mut self, text: Option<&str>) -> StoreAt {
        let on_cloud_run = (self.env)("K_SERVICE").is_some();
        let default = StoreAt::Sqlite("plaudit.db".into());
        let store = self.value("PLAUDIT_STORE", text, "sqlite:plaudit.db", default, parse_store);
        if on_cloud_run && matches!(store, StoreAt::Sqlite(_)) {
            let wrong = "Cloud Run's disk is memory and forgets: the ledger would be lost with the instance";
            self.fault("PLAUDIT_STORE", wrong, "firestore:my-project");
        }
        store
    }

    pub(super) fn rules(&mut self, flags: &Flags) -> Rules {
        let kinds = |text: &str| {
            let kind = |word: &str| Kind::OF_HOSTS.into_iter().find(|kind| kind.as_str() == word.trim());
            text.split(',')
                .map(kind)
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| "the kinds are push, pull_request and issue".to_owned())
        };
        let branches = |text: &str| match text {
            "default" => Ok(false),
            "all" => Ok(true),
            _ => Err("neither default nor all".to_owned()),
        };
        let ignore =
            |text: &str| Ok(text.split(',').map(|p| fold_case(p.trim())).filter(|p| !p.is_empty()).collect());
        Rules {
            count: self.value(
                "PLAUDIT_COUNT",
                flags.count.as_deref(),
                "push,pull_request,issue",
                Kind::OF_HOSTS.to_vec(),
                kinds,
            ),
            all_branches: self.value(
                "PLAUDIT_BRANCHES",
                flags.branches.as_deref(),
                "default",
                false,
                branches,
            ),
            co_authors: self.boolean("PLAUDIT_CO_AUTHORS", flags.co_authors.as_deref(), true),
            ignore: self.value(
                "PLAUDIT_IGNORE",
                flags.ignore.as_deref(),
                "github:*-robot",
                Vec::new(),
                ignore,
            ),
            ..Rules::default()
        }
    }

    pub(super) fn comment(&mut self, flags: &Flags) -> Option<Commenting> {
        let wanted = self.boolean("PLAUDIT_COMMENT", flags.comment.as_deref(), false);
        let token = self.one_secret("PLAUDIT_GITHUB_TOKEN");
        let key = self.one_secret("PLAUDIT_GITHUB_APP_KEY");
        let number = |text: &str| text.parse().map(Some).map_err(|_| "no number".to_owned());
        let id = self.value("PLAUDIT_GITHUB_APP_ID", flags.github_app_id.as_deref(), "12345", None, number);
        let api = |text: &str| {
            let sound = url::Url::parse(text)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if sound {
                Ok(text.trim_end_matches('/').to_owned())
            } else {
                Err("no http or https URL".to_owned())
            }
        };
        let api = self.value(
            "PLAUDIT_GITHUB_API",
            flags.github_api.as_deref(),
            "https://api.github.com",
            "https://api.github.com".into(),
            api,
        );
        let template = |text: &str| crate::publish::comment::check_template(text).map(|()| text.to_owned());
        let template = self.value(
            "PLAUDIT_COMMENT_TEMPLATE",
            flags.comment_template.as_deref(),
            "\"Thank you, {contributor}!\"",
            COMMENT_TEMPLATE.into(),
            template,
        );
        let credential = match (token, id, key) {
            (Some(token), _, _) => Some(GithubCredential::Token(token)),
            (None, Some(id), Some(key)) => match crate::publish::comment::check_app_key(key.expose()) {
                Ok(()) => Some(GithubCredential::App { id, key }),
                Err(wrong) => {
                    self.advise("PLAUDIT_GITHUB_APP_KEY", &wrong, APP_KEY_FILE);
                    None
                }
            },
            (None, Some(_), None) => {
                self.advise("PLAUDIT_GITHUB_APP_KEY", "missing beside PLAUDIT_GITHUB_APP_ID", APP_KEY_FILE);
                None
            }
            (None, None, Some(_)) => {
                self.fault("PLAUDIT_GITHUB_APP_ID", "missing beside PLAUDIT_GITHUB_APP_KEY", "12345");
                None
            }
            (None, None, None) if wanted => {
                let wrong = "commenting needs PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID with PLAUDIT_GITHUB_APP_KEY";
                self.advise("PLAUDIT_COMMENT", wrong, "PLAUDIT_GITHUB_TOKEN_FILE=/run/secrets/github-token");
                None
            }
            (None, None, None) => None,
        }?;
        wanted.then_some(Commenting { credential, api, template })
    }

    pub(super) fn drain(&mut self, flags: &Flags) -> Option<DrainIdentity> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        match (set(&flags.drain_audience), set(&flags.drain_email)) {
            (Some(audience), Some(email)) => Some(DrainIdentity { audience, email }),
            (None, None) => None,
            (Some(_), None) => {
                let example = "scheduler@my-project.iam.gserviceaccount.com";
                self.fault("PLAUDIT_DRAIN_EMAIL", "missing beside PLAUDIT_DRAIN_AUDIENCE", example);
                None
            }
            (None, Some(_)) => {
                self.fault(
                    "PLAUDIT_DRAIN_AUDIENCE",
                    "missing beside PLAUDIT_DRAIN_EMAIL",
                    "https://plaudit.example.org",
                );
                None
            }
        }
    }

    pub(super) fn log_format(&mut self, text: Option<&str>) -> LogFormat {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let default = if terminal { LogFormat::Text } else { LogFormat::Json };
        self.value("PLAUDIT_LOG_FORMAT", text, "json", default, |text| match text {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err("neither json nor text".into()),
        })
    }
}

fn parse_store(text: &str) -> Result<StoreAt, String> {
    let wrong = || "neither sqlite:PATH nor firestore:PROJECT[/DATABASE]".to_owned();
    if let Some(path) = text.strip_prefix("sqlite:") {
        return if path.is_empty() { Err(wrong()) } else { Ok(StoreAt::Sqlite(path.into())) };
    }
    let rest = text.strip_prefix("firestore:").ok_or_else(wrong)?;
    let (project, database) = rest.split_once('/').unwrap_or((rest, "(default)"));
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let sound_database = database == "(default)" || (!database.is_empty() && database.chars().all(named));
    if !is_project(project) || !sound_database {
        return Err(wrong());
    }
    Ok(StoreAt::Firestore { project: project.to_owned(), database: database.to_owned() })
}

pub(super) fn parse_publish(text: &str) -> Result<PublishTo, String> {
    let wrong = || "neither local nor pubsub:PROJECT/TOPIC".to_owned();
    if text == "local" {
        return Ok(PublishTo::Local);
    }
    let (project, topic) =
        text.strip_prefix("pubsub:").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.~+%".contains(c);
    let sound = is_project(project)
        && (3..=255).contains(&topic.len())
        && topic.starts_with(|c: char| c.is_ascii_alphabetic())
        && topic.chars().all(named);
    if sound {
        Ok(PublishTo::Pubsub { project: project.to_owned(), topic: topic.to_owned() })
    } else {
        Err(wrong())
    }
}

fn is_project(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c))
}
