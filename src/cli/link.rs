//! `plaudit link`: two accounts of one person become one contributor.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::instance::{Address, Instance, fields, segment};
use super::terminal::escaped;
use super::{Failure, cause, print_out};
use crate::settings::Environment;
use crate::telemetry::report_error;

/// The most bytes of a file that are sent, as JSON in a body of at most 1 MiB.
const MOST_BYTES: u64 = 500 * 1024;

/// The arguments of `plaudit link`.
#[derive(Args, Clone, Debug)]
pub struct Link {
    /// The account that is to count for another contributor, such as `gitlab:octocat`
    #[arg(value_name = "ACCOUNT", required_unless_present = "mailmap", requires = "contributor")]
    account: Option<String>,
    /// The contributor whose name is shown from then on, such as `github:octocat`
    #[arg(value_name = "CONTRIBUTOR")]
    contributor: Option<String>,
    /// Take whose addresses are from a .mailmap whose proper addresses are noreply addresses of a host
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    mailmap: Option<PathBuf>,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize)]
struct Linked {
    account: String,
    contributor: String,
    tally: u64,
}

#[derive(Deserialize)]
struct Taken {
    addresses: u64,
    links: u64,
    passed_over: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    line: u64,
    detail: String,
}

pub async fn run(link: Link, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&link.address, env)?.patient();
    match (link.account, link.contributor, link.mailmap) {
        (Some(account), Some(contributor), _) => accounts(&instance, &account, &contributor).await,
        (_, _, Some(file)) => mailmap(&instance, &file).await,
        _ => Err(Failure::wrong(anyhow!("name an account and a contributor, or --mailmap FILE"))),
    }
}

async fn accounts(instance: &Instance, account: &str, contributor: &str) -> Result<(), Failure> {
    let path = format!("/v1/contributors/{}/accounts/{}", segment(contributor), segment(account));
    let Linked { account, contributor, tally } = fields(&instance.put(&path).await?)?;
    let (account, contributor) = (escaped(&account), escaped(&contributor));
    print_out(format_args!("{account} counts for {contributor}, whose tally is {tally}"))
}

async fn mailmap(instance: &Instance, file: &Path) -> Result<(), Failure> {
    let text = text_of(file)?;
    let Taken { addresses, links, passed_over } =
        fields(&instance.post("/v1/mailmap", &json!({"mailmap": text})).await?)?;
    for Line { line, detail } in &passed_over {
        report_error(format_args!("line {line}: {}", escaped(detail)));
    }
    print_out(format_args!("{addresses} addresses are new or changed, {links} accounts are linked"))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let wrong = |why: &str| Failure::wrong(anyhow!("{name} cannot be read: {why}; name a .mailmap"));
    let length = std::fs::metadata(file).map_err(|error| wrong(&cause(&error)))?.len();
    if length > MOST_BYTES {
        return Err(wrong("it is longer than 500 KiB"));
    }
    std::fs::read_to_string(file).map_err(|error| wrong(&cause(&error)))
}
