//! Which account a contribution is of, and what the host states about its accounts' names and numbers.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::accounts::{Account, account, named, next_number, reserve, with_number};
use super::forget::Forgotten;
use super::moves::{absorb, attach, detach, drop_if_empty, move_stated};
use super::numbers::{bound_to, part_others};
use super::rows::{contributor_id, unsigned};
use crate::domain::{Contribution, ContributionId, ContributorId, Identity, Moment, Naming, Numbered};

/// For whom a contribution counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whom {
    /// The contributor's number.
    pub(super) contributor: i64,
    /// That of the account, where it is not the contributor's own.
    pub(super) account: Option<i64>,
    pub(super) place: Place,
    /// Whether the contributor has another name than the contribution.
    pub(super) is_other: bool,
}

impl Whom {
    /// Of the contributor that has the contribution's name.
    pub(super) fn plain(contributor: i64, place: Place) -> Self {
        Self { contributor, account: None, place, is_other: false }
    }
}

/// Where a contributor's row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Contributors,
    /// It has no contribution yet.
    Accounts,
    Nowhere,
}

/// A contributor whose present name a contribution has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) number: i64,
    user_id: Option<u64>,
    is_bound: bool,
    /// Whether other accounts have had its login.
    is_shared: bool,
}

impl Known {
    pub(super) fn find(
        connection: &Connection,
        name: &ContributorId,
        are_any_shared: bool,
    ) -> rusqlite::Result<Option<Self>> {
        let found = connection
            .prepare_cached(
                "SELECT number, user_id, named_at IS NOT NULL AS is_bound FROM contributors WHERE id = ?1",
            )?
            .query_row([name.as_str()], |row| {
                Ok(Self {
                    number: row.get("number")?,
                    user_id: row.get::<_, Option<i64>>("user_id")?.map(unsigned),
                    is_bound: row.get("is_bound")?,
                    is_shared: false,
                })
            })
            .optional()?;
        let Some(known) = found else { return Ok(None) };
        let is_shared = are_any_shared && holder(connection, name)?.is_some();
        Ok(Some(Self { is_shared, ..known }))
    }

    /// Whether a contribution with its name is its own, and states nothing new.
    pub(super) fn is_of(&self, c: &Contribution) -> bool {
        let is_its_number = match c.user_id {
            None => true,
            Some(number) => self.user_id == Some(number) && (self.is_bound || c.number_stated_at().is_none()),
        };
        is_its_number && !self.is_shared
    }
}

/// Whether names and numbers must be looked up in more than the table `contributors`.
pub(super) fn are_any_accounts(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM accounts) OR EXISTS (SELECT 1 FROM holders)
                 OR EXISTS (SELECT 1 FROM addresses) AS any",
        )?
        .query_row([], |row| row.get("any"))
}

/// Whether any contributor has this number, on whichever host.
pub(super) fn is_number_known(connection: &Connection, number: u64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM contributors WHERE user_id = ?1) AS known")?
        .query_row([number.cast_signed()], |row| row.get("known"))
}

/// Finds out for whom a contribution counts, and keeps what it states about its account.
pub(super) fn follow(
    transaction: &Transaction<'_>,
    forgotten: &Forgotten<'_>,
    c: &Contribution,
) -> rusqlite::Result<Whom> {
    let naming = c.naming();
    let found = match naming.number.filter(|_| naming.name.host().is_some()) {
        Some(number) => {
            let bound = bound_to(transaction, forgotten, &naming.name)?;
            Some(follow_number(transaction, &naming, number, bound, Some(&c.id))?)
        }
        None => match holder(transaction, &naming.name)? {
            Some(holder) => Some(holder),
            None => named(transaction, &naming.name)?.map(|account| account.number),
        },
    };
    let Some(found) = found else {
        return Ok(Whom::plain(next_number(transaction)?, Place::Nowhere));
    };
    let found = account(transaction, found)?;
    let contributor = account(transaction, found.contributor)?;
    Ok(Whom {
        contributor: contributor.number,
        account: found.is_linked().then_some(found.number),
        place: if contributor.is_listed { Place::Contributors } else { Place::Accounts },
        is_other: contributor.id != naming.name,
    })
}

/// The account with a number; `bound` is the one to which the name is bound.
pub(super) fn follow_number(
    transaction: &Transaction<'_>,
    naming: &Naming,
    number: u64,
    bound: Option<u64>,
    contribution: Option<&ContributionId>,
) -> rusqlite::Result<i64> {
    let own = naming.own(bound);
    let with_number = with_number(transaction, &naming.name, number)?;
    let numbered = with_number.into_iter().find(|account| account.named_at.is_some());
    let known = numbered
        .as_ref()
        .and_then(|account| Some(Numbered { id: account.id.clone(), named_at: account.named_at? }));
    let identity = naming.identify(known.as_ref(), bound);
    let found = match (numbered, naming.stated_at, identity) {
        // The same thing at the same moment under two names: the first one is kept.
        (Some(known), Some(at), Identity::Rename { .. })
            if known.named_at == Some(at) && is_recorded(transaction, contribution)? =>
        {
            return Ok(known.number);
        }
        (Some(from), Some(at), Identity::Rename { to, .. }) => {
            rename(transaction, &from, &to, at)?;
            from.number
        }
        (Some(account), Some(at), _) => {
            add_name(transaction, &account, &own, at)?;
            account.number
        }
        (Some(account), None, _) => account.number,
        (None, Some(at), _) => {
            let found = named_or_reserved(transaction, &own)?;
            part_others(transaction, &account(transaction, found)?, number)?;
            bind(transaction, found, number, at)?;
            claim(transaction, &own, number, found)?;
            found
        }
        (None, None, _) => {
            let account = named_or_reserved(transaction, &own)?;
            note_address(transaction, account, number)?;
            account
        }
    };
    if let Some(at) = naming.stated_at {
        hold(transaction, &naming.name, own != naming.name, found, at)?;
    }
    Ok(found)
}

fn is_recorded(connection: &Connection, id: Option<&ContributionId>) -> rusqlite::Result<bool> {
    let Some(id) = id else { return Ok(false) };
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM contributions WHERE id = ?1) AS known")?
        .query_row([id.as_str()], |row| row.get("known"))
}

fn named_or_reserved(transaction: &Transaction<'_>, id: &ContributorId) -> rusqlite::Result<i64> {
    match named(transaction, id)? {
        Some(known) => Ok(known.number),
        None => reserve(transaction, id),
    }
}

/// Runs a statement on both tables that have accounts, `{}` in it.
fn on_both(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params + Copy,
) -> rusqlite::Result<()> {
    for table in ["contributors", "accounts"] {
        transaction.prepare_cached(&sql.replace("{}", table))?.execute(values)?;
    }
    Ok(())
}

/// Binds a number to an account.
fn bind(transaction: &Transaction<'_>, account: i64, number: u64, at: Moment) -> rusqlite::Result<()> {
    let sql = "UPDATE {} SET user_id = ?2, named_at = ?3 WHERE number = ?1";
    on_both(transaction, sql, (account, number.cast_signed(), at.timestamp_micros()))?;
    transaction.execute("DELETE FROM addresses WHERE account = ?1", [account]).map(drop)
}

/// Keeps that an address states a number of an account to which none is bound.
pub(super) fn note_address(transaction: &Transaction<'_>, account: i64, number: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE {} SET user_id = ?2 WHERE number = ?1 AND user_id IS NULL";
    on_both(transaction, sql, (account, number.cast_signed()))?;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO addresses (user_id, account) SELECT ?2, ?1
             WHERE NOT EXISTS (SELECT 1 FROM contributors WHERE number = ?1 AND user_id = ?2)
                 AND NOT EXISTS (SELECT 1 FROM accounts WHERE number = ?1 AND user_id = ?2)",
        )?
        .execute((account, number.cast_signed()))?;
    Ok(())
}

/// Moves to the account of a number what carries it and was recorded under other accounts, to which no number is bound.
fn claim(transaction: &Transaction<'_>, on: &ContributorId, number: u64, to: i64) -> rusqlite::Result<()> {
    let with_number = with_number(transaction, on, number)?;
    let mut others: BTreeSet<i64> = with_number.into_iter().map(|other| other.number).collect();
    let mut addresses = transaction.prepare_cached("SELECT account FROM addresses WHERE user_id = ?1")?;
    for other in addresses.query_map([number.cast_signed()], |row| row.get("account"))? {
        others.insert(other?);
    }
    others.remove(&to);
    for other in others {
        let other = account(transaction, other)?;
        if other.named_at.is_some() || other.id.host() != on.host() {
            continue;
        }
        move_stated(transaction, &other, number, to)?;
        let values = (other.number, number.cast_signed());
        let sql = "UPDATE {} SET user_id = NULL WHERE number = ?1 AND user_id = ?2 AND named_at IS NULL";
        on_both(transaction, sql, values)?;
        transaction.execute("DELETE FROM addresses WHERE account = ?1 AND user_id = ?2", values)?;
        drop_if_empty(transaction, other.number)?;
    }
    Ok(())
}

/// Gives an account a newer name.
fn rename(
    transaction: &Transaction<'_>,
    from: &Account,
    to: &ContributorId,
    at: Moment,
) -> rusqlite::Result<()> {
    let account = take_name(transaction, from, to)?;
    let named_at = account.named_at.map(|at| at.timestamp_micros());
    let at = at.timestamp_micros();
    transaction.prepare_cached("UPDATE accounts SET id = ?2, named_at = ?3 WHERE number = ?1")?.execute((
        account.number,
        to.as_str(),
        at,
    ))?;
    transaction
        .prepare_cached(
            "UPDATE contributors SET id = ?2, named_at = ?3, host = ?4, login = ?5 WHERE number = ?1",
        )?
        .execute((account.number, to.as_str(), at, to.host().unwrap_or_default(), to.login()))?;
    add_former(transaction, &account, &from.id, named_at)?;
    transaction
        .execute(
            "UPDATE recognitions SET contributor = ?2 WHERE contributor = ?1",
            [from.id.as_str(), to.as_str()],
        )
        .map(drop)
}

/// Keeps that an account has this name, or had it then.
fn add_name(
    transaction: &Transaction<'_>,
    account: &Account,
    name: &ContributorId,
    at: Moment,
) -> rusqlite::Result<()> {
    let at = at.timestamp_micros();
    if account.id == *name {
        let sql = "UPDATE {} SET named_at = max(named_at, ?2) WHERE number = ?1";
        return on_both(transaction, sql, [account.number, at]);
    }
    let known = transaction
        .prepare_cached(
            "UPDATE accounts SET named_at = max(coalesce(named_at, ?3), ?3) WHERE id = ?2 AND former = ?1",
        )?
        .execute(params![account.number, name.as_str(), at])?;
    if known > 0 {
        return Ok(());
    }
    let account = take_name(transaction, account, name)?;
    add_former(transaction, &account, name, Some(at))
}

fn add_former(
    transaction: &Transaction<'_>,
    account: &Account,
    name: &ContributorId,
    named_at: Option<i64>,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO accounts (number, id, contributor, former, named_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            next_number(transaction)?,
            name.as_str(),
            account.contributor,
            account.number,
            named_at
        ])?;
    Ok(())
}

/// Frees a name for an account: it is a former one of its own, or that of an account without a number, which becomes a
/// part of this one. Returns the account as it is then.
fn take_name(
    transaction: &Transaction<'_>,
    taker: &Account,
    name: &ContributorId,
) -> rusqlite::Result<Account> {
    let Some(other) = named(transaction, name)? else { return account(transaction, taker.number) };
    if other.number == taker.number {
        transaction.execute("DELETE FROM accounts WHERE id = ?1", [name.as_str()])?;
        return account(transaction, taker.number);
    }
    // One is linked to the other: they are one account now.
    if other.contributor == taker.number {
        detach(transaction, &other)?;
    } else if taker.contributor == other.number {
        detach(transaction, taker)?;
    }
    if let Some(number) = taker.bound() {
        part_others(transaction, &account(transaction, other.number)?, number)?;
    }
    let (mut taker, other) = (account(transaction, taker.number)?, account(transaction, other.number)?);
    if taker.contributor != other.contributor && (taker.is_linked() || other.is_linked()) {
        // What is linked stays so; where both are, the link of the account with the number.
        if taker.is_linked() {
            if other.is_linked() {
                detach(transaction, &other)?;
            }
            attach(transaction, &account(transaction, other.number)?, taker.contributor)?;
        } else {
            attach(transaction, &taker, other.contributor)?;
        }
        taker = account(transaction, taker.number)?;
    }
    transaction.execute("DELETE FROM addresses WHERE account = ?1", [other.number])?;
    if taker.is_linked() {
        let values = [other.number, taker.number];
        transaction.execute("UPDATE contributions SET account = ?2 WHERE account = ?1", values)?;
        transaction.execute("DELETE FROM accounts WHERE number = ?1", [other.number])?;
    } else {
        absorb(transaction, &other, taker.number)?;
    }
    account(transaction, taker.number)
}

/// The account that holds a login which several have had: that which has stated it last.
fn holder(connection: &Connection, name: &ContributorId) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT account FROM holders WHERE name = ?1")?
        .query_row([name.as_str()], |row| row.get("account"))
        .optional()
}

/// Keeps who has stated a login last, once several accounts have had it.
fn hold(
    transaction: &Transaction<'_>,
    name: &ContributorId,
    is_shared: bool,
    account: i64,
    at: Moment,
) -> rusqlite::Result<()> {
    if is_shared {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO holders (name, account, named_at)
                 SELECT ?1, number, coalesce(named_at, 0) FROM contributors WHERE id = ?1
                 UNION ALL SELECT ?1, coalesce(former, number), coalesce(named_at, 0) FROM accounts WHERE id = ?1",
            )?
            .execute([name.as_str()])?;
    }
    transaction
        .prepare_cached("UPDATE holders SET account = ?2, named_at = ?3 WHERE name = ?1 AND named_at < ?3")?
        .execute(params![name.as_str(), account, at.timestamp_micros()])?;
    Ok(())
}

/// The id of a contributor, whether it has contributions yet or not.
pub(super) fn id_of(connection: &Connection, number: i64) -> rusqlite::Result<ContributorId> {
    connection
        .prepare_cached(
            "SELECT id FROM contributors WHERE number = ?1 UNION ALL SELECT id FROM accounts WHERE number = ?1",
        )?
        .query_row([number], |row| contributor_id(row, "id"))
}
