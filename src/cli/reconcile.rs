//! `plaudit reconcile`: asks the hosts for the deliveries that failed, and says what is wrong with their webhooks.

use anyhow::anyhow;
use clap::Args;

use super::{Configured, Failure, configured, say};
use crate::hosts::deliveries::{self, Reconciling};
use crate::reconcile::{Ask, Reconciler, Sum};
use crate::runtime::Clock;
use crate::settings::{Environment, Flags, Settings};
use crate::store;

/// The arguments of `plaudit reconcile`.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
pub struct Reconcile {
    /// github, github-app or gitlab; without it, everything in PLAUDIT_RECONCILE
    #[arg(value_name = "HOST")]
    host: Option<String>,
    /// What the webhooks belong to: OWNER/REPO, an organisation, or GROUP/PROJECT
    #[arg(value_name = "NAME", requires = "host")]
    name: Option<String>,
    /// Says what would be asked for, and asks for nothing
    #[arg(long)]
    dry_run: bool,
    /// Turns webhooks on again that GitLab has turned off
    #[arg(long)]
    enable: bool,
    #[command(flatten)]
    flags: Flags,
}

/// Runs one round, and waits as long as the hosts' limits ask for.
pub async fn run(reconcile: Reconcile, env: &Environment) -> Result<(), Failure> {
    let Configured { config, unknown } = configured(&reconcile.flags, env).map_err(Failure::wrong)?;
    for variable in unknown {
        say(format_args!("note       {variable} is no setting of plaudit and changes nothing"));
    }
    let reconciling = match &reconcile.host {
        None => config.service.reconciling.clone(),
        Some(host) => {
            let text = reconcile.name.as_ref().map_or_else(|| host.clone(), |name| format!("{host}:{name}"));
            let get = |name: &str| env.get(name);
            let mut settings = Settings::new(&reconcile.flags, &get);
            let opened = deliveries::open(&mut settings, &text, &config.service.rules);
            let one = settings
                .finish(opened)
                .map_err(Failure::wrong)?
                .map_err(|why| Failure::wrong(anyhow!(why)))?;
            Reconciling::of(one)
        }
    };
    let nothing = "nothing to reconcile: name it, such as `plaudit reconcile github OWNER/REPO`, or set PLAUDIT_RECONCILE";
    if reconciling.all.is_empty() {
        return Err(Failure::wrong(anyhow!(nothing)));
    }
    let store = store::open(&config.store, config.forget_key.as_ref())
        .await
        .map_err(|error| Failure::failed(anyhow!(store::cannot_open(&config.store, &error))))?;
    let reconciler = Reconciler::new(reconciling, store.clone(), Clock::system(), None);
    let ask = Ask {
        until: None,
        stop: None,
        dry_run: reconcile.dry_run,
        enable: reconcile.enable,
        say: &|line| say(format_args!("note       {line}")),
    };
    let done = reconciler.round(&ask).await;
    store.close().await;
    for problem in &done.problems {
        say(format_args!("note       {problem}"));
    }
    report(done.sum, reconcile.dry_run)
}

fn report(sum: Sum, dry_run: bool) -> Result<(), Failure> {
    let Sum { hooks, listed, asked, waiting, lost, calls, .. } = sum;
    let would = if dry_run { "would be asked for again" } else { "asked for again" };
    say(format_args!(
        "reconciled {hooks} webhooks: {listed} deliveries listed, {asked} {would}, {waiting} without a success so far, {lost} lost; {calls} requests"
    ));
    if sum.unfinished {
        return Err(Failure::failed(anyhow!(
            "something is left to do: run this again, and it goes on where it ended"
        )));
    }
    Ok(())
}
