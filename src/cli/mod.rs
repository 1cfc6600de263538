//! The commands, one file each.

pub mod backfill;
pub mod check;
pub mod completions;
pub mod demo;
pub mod export;
pub mod forget;
pub mod import;
pub mod init;
pub mod instance;
pub mod link;
pub mod reconcile;
pub mod retract;
pub mod send;
pub mod serve;
pub mod show;
mod terminal;
pub mod top;
pub mod unlink;
pub mod watch;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};

use crate::config::{self, Config};
use crate::http::access::is_presentable;
pub(crate) use crate::settings::cause;
use crate::settings::{Environment, Flags, InvalidConfig, Secret, SecretSetting, Setting, Settings};
use crate::telemetry::report_error;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration: exit code 2.
    Wrong(anyhow::Error),
    /// Wrong usage or configuration, already logged: exit code 2.
    WrongLogged,
    /// Anything else: exit code 1.
    Failed(anyhow::Error),
    /// Anything else, already logged: exit code 1.
    Logged,
}

impl Failure {
    /// Wrong usage or configuration.
    pub fn wrong(error: impl Into<anyhow::Error>) -> Self {
        Self::Wrong(error.into())
    }

    /// Anything else.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// Prints the error on standard error, unless it is logged already, and returns the exit code.
    #[must_use]
    pub fn report(self) -> ExitCode {
        let (error, code) = match self {
            Self::Wrong(error) => (error, 2),
            Self::Failed(error) => (error, 1),
            Self::WrongLogged => return ExitCode::from(2),
            Self::Logged => return ExitCode::from(1),
        };
        report_error(format_args!("{error:#}"));
        ExitCode::from(code)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An http or https URL that paths can be appended to.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let sound = url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none());
    if sound {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("an http or https URL, for example http://127.0.0.1:8080".into())
    }
}

/// The URL of an instance, which messages show: so it may hold no password.
pub(crate) fn plain_url(base: &str) -> Result<url::Url, Failure> {
    let url = url::Url::parse(base).map_err(Failure::wrong)?;
    if url.username().is_empty() && url.password().is_none() {
        return Ok(url);
    }
    Err(Failure::wrong(anyhow::anyhow!(
        "the instance's URL has a user name or password in it; set PLAUDIT_TOKEN or PLAUDIT_TOKEN_FILE to the token instead"
    )))
}

/// The variables that only clients read.
const OF_CLIENTS: [&str; 9] = [
    URL.variable,
    TOKEN.variable,
    "PLAUDIT_TOKEN_FILE",
    "PLAUDIT_SEND_HOST",
    "PLAUDIT_SEND_EVENT",
    "PLAUDIT_WATCH_SUBSCRIPTION",
    "PLAUDIT_WATCH_EXEC",
    "PLAUDIT_WATCH_COUNT",
    "PLAUDIT_INIT_SECRET_FILE",
];

/// The configuration of the service, and the names of variables that plaudit does not know.
pub(crate) struct Configured {
    pub(crate) config: Config,
    pub(crate) unknown: Vec<String>,
}

/// The variables that plaudit does not know.
#[derive(Default)]
struct Unknown {
    /// What is wrong with those that have nearly the name of a known one, whose value would be missing silently.
    slips: Vec<String>,
    /// The names of all others, which may belong to another program.
    others: Vec<String>,
}

impl Unknown {
    fn among(env: &Environment) -> Self {
        let mut known = config::variables();
        known.extend(OF_CLIENTS.map(str::to_owned));
        let mut unknown = Self::default();
        for name in env.own_names().filter(|name| !known.contains(*name)) {
            match nearest(name, &known) {
                Some(meant) => unknown
                    .slips
                    .push(format!("{name}: there is no such variable; the nearest one is {meant}")),
                None => unknown.others.push(name.to_owned()),
            }
        }
        unknown
    }
}

/// What was read, unless a variable has nearly the name of a known one.
pub(crate) fn without_slips<T>(
    read: Result<T, InvalidConfig>,
    env: &Environment,
) -> Result<T, InvalidConfig> {
    refuse_slips(read, Unknown::among(env).slips)
}

fn refuse_slips<T>(read: Result<T, InvalidConfig>, mut slips: Vec<String>) -> Result<T, InvalidConfig> {
    match read {
        Ok(read) if slips.is_empty() => Ok(read),
        Ok(_) => Err(InvalidConfig(slips)),
        Err(InvalidConfig(mut faults)) => {
            faults.append(&mut slips);
            Err(InvalidConfig(faults))
        }
    }
}

/// Reads the configuration of the service.
pub(crate) fn configured(flags: &Flags, env: &Environment) -> Result<Configured, InvalidConfig> {
    let Unknown { slips, others } = Unknown::among(env);
    let config = refuse_slips(Config::read(flags, &|name| env.get(name)), slips)?;
    Ok(Configured { config, unknown: others })
}

/// How many letters a slip may change.
const SLIP: usize = 2;

/// The known variable that differs from `name` by a slip: by few letters, and less than half of what is its own.
fn nearest<'k>(name: &str, known: &'k BTreeSet<String>) -> Option<&'k String> {
    let own = |name: &str| name.len().saturating_sub("PLAUDIT_".len());
    let distances = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    nearest.filter(|(distance, _)| *distance <= SLIP && distance * 2 < own(name)).map(|(_, known)| known)
}

/// What is wrong where an unknown flag would be a secret: a command line is visible to everyone on the machine.
#[must_use]
pub fn secret_as_flag(error: &clap::Error) -> Option<Failure> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let words = flag.strip_prefix("--")?.split('=').next()?;
    let variable = format!("PLAUDIT_{}", words.to_uppercase().replace('-', "_"));
    let file = format!("{variable}_FILE");
    let is_secret = config::variables().contains(&file) || OF_CLIENTS.contains(&file.as_str());
    is_secret.then(|| {
        let shown = "everyone on the machine can read a command line";
        Failure::wrong(anyhow::anyhow!("--{words} is no flag, because {shown}; set {variable} or {file}"))
    })
}

/// The default instance of a client.
pub(crate) const INSTANCE: &str = "http://127.0.0.1:8080";

const URL: Setting = Setting {
    variable: "PLAUDIT_URL",
    flag: "from",
    value: "URL",
    example: INSTANCE,
    help: "URL of the instance",
};

/// The instance that a client connects to.
pub(crate) fn url(settings: &mut Settings<'_>) -> String {
    settings.value(&URL, INSTANCE.to_owned(), base_url)
}

/// The token that a client sends.
const TOKEN: SecretSetting =
    SecretSetting { variable: "PLAUDIT_TOKEN", example: "PLAUDIT_TOKEN_FILE=/run/secrets/plaudit-token" };

/// The token that a client presents, where one is set.
pub(crate) fn token(settings: &mut Settings<'_>) -> Option<Secret> {
    let token = settings.secret(&TOKEN)?;
    if !is_presentable(&token) {
        settings.wrong(&TOKEN, "a token is of visible ASCII characters, with no white space at its ends");
    }
    Some(token)
}

/// Why an instance gave no answer, for a person.
pub(crate) fn no_answer(url: &str, error: &reqwest::Error) -> anyhow::Error {
    anyhow::anyhow!("{url} does not answer: {}; is `plaudit serve` running there?", cause(error))
}

/// Prints what a command is run for on standard output. A closed pipe is no error: its reader wants no more.
pub(crate) fn print_out(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(anyhow::anyhow!("standard output cannot be written: {}", cause(&error))))
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard output. A closed pipe is no error: its reader wants no more.
pub(crate) fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
