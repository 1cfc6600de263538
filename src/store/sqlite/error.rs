//! What SQLite's errors mean to the caller.

use rusqlite::ErrorCode;

use crate::store::StoreError;

pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::Broken(error.to_string());
    };
    match code {
        ErrorCode::DiskFull => StoreError::Unavailable(format!("the disk is full: {error}")),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            StoreError::Unavailable(format!("the file or its folder cannot be opened for writing: {error}"))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Unavailable(format!("another process holds the file locked: {error}"))
        }
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
