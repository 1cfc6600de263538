//! `plaudit check`: whether the configuration is right and every back end can be reached.

use std::time::Duration;

use anyhow::anyhow;

use super::{Environment, Failure, say};
use crate::config::{Config, Flags, PublishTo, StoreAt};
use crate::hosts;
use crate::runtime::Clock;
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
    for (name, open, set) in hosts::KNOWN {
        let detail = match open(&config.hosts) {
            Some(_) => format!("deliveries to /webhooks/{name} are verified"),
            None => format!("not configured; to take its webhooks set {set}"),
        };
        report(name, Ok(detail));
    }
    let at = match &config.store {
        StoreAt::Sqlite(path) => format!("store sqlite:{}", path.display()),
        StoreAt::Firestore { project, database } => format!("store firestore:{project}/{database}"),
    };
    report(&at, within(reach_store(&config)).await);
    let to = match &config.publish {
        PublishTo::Local => "publish local".to_owned(),
        PublishTo::Pubsub { project, topic } => format!("publish pubsub:{project}/{topic}"),
    };
    match publish::open(&config, &Clock::system()).await {
        Err(error) => report(&to, Err(error.to_string())),
        Ok(publishers) => {
            for publisher in publishers {
                let what = if publisher.destination() == crate::domain::Destination::Comment {
                    "comment"
                } else {
                    &to
                };
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

async fn reach_store(config: &Config) -> Result<String, String> {
    let store = store::open(&config.store).await.map_err(|error| error.to_string())?;
    store.ping().await.map_err(|error| error.to_string())?;
    Ok("it answers".into())
}

async fn within(reached: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| late())
}
