//! Payloads of the shape that hosts send, for `plaudit send` and `plaudit demo`.

use super::KNOWN;

/// Deliveries that are built into the program: the host, the event, and the payload. Three contributions of
/// one contributor on each host, one of which is sent twice: a pull request is opened, and then landed. One
/// delivery is ignored.
pub const DEMO: &[(&str, &str, &str)] = &[
    ("github", "ping", include_str!("../../fixtures/github/ping.repository.json")),
    ("github", "issues", include_str!("../../fixtures/github/issues.opened.json")),
    ("github", "pull_request", include_str!("../../fixtures/github/pull_request.opened.json")),
    ("github", "push", include_str!("../../fixtures/github/push.squash.of_opened.json")),
    ("github", "push", include_str!("../../fixtures/github/push.default_branch.json")),
    ("gitlab", "Issue Hook", include_str!("../../fixtures/gitlab/issue.open.json")),
    ("gitlab", "Merge Request Hook", include_str!("../../fixtures/gitlab/merge_request.open.json")),
    ("gitlab", "Push Hook", include_str!("../../fixtures/gitlab/push.default_branch.json")),
];

/// The event that a file in `fixtures/{host}/` is the payload of, as the host names it in its header: the
/// first word of the file's name says it.
#[must_use]
pub fn event_of_fixture(host: &str, file_name: &str) -> Option<&'static str> {
    let word = file_name.split('.').next()?;
    let known = KNOWN.iter().find(|known| known.name == host)?;
    (known.event_of_fixture)(word)
}
