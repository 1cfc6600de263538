//! Where recognitions go, as configured.

use std::fmt;

use super::comment::Commenting;
use super::{comment, pubsub};
use crate::domain::Destination;
use crate::settings::{Setting, Settings, is_google_project};

/// The settings of this section, without the comment's.
pub const SETTINGS: &[Setting] = &[PUBLISH];

const PUBLISH: Setting = Setting {
    variable: "PLAUDIT_PUBLISH",
    flag: "publish",
    value: "WHERE",
    example: "pubsub:my-project/recognitions",
    help: "Where recognitions go: local or pubsub:PROJECT/TOPIC [default: local]",
};

/// Where recognitions go.
#[derive(Debug)]
pub struct Destinations {
    pub to: To,
    pub comment: Option<Commenting>,
}

/// Where every recognition goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    Local,
    Pubsub { project: String, topic: String, emulator: Option<String> },
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Pubsub { project, topic, .. } => write!(f, "pubsub:{project}/{topic}"),
        }
    }
}

impl Destinations {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let emulator = pubsub::emulator(settings);
        let to = settings.value(&PUBLISH, To::Local, |text| parse(text, emulator));
        Self { to, comment: comment::settings(settings) }
    }

    /// The destinations at which a recognition made now is due.
    #[must_use]
    pub fn all(&self) -> Vec<Destination> {
        let to = match &self.to {
            To::Local => Destination::Local,
            To::Pubsub { .. } => Destination::Topic,
        };
        std::iter::once(to).chain(self.comment.as_ref().map(|_| Destination::Comment)).collect()
    }

    /// The Google Cloud project that they go to.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        match &self.to {
            To::Local => None,
            To::Pubsub { project, .. } => Some(project),
        }
    }
}

fn parse(text: &str, emulator: Option<String>) -> Result<To, String> {
    let wrong = || "neither local nor pubsub:PROJECT/TOPIC".to_owned();
    if text == "local" {
        return Ok(To::Local);
    }
    let (project, topic) =
        text.strip_prefix("pubsub:").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.~+%".contains(c);
    let sound = is_google_project(project)
        && (3..=255).contains(&topic.len())
        && topic.starts_with(|c: char| c.is_ascii_alphabetic())
        && topic.chars().all(named);
    if sound {
        Ok(To::Pubsub { project: project.to_owned(), topic: topic.to_owned(), emulator })
    } else {
        Err(wrong())
    }
}
