//! What SQLite's errors mean to the caller, and what to do about them.

use rusqlite::{ErrorCode, ffi};

use crate::store::StoreError;

pub(super) const DISK_FULL: &str = "the disk is full; free some of it";

pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    let Some(found) = error.sqlite_error() else {
        return StoreError::Broken(error.to_string());
    };
    match found.code {
        // That the index of the log cannot grow is how SQLite finds a full disk when it opens a ledger.
        ErrorCode::SystemIoFailure if found.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            StoreError::Unavailable(format!("{DISK_FULL}: {error}"))
        }
        ErrorCode::SystemIoFailure => StoreError::Unavailable(format!(
            "the disk cannot be read or written; look at its state, its quota and the limit of a file's size: {error}"
        )),
        ErrorCode::DiskFull => StoreError::Unavailable(format!("{DISK_FULL}: {error}")),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            StoreError::Unavailable(format!(
                "the file or its folder cannot be opened for writing; look at the path and its permissions: {error}"
            ))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Unavailable(format!(
            "another process holds the file locked; wait for its end, or end it: {error}"
        )),
        ErrorCode::NotADatabase => StoreError::Broken(format!("the file is no SQLite database: {error}")),
        ErrorCode::DatabaseCorrupt => {
            StoreError::Broken(format!("the file is damaged; restore a copy: {error}"))
        }
        ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
            StoreError::Refused(error.to_string())
        }
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// A value that plaudit never writes.
pub(super) fn strange(what: &str) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(
        format!("a {what} in the file is none that plaudit writes").into(),
    )
}
