//! How comments are written, as configured.

use url::Url;

use super::template::Template;
use crate::settings::{AppKey, Secret, SecretSetting, Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[COMMENT, AUDIENCE, TEMPLATE, APP_ID, API, GITLAB_API];

const COMMENT: Setting = Setting {
    variable: "PLAUDIT_COMMENT",
    flag: "comment",
    value: "WHERE",
    example: "true",
    help: "Whether to comment on the pull request or issue that reached the milestone: true (on each host for which \
           there is a credential), github, gitlab or false [default: false]",
};
const AUDIENCE: Setting = Setting {
    variable: "PLAUDIT_COMMENT_FOR",
    flag: "comment-for",
    value: "WHO",
    example: "outsiders",
    help: "Who is thanked in comments: everyone, or outsiders (no owners, members and collaborators) \
           [default: everyone]",
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
const GITLAB_API: Setting = Setting {
    variable: "PLAUDIT_GITLAB_API",
    flag: "gitlab-api",
    value: "URL",
    example: "https://gitlab.com/api/v4",
    help: "Base URL of the GitLab API [default: https://gitlab.com/api/v4]",
};
const TOKEN: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_TOKEN",
    example: "PLAUDIT_GITHUB_TOKEN_FILE=/run/secrets/github-token",
};
const GITLAB_TOKEN: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITLAB_TOKEN",
    example: "PLAUDIT_GITLAB_TOKEN_FILE=/run/secrets/gitlab-token",
};
/// A key is a file, so the example names one.
const APP_KEY: SecretSetting = SecretSetting {
    variable: "PLAUDIT_GITHUB_APP_KEY",
    example: "PLAUDIT_GITHUB_APP_KEY_FILE=/run/secrets/github-app.pem",
};

/// How comments are written, and on which hosts.
#[derive(Clone, Debug)]
pub struct Commenting {
    pub github: Option<GithubComments>,
    pub gitlab: Option<GitlabComments>,
    pub audience: Audience,
    pub template: Template,
}

/// How comments are written on GitHub.
#[derive(Clone, Debug)]
pub struct GithubComments {
    pub credential: GithubCredential,
    /// Base URL of the API.
    pub api: Url,
}

/// The account that plaudit comments with on GitHub.
#[derive(Clone, Debug)]
pub enum GithubCredential {
    Token(Secret),
    App { id: u64, key: AppKey },
}

/// How comments are written on GitLab.
#[derive(Clone, Debug)]
pub struct GitlabComments {
    pub token: Secret,
    /// Base URL of the API.
    pub api: Url,
}

/// Who is thanked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    #[default]
    Everyone,
    /// Whom the host does not call an owner, a member or a collaborator.
    Outsiders,
}

/// Where comments are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nowhere,
    /// On each host for which there is a credential.
    Everywhere,
    OnGithub,
    OnGitlab,
}

/// Reads how comments are written; `None` where they are not wanted.
pub fn settings(settings: &mut Settings<'_>) -> Option<Commenting> {
    let wanted = settings.value(&COMMENT, Wanted::Nowhere, parse_wanted);
    let credential = credential(settings);
    let token = settings.secret(&GITLAB_TOKEN);
    let api = settings.value(&API, public_api(), parse_api);
    let gitlab_api = settings.value(&GITLAB_API, public_gitlab_api(), parse_api);
    let template = settings.value(&TEMPLATE, Template::default(), Template::parse);
    let audience = settings.value(&AUDIENCE, Audience::Everyone, parse_audience);
    let lacking = match (wanted, &credential, &token) {
        (Wanted::Everywhere, Credential::None, None) => Some((GITHUB_OR_GITLAB, TOKEN.example)),
        (Wanted::OnGithub, Credential::None, _) => Some((GITHUB, TOKEN.example)),
        (Wanted::OnGitlab, _, None) => Some((GITLAB, GITLAB_TOKEN.example)),
        _ => None,
    };
    if let Some((wrong, example)) = lacking {
        settings.advise(COMMENT.variable, wrong, example);
    }
    let on = |host| wanted == Wanted::Everywhere || wanted == host;
    let github = match credential {
        Credential::Right(credential) if on(Wanted::OnGithub) => Some(GithubComments { credential, api }),
        _ => None,
    };
    let gitlab =
        token.filter(|_| on(Wanted::OnGitlab)).map(|token| GitlabComments { token, api: gitlab_api });
    let nowhere = github.is_none() && gitlab.is_none();
    (!nowhere).then_some(Commenting { github, gitlab, audience, template })
}

const GITHUB: &str =
    "commenting on GitHub needs PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID with PLAUDIT_GITHUB_APP_KEY";
const GITLAB: &str = "commenting on GitLab needs PLAUDIT_GITLAB_TOKEN";
const GITHUB_OR_GITLAB: &str = "commenting needs PLAUDIT_GITHUB_TOKEN, or PLAUDIT_GITHUB_APP_ID with \
                                PLAUDIT_GITHUB_APP_KEY, or on GitLab PLAUDIT_GITLAB_TOKEN";

fn parse_wanted(text: &str) -> Result<Wanted, String> {
    match text {
        "false" => Ok(Wanted::Nowhere),
        "true" => Ok(Wanted::Everywhere),
        "github" => Ok(Wanted::OnGithub),
        "gitlab" => Ok(Wanted::OnGitlab),
        _ => Err("neither true, github, gitlab nor false".to_owned()),
    }
}

fn parse_audience(text: &str) -> Result<Audience, String> {
    match text {
        "everyone" => Ok(Audience::Everyone),
        "outsiders" => Ok(Audience::Outsiders),
        _ => Err("neither everyone nor outsiders".to_owned()),
    }
}

/// The credential for GitHub as it was given.
enum Credential {
    Right(GithubCredential),
    /// Its fault is noted.
    Wrong,
    None,
}

fn credential(settings: &mut Settings<'_>) -> Credential {
    let token = settings.secret(&TOKEN);
    let key = settings.secret(&APP_KEY);
    let number = |text: &str| text.parse().map(Some).map_err(|_| "not a number".to_owned());
    match (token, settings.value(&APP_ID, None, number), key) {
        (Some(token), _, _) => return Credential::Right(GithubCredential::Token(token)),
        (None, Some(id), Some(key)) => match AppKey::parse(key.expose()) {
            Ok(key) => return Credential::Right(GithubCredential::App { id, key }),
            Err(wrong) => settings.wrong(&APP_KEY, &wrong),
        },
        (None, Some(_), None) => settings.wrong(&APP_KEY, "missing beside PLAUDIT_GITHUB_APP_ID"),
        (None, None, Some(_)) => {
            settings.fault(APP_ID.variable, "missing beside PLAUDIT_GITHUB_APP_KEY", APP_ID.example);
        }
        (None, None, None) => return Credential::None,
    }
    Credential::Wrong
}

fn parse_api(text: &str) -> Result<Url, String> {
    Url::parse(text.trim_end_matches('/'))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "not an http or https URL".to_owned())
}

/// The base URL of GitHub's public API.
#[expect(clippy::expect_used, reason = "a constant, parsed by a test below")]
fn public_api() -> Url {
    Url::parse("https://api.github.com").expect("a constant URL")
}

/// The base URL of GitLab's public API.
#[expect(clippy::expect_used, reason = "a constant, parsed by a test below")]
fn public_gitlab_api() -> Url {
    Url::parse("https://gitlab.com/api/v4").expect("a constant URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_apis_are_those_of_github_and_gitlab() {
        assert_eq!(public_api().host_str(), Some("api.github.com"));
        assert_eq!(public_gitlab_api().host_str(), Some("gitlab.com"));
    }
}
