//! `plaudit check`: whether the configuration is right and every back end can be reached.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;

use super::{Environment, Failure, say};
use crate::config::Config;
use crate::domain::Destination;
use crate::hosts::Opened;
use crate::runtime::Clock;
use crate::settings::Flags;
use crate::store::{Order, Page};
use crate::{publish, store};

/// How long a back end may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reaches every configured back end, and prints what is right or wrong with each.
pub async fn run(flags: &Flags, env: &Environment) -> Result<(), Failure> {
    let config = Config::read(flags, &env).map_err(Failure::wrong)?;
    say("right  configuration: every variable can be read");
    let mut wrong = 0;
    let mut report = |what: &str, outcome: Result<String, String>| match outcome {
        Ok(detail) => say(format_args!("right  {what}: {detail}")),
        Err(why) => {
            wrong += 1;
            say(format_args!("wrong  {what}: {why}"));
        }
    };
    for Opened { known, host } in &config.service.hosts {
        let detail = match host {
            Some(_) => format!("deliveries to /webhooks/{} are verified", known.name),
            None => format!("not configured; to take its webhooks set {}", known.set),
        };
        report(known.name, Ok(detail));
    }
    report("posting", Ok(config.service.access.who_may_post()));
    report("reading", Ok(config.service.access.who_may_read()));
    report(
        &format!("store {}", config.store),
        within(reach_store(&config.store, &config.publish.all())).await,
    );
    let to = format!("publish {}", config.publish.to);
    match publish::open(&config.publish, &Clock::system()).await {
        Err(error) => report(&to, Err(error.to_string())),
        Ok(publishers) => {
            for publisher in publishers {
                let what = if publisher.destination() == Destination::Comment { "comment" } else { &to };
                let reached = async {
                    publisher
                        .describe()
                        .await
                        .map(|lines| lines.join("; "))
                        .map_err(|error| error.to_string())
                };
                report(what, within(reached).await);
            }
        }
    }
    if wrong > 0 {
        return Err(Failure::failed(anyhow!("{wrong} of these checks failed")));
    }
    Ok(())
}

/// Says too how much is due at each destination that is not among `on`: it waits until that is turned on again.
async fn reach_store(at: &store::At, on: &[Destination]) -> Result<String, String> {
    let store = store::open(at).await.map_err(|error| error.to_string())?;
    // One contributor shows whether what is stored can be read by this version.
    let one = Page { limit: 1, after: None };
    store.contributors(Order::Id, &one).await.map_err(|error| error.to_string())?;
    let mut answer = "it answers".to_owned();
    for off in Destination::others(on) {
        let waiting = store.backlog(&[off]).await.map_err(|error| error.to_string())?.waiting;
        if waiting > 0 {
            let _ = write!(answer, "; {waiting} recognitions are due at {off}, which is turned off");
        }
    }
    Ok(answer)
}

async fn within(reached: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| late())
}
