//! Accounts of one person: linked to one contributor, and apart again.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::{Extension, Json};
use http::HeaderMap;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use super::access::Peer;
use super::app::App;
use super::list::QueryNames;
use super::problem::{Problem, ProblemKind};
use crate::domain::{ContributorId, InvalidContributor, Standing};
use crate::hosts;
use crate::store::{Account, Linked, StoreError, Unlinked};

/// Another account that counts for a contributor.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    /// `{host}:{login}`, or a plain name.
    #[schema(example = "gitlab:octocat")]
    id: String,
    /// The account's number on its host, where that has stated it.
    #[schema(example = 583_231, required = true)]
    user_id: Option<u64>,
    /// True where it was linked, and may be unlinked; false for a former name of an account that its host renamed.
    linked: bool,
}

impl From<Account> for AccountView {
    fn from(Account { id, number, linked }: Account) -> Self {
        Self { id: id.to_string(), user_id: number, linked }
    }
}

/// A contributor's tally after an account was linked.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LinkAnswer {
    /// The account under which contributions arrive.
    #[schema(example = "gitlab:octocat")]
    account: String,
    /// The contributor for whom they count.
    #[schema(example = "github:octocat")]
    contributor: String,
    /// The contributor's tally.
    #[schema(example = 12)]
    tally: u64,
    /// The highest milestone recognized for either.
    #[schema(example = 10)]
    recognized: u64,
}

/// Two contributors that were one.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct UnlinkAnswer {
    account: Side,
    contributor: Side,
}

/// One of two contributors.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Side {
    #[schema(example = "gitlab:octocat")]
    id: String,
    #[schema(example = 4)]
    tally: u64,
    /// The highest milestone recognized, for both together until now.
    #[schema(example = 10)]
    recognized: u64,
}

impl From<Standing> for Side {
    fn from(Standing { contributor, tally, recognized }: Standing) -> Self {
        Self { id: contributor.to_string(), tally, recognized }
    }
}

/// The contributor and the account that a path names.
#[derive(Deserialize)]
pub(super) struct Names {
    id: String,
    account: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed =
            |_| Problem::new(ProblemKind::Malformed, "the ids in the path must be UTF-8, percent-encoded");
        Path::from_request_parts(parts, state).await.map(|Path(names)| names).map_err(malformed)
    }
}

/// Links an account to a contributor.
///
/// What arrived under the account, and what will, counts for the contributor: one tally, and one name in lists and
/// messages. No milestone that either had is recognized again. Either may be unknown yet. The same request again
/// changes nothing. An account that its host renames needs no link: the ledger follows its number.
#[utoipa::path(
    put, path = "/v1/contributors/{id}/accounts/{account}", operation_id = "linkAccount", tag = "contributors",
    params(
        ("id" = String, Path, description = "The contributor whose name is shown: `{host}:{login}` or a plain name, percent-encoded, in upper or lower case.", example = "github:octocat"),
        ("account" = String, Path, description = "The account that is to count for it, named likewise.", example = "gitlab:octocat"),
    ),
    responses((status = 200, description = "The account counts for the contributor, durably.", body = LinkAnswer)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken,
        ProblemKind::Forbidden, ProblemKind::Linked, ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn link(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    path: Names,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Json<LinkAnswer>, Problem> {
    app.access.manage(&headers, peer, "linking accounts", "")?;
    names.only(&[])?;
    let read = |field: &str, text: &str| {
        let id = person(text).map_err(|error| Problem::field(field, error.to_string()))?;
        match hosts::no_person(&id, &app.rules) {
            Some(reason) => Err(Problem::field(field, reason.meaning())),
            None => Ok(id),
        }
    };
    let (contributor, account) = (read("id", &path.id)?, read("account", &path.account)?);
    if account == contributor {
        return Err(Problem::new(ProblemKind::Linked, "both are the same account"));
    }
    // It goes on to its end where the client does not wait for it.
    let (own, linked) = (Arc::clone(&app), account.clone());
    let linking = app.tasks.spawn(async move { own.recorder.link(&linked, &contributor).await });
    let panicked = |_| Err(StoreError::Broken("linking ended without an answer".into()));
    let linked = match linking.await.unwrap_or_else(panicked) {
        Err(StoreError::Refused(_)) => {
            return Err(Problem::field("account", "it, or the contributor, is forgotten"));
        }
        linked => linked?,
    };
    match linked {
        Linked::To(standing) => {
            let Side { id, tally, recognized } = standing.into();
            Ok(Json(LinkAnswer { account: account.to_string(), contributor: id, tally, recognized }))
        }
        Linked::Same(contributor) => {
            Err(Problem::new(ProblemKind::Linked, format!("both are {contributor} already")))
        }
        Linked::Elsewhere(contributor) => Err(Problem::new(
            ProblemKind::Linked,
            format!("{account} is linked to {contributor}; unlink it first"),
        )),
    }
}

/// Unlinks an account.
///
/// What arrived under it counts for it again. Both keep the highest milestone that they had together, so nothing is
/// recognized twice.
#[utoipa::path(
    delete, path = "/v1/contributors/{id}/accounts/{account}", operation_id = "unlinkAccount", tag = "contributors",
    params(
        ("id" = String, Path, description = "The contributor, as `GET /v1/contributors/{id}` names it.", example = "github:octocat"),
        ("account" = String, Path, description = "One of its `accounts` that is linked.", example = "gitlab:octocat"),
    ),
    responses((status = 200, description = "The account counts for itself, durably.", body = UnlinkAnswer)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken,
        ProblemKind::Forbidden, ProblemKind::NotFound, ProblemKind::Linked, ProblemKind::Internal,
        ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn unlink(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    path: Names,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Json<UnlinkAnswer>, Problem> {
    app.access.manage(&headers, peer, "unlinking accounts", "")?;
    names.only(&[])?;
    let unknown = || Problem::not_found("link");
    let read = |text: &str| ContributorId::parse(text).map_err(|_| unknown());
    let (contributor, account) = (read(&path.id)?, read(&path.account)?);
    let accounts = app.store.accounts_of(&contributor).await?;
    if accounts.iter().all(|one| one.id != account) {
        return Err(unknown());
    }
    let (own, apart) = (Arc::clone(&app), account.clone());
    let unlinking = app.tasks.spawn(async move {
        let unlinked = own.store.unlink(&apart).await;
        // What is about to be published may name the contributor.
        own.outbox.concealed();
        unlinked
    });
    let panicked = |_| Err(StoreError::Broken("unlinking ended without an answer".into()));
    match unlinking.await.unwrap_or_else(panicked)? {
        Unlinked::Apart { account, contributor } => {
            Ok(Json(UnlinkAnswer { account: account.into(), contributor: contributor.into() }))
        }
        Unlinked::NotLinked => Err(unknown()),
        Unlinked::FormerName(contributor) => {
            let why = "its host gave one account both names";
            Err(Problem::new(
                ProblemKind::Linked,
                format!("{account} is a former name of {contributor}: {why}"),
            ))
        }
    }
}

/// An id as clients name it, or that of an account whose login another one had before.
fn person(text: &str) -> Result<ContributorId, InvalidContributor> {
    match ContributorId::parse(text) {
        Ok(id) if id.is_numbered() => Ok(id),
        _ => ContributorId::of_client(text),
    }
}
