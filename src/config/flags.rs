//! The knobs that are no secret.

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Arg, Args};

/// Every knob that is no secret, as a flag; each names its variable and its default.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration", mut_args(lossy))]
#[allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "these are the words of --help")]
pub struct Flags {
    /// Address to listen on [default: 127.0.0.1:8080; if PORT is set, 0.0.0.0:$PORT]
    #[arg(long, env = "PLAUDIT_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where the ledger is kept: sqlite:PATH or firestore:PROJECT[/DATABASE] [default: sqlite:plaudit.db]
    #[arg(long, env = "PLAUDIT_STORE", value_name = "STORE")]
    pub store: Option<String>,
    /// Where recognitions go: local or pubsub:PROJECT/TOPIC [default: local]
    #[arg(long, env = "PLAUDIT_PUBLISH", value_name = "WHERE")]
    pub publish: Option<String>,
    /// Whether anyone may post contributions without a token [default: false]
    #[arg(long, env = "PLAUDIT_OPEN_API", value_name = "BOOL")]
    pub open_api: Option<String>,
    /// Whether anyone may read; else reading and /metrics need a token [default: true on loopback, else false]
    #[arg(long, env = "PLAUDIT_PUBLIC_READ", value_name = "BOOL")]
    pub public_read: Option<String>,
    /// Tallies that earn a recognition, ascending [default: 3]
    #[arg(long, env = "PLAUDIT_MILESTONES", value_name = "LIST")]
    pub milestones: Option<String>,
    /// Which kinds of the hosts count [default: push,pull_request,issue]
    #[arg(long, env = "PLAUDIT_COUNT", value_name = "LIST")]
    pub count: Option<String>,
    /// Which pushes count: default (to the default branch) or all [default: default]
    #[arg(long, env = "PLAUDIT_BRANCHES", value_name = "WHICH")]
    pub branches: Option<String>,
    /// Whether Co-authored-by trailers with a host's noreply address are credited too [default: true]
    #[arg(long, env = "PLAUDIT_CO_AUTHORS", value_name = "BOOL")]
    pub co_authors: Option<String>,
    /// Contributors never counted, * allowed, such as github:*-robot [default: none; bots never count]
    #[arg(long, env = "PLAUDIT_IGNORE", value_name = "LIST")]
    pub ignore: Option<String>,
    /// Whether to comment on the pull request or issue that reached the milestone [default: false]
    #[arg(long, env = "PLAUDIT_COMMENT", value_name = "BOOL")]
    pub comment: Option<String>,
    /// The comment's text, with {contributor}, {milestone}, {tally}, {kind}, {repository} and {title} [default: a short thank-you]
    #[arg(long, env = "PLAUDIT_COMMENT_TEMPLATE", value_name = "TEXT")]
    pub comment_template: Option<String>,
    /// Id of the GitHub App that comments; its key is PLAUDIT_GITHUB_APP_KEY [default: none]
    #[arg(long, env = "PLAUDIT_GITHUB_APP_ID", value_name = "NUMBER")]
    pub github_app_id: Option<String>,
    /// Base URL of the GitHub API [default: https://api.github.com]
    #[arg(long, env = "PLAUDIT_GITHUB_API", value_name = "URL")]
    pub github_api: Option<String>,
    /// The OIDC audience that may call /internal/drain [default: none; an API token only]
    #[arg(long, env = "PLAUDIT_DRAIN_AUDIENCE", value_name = "TEXT")]
    pub drain_audience: Option<String>,
    /// The service account that may call /internal/drain [default: none]
    #[arg(long, env = "PLAUDIT_DRAIN_EMAIL", value_name = "EMAIL")]
    pub drain_email: Option<String>,
    /// What to log, as tracing-subscriber's EnvFilter reads it [default: info]
    #[arg(long, env = "PLAUDIT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log: json (Cloud Logging's fields) or text [default: json, unless standard error is a terminal]
    #[arg(long, env = "PLAUDIT_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Takes what is no text as text with a mark in it, so that it is found wrong beside all else that is, by the
/// variable's name.
fn lossy(flag: Arg) -> Arg {
    flag.value_parser(OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned()))
}
