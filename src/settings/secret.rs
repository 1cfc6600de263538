//! Secrets: from their variable or a file, and never shown.

use std::io::ErrorKind;

use super::{Settings, cause, shown};

/// A text that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

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

/// A setting that is a secret: a variable of the environment, or a file that its variable with `_FILE` names.
#[derive(Clone, Copy, Debug)]
pub struct SecretSetting {
    pub variable: &'static str,
    /// What follows "for example" where it is wrong: the variable or its file, and a right value.
    pub example: &'static str,
}

/// Whether one secret is expected or several, which a comma or a line's end separates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    Several,
}

/// A secret's text as it was given.
struct Given {
    text: String,
    from_file: bool,
}

impl Settings<'_> {
    /// One secret.
    pub fn secret(&mut self, setting: &SecretSetting) -> Option<Secret> {
        self.sound(setting, Form::One).pop()
    }

    /// Secrets of any form.
    pub fn secret_list(&mut self, setting: &SecretSetting) -> Vec<Secret> {
        self.sound(setting, Form::Several)
    }

    /// Secrets, each parsed by `parse`; none at all if one of them is wrong.
    pub fn secrets<T>(
        &mut self,
        setting: &SecretSetting,
        wrong: &str,
        parse: impl Fn(Secret) -> Option<T>,
    ) -> Vec<T> {
        let secrets = self.secret_list(setting);
        secrets.into_iter().map(parse).collect::<Option<Vec<T>>>().unwrap_or_else(|| {
            self.wrong(setting, wrong);
            Vec::new()
        })
    }

    /// The secrets that were given, if none of them has a fault that any secret can have.
    fn sound(&mut self, setting: &SecretSetting, form: Form) -> Vec<Secret> {
        let Some(given) = self.given(setting) else { return Vec::new() };
        let secrets = parts(given, form);
        match secrets.iter().find_map(|secret| fault_of(secret)) {
            None => secrets.into_iter().map(Secret::new).collect(),
            Some(wrong) => {
                self.wrong(setting, wrong);
                Vec::new()
            }
        }
    }

    /// The text of the variable, or of the file that `…_FILE` names.
    fn given(&mut self, setting: &SecretSetting) -> Option<Given> {
        let variable = setting.variable;
        let file_variable = format!("{variable}_FILE");
        match ((self.env)(variable), (self.env)(&file_variable)) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let wrong = format!("set it or {file_variable}, not both");
                self.advise(variable, &wrong, &format!("{file_variable}=/run/secrets/plaudit"));
                None
            }
            (Some(value), None) if value.contains(char::REPLACEMENT_CHARACTER) => {
                self.wrong(setting, "not text in UTF-8");
                None
            }
            // A value that was written by `echo` ends in a line break.
            (Some(value), None) => {
                Some(Given { text: value.strip_suffix('\n').unwrap_or(&value).to_owned(), from_file: false })
            }
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(Given { text: lines_of(&text), from_file: true }),
                Err(error) => {
                    self.fault(&file_variable, &unreadable(&path, &error), "/run/secrets/plaudit");
                    None
                }
            },
        }
    }

    /// Notes a fault of a secret.
    pub fn wrong(&mut self, setting: &SecretSetting, wrong: &str) {
        self.advise(setting.variable, wrong, setting.example);
    }
}

/// Why a secret's file cannot be read, and what to do. Only a whole path is shown: anything else may be the secret
/// itself, set as the wrong variable.
fn unreadable(path: &str, error: &std::io::Error) -> String {
    let file = if path.starts_with('/') { shown(path) } else { "the file".to_owned() };
    let (why, advice) = match error.kind() {
        ErrorKind::InvalidData => ("it is not text in UTF-8".to_owned(), "write the secret into it again"),
        ErrorKind::PermissionDenied => (cause(error), "let the user that plaudit runs as read it"),
        ErrorKind::IsADirectory => (cause(error), "name the file in it"),
        _ => (cause(error), "write the path of the file that holds the secret"),
    };
    format!("{file} cannot be read: {why}; {advice}")
}

fn parts(given: Given, form: Form) -> Vec<String> {
    let Given { text, from_file } = given;
    if form == Form::Several && from_file {
        return text.split('\n').map(str::to_owned).collect();
    }
    if form == Form::Several && text.contains(',') {
        // A carriage return is kept, so that the check reports it.
        let space = |c: char| c.is_whitespace() && c != '\r';
        return text.split(',').map(|part| part.trim_matches(space).to_owned()).collect();
    }
    vec![text]
}

/// How many characters a secret has at least.
const SHORTEST: usize = 8;

/// What is wrong with a secret, whatever it is for.
fn fault_of(secret: &str) -> Option<&'static str> {
    let quoted = |quote: char| secret.len() > 1 && secret.starts_with(quote) && secret.ends_with(quote);
    if secret.trim().is_empty() {
        Some("a secret is empty or only white space, which would check nothing")
    } else if secret.ends_with('\r') {
        Some("a secret ends in a carriage return, which the other side does not have")
    } else if quoted('"') || quoted('\'') {
        Some("a secret is in quotes, which would be part of it: remove them")
    } else if secret.chars().count() < SHORTEST {
        Some("a secret is shorter than 8 characters, which can be guessed")
    } else {
        None
    }
}

/// A file's text without the byte order mark and the last line's end; lines may end in CR LF.
fn lines_of(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, InvalidConfig, Settings};
    use super::{Secret, SecretSetting};

    const SETTING: SecretSetting =
        SecretSetting { variable: "SECRET", example: "SECRET=\"a long random text\"" };

    fn read(variable: &str, value: &str) -> Result<Vec<String>, InvalidConfig> {
        let flags = Flags::default();
        let env = |name: &str| (name == variable).then(|| value.to_owned());
        let mut settings = Settings::new(&flags, &env);
        let secrets = settings.secret_list(&SETTING);
        settings.finish(secrets.iter().map(|secret: &Secret| secret.expose().to_owned()).collect())
    }

    #[test]
    fn a_file_holds_one_secret_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for text in
            ["number one, with a comma\nnumber two\n", "\u{feff}number one, with a comma\r\nnumber two\r\n"]
        {
            std::fs::write(path, text).unwrap();
            assert_eq!(read("SECRET_FILE", path).unwrap(), ["number one, with a comma", "number two"]);
        }
        std::fs::write(path, "number one\n\n").unwrap();
        assert!(read("SECRET_FILE", path).is_err());
    }

    #[test]
    fn a_secret_that_protects_nothing_or_matches_nothing_is_refused() {
        for value in [
            "7 chars",
            "\"in-double-quotes\"",
            "'in-single-quotes'",
            "ends-in-return\r",
            "both-ends\r,two-of-them",
        ] {
            let InvalidConfig(faults) = read("SECRET", value).unwrap_err();
            assert_eq!(faults.len(), 1, "{value:?}");
            assert!(
                faults.iter().all(|fault| fault.starts_with("SECRET: ") && !fault.contains(value.trim())),
                "{faults:?}"
            );
        }
        for value in ["12345678", "in \" quotes \"?", "ends-in-newline\n", "number one, number two"] {
            assert!(read("SECRET", value).is_ok(), "{value:?}");
        }
    }
}
