//! Payloads of the shape that hosts send, for `plaudit send` and `plaudit demo`.

use super::KNOWN;

/// A delivery that is built into the program.
#[derive(Debug)]
pub struct DemoDelivery {
    pub host: &'static str,
    pub event: &'static str,
    /// What its author does.
    pub what: &'static str,
    pub payload: &'static str,
}

macro_rules! demo {
    ($($host:literal $event:literal $what:literal $file:literal)+) => {
        [$(DemoDelivery {
            host: $host,
            event: $event,
            what: $what,
            payload: include_str!(concat!("../../fixtures/", $host, "/", $file, ".json")),
        }),+]
    };
}

/// Deliveries of `plaudit demo`. Three contributions of one contributor on each host, one of which is sent twice: a
/// pull request is opened, and then landed. One delivery is ignored.
pub const DEMO: [DemoDelivery; 8] = demo! {
    "github" "ping" "the webhook is set up" "ping.repository"
    "github" "issues" "opens an issue" "issues.opened"
    "github" "pull_request" "opens a pull request" "pull_request.opened"
    "github" "push" "merges it (the same work)" "push.squash.of_opened"
    "github" "push" "pushes a commit" "push.default_branch"
    "gitlab" "Issue Hook" "opens an issue" "issue.open"
    "gitlab" "Merge Request Hook" "opens a merge request" "merge_request.open"
    "gitlab" "Push Hook" "pushes a commit" "push.default_branch"
};

/// The event that a file in `fixtures/{host}/` is the payload of, as the host names it in its header: the
/// first word of the file's name says it.
#[must_use]
pub fn event_of_fixture(host: &str, file_name: &str) -> Option<&'static str> {
    let word = file_name.split('.').next()?;
    let known = KNOWN.iter().find(|known| known.name == host)?;
    (known.event_of_fixture)(word)
}
