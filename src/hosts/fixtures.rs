//! Payloads of the shape that hosts send, for `plaudit send` and `plaudit demo`.

/// Deliveries that are built into the program: the host, the event, and the payload. Three contributions of
/// one contributor on each host, one of which comes twice: a pull request is opened, and then landed. One
/// delivery counts for nobody.
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

/// GitHub's names of the events of which there are payloads here, and of those that are often at hand.
const GITHUB_EVENTS: &[&str] = &[
    "push",
    "pull_request",
    "issues",
    "ping",
    "issue_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "release",
    "create",
    "delete",
    "fork",
    "star",
    "watch",
    "discussion",
    "discussion_comment",
    "workflow_run",
    "check_run",
    "status",
];

/// The event that a file in `fixtures/{host}/` is the payload of, as the host names it in its header: the
/// first word of the file's name says it.
#[must_use]
pub fn event_of_fixture(host: &str, file_name: &str) -> Option<String> {
    let word = file_name.split('.').next().filter(|word| !word.is_empty())?;
    let event = match (host, word) {
        ("github", event) if GITHUB_EVENTS.contains(&event) => event,
        ("gitlab", "push") => "Push Hook",
        ("gitlab", "tag_push") => "Tag Push Hook",
        ("gitlab", "merge_request") => "Merge Request Hook",
        // GitLab sends work items under the same name as issues.
        ("gitlab", "issue" | "work_item") => "Issue Hook",
        ("gitlab", "confidential_issue") => "Confidential Issue Hook",
        ("gitlab", "note") => "Note Hook",
        ("gitlab", "system") => "System Hook",
        _ => return None,
    };
    Some(event.to_owned())
}
