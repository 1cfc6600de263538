//! What is wrong with a ledger's file, for a person: at a failed start, and for `plaudit check`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};

use super::error::failure;
use super::forget::Keys;
use super::{outbox, schema};
use crate::domain::Destination;
use crate::store::{ForgetKey, StoreError};

/// Why a file cannot be opened, and what to do: by what is at its path, else by SQLite's error.
#[must_use]
pub fn explain(path: &Path, error: &StoreError) -> String {
    of_path(path).unwrap_or_else(|| {
        let why = error.why();
        let own = format!("{}: ", path.display());
        why.strip_prefix(&own).unwrap_or(&why).to_owned()
    })
}

/// What is wrong with a path, as far as the file system shows it.
fn of_path(path: &Path) -> Option<String> {
    let folder = folder_of(path);
    if path.is_dir() {
        return Some(format!(
            "it is a folder; name a file in it, such as {}",
            path.join("plaudit.db").display()
        ));
    }
    match fs::metadata(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(format!("the folder {0} does not exist; mkdir -p {0}", folder.display()));
        }
        Ok(found) if !found.is_dir() => return Some(format!("{} is no folder", folder.display())),
        _ => {}
    }
    if path.exists() && access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        return Some("this account may not read and write it; change its owner or mode".into());
    }
    // SQLite makes files beside it.
    access(&folder, Access::WRITE_OK | Access::EXEC_OK).is_err().then(|| {
        format!("this account may not write in the folder {}; change its owner or mode", folder.display())
    })
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// How much is due at each destination that was asked for.
type Waiting = Vec<(Destination, u64)>;

/// Whether the file is a whole ledger of this version, read from its beginning to its end, and how much is due at each
/// of `destinations`. Changes nothing.
pub async fn inspect(
    path: PathBuf,
    key: Option<ForgetKey>,
    destinations: Vec<Destination>,
) -> Result<(String, Waiting), String> {
    let read = move || read(&path, key.as_ref(), &destinations);
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}

fn read(
    path: &Path,
    key: Option<&ForgetKey>,
    destinations: &[Destination],
) -> Result<(String, Waiting), String> {
    if let Some(wrong) = of_path(path) {
        return Err(wrong);
    }
    if !path.exists() {
        return Ok(("there is no ledger yet; the first start makes it".into(), Vec::new()));
    }
    let whole = || -> Result<(String, Waiting), StoreError> {
        let connection = open(path)?;
        let version = schema::version(&connection)?;
        let damage: String = connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|error| failure(&error))?;
        if damage != "ok" {
            return Err(StoreError::Broken(format!("the file is damaged; restore a copy: {damage}")));
        }
        if version < schema::newest() {
            let old = "it is whole; an older version made it, and the next start brings it up to date";
            return Ok((old.into(), Vec::new()));
        }
        let ledger = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Keys::new(&ledger, key.cloned()).check(&connection)?;
        let waiting = |destination: &Destination| {
            let waiting = outbox::waiting(&connection, &[*destination])?.waiting;
            Ok((*destination, waiting))
        };
        let waiting: rusqlite::Result<_> = destinations.iter().map(waiting).collect();
        Ok(("it is whole".into(), waiting.map_err(|error| failure(&error))?))
    };
    whole().map_err(|error| explain(path, &error))
}

/// Opens the file without making anything beside it: without a write-ahead log there is none to be read.
fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let alone = if fs::metadata(&log).is_ok_and(|log| log.len() > 0) { "" } else { "&immutable=1" };
    let escaped = percent_encoding::percent_encode(
        path.as_os_str().as_encoded_bytes(),
        percent_encoding::NON_ALPHANUMERIC,
    );
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{escaped}?mode=ro{alone}"), flags)
        .map_err(|error| failure(&error))
}
