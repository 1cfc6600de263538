//! Who is forgotten: a person's accounts, and by what they are remembered.

use std::collections::BTreeSet;

use rusqlite::Transaction;

use super::forget::number_of;
use super::numbers::others_with_login;
use super::rows::{contributor_id, unsigned};
use crate::domain::{ContributionId, ContributorId};
use crate::store::forgetting::{ForgetKey, Pseudonym};

/// A contributor with all accounts.
pub(super) struct Person {
    /// The contributor's number in the tables.
    pub(super) number: Option<i64>,
    /// Of all accounts, former ones too.
    pub(super) names: BTreeSet<ContributorId>,
    /// Every number by which a host itself has named one of the accounts. The addresses of commits have numbers too,
    /// and anybody can write them.
    pub(super) numbers: BTreeSet<(ContributorId, u64)>,
}

impl Person {
    pub(super) fn find(transaction: &Transaction<'_>, who: &ContributorId) -> rusqlite::Result<Self> {
        let number = number_of(transaction, who)?;
        let mut names = transaction.prepare_cached(
            "SELECT id FROM contributors WHERE number = ?1 UNION SELECT id FROM accounts WHERE contributor = ?1",
        )?;
        let names = names.query_map([number], |row| contributor_id(row, "id"))?;
        let names = names.chain([Ok(who.clone())]).collect::<rusqlite::Result<_>>()?;
        let mut numbers = transaction.prepare_cached(
            "SELECT id, user_id FROM contributors WHERE number = ?1 AND named_at IS NOT NULL
             UNION SELECT id, user_id FROM accounts WHERE contributor = ?1 AND user_id IS NOT NULL AND named_at IS NOT NULL",
        )?;
        let numbers = numbers
            .query_map([number], |row| Ok((contributor_id(row, "id")?, unsigned(row.get("user_id")?))))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { number, names, numbers })
    }
}

/// The logins of a person that other accounts have, or have had, by what their host states. Under these only what is
/// the person's own is forgotten.
pub(super) struct Shared {
    /// Those that are names of the person.
    pub(super) names: BTreeSet<ContributorId>,
    /// Those that the person has stated last.
    pub(super) held: Vec<Held>,
}

/// A login that a person has stated last.
pub(super) struct Held {
    pub(super) login: ContributorId,
    /// When, in microseconds since 1970.
    pub(super) at: i64,
    /// One of the others that have it, or have had it.
    pub(super) other: Option<i64>,
}

impl Shared {
    pub(super) fn find(transaction: &Transaction<'_>, person: &Person) -> rusqlite::Result<Self> {
        let mut names = BTreeSet::new();
        // A name with a number is that account's alone.
        for name in person.names.iter().filter(|name| name.host().is_some() && !name.is_numbered()) {
            if !others_with_login(transaction, name, person.number)?.is_empty() {
                names.insert(name.clone());
            }
        }
        let mut held = Vec::new();
        let mut statement = transaction.prepare_cached(
            "SELECT name, named_at FROM holders
             WHERE account = ?1 OR account IN (SELECT number FROM accounts WHERE contributor = ?1)",
        )?;
        let mut rows = statement.query([person.number])?;
        while let Some(row) = rows.next()? {
            let login = contributor_id(row, "name")?;
            let other = others_with_login(transaction, &login, person.number)?.first().copied();
            let at = row.get("named_at")?;
            held.push(Held { login, at, other });
        }
        Ok(Self { names, held })
    }
}

/// By what a person is remembered.
pub(super) fn pseudonyms(
    transaction: &Transaction<'_>,
    key: &ForgetKey,
    person: &Person,
    shared: &Shared,
) -> rusqlite::Result<Vec<Pseudonym>> {
    let mut pseudonyms = vec![key.of_itself()];
    let of_name = |name| if shared.names.contains(name) { key.of_former(name) } else { key.of_name(name) };
    pseudonyms.extend(person.names.iter().map(of_name));
    pseudonyms.extend(person.numbers.iter().filter_map(|(account, number)| key.of_number(account, *number)));
    pseudonyms.extend(shared.held.iter().map(|held| match held.other {
        Some(_) => key.of_holder(&held.login, held.at),
        // Nobody has the login but for who is forgotten, now or before.
        None => key.of_name(&held.login),
    }));
    let is_alone = shared.names.is_empty() && shared.held.is_empty();
    if is_alone && !person.names.iter().any(ContributorId::is_numbered) {
        return Ok(pseudonyms);
    }
    // Those with a number too: another delivery may name the same one by the login alone.
    let mut own = transaction.prepare_cached("SELECT id FROM contributions WHERE contributor = ?1")?;
    let own = own.query_map([person.number], |row| row.get::<_, String>("id"))?;
    for id in own {
        pseudonyms.push(key.of_contribution(&ContributionId::from_text(id?)));
    }
    Ok(pseudonyms)
}
