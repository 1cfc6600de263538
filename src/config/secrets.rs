//! Secrets: from their variable or a file, never shown, and never empty.

use super::read::Reader;

/// A signing token that nobody has.
const SIGNING_EXAMPLE: &str = "whsec_YW4gZXhhbXBsZSwgYW5kIG5vIHNlY3JldA==";

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

impl Reader<'_> {
    /// One text from the variable, or from the file that `…_FILE` names.
    fn secret_text(&mut self, variable: &str) -> Option<(String, bool)> {
        let file_variable = format!("{variable}_FILE");
        let (value, file) = ((self.env)(variable), (self.env)(&file_variable));
        match (value, file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let wrong = format!("set it or {file_variable}, not both");
                self.advise(variable, &wrong, &format!("{file_variable}=/run/secrets/plaudit"));
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

    pub(super) fn hosts(&mut self) -> HostSecrets {
        HostSecrets {
            github: self.secrets("PLAUDIT_GITHUB_SECRET", "a long random text"),
            gitlab_signing: self.signing_tokens(),
            gitlab_token: self.plain_tokens(),
        }
    }

    /// Secrets that all have the form they need.
    fn sound(
        &mut self,
        variable: &str,
        example: &str,
        is_sound: impl Fn(&str) -> bool,
        wrong: &str,
    ) -> Vec<Secret> {
        let secrets = self.secrets(variable, example);
        if secrets.iter().all(|secret| is_sound(secret.expose())) {
            return secrets;
        }
        self.fault(variable, wrong, example);
        Vec::new()
    }

    /// API tokens: what cannot stand in a header could never be presented.
    pub(super) fn tokens(&mut self) -> Vec<Secret> {
        let presentable =
            |token: &str| token.trim() == token && token.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let wrong = "a token is of visible ASCII characters, with no white space at its ends";
        self.sound("PLAUDIT_API_TOKENS", "a-long-random-text", presentable, wrong)
    }

    /// What the host sends as it is: what cannot stand in a header would never come.
    fn plain_tokens(&mut self) -> Vec<Secret> {
        let sendable = |token: &str| token.trim() == token && !token.contains(char::is_control);
        let wrong = "a header cannot carry white space at its ends, nor control characters";
        self.sound("PLAUDIT_GITLAB_SECRET", "a-long-random-text", sendable, wrong)
    }

    fn signing_tokens(&mut self) -> Vec<Secret> {
        let wrong = "no signing token: whsec_ and then base64, as GitLab shows it once";
        let signs = |token: &str| signing_key(token).is_some();
        self.sound("PLAUDIT_GITLAB_SIGNING_TOKEN", SIGNING_EXAMPLE, signs, wrong)
    }

    pub(super) fn one_secret(&mut self, variable: &str) -> Option<Secret> {
        let (text, _) = self.secret_text(variable)?;
        if text.trim().is_empty() {
            self.fault(variable, "empty or only white space", "\"…\"");
            return None;
        }
        Some(Secret::new(text))
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
