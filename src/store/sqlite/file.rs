//! The files of a ledger: how they come to be, and whether they are still where they were opened.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::DISK_FULL;
use crate::store::StoreError;

/// The endings of the files that SQLite keeps beside an open ledger: its log, and the index of the log.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The files of an open ledger. The process goes on with the open files after they are moved, removed or
/// replaced, and a restart would open others: so whatever is written then could be lost.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    opened: Vec<Opened>,
    /// Kept until the last connection is closed: closing it drops the locks that this process has on the file.
    ledger: File,
    misplaced: AtomicBool,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    identity: Identity,
    /// What to do where it is not at its path.
    remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Files {
    /// Remembers which files are at their paths, just after SQLite opened them.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let own = "or restart plaudit to go on with what is at that path then".to_owned();
        // SQLite follows symbolic links before it names the other two.
        let followed = path.canonicalize().map_err(|error| unavailable(path, &error))?;
        let mut opened = vec![Opened::at(path.to_owned(), own)?];
        for ending in BESIDE {
            let remedy = format!(
                "or stop plaudit with SIGTERM, which moves its content into {}, and start it again",
                path.display()
            );
            opened.push(Opened::at(with_ending(&followed, ending), remedy)?);
        }
        let ledger = File::open(path).map_err(|error| unavailable(path, &error))?;
        Ok(Self { path: path.to_owned(), opened, ledger, misplaced: AtomicBool::new(false) })
    }

    /// Has the ledger's pages reach the disk early. Where that fails, SQLite's own sync fails too, and is reported.
    pub(super) fn sync(&self) {
        let _ = self.ledger.sync_data();
    }

    /// Whether the last check failed.
    pub(super) fn are_misplaced(&self) -> bool {
        self.misplaced.load(Ordering::Relaxed)
    }

    /// Fails while one of the files is not at its path, which is logged once.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let why = self.opened.iter().find_map(Opened::misplaced);
        let known = self.misplaced.swap(why.is_some(), Ordering::Relaxed);
        if let Some(why) = why {
            if !known {
                tracing::error!("{why}");
            }
            return Err(StoreError::Unavailable(why));
        }
        if known {
            tracing::info!("the ledger is back at {}: it is read and written again", self.path.display());
        }
        Ok(())
    }
}

impl Opened {
    fn at(path: PathBuf, remedy: String) -> Result<Self, StoreError> {
        let found = std::fs::metadata(&path).map_err(|error| unavailable(&path, &error))?;
        Ok(Self { identity: Identity::of(&found), path, remedy })
    }

    /// Why the open file is not the one at its path, if it is not.
    fn misplaced(&self) -> Option<String> {
        let what = match std::fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == self.identity => return None,
            Ok(_) => "was replaced by another file".to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => "was moved or removed".to_owned(),
            Err(error) => format!("cannot be looked at ({error})"),
        };
        let (path, remedy) = (self.path.display(), &self.remedy);
        Some(format!(
            "{path} {what} while plaudit has it open: the ledger is neither read nor written; put the file back, {remedy}"
        ))
    }
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn unavailable(path: &Path, error: &Error) -> StoreError {
    StoreError::Unavailable(format!("{} cannot be looked at: {error}", path.display()))
}

/// Creates the file, if there is none, for this account alone: SQLite would let others read it. The files
/// beside it get the same mode from SQLite.
///
/// A file that exists is not opened: closing it would drop the locks that this process has on it.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    let log = with_ending(path, "-wal");
    // The log is looked at first: another process may be creating both now.
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) && !path.exists() {
        // SQLite would remove the log of a ledger that it finds empty.
        return Err(StoreError::Broken(format!(
            "the file is absent, and a part of its ledger is in {0}; put the file back, or move {0} away to begin an empty ledger",
            log.display()
        )));
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Err(StoreError::Unavailable(format!("{DISK_FULL}: {error}")))
        }
        // What else fails here fails again when SQLite opens the file, which says why.
        _ => Ok(()),
    }
}
