//! A running instance, as the commands that read from it see it.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use http::header;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::terminal::escaped;
use super::{Failure, INSTANCE, base_url, no_answer, plain_url, token, without_slips};
use crate::runtime::client_for;
use crate::settings::{Environment, Flags, Secret, Settings};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one answer may take: longer than the instance itself takes for any.
const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_hours(1);
/// The most items that the API answers at once.
const PAGE: usize = 100;

/// Where the instance is.
#[derive(Args, Clone, Debug)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
pub struct Address {
    /// The running instance, which is sent the token in PLAUDIT_TOKEN where that is set
    #[arg(long, env = "PLAUDIT_URL", hide_env_values = true, default_value = INSTANCE, value_name = "URL", value_parser = base_url)]
    from: String,
}

/// What a token must allow.
#[derive(Clone, Copy)]
enum May {
    Read,
    Change,
}

/// A running instance.
pub(super) struct Instance {
    pub(super) url: String,
    token: Option<Secret>,
    client: reqwest::Client,
    patience: Duration,
}

impl Instance {
    pub(super) fn at(address: &Address, env: &Environment) -> Result<Self, Failure> {
        let (flags, get) = (Flags::default(), |name: &str| env.get(name));
        let mut settings = Settings::new(&flags, &get);
        let token = token(&mut settings);
        let token = without_slips(settings.finish(token), env).map_err(Failure::wrong)?;
        let url = address.from.clone();
        let client = client_for(&plain_url(&url)?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()?;
        Ok(Self { url, token, client, patience: PATIENCE })
    }

    /// With an hour for each answer: for what rewrites a whole ledger.
    pub(super) fn patient(mut self) -> Self {
        self.patience = HOUR;
        self
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The JSON at a path; `None` where the instance has nothing there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// What the instance answers to the deletion of what is at a path; `None` where it has nothing there.
    pub(super) async fn delete(&self, path: &str) -> Result<Option<Value>, Failure> {
        self.ask(Method::DELETE, path, None).await
    }

    /// What the instance answers to what is put at a path.
    pub(super) async fn put(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, None).await?.ok_or_else(|| self.too_old())
    }

    /// What the instance answers to a JSON object.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Some(body)).await?.ok_or_else(|| self.too_old())
    }

    fn too_old(&self) -> Failure {
        Failure::failed(anyhow!("{} has no such path; is it of an older version of plaudit?", self.url))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>, Failure> {
        let url = &self.url;
        let may = if method == Method::GET { May::Read } else { May::Change };
        let mut request = self.client.request(method, format!("{url}{path}")).timeout(self.patience);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| no_answer(url, &error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| no_answer(url, &error))?;
        let body: Option<Value> = serde_json::from_slice(&body).ok();
        let text = |field: &str| body.as_ref()?.get(field)?.as_str();
        if status == StatusCode::OK
            && let Some(body) = body
        {
            return Ok(Some(body));
        }
        if status == StatusCode::NOT_FOUND && text("type") == Some("urn:plaudit:problem:not_found") {
            return Ok(None);
        }
        Err(Failure::failed(self.refusal(status, text("detail"), may)))
    }

    /// The items of a list, page by page, at most so many of them; `None` where there is no such list.
    pub(super) async fn list(&self, path: &str, most: usize) -> Result<Option<Vec<Value>>, Failure> {
        let mut next = Some(with_limit(path, most.min(PAGE)));
        let mut items = Vec::new();
        while let Some(path) = next.take().filter(|_| items.len() < most) {
            let Some(page) = self.get(&path).await? else { return Ok(None) };
            let page = self.page_of(page, &path)?;
            items.extend(page.items);
            next = page.next;
        }
        items.truncate(most);
        Ok(Some(items))
    }

    /// One page of a list, and the path of the next one; empty where there is no such list.
    pub(super) async fn page(&self, path: &str) -> Result<Page, Failure> {
        let path = if path.contains("limit=") { path.to_owned() } else { with_limit(path, PAGE) };
        match self.get(&path).await? {
            Some(page) => self.page_of(page, &path),
            None => Ok(Page { items: Vec::new(), next: None }),
        }
    }

    fn page_of(&self, mut page: Value, path: &str) -> Result<Page, Failure> {
        let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
            return Err(Failure::failed(self.refusal(StatusCode::OK, None, May::Read)));
        };
        // Anything but a path of the API could lead the token to another host; the same page again has no end.
        let next = page.get("next").and_then(Value::as_str);
        let next = next.filter(|next| next.starts_with("/v1/") && *next != path).map(str::to_owned);
        Ok(Page { items, next })
    }

    /// Why there is no answer to use, for a person.
    fn refusal(&self, status: StatusCode, detail: Option<&str>, may: May) -> anyhow::Error {
        let url = &self.url;
        let (what, right) = match may {
            May::Read => ("read", "read"),
            May::Change => ("change", "do everything"),
        };
        let set = format!("set PLAUDIT_TOKEN or PLAUDIT_TOKEN_FILE to a token that may {right}");
        match (status, self.has_token()) {
            (StatusCode::UNAUTHORIZED, false) => anyhow!("{url} asks for a token; {set}"),
            (StatusCode::UNAUTHORIZED, true) => {
                anyhow!("{url} does not know the token in PLAUDIT_TOKEN; {set}")
            }
            (StatusCode::FORBIDDEN, _) => anyhow!("the token in PLAUDIT_TOKEN may not {what} {url}; {set}"),
            _ => match detail {
                Some(detail) => anyhow!("{url} answers {status}: {}", escaped(detail)),
                None => anyhow!(
                    "{url} answers {status}, and not as plaudit does; --from takes the address of a running plaudit"
                ),
            },
        }
    }
}

/// A page of a list.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) next: Option<String>,
}

fn with_limit(path: &str, limit: usize) -> String {
    let joined = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joined}limit={limit}")
}

/// An id as one segment of a path.
pub(super) fn segment(id: &str) -> impl std::fmt::Display {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC)
}

/// An answer's fields, or why they cannot be read.
pub(super) fn fields<T: serde::de::DeserializeOwned>(of: &Value) -> Result<T, Failure> {
    T::deserialize(of).map_err(|error| {
        Failure::failed(anyhow!(
            "the instance's answer cannot be read: {error}; is it of another version of plaudit?"
        ))
    })
}
