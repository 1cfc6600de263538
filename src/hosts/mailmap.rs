//! Whose an address is that no host knows, from `.mailmap` files whose proper addresses are noreply addresses.
//! <https://git-scm.com/docs/gitmailmap>

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};

use super::origin::account_number;
use crate::domain::{ContributorId, HostName};

/// The longest line that is read, in bytes.
const LONGEST: usize = 2_000;

/// How the domain of a noreply address begins.
const PREFIX: &str = "users.noreply.";

/// A line of a `.mailmap` that says whose an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its place in the file, from 1 on.
    pub line: usize,
    /// The hash of the address in commits, and of the name beside it where the line has one.
    pub address: AddressHash,
    /// The noreply address of the account.
    pub proper: String,
    /// The account.
    pub account: NamedAccount,
    /// The account that the address in commits names, where that is a noreply address too.
    pub other: Option<NamedAccount>,
}

/// A line that says nothing that can be used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    pub line: usize,
    pub why: &'static str,
}

/// The hash of an address on one host, and of a name if one belongs to it: an address of a person is kept in no other
/// form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressHash(String);

impl AddressHash {
    fn of(network: &str, address: &str, name: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        hash.update(network.to_lowercase());
        hash.update([0]);
        hash.update(address.trim().to_lowercase());
        if let Some(name) = name {
            hash.update([0]);
            hash.update(name.trim().to_lowercase());
        }
        let mut text = hex::encode(hash.finalize());
        text.truncate(32);
        Self(text)
    }
}

/// The noreply addresses behind other addresses: shared by all who read deliveries, and replaced as a whole.
#[derive(Clone, Default)]
pub struct AddressBook(Arc<RwLock<Arc<Entries>>>);

/// For each hash, the noreply address.
pub type Entries = BTreeMap<AddressHash, String>;

impl std::fmt::Debug for AddressBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddressBook").field("addresses", &self.entries().len()).finish()
    }
}

impl AddressBook {
    fn entries(&self) -> Arc<Entries> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, entries: Entries) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
    }

    /// The noreply address, on the host with this network name, of the account that has this address, and this name if
    /// the line had one.
    pub(super) fn proper(&self, network: &str, address: &str, name: Option<&str>) -> Option<String> {
        let entries = self.entries();
        if entries.is_empty() {
            return None;
        }
        let named = name.and_then(|name| entries.get(&AddressHash::of(network, address, Some(name))));
        named.or_else(|| entries.get(&AddressHash::of(network, address, None))).cloned()
    }
}

/// The entries as a text, one a line.
#[must_use]
pub fn write(entries: &Entries) -> String {
    let lines: Vec<_> =
        entries.iter().map(|(AddressHash(hash), proper)| format!("{hash} {proper}")).collect();
    lines.join("\n")
}

/// The entries of a text that [`write()`] made.
#[must_use]
pub fn read(text: &str) -> Entries {
    let entry = |line: &str| {
        let (hash, proper) = line.split_once(' ')?;
        Some((AddressHash(hash.to_owned()), proper.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

/// What a `.mailmap` says. A line that only corrects a name says nothing of an address.
#[must_use]
pub fn parse(text: &str) -> (Vec<Mapping>, Vec<PassedOver>) {
    let (mut mappings, mut passed_over) = (Vec::new(), Vec::new());
    for (place, line) in text.lines().enumerate() {
        let number = place + 1;
        let line = line.trim_start_matches('\u{feff}').split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match mapping(number, line) {
            Ok(mapping) => mappings.extend(mapping),
            Err(why) => passed_over.push(PassedOver { line: number, why }),
        }
    }
    (mappings, passed_over)
}

fn mapping(number: usize, line: &str) -> Result<Option<Mapping>, &'static str> {
    if line.len() > LONGEST {
        return Err("longer than 2,000 bytes");
    }
    let (_, proper, rest) = named_address(line).ok_or("no address in angle brackets")?;
    let Some((name, address, _)) = named_address(rest) else { return Ok(None) };
    let account = account_of(proper).ok_or("the proper address is no noreply address of a host")?;
    if proper.eq_ignore_ascii_case(address) {
        return Ok(None);
    }
    let name = (!name.is_empty()).then_some(name);
    Ok(Some(Mapping {
        line: number,
        address: AddressHash::of(network_of(proper), address, name),
        proper: proper.to_lowercase(),
        other: account_of(address).filter(|other| !other.is(&account) && name.is_none()),
        account,
    }))
}

/// The name before the next address, the address, and what follows.
fn named_address(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('<')?;
    let (address, rest) = rest.split_once('>')?;
    Some((name.trim(), address.trim(), rest))
}

/// The network name in a noreply address.
fn network_of(proper: &str) -> &str {
    let domain = proper.rsplit_once('@').map_or("", |(_, domain)| domain);
    domain.get(PREFIX.len()..).unwrap_or_default()
}

/// The account that a noreply address names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedAccount {
    pub id: ContributorId,
    pub number: Option<u64>,
}

impl NamedAccount {
    /// Whether both are one: of one number on one host, or without two numbers of one name.
    fn is(&self, other: &Self) -> bool {
        match (self.number, other.number) {
            (Some(number), Some(others)) => number == others && self.id.host() == other.id.host(),
            _ => self.id == other.id,
        }
    }
}

/// The account in a noreply address: `ID+login@users.noreply.HOST`, or with `-` on GitLab; GitHub's older ones have no
/// number.
#[must_use]
pub fn account_of(address: &str) -> Option<NamedAccount> {
    let (local, domain) = address.trim().rsplit_once('@')?;
    domain.get(..PREFIX.len()).filter(|begin| begin.eq_ignore_ascii_case(PREFIX))?;
    let host = HostName::of_text(domain.get(PREFIX.len()..)?).ok()?;
    let numbered = |separator| {
        let (id, login) = local.split_once(separator).filter(|(id, _)| !id.is_empty())?;
        Some((Some(account_number(id)?), login))
    };
    let (number, login) = match host.as_str() {
        "gitlab" => numbered('-')?,
        "github" => numbered('+').unwrap_or((None, local)),
        _ => numbered('+').or_else(|| numbered('-')).unwrap_or((None, local)),
    };
    let id = ContributorId::of_client(&format!("{host}:{login}")).ok()?;
    Some(NamedAccount { id, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_mailmap_are_read() {
        let text = "\u{feff}# people\n\
            Ada Lovelace <7+ada@users.noreply.github.com> <ada@example.org> # home\n\
            <9-grace@users.noreply.gitlab.com> <grace@example.org>\n\
            Ada <7+ada@users.noreply.github.com> A. L. <shared@example.org>\n\
            Ada <7+ada@users.noreply.github.com> <8+countess@users.noreply.github.com>\n\
            Only A Name <ada@example.org>\n\
            Lin <lin@example.org> <lin@home.example>\n\
            no address\n\n";
        let (mappings, passed_over) = parse(text);
        let found: Vec<_> = mappings.iter().map(|one| (one.line, one.account.id.as_str())).collect();
        assert_eq!(found, [(2, "github:ada"), (3, "gitlab:grace"), (4, "github:ada"), (5, "github:ada")]);
        let others = mappings.iter().filter_map(|one| one.other.as_ref());
        let others: Vec<_> = others.map(|other| (other.id.as_str(), other.number)).collect();
        assert_eq!(others, [("github:countess", Some(8))]);
        assert_eq!(passed_over.iter().map(|one| one.line).collect::<Vec<_>>(), [7, 8]);
    }

    #[test]
    fn a_book_finds_an_address_in_any_case_and_by_its_name_where_it_has_one() {
        let (mappings, _) = parse(
            "<7+ada@users.noreply.github.com> <ada@example.org>\n\
             <7+ada@users.noreply.github.com> Ada <shared@example.org>\n\
             <8+lin@users.noreply.github.com> Lin <shared@example.org>\n",
        );
        let entries: Entries = mappings.into_iter().map(|one| (one.address, one.proper)).collect();
        assert!(!write(&entries).contains("example.org"));
        let book = AddressBook::default();
        assert_eq!(book.proper("github.com", "ada@example.org", None), None);
        book.replace(read(&write(&entries)));
        let ada = Some("7+ada@users.noreply.github.com".to_owned());
        assert_eq!(book.proper("github.com", "Ada@Example.org", Some("anyone")), ada);
        assert_eq!(book.proper("github.com", "shared@example.org", Some("ADA")), ada);
        assert_eq!(book.proper("github.com", "shared@example.org", Some("other")), None);
        assert_eq!(book.proper("gitlab.com", "ada@example.org", None), None);
        assert_eq!(format!("{book:?}"), "AddressBook { addresses: 3 }");
    }

    #[test]
    fn only_a_noreply_address_names_an_account() {
        for (address, account) in [
            ("7+Ada@users.noreply.github.com", Some("github:ada")),
            ("ada@users.noreply.github.com", Some("github:ada")),
            ("7-a-b@Users.NoReply.gitlab.com", Some("gitlab:a-b")),
            ("ada@users.noreply.gitlab.com", None),
            ("7+ada@users.noreply.git.example.org", Some("git.example.org:ada")),
            ("ada@example.org", None),
            ("ada", None),
            ("7+@users.noreply.github.com", None),
        ] {
            let named = account_of(address).map(|named| named.id.to_string());
            assert_eq!(named.as_deref(), account, "{address}");
        }
    }
}
