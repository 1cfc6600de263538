//! Linked accounts, and what moves between contributors when accounts are linked, parted, renamed or bound to a number.
//!
//! All of it runs in the writer's one transaction. A contributor's row moves to the table `accounts` when it is linked,
//! with its number, which its contributions keep as the account under which they arrived.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, Transaction, params};

use super::connection::Sqlite;
use super::rows::{contributor_id, optional_moment, unsigned};
use super::work::{are_any_reviewed, load, save};
use crate::domain::{ContributionId, ContributorId, Kind, Moment, Standing, WorkId};
use crate::store::{Account as OtherAccount, Linked, StoreError, Unlinked};

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
pub(super) fn account(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<Account> {
    transaction.prepare_cached(&format!("{ACCOUNTS} WHERE number = ?1"))?.query_row([number], Account::read)
}

/// The account that has this name, or had it.
pub(super) fn named(
    transaction: &Transaction<'_>,
    name: &ContributorId,
) -> rusqlite::Result<Option<Account>> {
    let number: Option<i64> = transaction
        .prepare_cached(
            "SELECT coalesce((SELECT number FROM contributors WHERE id = ?1),
                 (SELECT coalesce(former, number) FROM accounts WHERE id = ?1)) AS number",
        )?
        .query_row([name.as_str()], |row| row.get("number"))?;
    number.map(|number| account(transaction, number)).transpose()
}

/// The accounts on the host of `on` of which a statement or an address says that they have this number there.
pub(super) fn with_number(
    transaction: &Transaction<'_>,
    on: &ContributorId,
    user_id: u64,
) -> rusqlite::Result<Vec<Account>> {
    let mut statement = transaction.prepare_cached(&format!("{ACCOUNTS} WHERE user_id = ?1"))?;
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
    let (account, to) = (account.clone(), to.clone());
    sqlite.write(move |transaction| link_in(transaction, &account, &to)).await
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

pub(super) async fn accounts_of(
    sqlite: &Sqlite,
    contributor: &ContributorId,
) -> Result<Vec<OtherAccount>, StoreError> {
    let contributor = contributor.to_string();
    sqlite
        .read(move |connection| {
            // A former name is linked as its account is, and has that one's number.
            let sql = format!(
                "SELECT a.id, coalesce(f.number, p.number, a.number) <> a.contributor AS linked,
                     CASE WHEN a.former IS NULL THEN iif(a.named_at IS NULL, NULL, a.user_id)
                         ELSE coalesce(f.user_id, p.user_id) END AS user_id
                 FROM accounts a LEFT JOIN accounts f ON f.number = a.former
                     LEFT JOIN contributors p ON p.number = a.former
                 WHERE a.contributor = {} AND a.number <> a.contributor ORDER BY a.id",
                super::queries::contributor_of("?1")
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let others = statement.query_map([contributor], |row| {
                Ok(OtherAccount {
                    id: contributor_id(row, "id")?,
                    number: row.get::<_, Option<i64>>("user_id")?.map(unsigned),
                    linked: row.get("linked")?,
                })
            })?;
            others.collect()
        })
        .await
}

/// Makes everything of an account count for the contributor `to`.
pub(super) fn attach(transaction: &Transaction<'_>, account: &Account, to: i64) -> rusqlite::Result<()> {
    let from = account.number;
    let works = works(transaction, "contributor = ?1", from)?;
    let run = |sql: &str| transaction.prepare_cached(sql)?.execute([from, to]);
    run("UPDATE contributions SET account = coalesce(account, ?1), contributor = ?2 WHERE contributor = ?1")?;
    raise(transaction, to, standing(transaction, from)?.recognized)?;
    hide(transaction, from)?;
    run("UPDATE accounts SET contributor = ?2 WHERE contributor = ?1")?;
    move_recognitions(transaction, &account.id, to)?;
    refresh(transaction, to)?;
    judge_again(transaction, works)
}

/// Makes what arrived under a linked account count for it again. Both keep the highest milestone recognised.
pub(super) fn detach(transaction: &Transaction<'_>, linked: &Account) -> rusqlite::Result<()> {
    let (from, account) = (linked.contributor, linked.number);
    let works = works(transaction, "account = ?1", account)?;
    let run = |sql: &str| transaction.prepare_cached(sql)?.execute([account]);
    run("UPDATE contributions SET account = NULL, contributor = ?1 WHERE account = ?1")?;
    raise(transaction, account, standing(transaction, from)?.recognized)?;
    run("UPDATE accounts SET contributor = ?1 WHERE number = ?1 OR former = ?1")?;
    // Its recognitions are those whose ids begin with one of its names.
    let sql = "UPDATE recognitions SET contributor = ?1, account_url = (SELECT account_url FROM accounts WHERE number = ?2)
         WHERE contributor = (SELECT id FROM contributors WHERE number = ?3
                 UNION ALL SELECT id FROM accounts WHERE number = ?3)
             AND (id = ?1 || ':' || milestone
                  OR id IN (SELECT a.id || ':' || milestone FROM accounts a WHERE a.former = ?2))";
    transaction.prepare_cached(sql)?.execute(params![linked.id.as_str(), account, from])?;
    refresh(transaction, account)?;
    refresh(transaction, from)?;
    judge_again(transaction, works)
}

/// Makes everything of one contributor another one's own, and drops its row: two names of one account.
pub(super) fn absorb(transaction: &Transaction<'_>, from: &Account, into: i64) -> rusqlite::Result<()> {
    let works = works(transaction, "contributor = ?1", from.number)?;
    let run = |sql: &str| transaction.prepare_cached(sql)?.execute(params![from.number, into]);
    run("UPDATE contributions SET contributor = ?2 WHERE contributor = ?1")?;
    raise(transaction, into, standing(transaction, from.number)?.recognized)?;
    hide(transaction, from.number)?;
    transaction.execute("DELETE FROM accounts WHERE number = ?1", [from.number])?;
    run("UPDATE accounts SET contributor = ?2 WHERE contributor = ?1")?;
    move_recognitions(transaction, &from.id, into)?;
    refresh(transaction, into)?;
    judge_again(transaction, works)
}

/// Moves the contributions of `from` that state this number to another account.
pub(super) fn move_stated(
    transaction: &Transaction<'_>,
    from: &Account,
    user_id: u64,
    to: i64,
) -> rusqlite::Result<()> {
    let to = account(transaction, to)?;
    let own = if from.is_linked() { "account = ?1" } else { "contributor = ?1 AND account IS NULL" };
    let moved = format!("{own} AND content IS NULL AND user_id = {}", user_id.cast_signed());
    let works = works(transaction, &moved, from.number)?;
    let sql = format!("UPDATE contributions SET contributor = ?2, account = ?3 WHERE {moved}");
    let under = to.is_linked().then_some(to.number);
    transaction.execute(&sql, params![from.number, to.contributor, under])?;
    refresh(transaction, to.contributor)?;
    let is_left: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM contributions WHERE contributor = ?1) AS is_left",
        [from.contributor],
        |row| row.get("is_left"),
    )?;
    if !is_left {
        // All that its recognitions thank for has moved.
        raise(transaction, to.contributor, standing(transaction, from.contributor)?.recognized)?;
        move_recognitions(transaction, &account(transaction, from.contributor)?.id, to.contributor)?;
        lower(transaction, from.contributor)?;
    }
    refresh(transaction, from.contributor)?;
    judge_again(transaction, works)
}

/// Raises a contributor's highest milestone recognised, whether it has contributions or not.
pub(super) fn raise(transaction: &Transaction<'_>, number: i64, recognized: u64) -> rusqlite::Result<()> {
    for table in ["contributors", "accounts"] {
        let sql = format!("UPDATE {table} SET recognized = max(recognized, ?2) WHERE number = ?1");
        transaction.prepare_cached(&sql)?.execute(params![number, recognized.cast_signed()])?;
    }
    Ok(())
}

fn lower(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
    transaction.execute("UPDATE contributors SET recognized = 0 WHERE number = ?1", [number]).map(drop)
}

/// Has recognitions name another contributor; their ids stay.
fn move_recognitions(transaction: &Transaction<'_>, from: &ContributorId, to: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE recognitions SET contributor = p.id, account_url = p.account_url
             FROM (SELECT number, id, account_url FROM contributors
                   UNION ALL SELECT number, id, account_url FROM accounts) p
             WHERE p.number = ?2 AND recognitions.contributor = ?1",
        )?
        .execute(params![from.as_str(), to])?;
    Ok(())
}

/// Brings a contributor's tally and times up to date with its contributions. It is listed while it has any, or was
/// recognised.
pub(super) fn refresh(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
    let sql = "SELECT coalesce((SELECT min(recorded_at) FROM contributions WHERE contributor = ?1),
             (SELECT min(recognized_at) FROM recognitions WHERE contributor =
                 (SELECT id FROM contributors WHERE number = ?1
                  UNION ALL SELECT id FROM accounts WHERE number = ?1))) AS first";
    let first: Option<i64> = transaction.prepare_cached(sql)?.query_row([number], |row| row.get("first"))?;
    match first {
        Some(first) => show(transaction, number, first)?,
        None => hide(transaction, number)?,
    }
    transaction
        .prepare_cached(
            "UPDATE contributors SET (tally, first_at, last_at) =
                 (SELECT coalesce(sum(retracted = 0), 0), coalesce(min(recorded_at), first_at),
                      coalesce(max(recorded_at), last_at)
                  FROM contributions WHERE contributor = ?1)
             WHERE number = ?1",
        )?
        .execute([number])?;
    Ok(())
}

/// Moves a row of `accounts` to `contributors`, if it is there.
pub(super) fn show(transaction: &Transaction<'_>, number: i64, at: i64) -> rusqlite::Result<()> {
    let shown = transaction
        .prepare_cached(
            "INSERT INTO contributors (number, id, tally, recognized, user_id, named_at, account_url, first_at, last_at)
             SELECT number, id, 0, recognized, user_id, named_at, account_url, ?2, ?2 FROM accounts WHERE number = ?1",
        )?
        .execute(params![number, at])?;
    if shown > 0 {
        transaction.prepare_cached("DELETE FROM accounts WHERE number = ?1")?.execute([number])?;
    }
    Ok(())
}

/// Moves a row of `contributors` to `accounts`, if it is there.
fn hide(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO accounts (number, id, contributor, user_id, named_at, account_url, recognized)
             SELECT number, id, number, user_id, named_at, account_url, recognized FROM contributors WHERE number = ?1",
        )?
        .execute([number])?;
    transaction.prepare_cached("DELETE FROM contributors WHERE number = ?1")?.execute([number])?;
    Ok(())
}

/// Drops an account of which there is nothing to keep.
pub(super) fn drop_if_empty(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
    let dropped = transaction
        .prepare_cached(
            "DELETE FROM accounts WHERE number = ?1 AND contributor = ?1 AND recognized = 0 AND named_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM accounts other WHERE other.contributor = ?1 AND other.number <> ?1)",
        )?
        .execute([number])?;
    if dropped > 0 {
        transaction.execute("DELETE FROM addresses WHERE account = ?1", [number])?;
    }
    Ok(())
}

/// The works with several parts of which contributions that `moved` selects are.
fn works(transaction: &Transaction<'_>, moved: &str, number: i64) -> rusqlite::Result<BTreeSet<WorkId>> {
    let sql = format!("SELECT id FROM contributions WHERE {moved} AND kind = 2 AND content IS NULL");
    let mut statement = transaction.prepare_cached(&sql)?;
    let ids = statement.query_map([number], |row| row.get::<_, String>("id"))?;
    ids.map(|id| Ok(WorkId::of(&ContributionId::from_text(id?), &Kind::PULL_REQUEST, true))).collect()
}

/// Judges works again, after parts of them have moved: of several parts of one contributor one counts.
fn judge_again(transaction: &Transaction<'_>, works: BTreeSet<WorkId>) -> rusqlite::Result<()> {
    let reviewed = !works.is_empty() && are_any_reviewed(transaction)?;
    for id in works {
        let mut work = load(transaction, &id, reviewed)?;
        let before = work.clone();
        work.judge();
        save(transaction, &before, &work)?;
    }
    Ok(())
}
