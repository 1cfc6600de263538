//! The webhook's secret: in a file that only its owner can read, and that plaudit reads too.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::super::{Failure, cause};
use crate::settings::{Flags, Secret, SecretSetting, Settings};

/// The variable of the file is that of the flag `--secret-file`.
const SETTING: SecretSetting = SecretSetting {
    variable: "PLAUDIT_INIT_SECRET",
    example: "PLAUDIT_INIT_SECRET_FILE=plaudit-github.secret",
};

/// The secret of a webhook, and where it is or will be.
pub(super) struct SecretFile {
    pub(super) secret: Secret,
    /// From the root, so that it can be set as it is.
    pub(super) path: PathBuf,
    /// Whether the file exists already. Its first secret is used, so that a second run changes nothing.
    exists: bool,
}

impl SecretFile {
    /// The secret in the file or, where there is none, `fresh`, which is not written yet.
    pub(super) fn open(path: &Path, fresh: impl FnOnce() -> String) -> Result<Self, Failure> {
        let path = std::path::absolute(path)?;
        if !path.try_exists().map_err(|error| cannot("read", &path, &error))? {
            return Ok(Self { secret: Secret::new(fresh()), path, exists: false });
        }
        let flags = Flags::default();
        let name = path.display().to_string();
        let file = |variable: &str| (variable == "PLAUDIT_INIT_SECRET_FILE").then(|| name.clone());
        let mut settings = Settings::new(&flags, &file);
        let secrets = settings.secret_list(&SETTING);
        let wrong = |error| Failure::wrong(anyhow!("the secret file {name}: {error}"));
        let first = settings.finish(secrets.into_iter().next()).map_err(wrong)?;
        let secret = first.ok_or_else(|| Failure::wrong(anyhow!("{name} holds no secret")))?;
        Ok(Self { secret, path, exists: true })
    }

    /// Where the secret is, for a person.
    pub(super) fn place(&self) -> String {
        let path = self.path.display();
        match self.exists {
            false => format!("written to {path}"),
            true if is_open(&self.path) => {
                format!("read from {path}, which other accounts can read: chmod 600 {path}")
            }
            true => format!("read from {path}"),
        }
    }

    /// Makes it durable, as a whole or not at all, and replaces no file that came in between.
    pub(super) fn keep(&self) -> Result<(), Failure> {
        if self.exists {
            return Ok(());
        }
        let wrote = || {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            // Created with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            writeln!(file, "{}", self.secret.expose())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(&self.path)?;
            File::open(folder)?.sync_all()
        };
        wrote().map_err(|error| cannot("write", &self.path, &error))
    }
}

/// Whether other accounts of the machine may read the file.
fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let why = cause(error);
    Failure::failed(anyhow!("cannot {what} {}: {why}; give --secret-file another path", path.display()))
}
