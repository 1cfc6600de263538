mod flags;
mod read;
mod secrets;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::Milestones;
use crate::hosts::Rules;

pub use flags::Flags;
use read::{Reader, parse_publish};
pub use secrets::{HostSecrets, Secret, signing_key};

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

/// How comments are written.
#[derive(Clone, Debug)]
pub struct Commenting {
    /// As whom.
    pub credential: GithubCredential,
    /// Base URL of the GitHub API.
    pub api: url::Url,
    /// The comment's text, with placeholders.
    pub template: crate::publish::comment::Template,
}

/// As whom plaudit speaks to GitHub.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum GithubCredential {
    Token(Secret),
    App { id: u64, key: crate::publish::comment::AppKey },
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
