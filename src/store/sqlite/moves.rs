//! What moves between contributors when accounts are linked, parted, renamed or bound to a number.
//!
//! All of it runs in the writer's one transaction. A contributor's row moves to the table `accounts` when it is linked,
//! with its number, which its contributions keep as the account under which they arrived.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Transaction, params};

use super::accounts::{Account, account, standing};
use super::naming::id_of;
use super::work::{are_any_reviewed, load, save, with_other_logins};
use crate::domain::{ContributionId, ContributorId, WorkId};

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
    let count = transaction.execute(&sql, params![from.number, to.contributor, under])?;
    if count == 0 {
        return Ok(());
    }
    refresh(transaction, to.contributor)?;
    let recognized = standing(transaction, from.contributor)?.recognized;
    let is_left: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM contributions WHERE contributor = ?1) AS is_left",
        [from.contributor],
        |row| row.get("is_left"),
    )?;
    if is_left {
        // What has moved may be what was recognised.
        raise(transaction, to.contributor, recognized.min(count as u64))?;
    } else {
        // All that its recognitions thank for has moved.
        raise(transaction, to.contributor, recognized)?;
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

/// Lowers a contributor's highest milestone recognised to that of the recognitions whose ids are made from its name:
/// no other recognition can have those ids.
fn lower(transaction: &Transaction<'_>, number: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE contributors SET recognized = coalesce((SELECT max(r.milestone) FROM recognitions r
             WHERE r.id > contributors.id || ':' AND r.id < contributors.id || ';'
                 AND r.id = contributors.id || ':' || r.milestone), 0)
         WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute([number]).map(drop)
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
    let Some(id) = id_of(transaction, number).optional()? else { return Ok(()) };
    let shown = transaction
        .prepare_cached(
            "INSERT INTO contributors
                 (number, id, host, login, tally, recognized, user_id, named_at, account_url, first_at, last_at)
             SELECT number, id, ?2, ?3, 0, recognized, user_id, named_at, account_url, ?4, ?4
             FROM accounts WHERE number = ?1",
        )?
        .execute(params![number, id.host().unwrap_or_default(), id.login(), at])?;
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

/// The works with several parts of which contributions that `moved` selects are: pull requests, and pushes that are
/// recorded under another login too.
fn works(transaction: &Transaction<'_>, moved: &str, number: i64) -> rusqlite::Result<BTreeSet<WorkId>> {
    let sql = format!(
        "SELECT id FROM contributions c WHERE {moved} AND content IS NULL AND (kind = 2 OR kind = 1 AND EXISTS (
             SELECT 1 FROM contributions o WHERE o.id <> c.id AND o.id > {push} AND o.id < substr({push}, 1, length({push}) - 1) || ';'))",
        push = "rtrim(c.id, replace(c.id, ':', ''))"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let ids = statement.query_map([number], |row| row.get::<_, String>("id"))?;
    ids.map(|id| Ok(with_other_logins(&ContributionId::from_text(id?)))).collect()
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
