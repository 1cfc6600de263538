//! Numbers that a ledger has in its contributions from before it bound them to accounts.

use rusqlite::Transaction;

use super::accounts::{named, standing, with_number};
use super::moves::{drop_if_empty, move_stated, raise};
use super::naming::{follow_number, note_address};
use super::numbers::part;
use super::rows::{contributor_id, optional_moment, unsigned};
use crate::domain::{ContributorId, Moment, Naming};

/// What the contributions of an older ledger state about one name.
struct Statement {
    name: ContributorId,
    number: u64,
    stated_at: Option<Moment>,
}

/// Binds the numbers that a ledger of before has in its contributions, as if they were recorded now in the order of
/// their times, and parts what different accounts have done under one name. Nothing of it is announced.
pub(super) fn adopt(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE contributors SET user_id = NULL", [])?;
    let statements = statements(transaction)?;
    for Statement { name, number, stated_at } in statements.iter().filter(|one| one.stated_at.is_some()) {
        let naming = Naming { name: name.clone(), number: Some(*number), stated_at: *stated_at };
        let bound = named(transaction, name)?.and_then(|account| account.bound());
        follow_number(transaction, &naming, *number, bound, None)?;
    }
    for Statement { name, number, .. } in &statements {
        let Some(other) = named(transaction, name)? else { continue };
        let with_number = with_number(transaction, name, *number)?;
        match with_number.into_iter().find(|account| account.named_at.is_some()) {
            Some(numbered) if numbered.number == other.number => {}
            Some(numbered) => {
                let recognized = standing(transaction, other.contributor)?.recognized;
                raise(transaction, numbered.contributor, recognized)?;
                move_stated(transaction, &other, *number, numbered.number)?;
                drop_if_empty(transaction, other.number)?;
            }
            None if other.named_at.is_some() => part(transaction, &other, *number)?,
            None => note_address(transaction, other.number, *number)?,
        }
    }
    Ok(())
}

fn statements(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Statement>> {
    // Of a part that has landed since, nothing shows whether the host stated the number or an address did.
    let mut statement = transaction.prepare(
        "SELECT p.id, c.user_id,
             min(max(c.occurred_at, coalesce(c.labels_at, c.occurred_at))) FILTER (WHERE c.kind IN (2, 3) AND c.landed_at IS NULL) AS first,
             max(max(c.occurred_at, coalesce(c.labels_at, c.occurred_at))) FILTER (WHERE c.kind IN (2, 3) AND c.landed_at IS NULL) AS last
         FROM contributions c JOIN contributors p ON p.number = c.contributor
         WHERE c.user_id IS NOT NULL AND c.content IS NULL AND p.host <> ''
         GROUP BY p.number, c.user_id ORDER BY first, p.number, c.user_id",
    )?;
    let statements = statement.query_map([], |row| {
        Ok(Statement {
            name: contributor_id(row, "id")?,
            number: unsigned(row.get("user_id")?),
            stated_at: optional_moment(row, "last")?,
        })
    })?;
    statements.collect()
}
