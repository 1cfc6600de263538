//! The commands, one file each.

pub mod check;
pub mod demo;
pub mod send;
pub mod serve;
mod terminal;
pub mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use crate::http::access::is_presentable;
use crate::settings::{Secret, SecretSetting, Setting, Settings};
use crate::telemetry::report_error;

/// Looks up an environment variable.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

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

/// Prints a line on standard output. A closed pipe is no error: its reader wants no more.
pub(crate) fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
