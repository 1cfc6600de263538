//! Erasing a person.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::access::Peer;
use super::app::App;
use super::list::{Id, QueryNames};
use super::problem::{Problem, ProblemKind};
use crate::domain::ContributorId;
use crate::mailmap::Account;
use crate::store::{Erased, Forgot, StoreError};

/// What was erased. It names nobody.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ForgetAnswer {
    /// Always true.
    forgotten: bool,
    /// How many contributions were erased by this request.
    #[schema(example = 12)]
    contributions: u64,
    /// How many recognitions were erased by this request.
    #[schema(example = 2)]
    recognitions: u64,
    /// How many addresses of a `.mailmap` were dropped by this request.
    #[schema(example = 1)]
    addresses: u64,
}

/// Forgets a contributor.
///
/// For good: contributions, recognitions and what still waits to be published are erased, and only a keyed hash of
/// the name and of the account's number remains, so that a replay of all history brings nothing back. What was
/// published before is out of reach. The same request again erases nothing more. Of somebody whom only a `.mailmap` named,
/// the addresses are dropped, and there is nothing to remember. On SQLite the whole file is
/// written anew, which takes seconds for each GB; deliveries wait meanwhile.
#[utoipa::path(
    delete, path = "/v1/contributors/{id}", operation_id = "forgetContributor", tag = "contributors",
    params(("id" = String, Path, description = "`{host}:{login}` or a plain name, percent-encoded, in upper or lower case.", example = "github:octocat")),
    responses((status = 200, description = "They are forgotten, durably.", body = ForgetAnswer)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken, ProblemKind::Forbidden, ProblemKind::NotFound,
        ProblemKind::KeyNeeded, ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn forget(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Id(id): Id,
    names: QueryNames,
    headers: HeaderMap,
) -> Result<Json<ForgetAnswer>, Problem> {
    app.access.manage(&headers, peer, "forgetting people", "")?;
    names.only(&[])?;
    let unknown = || Problem::not_found("contributor");
    let id = ContributorId::parse(&id).map_err(|_| unknown())?;
    // It goes on to its end where the client does not wait for it.
    let own = Arc::clone(&app);
    let forgetting = app.tasks.spawn(async move {
        let (found, others) = tokio::try_join!(own.store.contributor(&id), own.store.accounts_of(&id))?;
        if found.is_none() && others.is_empty() {
            // Where they are forgotten already, another account may have the login, and addresses.
            return Ok(match own.store.forget(&id).await? {
                Forgot::Unknown => {
                    let only_there = [Account { id, number: None }];
                    (Forgot::Unknown, own.mailmap.forget(&only_there).await? as u64)
                }
                forgot => (forgot, 0),
            });
        }
        let mut accounts = vec![found.map_or_else(
            || Account { id: id.clone(), number: None },
            |found| Account { id: found.standing.contributor, number: found.user_id },
        )];
        accounts.extend(others.into_iter().map(|other| Account { id: other.id, number: other.number }));
        // First: forgetting writes a SQLite file anew.
        let addresses = own.mailmap.forget(&accounts).await? as u64;
        let forgot = own.store.forget(&id).await?;
        // What is about to be published is looked at again before.
        own.outbox.concealed();
        Ok((forgot, addresses))
    });
    let panicked = |_| Err(StoreError::Broken("forgetting ended without an answer".into()));
    let (forgot, addresses) = forgetting.await.unwrap_or_else(panicked)?;
    let erased = match forgot {
        Forgot::Erased(erased) => erased,
        // Only a .mailmap named them: nothing of them is left.
        Forgot::Unknown if addresses > 0 => Erased::default(),
        Forgot::Unknown => return Err(unknown()),
        Forgot::NoKey => {
            return Err(Problem::new(
                ProblemKind::KeyNeeded,
                "the operator must set PLAUDIT_FORGET_KEY first, by whose hashes plaudit remembers whom to leave out",
            ));
        }
    };
    let Erased { contributions, recognitions } = erased;
    Ok(Json(ForgetAnswer { forgotten: true, contributions, recognitions, addresses }))
}
