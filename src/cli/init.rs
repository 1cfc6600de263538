//! `plaudit init`: sets up a host's webhook, and finds out whether its deliveries arrive.
//!
//! The secret is durable in a file before the webhook has it, so that no webhook is left with a secret that is lost.

mod outcome;
mod secret;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};
use url::Url;

use self::outcome::Outcome;
use self::secret::SecretFile;
use super::{Failure, base_url, say, without_slips};
use crate::hosts::{Api, ApiError, KNOWN, Known, Set, Webhook, Webhooks};
use crate::runtime::{Backoff, is_loopback, random_key};
use crate::settings::{Environment, Flags, Secret, SecretSetting, Settings};

/// How long to wait in all until a test delivery has been answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a line says that it still waits.
const PROGRESS: Duration = Duration::from_secs(5);
/// The pauses before another test delivery: within [`PATIENCE`] five, as many as GitLab sends in a minute.
const BETWEEN_TESTS: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(8));
/// How often a request is tried again that a host's server fails.
const TRIES: u32 = 4;
const BETWEEN_TRIES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// The arguments of `plaudit init`.
#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "these are the words of --help")]
pub enum Init {
    /// Sets up the webhook of a repository or an organisation, with the token in PLAUDIT_GITHUB_TOKEN.
    ///
    /// The token needs the scope admin:repo_hook (admin:org_hook for an organisation) or, fine-grained, Webhooks:
    /// read and write. Exit code 0 only if plaudit has verified the ping.
    Github {
        /// OWNER/REPO, or an organisation
        #[arg(value_name = "OWNER[/REPO]")]
        name: String,
        /// Base URL of the GitHub API
        #[arg(long, env = "PLAUDIT_GITHUB_API", default_value = "https://api.github.com", value_name = "URL", value_parser = base_url)]
        github_api: String,
        /// File with the webhook's secret, made if it is missing; plaudit reads it as PLAUDIT_GITHUB_SECRET_FILE
        #[arg(
            long,
            env = "PLAUDIT_INIT_SECRET_FILE",
            default_value = "plaudit-github.secret",
            value_name = "FILE"
        )]
        secret_file: PathBuf,
        #[command(flatten)]
        to: To,
    },
    /// Sets up the webhook of a project, with the token in PLAUDIT_GITLAB_TOKEN.
    ///
    /// The token needs the scope api and the role Maintainer. Exit code 0 only if plaudit has verified a test
    /// delivery.
    Gitlab {
        /// The project's path or number, such as group/project
        #[arg(value_name = "PROJECT")]
        name: String,
        /// Base URL of the GitLab API
        #[arg(long, env = "PLAUDIT_GITLAB_API", default_value = "https://gitlab.com/api/v4", value_name = "URL", value_parser = base_url)]
        gitlab_api: String,
        /// File with the webhook's secret, made if it is missing; plaudit reads it as
        /// PLAUDIT_GITLAB_SIGNING_TOKEN_FILE, or before GitLab 19 as PLAUDIT_GITLAB_SECRET_FILE
        #[arg(
            long,
            env = "PLAUDIT_INIT_SECRET_FILE",
            default_value = "plaudit-gitlab.secret",
            value_name = "FILE"
        )]
        secret_file: PathBuf,
        #[command(flatten)]
        to: To,
    },
}

/// Where the host delivers to.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "these are the words of --help")]
pub struct To {
    /// The address at which the host reaches plaudit, such as https://plaudit.example.org
    #[arg(long, env = "PLAUDIT_URL", hide_env_values = true, value_name = "URL", value_parser = base_url)]
    url: String,
}

/// What one run sets up.
struct Plan {
    known: &'static Known,
    /// What the webhook belongs to.
    name: String,
    /// Where it delivers to.
    url: Url,
    file: SecretFile,
    webhooks: Box<dyn Webhooks>,
}

/// Sets up the webhook, and waits for the answer to a test delivery.
pub async fn run(init: Init, env: &Environment) -> Result<(), Failure> {
    let (host, name, api, file, to) = match init {
        Init::Github { name, github_api, secret_file, to } => ("github", name, github_api, secret_file, to),
        Init::Gitlab { name, gitlab_api, secret_file, to } => ("gitlab", name, gitlab_api, secret_file, to),
    };
    let known = KNOWN.iter().find(|known| known.name == host).ok_or_else(|| anyhow!("{host} is unknown"))?;
    let plan = Plan::new(known, name, &api, &file, &to.url, env)?;
    let found = patiently(async || plan.find().await).await?;
    plan.file.keep()?;
    say(format_args!("secret   {}", plan.file.place()));
    let set = patiently(async || plan.set().await).await?;
    plan.report(&set, found.as_ref());
    plan.test(set).await
}

impl Plan {
    fn new(
        known: &'static Known,
        name: String,
        api: &str,
        file: &Path,
        url: &str,
        env: &Environment,
    ) -> Result<Self, Failure> {
        let token = token(&known.setup.token, known.setup.permission, env)?;
        let url = address(known, url, api)?;
        let file = SecretFile::open(file, || (known.setup.secret_of)(random_key()))?;
        let api = Api::new(known.setup.title, api, &token, &file.secret).map_err(Failure::wrong)?;
        let webhooks = (known.setup.open)(api, &name).map_err(|wrong| Failure::wrong(anyhow!("{wrong}")))?;
        Ok(Self { known, name, url, file, webhooks })
    }

    /// The webhook that delivers to this plaudit already.
    async fn find(&self) -> Result<Option<Webhook>, ApiError> {
        let mut found = self.webhooks.find(&self.url).await?;
        if found.len() > 1 {
            let ids: Vec<_> = found.iter().map(|hook| hook.id.to_string()).collect();
            return Err(ApiError::Lasting(format!(
                "{} has {} webhooks for {} ({}): delete all but one ({}), and run this again",
                self.name,
                ids.len(),
                self.url,
                ids.join(", "),
                self.webhooks.page()
            )));
        }
        Ok(found.pop())
    }

    /// Looks again before it creates one: the answer to an earlier try may have been lost.
    async fn set(&self) -> Result<Set, ApiError> {
        let found = self.find().await?;
        self.webhooks.set(&self.url, found.as_ref(), &self.file.secret).await
    }

    fn report(&self, set: &Set, found: Option<&Webhook>) {
        let done = match found {
            None => "created".to_owned(),
            Some(found) if found.wrong.is_empty() => "was right already; its secret is set again".to_owned(),
            Some(found) => format!("corrected: {}", found.wrong.join("; ")),
        };
        say(format_args!("webhook  {} of {} for {}: {done}", set.id, self.name, self.url));
    }

    /// Waits until a test delivery is verified, or until it is clear that it will not be.
    async fn test(&self, mut set: Set) -> Result<(), Failure> {
        let title = self.known.setup.title;
        say(format_args!("ping     waiting for the answer to a test delivery of {title}"));
        let until = Instant::now() + PATIENCE;
        let progress = async {
            loop {
                sleep(PROGRESS).await;
                let left = until.saturating_duration_since(Instant::now()).as_secs();
                say(format_args!("ping     still waiting, for at most {left} s"));
            }
        };
        let tests = async {
            let mut tests = 0;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                let tested = patiently(async || self.webhooks.test(&set, left).await).await?;
                let (outcome, pause) = (Outcome::of(tested), BETWEEN_TESTS.after(tests));
                if !outcome.is_passing() || Instant::now() + pause > until {
                    return Ok::<_, ApiError>(outcome);
                }
                sleep(pause).await;
                tests += 1;
                // What was sent at its creation has had its answer.
                set.created = false;
            }
        };
        let outcome = tokio::select! { outcome = tests => outcome?, never = progress => never };
        if outcome == Outcome::Connected {
            say(format_args!("ping     verified: {title} and plaudit are connected"));
            return Ok(());
        }
        let advice = outcome.advice(title, self.url.as_str(), set.variable, &self.file.path);
        Err(Failure::failed(anyhow!("{advice}")))
    }
}

/// The token for a host's API, and what it must be allowed to do.
pub(super) fn token(setting: &SecretSetting, permission: &str, env: &Environment) -> Result<Secret, Failure> {
    let (flags, get) = (Flags::default(), |name: &str| env.get(name));
    let mut settings = Settings::new(&flags, &get);
    let token = settings.secret(setting);
    let file = format!("{}_FILE", setting.variable);
    if token.is_none() && env.get(setting.variable).or_else(|| env.get(&file)).is_none() {
        settings.wrong(setting, &format!("missing; it takes {permission}"));
    }
    let sound = |token: &Secret| token.expose().trim().bytes().all(|b| b.is_ascii_graphic());
    if !token.as_ref().is_none_or(sound) {
        settings.wrong(setting, "a token is of visible ASCII characters, without white space");
    }
    let token = without_slips(settings.finish(token), env).map_err(Failure::wrong)?;
    token.ok_or_else(|| Failure::wrong(anyhow!("{} is missing", setting.variable)))
}

/// Where the host delivers to.
fn address(known: &Known, base: &str, api: &str) -> Result<Url, Failure> {
    let url = Url::parse(&format!("{base}/webhooks/{}", known.name)).map_err(Failure::wrong)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::wrong(anyhow!(
            "--url has a user name or password in it, which the host would store"
        )));
    }
    if is_loopback(&url) && !Url::parse(api).is_ok_and(|api| is_loopback(&api)) {
        return Err(Failure::wrong(anyhow!(
            "--url {base} is this machine, which {} cannot reach; give the address that the host connects to, or try \
             plaudit out as docs/configuration.md says",
            known.setup.title
        )));
    }
    Ok(url)
}

/// Tries again what fails in passing.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
    let mut failures = 0;
    loop {
        match ask().await {
            Err(ApiError::Passing(_)) if failures + 1 < TRIES => {
                sleep(BETWEEN_TRIES.jittered(failures)).await;
                failures += 1;
            }
            answer => return answer,
        }
    }
}
