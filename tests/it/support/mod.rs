//! What all tests share: starting plaudit, acting as its hosts and clients, and the services it depends on.

use std::time::Duration;

pub(crate) mod browser;
mod client;
pub(crate) mod emulators;
pub(crate) mod fake_deliveries;
pub(crate) mod fake_github;
pub(crate) mod fake_gitlab;
pub(crate) mod fake_gitlab_events;
pub(crate) mod fake_gitlab_history;
pub(crate) mod fake_history;
pub(crate) mod fake_hooks;
pub(crate) mod fake_server;
pub(crate) mod gate;
pub(crate) mod h2proxy;
mod inside;
mod log;
pub(crate) mod machine;
mod payloads;
mod process;
pub(crate) mod pubsub_emulator;
mod sign;
pub(crate) mod stage;
mod store;

pub(crate) use client::{Answer, Client, client};
pub(crate) use inside::{Inside, config, frozen, host, ledger, recorder};
pub(crate) use log::Log;
pub(crate) use payloads::{
    contribution, fixture, fixtures, hold_against_schema, is_of, now, pull_request, talk,
};
pub(crate) use process::{Environment, Output, Plaudit, command, isolated, on_terminal, run, signal};
pub(crate) use sign::{Signer, github_signature, standard_signature};
pub(crate) use store::{FakeStore, Mode, unavailable};

/// The timeout of a test for whatever it waits for. It is long, because no test measures time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const GITHUB_SECRET: &str = "It's a Secret to Everybody";
pub(crate) const GITLAB_TOKEN: &str = "a plain token that GitLab sends as it is";
/// `whsec_` and base64 of 32 bytes, made up for these tests.
pub(crate) const GITLAB_SIGNING: &str = "whsec_cGxhdWRpdCB0ZXN0cyBvbmx5OiAzMiBieXRlcyEhISE=";
pub(crate) const TOKEN: &str = "a-token-for-the-api";

/// Settings of an instance that has neither a token nor the secret of a host, and so is open to this machine.
pub(crate) const NO_SECRETS: [(&str, &str); 3] =
    [("PLAUDIT_API_TOKENS", ""), ("PLAUDIT_GITHUB_SECRET", ""), ("PLAUDIT_GITLAB_SECRET", "")];

/// Waits for `event`, and fails the test after [`PATIENCE`].
pub(crate) async fn in_the_end<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("never came: {what}"))
}
