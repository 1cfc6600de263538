//! `plaudit import`: posts contributions from a file of JSON lines into a running instance.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::terminal::escaped;
use super::{Failure, INSTANCE, base_url, cause, no_answer, plain_url, say, token, without_slips};
use crate::runtime::client_for;
use crate::settings::{Environment, Flags, Secret, Settings};

/// The most contributions of one request.
const MOST: usize = 100;
/// The most bytes of the lines of one request, whose body may have 1 MiB.
const MOST_BYTES: usize = 900 * 1024;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often in a row an instance may be unavailable.
const TRIES: u32 = 60;
/// The longest pause that an answer may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The arguments of `plaudit import`.
#[derive(Args, Debug)]
#[allow(clippy::doc_markdown, reason = "these are the words of --help")]
pub struct Import {
    /// A file with one JSON object a line, as POST /v1/contributions takes it, each with an `id`; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The instance, which is sent the token in PLAUDIT_TOKEN where that is set
    #[arg(long, env = "PLAUDIT_URL", hide_env_values = true, default_value = INSTANCE, value_name = "URL", value_parser = base_url)]
    to: String,
    /// Recognize the milestones that are reached, as for live contributions. Without it, they are history, which
    /// counts and announces nothing.
    #[arg(long)]
    recognize: bool,
}

/// Posts every line. What is wrong with one is named with its number, and the others go on.
pub async fn run(import: Import, env: &Environment) -> Result<(), Failure> {
    let (flags, get) = (Flags::default(), |name: &str| env.get(name));
    let mut settings = Settings::new(&flags, &get);
    let token = token(&mut settings);
    let token = without_slips(settings.finish(token), env).map_err(Failure::wrong)?;
    let lines: Box<dyn BufRead> = if import.file.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let name = import.file.display();
        let cannot = |error: io::Error| {
            Failure::wrong(anyhow!("{name} cannot be read: {}; name a file of JSON lines", cause(&error)))
        };
        Box::new(BufReader::new(open(&import.file).map_err(cannot)?))
    };
    let client = client_for(&plain_url(&import.to)?)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()?;
    let mut importer =
        Importer { client, to: import.to, token, history: !import.recognize, sums: Sums::default() };
    let outcome = importer.all(lines).await;
    importer.sums.progress("\n");
    let Sums { read, counted, known, wrong } = importer.sums;
    say(format_args!("{read} lines: {counted} counted, {known} counted before, {wrong} wrong"));
    outcome?;
    if wrong > 0 {
        return Err(Failure::failed(anyhow!("{wrong} of {read} lines were not imported")));
    }
    Ok(())
}

/// Opens a file. A folder can be opened too, and fails only when it is read.
fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
}

/// What became of the lines so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    read: usize,
    counted: usize,
    known: usize,
    wrong: usize,
}

impl Sums {
    /// Shows on a terminal how far the import is.
    fn progress(self, end: &str) {
        let mut out = io::stderr().lock();
        if out.is_terminal() {
            let Self { read, counted, known, wrong } = self;
            let _ = write!(
                out,
                "\r{read} lines read, {counted} counted, {known} counted before, {wrong} wrong{end}"
            );
        }
    }

    fn wrong(&mut self, number: usize, detail: &str) {
        self.wrong += 1;
        warn(format_args!("line {number}: {}", escaped(detail)));
    }
}

/// Prints a line on standard error, over a line of progress.
fn warn(line: impl std::fmt::Display) {
    let mut out = io::stderr().lock();
    let start = if out.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(out, "{start}{line}");
}

/// A line to be posted.
struct Line {
    number: usize,
    json: Box<RawValue>,
}

/// The answer to a batch, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Posted>,
}

#[derive(Deserialize)]
struct Posted {
    status: u16,
    problem: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// How an instance answers a batch.
enum Reply {
    Results(Vec<Posted>),
    Unavailable(Duration),
}

struct Importer {
    client: reqwest::Client,
    to: String,
    token: Option<Secret>,
    history: bool,
    sums: Sums,
}

impl Importer {
    async fn all(&mut self, mut lines: Box<dyn BufRead>) -> Result<(), Failure> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for number in 1.. {
            let line = next_line(&mut lines).with_context(|| format!("after line {}", number - 1))?;
            let Some(line) = line else { break };
            // A byte order mark, as some editors write it, belongs to no line.
            let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.sums.read += 1;
            let json = match object(line) {
                Ok(json) => json,
                Err(detail) => {
                    self.sums.wrong(number, &detail);
                    continue;
                }
            };
            if batch.len() == MOST || bytes + line.len() > MOST_BYTES {
                self.post(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += line.len() + 1;
            batch.push(Line { number, json });
        }
        if batch.is_empty() { Ok(()) } else { self.post(batch).await }
    }

    /// Posts lines until each is answered; again what the instance could not take.
    async fn post(&mut self, mut lines: Vec<Line>) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let pause = match self.try_post(&lines).await? {
                Reply::Unavailable(pause) => pause,
                Reply::Results(results) if results.len() == lines.len() => {
                    lines = self.settle(lines, results);
                    self.sums.progress("");
                    if lines.is_empty() {
                        return Ok(());
                    }
                    Duration::from_secs(1)
                }
                Reply::Results(_) => {
                    return Err(anyhow!("{} does not answer as plaudit does", self.to).into());
                }
            };
            warn(format_args!("{} is unavailable; the next try is in {} s", self.to, pause.as_secs()));
            tokio::time::sleep(pause).await;
        }
        Err(anyhow!(
            "{} stays unavailable; import the file again later: what is counted counts once",
            self.to
        )
        .into())
    }

    /// Notes what became of each line, and returns those to be posted again.
    fn settle(&mut self, lines: Vec<Line>, results: Vec<Posted>) -> Vec<Line> {
        let mut again = Vec::new();
        for (line, posted) in lines.into_iter().zip(results) {
            match posted.status {
                201 => self.sums.counted += 1,
                200 => self.sums.known += 1,
                503 => again.push(line),
                status => {
                    let detail = posted.problem.map_or_else(|| status.to_string(), |problem| problem.detail);
                    self.sums.wrong(line.number, &detail);
                }
            }
        }
        again
    }

    async fn try_post(&self, lines: &[Line]) -> Result<Reply, Failure> {
        let lines: Vec<_> = lines.iter().map(|line| line.json.get()).collect();
        let body = format!(r#"{{"history": {}, "contributions": [{}]}}"#, self.history, lines.join(",\n"));
        let mut request = self.client.post(format!("{}/v1/contributions/batch", self.to));
        request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = request.send().await.map_err(|error| no_answer(&self.to, &error))?;
        let status = answer.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let after =
                answer.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            let pause = Duration::from_secs(after.unwrap_or(1).max(1)).min(LONGEST_PAUSE);
            return Ok(Reply::Unavailable(pause));
        }
        let body = answer.bytes().await.map_err(|error| no_answer(&self.to, &error))?;
        if status == StatusCode::OK
            && let Ok(Answer { results }) = serde_json::from_slice(&body)
        {
            return Ok(Reply::Results(results));
        }
        let to = &self.to;
        let detail = serde_json::from_slice::<Problem>(&body).map(|problem| problem.detail);
        let set = "set PLAUDIT_TOKEN or PLAUDIT_TOKEN_FILE to a token that may post";
        Err(Failure::failed(match (status, detail) {
            (StatusCode::UNAUTHORIZED, _) if self.token.is_none() => anyhow!("{to} asks for a token; {set}"),
            (StatusCode::UNAUTHORIZED, _) => anyhow!("{to} does not know the token in PLAUDIT_TOKEN; {set}"),
            (StatusCode::FORBIDDEN, _) => anyhow!("the token in PLAUDIT_TOKEN may not post to {to}; {set}"),
            (status, Ok(detail)) => anyhow!("{to} answers {status}: {}", escaped(&detail)),
            (status, Err(_)) => {
                anyhow!("{to} answers {status}, and not as plaudit does; is it a running plaudit?")
            }
        }))
    }
}

/// The next line without its end. Of a line that is too long, only as much as shows that.
fn next_line(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if lines.take(MOST_BYTES as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MOST_BYTES {
        lines.skip_until(b'\n')?;
    }
    Ok(Some(line))
}

/// The JSON object of a line, which must have an id: without one it would count again with every import.
fn object(line: &[u8]) -> Result<Box<RawValue>, String> {
    #[derive(Deserialize)]
    struct Identified {
        id: Option<serde_json::Value>,
    }
    if line.len() > MOST_BYTES {
        return Err(format!("longer than {MOST_BYTES} bytes"));
    }
    let json: Box<RawValue> = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    if !json.get().starts_with('{') {
        return Err("no JSON object".into());
    }
    // Whatever else is wrong with it, the instance says.
    match serde_json::from_str(json.get()) {
        Ok(Identified { id: None }) => {
            Err("id: missing; with an `id` of its own, it counts once however often it is imported".into())
        }
        _ => Ok(json),
    }
}
