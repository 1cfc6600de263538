//! `plaudit unlink`: a linked account counts for itself again.

use anyhow::anyhow;
use clap::Args;
use serde::Deserialize;

use super::Failure;
use super::instance::{Address, Instance, fields, segment};
use super::print_out;
use super::terminal::escaped;
use crate::settings::Environment;

/// The arguments of `plaudit unlink`.
#[derive(Args, Clone, Debug)]
pub struct Unlink {
    /// The linked account, such as `gitlab:octocat`
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize)]
struct Apart {
    account: Side,
    contributor: Side,
}

#[derive(Deserialize)]
struct Side {
    id: String,
    tally: u64,
}

pub async fn run(unlink: Unlink, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&unlink.address, env)?.patient();
    let (account, url) = (escaped(&unlink.account), &instance.url);
    let not_linked = || Failure::failed(anyhow!("{url} has no linked account {account}"));
    // Any of its accounts names the contributor.
    let path = format!("/v1/contributors/{0}/accounts/{0}", segment(&unlink.account));
    let Apart { account, contributor } = fields(&instance.delete(&path).await?.ok_or_else(not_linked)?)?;
    print_out(format_args!(
        "{} counts for itself again: its tally is {}, that of {} is {}",
        escaped(&account.id),
        account.tally,
        escaped(&contributor.id),
        contributor.tally
    ))
}
