//! `plaudit retract`: takes a contribution back.

use anyhow::anyhow;
use clap::Args;
use serde::Deserialize;

use super::Failure;
use super::instance::{Address, Instance, fields, segment};
use super::print_out;
use super::terminal::escaped;
use crate::settings::Environment;

/// The arguments of `plaudit retract`.
#[derive(Args, Clone, Debug)]
pub struct Retract {
    /// The contribution, such as `api:api:talk-17`
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize)]
struct Retracted {
    id: String,
    contributor: String,
    tally: u64,
}

pub async fn run(retract: Retract, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&retract.address, env)?;
    let path = format!("/v1/contributions/{}", segment(&retract.id));
    let Some(answer) = instance.delete(&path).await? else {
        let (id, url) = (escaped(&retract.id), &instance.url);
        return Err(Failure::failed(anyhow!(
            "{url} has no contribution {id}; `plaudit show` lists those of a contributor with their ids"
        )));
    };
    let Retracted { id, contributor, tally } = fields(&answer)?;
    let (id, contributor) = (escaped(&id), escaped(&contributor));
    print_out(format_args!("{id} is taken back; the tally of {contributor} is {tally}"))
}
