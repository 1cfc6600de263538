//! How comments are written, as configured.

use url::Url;

use super::credential::AppKey;
use super::template::Template;
use crate::settings::{Secret, SecretSetting, Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[COMMENT, TEMPLATE, APP_ID, API];

const COMMENT: Setting = Setting {
    variable: "PLAUDIT_COMMENT",
    flag: "comment",
    value: "BOOL",
    example: "true",
    help: "Whether to comment on the pull request or issue that reached the milestone [default: false]",
};
const TEMPLATE: Setting = Setting {
    variable: "PLAUDIT_COMMENT_TEMPLATE",
    flag: "comment-template",
    value: "TEXT",
    example: "\"Thank you, {contributor}!\"",
    help: "The comment's text, with {contributor}, {milestone}, {tally}, {kind}, {repository} and {title} \
           [default: a short thank-you]",
};
const APP_ID: Setting = Setting {
    variable: "PLAUDIT_GITHUB_APP_ID",
    flag: "github-app-id",
    value: "NUMBER",
    example: "12345",
    help: "Id of the GitHub App that comments; its key is PLAUDIT_GITHUB_APP_KEY [default: none]",
};
const API: Setting = Setting {
    variable: "PLAUDIT_GITHUB_API",
    flag: "github-api",
    value: "URL",
    example: "https://api.github.com",
    help: "Base URL of the GitHub API [default: https://api.github.com]",
};
const TOKEN: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_TOKEN",
    example: "PLAUDIT_GITHUB_TOKEN_FILE=/run/secrets/github-token",
};
/// A key is a file, so the example names one.
const APP_KEY: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_APP_KEY",
    example: "PLAUDIT_GITHUB_APP_KEY_FILE=/run/secrets/github-app.pem",
};

/// How comments are written.
#[derive(Clone, Debug)]
pub struct Commenting {
    pub credential: GithubCredential,
    /// Base URL of the GitHub API.
    pub api: Url,
    pub template: Template,
}

/// The account that plaudit comments with.
#[derive(Clone, Debug)]
pub enum GithubCredential {
    Token(Secret),
    App { id: u64, key: AppKey },
}

/// Reads how comments are written; `None` where they are not wanted.
pub fn settings(settings: &mut Settings<'_>) -> Option<Commenting> {
    let wanted = settings.boolean(&COMMENT, false);
    let credential = credential(settings, wanted);
    let api = settings.value(&API, super::public_api(), parse_api);
    let template = settings.value(&TEMPLATE, Template::default(), Template::parse);
    wanted.then_some(Commenting { credential: credential?, api, template })
}

fn credential(settings: &mut Settings<'_>, wanted: bool) -> Option<GithubCredential> {
    let token = settings.secret(&TOKEN);
    let key = settings.secret(&APP_KEY);
    let number = |text: &str| text.parse().map(Some).map_err(|_| "not a number".to_owned());
    match (token, settings.value(&APP_ID, None, number), key) {
        (Some(token), _, _) => return Some(GithubCredential::Token(token)),
        (None, Some(id), Some(key)) => match AppKey::parse(key.expose()) {
            Ok(key) => return Some(GithubCredential::App { id, key }),
            Err(wrong) => settings.wrong(&APP_KEY, &wrong),
        },
        (None, Some(_), None) => settings.wrong(&APP_KEY, "missing beside PLAUDIT_GITHUB_APP_ID"),
        (None, None, Some(_)) => {
            settings.fault(APP_ID.variable, "missing beside PLAUDIT_GITHUB_APP_KEY", APP_ID.example);
        }
        (None, None, None) if wanted => {
            let wrong =
                "commenting needs PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID with PLAUDIT_GITHUB_APP_KEY";
            settings.advise(COMMENT.variable, wrong, TOKEN.example);
        }
        (None, None, None) => {}
    }
    None
}

fn parse_api(text: &str) -> Result<Url, String> {
    Url::parse(text.trim_end_matches('/'))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "not an http or https URL".to_owned())
}
