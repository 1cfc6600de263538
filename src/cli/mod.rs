//! The commands, one file each.

pub mod check;
pub mod demo;
pub mod send;
pub mod serve;
pub mod watch;

use std::io::Write as _;
use std::process::ExitCode;

/// What reads the environment.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or configuration: exit code 2.
    Wrong(anyhow::Error),
    /// Wrong usage or configuration, said already: exit code 2.
    WrongTold,
    /// Anything else, not yet said: exit code 1.
    Failed(anyhow::Error),
    /// Anything else, said already: exit code 1.
    Told,
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

    /// Says what is wrong on standard error, unless that is done, and gives the exit code.
    #[must_use]
    pub fn report(self) -> ExitCode {
        let (error, code) = match self {
            Self::Wrong(error) => (error, 2),
            Self::Failed(error) => (error, 1),
            Self::WrongTold => return ExitCode::from(2),
            Self::Told => return ExitCode::from(1),
        };
        let _ = writeln!(std::io::stderr(), "plaudit: {error:#}");
        ExitCode::from(code)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An http or https URL on which paths can be put.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let sound = url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none());
    if sound {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("an http or https URL, for example http://127.0.0.1:8080".into())
    }
}

/// Prints a line on standard output. Whoever stopped reading wants no more of it.
pub(crate) fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
