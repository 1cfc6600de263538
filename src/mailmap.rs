//! Whose addresses are: kept in the ledger, and known to every instance within a minute.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::domain::ContributorId;
use crate::hosts::mailmap::{self, AddressBook, Entries, Mapping, NamedAccount};
use crate::store::{MAILMAP, Store, StoreError};

/// The most addresses that are kept: some hundred kilobytes.
pub const MOST: usize = 5_000;
/// How often an instance looks for what another has changed.
const LOOK: Duration = Duration::from_mins(1);
/// How often several instances may change them at the same moment.
const ROUNDS: usize = 8;

/// The addresses in the ledger, and the book that readers of deliveries use.
pub struct Mailmap {
    store: Arc<dyn Store>,
    book: AddressBook,
    read: OnceCell<()>,
}

impl fmt::Debug for Mailmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailmap").field("book", &self.book).finish_non_exhaustive()
    }
}

/// An account whose addresses are to be dropped.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: ContributorId,
    /// Its number on its host.
    pub number: Option<u64>,
}

impl From<NamedAccount> for Account {
    fn from(NamedAccount { id, number }: NamedAccount) -> Self {
        Self { id, number }
    }
}

impl Account {
    /// Of two numbers on a host, the login does not matter: another account may have it now.
    fn is(&self, named: &NamedAccount) -> bool {
        match (self.number, named.number) {
            (Some(number), Some(other)) => number == other && self.id.host() == named.id.host(),
            _ => {
                self.id == named.id || named.number.is_some_and(|number| self.id == named.id.numbered(number))
            }
        }
    }
}

/// What became of new addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// So many are new, or belong to another account now.
    New(usize),
    /// There would be more than [`MOST`].
    TooMany,
}

impl Mailmap {
    #[must_use]
    pub fn new(store: Arc<dyn Store>, book: AddressBook) -> Self {
        Self { store, book, read: OnceCell::new() }
    }

    /// Looks up what the ledger has, again and again, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failed = false;
        loop {
            let looked = if self.is_read() { self.load().await } else { self.read().await };
            match looked {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    tracing::warn!(%error, "whose addresses are cannot be read; it is tried again each minute");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Whether it was looked up what the ledger has: before that, nobody's address is known.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.read.initialized()
    }

    /// Waits until it was looked up what the ledger has.
    pub async fn read(&self) -> Result<(), StoreError> {
        self.read.get_or_try_init(|| self.load()).await.copied()
    }

    /// Looks up what the ledger has.
    pub async fn load(&self) -> Result<(), StoreError> {
        let text = self.store.bookmark(MAILMAP).await?;
        self.book.replace(mailmap::read(&text.unwrap_or_default()));
        Ok(())
    }

    /// Keeps whose addresses these are.
    pub async fn add(&self, mappings: &[Mapping]) -> Result<Added, StoreError> {
        self.change(|entries| {
            let mut new = 0;
            // An account that is linked needs no address, and may be unlinked.
            for one in mappings.iter().filter(|one| one.other.is_none()) {
                let before = entries.insert(one.address.clone(), one.proper.clone());
                new += usize::from(before.as_ref() != Some(&one.proper));
            }
            if entries.len() > MOST { Added::TooMany } else { Added::New(new) }
        })
        .await
    }

    /// Drops the addresses of these accounts, by their ids and by their numbers; returns how many.
    pub async fn forget(&self, accounts: &[Account]) -> Result<usize, StoreError> {
        let drop = |entries: &mut Entries| {
            let before = entries.len();
            let of = |named: &NamedAccount, accounts: &[Account]| accounts.iter().any(|one| one.is(named));
            let named = entries.values().filter_map(|proper| mailmap::account_of(proper));
            let mut all = accounts.to_vec();
            // The file itself says which number an account has.
            let numbered = named.filter(|named| named.number.is_some());
            all.extend(numbered.filter(|named| of(named, accounts)).map(Account::from));
            entries.retain(|_, proper| !mailmap::account_of(proper).is_some_and(|named| of(&named, &all)));
            Added::New(before - entries.len())
        };
        Ok(match self.change(drop).await? {
            Added::New(dropped) => dropped,
            Added::TooMany => 0,
        })
    }

    /// Changes them under an optimistic lock; nothing is written where nothing changes, or there would be too many.
    async fn change(&self, change: impl Fn(&mut Entries) -> Added) -> Result<Added, StoreError> {
        for _ in 0..ROUNDS {
            let before = self.store.bookmark(MAILMAP).await?;
            let mut entries = mailmap::read(before.as_deref().unwrap_or_default());
            let added = change(&mut entries);
            if matches!(added, Added::New(0) | Added::TooMany) {
                return Ok(added);
            }
            let text = mailmap::write(&entries);
            if self.store.replace_bookmark(MAILMAP, before.as_deref(), &text).await? {
                self.book.replace(entries);
                return Ok(added);
            }
        }
        Err(StoreError::Unavailable("whose addresses are is being changed elsewhere".into()))
    }
}
