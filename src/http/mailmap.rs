//! Whose addresses are that no host knows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::access::Peer;
use super::app::App;
use super::body::{self, Limits, MOST_BATCH};
use super::contributions::{is_json, no_object};
use super::list::QueryNames;
use super::problem::{Problem, ProblemKind};
use crate::domain::{ContributorId, Naming};
use crate::hosts;
use crate::hosts::mailmap::{self, Mapping, NamedAccount, PassedOver};
use crate::mailmap::{Added, MOST};
use crate::store::{Linked, StoreError};

/// How many lines that are passed over the answer names.
const NAMED: usize = 100;

/// What a `.mailmap` changed.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct MailmapAnswer {
    /// How many addresses are new, or belong to another account now.
    #[schema(example = 2)]
    addresses: usize,
    /// How many accounts are linked, now or before: those of lines both of whose addresses are noreply addresses.
    #[schema(example = 1)]
    links: usize,
    /// Lines that say nothing that can be used, at most the first 100.
    passed_over: Vec<Line>,
}

/// A line that is passed over.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Line {
    /// Its number, from 1 on.
    #[schema(example = 7)]
    line: usize,
    /// Why.
    #[schema(example = "the proper address is no noreply address of a host")]
    detail: String,
}

/// A `.mailmap`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMailmap {
    /// Its text, as git documents it: <https://git-scm.com/docs/gitmailmap>
    #[schema(example = "Mona <1+mona@users.noreply.github.com> <mona@example.org>\n")]
    mailmap: String,
}

/// Takes a `.mailmap`.
///
/// From then on, an author whose address stands in a line with a noreply address of the repository's host is credited
/// as that account, unless the host itself names one; where both are noreply addresses, the second account is linked
/// to the first, as by `PUT /v1/contributors/{id}/accounts/{account}`. Lines are added to what was sent before.
/// Addresses are kept as hashes alone. Other instances know them within a minute.
#[utoipa::path(
    post, path = "/v1/mailmap", operation_id = "addMailmap", tag = "contributors",
    request_body = NewMailmap,
    responses((status = 200, description = "It is taken, durably.", body = MailmapAnswer)),
    security((), ("token" = [])),
    extensions(("x-problems" = json!([
        ProblemKind::Malformed, ProblemKind::InvalidFields, ProblemKind::TokenNeeded, ProblemKind::WrongToken,
        ProblemKind::Forbidden, ProblemKind::BodyTooSlow, ProblemKind::BodyTooLarge, ProblemKind::Unsupported, ProblemKind::Internal, ProblemKind::Unavailable
    ]))),
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    names: QueryNames,
    request: Request,
) -> Result<Json<MailmapAnswer>, Problem> {
    let (head, body) = request.into_parts();
    let allowed = app.access.manage(&head.headers, peer, "saying whose addresses are", "");
    if let Err(problem) = allowed.and_then(|()| names.only(&[])).and_then(|()| is_json(&head.headers)) {
        return Err(body::refuse(problem, body, &head.headers).await);
    }
    let limits = Limits { most: MOST_BATCH, ..app.limits };
    let (bytes, _charge) = body::read(body, &head.headers, &limits, &app.budget).await?;
    let NewMailmap { mailmap } = read(&bytes)?;
    let (mappings, mut passed_over) = mailmap::parse(&mailmap);
    let too_many = || {
        let detail = format!("there would be more than {MOST} addresses; nothing was taken");
        Problem::field("mailmap", detail)
    };
    let addresses: BTreeSet<_> = mappings.iter().map(|one| &one.address).collect();
    if addresses.len() > MOST {
        return Err(too_many());
    }
    let accounts = accounts(&app, &mappings).await?;
    let (mappings, forgotten): (Vec<_>, Vec<_>) =
        mappings.into_iter().partition(|one| accounts.contains_key(&one.account));
    passed_over.extend(forgotten.into_iter().map(|one| PassedOver { line: one.line, why: FORGOTTEN }));
    let Added::New(addresses) = app.mailmap.add(&mappings).await? else { return Err(too_many()) };
    let linking = Arc::clone(&app);
    let linked = app.tasks.spawn(async move { link(&linking, mappings, &accounts).await });
    let panicked = |_| Err(StoreError::Broken("linking ended without an answer".into()));
    let (links, refused) = linked.await.unwrap_or_else(panicked)?;
    passed_over.extend(refused);
    passed_over.sort_by_key(|one| one.line);
    passed_over.truncate(NAMED);
    let passed_over = passed_over.into_iter().map(Line::from).collect();
    Ok(Json(MailmapAnswer { addresses, links, passed_over }))
}

fn read(json: &[u8]) -> Result<NewMailmap, Problem> {
    let object: NewMailmap = serde_json::from_slice(json).map_err(|error| {
        if error.is_data() {
            Problem::field("mailmap", "the text of a .mailmap, and no other field")
        } else {
            no_object("the body", &error)
        }
    })?;
    Ok(object)
}

/// Why a line is passed over that names somebody whom the ledger has forgotten.
const FORGOTTEN: &str = "one of its accounts is forgotten";

/// The accounts that the lines name, but for those that are forgotten. An address may have the login that an account had
/// before, or that another one has now, so its number is looked up.
async fn accounts(
    app: &App,
    mappings: &[Mapping],
) -> Result<HashMap<NamedAccount, ContributorId>, StoreError> {
    let named: HashSet<_> = mappings.iter().flat_map(|one| one.other.iter().chain([&one.account])).collect();
    let named: Vec<_> = named.into_iter().cloned().collect();
    let naming = |NamedAccount { id, number }: &NamedAccount| Naming {
        name: id.clone(),
        number: *number,
        stated_at: None,
    };
    let namings: Vec<_> = named.iter().map(naming).collect();
    let found = app.store.accounts_of_addresses(&namings).await?;
    Ok(named.into_iter().zip(found).filter_map(|(named, found)| Some((named, found?))).collect())
}

/// Links the accounts of lines that have two, one after the other: how many, and the lines that cannot be.
async fn link(
    app: &App,
    mappings: Vec<Mapping>,
    accounts: &HashMap<NamedAccount, ContributorId>,
) -> Result<(usize, Vec<PassedOver>), StoreError> {
    let (mut links, mut refused) = (0, Vec::new());
    for Mapping { line, account, other, .. } in mappings {
        let Some(other) = other else { continue };
        let (Some(account), Some(other)) = (accounts.get(&account), accounts.get(&other)) else {
            refused.push(PassedOver { line, why: FORGOTTEN });
            continue;
        };
        if hosts::no_person(account, &app.rules).or(hosts::no_person(other, &app.rules)).is_some() {
            refused.push(PassedOver { line, why: "one of its accounts is a machine's, or is never counted" });
            continue;
        }
        let why = match app.recorder.link(other, account).await {
            Ok(Linked::To(_)) => {
                links += 1;
                continue;
            }
            Ok(Linked::Same(_)) => continue,
            Ok(Linked::Elsewhere(_)) => "the second account is linked to another contributor",
            Err(StoreError::Refused(_)) => FORGOTTEN,
            Err(error) => return Err(error),
        };
        refused.push(PassedOver { line, why });
    }
    Ok((links, refused))
}

impl From<PassedOver> for Line {
    fn from(PassedOver { line, why }: PassedOver) -> Self {
        Self { line, detail: why.into() }
    }
}
