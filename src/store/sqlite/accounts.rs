//! Accounts and whom they count for: linking them, and parting them again.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::connection::Sqlite;
use super::forget::Forgotten;
use super::moves::{attach, detach, drop_if_empty};
use super::numbers::bound_to;
use super::queries::contributor_of;
use super::rows::{self, CONTRIBUTORS, contributor_id, optional_moment, unsigned};
use crate::domain::{ContributorId, Moment, Naming, Standing};
use crate::store::{Account as OtherAccount, Contributor, Linked, Profile, StoreError, Unlinked};

/// An account under its present name.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) number: i64,
    pub(super) id: ContributorId,
    /// The number of the contributor for whom it counts.
    pub(super) contributor: i64,
    pub(super) user_id: Option<u64>,
    /// The newest time at which the host has stated `user_id`.
    pub(super) named_at: Option<Moment>,
    /// Whether it is a contributor that lists show, with contributions of its own.
    pub(super) is_listed: bool,
}

impl Account {
    /// The number that is bound to it.
    pub(super) fn bound(&self) -> Option<u64> {
        self.user_id.filter(|_| self.named_at.is_some())
    }

    pub(super) fn is_linked(&self) -> bool {
        self.contributor != self.number
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get("number")?,
            id: contributor_id(row, "id")?,
            contributor: row.get("contributor")?,
            user_id: row.get::<_, Option<i64>>("user_id")?.map(unsigned),
            named_at: optional_moment(row, "named_at")?,
            is_listed: row.get("is_listed")?,
        })
    }
}

/// What [`Account::read`] reads.
const ACCOUNTS: &str = "SELECT * FROM (
        SELECT number, id, number AS contributor, user_id, named_at, 1 AS is_listed FROM contributors
        UNION ALL SELECT number, id, contributor, user_id, named_at, 0 FROM accounts WHERE former IS NULL)";

/// The account with this number in the tables.
pub(super) fn account(connection: &Connection, number: i64) -> rusqlite::Result<Account> {
    connection.prepare_cached(&format!("{ACCOUNTS} WHERE number = ?1"))?.query_row([number], Account::read)
}

/// The account that has this name, or had it.
pub(super) fn named(connection: &Connection, name: &ContributorId) -> rusqlite::Result<Option<Account>> {
    let number: Option<i64> = connection
        .prepare_cached(
            "SELECT coalesce((SELECT number FROM contributors WHERE id = ?1),
                 (SELECT coalesce(former, number) FROM accounts WHERE id = ?1)) AS number",
        )?
        .query_row([name.as_str()], |row| row.get("number"))?;
    number.map(|number| account(connection, number)).transpose()
}

/// The accounts on the host of `on` of which a statement or an address says that they have this number there.
pub(super) fn with_number(
    connection: &Connection,
    on: &ContributorId,
    user_id: u64,
) -> rusqlite::Result<Vec<Account>> {
    let mut statement = connection.prepare_cached(&format!("{ACCOUNTS} WHERE user_id = ?1"))?;
    let found = statement.query_map([user_id.cast_signed()], Account::read)?;
    found.filter(|found| !matches!(found, Ok(found) if found.id.host() != on.host())).collect()
}

/// The number of the next row of contributors or accounts.
pub(super) fn next_number(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "SELECT 1 + max(coalesce((SELECT max(number) FROM contributors), 0),
                 coalesce((SELECT max(number) FROM accounts), 0)) AS next",
        )?
        .query_row([], |row| row.get("next"))
}

/// Keeps an account that has no contribution, and returns its number.
pub(super) fn reserve(transaction: &Transaction<'_>, id: &ContributorId) -> rusqlite::Result<i64> {
    let number = next_number(transaction)?;
    transaction
        .prepare_cached("INSERT INTO accounts (number, id, contributor) VALUES (?1, ?2, ?1)")?
        .execute(params![number, id.as_str()])?;
    Ok(number)
}

fn named_or_reserved(transaction: &Transaction<'_>, id: &ContributorId) -> rusqlite::Result<Account> {
    match named(transaction, id)? {
        Some(known) => Ok(known),
        None => account(transaction, reserve(transaction, id)?),
    }
}

pub(super) fn standing(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<Standing> {
    transaction
        .prepare_cached(
            "SELECT id, tally, recognized FROM contributors WHERE number = ?1
             UNION ALL SELECT id, 0, recognized FROM accounts WHERE number = ?1",
        )?
        .query_row([number], |row| {
            Ok(Standing {
                contributor: contributor_id(row, "id")?,
                tally: unsigned(row.get("tally")?),
                recognized: unsigned(row.get("recognized")?),
            })
        })
}

pub(super) async fn link(
    sqlite: &Sqlite,
    account: &ContributorId,
    to: &ContributorId,
) -> Result<Linked, StoreError> {
    let (account, to, keys) = (account.clone(), to.clone(), Arc::clone(&sqlite.keys));
    let linked = sqlite.write(move |transaction| {
        let forgotten = Forgotten::of(transaction, &keys)?;
        for name in [&account, &to] {
            let is_unknown = || named(transaction, name).map(|known| known.is_none());
            if forgotten.has_name(name)? || (forgotten.has_had(name)? && is_unknown()?) {
                return Ok(None);
            }
        }
        link_in(transaction, &account, &to).map(Some)
    });
    linked.await?.ok_or_else(|| StoreError::Refused("one of the accounts is forgotten".into()))
}

fn link_in(
    transaction: &Transaction<'_>,
    name: &ContributorId,
    to: &ContributorId,
) -> rusqlite::Result<Linked> {
    let (linked, target) = (named(transaction, name)?, named(transaction, to)?);
    let contributor_of_target = target.as_ref().map(|target| target.contributor);
    if name == to {
        return Ok(Linked::Same(name.clone()));
    }
    match &linked {
        // By number, or because the target is linked to it.
        Some(linked) if Some(linked.number) == contributor_of_target => {
            return Ok(Linked::Same(account(transaction, linked.number)?.id));
        }
        Some(linked) if Some(linked.number) == target.as_ref().map(|target| target.number) => {
            return Ok(Linked::Same(account(transaction, linked.contributor)?.id));
        }
        Some(linked) if linked.is_linked() && Some(linked.contributor) != contributor_of_target => {
            return Ok(Linked::Elsewhere(account(transaction, linked.contributor)?.id));
        }
        _ => {}
    }
    let account = named_or_reserved(transaction, name)?;
    let target = named_or_reserved(transaction, to)?.contributor;
    if account.contributor != target {
        attach(transaction, &account, target)?;
    }
    Ok(Linked::To(standing(transaction, target)?))
}

pub(super) async fn unlink(sqlite: &Sqlite, account: &ContributorId) -> Result<Unlinked, StoreError> {
    let account = account.clone();
    sqlite.write(move |transaction| unlink_in(transaction, &account)).await
}

fn unlink_in(transaction: &Transaction<'_>, name: &ContributorId) -> rusqlite::Result<Unlinked> {
    let Some(linked) = named(transaction, name)? else { return Ok(Unlinked::NotLinked) };
    if !linked.is_linked() {
        let is_present = linked.id == *name;
        return Ok(if is_present { Unlinked::NotLinked } else { Unlinked::FormerName(linked.id) });
    }
    detach(transaction, &linked)?;
    let (account, contributor) =
        (standing(transaction, linked.number)?, standing(transaction, linked.contributor)?);
    drop_if_empty(transaction, linked.number)?;
    drop_if_empty(transaction, linked.contributor)?;
    Ok(Unlinked::Apart { account, contributor })
}

pub(super) async fn accounts_of_addresses(
    sqlite: &Sqlite,
    named: &[Naming],
) -> Result<Vec<Option<ContributorId>>, StoreError> {
    let (named, keys) = (named.to_vec(), Arc::clone(&sqlite.keys));
    sqlite
        .read_long(move |connection| {
            let forgotten = Forgotten::of(connection, &keys)?;
            let accounts = named.iter().map(|naming| account_of_address(connection, &forgotten, naming));
            accounts.collect()
        })
        .await
}

fn account_of_address(
    connection: &Connection,
    forgotten: &Forgotten<'_>,
    naming: &Naming,
) -> rusqlite::Result<Option<ContributorId>> {
    let Naming { name, number, .. } = naming;
    if forgotten.has_account(name, *number)? {
        return Ok(None);
    }
    let Some(number) = number else { return Ok(Some(name.clone())) };
    let bound =
        with_number(connection, name, *number)?.into_iter().find(|account| account.named_at.is_some());
    match bound {
        Some(account) => Ok(Some(account.id)),
        None => Ok(Some(naming.own(bound_to(connection, forgotten, name)?))),
    }
}

pub(super) async fn accounts_of(
    sqlite: &Sqlite,
    contributor: &ContributorId,
) -> Result<Vec<OtherAccount>, StoreError> {
    let contributor = contributor.to_string();
    sqlite.read(move |connection| others(connection, &contributor)).await
}

pub(super) async fn profile(sqlite: &Sqlite, id: &ContributorId) -> Result<Option<Profile>, StoreError> {
    let id = id.to_string();
    sqlite
        .read(move |connection| {
            let Some(contributor) = contributor(connection, &id)? else { return Ok(None) };
            Ok(Some(Profile { contributor, accounts: others(connection, &id)? }))
        })
        .await
}

/// The contributor for whom an account counts.
pub(super) fn contributor(connection: &Connection, id: &str) -> rusqlite::Result<Option<Contributor>> {
    let sql = format!("{CONTRIBUTORS} WHERE number = {}", contributor_of("?1"));
    connection.prepare_cached(&sql)?.query_row([id], rows::contributor).optional()
}

/// The other accounts of the contributor for whom an account counts.
fn others(connection: &Connection, id: &str) -> rusqlite::Result<Vec<OtherAccount>> {
    // A former name is linked as its account is, and has that one's number.
    let sql = format!(
        "SELECT a.id, coalesce(f.number, p.number, a.number) <> a.contributor AS linked,
             CASE WHEN a.former IS NULL THEN iif(a.named_at IS NULL, NULL, a.user_id)
                 ELSE coalesce(f.user_id, p.user_id) END AS user_id
         FROM accounts a LEFT JOIN accounts f ON f.number = a.former
             LEFT JOIN contributors p ON p.number = a.former
         WHERE a.contributor = {} AND a.number <> a.contributor ORDER BY a.id",
        contributor_of("?1")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let others = statement.query_map([id], |row| {
        Ok(OtherAccount {
            id: contributor_id(row, "id")?,
            number: row.get::<_, Option<i64>>("user_id")?.map(unsigned),
            linked: row.get("linked")?,
        })
    })?;
    others.collect()
}
