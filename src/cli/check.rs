//! `plaudit check`: whether the configuration is right and every back end can be reached.

use std::time::Duration;

use anyhow::anyhow;

use super::{Configured, Failure, configured, say};
use crate::domain::Destination;
use crate::hosts::Opened;
use crate::hosts::deliveries::Redeliveries;
use crate::runtime::Clock;
use crate::settings::{Environment, Flags};
use crate::{publish, reconcile, store};

/// How long a back end may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reaches every configured back end, and prints what is right, off or wrong with each.
pub async fn run(flags: &Flags, env: &Environment) -> Result<(), Failure> {
    let Configured { config, unknown } = configured(flags, env).map_err(Failure::wrong)?;
    say("right  configuration: every variable can be read");
    let off = |what: &str, advice: &str| say(format_args!("off    {what}: {advice}"));
    let mut wrong = 0;
    let mut report = |what: &str, outcome: Result<String, String>| match outcome {
        Ok(detail) => say(format_args!("right  {what}: {detail}")),
        Err(why) => {
            wrong += 1;
            say(format_args!("wrong  {what}: {why}"));
        }
    };
    for variable in unknown {
        report(&variable, Err("it is no setting of plaudit and changes nothing; unset it".into()));
    }
    for Opened { known, host } in &config.service.hosts {
        match host {
            Some(_) => report(known.name, Ok(format!("deliveries to /webhooks/{} are verified", known.name))),
            None => off(known.name, &format!("to take its webhooks set {}", known.set)),
        }
    }
    if let Some(advice) = config.service.rules.hosts.advice(&config.service.hosts) {
        off("list of hosts", &advice);
    }
    if let Some(advice) = config.service.rules.advice() {
        report("ignored", Ok(advice));
    }
    report("posting", Ok(config.service.access.who_may_post()));
    report("reading", Ok(config.service.access.who_may_read()));
    report(
        &format!("store {}", config.store),
        store::inspect(&config.store, config.forget_key.as_ref(), &config.publish.all()).await,
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
    let reconciling = &config.service.reconciling;
    if reconciling.all.is_empty() {
        off("reconciling", &reconciling.advice(&config.service.hosts));
    }
    for one in &reconciling.all {
        let found = within(webhooks(one.as_ref())).await;
        let found = found.map(|found| format!("{found}; {}", reconcile::when(reconciling)));
        report(&format!("reconciling {}", one.entry()), found);
    }
    for destination in Destination::others(&config.publish.all()) {
        match destination {
            // It needs nothing to be turned on: it is used where no other destination is set.
            Destination::Local => {}
            Destination::Topic => {
                off("pubsub", "to publish recognitions to a topic set PLAUDIT_PUBLISH=pubsub:PROJECT/TOPIC");
            }
            Destination::Comment => off("comment", "to thank in comments set PLAUDIT_COMMENT=true"),
        }
    }
    if wrong > 0 {
        return Err(Failure::failed(anyhow!("{wrong} of these checks failed")));
    }
    Ok(())
}

/// The webhooks that are reconciled, or what is wrong with them.
async fn webhooks(one: &dyn Redeliveries) -> Result<String, String> {
    let hooks = one.hooks().await.map_err(|error| error.to_string())?;
    if let Some((hook, off)) = hooks.iter().find_map(|hook| Some((hook, hook.off.as_ref()?))) {
        return Err(format!("webhook {} is off: {off}", hook.id));
    }
    match hooks.len() {
        0 => Err(reconcile::no_webhook(one)),
        1 => Ok("1 webhook".to_owned()),
        more => Ok(format!("{more} webhooks")),
    }
}

async fn within(reached: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| late())
}
