//! `plaudit export`: everything that is held about one person, as JSON.

use std::io::Write as _;

use anyhow::anyhow;
use clap::Args;
use serde_json::Value;

use super::instance::{Address, Instance, segment};
use super::terminal::escaped;
use super::{Failure, cause};
use crate::settings::Environment;
use crate::telemetry::report_error;

/// The arguments of `plaudit export`.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// The contributor, such as `github:octocat`
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    address: Address,
}

/// Prints one JSON object, page by page, so that it may be of any length.
pub async fn run(export: Export, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&export.address, env)?;
    let url = &instance.url;
    let path = format!("/v1/contributors/{}", segment(&export.id));
    let Some(contributor) = instance.get(&path).await? else {
        return Err(Failure::failed(anyhow!("{url} has no contributor {}", escaped(&export.id))));
    };
    let id = contributor.get("id").and_then(Value::as_str).unwrap_or(&export.id).to_owned();
    let complete = instance.has_token();
    if !complete {
        report_error("warning: without a token in PLAUDIT_TOKEN, what is private or taken back is left out");
    }
    let all = if complete { "?retracted=true" } else { "" };
    print(&format!("{{\n\"format\": \"dev.plaudit.export.v1\",\n\"contributor\": {contributor}"))?;
    section(&instance, "contributions", format!("{path}/contributions{all}")).await?;
    section(&instance, "recognitions", format!("/v1/recognitions?contributor={}", segment(&id))).await?;
    print(&format!(",\n\"complete\": {complete}\n}}\n"))
}

/// Prints the items of a list; of a recognition, what became of it at each destination too.
async fn section(instance: &Instance, name: &str, list: String) -> Result<(), Failure> {
    print(&format!(",\n\"{name}\": ["))?;
    let mut between = "\n";
    let mut next = Some(list);
    while let Some(page) = next {
        let page = instance.page(&page).await?;
        for mut item in page.items {
            if name == "recognitions"
                && let Some(id) = item.get("id").and_then(Value::as_str)
                && let Some(whole) = instance.get(&format!("/v1/recognitions/{}", segment(id))).await?
            {
                item = whole;
            }
            print(&format!("{between}{item}"))?;
            between = ",\n";
        }
        next = page.next;
    }
    print("]")
}

/// Half an export is none: a closed pipe is an error here.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::failed(anyhow!("standard output cannot be written: {}", cause(&error))))
}
