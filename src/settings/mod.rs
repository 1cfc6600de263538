//! How one setting is read. What it means is defined where it is used.
//!
//! Every setting is read in the same way: the flag of the command line, else the variable of the environment. A
//! secret is never a flag; it comes from the environment or from the file that its variable with `_FILE` names.

mod app_key;
mod secret;

pub use app_key::AppKey;
pub use secret::{Secret, SecretSetting};

use std::collections::BTreeMap;

/// A setting that is no secret: a flag, and a variable of the environment.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub variable: &'static str,
    /// The flag, without the two dashes.
    pub flag: &'static str,
    /// What `--help` calls its value.
    pub value: &'static str,
    /// A valid value, shown in the error about a wrong one.
    pub example: &'static str,
    /// What `--help` says of it, with its default.
    pub help: &'static str,
}

impl Setting {
    /// The flag as clap knows it, under the variable's name.
    ///
    /// clap reads the variable too, to show it in `--help`; [`Settings`] reads it itself.
    #[must_use]
    pub fn as_flag(&self) -> clap::Arg {
        use clap::builder::{OsStringValueParser, TypedValueParser as _};
        clap::Arg::new(self.variable)
            .long(self.flag)
            .env(self.variable)
            .value_name(self.value)
            .help(self.help)
            .help_heading("Configuration")
            .value_parser(OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned()))
    }
}

/// The flags that were given, by the variable that each overrides.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// Keeps the value of each of `settings` that is on the command line.
    pub fn take<'a>(&mut self, settings: impl Iterator<Item = &'a Setting>, matches: &clap::ArgMatches) {
        for setting in settings {
            let given =
                matches.value_source(setting.variable) == Some(clap::parser::ValueSource::CommandLine);
            let text = matches.get_one::<String>(setting.variable).filter(|_| given);
            self.0.extend(text.map(|text| (setting.variable, text.clone())));
        }
    }
}

/// The variables of the environment; used only by `main` and the commands.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process. Decodes them lossily; [`Settings`] reports the U+FFFD with all other faults.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn of_process() -> Self {
        let text = |word: std::ffi::OsString| word.to_string_lossy().into_owned();
        Self(std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// The names that plaudit would read, if it knew them: `PLAUDIT_…`, without those that Kubernetes sets for a
    /// service called `plaudit`.
    /// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        let kubernetes = |name: &str| {
            // `PLAUDIT_PORT`, `PLAUDIT_PORT_8080_TCP`: anything else is more likely a slip of `PLAUDIT_POST_…`.
            let after_port =
                name.strip_prefix("PLAUDIT_PORT").map(|rest| rest.strip_prefix('_').unwrap_or(rest));
            name.starts_with("PLAUDIT_SERVICE_")
                || after_port.is_some_and(|rest| rest.bytes().next().is_none_or(|byte| byte.is_ascii_digit()))
        };
        let names = self.0.keys().map(String::as_str);
        names.filter(move |name| name.starts_with("PLAUDIT_") && !kubernetes(name))
    }
}

/// Every fault of a configuration at once; never a secret's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is wrong:{}", match .0.as_slice() {
    [one] => format!(" {one}"),
    all => format!("\n  {}", all.join("\n  ")),
})]
pub struct InvalidConfig(pub Vec<String>);

/// Reads settings, and collects what is wrong with them.
///
/// A wrong setting is read as its default, so that reading goes on and all faults are found at once;
/// [`Settings::finish`] returns a value only if there was no fault.
pub struct Settings<'a> {
    flags: &'a Flags,
    env: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl<'a> Settings<'a> {
    #[must_use]
    pub fn new(flags: &'a Flags, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { flags, env, faults: Vec::new() }
    }

    /// What was read, or every fault of it.
    pub fn finish<T>(self, read: T) -> Result<T, InvalidConfig> {
        if self.faults.is_empty() { Ok(read) } else { Err(InvalidConfig(self.faults)) }
    }

    /// Notes a fault of `variable`, and a value that would be right.
    pub fn fault(&mut self, variable: &str, wrong: &str, example: &str) {
        self.advise(variable, wrong, &format!("{variable}={example}"));
    }

    /// Notes a fault of `variable` that another variable corrects.
    pub fn advise(&mut self, variable: &str, wrong: &str, setting: &str) {
        let fault = format!("{variable}: {wrong}; for example {setting}");
        // Several sections may read the same variable.
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// A variable that another program sets, not plaudit's operator: it is no flag, and empty is unset.
    #[must_use]
    pub fn foreign(&self, variable: &str) -> Option<String> {
        (self.env)(variable).filter(|value| !value.is_empty())
    }

    /// Whether the flag or the variable is there at all.
    #[must_use]
    pub fn is_set(&self, setting: &Setting) -> bool {
        self.text(setting).is_some()
    }

    /// The setting's value, or `default` where it is unset or wrong.
    pub fn value<T>(
        &mut self,
        setting: &Setting,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(text) = self.text(setting) else { return default };
        let is_text = !text.contains(char::REPLACEMENT_CHARACTER);
        let refused = |wrong| format!("{} is wrong: {wrong}", shown(&text));
        let read =
            if is_text { parse(text.trim()).map_err(refused) } else { Err("not text in UTF-8".into()) };
        read.unwrap_or_else(|wrong| {
            self.fault(setting.variable, &wrong, setting.example);
            default
        })
    }

    pub fn boolean(&mut self, setting: &Setting, default: bool) -> bool {
        self.value(setting, default, |text| text.parse().map_err(|_| "neither true nor false".into()))
    }

    /// A list separated by commas, without its empty parts.
    pub fn list(&mut self, setting: &Setting, default: &[&str]) -> Vec<String> {
        let parts = |text: &str| {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        self.value(setting, default.iter().map(|part| (*part).to_owned()).collect(), |text| Ok(parts(text)))
    }

    /// Some text, `None` where it is empty.
    pub fn words(&mut self, setting: &Setting) -> Option<String> {
        self.value(setting, None, |text| Ok(Some(text.to_owned()).filter(|text| !text.is_empty())))
    }

    fn text(&self, setting: &Setting) -> Option<String> {
        self.flags.0.get(setting.variable).cloned().or_else(|| (self.env)(setting.variable))
    }
}

/// How much of a wrong value is shown.
const SHOWN: usize = 100;

/// A wrong value, in quotes, on one line.
fn shown(value: &str) -> String {
    let start: String = value.chars().take(SHOWN).collect();
    format!("{start:?}{}", if start.len() < value.len() { "…" } else { "" })
}

/// The innermost cause of an error, in lower case and without the operating system's number.
#[must_use]
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last();
    let text = innermost.unwrap_or(error).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether a text has the form of a Google Cloud project's id.
#[must_use]
pub fn is_google_project(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c))
}
