//! `plaudit top`: the leaderboard of a running instance.

use std::num::NonZeroUsize;

use clap::Args;
use serde::Deserialize;

use super::instance::{Address, Instance, fields};
use super::terminal::{FAINT, GOLD, column, dots, escaped, is_terminal, json_line, print, styled};
use super::{Failure, print_out};
use crate::domain::Moment;
use crate::settings::Environment;

/// The arguments of `plaudit top`.
#[derive(Args, Clone, Debug)]
pub struct Top {
    #[command(flatten)]
    address: Address,
    /// Show at most so many contributors
    #[arg(long, default_value = "10", value_name = "NUMBER")]
    limit: NonZeroUsize,
    /// Print one JSON line a contributor, as when standard output is no terminal
    #[arg(long)]
    json: bool,
}

/// What a row shows of a contributor.
#[derive(Deserialize)]
struct Row {
    id: String,
    tally: u64,
    recognized: u64,
    next_milestone: Option<u64>,
    last_at: Moment,
}

/// Prints the contributors with the highest tallies.
pub async fn run(top: Top, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&top.address, env)?;
    let contributors = instance.list("/v1/contributors", top.limit.get()).await?.unwrap_or_default();
    if top.json || !is_terminal() {
        for contributor in &contributors {
            print_out(json_line(contributor))?;
        }
        return Ok(());
    }
    if contributors.is_empty() {
        print(format_args!("No contribution is counted yet at {}.", instance.url));
        return Ok(());
    }
    let heads = format!(
        "{:>4}  {:>7}    {}  {:<10}  contributor",
        "#",
        "tally",
        column("next milestone", 16),
        "last"
    );
    print(styled(FAINT, &heads));
    for (place, contributor) in contributors.iter().enumerate() {
        print(line(place + 1, &fields(contributor)?));
    }
    Ok(())
}

/// The name is last, because it alone may be long.
fn line(place: usize, row: &Row) -> String {
    let Row { id, tally, recognized, next_milestone, last_at } = row;
    let star = if *recognized > 0 { styled(GOLD, "★") } else { " ".to_owned() };
    let way =
        next_milestone.map_or("all reached".to_owned(), |next| format!("{} {next}", dots(*tally, next)));
    let (way, last, who) = (column(&way, 16), last_at.format("%Y-%m-%d"), escaped(id));
    format!("{place:>4}  {tally:>7}  {star} {way}  {last}  {who}")
}
