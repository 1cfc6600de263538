use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::domain::{Kind, Milestones, fold_case};
use crate::hosts::Rules;

/// Every knob that is no secret, as a flag; each names its variable and its default.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
#[allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "these are the words of --help")]
pub struct Flags {
    /// Address to listen on [default: 127.0.0.1:8080; if PORT is set, 0.0.0.0:$PORT]
    #[arg(long, env = "PLAUDIT_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the ledger is kept: sqlite:PATH or firestore:PROJECT[/DATABASE] [default: sqlite:plaudit.db]
    #[arg(long, env = "PLAUDIT_STORE", value_name = "STORE")]
    pub store: Option<String>,
    /// Where recognitions go: local or pubsub:PROJECT/TOPIC [default: local]
    #[arg(long, env = "PLAUDIT_PUBLISH", value_name = "WHERE")]
    pub publish: Option<String>,
    /// Whether anyone may post contributions without a token [default: false]
    #[arg(long, env = "PLAUDIT_OPEN_API", value_name = "BOOL")]
    pub open_api: Option<String>,
    /// Whether anyone may read; else reading and /metrics need a token [default: true on loopback, else false]
    #[arg(long, env = "PLAUDIT_PUBLIC_READ", value_name = "BOOL")]
    pub public_read: Option<String>,
    /// Tallies that earn a recognition, ascending [default: 3]
    #[arg(long, env = "PLAUDIT_MILESTONES", value_name = "LIST")]
    pub milestones: Option<String>,
    /// Which kinds of the hosts count [default: push,pull_request,issue]
    #[arg(long, env = "PLAUDIT_COUNT", value_name = "LIST")]
    pub count: Option<String>,
    /// Which pushes count: default (to the default branch) or all [default: default]
    #[arg(long, env = "PLAUDIT_BRANCHES", value_name = "WHICH")]
    pub branches: Option<String>,
    /// Whether Co-authored-by trailers with a host's noreply address are credited too [default: false]
    #[arg(long, env = "PLAUDIT_CO_AUTHORS", value_name = "BOOL")]
    pub co_authors: Option<String>,
    /// Contributors never counted, * allowed, such as github:*-robot [default: none; bots never count]
    #[arg(long, env = "PLAUDIT_IGNORE", value_name = "LIST")]
    pub ignore: Option<String>,
    /// Whether to comment on the pull request or issue that reached the milestone [default: false]
    #[arg(long, env = "PLAUDIT_COMMENT", value_name = "BOOL")]
    pub comment: Option<String>,
    /// The comment's text, with {contributor}, {milestone}, {tally}, {kind}, {repository} and {title} [default: a short thank-you]
    #[arg(long, env = "PLAUDIT_COMMENT_TEMPLATE", value_name = "TEXT")]
    pub comment_template: Option<String>,
    /// Id of the GitHub App that comments; its key is PLAUDIT_GITHUB_APP_KEY [default: none]
    #[arg(long, env = "PLAUDIT_GITHUB_APP_ID", value_name = "NUMBER")]
    pub github_app_id: Option<String>,
    /// Base URL of the GitHub API [default: https://api.github.com]
    #[arg(long, env = "PLAUDIT_GITHUB_API", value_name = "URL")]
    pub github_api: Option<String>,
    /// The OIDC audience that may call /internal/drain [default: none; an API token only]
    #[arg(long, env = "PLAUDIT_DRAIN_AUDIENCE", value_name = "TEXT")]
    pub drain_audience: Option<String>,
    /// The service account that may call /internal/drain [default: none]
    #[arg(long, env = "PLAUDIT_DRAIN_EMAIL", value_name = "EMAIL")]
    pub drain_email: Option<String>,
    /// What to log, as tracing-subscriber's EnvFilter reads it [default: info]
    #[arg(long, env = "PLAUDIT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log: json (Cloud Logging's fields) or text [default: json, unless standard error is a terminal]
    #[arg(long, env = "PLAUDIT_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// A text that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for those who need it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum StoreAt {
    Sqlite(PathBuf),
    Firestore { project: String, database: String },
}

/// Where recognitions go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PublishTo {
    Local,
    Pubsub { project: String, topic: String },
}

/// What each host signs with; several during a rotation.
#[derive(Clone, Debug, Default)]
pub struct HostSecrets {
    /// GitHub's webhook secrets.
    pub github: Vec<Secret>,
    /// GitLab's signing tokens, `whsec_…`.
    pub gitlab_signing: Vec<Secret>,
    /// GitLab's plain secret tokens.
    pub gitlab_token: Vec<Secret>,
}

/// How comments are written.
#[derive(Clone, Debug)]
pub struct Commenting {
    /// As whom.
    pub credential: GithubCredential,
    /// Base URL of the GitHub API.
    pub api: String,
    /// The comment's text, with placeholders.
    pub template: String,
}

/// As whom plaudit speaks to GitHub.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum GithubCredential {
    Token(Secret),
    App { id: u64, key: Secret },
}

/// Who may call `/internal/drain` by an OIDC token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct DrainIdentity {
    pub audience: String,
    pub email: String,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Json,
    Text,
}

/// What is configured, checked.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each field is described on its flag in `Flags` or on its type")]
pub struct Config {
    pub listen: SocketAddr,
    pub store: StoreAt,
    pub publish: PublishTo,
    pub hosts: HostSecrets,
    pub api_tokens: Vec<Secret>,
    pub open_api: bool,
    pub public_read: bool,
    pub milestones: Milestones,
    pub rules: Rules,
    pub comment: Option<Commenting>,
    pub drain: Option<DrainIdentity>,
    pub log: String,
    pub log_format: LogFormat,
    pub pubsub_emulator: Option<String>,
    /// The GCP project, where one is known: for the trace field of logs.
    pub project: Option<String>,
}

/// Every fault of a configuration at once; never a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is wrong:\n{}", .0.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct InvalidConfig(pub Vec<String>);

/// Reads the environment, for the places that may: `main` and the commands.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    // What is no text must not count as unset: it is kept, and found wrong where it is read.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The default text of a comment.
pub const COMMENT_TEMPLATE: &str =
    "Thank you, {contributor}! This is your contribution number {milestone} here.";

impl Config {
    /// Checks flags and environment; lists all that is wrong.
    pub fn read(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let mut from = Reader { env, faults: Vec::new() };
        let listen = from.listen(flags.listen.as_deref());
        let store = from.store(flags.store.as_deref());
        let publish = from.value(
            "PLAUDIT_PUBLISH",
            flags.publish.as_deref(),
            "pubsub:my-project/recognitions",
            PublishTo::Local,
            parse_publish,
        );
        let hosts = from.hosts();
        let config = Self {
            listen,
            store,
            publish,
            hosts,
            api_tokens: from.tokens(),
            open_api: from.boolean("PLAUDIT_OPEN_API", flags.open_api.as_deref(), false),
            public_read: from.boolean(
                "PLAUDIT_PUBLIC_READ",
                flags.public_read.as_deref(),
                listen.ip().is_loopback(),
            ),
            milestones: from.value(
                "PLAUDIT_MILESTONES",
                flags.milestones.as_deref(),
                "3,10,100",
                Milestones::default(),
                |text| Milestones::parse(text).map_err(|e| e.to_string()),
            ),
            rules: from.rules(flags),
            comment: from.comment(flags),
            drain: from.drain(flags),
            log: from.value(
                "PLAUDIT_LOG",
                flags.log.as_deref(),
                "info,plaudit=debug",
                "info".into(),
                |text| {
                    tracing_subscriber::EnvFilter::try_new(text)
                        .map(|_| text.to_owned())
                        .map_err(|_| "no filter that tracing-subscriber reads".into())
                },
            ),
            log_format: from.log_format(flags.log_format.as_deref()),
            pubsub_emulator: env("PUBSUB_EMULATOR_HOST").filter(|host| !host.is_empty()),
            project: env("GOOGLE_CLOUD_PROJECT").filter(|project| !project.is_empty()),
        };
        if from.faults.is_empty() { Ok(config.with_project()) } else { Err(InvalidConfig(from.faults)) }
    }

    /// The secret lists alone, for commands that only sign or present them.
    pub fn read_secrets(
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(HostSecrets, Vec<Secret>), InvalidConfig> {
        let mut from = Reader { env, faults: Vec::new() };
        let hosts = from.hosts();
        let tokens = from.tokens();
        if from.faults.is_empty() { Ok((hosts, tokens)) } else { Err(InvalidConfig(from.faults)) }
    }

    fn with_project(mut self) -> Self {
        if self.project.is_none() {
            self.project = match (&self.store, &self.publish) {
                (StoreAt::Firestore { project, .. }, _) | (_, PublishTo::Pubsub { project, .. }) => {
                    Some(project.clone())
                }
                _ => None,
            };
        }
        self
    }
}

/// Collects what is wrong while it reads what is right.
struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault(&mut self, variable: &str, wrong: &str, example: &str) {
        self.faults.push(format!("{variable}: {wrong}; for example {variable}={example}"));
    }

    fn value<T>(
        &mut self,
        variable: &str,
        text: Option<&str>,
        example: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        match text.map(|text| parse(text.trim())) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(wrong)) => {
                self.fault(variable, &wrong, example);
                default
            }
        }
    }

    fn boolean(&mut self, variable: &str, text: Option<&str>, default: bool) -> bool {
        self.value(variable, text, if default { "false" } else { "true" }, default, |text| {
            text.parse().map_err(|_| "neither true nor false".into())
        })
    }

    fn listen(&mut self, text: Option<&str>) -> SocketAddr {
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

    fn store(&mut self, text: Option<&str>) -> StoreAt {
        let on_cloud_run = (self.env)("K_SERVICE").is_some();
        let default = StoreAt::Sqlite("plaudit.db".into());
        let store = self.value("PLAUDIT_STORE", text, "sqlite:plaudit.db", default, parse_store);
        if on_cloud_run && matches!(store, StoreAt::Sqlite(_)) {
            let wrong = "Cloud Run's disk is memory and forgets: the ledger would be lost with the instance";
            self.fault("PLAUDIT_STORE", wrong, "firestore:my-project");
        }
        store
    }

    /// One text from the variable, or from the file that `…_FILE` names.
    fn secret_text(&mut self, variable: &str) -> Option<(String, bool)> {
        let file_variable = format!("{variable}_FILE");
        let (value, file) = ((self.env)(variable), (self.env)(&file_variable));
        match (value, file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.faults.push(format!("{variable}: set it or {file_variable}, not both; for example {file_variable}=/run/secrets/plaudit"));
                None
            }
            (Some(value), None) if value.contains(char::REPLACEMENT_CHARACTER) => {
                self.fault(variable, "not text in UTF-8", "\"a long random text\"");
                None
            }
            // Whoever stored it by `echo` stored a line break too.
            (Some(value), None) => Some((without_last_newline(&value).to_owned(), false)),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                    Some((without_last_newline(text).to_owned(), true))
                }
                Err(error) => {
                    self.fault(&file_variable, &format!("cannot be read: {error}"), "/run/secrets/plaudit");
                    None
                }
            },
        }
    }

    fn secrets(&mut self, variable: &str, example: &str) -> Vec<Secret> {
        let Some((text, file)) = self.secret_text(variable) else {
            return Vec::new();
        };
        let parts: Vec<&str> = if file {
            text.split('\n').map(|line| line.trim_end_matches('\r')).collect()
        } else {
            text.split(',').collect()
        };
        let several = parts.len() > 1 && !file;
        if parts.is_empty() || parts.iter().any(|part| part.trim().is_empty()) {
            self.fault(
                variable,
                "a secret is empty or only white space, which would check nothing",
                &format!("\"{example}\""),
            );
            return Vec::new();
        }
        parts.into_iter().map(|part| Secret::new(if several { part.trim() } else { part })).collect()
    }

    fn hosts(&mut self) -> HostSecrets {
        HostSecrets {
            github: self.secrets("PLAUDIT_GITHUB_SECRET", "a long random text"),
            gitlab_signing: self.signing_tokens("PLAUDIT_GITLAB_SIGNING_TOKEN"),
            gitlab_token: self.secrets("PLAUDIT_GITLAB_SECRET", "a long random text"),
        }
    }

    /// API tokens: what cannot stand in a header could never be presented.
    fn tokens(&mut self) -> Vec<Secret> {
        let variable = "PLAUDIT_API_TOKENS";
        let tokens = self.secrets(variable, "a long random text");
        let presentable =
            |token: &str| token.trim() == token && token.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if tokens.iter().all(|token| presentable(token.expose())) {
            return tokens;
        }
        self.fault(
            variable,
            "a token is of visible ASCII characters, with no white space at its ends",
            "4f8f…",
        );
        Vec::new()
    }

    fn signing_tokens(&mut self, variable: &str) -> Vec<Secret> {
        let tokens = self.secrets(variable, "whsec_…");
        let sound = tokens.iter().all(|token| signing_key(token.expose()).is_some());
        if sound {
            return tokens;
        }
        self.fault(variable, "no signing token: whsec_ and then base64", "whsec_…, as GitLab shows it once");
        Vec::new()
    }

    fn rules(&mut self, flags: &Flags) -> Rules {
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
            co_authors: self.boolean("PLAUDIT_CO_AUTHORS", flags.co_authors.as_deref(), false),
            ignore: self.value(
                "PLAUDIT_IGNORE",
                flags.ignore.as_deref(),
                "github:*-robot",
                Vec::new(),
                ignore,
            ),
        }
    }

    fn comment(&mut self, flags: &Flags) -> Option<Commenting> {
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
                    self.fault("PLAUDIT_GITHUB_APP_KEY", &wrong, "the text of the PEM file that GitHub gave");
                    None
                }
            },
            (None, Some(_), None) => {
                self.fault(
                    "PLAUDIT_GITHUB_APP_KEY",
                    "missing beside PLAUDIT_GITHUB_APP_ID",
                    "the PEM file's text",
                );
                None
            }
            (None, None, Some(_)) => {
                self.fault("PLAUDIT_GITHUB_APP_ID", "missing beside PLAUDIT_GITHUB_APP_KEY", "12345");
                None
            }
            (None, None, None) if wanted => {
                let wrong = "commenting needs PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID with PLAUDIT_GITHUB_APP_KEY";
                self.faults.push(format!("PLAUDIT_COMMENT: {wrong}; for example PLAUDIT_GITHUB_TOKEN_FILE=/run/secrets/github-token"));
                None
            }
            (None, None, None) => None,
        }?;
        wanted.then_some(Commenting { credential, api, template })
    }

    fn one_secret(&mut self, variable: &str) -> Option<Secret> {
        let (text, _) = self.secret_text(variable)?;
        if text.trim().is_empty() {
            self.fault(variable, "empty or only white space", "\"…\"");
            return None;
        }
        Some(Secret::new(text))
    }

    fn drain(&mut self, flags: &Flags) -> Option<DrainIdentity> {
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

    fn log_format(&mut self, text: Option<&str>) -> LogFormat {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let default = if terminal { LogFormat::Text } else { LogFormat::Json };
        self.value("PLAUDIT_LOG_FORMAT", text, "json", default, |text| match text {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err("neither json nor text".into()),
        })
    }
}

/// The key in a signing token of the Standard Webhooks: `whsec_` and base64 of at least 16 bytes.
#[must_use]
pub fn signing_key(token: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let key = base64::engine::general_purpose::STANDARD.decode(token.strip_prefix("whsec_")?).ok()?;
    (key.len() >= 16).then_some(key)
}

fn without_last_newline(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
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

fn parse_publish(text: &str) -> Result<PublishTo, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)], flags: &Flags) -> Result<Config, InvalidConfig> {
        let env: std::collections::HashMap<String, String> =
            env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(flags, &move |name| env.get(name).cloned())
    }

    #[test]
    fn all_faults_are_listed_at_once_and_no_secret_is_shown() {
        let flags = Flags {
            listen: Some("nowhere".into()),
            store: Some("paper:x".into()),
            milestones: Some("3,2".into()),
            open_api: Some("yes".into()),
            drain_email: Some("x@y".into()),
            ..Flags::default()
        };
        let env = [
            ("PLAUDIT_GITHUB_SECRET", "hush,"),
            ("PLAUDIT_GITLAB_SIGNING_TOKEN", "whsec_!"),
            ("PLAUDIT_API_TOKENS", "  "),
        ];
        let InvalidConfig(faults) = read(&env, &flags).unwrap_err();
        let variables: Vec<_> = faults.iter().map(|f| f.split(':').next().unwrap()).collect();
        let expected = [
            "PLAUDIT_LISTEN",
            "PLAUDIT_STORE",
            "PLAUDIT_GITHUB_SECRET",
            "PLAUDIT_GITLAB_SIGNING_TOKEN",
            "PLAUDIT_API_TOKENS",
            "PLAUDIT_OPEN_API",
            "PLAUDIT_MILESTONES",
            "PLAUDIT_DRAIN_AUDIENCE",
        ];
        assert_eq!(variables, expected);
        assert!(!faults.concat().contains("hush"));
    }

    #[test]
    fn cloud_run_listens_on_its_port_and_is_refused_a_ledger_in_memory() {
        let env = [("PORT", "9000"), ("K_SERVICE", "plaudit")];
        assert_eq!(read(&env, &Flags::default()).unwrap_err().0.len(), 1);
        let config = read(&env, &Flags { store: Some("firestore:demo".into()), ..Flags::default() }).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:9000");
        assert!(!config.public_read);
    }

    #[test]
    fn a_file_holds_one_secret_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one, with a comma\ntwo\n").unwrap();
        let path = file.path().to_str().unwrap();
        let config = read(&[("PLAUDIT_GITHUB_SECRET_FILE", path)], &Flags::default()).unwrap();
        let secrets: Vec<_> = config.hosts.github.iter().map(Secret::expose).collect();
        assert_eq!(secrets, ["one, with a comma", "two"]);
        std::fs::write(file.path(), "one\n\n").unwrap();
        assert!(read(&[("PLAUDIT_GITHUB_SECRET_FILE", path)], &Flags::default()).is_err());
    }
}
