//! Where the ledger is kept, as configured.

use std::fmt;
use std::path::PathBuf;

use crate::settings::{Setting, Settings, is_google_project};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[STORE];

const STORE: Setting = Setting {
    variable: "PLAUDIT_STORE",
    flag: "store",
    value: "STORE",
    example: "sqlite:plaudit.db",
    help: "Where the ledger is kept: sqlite:PATH or firestore:PROJECT[/DATABASE] [default: sqlite:plaudit.db]",
};

/// Where the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Sqlite(PathBuf),
    Firestore {
        project: String,
        database: String,
        /// The address of the emulator in its place, which the client library reads from the environment itself.
        emulator: Option<String>,
    },
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Firestore { project, database, .. } => write!(f, "firestore:{project}/{database}"),
        }
    }
}

impl At {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let emulator = settings.foreign("FIRESTORE_EMULATOR_HOST");
        let at =
            settings.value(&STORE, Self::Sqlite("plaudit.db".into()), |text| Self::parse(text, emulator));
        if settings.foreign("K_SERVICE").is_some() && matches!(at, Self::Sqlite(_)) {
            let wrong = "Cloud Run's disk is memory: the ledger would be lost with the instance";
            settings.fault(STORE.variable, wrong, "firestore:my-project");
        }
        at
    }

    /// The Google Cloud project that it is in.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Firestore { project, .. } => Some(project),
        }
    }

    fn parse(text: &str, emulator: Option<String>) -> Result<Self, String> {
        let wrong = || "neither sqlite:PATH nor firestore:PROJECT[/DATABASE]".to_owned();
        if let Some(path) = text.strip_prefix("sqlite:") {
            return match path {
                "" => Err(wrong()),
                _ if path.starts_with('~') => {
                    Err("plaudit does not expand '~'; write the folder's path".into())
                }
                _ if path.starts_with("//") => {
                    Err("sqlite: takes a path and no URL: one '/', or none".into())
                }
                _ => Ok(Self::Sqlite(path.into())),
            };
        }
        if !text.contains(':') && !text.is_empty() {
            return Err(format!("{}; for a file write sqlite:{text}", wrong()));
        }
        let rest = text.strip_prefix("firestore:").ok_or_else(wrong)?;
        let (project, database) = rest.split_once('/').unwrap_or((rest, "(default)"));
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let sound_database = database == "(default)" || (!database.is_empty() && database.chars().all(named));
        if !is_google_project(project) || !sound_database {
            return Err(wrong());
        }
        Ok(Self::Firestore { project: project.to_owned(), database: database.to_owned(), emulator })
    }
}
