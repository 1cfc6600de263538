//! `plaudit forget`: erases a person.

use anyhow::anyhow;
use clap::Args;
use serde::Deserialize;

use super::Failure;
use super::instance::{Address, Instance, fields, segment};
use super::print_out;
use super::terminal::escaped;
use crate::settings::Environment;

/// The arguments of `plaudit forget`.
#[derive(Args, Clone, Debug)]
pub struct Forget {
    /// The contributor, such as `github:octocat`
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize)]
struct Forgotten {
    contributions: u64,
    recognitions: u64,
    /// An older instance does not say.
    #[serde(default)]
    addresses: u64,
}

pub async fn run(forget: Forget, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&forget.address, env)?.patient();
    let path = format!("/v1/contributors/{}", segment(&forget.id));
    let Some(answer) = instance.delete(&path).await? else {
        let (id, url) = (escaped(&forget.id), &instance.url);
        return Err(Failure::failed(anyhow!(
            "{url} has no contributor {id}; {url}/?search= finds contributors by the beginning of a login"
        )));
    };
    let Forgotten { contributions, recognitions, addresses } = fields(&answer)?;
    let addresses = match addresses {
        0 => String::new(),
        dropped => format!(", {dropped} addresses of a .mailmap are dropped"),
    };
    print_out(format_args!(
        "forgotten: {contributions} contributions and {recognitions} recognitions are erased{addresses}; what was published before is out of reach"
    ))
}
