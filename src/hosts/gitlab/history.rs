//! GitLab's history through its REST API.
//! <https://docs.gitlab.com/api/rest/>
//!
//! What the API answers is made into the payloads of webhooks, and these are read as deliveries are.

mod commits;
mod items;

use async_trait::async_trait;
use chrono::SecondsFormat;
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use self::commits::{COMMITS, Commits};
use self::items::{ISSUES, Items, MERGE_REQUESTS};
use super::read;
use crate::domain::{Kind, Moment, RepositoryId, Site};
use crate::hosts::api::{Answer, ApiError};
use crate::hosts::history::{self, From, History, OpenHistory, Pages, Repository, Source};
use crate::hosts::origin::{Unread, moment};
use crate::hosts::patient::Patient;
use crate::hosts::{Payload, Rules};
use crate::settings::Setting;

/// How many things a page has; GitLab gives no more.
/// <https://docs.gitlab.com/api/rest/#offset-based-pagination>
const PAGE: usize = 100;

pub(in crate::hosts) const HISTORY: Source = Source {
    api: Setting {
        variable: "PLAUDIT_GITLAB_API",
        flag: "gitlab-api",
        value: "URL",
        example: "https://gitlab.com/api/v4",
        help: "Base URL of the GitLab API [default: https://gitlab.com/api/v4]",
    },
    public_api: "https://gitlab.com/api/v4",
    permission: "a token with the scope read_api, whose account may see the project's code and issues",
    instead: |_, _| Ok(None),
    open: OPEN,
};
const OPEN: OpenHistory = |patient, name, rules| Ok(Box::new(GitLab::of(patient, name, rules.clone())?));

/// The projects of a group or an account, or one project.
pub(super) struct GitLab {
    patient: Patient,
    name: String,
    rules: Rules,
}

/// <https://docs.gitlab.com/api/projects/>
#[derive(Deserialize)]
struct Project {
    id: u64,
    path_with_namespace: String,
    web_url: String,
    visibility: String,
    default_branch: Option<String>,
    #[serde(rename = "forked_from_project")]
    forked_from: Option<IgnoredAny>,
    merge_requests_access_level: Option<String>,
    issues_access_level: Option<String>,
    repository_access_level: Option<String>,
}

/// A page of a list.
struct Listed<T> {
    items: Vec<T>,
    /// The number of the next page.
    next: Option<u64>,
    total: Option<u64>,
}

impl Project {
    /// The project as it is in payloads, and beside it the parts that it has.
    fn repository(&self) -> Result<Repository, ApiError> {
        let site = Site::of_repository(&self.web_url, &self.path_with_namespace).map_err(|error| {
            ApiError::Lasting(format!("GitLab answers with the URL {}: {error}", self.web_url))
        })?;
        // https://docs.gitlab.com/api/projects/#project-visibility-level
        let level = match self.visibility.as_str() {
            "public" => 20,
            "internal" => 10,
            _ => 0,
        };
        let is_on = |level: &Option<String>| level.as_deref() != Some("disabled");
        let parts = [
            (MERGE_REQUESTS, is_on(&self.merge_requests_access_level)),
            (ISSUES, is_on(&self.issues_access_level)),
            // A project without a commit has no default branch.
            (COMMITS, is_on(&self.repository_access_level) && self.default_branch.is_some()),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|(_, on)| *on).map(|(part, _)| part).collect();
        Ok(Repository {
            name: self.path_with_namespace.clone(),
            id: RepositoryId::on_host(&site.host, self.id).to_string(),
            json: json!({
                "id": self.id,
                "path_with_namespace": self.path_with_namespace,
                "web_url": self.web_url,
                "visibility_level": level,
                "default_branch": self.default_branch,
                "parts": parts,
            }),
        })
    }
}

impl GitLab {
    fn of(patient: Patient, name: &str, rules: Rules) -> Result<Self, String> {
        let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        if !name.split('/').all(sound) || name.contains("://") {
            return Err(format!(
                "{name:?} is neither a group nor a project, for example my-group or my-group/my-project"
            ));
        }
        Ok(Self { patient, name: name.to_owned(), rules })
    }

    /// What is at a path; `None` if GitLab knows nothing there, as far as the token sees.
    async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ApiError> {
        self.ask(path, |answer| self.patient.api.read(answer)).await
    }

    /// A page of the list at `path`, which has a query.
    async fn list<T: DeserializeOwned>(&self, path: &str, page: u64) -> Result<Option<Listed<T>>, ApiError> {
        let number = |answer: &Answer, name| answer.header(name).and_then(|number| number.parse().ok());
        let read = |answer: &Answer| {
            let items = self.patient.api.read(answer)?;
            Ok(Listed { items, next: number(answer, "x-next-page"), total: number(answer, "x-total") })
        };
        self.ask(&format!("{path}&per_page={PAGE}&page={page}"), read).await
    }

    async fn ask<T>(
        &self,
        path: &str,
        read: impl Fn(&Answer) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        let read = |answer: &Answer| match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => read(answer).map(Some),
            _ => Err(self.explain(answer)),
        };
        self.patient.ask(Method::GET, path, None, read).await
    }

    /// Why GitLab refuses a request, and what to do.
    fn explain(&self, answer: &Answer) -> ApiError {
        let (name, text) = (&self.name, self.patient.api.text_of(answer));
        ApiError::Lasting(match answer.status {
            StatusCode::UNAUTHORIZED => format!(
                "GitLab answers 401 ({text}): the token is wrong or expired; set PLAUDIT_GITLAB_TOKEN to another"
            ),
            StatusCode::FORBIDDEN => {
                format!("the token may not read all of {name} ({text}): it takes {}", HISTORY.permission)
            }
            status => format!("GitLab answers {}: {text}", status.as_u16()),
        })
    }

    fn unknown(&self) -> ApiError {
        ApiError::Lasting(format!(
            "GitLab knows no {} that this token can see: check the name, and that the token may read it",
            self.name
        ))
    }

    /// The projects of the group, or of the account, of that name: of a group those of its subgroups too.
    async fn projects(&self) -> Result<Vec<Project>, ApiError> {
        let name = encoded(&self.name);
        let lists = [
            format!("/groups/{name}/projects?include_subgroups=true&with_shared=false&order_by=id&sort=asc"),
            format!("/users/{name}/projects?order_by=id&sort=asc"),
        ];
        for list in lists {
            let (mut projects, mut page) = (Vec::new(), Some(1));
            while let Some(number) = page {
                let Some(listed) = self.list(&list, number).await? else { break };
                projects.extend(listed.items);
                page = listed.next;
            }
            if page.is_none() {
                return Ok(projects);
            }
        }
        Err(self.unknown())
    }

    /// The payload that a delivery of this event would be.
    fn payload(&self, event: &str, body: &Value, now: Moment) -> Result<Payload, ApiError> {
        read::payload(event, &body.to_string(), &self.rules, now)
            .or_else(Unread::payload)
            .map_err(|error| ApiError::Lasting(format!("GitLab's answer is not as documented: {error}")))
    }
}

/// A part of a path. <https://docs.gitlab.com/api/rest/#namespaced-paths>
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The path of what belongs to a project. Its number stays when it is renamed.
fn path_of(repository: &Repository, rest: &str) -> String {
    let id = repository.json.get("id").and_then(Value::as_u64).unwrap_or_default();
    format!("/projects/{id}/{rest}")
}

/// A time as payloads have it: in whole seconds.
fn in_seconds(time: &str) -> String {
    moment(time).map_or_else(|| time.to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[async_trait]
impl History for GitLab {
    /// Of a group all that the token sees, archived and private ones too; forks only where they count.
    async fn repositories(&self) -> Result<Vec<Repository>, ApiError> {
        if let Some(notice) = history::notice(&self.rules) {
            self.patient.say(notice);
        }
        if self.name.contains('/') || self.name.bytes().all(|b| b.is_ascii_digit()) {
            let project = self.find::<Project>(&format!("/projects/{}", encoded(&self.name))).await?;
            if let Some(project) = project {
                return Ok(vec![project.repository()?]);
            }
        }
        let projects = self.projects().await?;
        let counts = |project: &&Project| self.rules.forks || project.forked_from.is_none();
        projects.iter().filter(counts).map(Project::repository).collect()
    }

    fn parts(&self) -> Vec<&'static str> {
        let kinds = [(MERGE_REQUESTS, Kind::PULL_REQUEST), (ISSUES, Kind::ISSUE)];
        let items = kinds.into_iter().filter(|(_, kind)| self.rules.counts(kind)).map(|(part, _)| part);
        items.chain(history::reads_commits(&self.rules).then_some(COMMITS)).collect()
    }

    fn read<'a>(&'a self, repository: &'a Repository, part: &'static str, from: From) -> Box<dyn Pages + 'a> {
        let parts = repository.json.get("parts").and_then(Value::as_array);
        let is_on = parts.is_some_and(|parts| parts.iter().any(|known| known == part));
        if part == COMMITS {
            return Box::new(Commits::new(self, repository, from, is_on));
        }
        Box::new(Items::new(self, repository, part, from, is_on))
    }

    fn calls(&self) -> u64 {
        self.patient.calls()
    }
}
