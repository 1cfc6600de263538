//! Names under which several numbers have arrived, and names whose recognitions went to another account.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::accounts::{Account, named, reserve};
use super::forget::Forgotten;
use super::moves::move_stated;
use super::naming::note_address;
use super::rows::{contributor_id, unsigned};
use crate::domain::ContributorId;

/// Before the host's own number is bound to an account: moves what addresses with other numbers brought to accounts of
/// these numbers, which have the same login. The host says whose the login is, not whose those numbers are.
pub(super) fn part_others(
    transaction: &Transaction<'_>,
    account: &Account,
    number: u64,
) -> rusqlite::Result<()> {
    if account.named_at.is_some() {
        return Ok(());
    }
    for other in noted(transaction, account)? {
        if other != number {
            part(transaction, account, other)?;
        }
    }
    Ok(())
}

/// Moves what carries a number that is bound to no account to an account with the same login.
pub(super) fn part(transaction: &Transaction<'_>, from: &Account, number: u64) -> rusqlite::Result<()> {
    let id = from.id.numbered(number);
    let to = match named(transaction, &id)? {
        Some(known) => known.number,
        None => reserve(transaction, &id)?,
    };
    note_address(transaction, to, number)?;
    move_stated(transaction, from, number, to)
}

/// The numbers that addresses have stated of an account to which none is bound.
fn noted(transaction: &Transaction<'_>, account: &Account) -> rusqlite::Result<Vec<u64>> {
    let mut more = transaction.prepare_cached("SELECT user_id FROM addresses WHERE account = ?1")?;
    let more = more.query_map([account.number], |row| Ok(unsigned(row.get("user_id")?)))?;
    account.user_id.map(Ok).into_iter().chain(more).collect()
}

/// The number of an account that is forgotten: hosts count from 1.
const NO_NUMBER: u64 = 0;

/// The number to which a name is bound, and which no other account with this login may have.
pub(super) fn bound_to(
    connection: &Connection,
    forgotten: &Forgotten<'_>,
    name: &ContributorId,
) -> rusqlite::Result<Option<u64>> {
    let bound = match named(connection, name)? {
        Some(account) if account.named_at.is_some() => account.bound(),
        Some(account) => successor(connection, &account)?,
        None => None,
    };
    if bound.is_none() && forgotten.has_had(name)? {
        return Ok(Some(NO_NUMBER));
    }
    Ok(bound)
}

/// The number of the account to which a name's recognitions went, with all that had arrived under the name. Their ids
/// are made from the name, so a third account must not have it, also where that account is not known any more.
fn successor(connection: &Connection, name: &Account) -> rusqlite::Result<Option<u64>> {
    if name.is_listed || name.is_linked() || name.named_at.is_some() {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "SELECT max(CASE WHEN p.named_at IS NOT NULL AND p.host = ?2 THEN p.user_id ELSE 0 END) AS user_id
             FROM recognitions r JOIN contributors p ON p.id = r.contributor
             WHERE r.id > ?1 || ':' AND r.id < ?1 || ';' AND r.id = ?1 || ':' || r.milestone
                 AND r.contributor <> ?1
             HAVING count(*) > 0",
        )?
        .query_row((name.id.as_str(), name.id.host()), |row| Ok(unsigned(row.get("user_id")?)))
        .optional()
}

/// The accounts whose host has stated this login, but for those of one contributor.
pub(super) fn others_with_login(
    transaction: &Transaction<'_>,
    login: &ContributorId,
    contributor: Option<i64>,
) -> rusqlite::Result<Vec<i64>> {
    let mut statement = transaction.prepare_cached(
        "SELECT number AS account, id, number AS contributor FROM contributors
             WHERE host = ?1 AND login = ?2 AND named_at IS NOT NULL
         UNION ALL SELECT coalesce(former, number), id, contributor FROM accounts WHERE named_at IS NOT NULL",
    )?;
    let mut rows = statement.query((login.host().unwrap_or_default(), login.login()))?;
    let mut others = Vec::new();
    while let Some(row) = rows.next()? {
        let id = contributor_id(row, "id")?;
        let is_of_login = id.host() == login.host() && id.login() == login.login();
        if is_of_login && row.get::<_, Option<i64>>("contributor")? != contributor {
            others.push(row.get("account")?);
        }
    }
    Ok(others)
}
