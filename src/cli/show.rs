//! `plaudit show`: a contributor with every contribution that makes the tally, or one contribution.

use anyhow::anyhow;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::instance::{Address, Instance, fields, segment};
use super::terminal::{BAD, FAINT, GOLD, GOOD, column, dots, escaped, is_terminal, json_line, print, styled};
use super::{Failure, say};
use crate::domain::Moment;
use crate::settings::Environment;

/// The arguments of `plaudit show`.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// A contributor, such as `github:octocat`, or a contribution, such as `api:api:talk-17`
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    address: Address,
    /// Print one JSON line, as when standard output is no terminal
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Contributor {
    id: String,
    url: Option<String>,
    tally: u64,
    next_milestone: Option<u64>,
}

#[derive(Deserialize)]
struct Contribution {
    id: String,
    contributor: String,
    kind: String,
    repository: Option<String>,
    title: Option<String>,
    url: Option<String>,
    occurred_at: Moment,
    recorded_at: Moment,
    private: bool,
    retracted: bool,
}

#[derive(Deserialize)]
struct Recognition {
    milestone: u64,
    recognized_at: Moment,
}

/// What an id is asked for as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contributor,
    Contribution,
}

/// Prints what the instance knows of an id.
pub async fn run(show: Show, env: &Environment) -> Result<(), Failure> {
    let instance = Instance::at(&show.address, env)?;
    let as_json = show.json || !is_terminal();
    for kind in order(&show.id) {
        let shown = match kind {
            Kind::Contributor => contributor(&instance, &show.id, as_json).await?,
            Kind::Contribution => contribution(&instance, &show.id, as_json).await?,
        };
        if shown {
            return Ok(());
        }
    }
    let hidden =
        if instance.has_token() { "" } else { "; a private one is shown only with a token in PLAUDIT_TOKEN" };
    let (id, url) = (escaped(&show.id), &instance.url);
    Err(Failure::failed(anyhow!("{url} has neither a contributor nor a contribution {id}{hidden}")))
}

/// What to ask for first: a contributor has no colon in its login.
fn order(id: &str) -> [Kind; 2] {
    let work = [":issue:", ":pull_request:", ":push:"];
    let is_work = id.starts_with("api:") || work.iter().any(|word| id.contains(word));
    if is_work { [Kind::Contribution, Kind::Contributor] } else { [Kind::Contributor, Kind::Contribution] }
}

async fn contributor(instance: &Instance, id: &str, as_json: bool) -> Result<bool, Failure> {
    let path = format!("/v1/contributors/{}", segment(id));
    let Some(who) = instance.get(&path).await? else { return Ok(false) };
    let contributor: Contributor = fields(&who)?;
    let taken_back = if instance.has_token() { "?retracted=true" } else { "" };
    let contributions = instance.list(&format!("{path}/contributions{taken_back}"), usize::MAX).await?;
    let contributions = contributions.unwrap_or_default();
    let recognitions = format!("/v1/recognitions?contributor={}", segment(&contributor.id));
    let recognitions = instance.list(&recognitions, usize::MAX).await?.unwrap_or_default();
    if as_json {
        let all = json!({"contributor": who, "recognitions": recognitions, "contributions": contributions});
        say(json_line(&all));
        return Ok(true);
    }
    print_contributor(&contributor, &recognitions)?;
    let rows: Vec<Contribution> = contributions.iter().map(fields).collect::<Result<_, _>>()?;
    for row in &rows {
        print(line(row));
    }
    let counted = rows.iter().filter(|row| !row.retracted).count() as u64;
    let hidden = contributor.tally.saturating_sub(counted);
    if hidden > 0 && !instance.has_token() {
        print(styled(FAINT, &format!("{hidden} more count and are private: set PLAUDIT_TOKEN to see them")));
    }
    Ok(true)
}

fn print_contributor(who: &Contributor, recognitions: &[Value]) -> Result<(), Failure> {
    let Contributor { id, url, tally, next_milestone, .. } = who;
    let url = url.as_deref().map(escaped).unwrap_or_default();
    print(format_args!("{}  {}", escaped(id), styled(FAINT, &url)));
    let way = match next_milestone {
        Some(next) => {
            format!(
                "{}  {tally} counted, {} more to the milestone of {next}",
                dots(*tally, *next),
                next.saturating_sub(*tally)
            )
        }
        None => format!("{tally} counted; every milestone is reached"),
    };
    print(way);
    for recognition in recognitions {
        let Recognition { milestone, recognized_at } = fields(recognition)?;
        let star = styled(GOLD, "★");
        print(format_args!("{star} recognized at {milestone}, on {}", day(&recognized_at)));
    }
    print("");
    Ok(())
}

/// The title is last, because it alone may be long.
fn line(contribution: &Contribution) -> String {
    let Contribution { id, kind, repository, title, recorded_at, private, retracted, .. } = contribution;
    let (style, state) = match (retracted, private) {
        (true, _) => (BAD, "taken back"),
        (false, true) => (GOOD, "counts, private"),
        (false, false) => (GOOD, "counts"),
    };
    let (day, state) = (day(recorded_at), styled(style, &column(state, 15)));
    let repository = column(&escaped(repository.as_deref().unwrap_or_default()), 24);
    let (kind, what) = (column(&escaped(kind), 12), escaped(title.as_ref().unwrap_or(id)));
    format!("{day}  {state}  {kind}  {repository}  {what}")
}

async fn contribution(instance: &Instance, id: &str, as_json: bool) -> Result<bool, Failure> {
    let path = format!("/v1/contributions/{}", segment(id));
    let Some(found) = instance.get(&path).await? else { return Ok(false) };
    if as_json {
        say(json_line(&json!({"contribution": found})));
        return Ok(true);
    }
    let contribution: Contribution = fields(&found)?;
    let counts = match (contribution.retracted, contribution.private) {
        (true, _) => styled(BAD, "no, because it was taken back (a label, a deletion or the API)"),
        (false, true) => styled(GOOD, "yes; it is private, and shown only with a token"),
        (false, false) => styled(GOOD, "yes"),
    };
    let Contribution { id, contributor, kind, repository, title, url, occurred_at, recorded_at, .. } =
        contribution;
    print(escaped(&id));
    let row = |what: &str, is: &str| print(format_args!("  {}  {}", styled(FAINT, &column(what, 12)), is));
    for (what, is) in [
        ("contributor", Some(contributor)),
        ("kind", Some(kind)),
        ("repository", repository),
        ("title", title),
        ("url", url),
        ("done", Some(second(&occurred_at))),
        ("counted", Some(second(&recorded_at))),
    ] {
        row(what, &is.as_deref().map_or_else(|| "none".to_owned(), escaped));
    }
    row("counts", &counts);
    Ok(true)
}

fn day(moment: &Moment) -> String {
    moment.format("%Y-%m-%d").to_string()
}

fn second(moment: &Moment) -> String {
    moment.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
