//! GitHub's history through its API: GraphQL, and REST for what GraphQL lacks.
//! <https://docs.github.com/en/graphql/reference/objects#repository>
//!
//! What the API answers is made into the payloads of webhooks, and these are read as deliveries are.

mod commits;
mod items;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::commits::{COMMITS, Commits};
use self::items::{ISSUES, Items, PULL_REQUESTS};
use super::{app, read};
use crate::domain::{Kind, Moment, RepositoryId, Site};
use crate::hosts::api::{Answer, ApiError};
use crate::hosts::history::{self, From, History, OpenHistory, Pages, Repository, Source};
use crate::hosts::origin::Unread;
use crate::hosts::patient::Patient;
use crate::hosts::{Payload, Rules};
use crate::settings::Setting;

/// How many things a page has; GitHub gives no more.
/// <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api#node-limit>
const PAGE: usize = 100;

pub(in crate::hosts) const HISTORY: Source = Source {
    api: Setting {
        variable: "PLAUDIT_GITHUB_API",
        flag: "github-api",
        value: "URL",
        example: "https://api.github.com",
        help: "Base URL of the GitHub API [default: https://api.github.com]",
    },
    public_api: "https://api.github.com",
    permission: "a classic token with the scope repo (public_repo for public repositories), or a fine-grained one \
                 with Metadata, Contents, Issues and Pull requests: read, or a GitHub App with the same",
    instead: app::reader,
    open: OPEN,
};
const OPEN: OpenHistory = |patient, name, rules| Ok(Box::new(GitHub::of(patient, name, rules.clone())?));

/// The repositories of an owner, or one of them.
pub(super) struct GitHub {
    patient: Patient,
    owner: String,
    repository: Option<String>,
    rules: Rules,
}

/// A repository as GraphQL names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    database_id: u64,
    name_with_owner: String,
    url: String,
    is_private: bool,
    visibility: String,
    is_fork: bool,
    default_branch_ref: Option<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

impl Node {
    /// The repository as it is in payloads.
    fn repository(&self) -> Result<Repository, ApiError> {
        let site = Site::of_repository(&self.url, &self.name_with_owner).map_err(|error| {
            ApiError::Lasting(format!("GitHub answers with the URL {}: {error}", self.url))
        })?;
        Ok(Repository {
            name: self.name_with_owner.clone(),
            id: RepositoryId::on_host(&site.host, self.database_id).to_string(),
            json: json!({
                "id": self.database_id,
                "full_name": self.name_with_owner,
                "html_url": self.url,
                "private": self.is_private,
                "visibility": self.visibility.to_lowercase(),
                "fork": self.is_fork,
                "default_branch": self.default_branch_ref.as_ref().map(|branch| &branch.name),
            }),
        })
    }
}

/// A part of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<T> {
    #[serde(default)]
    total_count: Option<u64>,
    page_info: PageInfo,
    nodes: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl PageInfo {
    /// Where the next page begins, unless this is the last.
    fn next(self) -> Option<String> {
        self.end_cursor.filter(|_| self.has_next_page)
    }
}

/// The fields of [`Node`].
const REPOSITORY: &str = "databaseId nameWithOwner url isPrivate visibility isFork defaultBranchRef { name }";

impl GitHub {
    fn of(patient: Patient, name: &str, rules: Rules) -> Result<Self, String> {
        let sound = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let (owner, repository) = match name.split_once('/') {
            Some((owner, repository)) => (owner, Some(repository)),
            None => (name, None),
        };
        if !sound(owner) || !repository.is_none_or(sound) {
            return Err(format!(
                "{name:?} is neither OWNER nor OWNER/REPO, for example octocat or octocat/hello"
            ));
        }
        Ok(Self { patient, owner: owner.to_owned(), repository: repository.map(str::to_owned), rules })
    }

    /// What a query answers.
    async fn query<T: DeserializeOwned>(&self, query: &str, variables: Value) -> Result<T, ApiError> {
        #[derive(Deserialize)]
        #[serde(bound = "T: DeserializeOwned")]
        struct Reply<T> {
            data: Option<T>,
        }
        // Beside `/api/v3` on Enterprise Server.
        let path = if self.patient.api.base().ends_with("/v3") { "/../graphql" } else { "/graphql" };
        let body = json!({"query": query, "variables": variables});
        let read = |answer: &Answer| {
            if !answer.status.is_success() {
                return Err(self.explain(answer));
            }
            match self.patient.api.read::<Errors>(answer)?.errors.first() {
                Some(error) => Err(self.explain_error(error)),
                None => self
                    .patient
                    .api
                    .read::<Reply<T>>(answer)?
                    .data
                    .ok_or_else(|| ApiError::Passing("GitHub answers without data".into())),
            }
        };
        self.patient.ask(Method::POST, path, Some(&body), read).await
    }

    /// What this run is about, for messages.
    fn name(&self) -> String {
        let repository = self.repository.as_ref().map(|repository| format!("/{repository}"));
        format!("{}{}", self.owner, repository.unwrap_or_default())
    }

    /// Why GitHub refuses a request, and what to do.
    fn explain(&self, answer: &Answer) -> ApiError {
        let (name, status, text) = (self.name(), answer.status, self.patient.api.text_of(answer));
        let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        ApiError::Lasting(if status == StatusCode::UNAUTHORIZED {
            format!(
                "GitHub answers 401 ({text}): the token is wrong or expired; set PLAUDIT_GITHUB_TOKEN to another"
            )
        } else if refused && answer.header("x-github-sso").is_some() {
            format!(
                "{name} uses single sign-on: authorise the token for it in the account's settings ({text})"
            )
        } else if refused {
            format!(
                "GitHub shows {name} to this token not at all, or not enough of it ({text}): it takes {}",
                HISTORY.permission
            )
        } else {
            format!("GitHub answers {}: {text}", status.as_u16())
        })
    }

    /// The same for an error of GraphQL, which is answered with 200.
    fn explain_error(&self, error: &GraphError) -> ApiError {
        let (name, text) = (self.name(), self.patient.api.shown(&error.message));
        match error.kind.as_deref() {
            Some("NOT_FOUND") => self.unknown(),
            Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => ApiError::Lasting(format!(
                "the token may not read all of {name} ({text}): it takes {}",
                HISTORY.permission
            )),
            // A query that took too long is answered so, without a type.
            None => ApiError::Passing(format!("GitHub answers: {text}")),
            Some(_) => ApiError::Lasting(format!("GitHub answers: {text}")),
        }
    }

    fn unknown(&self) -> ApiError {
        ApiError::Lasting(format!(
            "GitHub knows no {} that this token can see: check the name, and that the token may read it",
            self.name()
        ))
    }

    /// The payload that a delivery of this event would be.
    fn payload(&self, event: &str, body: &Value, now: Moment) -> Result<Payload, ApiError> {
        read::payload(event, &body.to_string(), &self.rules, now)
            .or_else(Unread::payload)
            .map_err(|error| ApiError::Lasting(format!("GitHub's answer is not as documented: {error}")))
    }
}

#[derive(Deserialize)]
struct One {
    repository: Option<Node>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owned {
    repository_owner: Option<Repositories>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Connection<Node>,
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<GraphError>,
}

#[derive(Deserialize)]
struct GraphError {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    message: String,
}

#[async_trait]
impl History for GitHub {
    /// Of an owner all that the token sees, archived and private ones too; forks only where they count.
    async fn repositories(&self) -> Result<Vec<Repository>, ApiError> {
        if let Some(notice) = history::notice(&self.rules) {
            self.patient.say(notice);
        }
        if let Some(name) = &self.repository {
            let query = format!(
                "query Repository($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{ {REPOSITORY} }} }}"
            );
            let one: One = self.query(&query, json!({"owner": self.owner, "name": name})).await?;
            return Ok(vec![one.repository.ok_or_else(|| self.unknown())?.repository()?]);
        }
        let query = format!(
            "query Repositories($owner: String!, $after: String) {{ repositoryOwner(login: $owner) {{ \
             repositories(first: {PAGE}, after: $after, ownerAffiliations: OWNER, orderBy: {{field: NAME, direction: ASC}}) {{ \
             pageInfo {{ hasNextPage endCursor }} nodes {{ {REPOSITORY} }} }} }} }}"
        );
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page: Owned = self.query(&query, json!({"owner": self.owner, "after": after})).await?;
            let page = page.repository_owner.ok_or_else(|| self.unknown())?.repositories;
            let counts = |node: &&Node| self.rules.forks || !node.is_fork;
            for node in page.nodes.iter().filter(counts) {
                found.push(node.repository()?);
            }
            after = page.page_info.next();
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    fn parts(&self) -> Vec<&'static str> {
        let kinds = [(PULL_REQUESTS, Kind::PULL_REQUEST), (ISSUES, Kind::ISSUE)];
        let items = kinds.into_iter().filter(|(_, kind)| self.rules.counts(kind)).map(|(part, _)| part);
        items.chain(history::reads_commits(&self.rules).then_some(COMMITS)).collect()
    }

    fn read<'a>(&'a self, repository: &'a Repository, part: &'static str, from: From) -> Box<dyn Pages + 'a> {
        if part == COMMITS {
            return Box::new(Commits::new(self, repository, from));
        }
        Box::new(Items::new(self, repository, part, from))
    }

    fn calls(&self) -> u64 {
        self.patient.calls()
    }
}
